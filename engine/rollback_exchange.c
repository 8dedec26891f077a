/* SPDX-License-Identifier: Apache-2.0
 *
 * rollback_exchange: the images are ready: the guest stands still, what it has is kept in a
 * point, and the images take its disks' place, all of them or none.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "jsontext.h"
#include "outcome.h"
#include "rollback_private.h"

/* Not its owner's: it stands for a fault, or by a pause of ours that met one. */
static bool by_fault(const struct sidecar *sidecar, const json_t *status)
{
	const char *text = json_text(status, "status");

	return sidecar->sense.stopped_again ||
	       (strcmp(text, "paused") && strcmp(text, "prelaunch"));
}

/* STOP comes before the drain, the answer to query-status after it.  One who stopped it since
 * we asked last is heeded. */
static int stop_guest(struct sidecar *sidecar, struct errinfo *err)
{
	struct rollback *rollback = sidecar->rollback;
	struct batch batch;
	int rc;

	rollback->stopped_us = loop_realtime_us();
	batch_init(&batch, &sidecar->monitor);
	batch_add(&batch, "query-status", NULL);
	batch_add(&batch, "stop", NULL);
	batch_add(&batch, "query-status", NULL);
	rc = batch_run(&batch, err);
	if (!rc)
		rc = guest_parse_status(&sidecar->guest, batch.entries[2].result);
	rollback->ran = !strcmp(json_text(batch.entries[0].result, "status"), "running");
	rollback->resume &= rollback->ran || by_fault(sidecar, batch.entries[0].result);
	sidecar->paused_by_us = rollback->ran;
	rollback->resumes = sidecar->resumes;
	batch_release(&batch);
	timeline_mark(&rollback->timeline, "stop");
	return rc && !err->code ? err_set(err, rc, "QEMU does not tell the guest's state") : rc;
}

static int take_before(struct sidecar *sidecar, struct errinfo *err)
{
	struct point_request request = {0};
	struct outcome taken = {0};
	const struct point_info *points;
	unsigned count;
	int rc;

	snprintf(request.name, sizeof(request.name), "%s", sidecar->rollback->before);
	store_point_take(sidecar->store, &request, outcome_set, &taken);
	rc = outcome_wait(&taken, &sidecar->loop, err);
	timeline_mark(&sidecar->rollback->timeline, "point");
	if (rc)
		return rc;
	points = store_points(sidecar->store, &count);
	report_event(&sidecar->report, "point",
		     json_pack("{s:I,s:s,s:I,s:b,s:b,s:b}", "id",
			       (json_int_t)points[count - 1].id, "name", request.name, "generation",
			       (json_int_t)points[count - 1].generation, "automatic", 0,
			       "temporary", 0, "quiesced", 0));
	return 0;
}

static int still_stands(const struct sidecar *sidecar, struct errinfo *err)
{
	if (sidecar->resumes == sidecar->rollback->resumes)
		return 0;
	return err_set(err, -EAGAIN, "somebody let the guest go on meanwhile");
}

/* What the guest has written to the last byte, kept; then the other disks. */
int rollback_exchange(struct sidecar *sidecar, struct errinfo *err)
{
	struct rollback *rollback = sidecar->rollback;
	int rc = stop_guest(sidecar, err);

	if (!rc)
		rc = cycle_run(sidecar, err);
	timeline_mark(&rollback->timeline, "capture");
	if (!rc)
		rc = take_before(sidecar, err);
	if (!rc && sidecar->fault.kind != FAULT_NONE)
		rc = err_set(err, -EIO, "disk %s failed while the guest was being stopped: %s",
			     sidecar->guest.disks[sidecar->fault.disk].name,
			     sidecar->fault.detail);
	if (!rc)
		rc = still_stands(sidecar, err);
	rollback->swapping = !rc;
	if (!rc)
		rc = promote_swap(sidecar, rollback->promotions, rollback->count, err);
	if (!rc)
		rc = still_stands(sidecar, err);
	if (rc == -EAGAIN)
		promote_unswap(sidecar, rollback->promotions, rollback->count);
	timeline_mark(&rollback->timeline, "swap");
	return rc;
}

/* The swap stops it, should it run: then it goes back to its disks. */
int rollback_exchange_failed(struct sidecar *sidecar, struct errinfo *err)
{
	struct rollback *rollback = sidecar->rollback;
	int rc = take_before(sidecar, err);

	if (!rc)
		rc = still_stands(sidecar, err);
	rollback->swapping = !rc;
	if (!rc)
		rc = promote_swap(sidecar, rollback->promotions, rollback->count, err);
	if (!rc)
		rc = still_stands(sidecar, err);
	if (rc == -EAGAIN)
		promote_unswap(sidecar, rollback->promotions, rollback->count);
	timeline_mark(&rollback->timeline, "swap");
	if (rc)
		return rc;
	/* From here on an error is a new one. */
	sidecar->fault.kind = FAULT_NONE;
	sidecar->faulted = 0;
	sidecar->full.cleared = false;
	return 0;
}
