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

/* --- loss --- */

/* What was acknowledged to the guest and is gone afterwards. */
static uint64_t loss_of(const struct policy_facts *facts, enum strategy strategy)
{
	switch (strategy) {
	case STRATEGY_ROLLBACK:
		if (fault_of_guest(facts->fault.kind))
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
		return policy_failover_boots(facts) && !facts->sync ? facts->all_dirty_bytes : 0;
	default:
		return 0;
	}
}

/* After a retry that fails the guest's requests drain again. */
static void weigh_blind(const struct model *model, struct policy_candidate *candidate)
{
	double again_ms = model_step_ms(model, STRATEGY_PIVOT, "drain");

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

int policy_resource(enum fault_kind kind, int index)
{
	return kind == FAULT_NIC ? -2 - index : index;
}

/* Cards that come and go are no reason to leave a disk alone. */
static bool counts(const struct policy_facts *facts, unsigned i)
{
	return (facts->history[i].resource < -1) == (facts->fault.kind == FAULT_NIC);
}

static bool flaps(const struct policy_facts *facts, const struct policy_settings *settings,
		  int64_t now_ns)
{
	unsigned count = 0;

	for (unsigned i = 0; i < facts->history_count; i++)
		count += counts(facts, i) && in_window(facts, settings, i, now_ns);
	return count >= settings->flap_limit;
}

static int64_t backoff(const struct policy_facts *facts, const struct policy_settings *settings,
		       int64_t now_ns)
{
	int64_t wait_ns = settings->backoff_ns, last_ns = 0;
	unsigned count = 0;

	for (unsigned i = 0; i < facts->history_count; i++) {
		if (facts->history[i].resource !=
			    policy_resource(facts->fault.kind, facts->fault.index) ||
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
				  .heal_blocks = facts->heal_blocks,
				  .elapsed_ms = (double)facts->elapsed_us / 1e3};
	const char *lacks = policy_precondition(facts, strategy);

	model_predict(model, model_plan_of(strategy, facts->fault.kind), &work,
		      &candidate->prediction);
	candidate->loss_bytes = loss_of(facts, strategy);
	candidate->success = model_success(model, strategy);
	if (strategy == STRATEGY_RESUME && policy_is_blind(facts))
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

/* What has passed already is the same for all. */
static double measure_of(const struct policy_candidate *candidate,
			 const struct policy_settings *settings)
{
	const struct model_prediction *prediction = &candidate->prediction;
	double to_come_ms = prediction->downtime_ms + prediction->boot_ms - prediction->elapsed_ms;

	return settings->objective == OBJECTIVE_FAST
		       ? to_come_ms
		       : candidate->cost - settings->weights.downtime_s * prediction->elapsed_ms / 1e3;
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

static void add_back_off(const struct policy_facts *facts, const struct policy_settings *settings,
			 int64_t now_ns, struct policy_verdict *verdict)
{
	verdict->not_before_ns = backoff(facts, settings, now_ns);
	if (verdict->not_before_ns)
		model_prediction_add(&verdict->candidates[verdict->strategy].prediction, "back-off",
				     (double)(verdict->not_before_ns - now_ns) / 1e6,
				     !facts->fault.warning);
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
		add_back_off(facts, settings, now_ns, verdict);
	explain(facts, settings, verdict);
}
