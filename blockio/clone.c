/* SPDX-License-Identifier: Apache-2.0
 *
 * clone: see clone.h.
 */
#include "clone.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "member.h"

void clone_init(struct clone *clone, struct ring *ring)
{
	memset(clone, 0, sizeof(*clone));
	clone->ring = ring;
	pace_init(&clone->pace);
}

void clone_add(struct clone *clone, int from, int to, uint64_t size)
{
	assert(clone->count < CLONE_FILES_MAX);
	clone->files[clone->count++] = (struct clone_file){from, to, size, NULL};
}

/* The end of the file, or where its next data begins. */
static uint64_t hole_skip(const struct clone_file *file, uint64_t offset)
{
	int64_t data = file_data_next(file->from, offset);

	if (data == -ENXIO || (data >= 0 && (uint64_t)data >= file->size))
		return file->size;
	if (data < 0)
		return offset; /* it does not tell: the hole is cloned too */
	data -= data % CLONE_ALIGN;
	return (uint64_t)data > offset ? (uint64_t)data : offset;
}

static bool is_ahead(const struct clone_file *file, uint64_t offset)
{
	uint64_t unit = offset / CLONE_ALIGN;

	return file->ahead && file->ahead[unit / 64] >> unit % 64 & 1;
}

/* The end of what was, or was not, cloned ahead from OFFSET on, at most END. */
static uint64_t ahead_end(const struct clone_file *file, uint64_t offset, uint64_t end, bool ahead)
{
	while (offset < end && is_ahead(file, offset) == ahead)
		offset += CLONE_ALIGN;
	return offset < end ? offset : end;
}

/* From OFFSET on, up to END or less: *LENGTH. */
static int range_clone(struct clone *clone, const struct clone_file *file, uint64_t offset,
		       uint64_t end, uint64_t *length)
{
	int64_t start_ns;
	int status;

	*length = pace_slice(&clone->pace, file->from, offset, end - offset, false);
	*length = ahead_end(file, offset, offset + *length, false) - offset;
	start_ns = ring_now_ns();
	status = file_clone(file->to, file->from, offset, *length);
	pace_adapt(&clone->pace, ring_now_ns() - start_ns);
	return status;
}

static int slice_clone(struct clone *clone)
{
	const struct clone_file *file = &clone->files[clone->file];
	uint64_t length = 0;
	int status = 0;

	clone->offset = ahead_end(file, clone->offset, file->size, true);
	clone->offset = hole_skip(file, clone->offset);
	if (clone->offset < file->size && !is_ahead(file, clone->offset))
		status = range_clone(clone, file, clone->offset, file->size, &length);
	if (status)
		return status;
	clone->offset += length;
	if (clone->offset == file->size) {
		clone->file++;
		clone->offset = 0;
	}
	return 0;
}

static void clone_end(struct clone *clone, int status)
{
	for (unsigned i = 0; i < clone->count; i++) {
		free(clone->files[i].ahead);
		clone->files[i].ahead = NULL;
	}
	clone->done(clone, status);
}

static void clone_step(struct ring_op *op, int result)
{
	struct clone *clone = member_of(op, struct clone, op);
	int64_t start_ns = ring_now_ns(), now_ns;

	if (!clone->status && clone->file < clone->count)
		clone->status = slice_clone(clone);
	if (clone->status || clone->file == clone->count) {
		clone_end(clone, clone->status);
		return;
	}
	/* As long as the slice took: a generation has dozens of steps, and would else wait for
	 * a slice before each. */
	now_ns = ring_now_ns();
	ring_timer(clone->ring, &clone->op, now_ns + (now_ns - start_ns));
}

/* --- before its turn --- */

static int ahead_mark(struct clone_file *file, uint64_t offset, uint64_t length)
{
	uint64_t units = (file->size + CLONE_ALIGN - 1) / CLONE_ALIGN;

	if (!file->ahead)
		file->ahead = calloc((units + 63) / 64, sizeof(uint64_t));
	if (!file->ahead)
		return -ENOMEM;
	for (uint64_t at = offset; at < offset + length; at += CLONE_ALIGN)
		file->ahead[at / CLONE_ALIGN / 64] |= UINT64_C(1) << at / CLONE_ALIGN % 64;
	return 0;
}

bool clone_ahead(struct clone *clone, int from, uint64_t offset, uint64_t length)
{
	struct clone_file *file = clone->files;
	uint64_t end = (offset + length + CLONE_ALIGN - 1) / CLONE_ALIGN * CLONE_ALIGN;
	uint64_t at = offset / CLONE_ALIGN * CLONE_ALIGN, done;

	for (; file->from != from; file++)
		assert(file < clone->files + clone->count - 1);
	if (clone->status || file < clone->files + clone->file)
		return true;
	if (file == clone->files + clone->file && at < clone->offset)
		at = clone->offset;
	end = end < file->size ? end : file->size;
	at = at < end ? ahead_end(file, at, end, true) : end;
	if (at == end)
		return true;
	clone->status = range_clone(clone, file, at, end, &done);
	if (!clone->status)
		clone->status = ahead_mark(file, at, done);
	return clone->status || at + done == end;
}

void clone_start(struct clone *clone, void (*done)(struct clone *clone, int result))
{
	clone->done = done;
	clone->op.done = clone_step;
	ring_timer(clone->ring, &clone->op, 0);
}

bool clone_possible(const char *dir)
{
	char path[FILE_PATH_MAX];
	int from, to, status = -EIO;

	snprintf(path, sizeof(path), "%s/store.json", dir);
	from = file_open(path, O_RDONLY);
	snprintf(path, sizeof(path), "%s/points/.probe", dir);
	to = file_open(path, O_RDWR | O_CREAT | O_TRUNC);
	if (from >= 0 && to >= 0)
		status = file_clone(to, from, 0, 0);
	file_close(from);
	file_close(to);
	file_remove(path);
	return status == 0;
}
