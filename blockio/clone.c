/* SPDX-License-Identifier: Apache-2.0
 *
 * clone: see clone.h.
 */
#include "clone.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
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
	clone->files[clone->count++] = (struct clone_file){from, to, size};
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

static int slice_clone(struct clone *clone)
{
	const struct clone_file *file = &clone->files[clone->file];
	uint64_t length;
	int64_t start_ns;
	int status;

	clone->offset = hole_skip(file, clone->offset);
	length = pace_slice(&clone->pace, file->from, clone->offset, file->size - clone->offset,
			    false);
	if (length) {
		start_ns = ring_now_ns();
		status = file_clone(file->to, file->from, clone->offset, length);
		pace_adapt(&clone->pace, ring_now_ns() - start_ns);
		if (status)
			return status;
	}
	clone->offset += length;
	if (clone->offset == file->size) {
		clone->file++;
		clone->offset = 0;
	}
	return 0;
}

static void clone_step(struct ring_op *op, int result)
{
	struct clone *clone = member_of(op, struct clone, op);
	int status = clone->file < clone->count ? slice_clone(clone) : 0;

	if (status || clone->file == clone->count)
		clone->done(clone, status);
	else
		ring_timer(clone->ring, &clone->op, 0);
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
