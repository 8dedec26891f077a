/* SPDX-License-Identifier: Apache-2.0
 *
 * recover_decide: what is to be done about disks that failed.  Twice: the moment the guest
 * stands still, by what is known then, for whoever listens; and in earnest when what was
 * under way has ended and QEMU's requests are drained, by exact figures.
 */
#include "recover_private.h"

#include "mind.h"
#include "response.h"
#include "sense.h"
#include "situation.h"
#include "tell.h"

enum detect_cause recovery_cause(const struct recovery *recovery)
{
	return recovery->fault.kind == FAULT_DISK_FULL
		       ? CAUSE_FULL : sense_cause(recovery->sidecar, recovery->fault.disk);
}

/* ALL_DIRTY: what the guest would lose if all disks went back. */
static void gather(const struct recovery *recovery, enum policy_source source, uint64_t all_dirty,
		   struct policy_facts *facts)
{
	struct sidecar *sidecar = recovery->sidecar;

	*facts = (struct policy_facts){
		.fault = {.kind = recovery->fault.kind,
			  .cause = recovery_cause(recovery),
			  .index = recovery->fault.disk},
		.able = strategies_able(),
		.qemu_alive = true,
		.qemu_answers = true,
		.cleared = sidecar->full.cleared,
		.untried = recovery_may_retry(recovery),
		.replica_ready = true, /* settle_and_measure() found its bitmaps, and no overlay */
		.covered = true,
		.swappable = true,
		.source = source,
		.disk_bytes = sidecar->guest.disks[recovery->fault.disk].size,
		.dirty_bytes = recovery->dirty_bytes,
		.all_dirty_bytes = all_dirty,
		.tried = recovery->tried |
			 (source == SOURCE_UNREADABLE
				  ? STRATEGY_BIT(STRATEGY_PIVOT) | STRATEGY_BIT(STRATEGY_RESUME) : 0),
	};
	situation_of_failed(sidecar, recovery->members, facts);
}

const struct policy_verdict *recovery_decide(struct recovery *recovery, enum policy_source source,
					     uint64_t all_dirty)
{
	struct policy_facts facts;

	gather(recovery, source, all_dirty, &facts);
	facts.elapsed_us = (uint64_t)(ring_now_ns() - recovery->sidecar->fault_ns) / 1000;
	return mind_decide(recovery->sidecar->config->mind, &facts, ring_now_ns());
}

bool recover_can(const struct sidecar *sidecar)
{
	/* Without a store for a moment: reprotect.c opens it anew, and events come meanwhile. */
	return sidecar->store && sidecar->state != SIDECAR_HELD && !sidecar->uncovered &&
	       store_info(sidecar->store)->state == STORE_READY;
}

static bool is_unseen(const struct sidecar *sidecar)
{
	return sidecar->steady && sidecar->fault.kind != FAULT_NONE &&
	       !sidecar->foreseen_ns && sidecar->state != SIDECAR_RECOVERING &&
	       recover_can(sidecar) &&
	       !promote_is_ours(sidecar, &sidecar->guest.disks[sidecar->fault.disk]);
}

/* What will have passed when it is decided in earnest. */
static uint64_t elapsed_then_us(const struct sidecar *sidecar)
{
	const struct model *model = &sidecar->config->mind->model;
	double to_come_ms = model_step_ms(model, STRATEGY_PIVOT, "wait") +
			    model_step_ms(model, STRATEGY_PIVOT, "drain");

	return (uint64_t)(ring_now_ns() - sidecar->fault_ns) / 1000 + (uint64_t)(to_come_ms * 1e3);
}

void recover_foresee(struct sidecar *sidecar)
{
	static struct recovery recovery; /* large, and one a process */
	static struct policy_verdict verdict;
	struct policy_facts facts;

	if (!is_unseen(sidecar))
		return;
	recovery = (struct recovery){.sidecar = sidecar, .fault = sidecar->fault,
				     .members = sidecar->faulted};
	/* As QEMU told before the latest generation was begun. */
	guest_dirty_bytes(&sidecar->guest, recovery.members, sidecar->checkpoint.last,
			  &recovery.dirty_bytes, NULL);
	gather(&recovery, SOURCE_UNKNOWN, situation_dirty(sidecar, UINT64_MAX), &facts);
	facts.elapsed_us = elapsed_then_us(sidecar);
	mind_consider(sidecar->config->mind, &facts, ring_now_ns(), &verdict);
	sidecar->foreseen_ns = ring_now_ns();
	tell_decision(sidecar, verdict.strategy,
		      verdict.candidates[verdict.strategy].prediction.downtime_ms,
		      loop_realtime_us() - sidecar->fault.time_us);
}
