/* SPDX-License-Identifier: Apache-2.0
 *
 * incident: a report for each fault that something was done about, or decided not
 * to be: STORE/incidents/NUMBER.json, eight digits, counted from 1.
 *
 *   {"format": 1, "vm": "web1", "time": "2026-11-24T12:30:05.000000Z",
 *    "fault": {"kind", "cause", "resource", "evidence"},
 *    "decisions": [{"strategy", "objective", "why", "predicted_downtime_ms",
 *                   "predicted_loss_bytes",
 *                   "alternatives": [{"strategy", "why_not", "downtime_ms",
 *                                     "loss_bytes", "cost"}],
 *                   "facts": those that were decided upon (policy_json.h)}],
 *    "timeline": [{"name", "ms"}],
 *    "outcome": {"result": "recovered" | "failed" | "held", "strategy",
 *                "downtime_ms", "lost_bytes", "reason"}}
 *
 * A second decision is what was decided when the strategy of the first failed.
 */
#ifndef ENGINE_INCIDENT_H
#define ENGINE_INCIDENT_H

#include <jansson.h>

#include "policy.h"

#define INCIDENTS_MAX 256	      /* the oldest go; some 2 MiB in all */
#define INCIDENT_JSON_MAX (64u << 10)
#define INCIDENT_DECISIONS_MAX 16     /* each strategy once, and some more */
#define INCIDENT_STEPS_MAX 64

/* New, with the fault; RESOURCE: a disk's name or the guest's. */
json_t *incident_new(const char *vm, int64_t time_us, const struct detect_fault *fault,
		     const char *resource);
void incident_add_decision(json_t *incident, const struct policy_verdict *verdict,
			   enum objective objective);
/* RESULT as above; REASON may be NULL; STEPS (kept a reference of) may be NULL. */
void incident_set_outcome(json_t *incident, const char *result, enum strategy strategy,
			  double downtime_ms, uint64_t lost_bytes, const char *reason,
			  json_t *steps);

/* Pure: is it what stands above?  -EUCLEAN names the first thing that is not. */
int incident_check(const json_t *incident, struct errinfo *err);

/* Write it under the next number and remove the oldest above INCIDENTS_MAX.
 * Blocking: not while the guest waits. */
int incident_write(const char *dir, const json_t *incident, struct errinfo *err);

/* An array, oldest first, each with its "number"; one that cannot be read or is no
 * incident has only {"number", "damaged": sentence}.  No directory: empty. */
int incident_list(const char *dir, json_t **incidents, struct errinfo *err);

#endif
