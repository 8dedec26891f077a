/* SPDX-License-Identifier: Apache-2.0
 *
 * What store.c (generations), store_make.c and store_open.c (begin and end of a store's
 * life) and store_fill.c (the first copy) share.
 */
#ifndef BLOCKIO_STORE_PRIVATE_H
#define BLOCKIO_STORE_PRIVATE_H

#include "apply.h"
#include "file.h"
#include "head.h"
#include "journal.h"
#include "keep.h"
#include "point_private.h"
#include "store.h"
#include "store_json.h"

#define FILL_WRITES 64	  /* in flight to the heads; more wait in a list of their buffers */
#define SETTLE_WAITERS 8  /* who waits for the applies at one time: steps of one engine */

typedef void store_done(void *arg, int status, const struct errinfo *error);

struct fill_write {
	struct head_write head;
	struct store *store;
	struct buf *buf;
	struct fill_write *next;
};

struct fill {
	struct fill_write writes[FILL_WRITES];
	struct fill_write *free;
	struct buf *waiting, **waiting_end;
	unsigned in_flight;   /* queued ones too */
	struct errinfo error; /* the first failed write */
	store_done *done;     /* of store_fill_end(), while it waits */
	void *arg;
};

struct settle_waiter {
	store_done *done;
	void *arg;
};

struct store {
	struct ring *ring;
	struct pool *pool;
	char dir[FILE_PATH_MAX - 2 * STORE_NAME_MAX - 32];
	int lock_fd;
	struct store_json json;
	/* The last write of store.json failed: it may say more than is true, and is
	 * written again before anything that it could be wrong about. */
	bool json_unsure;
	struct store_info info;
	struct store_stats stats;
	struct record_shape shape;
	struct heads heads;
	struct journal journal;
	struct copy_sink sink, fill_sink;

	struct generation *open; /* being received or committed */
	store_done *commit_done;
	void (*abort_done)(void *arg);
	void *commit_arg;
	int64_t commit_start_ns;

	struct keep keep;
	struct points points;
	struct apply apply;
	int64_t apply_start_ns;
	bool apply_failed; /* and not tried again since */
	struct settle_waiter waiters[SETTLE_WAITERS];
	unsigned waiter_count;
	struct ring_op settle_now;

	struct fill fill;
	bool fresh_filled; /* store_fresh_end() was done(0): the generation may be committed */
};

int store_dir_check(const char *dir, struct errinfo *err); /* is the path one that we can use? */
/* Returns the descriptor that holds the lock. */
int store_lock(const char *dir, struct errinfo *err);
void store_fill_init(struct store *store);
/* Start the oldest generation that is not in the heads; false: there is none. */
bool store_apply_next(struct store *store);
void store_applied(struct apply *apply, int status, const struct errinfo *error);
void store_sink_init(struct store *store);
int store_json_update(struct store *store, struct errinfo *err);
/* The same with what is to take its place, which store->json does not have yet. */
int store_json_note(struct store *store, const struct store_json *json, struct errinfo *err);

/* What store.json says of the journal, and which disks GENERATION does not hold whole. */
void store_base(const struct store_json *json, struct journal_base *base);
uint64_t store_incomplete(const struct store_json *json, uint64_t generation);
void store_shape(const struct store_json *json, struct record_shape *shape);
bool store_frozen(const struct store_json *json, uint64_t *generation, int64_t *time_us);

/* store_disks.c: what a change of the list of disks left to be done, for GENERATION.
 * Every step can be done again. */
int disks_complete(struct store *store, uint64_t generation, struct errinfo *err);
/* A generation was committed that holds all disks: store.json may say so. */
void disks_note_more(struct store_json *json);
bool disks_unnoted(const struct store_json *json); /* it does not say so yet */

#endif
