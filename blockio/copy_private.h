/* SPDX-License-Identifier: Apache-2.0
 *
 * What copy.c (life of a copy), copy_scan.c (extents into runs) and copy_read.c
 * (runs into buffers) share.
 */
#ifndef BLOCKIO_COPY_PRIVATE_H
#define BLOCKIO_COPY_PRIVATE_H

#include "copy.h"

/* Extents alternate, so a reply has at most every second one wanted. */
#define COPY_REPLY_RUNS (NBD_SOURCE_EXTENTS_MAX / 2 + 1)
#define COPY_RUNS (NBD_SOURCE_STATUS_IN_FLIGHT * COPY_REPLY_RUNS)

/* Wanted bytes, whole blocks, not yet asked for. */
struct copy_run {
	uint64_t offset;
	uint64_t length;
};

/* A part of the disk whose extents are being asked for. */
struct copy_window {
	struct copy *copy;
	uint64_t offset; /* the next extent starts here */
	uint64_t end;	 /* block aligned, or the end of the disk */
	uint64_t asked;	 /* length of the request in flight, 0: none */
	uint64_t taken;	 /* blocks before this are in a run already */
};

struct copy_scan {
	uint64_t next;	       /* windows were made up to here */
	uint64_t window_bytes; /* of the next request: less when replies are cut */
	unsigned in_flight;
	unsigned run_first;
	unsigned run_count;
	struct copy_window windows[NBD_SOURCE_STATUS_IN_FLIGHT];
	struct copy_run runs[COPY_RUNS];
};

/*
 *   IDLE ──▶ WHOLE ──▶ IDLE           all read at once
 *              │ failed
 *              ▼        bad block
 *            SINGLE ─────────────▶ WAITING (for a buffer) ──▶ SINGLE
 */
enum copy_read_state { COPY_READ_IDLE, COPY_READ_WHOLE, COPY_READ_SINGLE, COPY_READ_WAITING };

struct copy_read {
	struct copy *copy;
	struct buf *buf;
	enum copy_read_state state;
	uint32_t length; /* from offset on, to be read */
	uint32_t filled; /* SINGLE: of these, read and good */
	uint64_t offset; /* of buf->data */
};

struct copy {
	struct nbd_source *source;
	struct pool *pool;
	struct copy_sink *sink;
	void (*done)(void *arg, int status, const struct errinfo *error);
	void *arg;
	struct ring_op end; /* runs done() */
	struct pool_waiter waiter;
	enum copy_want want;
	unsigned disk;
	unsigned depth;
	uint64_t size; /* where it ends: that of the disk, or of the part wanted */
	uint32_t block_bytes;
	uint32_t buffer_bytes;
	bool busy; /* at work: what the sink or the pool calls back into must not pump */
	bool ended;
	bool limited;
	int64_t granted; /* less than 0: the next grants pay for it */
	unsigned reads_in_flight;
	unsigned reads_waiting;
	struct errinfo error; /* code 0: all is well */
	struct copy_progress progress;
	struct copy_run zeros; /* found, not yet handed on */
	struct copy_scan scan;
	struct copy_read reads[NBD_SOURCE_IN_FLIGHT];
};

static inline bool copy_hands_zeros(enum copy_want want)
{
	return want == COPY_DIRTY || want == COPY_MAPPED || want == COPY_CLEAN;
}

/* Something happened: start what can be started, end what is to end. */
void copy_pump(struct copy *copy);

void copy_scan_init(struct copy *copy);
void copy_scan_pump(struct copy *copy);
bool copy_scan_done(const struct copy *copy); /* all asked, no run left */

/* Up to LENGTH bytes of the first run; 0 when there is none. */
uint32_t copy_scan_take(struct copy *copy, uint32_t length, uint64_t *offset);

void copy_read_pump(struct copy *copy);
/* Zeros that the sink is to hear of, if this copy hands them on. */
void copy_zeros_found(struct copy *copy, uint64_t offset, uint64_t length);
void copy_zeros_flush(struct copy *copy);

#endif
