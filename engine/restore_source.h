/* SPDX-License-Identifier: Apache-2.0
 *
 * restore_source: which point in time is restored, and how its images come to be
 * readable: a point is held so that nobody deletes it.  The latest generation is
 * a temporary point of the running sidecar, which moves the heads on meanwhile;
 * without a sidecar the store is locked, and the heads are it.
 */
#ifndef ENGINE_RESTORE_SOURCE_H
#define ENGINE_RESTORE_SOURCE_H

#include <stdbool.h>

#include "errinfo.h"
#include "point.h"
#include "pool.h"
#include "ring.h"
#include "store.h"

struct restore_source {
	const char *dir;
	struct store_info info;
	struct store *store;	  /* open and locked; NULL: a point is read */
	struct point_info *point; /* NULL: the heads */
	bool temporary;		  /* the point was taken for this */
	bool refused;		  /* a sidecar is there, and gave no point */
	int hold_fd;
	const char *name; /* of the point, or "latest" */
	uint64_t generation;
	int64_t time_us;
	unsigned disk_count;
	const struct store_disk *disks;
};

/* WHAT: a point's name or id, or "latest".  Changes nothing: what is there and
 * what disks it has.  -EUCLEAN: it has them, and a journal that is damaged. */
int restore_source_find(struct restore_source *source, const char *dir, const char *what,
			struct errinfo *err);
/* Make it readable, and sure.  POOL has all its buffers. */
int restore_source_open(struct restore_source *source, struct ring *ring, struct pool *pool,
			struct errinfo *err);
/* The latest generation does not hold DISK, of source->disks, whole: it was added, or grew. */
bool restore_source_lacks(const struct restore_source *source, const struct store_disk *disk);
void restore_source_release(struct restore_source *source); /* also what find() left */

#endif
