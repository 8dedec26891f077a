/* SPDX-License-Identifier: Apache-2.0
 *
 * recover_restore: a disk failed, and the replica's head is bad: neither pivot nor the
 * last generation.  What verifies is a point in time: all disks of the guest become
 * images of it in the spare directory, and it is reset (rollback.h).  A point of which a
 * block is bad is left for the next older one, whose loss is told first.
 *
 * What the replica has of the last generation becomes a point before: most of it is
 * good, and `qheal restore --salvage` gives it.
 */
#include "recover_private.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "mind.h"
#include "respond.h"
#include "rollback.h"
#include "situation.h"
#include "tell.h"

/* The announced point is no use: WHY. */
static void announce_older(struct recovery *recovery, const struct point_info *point,
			   const struct errinfo *why)
{
	static struct policy_verdict verdict; /* large, and what was decided stays as it is */
	struct sidecar *sidecar = recovery->sidecar;

	log_warn("restore: %s", why->text);
	tell_failed(sidecar, "restore", why->text, "restore", NULL);
	verdict = sidecar->config->mind->verdict;
	verdict.candidates[STRATEGY_RESTORE].loss_bytes = recovery->lost_bytes;
	snprintf(verdict.why, sizeof(verdict.why), "a newer point is bad: point %s, and %llu bytes "
		 "lost at most", point->name, (unsigned long long)recovery->lost_bytes);
	respond_announce(sidecar, &verdict);
}

int recovery_restore(struct recovery *recovery, uint64_t dirty_bytes, struct errinfo *err)
{
	struct sidecar *sidecar = recovery->sidecar;
	struct rollback_spare spare = {.dir = sidecar->config->spare, .resumes = recovery->stood};
	const struct point_info *found;
	uint32_t before = UINT32_MAX;
	unsigned left;
	json_t *told;
	int rc = 0;

	while ((found = situation_newest(sidecar, before, &left))) {
		struct point_info point = *found; /* the list may become another */

		recovery->lost_bytes = spare.lost_bytes =
			situation_since(sidecar, &point, dirty_bytes);
		if (rc)
			announce_older(recovery, &point, err);
		err_clear(err);
		rc = rollback_restore(sidecar, &point, &spare, &recovery->timeline, &told, err);
		if (!rc) {
			recovery_report_restored(recovery, told);
			json_decref(told);
			return 0;
		}
		if (!spare.bad)
			break;
		before = point.id;
	}
	recovery->lost_bytes = 0;
	return rc ? rc : err_set(err, -ENOENT, "there is no point in time to restore");
}

void recovery_hint(const struct recovery *recovery, struct errinfo *why)
{
	const struct sidecar *sidecar = recovery->sidecar;
	const uint64_t all = (UINT64_C(1) << sidecar->guest.disk_count) - 1;
	const struct point_info *point;
	char text[ERRINFO_TEXT_MAX];
	unsigned count;

	if (damage_none(&sidecar->damage, all, false))
		return;
	point = situation_newest(sidecar, UINT32_MAX, &count);
	if (!point)
		return;
	snprintf(text, sizeof(text), "%s", why->text);
	snprintf(why->text, sizeof(why->text), "%.180s; the replica's head is damaged, but `qheal "
		 "restore --store %.120s --disk NAME --point %s --output PATH` gives a disk as it was at "
		 "the newest point", text, store_dir(sidecar->store), point->name);
}
