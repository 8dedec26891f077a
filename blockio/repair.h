/* SPDX-License-Identifier: Apache-2.0
 *
 * repair: looks at the blocks of a head as they are on disk, and writes a good block
 * over a bad one.  Only on a store that is settled, and no generation may be committed
 * meanwhile: heads and sums are then exactly the last generation.
 */
#ifndef BLOCKIO_REPAIR_H
#define BLOCKIO_REPAIR_H

#include <stdint.h>

#include "head.h"
#include "store.h"

/* One block of a head. */
struct repair_block {
	uint64_t stored; /* the sum that the replica has for it */
	uint64_t own;	 /* the sum of what is there */
	int status;	 /* why that cannot be read, 0 when it can */
};

struct repair {
	/* private */
	struct store *store;
	struct buf *buf;
	struct repair_block *blocks;
	struct ring_op op;
	struct head_write write;
	unsigned disk;
	uint64_t block;
	uint32_t count, position, chunk, single_end;
	uint64_t wanted_sum;
	struct repair_block back;
	struct errinfo error;
	void (*done)(void *arg, int status, const struct errinfo *error);
	void *arg;
	/* of the write, while it is being read back */
	void (*write_done)(void *arg, int status, const struct errinfo *error);
	void *write_arg;
};

/* COUNT blocks from BLOCK on into BLOCKS, around the page cache, through BUF; a single
 * block is left in it.  A block that cannot be read is no error, sums that cannot are.
 * REPAIR, BUF and BLOCKS must stay until done() ran, from ring_run(). */
void repair_inspect(struct repair *repair, struct store *store, unsigned disk, uint64_t block,
		    uint32_t count, struct repair_block *blocks, struct buf *buf,
		    void (*done)(void *arg, int status, const struct errinfo *error), void *arg);

/* The first block in BUF, whose sum is BUF->sums[0], to BLOCK of the head, and its sum;
 * done(0) when both are on stable storage and were read back and verified.  BUF is the
 * caller's again then, its content is not what it was. */
void repair_write(struct repair *repair, struct store *store, unsigned disk, uint64_t block,
		  struct buf *buf,
		  void (*done)(void *arg, int status, const struct errinfo *error), void *arg);

#endif
