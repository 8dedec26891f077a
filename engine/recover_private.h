/* SPDX-License-Identifier: Apache-2.0
 *
 * What recover.c (the steps of a recovery) and recover_report.c (what is told and
 * kept of it) share.
 */
#ifndef ENGINE_RECOVER_PRIVATE_H
#define ENGINE_RECOVER_PRIVATE_H

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
	uint64_t members; /* bit set of the disks to pivot */
	const char *strategy;
	uint64_t dirty_bytes, lost_bytes, caught_up_bytes;
	unsigned resumes; /* of the guest, before our `cont` */
	int64_t swap_ns;
	double downtime_ms;
	unsigned tries; /* of the catch-up */
	bool source_failed;
	uint32_t tried; /* STRATEGY_BIT()s */
};

/* recover.c: `cont`, and wait until it runs. */
int recovery_resume(struct recovery *recovery, bool reset, struct errinfo *err);
/* recover_retry.c: nobody has tried again what failed, as far as we know. */
bool recovery_may_retry(const struct recovery *recovery);
/* -EIO: it failed again, and the guest stands still. */
int recovery_retry(struct recovery *recovery, struct errinfo *err);

/* Event `recovered`; the guest runs again. */
void recovery_report(struct recovery *recovery);
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
