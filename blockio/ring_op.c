/* SPDX-License-Identifier: Apache-2.0
 *
 * One operation of the ring: how it is queued, becomes submission entries,
 * continues after a short transfer and ends.  States: ring_private.h.
 */
#include <assert.h>
#include <errno.h>
#include <time.h>

#include "ring_private.h"

#define NS_PER_S INT64_C(1000000000)

_Static_assert(sizeof(struct __kernel_timespec) == sizeof(((struct ring_op *)0)->deadline),
	       "a deadline is handed to the kernel as its timespec");
_Static_assert(_Alignof(struct ring_op) > RING_PART_MASK,
	       "the low bits of an operation's address are free");

void ring_list_init(struct ring_list *list)
{
	list->first = NULL;
	list->end = &list->first;
}

void ring_list_append(struct ring_list *list, struct ring_op *op)
{
	op->next = NULL;
	*list->end = op;
	list->end = &op->next;
}

struct ring_op *ring_list_pop(struct ring_list *list)
{
	struct ring_op *op = list->first;

	if (!op)
		return NULL;
	list->first = op->next;
	if (!list->first)
		list->end = &list->first;
	return op;
}

void ring_list_remove(struct ring_list *list, struct ring_op *op)
{
	struct ring_op **link = &list->first;

	while (*link != op) {
		assert(*link);
		link = &(*link)->next;
	}
	*link = op->next;
	if (list->end == &op->next)
		list->end = link;
}

static void op_wait(struct ring *ring, struct ring_op *op)
{
	op->flags |= RING_OP_WAITING;
	ring_list_append(&ring->waiting, op);
}

static void op_ready(struct ring *ring, struct ring_op *op, int result)
{
	op->flags |= RING_OP_READY;
	op->result = result;
	ring_list_append(&ring->ready, op);
}

static bool is_of_file(const struct ring_op *op)
{
	return op->kind != RING_POLL && op->kind != RING_TIMER;
}

static void op_init(struct ring *ring, struct ring_op *op, enum ring_kind kind, int fd)
{
	assert(!op->pending && op->done);
	op->ring = ring;
	op->address = NULL;
	op->offset = 0;
	op->range_bytes = 0;
	op->fd = fd;
	op->result = 0;
	op->length = 0;
	op->progress = 0;
	op->mode = 0;
	op->kind = kind;
	op->flags = 0;
	op->pending = true;
	ring->files.pending += is_of_file(op);
}

static void op_transfer(struct ring *ring, struct ring_op *op, enum ring_kind kind, int fd,
			const void *buffer, uint32_t length, uint64_t offset)
{
	op_init(ring, op, kind, fd);
	op->address = (void *)buffer;
	op->length = length;
	op->offset = offset;
	op_wait(ring, op);
}

void ring_read(struct ring *ring, struct ring_op *op, int fd, void *buffer, uint32_t length,
	       uint64_t offset)
{
	op_transfer(ring, op, RING_READ, fd, buffer, length, offset);
}

void ring_write(struct ring *ring, struct ring_op *op, int fd, const void *buffer, uint32_t length,
		uint64_t offset)
{
	op_transfer(ring, op, RING_WRITE, fd, buffer, length, offset);
}

void ring_write_flush(struct ring *ring, struct ring_op *op, int fd, const void *buffer,
		      uint32_t length, uint64_t offset)
{
	op_transfer(ring, op, RING_WRITE_FLUSH, fd, buffer, length, offset);
}

void ring_flush(struct ring *ring, struct ring_op *op, int fd)
{
	op_init(ring, op, RING_FLUSH, fd);
	op_wait(ring, op);
}

void ring_sync(struct ring *ring, struct ring_op *op, int fd)
{
	op_init(ring, op, RING_SYNC, fd);
	op_wait(ring, op);
}

void ring_fallocate(struct ring *ring, struct ring_op *op, int fd, int mode, uint64_t offset,
		    uint64_t length)
{
	op_init(ring, op, RING_FALLOCATE, fd);
	op->mode = (uint32_t)mode;
	op->offset = offset;
	op->range_bytes = length;
	op_wait(ring, op);
}

void ring_poll(struct ring *ring, struct ring_op *op, int fd, short events)
{
	op_init(ring, op, RING_POLL, fd);
	op->mode = (uint16_t)events;
	op_wait(ring, op);
}

void ring_timer(struct ring *ring, struct ring_op *op, int64_t deadline_ns)
{
	op_init(ring, op, RING_TIMER, -1);
	if (deadline_ns <= 0 || deadline_ns <= ring_now_ns()) {
		op_ready(ring, op, 0);
		return;
	}
	op->deadline[0] = deadline_ns / NS_PER_S;
	op->deadline[1] = deadline_ns % NS_PER_S;
	op_wait(ring, op);
}

void ring_cancel(struct ring *ring, struct ring_op *op)
{
	if (!op->pending || op->flags & (RING_OP_CANCEL | RING_OP_READY))
		return;
	op->flags |= RING_OP_CANCEL;
	if (op->flags & RING_OP_WAITING) {
		ring_list_remove(&ring->waiting, op);
		op->flags &= ~RING_OP_WAITING;
		op_ready(ring, op, -ECANCELED);
		return;
	}
	op->flags |= RING_OP_CANCEL_LISTED;
	ring_list_append(&ring->cancels, op);
}

static struct io_uring_sqe *ring_sqe(struct ring *ring, struct ring_op *op, unsigned part)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->uring);

	assert(sqe); /* the caller saw the room */
	sqe->user_data = (uint64_t)(uintptr_t)op | part;
	ring->in_flight++;
	return sqe;
}

/* After the io_uring_prep_...() call, which resets the entry but not user_data. */
static void sqe_use_slot(struct ring *ring, struct io_uring_sqe *sqe, int fd)
{
	if (fd < 0 || fd >= RING_FD_MAX || ring->slot[fd] < 0)
		return;
	sqe->fd = ring->slot[fd];
	sqe->flags |= IOSQE_FIXED_FILE;
}

static bool buffer_registered(const struct ring *ring, const uint8_t *buffer, uint32_t length)
{
	const uint8_t *base = ring->memory;

	return base && buffer >= base && length <= ring->memory_bytes &&
	       (size_t)(buffer - base) <= ring->memory_bytes - length;
}

static void sqe_transfer(struct ring *ring, struct io_uring_sqe *sqe, const struct ring_op *op)
{
	uint8_t *buffer = (uint8_t *)op->address + op->progress;
	uint32_t length = op->length - op->progress;
	uint64_t offset = op->offset + op->progress;
	bool fixed = buffer_registered(ring, buffer, length);

	if (op->kind == RING_READ && fixed)
		io_uring_prep_read_fixed(sqe, op->fd, buffer, length, offset, 0);
	else if (op->kind == RING_READ)
		io_uring_prep_read(sqe, op->fd, buffer, length, offset);
	else if (fixed)
		io_uring_prep_write_fixed(sqe, op->fd, buffer, length, offset, 0);
	else
		io_uring_prep_write(sqe, op->fd, buffer, length, offset);
	sqe_use_slot(ring, sqe, op->fd);
}

static void sqe_flush(struct ring *ring, struct io_uring_sqe *sqe, int fd)
{
	io_uring_prep_fsync(sqe, fd, IORING_FSYNC_DATASYNC);
	sqe_use_slot(ring, sqe, fd);
}

static void op_prepare(struct ring *ring, struct ring_op *op)
{
	struct io_uring_sqe *sqe = ring_sqe(ring, op, RING_PART_MAIN);

	switch ((enum ring_kind)op->kind) {
	case RING_READ:
	case RING_WRITE:
		sqe_transfer(ring, sqe, op);
		break;
	case RING_WRITE_FLUSH:
		sqe_transfer(ring, sqe, op);
		sqe->flags |= IOSQE_IO_LINK;
		sqe_flush(ring, ring_sqe(ring, op, RING_PART_FLUSH), op->fd);
		op->flags &= ~(RING_OP_HALF | RING_OP_FLUSH_CUT);
		break;
	case RING_FLUSH:
		sqe_flush(ring, sqe, op->fd);
		break;
	case RING_SYNC:
		io_uring_prep_fsync(sqe, op->fd, 0);
		sqe_use_slot(ring, sqe, op->fd);
		break;
	case RING_FALLOCATE:
		io_uring_prep_fallocate(sqe, op->fd, (int)op->mode, (off_t)op->offset,
					(off_t)op->range_bytes);
		sqe_use_slot(ring, sqe, op->fd);
		break;
	case RING_POLL:
		io_uring_prep_poll_add(sqe, op->fd, op->mode);
		break;
	case RING_TIMER:
		io_uring_prep_timeout(sqe, (struct __kernel_timespec *)op->deadline, 0,
				      IORING_TIMEOUT_ABS);
		break;
	}
}

static void cancel_prepare(struct ring *ring, struct ring_op *op)
{
	op->flags &= ~RING_OP_CANCEL_LISTED;
	io_uring_prep_cancel64(ring_sqe(ring, op, RING_PART_CANCEL), (uintptr_t)op, 0);
	if (op->kind == RING_WRITE_FLUSH)
		io_uring_prep_cancel64(ring_sqe(ring, op, RING_PART_CANCEL),
				       (uintptr_t)op | RING_PART_FLUSH, 0);
}

bool ring_prepare(struct ring *ring)
{
	/* Two: an operation takes one or two entries, and two linked ones must
	 * leave in one submission. */
	while (io_uring_sq_space_left(&ring->uring) >= 2) {
		struct ring_op *op = ring_list_pop(&ring->cancels);

		if (op) {
			cancel_prepare(ring, op);
			continue;
		}
		op = ring_list_pop(&ring->waiting);
		if (!op)
			return true;
		op->flags &= ~RING_OP_WAITING;
		op_prepare(ring, op);
	}
	return !ring->cancels.first && !ring->waiting.first;
}

void ring_op_finish(struct ring_op *op, int result)
{
	if (op->flags & RING_OP_CANCEL_LISTED)
		ring_list_remove(&op->ring->cancels, op);
	op->ring->files.pending -= is_of_file(op);
	op->ring->files.ended += is_of_file(op);
	op->flags = 0;
	op->pending = false;
	op->done(op, result);
}

/* Go on where a transfer stopped short, unless its end was asked for. */
static bool op_continue(struct ring_op *op)
{
	if (op->flags & RING_OP_CANCEL) {
		ring_op_finish(op, -ECANCELED);
		return true;
	}
	op->result = 0;
	op_wait(op->ring, op);
	return false;
}

static bool read_complete(struct ring_op *op, int result)
{
	if (result == -EINTR)
		return op_continue(op);
	/* A direct read that met an odd end of the file cannot go on from there. */
	if (result == 0 || (result == -EINVAL && op->progress)) {
		ring_op_finish(op, (int)op->progress);
		return true;
	}
	if (result < 0) {
		ring_op_finish(op, result);
		return true;
	}
	op->progress += (uint32_t)result;
	if (op->progress < op->length)
		return op_continue(op);
	ring_op_finish(op, (int)op->progress);
	return true;
}

/* Account for what a write returned; an error is kept in op->result. */
static void write_progress(struct ring_op *op, int result)
{
	if (result > 0)
		op->progress += (uint32_t)result;
	else if (result == 0 && op->progress < op->length)
		op->result = -EIO; /* no progress and no reason given */
	else if (result != -EINTR)
		op->result = result;
}

static bool write_complete(struct ring_op *op, int result)
{
	write_progress(op, result);
	if (!op->result && op->progress < op->length)
		return op_continue(op);
	ring_op_finish(op, op->result ? op->result : (int)op->length);
	return true;
}

/* Two completions, the write's first in practice; a short or failed write
 * cancels the flush behind it. */
static bool write_flush_complete(struct ring_op *op, unsigned part, int result)
{
	if (part == RING_PART_MAIN)
		write_progress(op, result);
	else if (result == -ECANCELED || result == -EINTR)
		op->flags |= RING_OP_FLUSH_CUT;
	else if (result < 0 && !op->result)
		op->result = result;
	if (!(op->flags & RING_OP_HALF)) {
		op->flags |= RING_OP_HALF;
		return false;
	}
	if (!op->result && (op->progress < op->length || op->flags & RING_OP_FLUSH_CUT))
		return op_continue(op);
	ring_op_finish(op, op->result ? op->result : (int)op->length);
	return true;
}

bool ring_op_complete(struct ring_op *op, unsigned part, int result)
{
	switch ((enum ring_kind)op->kind) {
	case RING_READ:
		return read_complete(op, result);
	case RING_WRITE:
		return write_complete(op, result);
	case RING_WRITE_FLUSH:
		return write_flush_complete(op, part, result);
	case RING_FLUSH:
	case RING_SYNC:
	case RING_FALLOCATE:
		if (result == -EINTR)
			return op_continue(op);
		break;
	case RING_TIMER:
		if (result == -ETIME)
			result = 0;
		break;
	case RING_POLL:
		break;
	}
	ring_op_finish(op, result);
	return true;
}
