/* SPDX-License-Identifier: Apache-2.0
 *
 * ring: the one io_uring of the process.  Files, sockets, timers and signals
 * are all completions of it.  An operation is a struct ring_op inside the
 * caller's own structure; it must stay where it is until its done() ran.
 *
 * This header is also the seam for simulation: tests link another ring.c that
 * keeps its files in memory, tears writes and fails the Nth call.
 */
#ifndef BLOCKIO_RING_H
#define BLOCKIO_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "errinfo.h"

struct ring;

struct ring_op {
	/* Runs inside ring_run(), never inside the call that queued it.  RESULT:
	 * bytes, poll mask or 0; a negative errno on failure (-ECANCELED after
	 * ring_cancel(), -ETIME never: a timer that fires gives 0). */
	void (*done)(struct ring_op *op, int result);

	/* private */
	struct ring *ring;
	struct ring_op *next;
	void *address;
	uint64_t offset;
	uint64_t range_bytes; /* fallocate */
	int64_t deadline[2];  /* seconds, nanoseconds */
	int fd;
	int result;
	uint32_t length;
	uint32_t progress;
	uint32_t mode; /* of fallocate; the events of poll */
	uint8_t kind;
	uint8_t flags;
	bool pending;
};

/* ENTRIES is the submission queue depth (a power of two); more operations than
 * that wait in a list inside the ring, so that queueing never fails. */
int ring_new(struct ring **ring, unsigned entries, struct errinfo *err);

/* Ends what is pending and waits until the kernel is done with its memory: an
 * operation that had been cancelled still gets its done(), all others end
 * silently.  Structures with pending operations must live until here. */
void ring_free(struct ring *ring);

/* Register one region of memory; reads and writes whose buffer lies wholly in
 * it use the fixed-buffer opcodes.  Not supported by the kernel (or over
 * RLIMIT_MEMLOCK): returns 0 all the same and ordinary opcodes are used.  A new
 * region replaces the old one; LENGTH 0 ends the registration of BASE. */
int ring_register_memory(struct ring *ring, void *base, size_t length, struct errinfo *err);

/* The same for files: FD is afterwards used by its slot.  Unregister before
 * close(), or the file stays open.  Unknown descriptors always work. */
void ring_register_file(struct ring *ring, int fd);
void ring_unregister_file(struct ring *ring, int fd);

/* Whole-buffer I/O: short transfers are continued inside the ring; done() sees
 * LENGTH, or for a read at the end of the file the bytes that exist. */
void ring_read(struct ring *ring, struct ring_op *op, int fd, void *buffer, uint32_t length,
	       uint64_t offset);
void ring_write(struct ring *ring, struct ring_op *op, int fd, const void *buffer, uint32_t length,
		uint64_t offset);

/* A write and, linked behind it, an fdatasync of the same file: one submission.
 * done() of OP sees the bytes only after the flush; a failed write or flush
 * gives the errno of what failed. */
void ring_write_flush(struct ring *ring, struct ring_op *op, int fd, const void *buffer,
		      uint32_t length, uint64_t offset);
void ring_flush(struct ring *ring, struct ring_op *op, int fd); /* fdatasync */
/* fsync: for directories, whose new names fdatasync may leave behind. */
void ring_sync(struct ring *ring, struct ring_op *op, int fd);

/* fallocate(2): MODE as there (punch hole, zero range, preallocate). */
void ring_fallocate(struct ring *ring, struct ring_op *op, int fd, int mode, uint64_t offset,
		    uint64_t length);

/* One-shot poll(2) for EVENTS; done() sees the mask. */
void ring_poll(struct ring *ring, struct ring_op *op, int fd, short events);

/* Fires at DEADLINE_NS of CLOCK_MONOTONIC.  One that has passed (0: always) fires
 * in the next ring_run() without a system call: the way to defer work to it. */
void ring_timer(struct ring *ring, struct ring_op *op, int64_t deadline_ns);

/* Ask for the end of OP; its done() still runs exactly once.  No effect on an
 * operation that is not pending. */
void ring_cancel(struct ring *ring, struct ring_op *op);
static inline bool ring_op_pending(const struct ring_op *op)
{
	return op->pending;
}

/* Submit what is queued, wait for at least one completion and dispatch all that
 * are there.  Returns the number dispatched, 0 when nothing is pending, or a
 * negative errno (never -EINTR).  Only in the thread that called ring_new(). */
int ring_run(struct ring *ring);

/* Wait here for one operation, dispatching everything else on the way; for
 * start-up and for tests.  Returns its result.  OP's done must be
 * ring_op_settle, which stores the result. */
struct ring_wait {
	struct ring_op op;
	int result;
};
int ring_await(struct ring *ring, struct ring_wait *wait);
void ring_wait_init(struct ring_wait *wait);

int64_t ring_now_ns(void); /* CLOCK_MONOTONIC */

/* Operations on files: how many are pending, and how many have ended so far. */
struct ring_files {
	unsigned pending;
	uint64_t ended;
};
struct ring_files ring_files(const struct ring *ring);

#endif
