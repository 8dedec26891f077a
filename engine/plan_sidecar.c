/* SPDX-License-Identifier: Apache-2.0
 *
 * plan_sidecar: what the running sidecar would do, by its own facts.  A fault strikes
 * in the middle of an interval: at least what the last generation had is dirty then.
 */
#include <string.h>

#include "mind.h"
#include "plan.h"
#include "sidecar.h"
#include "situation.h"

/* Why recover.c would not begin yet. */
static const char *not_now(const struct sidecar *sidecar)
{
	if (sidecar->state == SIDECAR_HELD)
		return "the guest is held already";
	return sidecar->uncovered ? "the replica is brought up to date first, and then it is decided"
				  : "the replica is not complete";
}

static void decide(const struct sidecar *sidecar, const struct plan_row *row, int index,
		   struct policy_verdict *verdict)
{
	struct detect_fault fault = {.kind = row->kind, .cause = row->cause, .index = index,
				     .warning = row->warning};
	uint64_t last = sidecar->figures.last_bytes;
	struct policy_facts facts;

	situation_gather(sidecar, &fault, &facts);
	plan_suppose(row, index, &facts);
	if (row->kind == FAULT_DISK_CORRUPT) { /* the scrub's own to carry out */
		facts.able |= STRATEGY_BIT(STRATEGY_HEAL);
		facts.heal_blocks = sidecar->config->heal;
	}
	if (facts.dirty_bytes < last)
		facts.dirty_bytes = last;
	if (facts.all_dirty_bytes < last)
		facts.all_dirty_bytes = last;
	if (row->kind == FAULT_DISK_WRITE || row->kind == FAULT_DISK_READ ||
	    row->kind == FAULT_DISK_FULL) {
		situation_of_failed(sidecar, UINT64_C(1) << index, &facts);
		if (!recover_can(sidecar))
			facts.not_now = not_now(sidecar);
	}
	mind_consider(sidecar->config->mind, &facts, ring_now_ns(), verdict);
}

static double downtime_of(const struct policy_verdict *verdict)
{
	return verdict->candidates[verdict->strategy].prediction.downtime_ms;
}

/* The row of disk FIRST and of those behind it for which the same is done. */
static json_t *same_answer(const struct sidecar *sidecar, const struct plan_row *row,
			   const struct policy_verdict *verdicts, unsigned first, uint64_t *done)
{
	const struct guest *guest = &sidecar->guest;
	json_t *names = json_array(), *item;
	unsigned worst = first;

	for (unsigned i = first; i < guest->disk_count; i++) {
		if (*done >> i & 1 || verdicts[i].strategy != verdicts[first].strategy)
			continue;
		*done |= UINT64_C(1) << i;
		json_array_append_new(names, json_string(guest->disks[i].name));
		if (downtime_of(&verdicts[i]) > downtime_of(&verdicts[worst]))
			worst = i;
	}
	item = plan_row_json(row, guest->disks[worst].name, &sidecar->config->mind->model,
			     &verdicts[worst]);
	json_object_set_new(item, "resources", names);
	return item;
}

/* A row for each answer that there is, most often one for all disks. */
static void add_disks(const struct sidecar *sidecar, const struct plan_row *row, json_t *plan)
{
	static struct policy_verdict verdicts[BOUND_DISKS];
	const struct guest *guest = &sidecar->guest;
	uint64_t done = 0;

	for (unsigned i = 0; i < guest->disk_count; i++)
		decide(sidecar, row, (int)i, &verdicts[i]);
	for (unsigned i = 0; i < guest->disk_count; i++) {
		if (!(done >> i & 1))
			json_array_append_new(plan, same_answer(sidecar, row, verdicts, i, &done));
	}
}

static void add_one(const struct sidecar *sidecar, const struct plan_row *row, int index,
		    json_t *plan)
{
	struct detect_fault fault = {.kind = row->kind, .index = index};
	struct policy_verdict verdict;

	decide(sidecar, row, index, &verdict);
	json_array_append_new(plan, plan_row_json(row, sense_resource(sidecar, &fault),
						  &sidecar->config->mind->model, &verdict));
}

json_t *plan_of_sidecar(const struct sidecar *sidecar)
{
	const struct mind *mind = sidecar->config->mind;
	const struct plan_row *row;
	json_t *plan = json_array();

	for (unsigned i = 0; (row = plan_row(i)); i++) {
		if (plan_row_is_of_disk(row))
			add_disks(sidecar, row, plan);
		else if (row->kind != FAULT_NIC)
			add_one(sidecar, row, -1, plan);
		for (unsigned n = 0; row->kind == FAULT_NIC && n < sidecar->sense.facts.nic_count;
		     n++)
			add_one(sidecar, row, (int)n, plan);
	}
	return plan_json(sidecar->guest.name, true, &mind->settings, &mind->model, plan);
}
