/* SPDX-License-Identifier: Apache-2.0
 *
 * copy: brings the wanted extents of one NBD source to a sink, with a full
 * queue of reads in flight, memory bounded by the pool.  The full copy wants all
 * that is not a hole, a delta cycle what the bitmap says is dirty.  Every block
 * is checksummed as it arrives; blocks that are all zeros are handed on as such.
 */
#ifndef BLOCKIO_COPY_H
#define BLOCKIO_COPY_H

#include <stdbool.h>
#include <stdint.h>

#include "errinfo.h"
#include "nbd.h"
#include "pool.h"

/* Where the blocks go, in any order, none twice.  Offsets are block aligned,
 * lengths whole blocks except at the end of the disk. */
struct copy_sink {
	/* Takes BUF (returns it to the pool itself when written).  BUF->sums holds
	 * the sum of every block; the last block is data, those before it whose sum
	 * is SUM_ZERO are zeros, and the sink need not write them.  A negative errno
	 * ends the copy; BUF is taken in any case. */
	int (*data)(struct copy_sink *sink, unsigned disk, uint64_t offset, uint32_t length,
		    struct buf *buf, struct errinfo *err);
	/* LENGTH bytes are zeros; used by COPY_DIRTY, COPY_MAPPED and COPY_CLEAN, otherwise
	 * it may be NULL. */
	int (*zero)(struct copy_sink *sink, unsigned disk, uint64_t offset, uint64_t length,
		    struct errinfo *err);
	/* A block that cannot be read: 0 to go on without it, else the copy ends
	 * with that.  NULL: the first failed read ends the copy.  Not called when
	 * the connection broke: then the copy ends with -ENOTCONN. */
	int (*bad)(struct copy_sink *sink, unsigned disk, uint64_t offset, uint32_t length,
		   int status);
};

enum copy_want {
	COPY_ALLOCATED, /* base:allocation: everything but zeros; zeros are not handed on */
	COPY_DIRTY,	/* dirty bitmap: everything dirty; zeros found are handed on */
	COPY_MAPPED,	/* base:allocation: all; zeros, told or found, are handed on */
	COPY_ALL,	/* no context: the whole disk, zeros found are not handed on */
	COPY_CLEAN,	/* dirty bitmap: what is not dirty; zeros found are handed on */
};

struct copy_progress {
	uint64_t bytes;	  /* handed to the sink, data and zeros */
	uint64_t data_bytes; /* of these, by data() */
	uint64_t scanned; /* position of the extent scan, up to the disk's size */
	uint64_t extents; /* wanted extents seen so far */
	uint64_t bad_bytes;
};

struct copy;

/* Start.  DEPTH reads at most in flight (<= NBD_SOURCE_IN_FLIGHT).  done(ARG,
 * status, error) runs once from ring_run(), when all reads ended and the sink
 * has everything; it may free the copy and close the source.  The source serves
 * nobody else meanwhile. */
int copy_start(struct copy **copy, struct nbd_source *source, struct pool *pool, unsigned disk,
	       enum copy_want want, unsigned depth, struct copy_sink *sink,
	       void (*done)(void *arg, int status, const struct errinfo *error), void *arg,
	       struct errinfo *err);
/* The same for a part of the disk: OFFSET and LENGTH are whole blocks, but at the end
 * of the disk.  Not for COPY_ALL. */
int copy_start_range(struct copy **copy, struct nbd_source *source, struct pool *pool,
		     unsigned disk, enum copy_want want, unsigned depth, uint64_t offset,
		     uint64_t length, struct copy_sink *sink,
		     void (*done)(void *arg, int status, const struct errinfo *error), void *arg,
		     struct errinfo *err);
/* From now on a read begins only while bytes are granted: at once behind the start, of
 * a copy that asks for extents first (not COPY_ALL), none is missed.  The last of a
 * grant may be exceeded by one read. */
void copy_limit(struct copy *copy);
/* BYTES more, but no more than MOST together with what was not used. */
void copy_grant(struct copy *copy, uint64_t bytes, uint64_t most);
void copy_cancel(struct copy *copy); /* done() follows with -ECANCELED, unless it ran */
void copy_free(struct copy *copy);   /* only after done(); NULL is allowed */
const struct copy_progress *copy_progress(const struct copy *copy);

#endif
