/* SPDX-License-Identifier: Apache-2.0
 *
 * Changing a store's list of disks.  The journal is indexed by the disk's number,
 * so it must be empty at that moment; and what it would have told then stands in
 * store.json, as `settled`.  Three steps, each durable before the next:
 *
 *   1  store.json: settled, the heads are generation G; still the old list
 *   2  both areas of the journal are erased
 *   3  store.json: the new list, with marks for what is left to be done
 *
 * What the marks say is done by the next open (disks_complete()), as often as it
 * takes: a mark counts as long as no generation was committed that holds the disk.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "point.h"
#include "store_private.h"

void store_base(const struct store_json *json, struct journal_base *base)
{
	base->generation = json->settled.generation;
	base->time_us = json->settled.time_us;
	base->more = json->state == STORE_READY &&
		     (!json->settled.generation || json->settled.more);
}

uint64_t store_incomplete(const struct store_json *json, uint64_t generation)
{
	uint64_t disks = 0;

	for (unsigned i = 0; i < json->spec.disk_count; i++)
		if (json->marks[i].from > generation)
			disks |= UINT64_C(1) << i;
	return disks;
}

bool disks_unnoted(const struct store_json *json)
{
	return json->settled.generation && !json->settled.more;
}

void disks_note_more(struct store_json *json)
{
	json->settled.more = json->settled.generation != 0;
	memset(json->marks, 0, sizeof(json->marks));
}

/* --- on open --- */

/* 1: a point holds blocks of DISK that lie only in its head. */
static int needed(const char *dir, const char *disk, struct errinfo *err)
{
	struct point_info *points;
	unsigned count;
	int status = points_list(dir, &points, &count, err), found = 0;

	if (status)
		return status;
	for (unsigned i = 0; i < count; i++) {
		if (points[i].kind != POINT_KEPT || points[i].damaged)
			continue;
		for (unsigned j = 0; j < points[i].disk_count; j++)
			found |= strcmp(points[i].disks[j].name, disk) == 0;
	}
	free(points);
	return found;
}

static int dir_sync(const struct store *store, struct errinfo *err)
{
	char path[FILE_PATH_MAX];
	int status;

	snprintf(path, sizeof(path), "%s/disks", store->dir);
	status = file_sync_dir(path);
	if (status)
		return err_set(err, status, "cannot flush %s: %s", path, strerror(-status));
	return 0;
}

static int gone_remove(struct store *store, struct errinfo *err)
{
	struct store_json *json = &store->json;
	unsigned kept = 0, count = json->gone_count;
	int status;

	for (unsigned i = 0; i < count; i++) {
		status = needed(store->dir, json->gone[i].name, err);

		if (!status)
			status = head_remove(store->dir, json->gone[i].name, err);
		if (status < 0)
			return status;
		if (status)
			json->gone[kept++] = json->gone[i];
	}
	json->gone_count = kept;
	if (kept == count)
		return 0;
	status = dir_sync(store, err);
	return status ? status : store_json_update(store, err);
}

int disks_complete(struct store *store, uint64_t generation, struct errinfo *err)
{
	const struct store_json *json = &store->json;
	int status = 0;

	for (unsigned i = 0; i < json->spec.disk_count && !status; i++) {
		const struct store_mark *mark = &json->marks[i];

		if (mark->from <= generation)
			continue;
		if (mark->grown_from) {
			status = head_extend(store->dir, &json->spec, i, mark->grown_from, err);
			continue;
		}
		status = head_create(store->dir, &json->spec, i, err);
		if (!status)
			status = dir_sync(store, err);
	}
	if (!status && json->gone_count)
		status = gone_remove(store, err);
	return status;
}

/* --- the change --- */

static int find(const struct store_disk *disks, unsigned count, const char *name)
{
	for (unsigned i = 0; i < count; i++)
		if (strcmp(disks[i].name, name) == 0)
			return (int)i;
	return -1;
}

static int refuse_needed(const struct store *store, const struct store_disk *disk,
			 struct errinfo *err)
{
	int status = needed(store->dir, disk->name, err);

	if (status <= 0)
		return status;
	return err_set(err, -EEXIST,
		       "disk %s has to be copied anew, but points of %s need the replica of the one "
		       "that had this name: delete these points, or give the disk another id",
		       disk->name, store->dir);
}

/* What becomes of NEW, disk INDEX of JSON; its mark. */
static int mark_disk(const struct store *store, const struct store_disk *disk,
		     struct store_mark *mark, struct errinfo *err)
{
	const struct store_json *old = &store->json;
	int before = find(old->spec.disks, old->spec.disk_count, disk->name);
	const struct store_mark *was = before < 0 ? NULL : &old->marks[before];
	uint64_t size = before < 0 ? 0 : old->spec.disks[before].size;
	bool unfinished = was && was->from > store->info.generation;

	memset(mark, 0, sizeof(*mark));
	if (before >= 0 && store->info.state == STORE_READY && disk->size >= size) {
		if (unfinished)
			*mark = *was; /* it may grow twice, or while it is fresh */
		else if (disk->size > size)
			*mark = (struct store_mark){store->info.generation + 1, size};
		return 0;
	}
	mark->from = store->info.generation + 1;
	if (before < 0 && store_new_name_check(disk->name, err))
		return -EINVAL;
	return store->info.state == STORE_READY ? refuse_needed(store, disk, err) : 0;
}

static int gone_add(struct store_json *json, const struct store_disk *disk, struct errinfo *err)
{
	if (json->gone_count == STORE_DISKS_MAX)
		return err_set(err, -E2BIG,
			       "%d disks that are gone still have replicas that points need: "
			       "delete old points",
			       STORE_DISKS_MAX);
	json->gone[json->gone_count++] = *disk;
	return 0;
}

/* JSON becomes what the store is to be. */
static int list_change(const struct store *store, struct store_json *json,
		       const struct store_disk *disks, unsigned count, struct errinfo *err)
{
	const struct store_json *old = &store->json;
	unsigned kept = 0;
	int status = 0;

	memset(json->marks, 0, sizeof(json->marks));
	memset(json->spec.disks, 0, sizeof(json->spec.disks));
	memcpy(json->spec.disks, disks, count * sizeof(disks[0]));
	json->spec.disk_count = count;
	for (unsigned i = 0; i < count && !status; i++)
		status = mark_disk(store, &disks[i], &json->marks[i], err);
	for (unsigned i = 0; i < json->gone_count; i++)
		if (find(disks, count, json->gone[i].name) < 0)
			json->gone[kept++] = json->gone[i];
	json->gone_count = kept;
	for (unsigned i = 0; i < old->spec.disk_count && !status; i++)
		if (find(disks, count, old->spec.disks[i].name) < 0)
			status = gone_add(json, &old->spec.disks[i], err);
	return status;
}

/* Steps 1 and 2: the journal tells nothing any more that store.json does not. */
static int journal_leave(struct store *store, struct errinfo *err)
{
	struct store_json *json = &store->json;
	struct store_settled before = json->settled;
	enum store_state state = json->state;
	int status;

	if (state == STORE_READY)
		json->settled = (struct store_settled){store->info.generation,
						       store->info.generation_time_us, false};
	else
		json->state = STORE_FILLING; /* nothing in it counts, whatever the journal holds */
	status = store_json_update(store, err);
	if (status) {
		json->settled = before;
		json->state = state;
		return status;
	}
	store->info.state = json->state;
	return journal_erase(&store->journal, err);
}

/* What lies in the last block of a disk that grows now changes its sum with it. */
static int tails_keep(struct store *store, const struct store_disk *disks, unsigned count,
		      struct errinfo *err)
{
	const struct store_spec *spec = &store->json.spec;
	int status = 0;

	for (unsigned i = 0; i < spec->disk_count && !status; i++) {
		int at = find(disks, count, spec->disks[i].name);

		if (at >= 0 && disks[at].size > spec->disks[i].size)
			status = keep_tail(&store->keep, i, err);
	}
	return status;
}

int store_set_disks(struct store *store, const struct store_disk *disks, unsigned count,
		    struct errinfo *err)
{
	struct store_json *json;
	struct store_json *next;
	int status;

	if (store->info.promoted)
		return err_set(err, -EROFS, "%s: a guest runs on an overlay above a head, so its list of "
			       "disks stays as it is; protect into a new store", store->dir);
	if (store->open || store->journal.generation[0].state != GENERATION_FREE ||
	    store->journal.generation[1].state != GENERATION_FREE)
		return err_set(err, -EBUSY, "%s: generation %llu is not in the heads yet",
			       store->dir, (unsigned long long)store->info.generation);
	next = malloc(sizeof(*next));
	if (!next)
		return err_set(err, -ENOMEM, "no memory for a list of %u disks", count);
	json = &store->json;
	*next = *json;
	status = list_change(store, next, disks, count, err);
	if (!status)
		status = store_spec_check(&next->spec, err);
	if (!status)
		status = tails_keep(store, disks, count, err);
	if (!status)
		status = journal_leave(store, err);
	if (!status) {
		next->settled = json->settled;
		next->state = json->state == STORE_READY ? STORE_READY : STORE_EMPTY;
		status = store_json_note(store, next, err);
	}
	free(next);
	return status;
}
