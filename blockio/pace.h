/* SPDX-License-Identifier: Apache-2.0
 *
 * pace: how much of a large file one blocking call may take, found by measuring:
 * the time depends on the extents in it, which nobody tells beforehand.
 */
#ifndef BLOCKIO_PACE_H
#define BLOCKIO_PACE_H

#include <stdint.h>

#define PACE_BYTES (4u << 20) /* the first slice: 1000 extents of a block of 4 KiB each */
#define PACE_MIN_BYTES (256u << 10)
#define PACE_MAX_BYTES (256u << 20)
#define PACE_NS 4000000 /* halved when one took longer: as long as a flush may take */

struct pace {
	uint64_t bytes;
	int64_t longest_ns;
	unsigned slices;
};

static inline void pace_init(struct pace *pace)
{
	*pace = (struct pace){.bytes = PACE_BYTES};
}

static inline void pace_adapt(struct pace *pace, int64_t took_ns)
{
	pace->slices++;
	if (took_ns > pace->longest_ns)
		pace->longest_ns = took_ns;
	if (took_ns > PACE_NS && pace->bytes > PACE_MIN_BYTES)
		pace->bytes /= 2;
	else if (took_ns < PACE_NS / 4 && pace->bytes < PACE_MAX_BYTES)
		pace->bytes *= 2;
}

#endif
