/* SPDX-License-Identifier: Apache-2.0
 *
 * policy: see policy.h.
 */
#include "policy.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define NS_PER_S INT64_C(1000000000)
#define BLIND 0.1 /* of the tries that succeed where something shows that it will: what reaches
		   * QEMU as an error was tried again by the kernel, or by the disk */
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

void policy_settings_default(struct policy_settings *settings)
{
	*settings = (struct policy_settings){
		.weights = model_weights_default,
		.flap_limit = 10, /* within ten minutes: more is not repaired by repairing */
		.flap_window_ns = 600 * NS_PER_S,
		.backoff_ns = 1 * NS_PER_S,
		.backoff_max_ns = 60 * NS_PER_S,
	};
	for (unsigned kind = 0; kind < FAULT_KINDS; kind++)
		settings->allowed[kind] = policy_sensible((enum fault_kind)kind);
}

/* --- preconditions: NULL, or what is missing --- */

/* Nothing shows that it works again, and nothing that it does not. */
static bool is_blind(const struct policy_facts *facts)
{
	return facts->untried && !facts->cleared && facts->fault.cause == CAUSE_UNKNOWN;
}

static const char *resume_lacks(const struct policy_facts *facts)
{
	if (facts->running)
		return "the guest runs";
	if (facts->fault.cause == CAUSE_TRANSIENT || facts->cleared || is_blind(facts))
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
		return "it is not known which blocks are bad";
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
	if (facts->source == SOURCE_UNREADABLE ||
	    (facts->fault.cause == CAUSE_DEAD && facts->source != SOURCE_READABLE))
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

bool policy_of_guest(enum fault_kind kind)
{
	return kind >= FAULT_GUEST_PANIC && kind <= FAULT_GUEST_SILENT; /* fault.h's order */
}

static const char *guest_lacks(const struct policy_facts *facts)
{
	if (facts->fault.cause == CAUSE_PANIC_DUMPING)
		return "the guest is writing its crash dump";
	if (facts->fault.kind == FAULT_GUEST_SILENT && facts->guest_progress)
		return "the agent is silent, but the guest is at work";
	return NULL;
}

static const char *rollback_lacks(const struct policy_facts *facts)
{
	const char *lacks = replica_lacks(facts);

	if (!lacks && policy_of_guest(facts->fault.kind)) {
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
		return "QEMU's process lives: its monitor is tried again";
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

/* QEMU refuses to migrate poisoned memory, and one that is gone cannot. */
static bool failover_boots(const struct policy_facts *facts)
{
	return !facts->fault.warning || !facts->qemu_alive || !facts->qemu_answers;
}

static const char *failover_lacks(const struct policy_facts *facts)
{
	if (!facts->standby)
		return "there is no standby";
	if (facts->fault.kind == FAULT_QEMU_HANG && facts->fault.cause == CAUSE_UNKNOWN)
		return "QEMU's process lives: its guest may still run";
	if (!failover_boots(facts))
		return NULL;
	return facts->standby_boots ? replica_lacks(facts)
				    : "the standby takes a running guest, it does not boot one";
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
		return "this version cannot do it yet";
	if (facts->tried & STRATEGY_BIT(strategy))
		return "it was tried for this fault already";
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

/* --- loss --- */

/* What was acknowledged to the guest and is gone afterwards. */
static uint64_t loss_of(const struct policy_facts *facts, enum strategy strategy)
{
	switch (strategy) {
	case STRATEGY_ROLLBACK:
		if (policy_of_guest(facts->fault.kind))
			return facts->point_loss_bytes;
		return facts->sync ? 0 : facts->all_dirty_bytes;
	case STRATEGY_RESTORE:
		return facts->point_loss_bytes;
	case STRATEGY_PIVOT: /* what is given up cannot be read; then all disks go back */
		return facts->fault.kind == FAULT_DISK_HANG && !facts->sync && facts->dirty_bytes
			       ? facts->all_dirty_bytes : 0;
	case STRATEGY_RESTART:
		return facts->fault.kind == FAULT_DISK_HANG && !facts->sync
			       ? facts->all_dirty_bytes : 0;
	case STRATEGY_FAILOVER:
		return failover_boots(facts) && !facts->sync ? facts->all_dirty_bytes : 0;
	default:
		return 0;
	}
}

/* A retry that fails costs another error, and the guest's requests drain again. */
static void weigh_blind(const struct model *model, struct policy_candidate *candidate)
{
	double again_ms = model_median(model, MODEL_DETECT) + model_median(model, MODEL_DRAIN);

	candidate->success *= BLIND;
	candidate->prediction.downtime_ms += again_ms;
	candidate->prediction.work_ms += again_ms;
}

/* --- the choice --- */

static bool in_window(const struct policy_facts *facts, const struct policy_settings *settings,
		      unsigned i, int64_t now_ns)
{
	return now_ns - facts->history[i].time_ns < settings->flap_window_ns;
}

static bool flaps(const struct policy_facts *facts, const struct policy_settings *settings,
		  int64_t now_ns)
{
	unsigned count = 0;

	for (unsigned i = 0; i < facts->history_count; i++)
		count += in_window(facts, settings, i, now_ns);
	return count >= settings->flap_limit;
}

static int64_t backoff(const struct policy_facts *facts, const struct policy_settings *settings,
		       int64_t now_ns)
{
	int64_t wait_ns = settings->backoff_ns, last_ns = 0;
	unsigned count = 0;

	for (unsigned i = 0; i < facts->history_count; i++) {
		if (facts->history[i].resource != facts->fault.index ||
		    !in_window(facts, settings, i, now_ns))
			continue;
		last_ns = facts->history[i].time_ns;
		count++;
		if (count > 2 && wait_ns < settings->backoff_max_ns)
			wait_ns *= 2;
	}
	if (wait_ns > settings->backoff_max_ns)
		wait_ns = settings->backoff_max_ns;
	return count >= 2 && last_ns + wait_ns > now_ns ? last_ns + wait_ns : 0;
}

static void weigh(const struct policy_facts *facts, const struct policy_settings *settings,
		  const struct model *model, enum strategy strategy, bool flapping,
		  struct policy_candidate *candidate)
{
	struct model_work work = {.dirty_bytes = facts->dirty_bytes, .disk_bytes = facts->disk_bytes,
				  .point_bytes = facts->point_bytes,
				  .heal_blocks = facts->heal_blocks};
	const char *lacks = policy_precondition(facts, strategy);

	model_predict(model, strategy, &work, &candidate->prediction);
	candidate->loss_bytes = loss_of(facts, strategy);
	candidate->success = model_success(model, strategy);
	if (strategy == STRATEGY_RESUME && is_blind(facts))
		weigh_blind(model, candidate);
	candidate->cost = model_cost(&settings->weights, strategy, &candidate->prediction,
				     candidate->loss_bytes);
	/* The guest has to leave the overlay again, with all that it has. */
	if (strategy == STRATEGY_PIVOT)
		candidate->cost += settings->weights.moved_gib * (double)facts->disk_bytes /
				   (1 << 30);
	candidate->feasible = !lacks;
	candidate->allowed = strategy == STRATEGY_HOLD ||
			     settings->allowed[facts->fault.kind] & STRATEGY_BIT(strategy);
	if (lacks)
		candidate->why_not = lacks;
	else if (!candidate->allowed)
		candidate->why_not = "the configuration does not allow it for this fault";
	else if (strategy == STRATEGY_HOLD)
		candidate->why_not = "something can be done";
	else if (flapping)
		candidate->why_not = "the flap limit is reached";
	else if (candidate->loss_bytes && settings->on_loss == ON_LOSS_HOLD)
		candidate->why_not = "it would lose data and on-loss is hold";
	candidate->eligible = !candidate->why_not;
}

/* A loss is never accepted where there is a way without. */
static void prefer_lossless(struct policy_verdict *verdict)
{
	bool lossless = false;

	for (unsigned i = 0; i < STRATEGIES; i++)
		lossless |= verdict->candidates[i].eligible && !verdict->candidates[i].loss_bytes;
	for (unsigned i = 0; i < STRATEGIES && lossless; i++) {
		struct policy_candidate *candidate = &verdict->candidates[i];

		if (!candidate->eligible || !candidate->loss_bytes)
			continue;
		candidate->eligible = false;
		candidate->why_not = "it would lose data, and there is a way without loss";
	}
}

static double measure_of(const struct policy_candidate *candidate,
			 const struct policy_settings *settings)
{
	return settings->objective == OBJECTIVE_FAST ? candidate->prediction.downtime_ms +
							       candidate->prediction.boot_ms
						     : candidate->cost;
}

static void score(const struct policy_settings *settings, struct policy_verdict *verdict)
{
	for (unsigned i = 0; i < STRATEGIES; i++) {
		struct policy_candidate *candidate = &verdict->candidates[i];
		double next = settings->objective == OBJECTIVE_FAST
				      ? POLICY_HOLD_MS
				      : settings->weights.downtime_s * POLICY_HOLD_MS / 1e3;

		for (unsigned j = 0; j < STRATEGIES; j++) {
			if (j != i && verdict->candidates[j].eligible)
				next = fmin(next, measure_of(&verdict->candidates[j], settings));
		}
		candidate->score = measure_of(candidate, settings) +
				   (1 - candidate->success) * next;
	}
}

static void choose(const struct policy_settings *settings, struct policy_verdict *verdict)
{
	struct policy_candidate *chosen = NULL;

	for (unsigned i = 0; i < STRATEGIES; i++) {
		struct policy_candidate *candidate = &verdict->candidates[i];

		if (!candidate->eligible || (chosen && candidate->score >= chosen->score))
			continue;
		chosen = candidate;
		verdict->strategy = (enum strategy)i;
	}
	if (!chosen) {
		verdict->strategy = STRATEGY_HOLD;
		verdict->candidates[STRATEGY_HOLD].why_not = NULL;
		return;
	}
	chosen->why_not = NULL;
	for (unsigned i = 0; i < STRATEGIES; i++) {
		if (verdict->candidates[i].eligible && &verdict->candidates[i] != chosen)
			verdict->candidates[i].why_not =
				settings->objective == OBJECTIVE_FAST
					? "more downtime is expected of it"
					: "it is expected to cost more";
	}
}

/* Hold is explained by what kept the nearest strategy from it: one that could have
 * been, rather than one that could not. */
static const char *why_hold(const struct policy_facts *facts, const struct policy_verdict *verdict)
{
	const char *why = facts->hold_why ?: "there is no strategy for it";
	int near = 0;

	for (unsigned i = 0; i < STRATEGY_HOLD; i++) {
		const struct policy_candidate *candidate = &verdict->candidates[i];
		int nearness = !(policy_sensible(facts->fault.kind) & STRATEGY_BIT(i)) ? 0
			       : !candidate->feasible ? 1 : !candidate->allowed ? 2 : 3;

		if (nearness > near) {
			near = nearness;
			why = candidate->why_not;
		}
	}
	return why;
}

static void explain(const struct policy_facts *facts, const struct policy_settings *settings,
		    struct policy_verdict *verdict)
{
	const struct policy_candidate *chosen = &verdict->candidates[verdict->strategy];

	if (verdict->strategy == STRATEGY_HOLD)
		snprintf(verdict->why, sizeof(verdict->why), "%s (%s): %s",
			 fault_name(facts->fault.kind), detect_cause_name(facts->fault.cause),
			 why_hold(facts, verdict));
	else
		snprintf(verdict->why, sizeof(verdict->why),
			 "%s (%s): %s of what can be done %s, %.1f ms of downtime and %llu bytes "
			 "lost", fault_name(facts->fault.kind),
			 detect_cause_name(facts->fault.cause),
			 settings->objective == OBJECTIVE_FAST ? "the quickest" : "the cheapest",
			 chosen->loss_bytes ? "and that on-loss accepts" : "without loss",
			 chosen->prediction.downtime_ms, (unsigned long long)chosen->loss_bytes);
}

void policy_decide(const struct policy_facts *facts, const struct policy_settings *settings,
		   const struct model *model, int64_t now_ns, struct policy_verdict *verdict)
{
	bool flapping = flaps(facts, settings, now_ns);

	assert(facts->history_count <= POLICY_HISTORY_MAX && facts->fault.kind < FAULT_KINDS);
	memset(verdict, 0, sizeof(*verdict));
	for (unsigned i = 0; i < STRATEGIES; i++)
		weigh(facts, settings, model, (enum strategy)i, flapping, &verdict->candidates[i]);
	prefer_lossless(verdict);
	score(settings, verdict);
	choose(settings, verdict);
	if (verdict->strategy != STRATEGY_HOLD)
		verdict->not_before_ns = backoff(facts, settings, now_ns);
	explain(facts, settings, verdict);
}
