/* SPDX-License-Identifier: Apache-2.0
 *
 * recover_report: what is told and kept of a recovery: events, the report of the
 * incident, and what the models learn from it.
 */
#include "recover_private.h"

#include <stdio.h>
#include <string.h>

#include "jsontext.h"
#include "mind.h"

#define LATE_MOST_US 60000000 /* so much older than it came an event may be */

/* By QEMU's own stamps; by our clock when the host's was set meanwhile. */
static double downtime_of(const struct recovery *recovery)
{
	const struct sidecar *sidecar = recovery->sidecar;
	int64_t us = sidecar->resume_us - recovery->fault.time_us;

	int64_t ours_us = (ring_now_ns() - sidecar->fault_ns) / 1000;

	return (double)(us > 0 && us < ours_us + LATE_MOST_US ? us : ours_us) / 1e3;
}

void recovery_report(struct recovery *recovery)
{
	struct sidecar *sidecar = recovery->sidecar;
	double downtime_ms = downtime_of(recovery);
	json_t *images = promote_images_json(recovery->sidecar, recovery->promotions,
					     recovery->count, "qcow2");
	json_t *fields;

	recovery->downtime_ms = downtime_ms;
	fields = json_pack("{s:s,s:I,s:f,s:f,s:I,s:I,s:o,s:O,s:o}", "strategy", recovery->strategy,
			   "generation", (json_int_t)store_info(sidecar->store)->generation,
			   "downtime_ms", downtime_ms, "swap_ms", (double)recovery->swap_ns / 1e6,
			   "lost_bytes", (json_int_t)recovery->lost_bytes, "catch_up_bytes",
			   (json_int_t)recovery->moved_bytes, "steps",
			   timeline_json(&recovery->timeline), "image", json_array_get(images, 0),
			   "images", images);
	json_decref(sidecar->last_recovery);
	sidecar->last_recovery = json_incref(fields);
	log_info("%s runs again after %.1f ms; disk %s now lives in %s", sidecar->guest.name,
		 downtime_ms, sidecar->guest.disks[recovery->promotions[0].disk].name,
		 recovery->promotions[0].image);
	report_event(&sidecar->report, "recovered", fields);
}

void recovery_report_resumed(struct recovery *recovery)
{
	struct sidecar *sidecar = recovery->sidecar;
	json_t *fields;

	recovery->downtime_ms = downtime_of(recovery);
	fields = json_pack("{s:s,s:I,s:f,s:I,s:o}", "strategy", "resume", "generation",
			   (json_int_t)store_info(sidecar->store)->generation, "downtime_ms",
			   recovery->downtime_ms, "lost_bytes", (json_int_t)0, "steps",
			   timeline_json(&recovery->timeline));
	json_decref(sidecar->last_recovery);
	sidecar->last_recovery = json_incref(fields);
	log_info("%s runs again after %.1f ms: what failed works now", sidecar->guest.name,
		 recovery->downtime_ms);
	report_event(&sidecar->report, "recovered", fields);
}

void recovery_report_restored(struct recovery *recovery, json_t *told)
{
	struct sidecar *sidecar = recovery->sidecar;
	json_t *fields;

	recovery->downtime_ms = downtime_of(recovery);
	recovery->moved_bytes = (uint64_t)json_integer_value(json_object_get(told, "copied_bytes"));
	fields = json_pack("{s:s,s:f,s:I,s:o}", "strategy", recovery->strategy, "downtime_ms",
			   recovery->downtime_ms, "lost_bytes", (json_int_t)recovery->lost_bytes,
			   "steps", timeline_json(&recovery->timeline));
	json_object_update(fields, told);
	json_decref(sidecar->last_recovery);
	sidecar->last_recovery = json_incref(fields);
	log_warn("%s boots on point %s, after %.1f ms; its disks live in %s now: start QEMU on these "
		 "images next time; up to %llu bytes are lost, what the replica has of them is in "
		 "point %s", sidecar->guest.name, json_text(told, "point"), recovery->downtime_ms,
		 sidecar->config->spare, (unsigned long long)recovery->lost_bytes,
		 json_text(told, "before"));
	report_event(&sidecar->report, "recovered", fields);
}

/* What a step takes is learned only from recoveries without a second try. */
void recovery_learn(const struct recovery *recovery)
{
	enum strategy strategy = strategy_by_name(recovery->strategy);

	if (recovery->tries > 1 || recovery->tried & ~STRATEGY_BIT(strategy))
		return;
	mind_learn(recovery->sidecar->config->mind, strategy, &recovery->timeline,
		   recovery->moved_bytes);
}

void recovery_begin_incident(struct recovery *recovery)
{
	const struct sidecar *sidecar = recovery->sidecar;
	const struct guest_disk *disk = &sidecar->guest.disks[recovery->fault.disk];
	struct detect_fault fault = {.kind = recovery->fault.kind,
				     .cause = recovery_cause(recovery),
				     .index = recovery->fault.disk};

	snprintf(fault.evidence, sizeof(fault.evidence), "%s", recovery->fault.detail);
	mind_begin(sidecar->config->mind, sidecar->guest.name, recovery->fault.time_us, &fault,
		   disk->name);
}

void recovery_close_incident(struct recovery *recovery, const char *result, const char *reason)
{
	struct mind *mind = recovery->sidecar->config->mind;
	json_t *steps = timeline_json(&recovery->timeline);
	double downtime_ms = recovery->downtime_ms;

	if (downtime_ms <= 0) /* it still stands, or the clock was set back */
		downtime_ms = (double)(ring_now_ns() - recovery->sidecar->fault_ns) / 1e6;
	mind_end(mind, result, downtime_ms, recovery->lost_bytes, reason, steps,
		 loop_realtime_us(), ring_now_ns());
	json_decref(steps);
	if (!strcmp(result, "recovered"))
		aftercare_begin(recovery->sidecar, strategy_by_name(recovery->strategy),
				&(struct detect_fault){.kind = recovery->fault.kind,
						       .index = recovery->fault.disk},
				recovery->sidecar->guest.disks[recovery->fault.disk].name, 0);
}
