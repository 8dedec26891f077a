/* SPDX-License-Identifier: Apache-2.0
 *
 * The file or device that a target is in: opening it without doing harm, and
 * transfers that O_DIRECT cannot do whole.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "member.h"
#include "target_private.h"

#define DIRECT_BYTES 4096u /* what O_DIRECT wants at most */

static int open_failed(const char *path, int status, struct errinfo *err)
{
	if (status == -EEXIST)
		return err_set(err, status, "%s exists already", path);
	if (status == -EISDIR)
		return err_set(err, status, "%s is a directory", path);
	if (status == -EBUSY)
		return err_set(err, status, "%s is in use (mounted, or part of another device)",
			       path);
	return err_set(err, status, "%s: cannot open for writing: %s", path, strerror(-status));
}

/* What is there may be used: of a kind that can be written, free, and long enough. */
static int file_check(struct target_file *file, const char *path, uint64_t size, bool has_size,
		      struct errinfo *err)
{
	int status = file_identify(file->fd, &file->identity);

	if (status)
		return open_failed(path, status, err);
	if (file->identity.kind != FILE_REGULAR && file->identity.kind != FILE_BLOCK_DEVICE)
		return err_set(err, -EINVAL, "%s is neither a file nor a block device", path);
	status = file_lock_image(file->fd);
	if (status == -EBUSY)
		return err_set(err, status, "%s is in use: a QEMU or another restore has it open",
			       path);
	if (status)
		return err_set(err, status, "%s: cannot lock: %s", path, strerror(-status));
	if (file->identity.kind == FILE_BLOCK_DEVICE && file->identity.size < size)
		return err_set(err, -EFBIG, "%s has %llu bytes, %llu too few for the disk's %llu",
			       path, (unsigned long long)file->identity.size,
			       (unsigned long long)(size - file->identity.size),
			       (unsigned long long)size);
	if (file->identity.kind == FILE_REGULAR && has_size && file->identity.size != size)
		return err_set(err, -EFBIG, "%s has %llu bytes, the disk %llu: it cannot be "
			       "written in place",
			       path, (unsigned long long)file->identity.size,
			       (unsigned long long)size);
	return 0;
}

static int file_blank(struct target_file *file, const char *path, uint64_t size,
		      struct errinfo *err)
{
	int status = file_truncate(file->fd, 0);

	if (!status)
		status = file_truncate(file->fd, size);
	if (status)
		return err_set(err, status, "%s: cannot make it %llu bytes: %s", path,
			       (unsigned long long)size, strerror(-status));
	return 0;
}

/* Direct writes fail over pages that somebody has just written through the cache.
 * An error of what was written before is told only once and not ours: what came of
 * those writes will be read. */
static int file_settle(struct target_file *file, const char *path, struct errinfo *err)
{
	int status = file_sync(file->fd) ? file_sync(file->fd) : 0;

	if (status)
		return err_set(err, status, "%s: cannot flush what it has: %s", path,
			       strerror(-status));
	file_forget(file->fd, 0, 0);
	return 0;
}

int target_file_open(struct target_file *file, struct ring *ring, const char *path, uint64_t size,
		     enum target_begin begin, bool has_size, struct errinfo *err)
{
	int flags = O_RDWR | O_DIRECT;
	int status;

	file->ring = ring;
	file->tail_fd = -1;
	if (begin == TARGET_NEW)
		flags |= O_CREAT | O_EXCL;
	else if (!file_identify_path(path, &file->identity) &&
		 file->identity.kind == FILE_BLOCK_DEVICE)
		flags |= O_EXCL; /* not while it is mounted */
	file->fd = file_open(path, flags);
	if (file->fd < 0)
		return open_failed(path, file->fd, err);
	status = file_check(file, path, size, has_size && begin == TARGET_UPDATE, err);
	if (!status && begin != TARGET_UPDATE && file->identity.kind == FILE_REGULAR)
		status = file_blank(file, path, size, err);
	else if (!status)
		status = file_settle(file, path, err);
	if (!status) {
		file->tail_fd = file_open(path, O_RDWR);
		if (file->tail_fd < 0)
			status = open_failed(path, file->tail_fd, err);
	}
	if (status && begin == TARGET_NEW)
		file_remove(path);
	if (status)
		return status;
	file->cached = !file_is_direct(file->fd);
	ring_register_file(ring, file->fd);
	return 0;
}

void target_file_close(struct target_file *file)
{
	if (file->fd >= 0) {
		file_unlock_image(file->fd);
		ring_unregister_file(file->ring, file->fd);
	}
	file_close(file->fd);
	file_close(file->tail_fd);
}

/* --- transfers --- */

static void transfer_step(struct target_op *op);

static void transfer_done(struct ring_op *ring_op, int result)
{
	struct target_op *op = member_of(ring_op, struct target_op, ring);

	if (result < 0) {
		op->done(op, result);
		return;
	}
	/* The file may end before, where nothing was written yet. */
	if (!op->writes && (uint32_t)result < op->step)
		memset(op->data + op->progress + result, 0, op->step - (uint32_t)result);
	op->progress += op->step;
	if (op->progress < op->length)
		transfer_step(op);
	else
		op->done(op, 0);
}

/* What O_DIRECT can do, then what is left at the end of the disk. */
static void transfer_step(struct target_op *op)
{
	uint32_t left = (uint32_t)(op->length - op->progress);
	uint32_t direct = left - left % DIRECT_BYTES;
	int fd = direct ? op->file->fd : op->file->tail_fd;

	op->step = direct ? direct : left;
	op->ring.done = transfer_done;
	if (op->writes)
		ring_write(op->file->ring, &op->ring, fd, op->data + op->progress,
			   (uint32_t)op->step, op->place + op->progress);
	else
		ring_read(op->file->ring, &op->ring, fd, op->data + op->progress,
			  (uint32_t)op->step, op->place + op->progress);
}

void target_file_transfer(struct target_file *file, struct target_op *op, bool write,
			  uint64_t place)
{
	op->file = file;
	op->place = place;
	op->writes = write;
	transfer_step(op);
}

/* --- zeros --- */

#define PUNCH (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)
#define ZERO_RANGE (FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE)
#define WRITTEN_ZEROS 65536u /* at a time, where the file system can do neither */

static _Alignas(DIRECT_BYTES) uint8_t zeros[WRITTEN_ZEROS];

static void zeros_step(struct target_op *op);

static void zeros_written(struct ring_op *ring_op, int result)
{
	struct target_op *op = member_of(ring_op, struct target_op, ring);

	op->progress += op->step;
	if (result < 0 || op->progress == op->length)
		op->done(op, result < 0 ? result : 0);
	else
		zeros_step(op);
}

static void zeros_step(struct target_op *op)
{
	uint64_t left = op->length - op->progress;
	uint64_t direct = left - left % DIRECT_BYTES;

	op->step = direct ? direct : left;
	if (op->step > WRITTEN_ZEROS)
		op->step = WRITTEN_ZEROS;
	op->ring.done = zeros_written;
	ring_write(op->file->ring, &op->ring, direct ? op->file->fd : op->file->tail_fd, zeros,
		   (uint32_t)op->step, op->place + op->progress);
}

static void range_zeroed(struct ring_op *ring_op, int result)
{
	struct target_op *op = member_of(ring_op, struct target_op, ring);

	if (result != -EOPNOTSUPP && result != -EINVAL && result != -ENODEV) {
		op->done(op, result < 0 ? result : 0);
	} else if (op->mode == PUNCH) {
		op->mode = ZERO_RANGE;
		ring_fallocate(op->file->ring, ring_op, op->file->fd, op->mode, op->place,
			       op->length);
	} else {
		zeros_step(op);
	}
}

void target_file_zero(struct target_file *file, struct target_op *op, uint64_t place)
{
	op->file = file;
	op->place = place;
	op->mode = PUNCH; /* a hole, or a discard that promises zeros */
	op->ring.done = range_zeroed;
	ring_fallocate(file->ring, &op->ring, file->fd, op->mode, place, op->length);
}

static void flushed(struct ring_op *ring_op, int result)
{
	struct target_op *op = member_of(ring_op, struct target_op, ring);

	if (op->file->cached)
		file_forget(op->file->fd, 0, 0);
	op->done(op, result < 0 ? result : 0);
}

void target_file_flush(struct target_file *file, struct target_op *op)
{
	op->file = file;
	op->ring.done = flushed;
	ring_flush(file->ring, &op->ring, file->fd);
}
