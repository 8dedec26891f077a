/* SPDX-License-Identifier: Apache-2.0
 *
 * The ring's loop and what is registered with it.  An idle loop sleeps in one
 * io_uring_enter(2).  Single operations: ring_op.c.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>

#include "member.h"
#include "ring_private.h"

#define RING_ENTRIES_MIN 4 /* a linked pair and room behind it */

struct ring_files ring_files(const struct ring *ring)
{
	return ring->files;
}

int64_t ring_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

/* The best set-up for one thread that the kernel knows. */
static int uring_init(struct io_uring *uring, unsigned entries)
{
	/* One thread that asks for its completions itself (6.1), one that is not
	 * interrupted for them (5.19), any. */
	static const unsigned setups[] = {
	    IORING_SETUP_SUBMIT_ALL | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
	    IORING_SETUP_SUBMIT_ALL | IORING_SETUP_COOP_TASKRUN,
	    0,
	};
	int ret = -EINVAL;

	for (unsigned i = 0; i < sizeof(setups) / sizeof(setups[0]) && ret == -EINVAL; i++)
		ret = io_uring_queue_init(entries, uring, setups[i] | IORING_SETUP_CLAMP);
	return ret;
}

int ring_new(struct ring **out, unsigned entries, struct errinfo *err)
{
	struct ring *ring = calloc(1, sizeof(*ring));
	int ret;

	*out = NULL;
	if (!ring)
		return err_set(err, -ENOMEM, "no memory for the ring");
	if (entries < RING_ENTRIES_MIN)
		entries = RING_ENTRIES_MIN;
	ret = uring_init(&ring->uring, entries);
	if (ret < 0) {
		free(ring);
		return err_set(
		    err, ret,
		    "cannot set up io_uring with %u entries: %s; it needs Linux 5.19 or "
		    "newer, sysctl kernel.io_uring_disabled=0 and a seccomp profile that "
		    "allows it",
		    entries, strerror(-ret));
	}
	ring_list_init(&ring->waiting);
	ring_list_init(&ring->ready);
	ring_list_init(&ring->cancels);
	memset(ring->slot_fd, 0xff, sizeof(ring->slot_fd));
	memset(ring->slot, 0xff, sizeof(ring->slot));
	ring->files_registered = io_uring_register_files_sparse(&ring->uring, RING_FILES) == 0;
	io_uring_register_ring_fd(&ring->uring); /* only saves a look-up */
	*out = ring;
	return 0;
}

int ring_register_memory(struct ring *ring, void *base, size_t length, struct errinfo *err)
{
	struct iovec region = {.iov_base = base, .iov_len = length};

	if (!length && base != ring->memory)
		return 0;
	if (ring->memory) {
		io_uring_unregister_buffers(&ring->uring);
		ring->memory = NULL;
		ring->memory_bytes = 0;
	}
	if (!length || io_uring_register_buffers(&ring->uring, &region, 1) < 0)
		return 0;
	ring->memory = base;
	ring->memory_bytes = length;
	return 0;
}

void ring_register_file(struct ring *ring, int fd)
{
	int slot = 0;

	if (!ring->files_registered || fd < 0 || fd >= RING_FD_MAX || ring->slot[fd] >= 0)
		return;
	while (slot < RING_FILES && ring->slot_fd[slot] >= 0)
		slot++;
	if (slot == RING_FILES || io_uring_register_files_update(&ring->uring, slot, &fd, 1) != 1)
		return;
	ring->slot_fd[slot] = fd;
	ring->slot[fd] = (int16_t)slot;
}

void ring_unregister_file(struct ring *ring, int fd)
{
	int none = -1;
	int slot;

	if (fd < 0 || fd >= RING_FD_MAX || ring->slot[fd] < 0)
		return;
	slot = ring->slot[fd];
	io_uring_register_files_update(&ring->uring, slot, &none, 1);
	ring->slot_fd[slot] = -1;
	ring->slot[fd] = -1;
}

/* Submit everything, and sleep until a completion is there if WAIT. */
static int ring_submit(struct ring *ring, bool wait)
{
	int ret = 0;

	while (!ring_prepare(ring)) {
		ret = io_uring_submit(&ring->uring);
		if (ret < 0)
			return ret;
	}
	wait = wait && !ring->ready.first && ring->in_flight;
	if (wait)
		ret = io_uring_submit_and_wait(&ring->uring, 1);
	else if (ring->in_flight)
		ret = io_uring_submit_and_get_events(&ring->uring);
	return ret < 0 ? ret : 0;
}

/* Take the completions that are there now; those of operations queued by a
 * done() wait for the next round, so that no socket can starve the others. */
static int ring_reap(struct ring *ring)
{
	unsigned count = io_uring_cq_ready(&ring->uring);
	int dispatched = 0;

	while (count--) {
		struct io_uring_cqe *cqe;
		uint64_t data;
		int result;

		if (io_uring_peek_cqe(&ring->uring, &cqe))
			break; /* a nested ring_run() took it */
		data = cqe->user_data;
		result = cqe->res;
		io_uring_cqe_seen(&ring->uring, cqe);
		ring->in_flight--;
		if ((data & RING_PART_MASK) == RING_PART_CANCEL)
			continue;
		dispatched +=
		    ring_op_complete((struct ring_op *)(uintptr_t)(data & ~RING_PART_MASK),
				     data & RING_PART_MASK, result);
	}
	return dispatched;
}

static int ring_dispatch_ready(struct ring *ring)
{
	struct ring_op **end = ring->ready.end;
	int dispatched = 0;

	while (ring->ready.first) {
		struct ring_op *op = ring_list_pop(&ring->ready);
		bool last = &op->next == end;

		dispatched++;
		ring_op_finish(op, op->result);
		if (last)
			break;
	}
	return dispatched;
}

int ring_run(struct ring *ring)
{
	int dispatched = 0;

	while (!dispatched) {
		int ret = ring_submit(ring, true);

		/* -EBUSY, -EAGAIN: the kernel wants completions taken first. */
		if (ret < 0 && ret != -EINTR && !io_uring_cq_ready(&ring->uring))
			return ret;
		if (!ring->in_flight && !ring->ready.first)
			return 0;
		dispatched = ring_dispatch_ready(ring);
		dispatched += ring_reap(ring);
	}
	return dispatched;
}

static void ring_op_settle(struct ring_op *op, int result)
{
	struct ring_wait *wait = member_of(op, struct ring_wait, op);

	wait->result = result;
}

void ring_wait_init(struct ring_wait *wait)
{
	memset(wait, 0, sizeof(*wait));
	wait->op.done = ring_op_settle;
}

int ring_await(struct ring *ring, struct ring_wait *wait)
{
	assert(wait->op.done == ring_op_settle);
	while (wait->op.pending) {
		int ret = ring_run(ring);

		if (ret < 0)
			return ret;
	}
	return wait->result;
}

/* Completions during ring_free(): only who asked for the end hears of it. */
static void ring_reap_silently(struct ring *ring)
{
	struct io_uring_cqe *cqe;

	while (io_uring_peek_cqe(&ring->uring, &cqe) == 0) {
		struct ring_op *op =
		    (struct ring_op *)(uintptr_t)(cqe->user_data & ~RING_PART_MASK);
		unsigned part = cqe->user_data & RING_PART_MASK;
		int result = cqe->res;

		io_uring_cqe_seen(&ring->uring, cqe);
		ring->in_flight--;
		if (part != RING_PART_CANCEL && op->flags & RING_OP_CANCEL)
			ring_op_complete(op, part, result);
	}
}

static void ring_cancel_all(struct ring *ring)
{
	struct io_uring_sqe *sqe;

	/* What is still in the queue must be known to the kernel first. */
	io_uring_submit(&ring->uring);
	sqe = io_uring_get_sqe(&ring->uring);
	if (!sqe)
		return;
	io_uring_prep_cancel64(sqe, 0, IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL);
	sqe->user_data = RING_PART_CANCEL;
	ring->in_flight++;
}

void ring_free(struct ring *ring)
{
	struct ring_op *op;

	if (!ring)
		return;
	if (ring->in_flight)
		ring_cancel_all(ring);
	while (ring->in_flight) {
		int ret = io_uring_submit_and_wait(&ring->uring, 1);

		if (ret < 0 && ret != -EINTR && !io_uring_cq_ready(&ring->uring))
			break; /* the kernel ends the rest when the ring is closed */
		ring_reap_silently(ring);
	}
	while ((op = ring_list_pop(&ring->ready))) {
		if (op->flags & RING_OP_CANCEL)
			ring_op_finish(op, -ECANCELED);
	}
	io_uring_queue_exit(&ring->uring);
	free(ring);
}
