/* SPDX-License-Identifier: Apache-2.0 */
#include "latency.h"

/* Of nanoseconds over 1024, which is near enough to microseconds to choose a bucket. */
static unsigned bucket_of(uint64_t took_ns)
{
	uint64_t value = (took_ns >> 10) + LATENCY_STEPS;
	unsigned octave = 0, bucket;

	while (value >= 2 * LATENCY_STEPS) {
		value >>= 1;
		octave++;
	}
	bucket = octave * LATENCY_STEPS + (unsigned)value - LATENCY_STEPS;
	return bucket < LATENCY_BUCKETS ? bucket : LATENCY_BUCKETS - 1;
}

static uint64_t bucket_end_ns(unsigned bucket)
{
	uint64_t octave = bucket / LATENCY_STEPS, step = bucket % LATENCY_STEPS;

	return (((step + LATENCY_STEPS + 1) << octave) - LATENCY_STEPS) << 10;
}

void latency_add(struct latency *latency, uint64_t took_ns)
{
	latency->counts[bucket_of(took_ns)]++;
	latency->count++;
	if (took_ns > latency->slowest_ns)
		latency->slowest_ns = took_ns;
}

uint64_t latency_us(const struct latency *latency, unsigned per_mille)
{
	uint64_t wanted = (latency->count * per_mille + 999) / 1000, seen = 0;
	uint64_t found_ns = latency->slowest_ns;

	for (unsigned i = 0; i < LATENCY_BUCKETS && latency->count; i++) {
		seen += latency->counts[i];
		if (seen >= wanted && seen) {
			if (i + 1 < LATENCY_BUCKETS && bucket_end_ns(i) < found_ns)
				found_ns = bucket_end_ns(i);
			break;
		}
	}
	return found_ns / 1000;
}
