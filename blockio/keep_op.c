/* SPDX-License-Identifier: Apache-2.0
 *
 * keep_op: some blocks of one disk on their way from the head to the newest kept
 * point: entries and sums are read, then each run of blocks that have to be kept
 * is read and written, at last the entries.  A reader in another process that
 * finds an entry finds its content.
 */
#include <errno.h>
#include <string.h>

#include "file.h"
#include "keep_private.h"
#include "member.h"

static void op_copy(struct keep_op *op);

static uint32_t op_block_bytes(const struct keep_op *op)
{
	return op->keep->target.block_bytes;
}

static void op_end(struct keep_op *op)
{
	struct keep *keep = op->keep;
	struct buf *buf = op->buf;

	op->buf = NULL;
	keep->in_flight--;
	pool_put(keep->journal->pool, buf);
	/* Whoever waits for a buffer may have been served, and be this. */
	if (keep->generation)
		keep_step(keep);
}

static void op_fail(struct keep_op *op, int status, const char *what)
{
	keep_fail(op->keep, status, what);
	op_end(op);
}

/* Of a file of the point itself. */
static void op_fail_point(struct keep_op *op, int status, const char *what)
{
	op->keep->point_failed |= status == -EIO || status == -EUCLEAN;
	op_fail(op, status, what);
}

static void entries_written(struct ring_op *ring_op, int result)
{
	struct keep_op *op = member_of(ring_op, struct keep_op, op);

	if (result < 0)
		op_fail_point(op, result, "writing entries failed");
	else
		op_end(op);
}

static void entries_write(struct keep_op *op)
{
	bool any = false;

	for (unsigned i = 0; i < op->count; i++) {
		if (!op->wanted[i])
			continue;
		op->entries[i] = keep_entry(op->sums[i]);
		op->keep->stats.kept++;
		any = true;
	}
	if (!any) {
		op_end(op);
		return;
	}
	op->disk->dirty = true;
	op->op.done = entries_written;
	ring_write(op->keep->journal->ring, &op->op, op->disk->entries_fd, op->entries,
		   op->count * (uint32_t)sizeof(uint64_t), op->block * sizeof(uint64_t));
}

/* --- content --- */

static uint8_t *run_data(const struct keep_op *op)
{
	return op->buf->data + (size_t)op->at * op_block_bytes(op);
}

static uint32_t run_bytes(const struct keep_op *op)
{
	return keep_disk_bytes(op->disk, op_block_bytes(op), op->block + op->at, op->run);
}

static uint64_t run_offset(const struct keep_op *op)
{
	return (op->block + op->at) * op_block_bytes(op);
}

static void run_next(struct keep_op *op)
{
	op->at += op->run;
	op_copy(op);
}

static void run_written(struct ring_op *ring_op, int result)
{
	struct keep_op *op = member_of(ring_op, struct keep_op, op);

	if (result < 0) {
		op_fail_point(op, result, "writing a block failed");
		return;
	}
	op->keep->stats.write_bytes += (uint32_t)result;
	run_next(op);
}

/* The block at AT has its content, or that of an entry that was lost: then who writes over what
 * tells of it makes another content of the block. */
static bool run_is_there(struct keep_op *op, const uint8_t *content, uint32_t bytes)
{
	const bool unsure = op->keep->unsure;
	enum keep_found found = KEEP_EMPTY;

	if (op->held[op->at])
		found = keep_disk_found(op->disk, op_block_bytes(op), op->block + op->at,
					keep_entry(op->sums[op->at]), unsure ? content : NULL,
					bytes);
	op->wanted[op->at] &= found != KEEP_STRAYS;
	return found == KEEP_STRAYS || (found == KEEP_FITS && !unsure);
}

static void zeros_mark(struct keep_op *op)
{
	uint32_t bytes;

	op->run = 1;
	bytes = run_bytes(op) < KEEP_MARK_BYTES ? run_bytes(op) : KEEP_MARK_BYTES;
	if (run_is_there(op, keep_mark, bytes)) {
		run_next(op);
		return;
	}
	op->disk->dirty = true;
	op->op.done = run_written;
	ring_write(op->keep->journal->ring, &op->op, keep_disk_fd(op->disk, bytes), keep_mark,
		   bytes, run_offset(op));
}

/* The block in doubt is zeros.  If it stays so that is no change. */
static void zeros_found(struct keep_op *op)
{
	if (op->entries[op->at] == KEEP_NOT && op->fresh[op->at] == SUM_ZERO) {
		op->wanted[op->at] = false;
		run_next(op);
	} else {
		zeros_mark(op);
	}
}

/* A block that the head has lost is kept as one that does not verify: the point
 * has lost it too, and says so when it is read.  Not at the first try: the error
 * may pass, the loss does not. */
static void run_unreadable(struct keep_op *op, int status)
{
	if (status != -EIO || op->keep->failures < KEEP_TRIES) {
		op->keep->head_failed |= status == -EIO;
		op_fail(op, status, "reading the head failed");
	} else if (!op->alone) {
		op->alone = true;
		op_copy(op);
	} else {
		run_next(op);
	}
}

static void run_arrived(struct ring_op *ring_op, int result)
{
	struct keep_op *op = member_of(ring_op, struct keep_op, op);
	const uint32_t bytes = run_bytes(op);

	if (result < (int)bytes) {
		run_unreadable(op, result < 0 ? result : -EIO);
		return;
	}
	op->keep->stats.read_bytes += bytes;
	if (op->doubt[op->at] && block_is_zero(run_data(op), bytes)) {
		zeros_found(op);
		return;
	}
	if (run_is_there(op, run_data(op), bytes)) {
		run_next(op);
		return;
	}
	/* An entry that is there already is only made sure of: by content that has
	 * its sum, not by one that the head has lost.  Content that lost its sum is
	 * kept as zeros without their mark: damage. */
	if (op->entries[op->at] != KEEP_NOT &&
	    block_sum(run_data(op), bytes, run_offset(op)) != op->sums[op->at]) {
		run_next(op);
		return;
	}
	op->disk->dirty = true;
	op->op.done = run_written;
	ring_write(op->keep->journal->ring, &op->op, keep_disk_fd(op->disk, bytes), run_data(op),
		   bytes, run_offset(op));
}

static bool block_copied(const struct keep_op *op, unsigned block)
{
	return op->wanted[block] && op->sums[block] != SUM_ZERO;
}

/* The next run of blocks that have content to be kept. */
static void op_copy(struct keep_op *op)
{
	const bool alone = op->alone || op->keep->unsure;
	unsigned end;
	uint32_t bytes;

	while (op->at < op->count && !op->wanted[op->at])
		op->at++;
	if (op->at == op->count) {
		entries_write(op);
		return;
	}
	if (op->sums[op->at] == SUM_ZERO && !op->doubt[op->at]) {
		zeros_mark(op);
		return;
	}
	end = op->at + 1;
	while (!alone && !op->doubt[op->at] && !op->held[op->at] && end < op->count &&
	       block_copied(op, end) && !op->held[end])
		end++;
	op->run = end - op->at;
	bytes = run_bytes(op);
	op->op.done = run_arrived;
	ring_read(op->keep->journal->ring, &op->op, bytes % 4096 ? op->head->tail_fd : op->head->fd,
		  run_data(op), bytes, run_offset(op));
}

/* --- what has to be kept --- */

/* Blocks of zeros are holes in the head: elsewhere the sum may have been lost. */
static void doubts_find(struct keep_op *op)
{
	const int64_t block_bytes = op_block_bytes(op);
	int64_t data = -1;

	for (unsigned i = 0; i < op->count; i++) {
		int64_t offset = (int64_t)(op->block + i) * block_bytes;

		op->doubt[i] = false;
		if (op->sums[i] != SUM_ZERO)
			continue;
		if (data < offset)
			data = keep_data_next(op->head->fd, (uint64_t)offset);
		op->doubt[i] = data < offset + block_bytes;
	}
}

static void sums_arrived(struct ring_op *ring_op, int result)
{
	struct keep_op *op = member_of(ring_op, struct keep_op, op);

	if (result < (int)(op->count * sizeof(uint64_t))) {
		op_fail(op, result < 0 ? result : -EUCLEAN, "reading the sums failed");
		return;
	}
	op->keep->stats.blocks += op->count;
	doubts_find(op);
	keep_disk_held(op->disk, op_block_bytes(op), op->block, op->count, op->entries, op->held);
	for (unsigned i = 0; i < op->count; i++) {
		bool unsure = op->keep->unsure && op->entries[i] == keep_entry(op->sums[i]);

		op->wanted[i] = unsure || (op->entries[i] == KEEP_NOT &&
					   (op->sums[i] != op->fresh[i] || op->doubt[i]));
	}
	op->at = 0;
	op->alone = false;
	op_copy(op);
}

static void entries_arrived(struct ring_op *ring_op, int result)
{
	struct keep_op *op = member_of(ring_op, struct keep_op, op);
	const uint32_t bytes = op->count * (uint32_t)sizeof(uint64_t);

	if (result < (int)bytes) {
		op_fail_point(op, result < 0 ? result : -EUCLEAN, "reading entries failed");
		return;
	}
	op->op.done = sums_arrived;
	ring_read(op->keep->journal->ring, &op->op, op->head->sums_fd, op->sums, bytes,
		  op->block * sizeof(uint64_t));
}

void keep_op_start(struct keep_op *op)
{
	op->op.done = entries_arrived;
	ring_read(op->keep->journal->ring, &op->op, op->disk->entries_fd, op->entries,
		  op->count * (uint32_t)sizeof(uint64_t), op->block * sizeof(uint64_t));
}

/* --- a disk that grows --- */

static int tail_copy(const struct keep_disk *disk, const struct head *head, uint32_t block_bytes,
		     uint8_t *data)
{
	const uint64_t block = disk->size / block_bytes;
	const uint64_t offset = block * block_bytes;
	const uint32_t bytes = (uint32_t)(disk->size - offset);
	uint64_t entry, sum;
	int64_t n = file_read(disk->entries_fd, &entry, sizeof(entry), block * sizeof(entry));
	int status;

	if (n != sizeof(entry))
		return n < 0 ? (int)n : -EUCLEAN;
	n = file_read(head->sums_fd, &sum, sizeof(sum), block * sizeof(sum));
	if (n != sizeof(sum))
		return n < 0 ? (int)n : -EUCLEAN;
	if (entry != KEEP_NOT && entry != keep_entry(sum))
		return 0;
	n = file_read(head->tail_fd, data, bytes, offset);
	if (n != bytes)
		return n < 0 ? (int)n : -EUCLEAN;
	if (entry == KEEP_NOT && keep_disk_found(disk, block_bytes, block, keep_entry(sum), data,
						 bytes) == KEEP_STRAYS)
		return 0;
	if (sum == SUM_ZERO && block_is_zero(data, bytes))
		status = file_write(disk->tail_fd, keep_mark,
				    bytes < KEEP_MARK_BYTES ? bytes : KEEP_MARK_BYTES, offset);
	else
		status = file_write(disk->tail_fd, data, bytes, offset);
	entry = keep_entry(sum);
	if (!status)
		status = file_sync(disk->tail_fd);
	if (!status)
		status = file_write(disk->entries_fd, &entry, sizeof(entry),
				    block * sizeof(entry));
	return status ? status : file_sync(disk->entries_fd);
}

int keep_tail(struct keep *keep, unsigned disk, struct errinfo *err)
{
	const char *name = keep->heads->spec->disks[disk].name;
	struct keep_disk *which = keep->target.id ? keep_files_disk(&keep->target, name) : NULL;
	struct buf *buf;
	int status;

	if (!which || which->size % keep->target.block_bytes == 0 ||
	    which->size != keep->journal->shape->disk_bytes[disk])
		return 0;
	buf = pool_get(keep->journal->pool);
	if (!buf)
		return err_set(err, -ENOBUFS, "no buffer is free to keep the end of disk %s", name);
	status = tail_copy(which, &keep->heads->head[disk], keep->target.block_bytes, buf->data);
	pool_put(keep->journal->pool, buf);
	if (status)
		return err_set(err, status,
			       "%s/points/%08u: the end of disk %s cannot be kept: %s",
			       keep->heads->dir, keep->target.id, name, strerror(-status));
	return 0;
}
