/* SPDX-License-Identifier: Apache-2.0 */
#include "rollback_copy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "file.h"
#include "member.h"

/* Half of the pool's buffers are left to the generations that go on meanwhile. */
#define ROLLBACK_DEPTH 8

static void copy_over(struct rollback_copy *copy, int status, const char *what)
{
	struct errinfo err = {0};

	if (status)
		err_set(&err, status, "%s: %s: %s", copy->path, what, strerror(-status));
	outcome_set(&copy->outcome, status, &err);
}

int rollback_copy_measure(struct ring *ring, const char *dir, const struct point_info *point,
			  const char *disk, uint64_t *bytes, struct errinfo *err)
{
	struct image *image;
	int rc = image_open(&image, ring, dir, point, disk, err);

	if (rc)
		return rc;
	rc = restore_measure(image, bytes, err);
	image_close(image);
	return rc;
}

/* --- as a copy --- */

static int copy_begin(struct rollback_copy *copy, struct errinfo *err)
{
	struct restore_request request = {.image = copy->image, .pool = copy->pool,
					  .depth = ROLLBACK_DEPTH};
	int rc = target_open_raw(&copy->target, pool_ring(copy->pool), copy->path,
				 image_size(copy->image), TARGET_NEW, err);

	if (rc)
		return rc;
	request.target = copy->target;
	return restore_start(&copy->restore, &request, outcome_set, &copy->outcome, err);
}

/* --- as a clone --- */

static int drop_block(struct copy_sink *sink, unsigned disk, uint64_t offset, uint32_t length,
		      struct buf *buf, struct errinfo *err)
{
	pool_put(member_of(sink, struct rollback_copy, sink)->pool, buf);
	return 0;
}

static void files_close(struct rollback_copy *copy)
{
	file_close(copy->from);
	file_close(copy->to);
	copy->from = copy->to = -1;
}

static void clone_flushed(struct ring_op *op, int result)
{
	struct rollback_copy *copy = member_of(op, struct rollback_copy, flush);
	struct errinfo err = {0};
	int rc;

	files_close(copy);
	if (result < 0 || copy->cancelled) {
		copy_over(copy, result < 0 ? result : -ECANCELED, "cannot flush");
		return;
	}
	copy->sink.data = drop_block;
	rc = imagecopy_start(&copy->check, copy->image, copy->pool, 0, ROLLBACK_DEPTH, &copy->sink,
			     outcome_set, &copy->outcome, &err);
	if (rc)
		outcome_set(&copy->outcome, rc, &err);
}

static void clone_done(struct clone *clone, int result)
{
	struct rollback_copy *copy = member_of(clone, struct rollback_copy, clone);
	struct errinfo err = {0};
	int rc;

	if (!result && !copy->cancelled) {
		copy->flush.done = clone_flushed;
		ring_sync(clone->ring, &copy->flush, copy->to);
		return;
	}
	files_close(copy);
	/* Another file system below promoted/, say. */
	if (!copy->cancelled &&
	    (result == -EOPNOTSUPP || result == -EXDEV || result == -EINVAL)) {
		file_remove(copy->path);
		rc = copy_begin(copy, &err);
		if (rc)
			outcome_set(&copy->outcome, rc, &err);
		return;
	}
	copy_over(copy, copy->cancelled ? -ECANCELED : result, "cannot share blocks");
}

static int clone_begin(struct rollback_copy *copy, const char *head, uint64_t size,
		       struct errinfo *err)
{
	int status = 0;

	copy->from = file_open(head, O_RDONLY);
	if (copy->from < 0)
		return err_set(err, copy->from, "%s: %s", head, strerror(-copy->from));
	copy->to = file_open(copy->path, O_RDWR | O_CREAT | O_EXCL);
	status = copy->to < 0 ? copy->to : file_truncate(copy->to, size);
	if (status)
		return err_set(err, status, "%s: cannot make it %llu bytes: %s", copy->path,
			       (unsigned long long)size, strerror(-status));
	clone_init(&copy->clone, pool_ring(copy->pool));
	clone_add(&copy->clone, copy->from, copy->to, size);
	clone_start(&copy->clone, clone_done);
	return 0;
}

int rollback_copy_start(struct rollback_copy *copy, struct pool *pool, const char *dir,
			const struct point_info *point, const char *disk, uint64_t size,
			const char *path, struct errinfo *err)
{
	char head[FILE_PATH_MAX];
	int rc;

	memset(copy, 0, sizeof(*copy));
	copy->pool = pool;
	copy->from = copy->to = -1;
	snprintf(copy->path, sizeof(copy->path), "%s", path);
	rc = image_open(&copy->image, pool_ring(pool), dir, point, disk, err);
	if (!rc && image_size(copy->image) != size)
		rc = err_set(err, -ESTALE, "%s has %llu bytes, the guest's disk %llu",
			     image_label(copy->image),
			     (unsigned long long)image_size(copy->image),
			     (unsigned long long)size);
	if (rc)
		return rc;
	if (point->kind != POINT_CLONE)
		return copy_begin(copy, err);
	point_head_path(dir, point->id, disk, head, sizeof(head));
	return clone_begin(copy, head, size, err);
}

void rollback_copy_cancel(struct rollback_copy *copy)
{
	copy->cancelled = true;
	if (copy->outcome.known)
		return;
	if (copy->restore)
		restore_cancel(copy->restore);
	if (copy->check)
		imagecopy_cancel(copy->check);
}

void rollback_copy_release(struct rollback_copy *copy)
{
	if (copy->restore)
		copy->data_bytes = restore_progress(copy->restore)->data_bytes;
	else if (copy->check)
		copy->data_bytes = imagecopy_progress(copy->check)->data_bytes;
	restore_free(copy->restore);
	imagecopy_free(copy->check);
	target_close(copy->target);
	image_close(copy->image);
	files_close(copy);
	copy->restore = NULL;
	copy->check = NULL;
	copy->target = NULL;
	copy->image = NULL;
}
