/* SPDX-License-Identifier: Apache-2.0
 *
 * rollback_copy: one disk of a point becomes a plain raw file, from the ring.
 *
 *   CLONE --> FLUSH --> CHECK --> done     the point is a clone: blocks are shared,
 *     |                                    and all are read once and checked
 *     +--cannot--> COPY --> done           each block is checked on its way
 */
#ifndef ENGINE_ROLLBACK_COPY_H
#define ENGINE_ROLLBACK_COPY_H

#include <limits.h>

#include "clone.h"
#include "image.h"
#include "outcome.h"
#include "restore.h"

struct rollback_copy {
	struct pool *pool;
	char path[PATH_MAX];
	struct outcome outcome; /* known: it is over */
	uint64_t data_bytes;	/* result: what is not zeros */

	/* private */
	struct image *image;
	struct target *target;
	struct restore *restore;
	struct imagecopy *check;
	struct copy_sink sink;
	struct clone clone;
	struct ring_op flush;
	int from, to;
	bool cancelled;
};

/* The bytes that the disk would take as a copy.  Blocking, by the page cache. */
int rollback_copy_measure(struct ring *ring, const char *dir, const struct point_info *point,
			  const char *disk, uint64_t *bytes, struct errinfo *err);
/* PATH must not exist.  The point is held by the caller.  Release it, also when
 * this failed; the file stays. */
int rollback_copy_start(struct rollback_copy *copy, struct pool *pool, const char *dir,
			const struct point_info *point, const char *disk, uint64_t size,
			const char *path, struct errinfo *err);
void rollback_copy_cancel(struct rollback_copy *copy); /* its outcome follows soon */
void rollback_copy_release(struct rollback_copy *copy); /* nothing under way */

#endif
