/* SPDX-License-Identifier: Apache-2.0
 *
 * store: see store.h.  This file moves generations: received, committed,
 * applied.  At most two are alive: one being received while the one before it
 * goes to the heads.  The rule that makes the recovery exact:
 *
 *   g+1 may begin  when g-1 is in the heads and flushed (its area is reused)
 *		    and g is sealed (so that this is known on the next open)
 */
#include "store.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "member.h"
#include "store_private.h"

int store_json_note(struct store *store, const struct store_json *json, struct errinfo *err)
{
	int status = store_json_write(store->dir, json, err);

	store->json_unsure = status < 0;
	return status;
}

int store_json_update(struct store *store, struct errinfo *err)
{
	return store_json_note(store, &store->json, err);
}

/* --- receiving --- */

bool store_can_begin(const struct store *store)
{
	const struct generation *current = &store->journal.generation[store->info.generation & 1];
	const struct generation *next = &store->journal.generation[~store->info.generation & 1];

	if (store->open || store->info.state < STORE_FILLED)
		return false;
	return next->state == GENERATION_FREE && current->state != GENERATION_COMMITTED;
}

int store_begin(struct store *store, struct errinfo *err)
{
	int status = 0;

	if (store->info.promoted)
		return err_set(err, -EROFS,
			       "%s: a guest runs on an overlay above a head, nothing more can be "
			       "received; protect into a new store",
			       store->dir);
	if (store->apply_failed)
		store_apply_next(store);
	if (!store_can_begin(store))
		return err_set(err, -EBUSY,
			       "%s: generation %llu cannot begin before the earlier ones are in the "
			       "heads",
			       store->dir, (unsigned long long)store->info.generation + 1);
	if (store->json_unsure)
		status = store_json_update(store, err);
	if (!status)
		status = journal_begin(&store->journal, store->info.generation + 1, err);
	if (!status)
		store->open = &store->journal.generation[~store->info.generation & 1];
	return status;
}

static int sink_data(struct copy_sink *sink, unsigned disk, uint64_t offset, uint32_t length,
		     struct buf *buf, struct errinfo *err)
{
	struct store *store = member_of(sink, struct store, sink);

	assert(store->open);
	return journal_data(store->open, disk, offset, length, buf, err);
}

static int sink_zero(struct copy_sink *sink, unsigned disk, uint64_t offset, uint64_t length,
		     struct errinfo *err)
{
	struct store *store = member_of(sink, struct store, sink);

	assert(store->open);
	return journal_zero(store->open, disk, offset, length, err);
}

void store_sink_init(struct store *store)
{
	store->sink.data = sink_data;
	store->sink.zero = sink_zero;
}

struct copy_sink *store_sink(struct store *store)
{
	return &store->sink;
}

/* --- committing --- */

/* The first generation (also the first with a new list of disks) makes the store one
 * that has a point in time.  Without
 * "ready" in store.json a journal that lost everything would look like one that
 * never had anything. */
static int generation_first(struct store *store, struct errinfo *err)
{
	int status;

	struct store_json *before;

	if (store->json.state == STORE_READY && !disks_unnoted(&store->json))
		return 0;
	before = malloc(sizeof(*before));
	if (!before)
		return err_set(err, -ENOMEM, "no memory to note the first generation");
	*before = store->json;
	store->json.state = STORE_READY;
	disks_note_more(&store->json);
	status = store_json_update(store, err);
	if (status)
		store->json = *before;
	free(before);
	store->info.state = store->json.state;
	return status;
}

/* Its note may be there although writing it failed, and is taken back first. */
static void revoke(struct store *store, struct generation *generation)
{
	struct errinfo ignored = {0};

	journal_revoke(generation);
	if (!store_json_update(store, &ignored))
		journal_certain(&store->journal, &ignored); /* else the next begin does both */
}

static void generation_committed(void *arg, int status, const struct errinfo *error)
{
	struct store *store = arg;
	struct generation *generation = store->open;
	struct errinfo failure = *error;

	store->open = NULL;
	if (!status) {
		status = generation_first(store, &failure);
		if (status)
			revoke(store, generation);
	}
	if (!status) {
		store->info.generation = generation->number;
		store->info.generation_time_us = generation->time_us;
		store->info.incomplete = store_incomplete(&store->json, generation->number);
		store->stats.journal_bytes = generation->end + RECORD_PAGE;
		store->stats.commit_ns = ring_now_ns() - store->commit_start_ns;
		store_apply_next(store);
	}
	store->commit_done(store->commit_arg, status, &failure);
}

void store_commit(struct store *store, int64_t time_us, store_done *done, void *arg)
{
	assert(store->open && (!store_fresh(store) || store->fresh_filled));
	store->commit_done = done;
	store->commit_arg = arg;
	store->commit_start_ns = ring_now_ns();
	journal_commit(store->open, time_us, generation_committed, store);
}

static void generation_aborted(void *arg, int status, const struct errinfo *error)
{
	struct store *store = arg;

	store->open = NULL;
	store->abort_done(store->commit_arg);
}

void store_abort(struct store *store, void (*done)(void *arg), void *arg)
{
	assert(store->open);
	store->abort_done = done;
	store->commit_arg = arg;
	journal_abort(store->open, generation_aborted, store);
}

/* --- applying --- */

static bool generation_waits(const struct generation *generation)
{
	return generation->state == GENERATION_COMMITTED ||
	       generation->state == GENERATION_SEALED;
}

bool store_apply_next(struct store *store)
{
	struct generation *a = &store->journal.generation[0];
	struct generation *b = &store->journal.generation[1];
	struct generation *oldest = generation_waits(a) ? a : b;

	if (apply_busy(&store->apply))
		return true;
	if (generation_waits(a) && generation_waits(b) && b->number < a->number)
		oldest = b;
	if (!generation_waits(oldest))
		return false;
	if (points_hold(&store->points, oldest->number))
		return true; /* points_release() comes back to it */
	store->apply_failed = false;
	store->apply_start_ns = ring_now_ns();
	apply_start(&store->apply, oldest);
	return true;
}

static void settle_all(struct store *store, int status, const struct errinfo *error)
{
	struct settle_waiter waiters[SETTLE_WAITERS];
	unsigned count = store->waiter_count;

	memcpy(waiters, store->waiters, count * sizeof(waiters[0]));
	store->waiter_count = 0;
	for (unsigned i = 0; i < count; i++)
		waiters[i].done(waiters[i].arg, status, error);
}

/* A point whose own files fail again and again does not stop the store: what the heads lose is
 * not kept for it, and it is damaged before it misses anything. */
static bool point_given_up(struct store *store)
{
	struct errinfo ignored = {0};

	return store->keep.point_failures >= POINT_TRIES && !points_busy(&store->points) &&
	       points_give_up(&store->points, &ignored) == 0;
}

void store_applied(struct apply *apply, int status, const struct errinfo *error)
{
	struct store *store = member_of(apply, struct store, apply);

	store->apply_failed = status < 0;
	if (status < 0 && point_given_up(store) && store_apply_next(store))
		return;
	if (!status)
		store->stats.apply_ns = ring_now_ns() - store->apply_start_ns;
	points_applied(&store->points, status, error);
	if (status < 0 || !store_apply_next(store))
		settle_all(store, status, error);
}

static void settled_already(struct ring_op *op, int result)
{
	struct store *store = member_of(op, struct store, settle_now);
	const struct errinfo none = {0};

	if (!store_apply_next(store))
		settle_all(store, 0, &none);
}

void store_settle(struct store *store, store_done *done, void *arg)
{
	assert(store->waiter_count < SETTLE_WAITERS);
	store->waiters[store->waiter_count++] = (struct settle_waiter){done, arg};
	if (store_apply_next(store) || ring_op_pending(&store->settle_now))
		return;
	store->settle_now.done = settled_already;
	ring_timer(store->ring, &store->settle_now, 0);
}

/* --- the end of the heads' life as a replica --- */

static int place(const struct store *store, struct store_promotion *promoted,
		 const struct store_placement *placement, struct errinfo *err)
{
	struct store_promotion *promotion = &promoted[placement->disk];
	const char *image = placement->image;

	assert(placement->disk < store->json.spec.disk_count);
	if (!image[0] || strlen(image) > STORE_IMAGE_MAX)
		return err_set(err, -EINVAL, "path of the promoted image: 1 to %d bytes, not %zu",
			       STORE_IMAGE_MAX, strlen(image));
	snprintf(promotion->image, sizeof(promotion->image), "%s", image);
	promotion->generation = store->info.generation;
	promotion->time_us = store->info.generation_time_us;
	return 0;
}

int store_promote(struct store *store, const struct store_placement *placements, unsigned count,
		  struct errinfo *err)
{
	struct store_json *next;
	int status = 0;

	if (store->info.state != STORE_READY)
		return err_set(err, -EINVAL, "%s: there is no generation to promote", store->dir);
	if (store->open || generation_waits(&store->journal.generation[0]) ||
	    generation_waits(&store->journal.generation[1]))
		return err_set(err, -EBUSY,
			       "%s: generation %llu is not in the heads yet", store->dir,
			       (unsigned long long)store->info.generation);
	next = malloc(sizeof(*next));
	if (!next)
		return err_set(err, -ENOMEM, "no memory to note where the guest's disks are now");
	*next = store->json;
	for (unsigned i = 0; i < count && !status; i++)
		status = place(store, next->promoted, &placements[i], err);
	if (!status)
		status = store_json_note(store, next, err);
	if (!status) {
		store->json = *next;
		store->info.promoted = true;
	} else if (store->json_unsure) { /* perhaps only its last flush failed: none is to be */
		struct errinfo ignored = {0};

		store_json_update(store, &ignored);
	}
	free(next);
	return status;
}

int store_demote(struct store *store, struct errinfo *err)
{
	struct store_json *next = malloc(sizeof(*next));
	int status;

	if (!next)
		return err_set(err, -ENOMEM, "no memory to note that the heads are free");
	*next = store->json;
	memset(next->promoted, 0, sizeof(next->promoted));
	status = store_json_note(store, next, err);
	free(next);
	return status;
}

const char *store_promoted_image(const struct store *store, unsigned disk)
{
	assert(disk < store->json.spec.disk_count);
	return store->json.promoted[disk].image;
}

const struct store_info *store_info(const struct store *store)
{
	return &store->info;
}

const struct store_stats *store_stats(const struct store *store)
{
	return &store->stats;
}

const char *store_dir(const struct store *store)
{
	return store->dir;
}
