/* SPDX-License-Identifier: Apache-2.0 */
#include "repair.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "member.h"
#include "store_private.h"
#include "sum.h"

#define DIRECT_BYTES 4096u /* what O_DIRECT wants at most */

static void inspect_next(struct repair *repair);

static int sums_fail(struct repair *repair, int64_t n)
{
	const struct store *store = repair->store;

	return err_set(&repair->error, n < 0 ? (int)n : -EUCLEAN,
		       "%s/disks/%s/sums: cannot read the sums from block %llu on: %s", store->dir,
		       store->json.spec.disks[repair->disk].name,
		       (unsigned long long)(repair->block + repair->position),
		       n < 0 ? strerror((int)-n) : "the file is too short");
}

/* The sums of a chunk, into the buffer's own. */
static int sums_read(struct repair *repair)
{
	const size_t bytes = repair->chunk * sizeof(uint64_t);
	int64_t n = file_read(repair->store->heads.head[repair->disk].sums_fd, repair->buf->sums,
			      bytes, (repair->block + repair->position) * sizeof(uint64_t));

	return n == (int64_t)bytes ? 0 : sums_fail(repair, n);
}

/* GOT bytes of the chunk are in the buffer. */
static void chunk_judge(struct repair *repair, uint32_t got)
{
	const struct record_shape *shape = &repair->store->shape;

	for (uint32_t i = 0; i < repair->chunk; i++) {
		struct repair_block *block = &repair->blocks[repair->position + i];
		uint64_t number = repair->block + repair->position + i;
		uint32_t bytes = (uint32_t)record_blocks_bytes(shape, repair->disk, number, 1);
		uint32_t at = i * shape->block_bytes;

		block->stored = repair->buf->sums[i];
		block->own = SUM_ZERO;
		block->status = at + bytes > got ? -ENODATA : 0; /* somebody cut the file */
		if (!block->status)
			block->own = block_sum(repair->buf->data + at, bytes,
					       number * shape->block_bytes);
	}
	repair->position += repair->chunk;
}

static void chunk_read(struct ring_op *op, int result)
{
	struct repair *repair = member_of(op, struct repair, op);

	if (result >= 0) {
		chunk_judge(repair, (uint32_t)result);
	} else if (repair->chunk > 1) {
		/* Once more, one by one, to lose no more than what is unreadable. */
		repair->single_end = repair->position + repair->chunk;
	} else {
		struct repair_block *block = &repair->blocks[repair->position++];

		*block = (struct repair_block){.stored = repair->buf->sums[0], .status = result};
	}
	inspect_next(repair);
}

static void inspect_end(struct ring_op *op, int result)
{
	struct repair *repair = member_of(op, struct repair, op);

	repair->done(repair->arg, repair->error.code, &repair->error);
}

static void inspect_next(struct repair *repair)
{
	const struct record_shape *shape = &repair->store->shape;
	uint32_t left = repair->count - repair->position;
	uint32_t room = pool_buffer_bytes(repair->store->pool) / shape->block_bytes;
	uint64_t block = repair->block + repair->position;
	uint32_t bytes;

	repair->chunk = repair->position < repair->single_end ? 1 : left < room ? left : room;
	if (!left || sums_read(repair)) {
		repair->op.done = inspect_end;
		ring_timer(repair->store->ring, &repair->op, 0);
		return;
	}
	bytes = (uint32_t)record_blocks_bytes(shape, repair->disk, block, repair->chunk);
	bytes = (bytes + DIRECT_BYTES - 1) & ~(DIRECT_BYTES - 1);
	repair->op.done = chunk_read;
	ring_read(repair->store->ring, &repair->op, repair->store->heads.head[repair->disk].fd,
		  repair->buf->data, bytes, block * shape->block_bytes);
}

static void repair_begin(struct repair *repair, struct store *store, unsigned disk,
			 uint64_t block, uint32_t count, struct buf *buf)
{
	assert(count && block + count <= record_disk_blocks(&store->shape, disk));
	repair->store = store;
	repair->disk = disk;
	repair->block = block;
	repair->count = count;
	repair->position = repair->single_end = 0;
	repair->buf = buf;
	err_clear(&repair->error);
}

void repair_inspect(struct repair *repair, struct store *store, unsigned disk, uint64_t block,
		    uint32_t count, struct repair_block *blocks, struct buf *buf,
		    void (*done)(void *arg, int status, const struct errinfo *error), void *arg)
{
	repair_begin(repair, store, disk, block, count, buf);
	repair->blocks = blocks;
	repair->done = done;
	repair->arg = arg;
	inspect_next(repair);
}

/* --- writing --- */

static void write_end(struct repair *repair, int status)
{
	repair->done(repair->arg, status, &repair->error);
}

static void back_read(void *arg, int status, const struct errinfo *error)
{
	struct repair *repair = arg;
	const struct repair_block *back = &repair->back;

	if (!status && (back->status || back->stored != repair->wanted_sum ||
			back->own != repair->wanted_sum))
		status = err_set(&repair->error, back->status ? back->status : -EIO,
				 "%s/disks/%s: block %llu was written, and does not read back: %s",
				 repair->store->dir, repair->store->json.spec.disks[repair->disk].name,
				 (unsigned long long)repair->block,
				 back->status ? strerror(-back->status) : "it is another one");
	repair->done = repair->write_done;
	repair->arg = repair->write_arg;
	write_end(repair, status);
}

static void head_flushed(void *arg, int status, const struct errinfo *error)
{
	struct repair *repair = arg;

	if (status) {
		err_set(&repair->error, status, "%s", error->text);
		write_end(repair, status);
		return;
	}
	repair->write_done = repair->done;
	repair->write_arg = repair->arg;
	repair_inspect(repair, repair->store, repair->disk, repair->block, 1, &repair->back,
		       repair->buf, back_read, repair);
}

static void head_written(struct head_write *write, int status)
{
	struct repair *repair = member_of(write, struct repair, write);

	if (status) {
		err_set(&repair->error, status, "%s", write->error.text);
		write_end(repair, status);
		return;
	}
	heads_flush(&repair->store->heads, head_flushed, repair);
}

void repair_write(struct repair *repair, struct store *store, unsigned disk, uint64_t block,
		  struct buf *buf,
		  void (*done)(void *arg, int status, const struct errinfo *error), void *arg)
{
	bool zeros = buf->sums[0] == SUM_ZERO;

	repair_begin(repair, store, disk, block, 1, buf);
	repair->done = done;
	repair->arg = arg;
	repair->wanted_sum = buf->sums[0];
	repair->write = (struct head_write){.heads = &store->heads, .disk = disk, .block = block,
					    .count = 1, .done = head_written,
					    .data = zeros ? NULL : buf->data,
					    .sums = zeros ? NULL : buf->sums};
	head_write_start(&repair->write);
}
