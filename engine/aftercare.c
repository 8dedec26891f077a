/* SPDX-License-Identifier: Apache-2.0
 *
 * aftercare: see aftercare.h.
 */
#include "aftercare.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "mind.h"
#include "sidecar.h"

static bool boots(enum strategy strategy)
{
	return strategy == STRATEGY_RESET || strategy == STRATEGY_RESTART ||
	       strategy == STRATEGY_ROLLBACK || strategy == STRATEGY_RESTORE;
}

/* The end of the old one is no end of the guest. */
static bool another_qemu(enum strategy strategy)
{
	return strategy == STRATEGY_RESTART || strategy == STRATEGY_FAILOVER;
}

/* --- the verdict --- */

static const char *sign_of_life(const struct aftercare *aftercare,
				const struct aftercare_signs *signs, int64_t now_ns)
{
	int64_t runs_ms = (now_ns - aftercare->running_ns) / NS_PER_MS;

	if (!signs->running)
		return NULL;
	if (signs->wrote)
		return "writes";
	if (signs->agent)
		return "agent";
	if (signs->requests && (!aftercare->boots || runs_ms >= AFTERCARE_READS_MS))
		return "requests";
	/* One that never used its disks cannot be asked to. */
	if ((!aftercare->boots || !aftercare->was_at_work) && runs_ms >= AFTERCARE_RUNS_MS)
		return "runs";
	return NULL;
}

static double limit_ms(const struct aftercare *aftercare, const struct aftercare_signs *signs)
{
	return aftercare->boots ? fmax(AFTERCARE_BOOT_MS, 3 * signs->boot_ms) : AFTERCARE_PLACE_MS;
}

enum aftercare_verdict aftercare_judge(struct aftercare *aftercare,
				       const struct aftercare_signs *signs, int64_t now_ns,
				       const char **evidence)
{
	if (signs->ended || signs->paused_by_owner)
		return AFTERCARE_FORGET;
	if (!signs->running)
		aftercare->running_ns = 0;
	else if (!aftercare->running_ns)
		aftercare->running_ns = now_ns;
	*evidence = sign_of_life(aftercare, signs, now_ns);
	if (*evidence)
		return AFTERCARE_WELL;
	return (double)(now_ns - aftercare->since_ns) / 1e6 >= limit_ms(aftercare, signs)
		       ? AFTERCARE_IN_VAIN : AFTERCARE_WAIT;
}

/* --- the watch --- */

void aftercare_begin(struct sidecar *sidecar, enum strategy strategy,
		     const struct detect_fault *fault, const char *resource, uint32_t tried)
{
	struct aftercare next = {
		.state = AFTERCARE_WATCHING,
		.strategy = strategy,
		.fault = *fault,
		.tried = tried | STRATEGY_BIT(strategy),
		.boots = boots(strategy) || fault->kind == FAULT_HOST,
		.was_at_work = sense_disks_at_work(sidecar, 1),
		.since_ns = ring_now_ns(),
	};

	snprintf(next.resource, sizeof(next.resource), "%s", resource);
	sidecar->config->mind->aftercare = next; /* RESOURCE may be a part of what was there */
}

void aftercare_forget(struct sidecar *sidecar)
{
	sidecar->config->mind->aftercare.state = AFTERCARE_NONE;
}

static void tell_well(struct sidecar *sidecar, const char *evidence)
{
	struct mind *mind = sidecar->config->mind;
	const struct aftercare *aftercare = &mind->aftercare;
	double after_ms = (double)(ring_now_ns() - aftercare->since_ns) / 1e6;

	log_info("%s is well %.1f s after %s of %s (%s)", sidecar->guest.name, after_ms / 1e3,
		 strategy_names[aftercare->strategy], aftercare->resource, evidence);
	report_event(&sidecar->report, "well",
		     json_pack("{s:s,s:s,s:f,s:s}", "strategy", strategy_names[aftercare->strategy],
			       "resource", aftercare->resource, "after_ms", after_ms, "evidence",
			       evidence));
	if (aftercare->boots && strcmp(evidence, "runs"))
		model_observe(&mind->model, MODEL_BOOT, after_ms);
}

static void in_vain(struct sidecar *sidecar)
{
	struct mind *mind = sidecar->config->mind;

	mind->aftercare.state = AFTERCARE_OVERDUE;
	model_retract(&mind->model, mind->aftercare.strategy);
	sidecar->alert = true;
}

/* Suspended, or being migrated: not for a moment, as when it stops for a cycle. */
static bool suspended(struct aftercare *aftercare, const struct detect_facts *facts)
{
	if (!detect_on_its_way(facts->run))
		aftercare->other_ns = 0;
	else if (!aftercare->other_ns)
		aftercare->other_ns = ring_now_ns();
	return aftercare->other_ns &&
	       ring_now_ns() - aftercare->other_ns > AFTERCARE_OTHER_MS * NS_PER_MS;
}

void aftercare_tick(struct sidecar *sidecar)
{
	struct aftercare *aftercare = &sidecar->config->mind->aftercare;
	const struct detect_facts *facts = &sidecar->sense.facts;
	const char *evidence;

	struct aftercare_signs signs = {
		.running = facts->run == RUN_RUNNING && !sidecar->stopped,
		.paused_by_owner = facts->run == RUN_PAUSED || suspended(aftercare, facts),
		.ended = sidecar->shutdown || (!another_qemu(aftercare->strategy) &&
					       (facts->process_ended || sidecar->monitor.closed)),
		.wrote = sense_disks_wrote(sidecar, aftercare->since_ns),
		.agent = facts->agent_ns > aftercare->since_ns,
		.requests = sense_disks_at_work(sidecar, aftercare->since_ns),
		.boot_ms = model_median(&sidecar->config->mind->model, MODEL_BOOT),
	};

	if (aftercare->state != AFTERCARE_WATCHING)
		return;
	switch (aftercare_judge(aftercare, &signs, ring_now_ns(), &evidence)) {
	case AFTERCARE_WELL:
		tell_well(sidecar, evidence);
		aftercare->state = AFTERCARE_NONE;
		break;
	case AFTERCARE_FORGET:
		aftercare->state = AFTERCARE_NONE;
		break;
	case AFTERCARE_IN_VAIN:
		in_vain(sidecar);
		break;
	case AFTERCARE_WAIT:
		break;
	}
}
