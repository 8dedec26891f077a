/* SPDX-License-Identifier: Apache-2.0
 *
 * Opening and closing a store.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "member.h"
#include "store_private.h"

void store_shape(const struct store_json *json, struct record_shape *shape)
{
	memset(shape, 0, sizeof(*shape));
	memcpy(shape->store, json->uuid_bytes, sizeof(shape->store));
	shape->block_bytes = json->spec.block_bytes;
	shape->disk_count = json->spec.disk_count;
	for (unsigned i = 0; i < json->spec.disk_count; i++)
		shape->disk_bytes[i] = json->spec.disks[i].size;
}

bool store_frozen(const struct store_json *json, uint64_t *generation, int64_t *time_us)
{
	for (unsigned i = 0; i < json->spec.disk_count; i++) {
		if (!json->promoted[i].image[0])
			continue;
		*generation = json->promoted[i].generation;
		*time_us = json->promoted[i].time_us;
		return true;
	}
	return false;
}

void store_promoted_path(const char *dir, const char *disk, uint64_t generation, char *path,
			 size_t size)
{
	snprintf(path, size, "%s/promoted/%s-%llu.qcow2", dir, disk,
		 (unsigned long long)generation);
}

int store_dir_check(const char *dir, struct errinfo *err)
{
	const size_t max = sizeof(((struct store *)NULL)->dir) - 1;

	if (!dir[0] || strlen(dir) > max)
		return err_set(err, -ENAMETOOLONG, "path of the store: 1 to %zu bytes, not %zu", max,
			       strlen(dir));
	return 0;
}

int store_lock(const char *dir, struct errinfo *err)
{
	char path[FILE_PATH_MAX];
	int fd, status;

	snprintf(path, sizeof(path), "%s/lock", dir);
	fd = file_open(path, O_RDWR | O_CREAT);
	if (fd < 0)
		return err_set(err, fd, "cannot open %s: %s", path, strerror(-fd));
	status = file_lock(fd);
	if (status == 0)
		return fd;
	file_close(fd);
	if (status == -EBUSY)
		return err_set(err, -EBUSY,
			       "the store %s is in use: another qheal has it open; stop that one or "
			       "give another --store",
			       dir);
	return err_set(err, status, "cannot lock %s: %s", path, strerror(-status));
}

/* --- opening --- */

struct area_reader {
	struct journal_reader reader;
	int fd;
};

static int64_t area_read(struct journal_reader *reader, void *buffer, uint32_t length,
			 uint64_t offset)
{
	return file_read(member_of(reader, struct area_reader, reader)->fd, buffer, length,
			 offset);
}

static int areas_scan(struct store *store, struct journal_found found[2], struct errinfo *err)
{
	uint32_t length = POOL_HEADER_BYTES + pool_buffer_bytes(store->pool);
	struct buf *buf = pool_get(store->pool);

	if (!buf)
		return err_set(err, -ENOBUFS, "no buffer is free to read the journal");
	for (unsigned area = 0; area < 2; area++) {
		struct area_reader reader = {{area_read}, store->journal.fd[area]};

		journal_scan(&reader.reader, &store->shape, area, JOURNAL_CONTENT, buf->header,
			     length, &found[area]);
	}
	pool_put(store->pool, buf);
	return 0;
}

struct settle_result {
	bool done;
	int status;
	struct errinfo *err;
};

static void settle_result(void *arg, int status, const struct errinfo *error)
{
	struct settle_result *result = arg;

	result->done = true;
	result->status = status;
	if (status)
		err_set(result->err, status, "%s", error->text);
}

/* Apply what was adopted, and wait for it. */
static int replay(struct store *store, struct errinfo *err)
{
	struct settle_result result = {.err = err};

	store_settle(store, settle_result, &result);
	while (!result.done) {
		int status = ring_run(store->ring);

		if (status < 0)
			return err_set(err, status, "the ring failed during the replay: %s",
				       strerror(-status));
	}
	return result.status;
}

/* Until a point whose own files fail is given up (store_applied()). */
static int replay_patiently(struct store *store, struct errinfo *err)
{
	struct errinfo why = {0};
	int status = replay(store, &why);

	while (status && store->keep.point_failures && store->keep.point_failures < POINT_TRIES) {
		err_clear(&why);
		status = replay(store, &why);
	}
	return status ? err_set(err, status, "%s", why.text) : 0;
}

/* What the journal holds, before the heads are touched. */
static int journal_find(struct store *store, struct journal_found found[2],
			struct journal_plan *plan, struct errinfo *err)
{
	const struct store_json *json = &store->json;
	struct journal_base base;
	int status;

	memset(plan, 0, sizeof(*plan));
	if (store_frozen(json, &store->info.generation, &store->info.generation_time_us)) {
		store->info.promoted = true; /* a guest reads the heads: they are left alone */
		return 0;
	}
	if (json->state == STORE_FILLING)
		return journal_erase(&store->journal, err);
	store_base(json, &base);
	status = areas_scan(store, found, err);
	if (!status)
		status = journal_decide(found, &base, plan, err);
	if (status)
		return status;
	if (plan->count && json->state < STORE_FILLED)
		return err_set(err, -EUCLEAN,
			       "%s: the journal holds generation %llu but store.json knows of no "
			       "first copy; was it edited?",
			       store->dir, (unsigned long long)plan->generation);
	store->info.generation = plan->generation;
	store->info.generation_time_us = plan->time_us;
	return 0;
}

/* Want of room refuses no store: only who opens it can delete points.  What could not be done
 * is tried again before anything relies on it: the generations wait in the journal. */
static int full_is_well(int status, const struct errinfo *why, struct errinfo *err)
{
	if (!status || status == -ENOSPC || status == -EDQUOT)
		return 0;
	return err_set(err, status, "%s", why->text);
}

static int journal_recover(struct store *store, const struct journal_found found[2],
			   const struct journal_plan *plan, struct errinfo *err)
{
	struct store_json *json = &store->json;
	struct errinfo why = {0};
	int status;

	for (unsigned i = 0; i < plan->count; i++)
		journal_adopt(&store->journal, plan->area[i], &found[plan->area[i]]);
	status = full_is_well(replay_patiently(store, &why), &why, err);
	/* The power went between the first commit and its mark. */
	if (!status && plan->count && (json->state == STORE_FILLED || disks_unnoted(json))) {
		json->state = STORE_READY;
		disks_note_more(json);
		err_clear(&why);
		status = full_is_well(store_json_update(store, &why), &why, err);
	}
	return status;
}

static int pool_check(const struct store *store, struct errinfo *err)
{
	const uint32_t block_bytes = store->json.spec.block_bytes;

	if (pool_block_bytes(store->pool) != block_bytes ||
	    pool_buffer_bytes(store->pool) / block_bytes > RECORD_SUMS_MAX)
		return err_set(err, -EINVAL,
			       "%s has blocks of %u bytes; buffers of %u bytes in blocks of %u "
			       "cannot be stored there",
			       store->dir, block_bytes, pool_buffer_bytes(store->pool),
			       pool_block_bytes(store->pool));
	return 0;
}

static void files_close(struct store *store)
{
	points_close(&store->points);
	keep_release(&store->keep);
	for (unsigned i = 0; i < 2; i++)
		journal_forget(&store->journal.generation[i]);
	journal_close(&store->journal);
	heads_close(&store->heads);
}

/* What a first copy that never ended left behind goes, before anything may take
 * it for content: first the journal (journal_find()), at last the word for it. */
static int filling_drop(struct store *store, struct errinfo *err)
{
	int status = heads_empty(&store->heads, HEADS_ALL, err);

	if (status)
		return status;
	store->json.state = STORE_EMPTY;
	return store_json_update(store, err);
}

/* The journal is read first: what is to be done with the heads depends on it. */
static int files_open(struct store *store, struct journal_found found[2],
		      struct journal_plan *plan, struct errinfo *err)
{
	struct store_json *json = &store->json;
	bool filling = json->state == STORE_FILLING;
	int status;

	store_shape(json, &store->shape);
	status = journal_open(&store->journal, store->ring, store->pool, store->dir,
			      &store->shape, err);
	if (status)
		return status;
	status = journal_find(store, found, plan, err);
	if (!status && !store->info.promoted)
		status = disks_complete(store, store->info.generation, err);
	if (!status)
		status = heads_open(&store->heads, store->ring, store->dir, &json->spec,
				    &store->shape, filling, err);
	if (status) {
		journal_close(&store->journal);
		return status;
	}
	if (filling)
		status = filling_drop(store, err);
	if (status)
		files_close(store);
	return status;
}

/* A store of an older format that is opened for writing becomes one of this
 * version, before anything is in it that an older version would misread; so does one
 * whose store.json has no checksum yet. */
static int format_upgrade(struct store *store, struct errinfo *err)
{
	int status;

	if (store->json.format == STORE_FORMAT && store->json.summed)
		return 0;
	status = store_json_update(store, err);
	if (!status)
		store->json.format = STORE_FORMAT;
	store->json.summed = !status;
	return status;
}

static int store_load(struct store *store, struct errinfo *err)
{
	struct journal_found found[2];
	struct journal_plan plan;
	int status = store_json_read(store->dir, &store->json, err);

	if (!status)
		status = pool_check(store, err);
	if (!status)
		status = format_upgrade(store, err);
	if (!status)
		status = files_open(store, found, &plan, err);
	if (status)
		return status;
	store_sink_init(store);
	store_fill_init(store);
	apply_init(&store->apply, &store->journal, &store->heads, &store->keep, store_applied);
	status = keep_init(&store->keep, &store->journal, &store->heads, err);
	if (!status)
		status = points_open(&store->points, store, err);
	if (!status)
		status = journal_recover(store, found, &plan, err);
	if (status) {
		files_close(store);
		return status;
	}
	store->info.spec = store->json.spec;
	memcpy(store->info.uuid, store->json.uuid, sizeof(store->info.uuid));
	store->info.state = store->json.state;
	store->info.incomplete = store_incomplete(&store->json, store->info.generation);
	return 0;
}

int store_open(struct store **out, struct ring *ring, struct pool *pool, const char *dir,
	       struct errinfo *err)
{
	struct store *store;
	int status = store_dir_check(dir, err);

	*out = NULL;
	if (status)
		return status;
	store = calloc(1, sizeof(*store));
	if (!store)
		return err_set(err, -ENOMEM, "no memory for the store");
	store->ring = ring;
	store->pool = pool;
	snprintf(store->dir, sizeof(store->dir), "%s", dir);
	store->lock_fd = store_lock(dir, err);
	status = store->lock_fd < 0 ? store->lock_fd : store_load(store, err);
	if (status) {
		if (store->lock_fd >= 0)
			file_close(store->lock_fd);
		free(store);
		return status;
	}
	*out = store;
	return 0;
}

/* --- closing --- */

static void nothing(void *arg)
{
}

static bool store_quiet(const struct store *store)
{
	return !store->open && !apply_busy(&store->apply) && !store->fill.in_flight &&
	       !store->fill.done && !ring_op_pending(&store->settle_now) &&
	       !points_busy(&store->points);
}

void store_close(struct store *store)
{
	if (!store)
		return;
	if (store->open && store->open->state == GENERATION_RECEIVING)
		store_abort(store, nothing, NULL);
	points_cancel(&store->points);
	/* A ring that fails leaves nobody to tell; the journal has it all. */
	while (!store_quiet(store) && ring_run(store->ring) >= 0)
		;
	files_close(store);
	file_close(store->lock_fd);
	free(store);
}
