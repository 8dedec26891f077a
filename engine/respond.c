/* SPDX-License-Identifier: Apache-2.0
 *
 * respond: see respond.h.
 */
#include "respond.h"

#include <errno.h>
#include <string.h>

#include "mind.h"
#include "response.h"
#include "sense.h"
#include "sidecar.h"
#include "situation.h"
#include "tell.h"

static const struct policy_verdict *decide(struct response *response)
{
	struct sidecar *sidecar = response->sidecar;

	if (response->gather)
		response->gather(response);
	else
		situation_gather(sidecar, &response->fault, &response->facts);
	response->facts.tried = response->tried;
	if (!response->fault.warning)
		response->facts.elapsed_us =
			(uint64_t)(ring_now_ns() - response->since_ns) / 1000;
	return mind_decide(sidecar->config->mind, &response->facts, ring_now_ns());
}

void respond_announce(struct sidecar *sidecar, const struct policy_verdict *verdict)
{
	const struct policy_candidate *chosen = &verdict->candidates[verdict->strategy];

	tell_recovery(sidecar, verdict->strategy, chosen->prediction.downtime_ms, chosen->loss_bytes,
		      verdict->why, NULL);
}

/* The answer to a warning does not stop the guest. */
static double elapsed_ms(const struct response *response)
{
	if (response->downtime_ms > 0)
		return response->downtime_ms;
	if (response->fault.warning)
		return 0;
	return (double)(ring_now_ns() - response->since_ns) / 1e6;
}

static void close_incident(struct response *response, const char *result, const char *reason)
{
	json_t *steps = timeline_json(&response->timeline);

	mind_end(response->sidecar->config->mind, result, elapsed_ms(response),
		 response->lost_bytes, reason, steps, loop_realtime_us(), ring_now_ns());
	json_decref(steps);
}

static void report_recovered(struct response *response, enum strategy strategy)
{
	struct sidecar *sidecar = response->sidecar;
	double downtime_ms = elapsed_ms(response);
	json_t *fields = json_pack("{s:s,s:I,s:f,s:I,s:o}", "strategy", strategy_names[strategy],
				   "generation",
				   (json_int_t)store_info(sidecar->store)->generation,
				   "downtime_ms", downtime_ms, "lost_bytes",
				   (json_int_t)response->lost_bytes, "steps",
				   timeline_json(&response->timeline));

	if (response->told)
		json_object_update(fields, response->told);
	json_decref(sidecar->last_recovery);
	sidecar->last_recovery = json_incref(fields);
	log_info("%s: %s after %.1f ms", sidecar->guest.name, strategy_names[strategy],
		 downtime_ms);
	report_event(&sidecar->report, "recovered", fields);
}

/* Of a fault that was answered at the first try. */
static void learn(const struct response *response, enum strategy strategy)
{
	unsigned plan = model_plan_of(strategy, response->fault.kind);
	json_int_t copied = json_integer_value(json_object_get(response->told, "copied_bytes"));

	if (response->tried)
		return;
	mind_learn(response->sidecar->config->mind, plan, &response->timeline,
		   copied > 0 ? (uint64_t)copied : 0);
}

static bool gone_or_leaving(void *arg)
{
	const struct response *response = arg;
	const struct sidecar *sidecar = response->sidecar;

	if (sidecar->loop.quit || response->gather)
		return sidecar->loop.quit;
	/* A card waits for a disk, which stands the guest still; it is attended to again. */
	return !sense_has(sidecar, &response->fault) ||
	       (response->fault.kind == FAULT_NIC && sidecar->fault.kind != FAULT_NONE);
}

/* The same thing fails again and again: not at once.  False: there is no need any more. */
static bool back_off(struct response *response, int64_t until_ns)
{
	if (until_ns <= ring_now_ns())
		return true;
	log_info("recovery of %s waits for %.1f s, as it is not the first",
		 response->sidecar->guest.name, (double)(until_ns - ring_now_ns()) / 1e9);
	loop_until(&response->sidecar->loop, gone_or_leaving, response, until_ns);
	timeline_mark(&response->timeline, "back-off");
	return !gone_or_leaving(response);
}

static void hold(struct response *response, const struct policy_verdict *verdict)
{
	struct sidecar *sidecar = response->sidecar;

	close_incident(response, "held", verdict->why);
	if ((response->fault.kind == FAULT_GUEST_SILENT ||
	     response->fault.kind == FAULT_GUEST_WATCHDOG) && response->facts.guest_progress)
		sense_agent_held(sidecar);
	if (response->fault.warning || !sidecar->stopped)
		return;
	log_error("%s is left paused: %s", sidecar->guest.name, verdict->why);
	sidecar_set_state(sidecar, SIDECAR_HELD);
}

/* One strategy: true when that was the last. */
static bool attempt(struct response *response, const struct policy_verdict *verdict)
{
	struct sidecar *sidecar = response->sidecar;
	enum strategy strategy = verdict->strategy;
	struct errinfo err = {0};
	int rc;

	if (!back_off(response, verdict->not_before_ns)) {
		mind_forget(sidecar->config->mind);
		return true;
	}
	rc = strategy_of(strategy) ? strategy_of(strategy)(response, &err)
				   : err_set(&err, -ENOTSUP, "there is no way to do it here");
	if (!rc) {
		report_recovered(response, strategy);
		learn(response, strategy);
		close_incident(response, "recovered", NULL);
		aftercare_begin(sidecar, strategy, &response->fault, response->resource,
				response->tried);
		return true;
	}
	response->tried |= STRATEGY_BIT(strategy);
	mind_failed(sidecar->config->mind, strategy);
	log_error("recovery of %s by %s failed: %s", sidecar->guest.name,
		  strategy_names[strategy], err.text);
	verdict = decide(response);
	tell_failed(sidecar, strategy_names[strategy], err.text, strategy_names[verdict->strategy],
		    NULL);
	return false;
}

/* Told when it is known what is done instead. */
static void tell_in_vain(const struct response *response, const struct policy_verdict *verdict)
{
	const struct mind *mind = response->sidecar->config->mind;

	tell_failed(response->sidecar, strategy_names[mind->aftercare.strategy],
		    "the guest ran again, but showed no sign of life in time",
		    strategy_names[verdict->strategy], NULL);
}

static void respond(struct response *response)
{
	const struct policy_verdict *verdict = decide(response);

	if (response->tried)
		tell_in_vain(response, verdict);
	for (;;) {
		respond_announce(response->sidecar, verdict);
		if (verdict->strategy == STRATEGY_HOLD) {
			hold(response, verdict);
			return;
		}
		if (attempt(response, verdict))
			return;
		verdict = &response->sidecar->config->mind->verdict; /* attempt() decided anew */
	}
}

bool respond_wants(const struct sidecar *sidecar)
{
	return sense_next(sidecar) ||
	       sidecar->config->mind->aftercare.state == AFTERCARE_OVERDUE;
}

/* What is new; or a recovery that was in vain, which is judged again. */
static bool begin(struct sidecar *sidecar, struct response *response)
{
	const struct sense_fault *news = sense_next(sidecar);
	struct aftercare *aftercare = &sidecar->config->mind->aftercare;

	if (news) {
		response->fault = news->fault;
		response->time_us = news->time_us;
		response->since_ns = news->since_ns;
		response->resource = sense_resource(sidecar, &response->fault);
		sense_attended(sidecar, &response->fault);
		if (!news->fault.warning)
			aftercare_forget(sidecar);
		return true;
	}
	if (aftercare->state != AFTERCARE_OVERDUE)
		return false;
	response->fault = aftercare->fault;
	response->time_us = loop_realtime_us();
	response->since_ns = ring_now_ns();
	response->resource = aftercare->resource;
	response->tried = aftercare->tried;
	aftercare->state = AFTERCARE_NONE;
	return true;
}

void respond_answer(struct response *response)
{
	struct sidecar *sidecar = response->sidecar;
	enum sidecar_state before = sidecar->state;

	timeline_start(&response->timeline, response->since_ns);
	timeline_mark(&response->timeline, "detect");
	mind_begin(sidecar->config->mind, sidecar->guest.name, response->time_us,
		   &response->fault, response->resource);
	sidecar_set_state(sidecar, SIDECAR_RECOVERING);
	respond(response);
	if (sidecar->state == SIDECAR_RECOVERING)
		sidecar_set_state(sidecar, before);
	sidecar->rebirth |= response->rebirth;
	json_decref(response->told);
}

int respond_run(struct sidecar *sidecar, struct errinfo *err)
{
	struct response response = {.sidecar = sidecar};

	if (!begin(sidecar, &response))
		return 0;
	respond_answer(&response);
	sidecar->alert |= respond_wants(sidecar); /* one at a time */
	return sidecar->monitor.closed ? err_set(err, -ENOTCONN, "QEMU closed the connection") : 0;
}
