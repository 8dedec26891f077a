/* SPDX-License-Identifier: Apache-2.0
 *
 * restore: brings one image to one target, every block checked on the way.
 *
 *      [COMPARE ──▶] COPY ──▶ FLUSH ──▶ SEAL ──▶ done
 *          ▲           │ next section
 *          └───────────┘
 *
 *   COMPARE  reads what the target has and notes which blocks differ from their
 *            sums; only when the target's content counts (in place, continued)
 *   COPY     those, or all, from the image to the target; zeros where it needs them
 *   SEAL     the image becomes valid, where its format has a header for that
 *
 * Several restores may share a ring and a pool.
 */
#ifndef BLOCKIO_RESTORE_H
#define BLOCKIO_RESTORE_H

#include <stdbool.h>
#include <stdint.h>

#include "errinfo.h"
#include "image.h"
#include "pool.h"
#include "target.h"

#define RESTORE_BUFFERS_MAX 64	/* of the pool: each may be a write in flight */
#define RESTORE_BAD_MAX 1000 /* bad blocks listed one by one; more are only counted */

struct restore;

struct restore_bad {
	uint64_t offset;
	uint32_t length;
	int status; /* -EUCLEAN: the checksum; else the errno of the read */
};

struct restore_progress {
	uint64_t scanned;	 /* bytes of the disk dealt with, up to its size */
	uint64_t compared_bytes; /* read from the target */
	uint64_t data_bytes;	 /* written to it */
	uint64_t zero_bytes;	 /* made zeros or holes */
	uint64_t bad_bytes;	 /* left out */
	uint64_t bad_count;
};

struct restore_request {
	struct image *image;
	struct target *target;
	struct pool *pool; /* at most RESTORE_BUFFERS_MAX buffers, of the image's blocks */
	unsigned depth;	   /* reads in flight */
	unsigned compare_depth; /* of the target */
	bool compare;	   /* write only what differs from what the target has */
	bool salvage;	   /* leave out what is damaged, as zeros */
};

/* What a restore would bring over: blocks that are not zeros.  Blocking. */
int restore_measure(struct image *image, uint64_t *data_bytes, struct errinfo *err);

/* done(ARG, 0): everything is on stable storage, but for the directory's entry. */
int restore_start(struct restore **restore, const struct restore_request *request,
		  void (*done)(void *arg, int status, const struct errinfo *error), void *arg,
		  struct errinfo *err);
/* Ends soon: what was written is flushed, then done() with -ECANCELED. */
void restore_cancel(struct restore *restore);
void restore_free(struct restore *restore); /* only after done(); NULL is allowed */
const struct restore_progress *restore_progress(const struct restore *restore);
/* min(bad_count, RESTORE_BAD_MAX) of them, in the order they were found. */
const struct restore_bad *restore_bad(const struct restore *restore);

#endif
