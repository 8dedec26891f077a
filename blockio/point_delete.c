/* SPDX-License-Identifier: Apache-2.0
 *
 * point_delete: a point loses its name first, points/ID becomes points/.gone-ID,
 * then its files.  A kept point gives what an older one needs to that one before.
 *
 *   IDLE --> MOVE --> NAME --> REST --> NAMED --> TRIM --> IDLE
 *              (no older kept one: NAME --> NAMED)
 *
 * MOVE may take long, and generations are applied meanwhile.  If it is the newest,
 * which receives blocks, the apply then waits from NAME to NAMED, in which only
 * what came since is moved.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "member.h"
#include "store_private.h"

static struct points *delete_points(struct point_delete *delete)
{
	return member_of(delete, struct points, delete);
}

static void gone_path(struct point_delete *delete, char *path, size_t size)
{
	snprintf(path, size, "%s/points/.gone-%08u", delete_points(delete)->store->dir,
		 delete->info.id);
}

static void delete_end(struct point_delete *delete, int status, const struct errinfo *error)
{
	struct points *points = delete_points(delete);
	const struct point_job job = delete->job;

	file_close(delete->lock_fd);
	delete->lock_fd = -1;
	keep_files_close(&delete->from);
	keep_files_close(&delete->to);
	delete->state = DELETE_IDLE;
	if (delete->holds) {
		delete->holds = false;
		points->renaming = false;
		points_release(points);
	}
	points_step(points);
	job.done(job.arg, status, error);
}

static void delete_fail(struct point_delete *delete, int status, const char *what)
{
	struct errinfo error = {0};

	err_set(&error, status, "%s: the point %s (%u) stays: %s: %s%s",
		delete_points(delete)->store->dir, delete->info.name, delete->info.id, what,
		strerror(-status),
		status == -ENOSPC ? "; make room on the file system of the replica" : "");
	delete_end(delete, status, &error);
}

/* --- its files --- */

static unsigned trim_files(const struct point_delete *delete)
{
	return delete->info.damaged ? 0 : 2 * delete->info.disk_count;
}

static int trim_open(struct point_delete *delete)
{
	const char *disk = delete->info.disks[delete->file / 2].name;
	const char *names[2][2] = {{"head.raw", "sums"}, {"kept.raw", "kept"}};
	const char *name = names[delete->info.kind == POINT_KEPT][delete->file % 2];
	char dir[FILE_PATH_MAX], path[FILE_PATH_MAX];

	gone_path(delete, dir, sizeof(dir));
	snprintf(path, sizeof(path), "%.1150s/%s/%s", dir, disk, name);
	return file_open(path, O_RDWR);
}

/* Of a large file a slice at a time, from its end. */
static int trim_slice(struct point_delete *delete)
{
	int64_t size = file_size(delete->fd), start_ns = ring_now_ns();
	uint64_t left = size < 0 ? 0 : (uint64_t)size;
	int status;

	left -= pace_slice(&delete->pace, delete->fd, left, left, true);
	status = file_truncate(delete->fd, left);
	pace_adapt(&delete->pace, ring_now_ns() - start_ns);
	if (status || left)
		return status;
	file_close(delete->fd);
	delete->fd = -1;
	delete->file++;
	return 0;
}

/* Whatever fails here, the point is gone, and the next open removes the rest. */
static void trim_step(struct ring_op *op, int result)
{
	struct point_delete *delete = member_of(op, struct point_delete, op);
	const struct errinfo none = {0};
	char path[FILE_PATH_MAX];
	int status = 0;

	if (delete->fd < 0 && delete->file < trim_files(delete)) {
		delete->fd = trim_open(delete);
		status = delete->fd < 0 ? delete->fd : 0;
	}
	if (!status && delete->fd >= 0)
		status = trim_slice(delete);
	if (!status && delete->file < trim_files(delete)) {
		ring_timer(delete_points(delete)->store->ring, &delete->op, 0);
		return;
	}
	file_close(delete->fd);
	delete->fd = -1;
	gone_path(delete, path, sizeof(path));
	point_tree_remove(path);
	delete_end(delete, 0, &none);
}

static void delete_trim(struct point_delete *delete)
{
	delete->state = DELETE_TRIM;
	delete->file = 0;
	delete->fd = -1;
	pace_init(&delete->pace);
	delete->op.done = trim_step;
	ring_timer(delete_points(delete)->store->ring, &delete->op, 0);
}

/* --- its name --- */

static void list_remove(struct points *points, uint32_t id)
{
	for (unsigned i = 0; i < points->count; i++) {
		if (points->list[i].id != id)
			continue;
		points->count--;
		memmove(&points->list[i], &points->list[i + 1],
			(points->count - i) * sizeof(points->list[0]));
		return;
	}
}

/* It has no name any more.  Whether that stays so without the flush, which failed
 * then, matters to a kept point: nothing more is applied before a flush succeeded. */
static void delete_named(struct flush *flush, int result)
{
	struct point_delete *delete = member_of(flush, struct point_delete, flush);
	struct points *points = delete_points(delete);
	struct keep *keep = &points->store->keep;
	struct errinfo error = {0};

	list_remove(points, delete->info.id);
	if (keep->target.id == delete->info.id) {
		keep_target_set(keep, delete->to.id ? &delete->to : NULL);
		points->clones = !keep->target.id && clone_possible(points->store->dir);
	}
	points_changed(points);
	points->renaming = false;
	delete->holds = false;
	if (result < 0) {
		keep->names_unsure |= delete->info.kind == POINT_KEPT;
		points_release(points);
		err_set(&error, result,
			"%s: the point %s (%u) was deleted, but may be there again after a power "
			"cut: flushing the directory failed: %s",
			points->store->dir, delete->info.name, delete->info.id, strerror(-result));
		delete_end(delete, result, &error);
		return;
	}
	points_release(points);
	delete_trim(delete);
	points_step(points);
}

/* Where it is.  One that is damaged has another name since the store was opened. */
static void name_path(const struct point_delete *delete, const char *dir, char *path, size_t size)
{
	if (delete->info.damaged)
		point_damaged_path(dir, delete->info.id, path, size);
	else
		point_dir_path(dir, delete->info.id, path, size);
}

static void name_take(struct point_delete *delete)
{
	struct points *points = delete_points(delete);
	char path[FILE_PATH_MAX], gone[FILE_PATH_MAX];
	int status;

	name_path(delete, points->store->dir, path, sizeof(path));
	gone_path(delete, gone, sizeof(gone));
	status = file_rename(path, gone);
	if (status) {
		delete_fail(delete, status, "renaming it failed");
		return;
	}
	delete->state = DELETE_NAMED;
	flush_init(&delete->flush, points->store->ring);
	flush_add(&delete->flush, points->dir_fd);
	flush_start(&delete->flush, true, delete_named);
}

static void rest_moved(struct keep_move *move, int result)
{
	struct point_delete *delete = member_of(move, struct point_delete, move);

	if (result < 0) {
		delete_fail(delete, result, "what older points need cannot be moved");
		return;
	}
	name_take(delete);
}

/* From here until it has no name nothing is applied and no other point comes or
 * goes. */
static void delete_name(struct point_delete *delete)
{
	struct points *points = delete_points(delete);
	struct store *store = points->store;

	delete->state = DELETE_NAME;
	if (points->renaming && !delete->holds)
		return;
	points->renaming = true;
	delete->holds = true;
	if (apply_busy(&store->apply))
		return;
	if (!delete->to.id) {
		name_take(delete);
		return;
	}
	delete->state = DELETE_REST;
	keep_move_start(&delete->move, store->ring, store->pool, &delete->from, &delete->to,
			true, rest_moved);
}

/* --- its blocks --- */

static void moved(struct keep_move *move, int result)
{
	struct point_delete *delete = member_of(move, struct point_delete, move);

	if (result < 0) {
		delete_fail(delete, result, "what older points need cannot be moved");
		return;
	}
	delete_name(delete);
}

static const struct point_info *older_kept(const struct points *points, uint32_t id)
{
	const struct point_info *older = NULL;

	for (unsigned i = 0; i < points->count && points->list[i].id < id; i++)
		if (points->list[i].kind == POINT_KEPT && !points->list[i].damaged)
			older = &points->list[i];
	return older;
}

/* The files of it and of the older one, which takes over what only it keeps. */
static int move_open(struct point_delete *delete, const struct point_info *older,
		     struct errinfo *err)
{
	struct store *store = delete_points(delete)->store;
	const uint32_t block_bytes = store->json.spec.block_bytes;
	char path[FILE_PATH_MAX];
	int status;

	point_dir_path(store->dir, delete->info.id, path, sizeof(path));
	status = keep_files_open(&delete->from, path, &delete->info, block_bytes, false, err);
	if (status)
		return status;
	point_dir_path(store->dir, older->id, path, sizeof(path));
	return keep_files_open(&delete->to, path, older, block_bytes, true, err);
}

/* --- its beginning --- */

static int delete_check(struct point_delete *delete, struct errinfo *err)
{
	struct points *points = delete_points(delete);
	const struct point_info *info = points_by_id(points, delete->job.id);
	char path[FILE_PATH_MAX];
	int status;

	if (!info)
		return err_set(err, -ENOENT, "%s has no point %u", points->store->dir,
			       delete->job.id);
	delete->info = *info;
	if (info->damaged)
		return 0; /* nobody reads it */
	point_dir_path(points->store->dir, info->id, path, sizeof(path));
	strncat(path, "/point.json", sizeof(path) - strlen(path) - 1);
	delete->lock_fd = file_open(path, O_RDONLY);
	status = delete->lock_fd < 0 ? delete->lock_fd : file_lock(delete->lock_fd);
	if (status)
		return err_set(err, status, "%s: the point %s (%u) cannot be deleted: %s",
			       points->store->dir, info->name, info->id,
			       status == -EBUSY ? "it is being read" : strerror(-status));
	return 0;
}

static void delete_begin(struct points *points)
{
	struct point_delete *delete = &points->delete;
	struct point_jobs *jobs = &points->deletes;
	const struct point_info *older;
	struct errinfo error = {0};
	int status;

	delete->job = jobs->job[0];
	memmove(jobs->job, jobs->job + 1, --jobs->count * sizeof(jobs->job[0]));
	delete->state = DELETE_MOVE;
	delete->lock_fd = -1;
	status = delete_check(delete, &error);
	older = status || delete->info.kind == POINT_CLONE || delete->info.damaged
			? NULL
			: older_kept(points, delete->info.id);
	if (!status && older)
		status = move_open(delete, older, &error);
	if (status)
		delete_end(delete, status, &error);
	else if (older)
		keep_move_start(&delete->move, points->store->ring, points->store->pool,
				&delete->from, &delete->to, false, moved);
	else
		delete_name(delete);
}

void delete_step(struct points *points)
{
	struct point_delete *delete = &points->delete;

	if (delete->state == DELETE_IDLE && points->deletes.count)
		delete_begin(points);
	else if (delete->state == DELETE_NAME)
		delete_name(delete);
}
