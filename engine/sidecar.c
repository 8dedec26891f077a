/* SPDX-License-Identifier: Apache-2.0 */
#include "sidecar.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "notify.h"

static const char *const state_names[] = {
	[SIDECAR_ATTACHING] = "attaching",   [SIDECAR_COPYING] = "copying",
	[SIDECAR_PROTECTED] = "protected",   [SIDECAR_DEGRADED] = "degraded",
	[SIDECAR_RECOVERING] = "recovering", [SIDECAR_RECOVERED] = "recovered",
	[SIDECAR_HELD] = "held",
};

const char *sidecar_state_name(enum sidecar_state state)
{
	return state_names[state];
}

void sidecar_set_state(struct sidecar *sidecar, enum sidecar_state state)
{
	if (sidecar->state == state)
		return;
	if (state == SIDECAR_HELD)
		sidecar->held_resumes = sidecar->resumes;
	sidecar->state = state;
	notify_status(state_names[state]);
}

void sidecar_degrade(struct sidecar *sidecar, const char *why)
{
	bool news = sidecar->state != SIDECAR_DEGRADED || strcmp(sidecar->degraded_why, why);

	snprintf(sidecar->degraded_why, sizeof(sidecar->degraded_why), "%s", why);
	sidecar_set_state(sidecar, SIDECAR_DEGRADED);
	if (!news)
		return;
	log_warn("protection of %s is behind: %s; the guest is not touched", sidecar->guest.name,
		 why);
	report_event(&sidecar->report, "degraded", json_pack("{s:s}", "reason", why));
}

int sidecar_covered(const struct sidecar *sidecar, struct errinfo *err)
{
	if (!sidecar->steady)
		return err_set(err, -EAGAIN, "the guest is not protected yet: %.400s",
			       sidecar->degraded_why);
	if (sidecar->uncovered)
		return err_set(err, -EAGAIN, "the replica is being compared with the disks; try "
			       "again when the state is protected");
	return 0;
}

void sidecar_let_go(struct sidecar *sidecar)
{
	if (store_info(sidecar->store)->promoted)
		sidecar_set_state(sidecar, SIDECAR_RECOVERED);
	else
		sidecar_degrade(sidecar, "the guest was held and goes on");
}
