/* SPDX-License-Identifier: Apache-2.0
 *
 * What restore.c (life of a restore), restore_compare.c (what differs) and
 * restore_write.c (data and zeros on their way to the target) share.
 */
#ifndef BLOCKIO_RESTORE_PRIVATE_H
#define BLOCKIO_RESTORE_PRIVATE_H

#include "restore.h"

/* A bit a block of what differs: 128 KiB whatever the size of the disk. */
#define RESTORE_SECTION_BLOCKS (UINT64_C(1) << 20)
#define RESTORE_ZEROS 4			  /* zero requests in flight */
#define RESTORE_ZERO_BYTES (UINT64_C(64) << 20) /* of one: progress shows, a cancel is heard */
#define RESTORE_SUMS 4096u		  /* read at once */

enum restore_phase { RESTORE_COMPARE, RESTORE_COPY, RESTORE_FLUSH, RESTORE_ENDED };

struct restore_slot {
	struct target_op op;
	struct restore *restore;
	struct buf *buf; /* NULL: free, or a request for zeros */
	uint64_t block;
	uint64_t count;
	bool busy;
};

struct restore {
	struct restore_request request;
	struct ring *ring;
	uint32_t block_bytes;
	uint64_t blocks;
	void (*done)(void *arg, int status, const struct errinfo *error);
	void *arg;
	enum restore_phase phase;
	bool busy;    /* at work: what is called back into must not pump */
	bool copying; /* the imagecopy did not end yet */
	bool flushed; /* once, the data; a sealed image is flushed again */
	bool sealed;
	uint64_t first, end; /* blocks of the section */
	uint64_t next;	     /* COMPARE: not yet asked for; COPY: not yet zeroed */
	unsigned in_flight;
	struct pool_waiter waiter;
	struct copy_sink sink;
	struct imagecopy *copy;
	struct errinfo error;
	struct restore_progress progress;
	struct target_op flush;
	struct ring_op now;
	struct restore_slot slots[RESTORE_BUFFERS_MAX];
	struct restore_slot zeros[RESTORE_ZEROS];
	uint64_t sums_first, sums_count;
	uint64_t sums[RESTORE_SUMS];
	uint8_t wanted[RESTORE_SECTION_BLOCKS / 8];
	struct restore_bad bad[RESTORE_BAD_MAX];
};

void restore_pump(struct restore *restore);
uint64_t restore_bytes(const struct restore *restore, uint64_t block, uint64_t count);
/* The sum of BLOCK, read in windows; false: it cannot be had, the error is set. */
bool restore_sum(struct restore *restore, uint64_t block, uint64_t *sum);
bool restore_wanted(const struct restore *restore, uint64_t block);
struct restore_slot *restore_slot_take(struct restore *restore, struct restore_slot *slots,
				       unsigned count);
void restore_slot_put(struct restore_slot *slot); /* and its buffer */

void restore_compare_pump(struct restore *restore);
void restore_zeros_pump(struct restore *restore);
void restore_write_init(struct restore *restore);

#endif
