/* SPDX-License-Identifier: Apache-2.0
 *
 * keep_move: see keep_move.h.  One operation at a time: it is work that has time.
 *
 *   WINDOW: entries of both --> runs: read, write --> flush --> entries --> WINDOW
 *   after the last window: flush of the entries, done()
 */
#include "keep_move.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "file.h"
#include "member.h"

#define READ_TRIES 3
#define READ_AGAIN_NS 1000000000
#define LOST_MAX 16u

static void window_next(struct keep_move *move);
static void window_copy(struct keep_move *move);

static void move_end(struct keep_move *move, int status)
{
	if (move->buf)
		pool_put(move->pool, move->buf);
	move->buf = NULL;
	move->done(move, status);
}

static void all_flushed(struct flush *flush, int result)
{
	move_end(member_of(flush, struct keep_move, flush), result);
}

static void entries_flush(struct keep_move *move)
{
	flush_init(&move->flush, move->ring);
	for (unsigned i = 0; i < move->to->disk_count; i++)
		flush_add(&move->flush, move->to->disks[i].entries_fd);
	flush_start(&move->flush, false, all_flushed);
}

/* --- the entries of a window --- */

/* One that is there already is made sure of: the flush of an earlier move may have failed.  That
 * of the first pass did not. */
static bool block_wanted(const struct keep_move *move, unsigned i)
{
	return move->theirs[i] != KEEP_NOT &&
	       (move->ours[i] == KEEP_NOT || (!move->strays && move->ours[i] == move->theirs[i]));
}

/* What has content without an entry, here and there: see keep_move.h. */
static void strays_find(struct keep_move *move)
{
	keep_disk_held(move->target, move->to->block_bytes, move->window, move->blocks, move->ours,
		       move->held);
	memset(move->stray, 0, sizeof(move->stray));
	if (!move->strays)
		return;
	keep_disk_held(move->source, move->from->block_bytes, move->window, move->blocks,
		       move->theirs, move->stray);
	for (unsigned i = 0; i < move->blocks; i++)
		move->stray[i] &= move->ours[i] == KEEP_NOT;
}

static void entries_written(struct ring_op *op, int result)
{
	struct keep_move *move = member_of(op, struct keep_move, op);

	if (result < 0) {
		move_end(move, result);
		return;
	}
	move->window += move->blocks;
	window_next(move);
}

static void entries_write(struct keep_move *move)
{
	bool any = false;

	for (unsigned i = 0; i < move->blocks; i++) {
		if (!block_wanted(move, i))
			continue;
		move->ours[i] = move->theirs[i];
		any = true;
	}
	if (!any) {
		entries_written(&move->op, 0);
		return;
	}
	move->op.done = entries_written;
	ring_write(move->ring, &move->op, move->target->entries_fd, move->ours,
		   (uint32_t)(move->blocks * sizeof(uint64_t)), move->window * sizeof(uint64_t));
}

static void content_flushed(struct ring_op *op, int result)
{
	struct keep_move *move = member_of(op, struct keep_move, op);

	if (result < 0)
		move_end(move, result);
	else
		entries_write(move);
}

/* --- its content --- */

static uint64_t run_offset(const struct keep_move *move)
{
	return (move->window + move->at) * move->from->block_bytes;
}

/* Of a block of zeros as much as its mark has, if it is there: one that was lost stays lost. */
static uint32_t run_bytes(const struct keep_move *move)
{
	uint32_t bytes = keep_disk_bytes(move->target, move->from->block_bytes,
					 move->window + move->at, move->run);

	return move->theirs[move->at] == KEEP_ZERO && bytes > KEEP_MARK_BYTES ? KEEP_MARK_BYTES
									       : bytes;
}

static void run_written(struct ring_op *op, int result)
{
	struct keep_move *move = member_of(op, struct keep_move, op);

	if (result < 0) {
		move_end(move, result);
		return;
	}
	move->at += move->run;
	move->tries = 0;
	window_copy(move);
}

static void read_again(struct ring_op *op, int result)
{
	window_copy(member_of(op, struct keep_move, op));
}

/* A block that the point has lost: the older one gets its entry, and tells of it when it is
 * read.  Not at once: the error may pass, the loss does not; and not many, as then it is the disk
 * that fails. */
static void run_unreadable(struct keep_move *move, int status)
{
	if (status != -EIO) {
		move_end(move, status);
	} else if (!move->alone || ++move->tries < READ_TRIES) {
		move->alone = true;
		move->op.done = read_again;
		ring_timer(move->ring, &move->op, ring_now_ns() + READ_AGAIN_NS);
	} else if (++move->lost > LOST_MAX) {
		move_end(move, status);
	} else {
		if (move->stray[move->at])
			move->theirs[move->at] = KEEP_LOST;
		run_written(&move->op, 0);
	}
}

/* What was read is what its entry says. */
static bool run_fits(const struct keep_move *move, uint32_t bytes)
{
	const uint64_t theirs = move->theirs[move->at];

	return theirs == KEEP_ZERO ? keep_is_mark(move->buf->data, bytes)
				   : keep_entry(block_sum(move->buf->data, bytes,
							  run_offset(move))) == theirs;
}

/* The block at AT, read alone, must not take the place of what the older point has: content
 * of a lost entry, or what its entry says while this has gone bad. */
static bool must_not_replace(struct keep_move *move, uint32_t bytes)
{
	enum keep_found found = KEEP_EMPTY;

	if (move->stray[move->at] && block_is_zero(move->buf->data, bytes))
		return true;
	if (move->held[move->at])
		found = keep_disk_found(move->target, move->to->block_bytes,
					move->window + move->at, move->theirs[move->at],
					move->buf->data, bytes);
	if (found == KEEP_STRAYS)
		move->theirs[move->at] = KEEP_NOT; /* nor its entry */
	move->copied |= found == KEEP_FITS;
	/* Good content is written again: a flush may have failed. */
	return found == KEEP_STRAYS ||
	       ((found == KEEP_FITS || move->ours[move->at] != KEEP_NOT) && !run_fits(move, bytes));
}

static void run_arrived(struct ring_op *op, int result)
{
	struct keep_move *move = member_of(op, struct keep_move, op);
	const uint32_t bytes = run_bytes(move);

	if (result < (int)bytes) {
		run_unreadable(move, result < 0 ? result : -EIO);
		return;
	}
	if (move->run == 1 && must_not_replace(move, bytes)) {
		run_written(op, 0);
		return;
	}
	move->copied = true;
	move->op.done = run_written;
	ring_write(move->ring, &move->op, keep_disk_fd(move->target, bytes), move->buf->data, bytes,
		   run_offset(move));
}

/* It is looked at before it is written. */
static bool is_single(const struct keep_move *move, unsigned i)
{
	return move->alone || move->stray[i] || move->held[i] || move->theirs[i] == KEEP_ZERO ||
	       move->ours[i] != KEEP_NOT;
}

/* More of the run that begins at AT? */
static bool run_goes_on(const struct keep_move *move, unsigned i)
{
	return !is_single(move, move->at) && block_wanted(move, i) && !is_single(move, i);
}

static void window_copy(struct keep_move *move)
{
	const unsigned most = pool_buffer_bytes(move->pool) / move->from->block_bytes;
	uint32_t bytes;

	while (move->at < move->blocks && !block_wanted(move, move->at) && !move->stray[move->at])
		move->at++;
	if (move->at == move->blocks) {
		if (!move->copied) {
			entries_write(move);
			return;
		}
		move->op.done = content_flushed;
		ring_flush(move->ring, &move->op, move->target->raw_fd);
		return;
	}
	for (move->run = 1; move->run < most && move->at + move->run < move->blocks; move->run++)
		if (!run_goes_on(move, move->at + move->run))
			break;
	bytes = run_bytes(move);
	move->op.done = run_arrived;
	ring_read(move->ring, &move->op, keep_disk_fd(move->source, bytes), move->buf->data, bytes,
		  run_offset(move));
}

/* --- window after window --- */

static void ours_arrived(struct ring_op *op, int result)
{
	struct keep_move *move = member_of(op, struct keep_move, op);

	if (result < (int)(move->blocks * sizeof(uint64_t))) {
		move_end(move, result < 0 ? result : -EUCLEAN);
		return;
	}
	strays_find(move);
	move->at = 0;
	move->copied = move->alone = false;
	move->tries = 0;
	window_copy(move);
}

static void theirs_arrived(struct ring_op *op, int result)
{
	struct keep_move *move = member_of(op, struct keep_move, op);

	if (result < (int)(move->blocks * sizeof(uint64_t))) {
		move_end(move, result < 0 ? result : -EUCLEAN);
		return;
	}
	move->op.done = ours_arrived;
	ring_read(move->ring, &move->op, move->target->entries_fd, move->ours,
		  (uint32_t)(move->blocks * sizeof(uint64_t)), move->window * sizeof(uint64_t));
}

/* The next block from the window on that has data in FD, BYTES each; BLOCKS: none. */
static uint64_t data_block(const struct keep_move *move, int fd, uint32_t bytes, uint64_t blocks)
{
	int64_t data = file_data_next(fd, move->window * bytes);
	uint64_t block;

	if (data == -ENXIO)
		return blocks;
	block = data < 0 ? move->window : (uint64_t)data / bytes;
	return block > blocks ? blocks : block;
}

/* Where the next entries, or strays, may be; the disk's end if there are none. */
static uint64_t window_skip(const struct keep_move *move, uint64_t blocks)
{
	const struct keep_disk *source = move->source;
	uint64_t entry = data_block(move, source->entries_fd, sizeof(uint64_t), blocks);
	uint64_t stray = blocks;

	if (move->strays && source->tells_holes)
		stray = data_block(move, source->raw_fd, move->from->block_bytes, blocks);
	return stray < entry ? stray : entry;
}

static void window_next(struct keep_move *move)
{
	while (move->disk < move->from->disk_count) {
		uint64_t blocks = 0;

		move->source = &move->from->disks[move->disk];
		move->target = keep_files_disk(move->to, move->source->name);
		if (move->target) /* the disk may have grown between the two */
			blocks = keep_disk_blocks(move->target, move->to->block_bytes);
		if (blocks > keep_disk_blocks(move->source, move->from->block_bytes))
			blocks = keep_disk_blocks(move->source, move->from->block_bytes);
		if (move->target && move->window < blocks)
			move->window = window_skip(move, blocks);
		if (move->target && move->window < blocks) {
			move->blocks = blocks - move->window;
			if (move->blocks > MOVE_WINDOW)
				move->blocks = MOVE_WINDOW;
			move->op.done = theirs_arrived;
			ring_read(move->ring, &move->op, move->source->entries_fd, move->theirs,
				  (uint32_t)(move->blocks * sizeof(uint64_t)),
				  move->window * sizeof(uint64_t));
			return;
		}
		move->disk++;
		move->window = 0;
	}
	entries_flush(move);
}

static void move_begin(struct ring_op *op, int result)
{
	struct keep_move *move = member_of(op, struct keep_move, op);

	move->buf = pool_get(move->pool);
	if (move->buf)
		window_next(move);
	else
		pool_wait(move->pool, &move->waiter);
}

static void buffer_ready(struct pool_waiter *waiter)
{
	struct keep_move *move = member_of(waiter, struct keep_move, waiter);

	move->op.done = move_begin;
	ring_timer(move->ring, &move->op, 0);
}

void keep_move_start(struct keep_move *move, struct ring *ring, struct pool *pool,
		     struct keep_files *from, struct keep_files *to, bool strays,
		     void (*done)(struct keep_move *move, int result))
{
	assert(!move->buf);
	memset(move, 0, sizeof(*move));
	move->ring = ring;
	move->pool = pool;
	move->from = from;
	move->to = to;
	move->strays = strays;
	move->done = done;
	move->waiter.ready = buffer_ready;
	move->op.done = move_begin;
	ring_timer(ring, &move->op, 0);
}
