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

bool rollback_goes_on(const struct sidecar *sidecar, const char *status)
{
	return sidecar->sense.stopped_again ||
	       (strcmp(status, "paused") && strcmp(status, "prelaunch"));
}

/* STOP comes before the drain, the answer to query-status after it.  One who stopped it since
 * we asked last is heeded. */
static int stop_guest(struct sidecar *sidecar, struct errinfo *err)
{
	struct rollback *rollback = sidecar->rollback;
	const char *before;
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
	before = json_text(batch.entries[0].result, "status");
	/* Without an answer in time: QEMU stops it yet, and goes on by the `cont` behind that. */
	rollback->ran = !strcmp(before, "running") ||
			(batch.entries[0].status == -ETIMEDOUT && guest_running(&sidecar->guest));
	rollback->resume &= rollback_goes_on(sidecar, before);
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

/* QEMU stops it for the swap, should it run: then it goes back to its disks. */
static int swap(struct sidecar *sidecar, struct errinfo *err)
{
	struct rollback *rollback = sidecar->rollback;
	int rc = still_stands(sidecar, err);

	if (rc)
		return rc;
	rollback->swapping = true;
	rc = promote_swap(sidecar, rollback->promotions, rollback->count, err);
	if (rc)
		return rc;
	rc = still_stands(sidecar, err);
	if (rc)
		promote_unswap(sidecar, rollback->promotions, rollback->count);
	return rc;
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
		rc = swap(sidecar, err);
	timeline_mark(&rollback->timeline, "swap");
	return rc;
}

int rollback_exchange_failed(struct sidecar *sidecar, struct errinfo *err)
{
	int rc = take_before(sidecar, err);

	if (!rc)
		rc = swap(sidecar, err);
	timeline_mark(&sidecar->rollback->timeline, "swap");
	if (rc)
		return rc;
	/* From here on an error is a new one. */
	sidecar->fault.kind = FAULT_NONE;
	sidecar->faulted = 0;
	sidecar->full.cleared = false;
	return 0;
}
