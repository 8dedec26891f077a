/* SPDX-License-Identifier: Apache-2.0
 *
 * mind: see mind.h.
 */
#include "mind.h"

#include <errno.h>
#include <string.h>

#include "policy_json.h"
#include "report.h"

void mind_open(struct mind *mind, const char *store)
{
	struct errinfo err = {0};
	int rc;

	mind->store = store;
	rc = model_load(&mind->model, store, &err);
	if (rc && rc != -ENOENT)
		log_warn("%s/models.json: %s", store, err.text);
}

void mind_release(struct mind *mind)
{
	mind_forget(mind);
}

void mind_forget(struct mind *mind)
{
	json_decref(mind->incident);
	mind->incident = NULL;
}

void mind_begin(struct mind *mind, const char *vm, int64_t time_us,
		const struct detect_fault *fault, const char *resource)
{
	mind_forget(mind);
	mind->incident = incident_new(vm, time_us, fault, resource);
	memset(&mind->verdict, 0, sizeof(mind->verdict));
	mind->verdict.strategy = STRATEGY_HOLD; /* until something is decided */
	mind->kind = fault->kind;
	mind->resource = policy_resource(fault->kind, fault->index);
	mind->fault_us = time_us;
}

void mind_consider(const struct mind *mind, struct policy_facts *facts, int64_t now_ns,
		   struct policy_verdict *verdict)
{
	facts->history_count = mind->history_count;
	for (unsigned i = 0; i < mind->history_count; i++) {
		facts->history[i].time_ns = mind->history[i].time_ns;
		facts->history[i].resource = mind->history[i].resource;
	}
	policy_decide(facts, &mind->settings, &mind->model, now_ns, verdict);
}

/* What was decided upon, so that the decision can be made again. */
static void note_facts(json_t *incident, json_t *facts)
{
	json_t *decisions = json_object_get(incident, "decisions");

	json_object_set_new(json_array_get(decisions, json_array_size(decisions) - 1), "facts",
			    facts);
}

static void note_decision(struct mind *mind, const struct policy_facts *facts, int64_t now_ns)
{
	if (!mind->incident)
		return;
	incident_add_decision(mind->incident, &mind->verdict, mind->settings.objective);
	note_facts(mind->incident, policy_facts_json(facts, &mind->settings, now_ns));
}

const struct policy_verdict *mind_decide(struct mind *mind, struct policy_facts *facts,
					 int64_t now_ns)
{
	mind_consider(mind, facts, now_ns, &mind->verdict);
	note_decision(mind, facts, now_ns);
	return &mind->verdict;
}

const struct policy_verdict *mind_decide_beside(struct mind *mind, struct policy_facts *facts,
						int64_t now_ns)
{
	facts->history_count = 0;
	policy_decide(facts, &mind->settings, &mind->model, now_ns, &mind->verdict);
	note_decision(mind, facts, now_ns);
	return &mind->verdict;
}

static void note_recovery(struct mind *mind, int64_t now_ns)
{
	if (mind->history_count == POLICY_HISTORY_MAX) {
		memmove(&mind->history[0], &mind->history[1],
			(POLICY_HISTORY_MAX - 1) * sizeof(mind->history[0]));
		mind->history_count--;
	}
	mind->history[mind->history_count].time_ns = now_ns;
	mind->history[mind->history_count].strategy = mind->verdict.strategy;
	mind->history[mind->history_count++].resource = mind->resource;
}

#define SAVE_S 3600.0
#define MINUTE_S 60.0
#define COPY_BYTES_MIN (16u << 20) /* less is a matter of the calls */

bool mind_watched(struct mind *mind, double seconds, double answer_ms)
{
	model_observe_hours(&mind->model, seconds / 3600);
	mind->unsaved_s += seconds;
	mind->minute_s += seconds;
	if (mind->minute_s >= MINUTE_S) {
		mind->minute_s = 0;
		model_observe(&mind->model, MODEL_ROUND_TRIP, answer_ms);
	}
	return mind->unsaved_s >= SAVE_S;
}

void mind_copied(struct mind *mind, uint64_t bytes, double seconds)
{
	if (bytes >= COPY_BYTES_MIN && seconds > 0 && mind->settings.objective == OBJECTIVE_FAST)
		model_observe(&mind->model, MODEL_COPY_RATE, (double)bytes / seconds);
}

void mind_learn(struct mind *mind, unsigned plan, const struct timeline *timeline, uint64_t bytes)
{
	for (unsigned i = 0; i < timeline->count; i++)
		model_observe_step(&mind->model, plan, timeline->steps[i].name,
				   (double)timeline->steps[i].ns / 1e6, bytes);
}

void mind_save(struct mind *mind)
{
	struct errinfo err = {0};

	mind->unsaved_s = 0;
	if (model_save(&mind->model, mind->store, &err))
		log_warn("%s", err.text);
}

static bool within(const struct mind *mind, int64_t time_ns, int64_t now_ns)
{
	return now_ns - time_ns < mind->settings.flap_window_ns;
}

unsigned mind_count(const struct mind *mind, enum strategy strategy, int64_t now_ns)
{
	unsigned count = 0;

	for (unsigned i = 0; i < mind->history_count; i++)
		count += mind->history[i].strategy == strategy &&
			 within(mind, mind->history[i].time_ns, now_ns);
	return count;
}

/* When there are many the first ones count. */
void mind_struck(struct mind *mind, int64_t fault_us, int64_t now_ns)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < mind->struck_count; i++) {
		if (within(mind, mind->struck[i].time_ns, now_ns))
			mind->struck[kept++] = mind->struck[i];
	}
	mind->struck_count = kept;
	if (kept == POLICY_HISTORY_MAX)
		return;
	mind->struck[kept].time_ns = now_ns;
	mind->struck[mind->struck_count++].fault_us = fault_us;
}

int64_t mind_first_us(const struct mind *mind, int64_t now_ns, int64_t now_us)
{
	for (unsigned i = 0; i < mind->struck_count; i++) {
		if (within(mind, mind->struck[i].time_ns, now_ns))
			return mind->struck[i].fault_us;
	}
	return now_us;
}

/* The models learn, both files are written. */
static void close_incident(struct mind *mind, const struct model_outcome *outcome,
			   const char *result, const char *reason, json_t *steps)
{
	struct errinfo err = {0};

	incident_set_outcome(mind->incident, result, outcome->strategy, outcome->measured_ms,
			     outcome->measured_loss_bytes, reason, steps);
	model_observe_fault(&mind->model, mind->kind);
	if (outcome->strategy != STRATEGY_HOLD)
		model_observe_outcome(&mind->model, outcome);
	/* A store that cannot be written is told elsewhere; the guest's recovery stands. */
	if (incident_write(mind->store, mind->incident, &err) ||
	    model_save(&mind->model, mind->store, &err))
		log_warn("no report of the incident: %s", err.text);
	mind_forget(mind);
}

static struct model_outcome outcome_of(const struct mind *mind, const char *result,
				       double downtime_ms, uint64_t lost_bytes, int64_t time_us)
{
	const struct policy_verdict *verdict = &mind->verdict;
	const struct policy_candidate *chosen = &verdict->candidates[verdict->strategy];

	return (struct model_outcome){
		.time_us = time_us,
		.fault = mind->kind,
		.strategy = verdict->strategy,
		.predicted_ms = chosen->prediction.downtime_ms,
		.measured_ms = downtime_ms,
		.predicted_loss_bytes = chosen->loss_bytes,
		.measured_loss_bytes = lost_bytes,
		.succeeded = !strcmp(result, "recovered"),
	};
}

void mind_end(struct mind *mind, const char *result, double downtime_ms, uint64_t lost_bytes,
	      const char *reason, json_t *steps, int64_t time_us, int64_t now_ns)
{
	struct model_outcome outcome = outcome_of(mind, result, downtime_ms, lost_bytes, time_us);

	if (!mind->incident)
		return;
	if (outcome.strategy != STRATEGY_HOLD) {
		note_recovery(mind, now_ns);
		if (fault_of_guest(mind->kind))
			mind_struck(mind, mind->fault_us, now_ns);
	}
	close_incident(mind, &outcome, result, reason, steps);
}

void mind_failed(struct mind *mind, enum strategy strategy)
{
	model_observe_try(&mind->model, strategy, false);
}

void mind_end_beside(struct mind *mind, const char *result, double downtime_ms,
		     const char *reason, int64_t time_us)
{
	struct model_outcome outcome = outcome_of(mind, result, downtime_ms, 0, time_us);

	if (mind->incident)
		close_incident(mind, &outcome, result, reason, NULL);
}
