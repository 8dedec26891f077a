/* SPDX-License-Identifier: Apache-2.0
 *
 * reprotect: after a pivot the guest runs on overlays above heads that stand still,
 * and nothing protects it.  With --spare DIR it is moved on to images of its own
 * there, disk by disk, while it runs; then the heads are free, and follow by
 * checksum as after a restart of QEMU.
 *
 *   WAITING --due--> MOVING --ready, completed--> WAITING for the next disk
 *      ^               | error
 *      +---back-off----+         no disk left: the heads are free, state DEGRADED
 *
 * Killed anywhere, what QEMU runs on tells the next start how far it was: a disk on
 * an overlay is to be moved, a disk on a spare image has been.
 *
 * A guest that is held because such an overlay fails can be read still, perhaps:
 * then it is moved, too, and goes on.
 */
#ifndef ENGINE_REPROTECT_H
#define ENGINE_REPROTECT_H

#include "mirror.h"

struct reprotect {
	struct mirror mirror;
	int64_t due_ns;	  /* the next look, or attempt */
	int64_t retry_ms; /* after an attempt that failed; 0: none did */
	int64_t begun_ns;
	int64_t told_ns; /* event `progress` */
	int64_t copied_ns; /* the copy was complete */
	bool lost;	 /* a recovery lost data: what is left of the disks of before stays */
};

/* For the steady loop. */
bool reprotect_wants(const struct sidecar *sidecar);
int64_t reprotect_due_ns(const struct sidecar *sidecar);
/* One step.  Waits only for what QEMU does at once, and for the end of a copy. */
void reprotect_run(struct sidecar *sidecar);
/* Before the monitor is closed. */
void reprotect_stop(struct sidecar *sidecar);

/* Every disk that the store handed out by an overlay has left it for good: it runs on a
 * spare image, or the overlay is gone. */
bool reprotect_is_over(const struct sidecar *sidecar);
/* Then the heads are free again.  The store is closed and opened, NULL when that fails. */
int reprotect_free_heads(struct sidecar *sidecar, struct errinfo *err);

/* Bytes a second that the objective allows a copy beside the guest; 0: no limit. */
uint64_t reprotect_rate(const struct sidecar *sidecar);

/* --spare can be used: -EINVAL and the like, in words. */
int reprotect_check_spare(const struct sidecar *sidecar, struct errinfo *err);

#endif
