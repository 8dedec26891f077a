/* SPDX-License-Identifier: Apache-2.0
 *
 * rollback: puts the running guest back to a point, when somebody asks by the
 * control socket.
 *
 *   IDLE --order--> COPYING --all disks--> switch over --> IDLE
 *
 *   copy     while the guest runs and cycles go on, each disk as it was at the
 *            point becomes a plain raw file below promoted/ (rollback_copy.h)
 *   capture  the guest is stopped; its last writes become a generation, and that
 *            a point, so that the roll back can be undone
 *   swap     the files take the disks' place
 *   reset    the guest's memory is newer than its disks
 *   go on    new bitmaps, and the replica follows by checksum
 *
 * What is under way stands in promoted/rollback.json (rollback_record.h) from
 * before the stop on: whoever is killed, the next start finishes it or takes it
 * back, for all disks alike (rollback_settle.c).
 *
 * Nodes and images of a roll back are disks like any other: their names begin with
 * ROLLBACK_NODE and not with that of an overlay, so a pivot may leave them.
 */
#ifndef ENGINE_ROLLBACK_H
#define ENGINE_ROLLBACK_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "errinfo.h"

struct sidecar;
struct rollback;
struct point_info;
struct timeline;

#define ROLLBACK_NODE "qheal-r"

/* Begin with ORDER, {"point"}, the one that the flow has taken from the control
 * socket; it is answered when all is over. */
void rollback_order(struct sidecar *sidecar, const json_t *order);
/* Is there something to do?  For the steady loop. */
bool rollback_wants(const struct sidecar *sidecar);
void rollback_run(struct sidecar *sidecar);
/* As the answer to a fault, waiting for all of it; the steps go to TIMELINE.  *TOLD:
 * point, before, images and so on, for the event; a reference.  On failure the guest
 * stands or runs as before, or it is held half-way (SIDECAR_HELD). */
int rollback_now(struct sidecar *sidecar, const struct point_info *point,
		 struct timeline *timeline, json_t **told, struct errinfo *err);
/* As the answer to a disk that failed, when the guest stands still and the last generation
 * cannot be had: the images go to the spare directory, each block is verified on its way,
 * and nothing is asked of the disks of before.  -EAGAIN: somebody let the guest go on, or
 * it would be stopped by us now. */
struct rollback_spare {
	const char *dir;
	uint64_t lost_bytes; /* for the record */
	unsigned resumes;    /* the guest's, when it was seen to stand still */
	bool bad; /* result: nothing was done, as the point cannot be read or does not verify */
};
int rollback_restore(struct sidecar *sidecar, const struct point_info *point,
		     struct rollback_spare *spare, struct timeline *timeline, json_t **told,
		     struct errinfo *err);
/* Before the store is closed. */
void rollback_stop(struct sidecar *sidecar);

/* At a start: finish or take back what an earlier sidecar began, and remove what
 * no guest needs. */
int rollback_settle(struct sidecar *sidecar, struct errinfo *err);
/* All disks are exchanged: reset the guest, note that it is about to run on them, and let it
 * go on if RESUME. */
int rollback_reset(struct sidecar *sidecar, bool resume, struct errinfo *err);

#endif
