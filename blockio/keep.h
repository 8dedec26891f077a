/* SPDX-License-Identifier: Apache-2.0
 *
 * keep: before a generation is applied, what the heads will lose goes to the
 * newest kept point: of each block that it changes, and that the point does not
 * keep yet, the old content, then its entry; one flush of all at the end.  Each
 * block is read and written at most once per point.
 *
 *   IDLE --start--> SCANNING --> FLUSHING --> IDLE, done()
 *
 * It runs before the generation is sealed.  So of a sealed one all that has to be
 * kept is kept, and while it is not sealed the heads are those of the generation
 * before it: an entry that equals the head's sum may be one that a power cut left
 * without its content, and keeping such a block once more is right in any case.
 *
 * While the heads are being cloned there is no kept point, and what the generation changes
 * is cloned ahead instead.  Nothing of that has to be durable: a clone without a name is
 * nothing after a power cut.
 */
#ifndef BLOCKIO_KEEP_H
#define BLOCKIO_KEEP_H

#include <stdbool.h>
#include <stdint.h>

#include "clone.h"
#include "flush.h"
#include "head.h"
#include "journal.h"
#include "keep_files.h"

#define KEEP_OPS 4     /* in flight, a buffer of the pool each */
#define KEEP_TRIES 3   /* fail before a block that the head cannot give is given up */
#define KEEP_BLOCKS 64 /* of one operation: a buffer of blocks of 4 KiB */

struct keep;

struct keep_op {
	struct ring_op op;
	struct keep *keep;
	struct keep_disk *disk;
	struct head *head;
	uint64_t block;
	unsigned count;
	struct buf *buf; /* NULL: idle */
	uint64_t entries[KEEP_BLOCKS]; /* of the point */
	uint64_t sums[KEEP_BLOCKS];    /* of the head */
	uint64_t fresh[KEEP_BLOCKS];   /* of the generation */
	bool doubt[KEEP_BLOCKS]; /* a sum of zero, and the head has data */
	bool held[KEEP_BLOCKS];	 /* no entry, and the point has content */
	bool wanted[KEEP_BLOCKS];
	unsigned at, run; /* blocks being copied */
	bool alone;	  /* copied one by one: one of a run could not be read */
};

struct keep_stats {
	uint64_t blocks;      /* changed by the generations looked at */
	uint64_t kept;	      /* of them kept */
	uint64_t read_bytes;  /* of content; entries and sums are 8 bytes a block */
	uint64_t write_bytes;
	int64_t keep_ns;      /* the last one */
};

struct keep {
	struct journal *journal;
	struct heads *heads;
	struct keep_files target; /* of the newest kept point, id 0: there is none */
	struct clone *clone;	  /* of the heads, under way; or NULL */
	/* Entries that are not on stable storage, or lack their content, may be
	 * among those that equal the head's sum. */
	bool unsure;
	unsigned failures; /* in a row, because the head could not be read */
	bool head_failed;
	unsigned point_failures; /* of them at the end, because of the point's own files */
	/* A point was renamed and the flush of names_fd failed: who is the newest
	 * after a power cut is not certain before it succeeded. */
	bool names_unsure;
	int names_fd;
	struct keep_stats stats;

	/* private */
	struct generation *generation; /* NULL: idle */
	struct keep_op ops[KEEP_OPS];
	unsigned in_flight;
	struct buf *kept;	     /* next of the generation's own buffers */
	const struct record *record; /* being looked at, NULL: the next one is fetched */
	struct record *page;	     /* one read from the area */
	bool reading, point_failed;
	uint64_t sequence, offset;
	unsigned run;	 /* of a zero record */
	uint64_t position; /* blocks done of the record, or of its run */
	struct ring_op op;
	struct pool_waiter waiter;
	struct flush flush;
	bool flushing;
	int64_t start_ns;
	struct errinfo error;
	void (*done)(void *arg, int status, const struct errinfo *error);
	void *arg;
};

int keep_init(struct keep *keep, struct journal *journal, struct heads *heads, struct errinfo *err);
void keep_release(struct keep *keep);

/* FILES, which are keep's from now on, receive the blocks; NULL: nothing does. */
void keep_target_set(struct keep *keep, struct keep_files *files);

/* Is there anything to keep or to clone before GENERATION, COMMITTED and not sealed, is
 * applied? */
bool keep_needed(const struct keep *keep, const struct generation *generation);
/* done() runs from ring_run().  After a failure the heads must not be touched; it is
 * tried again with the same generation. */
void keep_start(struct keep *keep, struct generation *generation,
		void (*done)(void *arg, int status, const struct errinfo *error), void *arg);

/* A disk that is going to grow: the part of its last block, if it is one, goes to
 * the newest kept point, for which the block ends there.  Blocking, durable; while
 * nothing is being applied and HEADS still has the old size. */
int keep_tail(struct keep *keep, unsigned disk, struct errinfo *err);

#endif
