/* SPDX-License-Identifier: Apache-2.0
 *
 * ration: how much a copy in the background may read now, of a rate and of a share of
 * the CPU.  Pure.
 */
#ifndef ENGINE_RATION_H
#define ENGINE_RATION_H

#include <stdint.h>

#define RATION_TICK_MS 20
#define RATION_SAVED_MS 200 /* what was not used is good for so long: no bursts */

struct ration {
	uint64_t rate;	      /* bytes a second, 0: no limit */
	unsigned cpu_percent; /* of one core, of this process; 0: no limit */
	int64_t last_ns;
	int64_t cpu_ns;
};

/* NOW_NS: any clock; CPU_NS: what the process has used of the CPU. */
static inline void ration_begin(struct ration *ration, uint64_t rate, unsigned cpu_percent,
				int64_t now_ns, int64_t cpu_ns)
{
	*ration = (struct ration){rate, cpu_percent, now_ns, cpu_ns};
}

/* Bytes for the time since the last grant; 0 while more of the CPU was used since then
 * than is ours. */
static inline uint64_t ration_due(struct ration *ration, int64_t now_ns, int64_t cpu_ns)
{
	int64_t took_ns = now_ns - ration->last_ns, used_ns = cpu_ns - ration->cpu_ns;

	if (took_ns <= 0 || (ration->cpu_percent &&
			     used_ns > took_ns / 100 * (int64_t)ration->cpu_percent))
		return 0;
	ration->last_ns = now_ns;
	ration->cpu_ns = cpu_ns;
	if (took_ns > RATION_SAVED_MS * INT64_C(1000000))
		took_ns = RATION_SAVED_MS * INT64_C(1000000);
	return ration->rate ? (uint64_t)((double)ration->rate * (double)took_ns / 1e9)
			    : UINT64_C(1) << 40;
}

#endif
