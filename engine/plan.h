/* SPDX-License-Identifier: Apache-2.0
 *
 * plan: what would be done about each fault that could strike now, decided by the
 * code that decides in earnest.
 *
 *   {"vm", "sidecar", "objective", "on_loss", "probability_30_days",
 *    "probability_bound", "model": {"outcomes", "within", "median_error_percent"},
 *    "plan": [{"fault", "cause", "case", "resource", "resources", "strategy",
 *              "predicted_downtime_ms", "steps": [{"name", "ms", "downtime"}],
 *              "predicted_loss_bytes", "cost", "success", "probability_30_days",
 *              "why", "others": [{"strategy", "why_not"}]}]}
 *
 * "resources": of a row about disks, all for which the same would be done; the
 * figures are those of "resource", whose guest would wait longest.
 */
#ifndef ENGINE_PLAN_H
#define ENGINE_PLAN_H

#include <jansson.h>

#include "policy.h"

struct sidecar;

struct plan_row {
	enum fault_kind kind;
	enum detect_cause cause;
	bool warning, running, dead;
	const char *says;
};

/* The I-th case, NULL behind the last. */
const struct plan_row *plan_row(unsigned i);
/* About a disk, one by one. */
bool plan_row_is_of_disk(const struct plan_row *row);

/* Turns FACTS, as they are, into what they would be when ROW struck INDEX. */
void plan_suppose(const struct plan_row *row, int index, struct policy_facts *facts);

json_t *plan_row_json(const struct plan_row *row, const char *resource, const struct model *model,
		      const struct policy_verdict *verdict);
/* The whole, around ROWS, of which it takes over the reference. */
json_t *plan_json(const char *vm, bool sidecar, const struct policy_settings *settings,
		  const struct model *model, json_t *rows);
json_t *plan_model_json(const struct model *model);

/* plan_sidecar.c: by the facts, settings and models of a running sidecar. */
json_t *plan_of_sidecar(const struct sidecar *sidecar);

#endif
