/* SPDX-License-Identifier: Apache-2.0
 *
 * point_take: a point in time is made as points/.new-ID, flushed, and has its name
 * last of all.
 *
 *   clone   IDLE --> HEADS --> CLONE --> FLUSH --> NAME --> NAMED --> IDLE
 *   kept    IDLE --> PREPARE --> HEADS -----------> NAME --> NAMED --> IDLE
 *
 * A clone holds the apply of later generations until the heads are its own; what they
 * change while it is being made is cloned ahead (keep.h).  A kept point holds it until
 * it is certain to be there after a power cut, because from then on the blocks that the
 * heads lose go to it and to no older one.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "member.h"
#include "point_json.h"
#include "store_private.h"

static struct points *take_points(struct point_take *take)
{
	return member_of(take, struct points, take);
}

static void new_path(const struct points *points, const struct point_info *info, char *path,
		     size_t size)
{
	snprintf(path, size, "%s/points/.new-%08u", points->store->dir, info->id);
}

static void fds_close(struct point_take *take)
{
	while (take->fd_count)
		file_close(take->fds[--take->fd_count]);
}

/* --- its end --- */

static void take_end(struct point_take *take, int status, const struct errinfo *error)
{
	struct points *points = take_points(take);
	const struct point_job job = take->job;

	fds_close(take);
	take->state = TAKE_IDLE;
	take->holds = false;
	points_release(points);
	points_step(points);
	job.done(job.arg, status, error);
}

static void take_report(struct point_take *take, int status, const char *what)
{
	struct points *points = take_points(take);
	struct errinfo error = {0};

	err_set(&error, status, "%s: the point %s of generation %llu: %s: %s%s",
		points->store->dir, take->info.name, (unsigned long long)take->info.generation,
		what, strerror(-status),
		status == -ENOSPC ? "; make room on the file system of the replica" : "");
	take_end(take, status, &error);
}

/* What stays goes with the next open. */
static void files_remove(struct point_take *take)
{
	char path[FILE_PATH_MAX];

	new_path(take_points(take), &take->info, path, sizeof(path));
	point_tree_remove(path);
}

static void take_fail(struct point_take *take, int status, const char *what)
{
	files_remove(take);
	take_report(take, status, what);
}

void take_failed(struct points *points, int status, const struct errinfo *error)
{
	struct point_take *take = &points->take;

	if (take->state != TAKE_HEADS)
		return;
	files_remove(take);
	take_end(take, status, error);
}

/* --- its name --- */

static int list_append(struct points *points, const struct point_info *info)
{
	struct point_info *list =
		realloc(points->list, (points->count + 1) * sizeof(points->list[0]));

	if (!list)
		return -ENOMEM;
	points->list = list;
	list[points->count++] = *info;
	return 0;
}

/* The name may be there after a power cut, or not.  It goes again, and until that
 * is certain nothing more may be kept for an older point alone.  If it does not
 * even go, the point is there, and has to get what the heads lose. */
static bool name_undo(struct point_take *take)
{
	struct points *points = take_points(take);
	char path[FILE_PATH_MAX], temporary[FILE_PATH_MAX];

	point_dir_path(points->store->dir, take->info.id, path, sizeof(path));
	new_path(points, &take->info, temporary, sizeof(temporary));
	if (take->info.kind == POINT_KEPT)
		points->store->keep.names_unsure = true;
	return file_rename(path, temporary) == 0;
}

/* Its files may go only when it is certain that its name does not come back: a point
 * that lacks files is damaged, and all that are read through it. */
static void take_undone(struct flush *flush, int result)
{
	struct point_take *take = member_of(flush, struct point_take, flush);

	if (!result)
		files_remove(take);
	take_report(take, take->name_status, "flushing its name failed");
}

static void name_flush(struct point_take *take, void (*done)(struct flush *flush, int result))
{
	struct points *points = take_points(take);

	flush_init(&take->flush, points->store->ring);
	flush_add(&take->flush, points->dir_fd);
	flush_start(&take->flush, true, done);
}

static void take_named(struct flush *flush, int result)
{
	struct point_take *take = member_of(flush, struct point_take, flush);
	struct points *points = take_points(take);
	const struct errinfo none = {0};

	points->renaming = false;
	if (result < 0 && name_undo(take)) {
		points->count--;
		keep_files_close(&take->files);
		take->name_status = result;
		name_flush(take, take_undone);
		return;
	}
	if (take->info.kind == POINT_KEPT)
		keep_target_set(&points->store->keep, &take->files);
	points_changed(points);
	if (result < 0)
		take_fail(take, result, "it is there, but may be lost with the power: flushing its "
					"name failed");
	else
		take_end(take, 0, &none);
}

static int name_give(struct point_take *take)
{
	struct points *points = take_points(take);
	char path[FILE_PATH_MAX], temporary[FILE_PATH_MAX];
	int status = 0;

	point_dir_path(points->store->dir, take->info.id, path, sizeof(path));
	new_path(points, &take->info, temporary, sizeof(temporary));
	if (take->info.kind == POINT_KEPT)
		status = keep_files_open(&take->files, temporary, &take->info,
					 points->store->json.spec.block_bytes, true, NULL);
	if (status)
		return status;
	status = list_append(points, &take->info);
	if (!status) {
		status = file_rename(temporary, path);
		points->count -= status < 0;
	}
	if (status)
		keep_files_close(&take->files);
	return status;
}

static void take_name(struct point_take *take)
{
	struct points *points = take_points(take);
	int status;

	take->state = TAKE_NAME;
	if (points->renaming)
		return;
	status = name_give(take);
	if (status) {
		take_fail(take, status, "giving it its name failed");
		return;
	}
	points->renaming = true;
	take->state = TAKE_NAMED;
	name_flush(take, take_named);
}

/* --- its content --- */

static void take_flushed(struct flush *flush, int result)
{
	struct point_take *take = member_of(flush, struct point_take, flush);

	fds_close(take);
	if (result < 0) {
		take_fail(take, result, "a flush failed");
		return;
	}
	take->state = take->info.kind == POINT_KEPT ? TAKE_HEADS : TAKE_NAME;
	points_step(take_points(take));
}

static void take_flush(struct point_take *take, enum take_state state)
{
	take->state = state;
	flush_init(&take->flush, take_points(take)->store->ring);
	for (unsigned i = 0; i < take->fd_count; i++)
		flush_add(&take->flush, take->fds[i]);
	flush_add(&take->flush, take_points(take)->serial_fd);
	flush_start(&take->flush, true, take_flushed);
}

static void take_cloned(struct clone *clone, int result)
{
	struct point_take *take = member_of(clone, struct point_take, clone);
	struct store *store = take_points(take)->store;

	store->stats.clone_ns = ring_now_ns() - take->start_ns;
	store->stats.clone_slice_ns = clone->pace.longest_ns;
	store->keep.clone = NULL;
	if (result < 0)
		take_fail(take, result, "cloning the heads failed");
	else
		take_flush(take, TAKE_FLUSH);
}

/* The heads are generation GENERATION, and no write is on its way to them. */
static bool heads_at(struct store *store, uint64_t generation)
{
	if (apply_busy(&store->apply))
		return false;
	for (unsigned i = 0; i < 2; i++) {
		const struct generation *g = &store->journal.generation[i];

		if ((g->state == GENERATION_COMMITTED || g->state == GENERATION_SEALED) &&
		    g->number <= generation)
			return false;
	}
	return true;
}

static void take_heads(struct point_take *take)
{
	struct store *store = take_points(take)->store;

	if (!heads_at(store, take->info.generation)) {
		store_apply_next(store); /* the last one may have failed */
		return;
	}
	if (take->info.kind == POINT_KEPT) {
		take_name(take);
		return;
	}
	take->state = TAKE_CLONE;
	take->start_ns = ring_now_ns();
	clone_start(&take->clone, take_cloned);
	store->keep.clone = &take->clone;
	take->holds = false;
	points_release(take_points(take));
}

/* --- its files --- */

static int take_file(struct point_take *take, const char *path, int flags)
{
	int fd = file_open(path, flags);

	if (fd >= 0)
		take->fds[take->fd_count++] = fd;
	return fd;
}

/* One of a disk's two, all holes; FROM is what it will be cloned from. */
static int blank_make(struct point_take *take, const char *dir, const char *name, uint64_t size,
		      int from)
{
	char path[FILE_PATH_MAX];
	int fd, status;

	snprintf(path, sizeof(path), "%.1200s/%s", dir, name);
	fd = take_file(take, path, O_RDWR | O_CREAT);
	status = fd < 0 ? fd : file_truncate(fd, size);
	if (!status && take->info.kind == POINT_CLONE)
		clone_add(&take->clone, from, fd, size);
	return status;
}

static int disk_make(struct point_take *take, unsigned disk)
{
	struct store *store = take_points(take)->store;
	const struct head *head = &store->heads.head[disk];
	const bool kept = take->info.kind == POINT_KEPT;
	const uint64_t size = take->info.disks[disk].size;
	const uint64_t table = record_disk_blocks(&store->shape, disk) * sizeof(uint64_t);
	char dir[FILE_PATH_MAX], path[FILE_PATH_MAX];
	int status;

	new_path(take_points(take), &take->info, dir, sizeof(dir));
	snprintf(path, sizeof(path), "%.1200s/%s", dir, take->info.disks[disk].name);
	status = file_make_dir(path);
	if (!status)
		status = blank_make(take, path, kept ? "kept.raw" : "head.raw", size, head->fd);
	if (!status)
		status = blank_make(take, path, kept ? "kept" : "sums", table, head->sums_fd);
	if (!status) {
		int fd = take_file(take, path, O_RDONLY | O_DIRECTORY);

		status = fd < 0 ? fd : 0;
	}
	return status;
}

static int json_make(struct point_take *take, const char *dir)
{
	char path[FILE_PATH_MAX];
	char *text = point_json_format(&take->info);
	int fd, status;

	if (!text)
		return -ENOMEM;
	snprintf(path, sizeof(path), "%.1200s/point.json", dir);
	fd = take_file(take, path, O_RDWR | O_CREAT);
	status = fd < 0 ? fd : file_write(fd, text, strlen(text), 0);
	free(text);
	return status;
}

static int take_make(struct point_take *take)
{
	struct points *points = take_points(take);
	char path[FILE_PATH_MAX];
	int status;

	new_path(points, &take->info, path, sizeof(path));
	clone_init(&take->clone, points->store->ring);
	status = points_serial_write(points);
	if (!status)
		status = file_make_dir(path);
	for (unsigned i = 0; i < take->info.disk_count && !status; i++)
		status = disk_make(take, i);
	if (!status)
		status = json_make(take, path);
	if (!status) {
		int fd = take_file(take, path, O_RDONLY | O_DIRECTORY);

		status = fd < 0 ? fd : 0;
	}
	return status;
}

/* --- its beginning --- */

static int take_check(struct points *points, const struct point_job *job, struct errinfo *err)
{
	struct store *store = points->store;
	int status = point_name_check(job->request.name, err);

	/* No point of a generation that store.json does not know of. */
	if (!status && store->json_unsure)
		status = store_json_update(store, err);
	if (status)
		return status;
	if (store->info.state != STORE_READY || job->generation == 0)
		return err_set(err, -EINVAL, "%s: there is no generation yet to take a point of",
			       store->dir);
	if (point_find(points->list, points->count, job->request.name))
		return err_set(err, -EEXIST, "%s has a point %s already", store->dir,
			       job->request.name);
	if (points->count >= POINTS_MAX || points->last_id >= UINT32_MAX)
		return err_set(err, -ENOSPC, "%s has %u points, more are not kept; delete some",
			       store->dir, points->count);
	return 0;
}

static void info_make(struct points *points, const struct point_job *job,
		      struct point_info *info)
{
	const struct store_spec *spec = &points->store->json.spec;

	memset(info, 0, sizeof(*info));
	info->id = (uint32_t)++points->last_id;
	memcpy(info->name, job->request.name, sizeof(info->name));
	/* While there is a kept point its successors have to be such, too: the newest
	 * one gets what the heads lose. */
	info->kind = points->clones && !points->store->keep.target.id ? POINT_CLONE : POINT_KEPT;
	info->automatic = job->request.automatic;
	info->temporary = job->request.temporary;
	info->quiesced = job->request.quiesced;
	info->generation = job->generation;
	info->time_us = job->time_us;
	info->taken_us = file_clock_us();
	info->disk_count = spec->disk_count;
	memcpy(info->disks, spec->disks, sizeof(info->disks));
}

static void take_begin(struct points *points)
{
	struct point_take *take = &points->take;
	struct point_jobs *jobs = &points->takes;
	struct errinfo error = {0};
	int status;

	take->job = jobs->job[0];
	memmove(jobs->job, jobs->job + 1, --jobs->count * sizeof(jobs->job[0]));
	take->state = TAKE_PREPARE;
	take->holds = true;
	take->info.generation = take->job.generation;
	status = take_check(points, &take->job, &error);
	if (status) {
		take_end(take, status, &error);
		return;
	}
	info_make(points, &take->job, &take->info);
	status = take_make(take);
	if (status) {
		take_fail(take, status, "its files cannot be made");
	} else if (take->info.kind == POINT_KEPT) {
		take_flush(take, TAKE_PREPARE);
	} else {
		take->state = TAKE_HEADS;
		take_heads(take);
	}
}

void take_step(struct points *points)
{
	struct point_take *take = &points->take;

	if (take->state == TAKE_IDLE && points->takes.count)
		take_begin(points);
	else if (take->state == TAKE_HEADS)
		take_heads(take);
	else if (take->state == TAKE_NAME)
		take_name(take);
}
