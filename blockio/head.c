/* SPDX-License-Identifier: Apache-2.0
 *
 * head: see head.h.
 *
 * One write goes through: each run of blocks with content is written, each run
 * of zero blocks is punched out, at last the sums of all of them.  No order
 * between them matters: until the flush the journal has it all.
 */
#include "head.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "member.h"
#include "file.h"
#include "sum.h"

#define DIRECT_BYTES 4096u /* what O_DIRECT wants at most */
#define PUNCH (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)

static void write_step(struct head_write *write);

void store_head_path(const char *dir, const char *disk, char *path, size_t size)
{
	snprintf(path, size, "%s/disks/%s/head.raw", dir, disk);
}

void head_sums_path(const char *dir, const char *disk, char *path, size_t size)
{
	snprintf(path, size, "%s/disks/%s/sums", dir, disk);
}

/* --- one write --- */

static void write_end(struct head_write *write, int status, const char *what)
{
	struct heads *heads = write->heads;
	const char *disk = heads->spec->disks[write->disk].name;

	if (status < 0)
		err_set(&write->error, status,
			"%s/disks/%s: %s of %llu blocks at block %llu failed: %s%s", heads->dir, disk,
			what, (unsigned long long)write->count, (unsigned long long)write->block,
			strerror(-status),
			status == -ENOSPC ? "; make room on the file system of the replica" : "");
	write->done(write, status);
}

static void sums_written(struct ring_op *op, int result)
{
	struct head_write *write = member_of(op, struct head_write, op);

	write_end(write, result < 0 ? result : 0, "writing the sums");
}

static void sums_write(struct head_write *write)
{
	struct heads *heads = write->heads;
	int fd = heads->head[write->disk].sums_fd;

	write->op.done = sums_written;
	if (write->sums)
		ring_write(heads->ring, &write->op, fd, write->sums,
			   (uint32_t)(write->count * sizeof(uint64_t)),
			   write->block * sizeof(uint64_t));
	else
		ring_fallocate(heads->ring, &write->op, fd, PUNCH, write->block * sizeof(uint64_t),
			       write->count * sizeof(uint64_t));
}

static void step_written(struct ring_op *op, int result);

static const uint8_t *step_data(const struct head_write *write)
{
	return write->data + write->position * write->heads->shape->block_bytes;
}

static void step_write(struct head_write *write, uint64_t offset, uint32_t length)
{
	struct head *head = &write->heads->head[write->disk];
	uint32_t direct = length & ~(DIRECT_BYTES - 1);

	write->tail = length - direct;
	if (direct) {
		ring_write(write->heads->ring, &write->op, head->fd, step_data(write), direct,
			   offset);
		return;
	}
	ring_write(write->heads->ring, &write->op, head->tail_fd, step_data(write), write->tail,
		   offset);
	write->tail = 0;
}

static void step_written(struct ring_op *op, int result)
{
	struct head_write *write = member_of(op, struct head_write, op);
	uint64_t offset = (write->block + write->position) * write->heads->shape->block_bytes;

	if (result < 0) {
		write_end(write, result, "writing");
		return;
	}
	if (write->tail) {
		uint32_t tail = write->tail;

		write->tail = 0;
		ring_write(write->heads->ring, &write->op, write->heads->head[write->disk].tail_fd,
			   step_data(write) + result, tail, offset + (uint32_t)result);
		return;
	}
	write->position += write->step;
	write_step(write);
}

/* The next run of blocks that are all content or all zeros. */
static void write_step(struct head_write *write)
{
	const struct record_shape *shape = write->heads->shape;
	struct head *head = &write->heads->head[write->disk];
	uint64_t end = write->position;
	uint64_t offset, length;
	bool zero;

	if (write->position == write->count) {
		sums_write(write);
		return;
	}
	zero = !write->sums || write->sums[write->position] == SUM_ZERO;
	if (!write->sums)
		end = write->count;
	while (end < write->count && (write->sums[end] == SUM_ZERO) == zero)
		end++;
	write->step = end - write->position;
	offset = (write->block + write->position) * shape->block_bytes;
	length = record_blocks_bytes(shape, write->disk, write->block + write->position,
				     write->step);
	write->op.done = step_written;
	write->tail = 0;
	if (zero)
		ring_fallocate(write->heads->ring, &write->op, head->fd, PUNCH, offset, length);
	else
		step_write(write, offset, (uint32_t)length);
}

void head_write_start(struct head_write *write)
{
	assert(write->count > 0 && !write->data == !write->sums);
	assert(write->block + write->count <=
	       record_disk_blocks(write->heads->shape, write->disk));
	write->heads->head[write->disk].dirty = true;
	write->position = 0;
	err_clear(&write->error);
	write_step(write);
}

/* --- the flush of all --- */

static void flush_put(struct heads *heads)
{
	struct errinfo error = heads->flush_error;

	if (--heads->flushing)
		return;
	for (unsigned i = 0; !error.code && i < heads->spec->disk_count; i++)
		heads->head[i].dirty = false;
	heads->flushed(heads->arg, error.code, &error);
}

static void flush_result(struct heads *heads, unsigned disk, int result)
{
	if (result < 0)
		err_set(&heads->flush_error, result, "%s/disks/%s: the flush failed: %s",
			heads->dir, heads->spec->disks[disk].name, strerror(-result));
	flush_put(heads);
}

static void head_flushed(struct ring_op *op, int result)
{
	struct head *head = member_of(op, struct head, flush[0]);

	flush_result(head->heads, (unsigned)(head - head->heads->head), result);
}

static void sums_flushed(struct ring_op *op, int result)
{
	struct head *head = member_of(op, struct head, flush[1]);

	flush_result(head->heads, (unsigned)(head - head->heads->head), result);
}

static void nothing_flushed(struct ring_op *op, int result)
{
	flush_put(member_of(op, struct heads, now));
}

void heads_flush(struct heads *heads,
		 void (*done)(void *arg, int status, const struct errinfo *error), void *arg)
{
	assert(!heads->flushing);
	err_clear(&heads->flush_error);
	heads->flushed = done;
	heads->arg = arg;
	for (unsigned i = 0; i < heads->spec->disk_count; i++) {
		struct head *head = &heads->head[i];

		if (!head->dirty)
			continue;
		heads->flushing += 2;
		head->flush[0].done = head_flushed;
		head->flush[1].done = sums_flushed;
		ring_flush(heads->ring, &head->flush[0], head->fd);
		ring_flush(heads->ring, &head->flush[1], head->sums_fd);
	}
	if (heads->flushing)
		return;
	heads->flushing = 1;
	heads->now.done = nothing_flushed;
	ring_timer(heads->ring, &heads->now, 0);
}
