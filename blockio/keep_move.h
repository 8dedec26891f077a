/* SPDX-License-Identifier: Apache-2.0
 *
 * keep_move: what a kept point has and the next older one lacks goes to the older
 * one, so that the newer can be deleted.  Some thousand blocks at a time: their
 * content, a flush, then their entries; so an entry never lacks its content,
 * wherever the power goes.
 *
 * Content whose entry was lost goes along, without one: it tells of that, also in the
 * older point, which would be read from the head else.
 */
#ifndef BLOCKIO_KEEP_MOVE_H
#define BLOCKIO_KEEP_MOVE_H

#include <stdbool.h>
#include <stdint.h>

#include "flush.h"
#include "keep_files.h"
#include "pool.h"
#include "ring.h"

#define MOVE_WINDOW 4096u /* blocks between two flushes: 256 MiB of 64 KiB */

struct keep_move {
	struct ring *ring;
	struct pool *pool;
	struct keep_files *from, *to;
	bool strays; /* the second pass: content without an entry goes along */
	/* RESULT: 0, and all is flushed, or an errno. */
	void (*done)(struct keep_move *move, int result);

	/* private */
	struct ring_op op;
	struct pool_waiter waiter;
	struct flush flush;
	struct buf *buf;
	unsigned disk;
	struct keep_disk *source, *target;
	uint64_t window, blocks; /* first block and length of the window */
	uint64_t theirs[MOVE_WINDOW], ours[MOVE_WINDOW]; /* entries: of FROM, of TO */
	bool stray[MOVE_WINDOW]; /* neither has an entry, FROM has content */
	bool held[MOVE_WINDOW];	 /* TO has no entry, but content */
	unsigned at, run, tries, lost;
	bool copied, alone;
	int status;
};

/* FROM may get more entries meanwhile; whether those are moved is open.  Not in the second pass,
 * with STRAYS: what is on its way has content, and no entry yet. */
void keep_move_start(struct keep_move *move, struct ring *ring, struct pool *pool,
		     struct keep_files *from, struct keep_files *to, bool strays,
		     void (*done)(struct keep_move *move, int result));

#endif
