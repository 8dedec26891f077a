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

#define POINT_REQUESTS_MAX 16 /* takes, and deletes, that wait at one time */

enum point_kind { POINT_CLONE, POINT_KEPT };

struct point_info {
	uint32_t id; /* of its directory, "%08u"; a newer point has a higher one */
	char name[POINT_NAME_MAX + 1]; /* given by the user, or by the retention: never "" */
	enum point_kind kind;
	bool automatic; /* the retention may delete it */
	bool temporary; /* of a restore: whoever took it deletes it; after a crash the next sidecar */
	bool quiesced;	/* the guest's file systems were frozen */
	/* It cannot be trusted: its own files are damaged, or those of a newer one through
	 * which it is read.  If its point.json is, nothing else here is known. */
	bool damaged;
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
/* Is NAME fit for a point?  As a disk's name, and not only digits: -EINVAL with the reason. */
int point_name_check(const char *name, struct errinfo *err);
/* WHAT is a name or an id in digits.  NULL: there is none. */
const struct point_info *point_find(const struct point_info *points, unsigned count,
				    const char *what);

/* A reader holds the point's shared lock (flock on point.json): a point that is
 * being read is not deleted.  Returns the descriptor; -ENOENT: it is gone; -EBUSY:
 * it is just going. */
int point_hold(const char *dir, uint32_t id, struct errinfo *err);

struct point_request {
	char name[POINT_NAME_MAX + 1];
	bool automatic, temporary, quiesced;
};

/* A point of the generation that is the last committed one at this call.
 * Generations may begin and commit meanwhile, and be applied while the heads are being
 * cloned, what they change first (kept: their apply waits until the point has its name).
 * done(ARG, 0) when it is on stable storage: store_points() has it last.
 * -EEXIST: the name is taken; -ENOSPC: POINTS_MAX, or no room; -EINVAL: the name,
 * or no generation yet; -EBUSY: POINT_REQUESTS_MAX wait already.  done() never runs
 * inside this call.  When a generation could not be applied it gets that error.
 * Also of a promoted store, whose heads are frozen. */
void store_point_take(struct store *store, const struct point_request *request,
		      void (*done)(void *arg, int status, const struct errinfo *error), void *arg);
/* done(0): it is gone, and no other point lost anything.  -EBUSY: it is being read;
 * -ENOENT: there is none.  The blocks that only it keeps for an older point go there
 * first, which takes its time; takes go on meanwhile. */
void store_point_delete(struct store *store, uint32_t id,
			void (*done)(void *arg, int status, const struct errinfo *error),
			void *arg);
/* Oldest first; valid until the next take or delete is done. */
const struct point_info *store_points(const struct store *store, unsigned *count);

/* Bytes that the point occupies.  Of a clone: what would be left if nobody else
 * shared its blocks, so these bytes are not gained by deleting it. */
int64_t point_bytes(const char *dir, const struct point_info *point);

/* Paths of a point that is not damaged.  POINT_CLONE has head.raw and sums as in disks/NAME; POINT_KEPT has
 * kept.raw and kept (keep_read.h). */
void point_dir_path(const char *dir, uint32_t id, char *path, size_t size);
void point_head_path(const char *dir, uint32_t id, const char *disk, char *path, size_t size);
void point_sums_path(const char *dir, uint32_t id, const char *disk, char *path, size_t size);
void point_kept_path(const char *dir, uint32_t id, const char *disk, char *path, size_t size);
void point_entries_path(const char *dir, uint32_t id, const char *disk, char *path, size_t size);

#endif
