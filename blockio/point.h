/* SPDX-License-Identifier: Apache-2.0
 *
 * point: a retained point in time: all disks of the guest as they were at one
 * generation.  Where the file system can share blocks a point is a clone of the
 * heads, plain raw images with their sums; elsewhere it holds the blocks that
 * the heads have lost since (kept), and the rest is found in newer points and in
 * the heads.
 *
 * Layout: STORE/points/ID/point.json, and per disk ID/NAME/head.raw and sums
 * (clone) or kept.raw and kept (docs/FORMAT.md).
 */
#ifndef BLOCKIO_POINT_H
#define BLOCKIO_POINT_H

#include <stdbool.h>
#include <stdint.h>

#include "errinfo.h"
#include "store.h"

#define POINT_NAME_MAX 63
#define POINTS_MAX 1024 /* retention plans stay far below; memory and start-up are bounded */

enum point_kind { POINT_CLONE, POINT_KEPT };

struct point_info {
	uint32_t id; /* of its directory, "%08u"; a newer point has a higher one */
	char name[POINT_NAME_MAX + 1]; /* given by the user, or by the retention: never "" */
	enum point_kind kind;
	bool automatic; /* the retention may delete it */
	bool temporary; /* goes when nobody reads it any more: of a restore */
	bool quiesced;	/* the guest's file systems were frozen */
	uint64_t generation;
	int64_t time_us;  /* its point in time, CLOCK_REALTIME microseconds */
	int64_t taken_us; /* when it was made */
	unsigned disk_count;
	struct store_disk disks[STORE_DISKS_MAX];
};

/* Without lock and without changing anything; also beside a running sidecar.
 * *POINTS is malloc()ed, oldest first. 0 also when there is none. */
int points_list(const char *dir, struct point_info **points, unsigned *count,
		struct errinfo *err);
/* WHAT is a name or an id in digits.  NULL: there is none. */
const struct point_info *point_find(const struct point_info *points, unsigned count,
				    const char *what);

/* A reader holds the point's shared lock (flock on point.json): a point that is
 * being read is not deleted.  Returns the descriptor. */
int point_hold(const char *dir, uint32_t id, struct errinfo *err);

struct point_request {
	char name[POINT_NAME_MAX + 1];
	bool automatic, temporary, quiesced;
};

/* A point of the last committed generation.  Generations may begin and commit
 * meanwhile, only their apply waits while the heads are being cloned.
 * done(ARG, 0) when it is on stable storage: store_points() has it last.
 * -EEXIST: the name is taken; -ENOSPC: POINTS_MAX, or no room. */
void store_point_take(struct store *store, const struct point_request *request,
		      void (*done)(void *arg, int status, const struct errinfo *error), void *arg);
/* done(0): it is gone, and no other point lost anything.  -EBUSY: it is being read. */
void store_point_delete(struct store *store, uint32_t id,
			void (*done)(void *arg, int status, const struct errinfo *error),
			void *arg);
/* Oldest first; valid until the next take or delete is done. */
const struct point_info *store_points(const struct store *store, unsigned *count);

/* Path of the raw image of DISK in a POINT_CLONE. */
void point_head_path(const char *dir, uint32_t id, const char *disk, char *path, size_t size);

#endif
