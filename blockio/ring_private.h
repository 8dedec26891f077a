/* SPDX-License-Identifier: Apache-2.0
 *
 * What ring.c (the loop) and ring_op.c (one operation's life) share.
 *
 *      ring_read()...        ring_run()             ring_run()
 *   idle ──▶ WAITING ──────────▶ in flight ───────────▶ done() ──▶ idle
 *               │ ▲                  │ short transfer     ▲
 *               │ └──────────────────┘                    │
 *               └── ring_cancel(), timer in the past ──▶ READY
 *
 *   WAITING    in ring->waiting, the kernel knows nothing of it
 *   in flight  the kernel owes one completion, two for a write with flush
 *   READY      in ring->ready with its result, ended without the kernel
 *
 * A cancelled operation in flight is in ring->cancels until the request to
 * cancel it was submitted.
 */
#ifndef BLOCKIO_RING_PRIVATE_H
#define BLOCKIO_RING_PRIVATE_H

#include <liburing.h>

#include "ring.h"

#define RING_FILES 128	 /* slots: two per disk, the journal, and room */
#define RING_FD_MAX 1024 /* descriptors above are never registered */

enum ring_kind {
	RING_READ,
	RING_WRITE,
	RING_WRITE_FLUSH,
	RING_FLUSH,
	RING_SYNC,
	RING_FALLOCATE,
	RING_POLL,
	RING_TIMER,
};

/* ring_op.flags */
#define RING_OP_WAITING 0x01
#define RING_OP_READY 0x02
#define RING_OP_CANCEL 0x04	   /* ring_cancel() was called */
#define RING_OP_CANCEL_LISTED 0x08 /* and waits in ring->cancels */
#define RING_OP_FLUSH_CUT 0x10	   /* the linked flush was cancelled */
#define RING_OP_HALF 0x20	   /* one completion of two was seen */

/* The low bits of a completion's user_data say which part of the operation. */
#define RING_PART_MAIN 0
#define RING_PART_FLUSH 1
#define RING_PART_CANCEL 2 /* the request to cancel: nobody waits for it */
#define RING_PART_MASK 7

struct ring_list {
	struct ring_op *first;
	struct ring_op **end;
};

struct ring {
	struct io_uring uring;
	struct ring_list waiting;
	struct ring_list ready;
	struct ring_list cancels;
	uint64_t in_flight; /* completions the kernel owes */
	struct ring_files files;
	void *memory;	    /* registered region, NULL without */
	size_t memory_bytes;
	bool files_registered;
	int slot_fd[RING_FILES];   /* -1: free */
	int16_t slot[RING_FD_MAX]; /* of a descriptor, -1: none */
};

void ring_list_init(struct ring_list *list);
void ring_list_append(struct ring_list *list, struct ring_op *op);
struct ring_op *ring_list_pop(struct ring_list *list);
void ring_list_remove(struct ring_list *list, struct ring_op *op);

/* Turn as many waiting operations as fit into submission entries; true when
 * none is left behind. */
bool ring_prepare(struct ring *ring);

/* One completion of PART of OP; true when that ended the operation and its
 * done() ran. */
bool ring_op_complete(struct ring_op *op, unsigned part, int result);

/* OP has ended: run its done(). */
void ring_op_finish(struct ring_op *op, int result);

#endif
