/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of a roll back share: rollback.c, which somebody asked for, and
 * rollback_now.c, the answer to a fault.
 */
#ifndef ENGINE_ROLLBACK_PRIVATE_H
#define ENGINE_ROLLBACK_PRIVATE_H

#include "point.h"
#include "promote.h"
#include "rollback_copy.h"
#include "sidecar.h"
#include "timeline.h"

struct rollback {
	struct point_info point;
	uint64_t ticket; /* of the client that waits */
	bool by_fault;	 /* nobody waits: it answers a fault, which respond.c tells */
	int hold_fd;	 /* the point does not go meanwhile */
	unsigned count;	 /* of the promotions: the disks begun */
	unsigned serial; /* of the images of this point */
	struct promotion promotions[BOUND_DISKS];
	struct rollback_copy copy; /* of the last of them */
	uint64_t copied_bytes;
	char dir[PATH_MAX]; /* of the images; "": below promoted/ */
	uint64_t lost_bytes;
	unsigned resumes; /* of the guest, when its disk had failed */
	char before[POINT_NAME_MAX + 1];
	struct timeline timeline;
	int64_t start_ns, stopped_us;
	bool resume; /* the guest is to run when it is over */
	bool ran;    /* until we stopped it */
	bool swapping; /* the exchange was begun */
};

/* sidecar->rollback is there when 0.  DIR: for the images, NULL: promoted/. */
int rollback_begin(struct sidecar *sidecar, const struct point_info *point, const char *dir,
		   uint64_t ticket, struct errinfo *err);
/* The next disk's copy begins; its outcome comes from the ring. */
int rollback_copy_next(struct sidecar *sidecar, struct errinfo *err);
/* All disks are there: exchange them.  On failure it was taken back, or the guest is
 * held; -ENOTCONN with a closed monitor: QEMU is gone. */
int rollback_switch_over(struct sidecar *sidecar, struct errinfo *err);
/* rollback_exchange.c: a guest with this STATUS is to run afterwards: it runs, or stands for a
 * fault, or by a pause of ours that met one, and not by its owner's. */
bool rollback_goes_on(const struct sidecar *sidecar, const char *status);
/* Of a guest that is stopped for it.  -EAGAIN: somebody let it go on since,
 * and it has its own disks: what it wrote is in no point. */
int rollback_exchange(struct sidecar *sidecar, struct errinfo *err);
/* The same, when a disk has failed and the guest stands still since `resumes` was noted. */
int rollback_exchange_failed(struct sidecar *sidecar, struct errinfo *err);
void rollback_files_remove(const struct rollback *rollback);
void rollback_end(struct sidecar *sidecar);
/* What the event says of it, whoever wanted it. */
json_t *rollback_told_of(const struct sidecar *sidecar);

#endif
