/* SPDX-License-Identifier: Apache-2.0
 *
 * rollback_now: a roll back that answers a fault: the guest is of no use until it is
 * over, so everything waits for it.
 */
#include <errno.h>

#include "rollback.h"
#include "rollback_check.h"
#include "rollback_private.h"

static bool copied_or_leaving(void *arg)
{
	const struct sidecar *sidecar = arg;

	return sidecar->rollback->copy.outcome.known || sidecar->loop.quit;
}

static int copy_all(struct sidecar *sidecar, struct errinfo *err)
{
	struct rollback *rollback = sidecar->rollback;
	int rc = 0;

	while (!rc && rollback->count < sidecar->guest.disk_count) {
		rc = rollback_copy_next(sidecar, err);
		if (!rc)
			loop_until(&sidecar->loop, copied_or_leaving, sidecar, INT64_MAX);
		if (!rc && !rollback->copy.outcome.known) {
			rollback_copy_cancel(&rollback->copy);
			rc = err_set(err, -EINTR, "the sidecar is to end");
		}
		if (!rc && rollback->copy.outcome.status)
			rc = err_set(err, rollback->copy.outcome.status, "%s",
				     rollback->copy.outcome.err.text);
		if (rc == -EINTR)
			loop_until_set(&sidecar->loop, &rollback->copy.outcome.known, INT64_MAX);
		rollback_copy_release(&rollback->copy);
		rollback->copied_bytes += rc ? 0 : rollback->copy.data_bytes;
	}
	timeline_mark(&rollback->timeline, "copy");
	if (rc)
		rollback_files_remove(rollback);
	return rc;
}

int rollback_now(struct sidecar *sidecar, const struct point_info *point,
		 struct timeline *timeline, json_t **told, struct errinfo *err)
{
	int rc = 0;

	*told = NULL;
	if (sidecar->rollback)
		return err_set(err, -EBUSY, "a roll back to point %s is under way",
			       sidecar->rollback->point.name);
	rc = rollback_check_disks(sidecar, point, err);
	if (!rc)
		rc = rollback_check_room(sidecar, point, err);
	if (!rc)
		rc = rollback_begin(sidecar, point, 0, err);
	if (rc)
		return rc;
	sidecar->rollback->by_fault = true;
	sidecar->rollback->timeline = *timeline;
	rc = copy_all(sidecar, err);
	if (!rc)
		rc = rollback_switch_over(sidecar, err);
	*timeline = sidecar->rollback->timeline;
	if (!rc)
		*told = rollback_told_of(sidecar);
	rollback_end(sidecar);
	return rc;
}
