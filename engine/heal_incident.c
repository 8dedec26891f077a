/* SPDX-License-Identifier: Apache-2.0
 *
 * heal_incident: what was found on a disk, what is done about it and why, and how it went.
 * The blocks of one window of the scrub are one incident: a bad disk has thousands.
 */
#include <stdio.h>

#include "heal.h"
#include "mind.h"
#include "sidecar.h"
#include "situation.h"

void heal_incident_begin(struct sidecar *sidecar, const struct heal_block *bad,
			 struct heal_tally *tally)
{
	struct detect_fault fault = {.kind = FAULT_DISK_CORRUPT, .cause = CAUSE_BAD_SECTOR,
				     .index = (int)bad->disk, .warning = true};
	struct mind *mind = sidecar->config->mind;
	struct policy_facts facts;

	if ((sidecar->scrub.told | sidecar->scrub.failing) >> bad->disk & 1)
		return;
	snprintf(fault.evidence, sizeof(fault.evidence), "the scrub found %u bad blocks of the disk "
		 "that the replica has, the first at offset %llu", tally->found,
		 (unsigned long long)bad->offset);
	mind_begin(mind, sidecar->guest.name, loop_realtime_us(), &fault,
		   sidecar->guest.disks[bad->disk].name);
	situation_gather(sidecar, &fault, &facts);
	facts.able |= STRATEGY_BIT(STRATEGY_HEAL);
	facts.head_intact = true; /* these blocks of it are */
	facts.heal_blocks = tally->found;
	facts.elapsed_us = 1; /* it is known */
	tally->begun = true;
	/* Whoever may not heal says so for each block. */
	if (mind_decide_beside(mind, &facts, ring_now_ns())->strategy != STRATEGY_HEAL)
		mind_forget(mind);
}

/* A guest that stands still waits for no report; and what was not tried is none. */
void heal_incident_end(struct sidecar *sidecar, unsigned disk, const struct heal_tally *tally)
{
	struct mind *mind = sidecar->config->mind;
	const char *result = tally->healed == tally->tried ? "recovered" : "failed";
	uint64_t bit = UINT64_C(1) << disk;
	char reason[ERRINFO_TEXT_MAX + 64];

	if (tally->healed)
		sidecar->scrub.failing &= ~bit;
	if (!tally->begun)
		return;
	if (!tally->tried || sidecar->fault.kind != FAULT_NONE) {
		mind_forget(mind);
		return;
	}
	sidecar->scrub.told |= bit;
	if (!tally->healed)
		sidecar->scrub.failing |= bit;
	snprintf(reason, sizeof(reason), "%u of %u blocks are healed%s%s", tally->healed,
		 tally->found, tally->why[0] ? ": " : "", tally->why);
	mind_end_beside(mind, result, tally->pause_ms, reason, loop_realtime_us());
}
