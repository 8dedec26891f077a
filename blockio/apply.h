/* SPDX-License-Identifier: Apache-2.0
 *
 * apply: brings one committed generation from the journal to the heads: what a kept
 * point wants of what they lose goes there (keep.h), it is sealed, and
 * its records are written in order, flushed, and its area released.  The same code runs after
 * every commit, when the buffers are often still in memory, and for the replay
 * on open, when all is read again.  Doing it twice changes nothing.
 *
 *   IDLE --start--> KEEPING --> SEALING --> WRITING --> FLUSHING --> IDLE, done()
 */
#ifndef BLOCKIO_APPLY_H
#define BLOCKIO_APPLY_H

#include <stdbool.h>
#include <stdint.h>

#include "head.h"
#include "journal.h"
#include "keep.h"

#define APPLY_WRITES 16 /* in flight to the heads */
#define APPLY_READS 6	 /* in flight from the journal, while lengths can be foretold */

struct apply;

struct apply_write {
	struct head_write head;
	struct apply *apply;
	struct buf *buf; /* returned to the pool when written; NULL: a run of zeros */
	bool busy;
};

/* One read of a record, or of what was taken for one: it counts only if the
 * record before it ends where this one begins. */
struct apply_read {
	struct ring_op op;
	struct apply *apply;
	struct buf *buf;
	uint64_t offset;
	uint32_t length; /* asked for */
	uint32_t have;
	int status; /* a negative errno counts only if the read does */
	bool busy;
};

struct apply {
	struct journal *journal;
	struct heads *heads;
	struct keep *keep;
	struct apply_write writes[APPLY_WRITES];

	/* private */
	struct generation *generation; /* NULL: idle */
	uint64_t sequence;	       /* of the record to be placed next */
	uint64_t offset;	       /* where it lies in the area */
	uint32_t run;		       /* next one of a zero record */
	unsigned in_flight;	       /* head writes */
	struct buf *current;	       /* holds the record to be placed next */
	bool flushing;
	struct apply_read reads[APPLY_READS]; /* a queue, in order of offset */
	unsigned read_first, read_count;
	unsigned read_depth; /* allowed: grows while the guess is right */
	uint32_t guess;	     /* length of the next record: that of the last one */
	struct ring_op now;
	struct pool_waiter waiter;
	struct errinfo error;
	void (*done)(struct apply *apply, int status, const struct errinfo *error);
};

void apply_init(struct apply *apply, struct journal *journal, struct heads *heads,
		struct keep *keep,
		void (*done)(struct apply *apply, int status, const struct errinfo *error));

/* GENERATION is COMMITTED or SEALED.  done() runs from ring_run(): 0 when it is
 * in the heads, flushed and its area FREE; after a failure it stays SEALED or
 * COMMITTED and apply_start() may be called again. */
void apply_start(struct apply *apply, struct generation *generation);
static inline bool apply_busy(const struct apply *apply)
{
	return apply->generation != NULL;
}

#endif
