/* SPDX-License-Identifier: Apache-2.0
 *
 * journal: the two areas a generation is received into, used in turn, and the
 * writing of one generation.  What is found in them on open: journal_scan.h.
 *
 *   FREE --begin--> RECEIVING --commit--> COMMITTING --> COMMITTED --seal--> SEALED
 *     ^                 |                     | failed        (apply.c)        |
 *     +----- abort -----+---------------------+        FREE <-- journal_release
 *
 *   COMMITTED  on stable storage, acknowledged
 *   SEALED     and its area says so: only now may the heads be touched
 */
#ifndef BLOCKIO_JOURNAL_H
#define BLOCKIO_JOURNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "errinfo.h"
#include "journal_scan.h"
#include "pool.h"
#include "record.h"
#include "ring.h"

#define JOURNAL_AREA_BYTES (16u << 20)	   /* written once at creation: no metadata later */
#define JOURNAL_AREA_KEEP_BYTES (64u << 20) /* an area that grew beyond is cut back to this */
#define JOURNAL_GROW_MIN_BYTES (16u << 20)
#define JOURNAL_GROW_MAX_BYTES (256u << 20)
#define JOURNAL_WRITES 64	/* in flight; more wait in a list of their buffers */
#define JOURNAL_ZERO_PAGES 8	/* zero records being collected or in flight */
#define JOURNAL_MERGE_RUNS 32	/* how far back a run of zeros looks for its neighbour */

enum generation_state {
	GENERATION_FREE,
	GENERATION_RECEIVING,
	GENERATION_COMMITTING,
	GENERATION_COMMITTED,
	GENERATION_SEALED,
};

struct journal;

struct generation {
	enum generation_state state;
	struct journal *journal;
	unsigned area; /* number & 1 */
	uint64_t number;
	uint64_t attempt;
	uint64_t sequence; /* of the next record; when committed: the number of records */
	uint64_t end;	   /* where the next record goes; when committed: the commit record */
	uint64_t chain;
	uint64_t bytes;	   /* of content */
	int64_t time_us;
	struct errinfo error; /* the first failed write */

	/* Buffers kept for the apply, by sequence.  All of the generation's data
	 * or, when that is more than its share of the pool, nothing. */
	struct buf *kept;
	bool keep;

	/* private */
	struct record *zeros; /* being collected, NULL: none */
	struct record *page;  /* commit and seal */
	unsigned in_flight;   /* writes, queued ones too, and growing */
	bool aborting, growing, grow_failed;
	bool stale; /* its commit failed, and may be found whole in the area for all that */
	uint64_t grow_to;
	struct ring_op op, grow;
	void (*done)(void *arg, int status, const struct errinfo *error);
	void *arg;
};

struct journal_write {
	struct ring_op op;
	struct generation *generation;
	struct buf *buf;      /* data record, or */
	struct record *zeros; /* zero record */
	struct journal_write *next;
};

struct journal {
	struct ring *ring;
	struct pool *pool;
	const struct record_shape *shape;
	const char *dir;
	int fd[2];
	uint64_t size[2]; /* of the files */
	struct generation generation[2];
	unsigned kept, kept_max; /* buffers, both generations */

	/* private */
	uint8_t *pages;
	struct record *free_pages[JOURNAL_ZERO_PAGES];
	unsigned free_page_count;
	struct journal_write writes[JOURNAL_WRITES];
	struct journal_write *free_writes;
	struct buf *waiting, **waiting_end; /* written when a journal_write is free */
};

/* Make both areas below DIR, written through with zeros.  Blocking. */
int journal_create(const char *dir, struct errinfo *err);

/* DIR and SHAPE must outlive JOURNAL.  On failure nothing stays open. */
int journal_open(struct journal *journal, struct ring *ring, struct pool *pool, const char *dir,
		 const struct record_shape *shape, struct errinfo *err);
void journal_close(struct journal *journal); /* nothing may be in flight */
void journal_path(const char *dir, unsigned area, char *path, size_t size);

/* Make sure that no generation is ever found in it: a commit that failed may have
 * left one, made for heads that are about to be emptied.  Blocking, durable. */
int journal_erase(struct journal *journal, struct errinfo *err);

/* The same for the areas of commits that failed, if that was not done at once. */
int journal_certain(struct journal *journal, struct errinfo *err);

/* Receive generation NUMBER into its area, which must be FREE. */
int journal_begin(struct journal *journal, uint64_t number, struct errinfo *err);

/* Append; BUF is taken in any case.  A write that fails later is reported by the
 * commit, and by every append after it. */
int journal_data(struct generation *generation, unsigned disk, uint64_t offset, uint32_t length,
		 struct buf *buf, struct errinfo *err);
int journal_zero(struct generation *generation, unsigned disk, uint64_t offset, uint64_t length,
		 struct errinfo *err);

/* done(0): COMMITTED.  On failure the generation is FREE again; its commit record
 * may nevertheless be found on the next open, whole, if we end before the area was made
 * certain: that is tried at once, and journal_begin() insists on it. */
void journal_commit(struct generation *generation, int64_t time_us,
		    void (*done)(void *arg, int status, const struct errinfo *error), void *arg);
/* done(0): FREE, and nothing in flight. */
void journal_abort(struct generation *generation,
		   void (*done)(void *arg, int status, const struct errinfo *error), void *arg);
/* done(0): SEALED.  On failure it stays COMMITTED. */
void journal_seal(struct generation *generation,
		  void (*done)(void *arg, int status, const struct errinfo *error), void *arg);

/* Give kept buffers back to the pool; they are read again when needed. */
void journal_forget(struct generation *generation);
/* It is in the heads and flushed: its area is free. */
void journal_release(struct generation *generation);
/* COMMITTED, but not to be: what follows it could not be noted.  journal_certain() is
 * for when that is known not to be noted: before, the note may want it. */
void journal_revoke(struct generation *generation);
/* Take over what a scan found in AREA: COMMITTED or SEALED, nothing kept. */
struct generation *journal_adopt(struct journal *journal, unsigned area,
				 const struct journal_found *found);

#endif
