/* SPDX-License-Identifier: Apache-2.0
 *
 * What recover.c (the steps of a recovery), recover_decide.c (which they are),
 * recover_restore.c (a point, when all else is bad) and recover_report.c (what is told and
 * kept of it) share.
 */
#ifndef ENGINE_RECOVER_PRIVATE_H
#define ENGINE_RECOVER_PRIVATE_H

#include "policy.h"
#include "promote.h"
#include "sidecar.h"
#include "timeline.h"

struct recovery {
	struct sidecar *sidecar;
	struct copy_sink sink; /* to the overlay of each disk */
	struct timeline timeline;
	struct promotion promotions[BOUND_DISKS];
	unsigned count;
	struct fault fault;
	enum sidecar_state before; /* of the sidecar */
	uint64_t members; /* bit set of the disks to pivot */
	const char *strategy;
	uint64_t dirty_bytes, lost_bytes, moved_bytes;
	unsigned resumes; /* of the guest, before our `cont` */
	unsigned stood;	  /* the same, when it was seen to stand still */
	int64_t swap_ns;
	double downtime_ms;
	unsigned tries; /* of the catch-up */
	bool source_failed;
	uint32_t tried; /* STRATEGY_BIT()s */
};

/* recover_decide.c: noted in the incident.  ALL_DIRTY: bytes that the guest would lose if
 * all disks went back to the last generation. */
const struct policy_verdict *recovery_decide(struct recovery *recovery, enum policy_source source,
					     uint64_t all_dirty);
/* recover_decide.c: what its errors come from, as far as is known now. */
enum detect_cause recovery_cause(const struct recovery *recovery);
/* recover.c: `cont`, and wait until it runs. */
int recovery_resume(struct recovery *recovery, bool reset, struct errinfo *err);
/* recover_retry.c: nobody has tried again what failed, as far as we know. */
bool recovery_may_retry(const struct recovery *recovery);
/* -EIO: it failed again, and the guest stands still. */
int recovery_retry(struct recovery *recovery, struct errinfo *err);

/* recover_end.c: nothing was exchanged, or not for good.  The guest stays paused, and that is
 * told; the code of WHY. */
int recovery_give_up(struct recovery *recovery, const char *strategy, const struct errinfo *why);
/* Somebody let it go on. */
int recovery_call_off(struct recovery *recovery, const struct errinfo *why);
/* What had failed works again: 0. */
int recovery_resumed(struct recovery *recovery);
/* And its incident with it. */
void recovery_qemu_ended(struct recovery *recovery);

/* recover_restore.c: the newest point that verifies becomes the disks of all, in the spare
 * directory.  DIRTY_BYTES: that no generation has.  0: it boots, and that was told; else it
 * stands as before, or half-way (rollback.h).  -EAGAIN: somebody let it go on. */
int recovery_restore(struct recovery *recovery, uint64_t dirty_bytes, struct errinfo *err);
/* To WHY, of a guest that is held: how its operator gets at a point, if only that is left. */
void recovery_hint(const struct recovery *recovery, struct errinfo *why);

/* recover_retry.c: -EAGAIN: somebody let the guest go on since it was seen to stand. */
int recovery_still_stands(const struct recovery *recovery, struct errinfo *err);
/* recover_retry.c: the same disk fails again and again: not at once.  -EAGAIN: somebody
 * let the guest go on. */
int recovery_back_off(struct recovery *recovery, int64_t until_ns, struct errinfo *err);

/* Event `recovered`; the guest runs again. */
void recovery_report(struct recovery *recovery);
/* The same of a restore; TOLD: its own fields. */
void recovery_report_restored(struct recovery *recovery, json_t *told);
/* The same, when nothing was exchanged. */
void recovery_report_resumed(struct recovery *recovery);
/* What a step takes is learned, for predictions. */
void recovery_learn(const struct recovery *recovery);
/* The report of the incident is begun, with the fault. */
void recovery_begin_incident(struct recovery *recovery);
/* The incident is over, one way or the other; the guest does not wait for it.
 * RESULT as in incident.h; REASON may be NULL. */
void recovery_close_incident(struct recovery *recovery, const char *result, const char *reason);

#endif
