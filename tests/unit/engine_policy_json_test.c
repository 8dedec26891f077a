/* SPDX-License-Identifier: Apache-2.0
 *
 * A decision can be made again from what its incident tells.
 */
#include <CUnit/CUnit.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cunit_main.h"
#include "jsontext.h"
#include "policy_json.h"

#define NOW (INT64_C(1) << 60)

static struct policy_settings settings;
static struct model model;
static struct policy_facts facts;
static struct policy_verdict verdict;

/* tests/data/incident-pivot.json: the first of its store, so nothing was learned;
 * without a configuration.  Tests run from the root of the tree. */
static void a_recorded_incident_is_decided_alike(void)
{
	json_t *incident = json_load_file("tests/data/incident-pivot.json", 0, NULL);
	const json_t *decision, *other;
	size_t i, j;

	CU_ASSERT_PTR_NOT_NULL_FATAL(incident);
	policy_settings_default(&settings);
	model_empty(&model);
	CU_ASSERT(json_array_size(json_object_get(incident, "decisions")) > 0);
	json_array_foreach(json_object_get(incident, "decisions"), i, decision) {
		CU_ASSERT_TRUE_FATAL(policy_facts_of_json(json_object_get(decision, "facts"), NOW,
							  &facts, &settings));
		policy_decide(&facts, &settings, &model, NOW, &verdict);
		CU_ASSERT_STRING_EQUAL(strategy_names[verdict.strategy],
				       json_text(decision, "strategy"));
		CU_ASSERT_STRING_EQUAL(verdict.why, json_text(decision, "why"));
		json_array_foreach(json_object_get(decision, "alternatives"), j, other) {
			enum strategy strategy = strategy_by_name(json_text(other, "strategy"));

			CU_ASSERT_FATAL(strategy != STRATEGIES);
			CU_ASSERT_STRING_EQUAL(verdict.candidates[strategy].why_not,
					       json_text(other, "why_not"));
		}
	}
	json_decref(incident);
}

static uint64_t any(uint64_t below)
{
	return ((uint64_t)rand() << 31 ^ (uint64_t)rand()) % below;
}

static void make_facts(void)
{
	memset(&facts, 0, sizeof(facts));
	facts.fault.kind = (enum fault_kind)(1 + any(FAULT_KINDS - 1));
	facts.fault.cause = (enum detect_cause)any(DETECT_CAUSES);
	facts.fault.index = (int)any(3) - 1;
	facts.fault.warning = any(2);
	facts.qemu_alive = any(8);
	facts.qemu_answers = any(8);
	facts.running = any(2);
	facts.paused_by_owner = !any(8);
	facts.guest_progress = any(2);
	facts.untried = any(2);
	facts.cleared = any(2);
	facts.replica_ready = any(8);
	facts.head_intact = any(8);
	facts.covered = any(4);
	facts.on_replica = !any(4);
	facts.swappable = any(8);
	facts.yankable = any(2);
	facts.sync = !any(4);
	facts.source = (enum policy_source)any(3);
	facts.dirty_bytes = any(1 << 30);
	facts.all_dirty_bytes = any(1 << 30);
	facts.disk_bytes = any(UINT64_C(1) << 40);
	facts.elapsed_us = any(1 << 30);
	facts.heal_blocks = any(3);
	facts.heal_stale = any(2);
	facts.points = (unsigned)any(3);
	facts.point_loss_bytes = any(1 << 30);
	facts.point_bytes = any(1 << 30);
	facts.spare = any(2);
	facts.standby = any(2);
	facts.standby_boots = any(2);
	facts.restart_known = any(2);
	facts.nic_replaceable = any(2);
	facts.able = (uint32_t)any(POLICY_ABLE_ALL + 1u) | STRATEGY_BIT(STRATEGY_HOLD);
	facts.tried = (uint32_t)any(8);
	facts.resets = (unsigned)any(4);
	facts.history_count = (unsigned)any(POLICY_HISTORY_MAX + 1);
	for (unsigned i = 0; i < facts.history_count; i++) {
		facts.history[i].time_ns = NOW - (int64_t)any(UINT64_C(1) << 40);
		facts.history[i].resource = (int)any(3) - 1;
	}
}

static void any_facts_come_back_as_they_were(void)
{
	unsigned seed = (unsigned)time(NULL);

	printf("seed %u ", seed);
	srand(seed);
	model_empty(&model);
	for (unsigned i = 0; i < 5000; i++) {
		struct policy_verdict again;
		struct policy_settings back;
		struct policy_facts copy;
		json_t *json;
		char *text;

		make_facts();
		policy_settings_default(&settings);
		policy_settings_default(&back);
		settings.objective = any(2) ? OBJECTIVE_FAST : OBJECTIVE_OPTIMAL;
		settings.on_loss = any(2) ? ON_LOSS_HOLD : ON_LOSS_ROLLBACK;
		json = policy_facts_json(&facts, &settings, NOW);
		text = json_dumps(json, 0); /* as it lies in the file */
		json_decref(json);
		json = json_loads(text, 0, NULL);
		/* Much later, by another clock. */
		CU_ASSERT_TRUE_FATAL(policy_facts_of_json(json, NOW / 2, &copy, &back));
		policy_decide(&facts, &settings, &model, NOW, &verdict);
		policy_decide(&copy, &back, &model, NOW / 2, &again);
		CU_ASSERT_EQUAL_FATAL(verdict.strategy, again.strategy);
		CU_ASSERT_STRING_EQUAL(verdict.why, again.why);
		CU_ASSERT_EQUAL(verdict.not_before_ns ? verdict.not_before_ns - NOW : 0,
				again.not_before_ns ? again.not_before_ns - NOW / 2 : 0);
		free(text);
		json_decref(json);
	}
}

static void what_are_no_facts_is_refused(void)
{
	json_t *json;

	make_facts();
	policy_settings_default(&settings);
	json = policy_facts_json(&facts, &settings, NOW);
	CU_ASSERT_TRUE(policy_facts_of_json(json, NOW, &facts, &settings));
	json_object_set_new(json, "kind", json_string("weather"));
	CU_ASSERT_FALSE(policy_facts_of_json(json, NOW, &facts, &settings));
	json_object_set_new(json, "kind", json_string("nic-down"));
	json_object_set_new(json, "dirty_bytes", json_integer(-1));
	CU_ASSERT_FALSE(policy_facts_of_json(json, NOW, &facts, &settings));
	json_object_set_new(json, "dirty_bytes", json_integer(1));
	CU_ASSERT_TRUE(policy_facts_of_json(json, NOW, &facts, &settings));
	json_object_set_new(json, "source", json_integer(7));
	CU_ASSERT_FALSE(policy_facts_of_json(json, NOW, &facts, &settings));
	json_object_del(json, "source");
	json_object_del(json, "history");
	CU_ASSERT_FALSE(policy_facts_of_json(json, NOW, &facts, &settings));
	json_decref(json);
	CU_ASSERT_FALSE(policy_facts_of_json(NULL, NOW, &facts, &settings));
}

int main(void)
{
#define CASE(fn) {#fn, fn}
	static const struct cunit_case cases[] = {
		CASE(a_recorded_incident_is_decided_alike),
		CASE(any_facts_come_back_as_they_were),
		CASE(what_are_no_facts_is_refused),
	};

	return cunit_run("engine_policy_json", cases, sizeof(cases) / sizeof(cases[0]));
}
