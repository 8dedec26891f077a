/* SPDX-License-Identifier: Apache-2.0
 *
 * policy_precondition: which strategies are an answer to which fault, and what each
 * of them needs.
 */
#include "policy.h"

#define RESETS_MANY 2 /* so many did not help: the state on the disks is the reason */

#define BIT(name) STRATEGY_BIT(STRATEGY_##name)

static const uint32_t sensible[FAULT_KINDS] = {
	[FAULT_DISK_WRITE] = BIT(RESUME) | BIT(HEAL) | BIT(PIVOT) | BIT(ROLLBACK) | BIT(RESTORE),
	[FAULT_DISK_READ] = BIT(RESUME) | BIT(HEAL) | BIT(PIVOT) | BIT(ROLLBACK) | BIT(RESTORE),
	[FAULT_DISK_FULL] = BIT(RESUME) | BIT(PIVOT) | BIT(MIRROR) | BIT(ROLLBACK),
	[FAULT_DISK_HANG] = BIT(PIVOT) | BIT(RESTART) | BIT(FAILOVER),
	[FAULT_DISK_CORRUPT] = BIT(HEAL) | BIT(PIVOT) | BIT(RESTORE),
	[FAULT_DISK_DEGRADING] = BIT(MIRROR) | BIT(PIVOT),
	[FAULT_REPLICA] = 0, /* the guest is not touched */
	[FAULT_QEMU_EXIT] = BIT(RESTART) | BIT(FAILOVER),
	[FAULT_QEMU_HANG] = BIT(RESTART) | BIT(FAILOVER),
	[FAULT_GUEST_PANIC] = BIT(RESET) | BIT(ROLLBACK) | BIT(RESTART),
	[FAULT_GUEST_WATCHDOG] = BIT(RESET) | BIT(ROLLBACK),
	[FAULT_GUEST_SILENT] = BIT(RESET) | BIT(ROLLBACK),
	[FAULT_MEMORY] = BIT(FAILOVER) | BIT(RESTART),
	[FAULT_NIC] = BIT(RELINK),
	[FAULT_HOST] = BIT(FAILOVER),
};

uint32_t policy_sensible(enum fault_kind kind)
{
	return sensible[kind] | BIT(HOLD);
}

/* --- preconditions: NULL, or what is missing --- */

bool policy_is_blind(const struct policy_facts *facts)
{
	return facts->untried && !facts->cleared && facts->fault.cause == CAUSE_UNKNOWN;
}

static const char *resume_lacks(const struct policy_facts *facts)
{
	if (facts->running)
		return "the guest runs";
	if (facts->fault.cause == CAUSE_TRANSIENT || facts->cleared || policy_is_blind(facts))
		return NULL;
	return "what failed would fail again";
}

static const char *replica_lacks(const struct policy_facts *facts)
{
	if (!facts->replica_ready)
		return "the replica is not complete";
	if (facts->on_replica)
		return "the disk was moved before and has no replica";
	return facts->head_intact ? NULL : "the replica's head is damaged";
}

static const char *heal_lacks(const struct policy_facts *facts)
{
	const char *lacks = replica_lacks(facts);

	if (lacks)
		return lacks;
	if (facts->fault.cause != CAUSE_BAD_SECTOR)
		return "it is more than a bad sector";
	if (!facts->heal_blocks)
		return "no block is known that may be healed (--scrub-rate, --heal)";
	return facts->heal_stale ? "a bad block was written after the last generation" : NULL;
}

static const char *pivot_lacks(const struct policy_facts *facts)
{
	const char *lacks = replica_lacks(facts);

	if (lacks)
		return lacks;
	if (facts->fault.warning)
		return "nothing is broken yet, and the guest would be left without a replica";
	if (!facts->swappable)
		return "the device does not take another disk while it runs";
	if (facts->fault.kind == FAULT_DISK_HANG)
		return facts->yankable ? NULL
				       : "requests that hang keep QEMU from letting the disk go";
	if (facts->sync)
		return NULL;
	if (!facts->covered)
		return "QEMU's bitmaps do not reach back to the replica's generation";
	if (facts->source == SOURCE_UNREADABLE) /* a disk that says it is gone is asked, too */
		return "the newest writes cannot be read from the failing disk";
	return NULL;
}

static const char *mirror_lacks(const struct policy_facts *facts)
{
	if (!facts->spare)
		return "there is no spare to copy to";
	if (!facts->running)
		return "the guest does not run";
	return facts->fault.warning ? NULL : "the disk does not work any more";
}

static const char *guest_lacks(const struct policy_facts *facts)
{
	if (facts->fault.cause == CAUSE_PANIC_DUMPING)
		return "the guest is writing its crash dump";
	if (facts->fault.kind == FAULT_GUEST_SILENT && facts->guest_progress)
		return "the agent is silent, but the guest is at work";
	if (facts->fault.kind == FAULT_GUEST_WATCHDOG && facts->running && facts->guest_progress)
		return "its watchdog was not served, but the guest is at work";
	return NULL;
}

static const char *rollback_lacks(const struct policy_facts *facts)
{
	const char *lacks = replica_lacks(facts);

	if (!lacks && fault_of_guest(facts->fault.kind)) {
		lacks = guest_lacks(facts);
		if (!lacks && facts->resets < RESETS_MANY)
			lacks = "resets were not tried often enough";
		if (!lacks && !facts->points)
			lacks = "there is no point from before the first of these faults";
	}
	if (!lacks && !facts->swappable)
		lacks = "the device does not take another disk while it runs";
	return lacks;
}

static const char *restore_lacks(const struct policy_facts *facts)
{
	if (facts->replica_ready && facts->head_intact)
		return "the replica's head is good";
	if (!facts->points)
		return "there is no point in time to restore";
	if (!facts->swappable)
		return "the device does not take another disk while it runs";
	return facts->spare ? NULL : "there is no spare to restore to";
}

static const char *restart_lacks(const struct policy_facts *facts)
{
	if (!facts->restart_known)
		return facts->restart_why ?: "it is not known how this QEMU was started";
	if (facts->fault.kind == FAULT_QEMU_HANG && facts->fault.cause == CAUSE_UNKNOWN)
		return "QEMU's process lives: it is waited for";
	if (facts->fault.kind == FAULT_DISK_HANG)
		return replica_lacks(facts);
	if (facts->fault.kind == FAULT_MEMORY && facts->fault.cause != CAUSE_DEAD && facts->running)
		return "the guest was told of its bad page and runs";
	if (facts->fault.kind == FAULT_GUEST_PANIC && facts->qemu_alive)
		return "QEMU lives: a reset does";
	return NULL;
}

static const char *reset_lacks(const struct policy_facts *facts)
{
	if (facts->resets >= RESETS_MANY)
		return "resets did not help";
	return guest_lacks(facts);
}

bool policy_failover_boots(const struct policy_facts *facts)
{
	return !facts->fault.warning || !facts->qemu_alive || !facts->qemu_answers;
}

static const char *failover_lacks(const struct policy_facts *facts)
{
	if (!facts->standby)
		return "there is no standby";
	if (facts->fault.kind == FAULT_QEMU_HANG && facts->fault.cause == CAUSE_UNKNOWN)
		return "QEMU's process lives: its guest may still run";
	if (!policy_failover_boots(facts))
		return NULL; /* whether the standby has its images, that itself tells */
	if (!facts->standby_boots)
		return "the standby takes a running guest, it does not boot one";
	if (!facts->restart_known)
		return facts->restart_why ?: "it is not known how this QEMU was started";
	return replica_lacks(facts);
}

static bool needs_qemu(enum strategy strategy)
{
	return strategy != STRATEGY_RESTART && strategy != STRATEGY_FAILOVER &&
	       strategy != STRATEGY_HOLD;
}

static bool interrupts(enum strategy strategy)
{
	return strategy == STRATEGY_ROLLBACK || strategy == STRATEGY_RESTORE ||
	       strategy == STRATEGY_RESTART || strategy == STRATEGY_RESET;
}

static const char *own_precondition(const struct policy_facts *facts, enum strategy strategy)
{
	switch (strategy) {
	case STRATEGY_RESUME:
		return resume_lacks(facts);
	case STRATEGY_HEAL:
		return heal_lacks(facts);
	case STRATEGY_PIVOT:
		return pivot_lacks(facts);
	case STRATEGY_MIRROR:
		return mirror_lacks(facts);
	case STRATEGY_ROLLBACK:
		return rollback_lacks(facts);
	case STRATEGY_RESTORE:
		return restore_lacks(facts);
	case STRATEGY_RESTART:
		return restart_lacks(facts);
	case STRATEGY_RESET:
		return reset_lacks(facts);
	case STRATEGY_FAILOVER:
		return failover_lacks(facts);
	case STRATEGY_RELINK:
		return facts->nic_replaceable ? NULL : "the card's peer is not there, or QEMU connects by itself";
	default:
		return NULL;
	}
}

const char *policy_precondition(const struct policy_facts *facts, enum strategy strategy)
{
	if (strategy == STRATEGY_HOLD)
		return NULL;
	if (!(policy_sensible(facts->fault.kind) & STRATEGY_BIT(strategy)))
		return "it is no answer to this fault";
	if (!(facts->able & STRATEGY_BIT(strategy)))
		return facts->able == STRATEGY_BIT(STRATEGY_HOLD) ? "no sidecar runs"
								  : "this version cannot do it yet";
	if (facts->tried & STRATEGY_BIT(strategy))
		return "it was tried for this fault already";
	if (facts->not_now)
		return facts->not_now;
	if (facts->paused_by_owner && facts->qemu_alive)
		return "the guest's owner paused it";
	if (needs_qemu(strategy) && !facts->qemu_alive)
		return "QEMU is gone";
	if (needs_qemu(strategy) && !facts->qemu_answers)
		return "QEMU does not answer";
	if (facts->fault.warning && interrupts(strategy))
		return "nothing is broken yet, and it would interrupt the guest";
	return own_precondition(facts, strategy);
}
