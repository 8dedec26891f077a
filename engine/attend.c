/* SPDX-License-Identifier: Apache-2.0
 *
 * attend: see attend.h.
 */
#include "attend.h"

#include <errno.h>

#include "respond.h"
#include "sidecar.h"

static int put_off(struct sidecar *sidecar, const struct errinfo *err)
{
	if (sidecar->state == SIDECAR_PROTECTED)
		sidecar_degrade(sidecar, err->text);
	sidecar->alert = true;
	return 0;
}

/* QEMU would not answer: there is nothing to look at first. */
static bool is_silent(const struct sidecar *sidecar, const struct detect_fault *fault)
{
	int64_t asked_ns = sidecar->sense.facts.asked_ns;

	if (fault->kind == FAULT_QEMU_HANG)
		return true;
	return fault->kind == FAULT_DISK_HANG && !fault->warning && asked_ns &&
	       ring_now_ns() - asked_ns >= detect_limits_default.answer_ns;
}

int attend(struct sidecar *sidecar, struct errinfo *err)
{
	const struct sense_fault *news = sense_next(sidecar);
	int rc;

	if (news && is_silent(sidecar, &news->fault))
		return respond_run(sidecar, err);
	rc = sidecar_look(sidecar, err);
	if (rc == -ETIMEDOUT) /* it hangs: asked again until it answers or is gone */
		return put_off(sidecar, err);
	/* An operator let the held guest go on: so do we.  When it stood still again at once, that
	 * is a new fault, and there may be more to recover from now. */
	if (!rc && sidecar->state == SIDECAR_HELD && sidecar->resumes != sidecar->held_resumes)
		sidecar_let_go(sidecar);
	if (rc)
		return rc;
	if (sidecar->monitor.unanswered && (sidecar->fault.kind != FAULT_NONE || sense_next(sidecar)))
		rc = leftovers_tidy(sidecar, err);
	if (rc == -ETIMEDOUT || rc == -ENOTCONN)
		return rc == -ETIMEDOUT ? put_off(sidecar, err) : rc;
	err_clear(err); /* what stands in the way the recovery will say */
	if (sidecar->fault.kind == FAULT_NONE || !sidecar->stopped)
		return respond_run(sidecar, err);
	/* An operator's turn, or there is nothing yet to recover from. */
	if (!(sidecar->state == SIDECAR_HELD && sidecar->full.cleared) && !recover_can(sidecar))
		return 0;
	recover_run(sidecar, err);
	return sidecar->monitor.closed ? -ENOTCONN : 0;
}
