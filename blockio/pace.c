/* SPDX-License-Identifier: Apache-2.0 */
#include "pace.h"

#include "file.h"

void pace_init(struct pace *pace)
{
	*pace = (struct pace){.bytes = PACE_BYTES};
}

uint64_t pace_slice(struct pace *pace, int fd, uint64_t at, uint64_t left, bool backwards)
{
	struct file_extent extents[PACE_EXTENTS];
	uint64_t bytes = pace->bytes < left ? pace->bytes : left;

	while (bytes > PACE_MIN_BYTES &&
	       file_extents(fd, backwards ? at - bytes : at, bytes, extents, PACE_EXTENTS) ==
		       PACE_EXTENTS) {
		pace->bytes = pace->bytes > PACE_MIN_BYTES ? pace->bytes / 2 : PACE_MIN_BYTES;
		bytes = pace->bytes < bytes ? pace->bytes : bytes;
	}
	return bytes;
}

void pace_adapt(struct pace *pace, int64_t took_ns)
{
	pace->slices++;
	if (took_ns > pace->longest_ns)
		pace->longest_ns = took_ns;
	if (took_ns > PACE_NS && pace->bytes > PACE_MIN_BYTES)
		pace->bytes /= 2;
	else if (took_ns < PACE_NS / 4 && pace->bytes < PACE_MAX_BYTES)
		pace->bytes *= 2;
}
