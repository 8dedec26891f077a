/* SPDX-License-Identifier: Apache-2.0
 *
 * point_store: the points of an open store: found on open, asked for, listed.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "member.h"
#include "store_private.h"

/* --- the end of a point's files --- */

static int leaf_remove(void *arg, const char *name)
{
	char path[FILE_PATH_MAX];

	snprintf(path, sizeof(path), "%.1200s/%.64s", (const char *)arg, name);
	return file_remove(path);
}

static int branch_remove(void *arg, const char *name)
{
	char path[FILE_PATH_MAX];
	int status;

	snprintf(path, sizeof(path), "%.1200s/%.64s", (const char *)arg, name);
	status = file_list(path, leaf_remove, path);
	if (status == -ENOTDIR)
		return file_remove(path);
	return status ? status : file_remove_dir(path);
}

int point_tree_remove(const char *path)
{
	char base[FILE_PATH_MAX];
	int status;

	snprintf(base, sizeof(base), "%s", path);
	status = file_list(base, branch_remove, base);
	return status ? status : file_remove_dir(base);
}

static int leftover_remove(void *arg, const char *name)
{
	const struct points *points = arg;
	char path[FILE_PATH_MAX];

	if (strncmp(name, ".new-", 5) && strncmp(name, ".gone-", 6))
		return 0;
	snprintf(path, sizeof(path), "%s/points/%.32s", points->store->dir, name);
	return point_tree_remove(path);
}

/* --- opening --- */

int points_serial_write(struct points *points)
{
	const uint64_t serial[2] = {points->changes, points->last_id};

	return file_write(points->serial_fd, serial, sizeof(serial), 0);
}

void points_changed(struct points *points)
{
	points->changes++;
	/* Nothing that must be durable hangs on it: of a failure only readers in
	 * other processes suffer, which then find blocks that do not verify. */
	points_serial_write(points);
}

static int serial_open(struct points *points)
{
	uint64_t serial[2] = {0, 0};
	char path[FILE_PATH_MAX];
	int64_t n;

	snprintf(path, sizeof(path), "%s/points/serial", points->store->dir);
	points->serial_fd = file_open(path, O_RDWR | O_CREAT);
	if (points->serial_fd < 0)
		return points->serial_fd;
	n = file_read(points->serial_fd, serial, sizeof(serial), 0);
	if (n < 0)
		return (int)n;
	points->changes = serial[0] + 1;
	points->last_id = serial[1];
	if (points->count && points->list[points->count - 1].id > points->last_id)
		points->last_id = points->list[points->count - 1].id;
	return points_serial_write(points);
}

/* --- damage --- */

/* Are the files of a kept point there, and of the right size?  -EUCLEAN: no, or they cannot
 * be opened at all. */
static int files_check(const struct points *points, const struct point_info *point,
		       struct errinfo *err)
{
	struct keep_files files;
	struct errinfo why;
	char path[FILE_PATH_MAX];
	int status = -EIO;

	point_dir_path(points->store->dir, point->id, path, sizeof(path));
	for (unsigned i = 0; i < POINT_TRIES && status == -EIO; i++) {
		err_clear(&why);
		status = keep_files_open(&files, path, point,
					 points->store->json.spec.block_bytes, true, &why);
	}
	if (!status)
		keep_files_close(&files);
	if (status == -ENOENT || status == -ENOTDIR || status == -EIO)
		return -EUCLEAN;
	return status ? err_set(err, status, "%s", why.text) : 0;
}

/* From now on nothing is kept for it, and that must be known for ever: its directory
 * is named so. */
static int damage_mark(const struct points *points, const struct point_info *point,
		       struct errinfo *err)
{
	char path[FILE_PATH_MAX], damaged[FILE_PATH_MAX];
	int status;

	point_dir_path(points->store->dir, point->id, path, sizeof(path));
	point_damaged_path(points->store->dir, point->id, damaged, sizeof(damaged));
	status = file_rename(path, damaged);
	if (status && status != -ENOENT) /* it may have that name already */
		return err_set(err, status, "%s is damaged, and cannot be renamed to %s: %s", path,
			       damaged, strerror(-status));
	return 0;
}

/* All that are damaged, and those read through them, get that name; those before *NAMED
 * have it. */
static int damage_name(struct points *points, unsigned *named, struct errinfo *err)
{
	char path[FILE_PATH_MAX];
	unsigned damaged = 0;
	int status;

	points_damage_spread(points->list, points->count);
	for (*named = 0; *named < points->count; ++*named) {
		if (!points->list[*named].damaged)
			continue;
		status = damage_mark(points, &points->list[*named], err);
		if (status)
			return status;
		damaged++;
	}
	if (!damaged)
		return 0;
	snprintf(path, sizeof(path), "%s/points", points->store->dir);
	status = file_sync_dir(path);
	return status ? err_set(err, status, "cannot flush %s: %s", path, strerror(-status)) : 0;
}

/* Before anything is applied: a head that was overwritten without being kept for a
 * point must never be read as that point again. */
static int damage_find(struct points *points, struct errinfo *err)
{
	unsigned named;
	int status = 0;

	for (unsigned i = 0; i < points->count && !status; i++) {
		struct point_info *point = &points->list[i];

		if (point->kind != POINT_KEPT || point->damaged)
			continue;
		status = files_check(points, point, err);
		point->damaged = status == -EUCLEAN;
		status = point->damaged ? 0 : status;
	}
	return status ? status : damage_name(points, &named, err);
}

int points_give_up(struct points *points, struct errinfo *err)
{
	struct keep *keep = &points->store->keep;
	bool before[POINTS_MAX] = {false};
	unsigned named;
	int status;

	for (unsigned i = 0; i < points->count; i++) {
		before[i] = points->list[i].damaged;
		points->list[i].damaged |= points->list[i].id == keep->target.id;
	}
	/* Before the heads lose anything that it does not get. */
	status = damage_name(points, &named, err);
	/* Who is not named so is read as before, also by the next sidecar. */
	for (unsigned i = named; i < points->count; i++)
		points->list[i].damaged = before[i];
	if (status)
		return status;
	keep_target_set(keep, NULL);
	keep->point_failures = 0;
	points_changed(points);
	return 0;
}

/* The newest kept point receives what the heads lose from now on. */
static int target_open(struct points *points, struct errinfo *err)
{
	struct store *store = points->store;
	struct keep_files files;
	char path[FILE_PATH_MAX];
	int status = 0;

	for (unsigned i = points->count; i-- > 0 && !store->keep.target.id && !status;) {
		if (points->list[i].kind != POINT_KEPT || points->list[i].damaged)
			continue;
		point_dir_path(store->dir, points->list[i].id, path, sizeof(path));
		status = keep_files_open(&files, path, &points->list[i],
					 store->json.spec.block_bytes, true, err);
		if (!status)
			keep_target_set(&store->keep, &files);
	}
	return status;
}

static int points_load(struct points *points, struct errinfo *err)
{
	const char *dir = points->store->dir;
	char path[FILE_PATH_MAX];
	int status;

	snprintf(path, sizeof(path), "%s/points", dir);
	status = file_make_dir(path);
	if (!status) {
		points->dir_fd = file_open(path, O_RDONLY | O_DIRECTORY);
		status = points->dir_fd < 0 ? points->dir_fd : 0;
	}
	/* A name that came or went just before the power or the process did, for good: then
	 * the files of what has none any more may go. */
	if (!status)
		status = file_sync_dir(path);
	if (!status)
		status = file_sync_dir(dir);
	if (!status)
		status = file_list(path, leftover_remove, points);
	if (status)
		return err_set(err, status, "%s cannot be used: %s", path, strerror(-status));
	status = points_list(dir, &points->list, &points->count, err);
	if (!status && serial_open(points) < 0)
		status = err_set(err, -EIO, "%s/serial cannot be used", path);
	if (!status)
		status = damage_find(points, err);
	return status ? status : target_open(points, err);
}

static void points_kicked(struct ring_op *op, int result)
{
	struct points *points = member_of(op, struct points, kick);
	struct point_refused refused[3 * POINT_REQUESTS_MAX];
	unsigned count = points->refused_count;

	memcpy(refused, points->refused, count * sizeof(refused[0]));
	points->refused_count = 0;
	for (unsigned i = 0; i < count; i++)
		refused[i].done(refused[i].arg, refused[i].error.code, &refused[i].error);
	points_step(points);
}

int points_open(struct points *points, struct store *store, struct errinfo *err)
{
	int status;

	memset(points, 0, sizeof(*points));
	points->store = store;
	points->dir_fd = points->serial_fd = -1;
	points->kick.done = points_kicked;
	status = points_load(points, err);
	points->clones = !status && !store->keep.target.id && clone_possible(store->dir);
	store->keep.names_fd = points->dir_fd;
	if (status)
		points_close(points);
	return status;
}

void points_close(struct points *points)
{
	if (!points->store)
		return; /* never opened */
	file_close(points->dir_fd);
	file_close(points->serial_fd);
	keep_files_close(&points->store->keep.target);
	free(points->list);
	points->list = NULL;
	points->count = 0;
	points->dir_fd = points->serial_fd = -1;
}

/* --- what is asked for --- */

static void points_kick(struct points *points)
{
	if (!ring_op_pending(&points->kick))
		ring_timer(points->store->ring, &points->kick, 0);
}

static void job_refuse(struct points *points, const struct errinfo *error, point_done *done,
		       void *arg)
{
	assert(points->refused_count < 3 * POINT_REQUESTS_MAX);
	points->refused[points->refused_count++] = (struct point_refused){done, arg, *error};
	points_kick(points);
}

static bool job_add(struct points *points, struct point_jobs *jobs, const struct point_job *job)
{
	struct errinfo busy = {0};

	if (jobs->count < POINT_REQUESTS_MAX) {
		jobs->job[jobs->count++] = *job;
		points_kick(points);
		return true;
	}
	err_set(&busy, -EBUSY, "%s: %d points are waiting to be taken or deleted already",
		points->store->dir, POINT_REQUESTS_MAX);
	job_refuse(points, &busy, job->done, job->arg);
	return false;
}

void store_point_take(struct store *store, const struct point_request *request, point_done *done,
		      void *arg)
{
	const struct point_job job = {.request = *request,
				      .generation = store->info.generation,
				      .time_us = store->info.generation_time_us,
				      .done = done,
				      .arg = arg};

	struct errinfo early = {0};

	if (!store->info.incomplete) {
		job_add(&store->points, &store->points.takes, &job);
		return;
	}
	err_set(&early, -EAGAIN,
		"%s: disks were added or grew, and no generation holds them yet: try again when "
		"the guest is protected",
		store->dir);
	job_refuse(&store->points, &early, done, arg);
}

void store_point_delete(struct store *store, uint32_t id, point_done *done, void *arg)
{
	const struct point_job job = {.id = id, .done = done, .arg = arg};

	job_add(&store->points, &store->points.deletes, &job);
}

const struct point_info *store_points(const struct store *store, unsigned *count)
{
	*count = store->points.count;
	return store->points.list;
}

static void jobs_refuse(struct points *points, struct point_jobs *jobs)
{
	struct errinfo closed = {0};

	err_set(&closed, -ECANCELED, "%s is being closed", points->store->dir);
	while (jobs->count) {
		jobs->count--;
		job_refuse(points, &closed, jobs->job[jobs->count].done,
			   jobs->job[jobs->count].arg);
	}
}

void points_cancel(struct points *points)
{
	jobs_refuse(points, &points->takes);
	jobs_refuse(points, &points->deletes);
}

bool points_busy(const struct points *points)
{
	return points->take.state != TAKE_IDLE || points->delete.state != DELETE_IDLE ||
	       points->takes.count || points->deletes.count || points->refused_count ||
	       ring_op_pending(&points->kick);
}

const struct point_info *points_by_id(const struct points *points, uint32_t id)
{
	for (unsigned i = 0; i < points->count; i++)
		if (points->list[i].id == id)
			return &points->list[i];
	return NULL;
}

/* --- beside the generations --- */

bool points_hold(const struct points *points, uint64_t number)
{
	if (points->delete.holds || (points->take.holds && number > points->take.info.generation))
		return true;
	for (unsigned i = 0; i < points->takes.count; i++)
		if (number > points->takes.job[i].generation)
			return true;
	return false;
}

void points_release(struct points *points)
{
	store_apply_next(points->store);
}

void points_applied(struct points *points, int status, const struct errinfo *error)
{
	if (status < 0)
		take_failed(points, status, error);
	points_step(points);
}

void points_step(struct points *points)
{
	take_step(points);
	delete_step(points);
}
