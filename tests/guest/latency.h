/* SPDX-License-Identifier: Apache-2.0
 *
 * How long requests took, as a histogram: 16 buckets an octave, so that a percentile
 * is at most 6 % above the truth.  Pure, no allocation: it is noted after every request.
 */
#ifndef LATENCY_H
#define LATENCY_H

#include <stdint.h>

#define LATENCY_STEPS 16 /* buckets an octave */
#define LATENCY_BUCKETS (40 * LATENCY_STEPS) /* 1 us shifted 40 times: days */

struct latency {
	uint32_t counts[LATENCY_BUCKETS];
	uint64_t count;
	uint64_t slowest_ns;
};

void latency_add(struct latency *latency, uint64_t took_ns);
/* The upper end of the bucket that this many of 1000 requests do not exceed, in us,
 * never above the slowest; 0 when there was none. */
uint64_t latency_us(const struct latency *latency, unsigned per_mille);

#endif
