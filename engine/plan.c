/* SPDX-License-Identifier: Apache-2.0
 *
 * plan: see plan.h.
 */
#include "plan.h"

#define HORIZON_HOURS (30.0 * 24)

static const struct plan_row rows[] = {
	{FAULT_DISK_WRITE, CAUSE_UNKNOWN, false, false, false, "an error, nothing known yet"},
	{FAULT_DISK_WRITE, CAUSE_NO_WRITES, false, false, false, "writes fail, reads go"},
	{FAULT_DISK_WRITE, CAUSE_DEAD, false, false, false, "the disk is dead"},
	{FAULT_DISK_READ, CAUSE_BAD_SECTOR, false, false, false, "a bad sector"},
	{FAULT_DISK_FULL, CAUSE_FULL, false, false, false, "no room for the image"},
	{FAULT_DISK_HANG, CAUSE_HUNG, false, true, false, "requests hang"},
	{FAULT_DISK_CORRUPT, CAUSE_BAD_SECTOR, true, true, false, "the scrub finds damage"},
	{FAULT_DISK_DEGRADING, CAUSE_SLOWER, true, true, false, "it gets slower"},
	{FAULT_REPLICA, CAUSE_DEAD, false, true, false, "the store fails"},
	{FAULT_QEMU_EXIT, CAUSE_CRASH, false, false, true, "QEMU dies"},
	{FAULT_QEMU_HANG, CAUSE_HUNG, false, true, false, "QEMU hangs"},
	{FAULT_GUEST_PANIC, CAUSE_PANIC, false, false, false, "the guest panics"},
	{FAULT_GUEST_WATCHDOG, CAUSE_UNKNOWN, false, false, false, "its watchdog bites"},
	{FAULT_GUEST_SILENT, CAUSE_UNKNOWN, false, true, false, "its agent is silent"},
	{FAULT_MEMORY, CAUSE_DEAD, false, true, false, "memory is lost"},
	{FAULT_NIC, CAUSE_PATH, false, true, false, "a NIC's backend is gone"},
	{FAULT_HOST, CAUSE_UNKNOWN, false, false, true, "the host is gone"},
};

#define ROWS (sizeof(rows) / sizeof(rows[0]))

const struct plan_row *plan_row(unsigned i)
{
	return i < ROWS ? &rows[i] : NULL;
}

bool plan_row_is_of_disk(const struct plan_row *row)
{
	switch (row->kind) {
	case FAULT_DISK_WRITE: case FAULT_DISK_READ: case FAULT_DISK_FULL: case FAULT_DISK_HANG:
	case FAULT_DISK_CORRUPT: case FAULT_DISK_DEGRADING:
		return true;
	default:
		return false;
	}
}

void plan_suppose(const struct plan_row *row, int index, struct policy_facts *facts)
{
	facts->fault = (struct detect_fault){.kind = row->kind, .cause = row->cause,
					     .index = index, .warning = row->warning};
	facts->qemu_alive = !row->dead;
	facts->qemu_answers = !row->dead && row->kind != FAULT_QEMU_HANG;
	facts->running = row->running;
	facts->paused_by_owner = false;
	facts->guest_progress = false;
	facts->source = row->cause == CAUSE_DEAD ? SOURCE_UNREADABLE : SOURCE_UNKNOWN;
	facts->untried = row->kind == FAULT_DISK_WRITE || row->kind == FAULT_DISK_READ;
}

static json_t *steps_json(const struct model_prediction *prediction)
{
	json_t *steps = json_array();

	for (unsigned i = 0; i < prediction->count; i++)
		json_array_append_new(steps,
				      json_pack("{s:s,s:f,s:b}", "name", prediction->steps[i].name,
						"ms", prediction->steps[i].ms, "downtime",
						prediction->steps[i].down));
	return steps;
}

static json_t *others_json(const struct policy_verdict *verdict)
{
	json_t *others = json_array();

	for (unsigned i = 0; i < STRATEGIES; i++) {
		const struct policy_candidate *other = &verdict->candidates[i];

		if (i != verdict->strategy)
			json_array_append_new(
				others, json_pack("{s:s,s:s}", "strategy", strategy_names[i],
						  "why_not", other->why_not));
	}
	return others;
}

json_t *plan_row_json(const struct plan_row *row, const char *resource, const struct model *model,
		      const struct policy_verdict *verdict)
{
	const struct policy_candidate *chosen = &verdict->candidates[verdict->strategy];

	return json_pack("{s:s,s:s,s:s,s:s,s:[],s:s,s:f,s:o,s:I,s:f,s:f,s:f,s:s,s:o}", "fault",
			 fault_name(row->kind), "cause", detect_cause_name(row->cause), "case",
			 row->says, "resource", resource, "resources", "strategy",
			 strategy_names[verdict->strategy],
			 "predicted_downtime_ms", chosen->prediction.downtime_ms, "steps",
			 steps_json(&chosen->prediction), "predicted_loss_bytes",
			 (json_int_t)chosen->loss_bytes, "cost", chosen->cost, "success",
			 chosen->success, "probability_30_days",
			 model_probability(model, row->kind, HORIZON_HOURS), "why", verdict->why,
			 "others", others_json(verdict));
}

json_t *plan_model_json(const struct model *model)
{
	struct model_error error = model_error(model);

	return json_pack("{s:i,s:i,s:f}", "outcomes", (int)error.count, "within",
			 (int)error.within, "median_error_percent", error.median_percent);
}

json_t *plan_json(const char *vm, bool sidecar, const struct policy_settings *settings,
		  const struct model *model, json_t *plan)
{
	struct model_total total = model_probability_any(model, HORIZON_HOURS);

	return json_pack("{s:s,s:b,s:s,s:s,s:f,s:f,s:o,s:o}", "vm", vm, "sidecar", sidecar,
			 "objective", settings->objective == OBJECTIVE_FAST ? "fast" : "optimal",
			 "on_loss", settings->on_loss == ON_LOSS_HOLD ? "hold" : "rollback",
			 "probability_30_days", total.probability, "probability_bound", total.bound,
			 "model", plan_model_json(model), "plan", plan);
}
