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

	return sidecar->rollback->copy.outcome.known || sidecar->loop.quit ||
	       sidecar->monitor.closed;
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
			rc = sidecar->monitor.closed
				     ? err_set(err, -ENOTCONN, "QEMU closed the connection")
				     : err_set(err, -EINTR, "the sidecar is to end");
			loop_until_set(&sidecar->loop, &rollback->copy.outcome.known, INT64_MAX);
		}
		if (!rc && rollback->copy.outcome.status)
			rc = err_set(err, rollback->copy.outcome.status, "%s",
				     rollback->copy.outcome.err.text);
		rollback_copy_release(&rollback->copy);
		rollback->copied_bytes += rc ? 0 : rollback->copy.data_bytes;
	}
	timeline_mark(&rollback->timeline, "copy");
	if (rc)
		rollback_files_remove(rollback);
	return rc;
}

static int check(struct sidecar *sidecar, const struct point_info *point, const char *dir,
		 struct errinfo *err)
{
	int rc;

	if (sidecar->rollback)
		return err_set(err, -EBUSY, "a roll back to point %s is under way",
			       sidecar->rollback->point.name);
	rc = rollback_check_disks(sidecar, point, err);
	return rc ? rc : rollback_check_room(sidecar, point, dir, err);
}

int rollback_now(struct sidecar *sidecar, const struct point_info *point,
		 struct timeline *timeline, json_t **told, struct errinfo *err)
{
	int rc = check(sidecar, point, NULL, err);

	*told = NULL;
	if (!rc)
		rc = rollback_begin(sidecar, point, NULL, 0, err);
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

/* --- a disk has failed --- */

/* Not of the spare directory: there an older point would fare no better. */
static bool of_the_point(int status)
{
	return status == -EUCLEAN || status == -EIO || status == -ENOENT || status == -ESTALE;
}

int rollback_restore(struct sidecar *sidecar, const struct point_info *point,
		     struct rollback_spare *spare, struct timeline *timeline, json_t **told,
		     struct errinfo *err)
{
	int rc = check(sidecar, point, spare->dir, err);

	*told = NULL;
	if (!rc)
		rc = rollback_begin(sidecar, point, spare->dir, 0, err);
	spare->bad = of_the_point(rc);
	if (rc)
		return rc;
	sidecar->rollback->by_fault = true;
	sidecar->rollback->lost_bytes = spare->lost_bytes;
	sidecar->rollback->resumes = spare->resumes;
	sidecar->rollback->timeline = *timeline;
	rc = copy_all(sidecar, err);
	spare->bad = of_the_point(rc);
	if (!rc)
		rc = rollback_switch_over(sidecar, err);
	/* Of a point that was no use the time counts, not the steps. */
	if (!spare->bad)
		*timeline = sidecar->rollback->timeline;
	if (!rc)
		*told = rollback_told_of(sidecar);
	rollback_end(sidecar);
	return rc;
}
