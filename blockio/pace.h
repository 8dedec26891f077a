/* SPDX-License-Identifier: Apache-2.0
 *
 * pace: how much of a large file one blocking call may take.  The time depends on
 * the extents in it: they are counted where the file system tells them, and what a
 * call took is measured in any case.
 */
#ifndef BLOCKIO_PACE_H
#define BLOCKIO_PACE_H

#include <stdbool.h>
#include <stdint.h>

#define PACE_BYTES (4u << 20) /* the first slice: 1000 extents of a block of 4 KiB each */
#define PACE_MIN_BYTES (256u << 10)
#define PACE_MAX_BYTES (256u << 20)
#define PACE_NS 4000000 /* halved when one took longer: as long as a flush may take */
/* 0.02 to 0.2 ms each to share or to free, measured on XFS: a slice of 1 to 13 ms, also
 * where few large extents that let the slices grow are followed by many small ones. */
#define PACE_EXTENTS 64u

struct pace {
	uint64_t bytes;
	int64_t longest_ns;
	unsigned slices;
};

void pace_init(struct pace *pace);

/* Bytes of the next slice: at most LEFT, from AT on in the file FD, or with BACKWARDS up
 * to AT. */
uint64_t pace_slice(struct pace *pace, int fd, uint64_t at, uint64_t left, bool backwards);

/* It took so long. */
void pace_adapt(struct pace *pace, int64_t took_ns);

#endif
