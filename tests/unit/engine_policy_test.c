/* SPDX-License-Identifier: Apache-2.0
 *
 * Which strategy answers which fault: a table, and what must hold for any facts.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <CUnit/CUnit.h>

#include "cunit_main.h"
#include "plan.h"
#include "policy.h"

#define S INT64_C(1000000000)
#define NOW (100000 * S)

static struct policy_facts facts;
static struct policy_settings settings;
static struct model model;
static struct policy_verdict verdict;

/* A protected guest that stands still with the fault; all means are there. */
static void begin(enum fault_kind kind, enum detect_cause cause)
{
	model_empty(&model);
	policy_settings_default(&settings);
	memset(&facts, 0, sizeof(facts));
	facts.fault = (struct detect_fault){.kind = kind, .cause = cause};
	facts.qemu_alive = facts.qemu_answers = true;
	facts.replica_ready = facts.head_intact = facts.covered = facts.swappable = true;
	facts.spare = facts.standby = facts.restart_known = facts.nic_replaceable = true;
	facts.standby_boots = true;
	facts.dirty_bytes = facts.all_dirty_bytes = 1 << 20;
	facts.point_loss_bytes = 1 << 24;
	facts.disk_bytes = UINT64_C(1) << 30;
	facts.points = 3;
	facts.able = POLICY_ABLE_ALL;
}

static const char *decided(void)
{
	policy_decide(&facts, &settings, &model, NOW, &verdict);
	CU_ASSERT(strlen(verdict.why) > 10);
	for (unsigned i = 0; i < STRATEGIES; i++)
		CU_ASSERT_EQUAL(verdict.candidates[i].why_not == NULL, i == verdict.strategy);
	return strategy_names[verdict.strategy];
}

#define DECIDES(name) CU_ASSERT_STRING_EQUAL(decided(), name)

static void each_fault_has_its_answer(void)
{
	static const struct {
		enum fault_kind kind;
		enum detect_cause cause;
		bool warning, running, dead;
		const char *hold, *rollback; /* by on-loss */
	} table[] = {
		{FAULT_DISK_WRITE, CAUSE_UNKNOWN, 0, 0, 0, "pivot", "pivot"},
		{FAULT_DISK_WRITE, CAUSE_NO_WRITES, 0, 0, 0, "pivot", "pivot"},
		{FAULT_DISK_WRITE, CAUSE_DEAD, 0, 0, 0, "pivot", "pivot"}, /* it is asked */
		{FAULT_DISK_READ, CAUSE_BAD_SECTOR, 0, 0, 0, "pivot", "pivot"},
		{FAULT_DISK_FULL, CAUSE_FULL, 0, 0, 0, "pivot", "pivot"},
		{FAULT_DISK_FULL, CAUSE_FULL, 1, 1, 0, "mirror", "mirror"},
		{FAULT_DISK_HANG, CAUSE_HUNG, 0, 1, 0, "hold", "failover"},
		{FAULT_DISK_DEGRADING, CAUSE_SLOWER, 1, 1, 0, "mirror", "mirror"},
		{FAULT_REPLICA, CAUSE_DEAD, 0, 1, 0, "hold", "hold"},
		{FAULT_QEMU_EXIT, CAUSE_CRASH, 0, 0, 1, "restart", "restart"},
		{FAULT_QEMU_HANG, CAUSE_HUNG, 0, 0, 0, "restart", "restart"},
		{FAULT_GUEST_PANIC, CAUSE_PANIC, 0, 0, 0, "reset", "reset"},
		{FAULT_GUEST_PANIC, CAUSE_PANIC_DUMPING, 0, 1, 0, "hold", "hold"},
		{FAULT_GUEST_WATCHDOG, CAUSE_UNKNOWN, 0, 0, 0, "reset", "reset"},
		{FAULT_GUEST_SILENT, CAUSE_UNKNOWN, 0, 1, 0, "reset", "reset"},
		{FAULT_MEMORY, CAUSE_MORE_ERRORS, 1, 1, 0, "failover", "failover"},
		{FAULT_MEMORY, CAUSE_DEAD, 0, 0, 0, "restart", "restart"},
		{FAULT_NIC, CAUSE_PATH, 0, 1, 0, "relink", "relink"},
		{FAULT_HOST, CAUSE_UNKNOWN, 0, 0, 1, "hold", "failover"},
	};

	for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		begin(table[i].kind, table[i].cause);
		facts.fault.warning = table[i].warning;
		facts.running = table[i].running;
		facts.qemu_alive = !table[i].dead;
		DECIDES(table[i].hold);
		settings.on_loss = ON_LOSS_ROLLBACK;
		DECIDES(table[i].rollback);
	}
}

/* A pivot would take the replica away from a guest that is not in need. */
static void a_warning_without_a_spare_only_tells(void)
{
	begin(FAULT_DISK_DEGRADING, CAUSE_SLOWER);
	facts.fault.warning = facts.running = true;
	facts.spare = false;
	DECIDES("hold");
	begin(FAULT_DISK_FULL, CAUSE_FULL);
	facts.fault.warning = facts.running = true;
	facts.spare = false;
	DECIDES("hold");
}

static void optimal_repairs_in_place_where_fast_may_not(void)
{
	begin(FAULT_DISK_READ, CAUSE_BAD_SECTOR);
	facts.heal_blocks = 1;
	facts.dirty_bytes = 1 << 28;
	settings.objective = OBJECTIVE_OPTIMAL;
	DECIDES("heal");
	settings.objective = OBJECTIVE_FAST;
	facts.heal_stale = true;
	DECIDES("pivot");
	/* A resume that failed nine times in ten is not worth trying. */
	begin(FAULT_DISK_WRITE, CAUSE_TRANSIENT);
	facts.dirty_bytes = 100 << 20;
	DECIDES("resume");
	model.tries[STRATEGY_RESUME].tried = 30;
	facts.dirty_bytes = 0;
	for (int i = 0; i < 3; i++)
		model_observe_step(&model, STRATEGY_RESUME, "resume", 50, 0);
	DECIDES("pivot");
	CU_ASSERT_STRING_EQUAL(verdict.candidates[STRATEGY_RESUME].why_not,
			       "more downtime is expected of it");
}

static void an_error_that_nobody_tried_again_may_be_tried_by_the_thrifty(void)
{
	begin(FAULT_DISK_WRITE, CAUSE_UNKNOWN);
	facts.untried = true;
	DECIDES("pivot"); /* a retry that fails costs time */
	settings.objective = OBJECTIVE_OPTIMAL;
	DECIDES("resume"); /* a pivot ends in a copy of the whole disk */
	CU_ASSERT(verdict.candidates[STRATEGY_RESUME].success < 0.1);
	facts.fault.cause = CAUSE_BAD_SECTOR; /* it would fail again */
	DECIDES("pivot");
	facts.fault.cause = CAUSE_UNKNOWN;
	facts.untried = false;
	DECIDES("pivot");
	/* A full disk waits for room only where it may not leave. */
	begin(FAULT_DISK_FULL, CAUSE_FULL);
	settings.allowed[FAULT_DISK_FULL] = STRATEGY_BIT(STRATEGY_RESUME);
	DECIDES("hold");
	facts.cleared = true;
	DECIDES("resume");
}

static void a_strategy_that_was_tried_is_not_tried_again(void)
{
	begin(FAULT_DISK_WRITE, CAUSE_TRANSIENT);
	DECIDES("resume");
	facts.tried = STRATEGY_BIT(STRATEGY_RESUME);
	DECIDES("pivot");
	facts.source = SOURCE_UNREADABLE;
	DECIDES("hold");
	CU_ASSERT(strstr(verdict.why, "on-loss is hold") != NULL);
	settings.on_loss = ON_LOSS_ROLLBACK;
	DECIDES("rollback");
	CU_ASSERT_EQUAL(verdict.candidates[STRATEGY_ROLLBACK].loss_bytes, 1 << 20);
	facts.tried |= STRATEGY_BIT(STRATEGY_ROLLBACK);
	DECIDES("hold");
	facts.head_intact = false; /* then an older point, on the spare */
	DECIDES("restore");
}

static void repeated_resets_end_in_a_rollback(void)
{
	begin(FAULT_GUEST_PANIC, CAUSE_PANIC);
	settings.on_loss = ON_LOSS_ROLLBACK;
	facts.resets = 1;
	DECIDES("reset");
	facts.resets = 2;
	DECIDES("rollback");
	begin(FAULT_GUEST_SILENT, CAUSE_UNKNOWN);
	facts.running = facts.guest_progress = true;
	DECIDES("hold");
}

static void a_guest_goes_back_only_to_before_it_began_to_fail(void)
{
	begin(FAULT_GUEST_PANIC, CAUSE_PANIC);
	settings.on_loss = ON_LOSS_ROLLBACK;
	facts.resets = 2;
	DECIDES("rollback");
	CU_ASSERT_EQUAL(verdict.candidates[STRATEGY_ROLLBACK].loss_bytes, 1 << 24);
	facts.points = 0;
	DECIDES("hold");
	CU_ASSERT_PTR_NOT_NULL(strstr(verdict.why, "no point"));
}

static void nothing_that_may_run_is_started_a_second_time(void)
{
	/* The monitor ended, the process did not. */
	begin(FAULT_QEMU_HANG, CAUSE_UNKNOWN);
	settings.on_loss = ON_LOSS_ROLLBACK;
	facts.qemu_answers = false;
	DECIDES("hold");
	facts.fault.cause = CAUSE_HUNG;
	DECIDES("restart");
	facts.restart_known = false;
	facts.restart_why = "somebody else does";
	facts.standby_boots = false;
	DECIDES("hold");
	CU_ASSERT_STRING_EQUAL(verdict.candidates[STRATEGY_RESTART].why_not, "somebody else does");
	/* The guest deals with its bad page; when it panics, that is another fault. */
	begin(FAULT_MEMORY, CAUSE_BAD_SECTOR);
	facts.running = true;
	facts.standby_boots = false;
	DECIDES("hold");
}

static void the_owner_and_the_configuration_are_obeyed(void)
{
	begin(FAULT_DISK_WRITE, CAUSE_NO_WRITES);
	facts.paused_by_owner = true;
	DECIDES("hold");
	facts.paused_by_owner = false;
	settings.allowed[FAULT_DISK_WRITE] = 0;
	DECIDES("hold");
	CU_ASSERT(!verdict.candidates[STRATEGY_PIVOT].allowed);
	CU_ASSERT(strstr(verdict.why, "does not allow") != NULL);
}

static void what_is_not_begun_yet_is_held(void)
{
	static const char why[] = "the replica is brought up to date first";

	begin(FAULT_DISK_WRITE, CAUSE_NO_WRITES);
	settings.on_loss = ON_LOSS_ROLLBACK;
	facts.covered = false;
	DECIDES("rollback");
	facts.not_now = why;
	DECIDES("hold");
	CU_ASSERT_PTR_NOT_NULL(strstr(verdict.why, why));
}

/* After an NMI, which it may have ignored. */
static void a_guest_at_work_is_not_reset_for_its_watchdog(void)
{
	begin(FAULT_GUEST_WATCHDOG, CAUSE_PANIC_DUMPING);
	DECIDES("hold");
	begin(FAULT_GUEST_WATCHDOG, CAUSE_UNKNOWN);
	facts.running = facts.guest_progress = true;
	DECIDES("hold");
	facts.guest_progress = false;
	DECIDES("reset");
	facts.guest_progress = true; /* just before it was paused */
	facts.running = false;
	DECIDES("reset");
}

/* As the scrub tells of it. */
static void a_plan_for_damage_moves_no_guest(void)
{
	const struct plan_row *row;

	for (unsigned i = 0; (row = plan_row(i)); i++) {
		if (row->kind != FAULT_DISK_CORRUPT)
			continue;
		begin(row->kind, row->cause);
		plan_suppose(row, 0, &facts);
		DECIDES("hold");
		facts.heal_blocks = 1;
		DECIDES("heal");
	}
}

static void twenty_faults_in_a_row_end_in_hold(void)
{
	unsigned recoveries = 0;
	int64_t now_ns = NOW;

	begin(FAULT_DISK_WRITE, CAUSE_UNKNOWN);
	for (int i = 0; i < 20; i++) {
		policy_decide(&facts, &settings, &model, now_ns, &verdict);
		if (verdict.strategy == STRATEGY_HOLD)
			continue;
		CU_ASSERT_EQUAL(verdict.not_before_ns > now_ns, i >= 2);
		if (i >= 2) /* 1, 2, 4, ... s, at most a minute */
			CU_ASSERT_EQUAL(verdict.not_before_ns - now_ns,
					S << (i - 2) < 60 * S ? S << (i - 2) : 60 * S);
		now_ns = verdict.not_before_ns ? verdict.not_before_ns : now_ns;
		facts.history[facts.history_count].time_ns = now_ns;
		facts.history[facts.history_count++].resource = 0;
		recoveries++;
	}
	CU_ASSERT_EQUAL(recoveries, settings.flap_limit);
	CU_ASSERT(strstr(verdict.why, "flap limit") != NULL);
	now_ns += 700 * S; /* and later it is tried again, at once */
	policy_decide(&facts, &settings, &model, now_ns, &verdict);
	CU_ASSERT_EQUAL(verdict.strategy, STRATEGY_PIVOT);
	CU_ASSERT_EQUAL(verdict.not_before_ns, 0);
}

static void another_resource_does_not_wait(void)
{
	begin(FAULT_DISK_WRITE, CAUSE_UNKNOWN);
	facts.fault.index = 1;
	facts.history_count = 5;
	for (unsigned i = 0; i < 5; i++)
		facts.history[i].time_ns = NOW;
	DECIDES("pivot");
	CU_ASSERT_EQUAL(verdict.not_before_ns, 0);
}

/* A card whose peer crashes all the time is no reason to leave the first disk alone. */
static void cards_that_come_and_go_hold_up_no_disk(void)
{
	begin(FAULT_DISK_WRITE, CAUSE_UNKNOWN);
	facts.history_count = 12;
	for (unsigned i = 0; i < facts.history_count; i++) {
		facts.history[i].time_ns = NOW;
		facts.history[i].resource = policy_resource(FAULT_NIC, 0);
	}
	DECIDES("pivot");
	CU_ASSERT_EQUAL(verdict.not_before_ns, 0);
	CU_ASSERT_NOT_EQUAL(policy_resource(FAULT_NIC, 0), policy_resource(FAULT_DISK_WRITE, 0));
	CU_ASSERT_NOT_EQUAL(policy_resource(FAULT_NIC, 0), policy_resource(FAULT_GUEST_PANIC, -1));
	for (unsigned i = 0; i < facts.history_count; i++)
		facts.history[i].resource = policy_resource(FAULT_DISK_WRITE, 0);
	DECIDES("hold");
}

/* --- any facts --- */

static bool coin(void)
{
	return rand() % 2;
}

static void draw(void)
{
	memset(&facts, 0, sizeof(facts));
	facts.fault.kind = (enum fault_kind)(1 + rand() % (FAULT_KINDS - 1));
	facts.fault.cause = coin() ? CAUSE_BAD_SECTOR : (enum detect_cause)(rand() % DETECT_CAUSES);
	facts.fault.index = rand() % 3 - 1;
	facts.fault.warning = rand() % 4 == 0;
	bool *flags[] = {&facts.qemu_alive, &facts.qemu_answers, &facts.running,
			 &facts.paused_by_owner, &facts.guest_progress, &facts.cleared,
			 &facts.replica_ready, &facts.head_intact, &facts.covered,
			 &facts.on_replica, &facts.swappable, &facts.sync, &facts.heal_stale,
			 &facts.spare, &facts.standby, &facts.restart_known,
			 &facts.nic_replaceable, &facts.untried, &facts.yankable,
			 &facts.standby_boots};

	for (unsigned i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		*flags[i] = rand() % 8 != 0;
	facts.paused_by_owner = rand() % 8 == 0;
	facts.source = (enum policy_source)(rand() % 3);
	facts.dirty_bytes = coin() ? 0 : (uint64_t)rand() << (rand() % 20);
	facts.all_dirty_bytes = facts.dirty_bytes + (coin() ? 0 : (uint64_t)rand());
	facts.disk_bytes = (uint64_t)rand() << 12;
	facts.heal_blocks = (uint64_t)(rand() % 3);
	facts.points = (unsigned)rand() % 3;
	facts.point_loss_bytes = coin() ? 0 : (uint64_t)rand();
	facts.tried = coin() ? 0 : (uint32_t)rand() & (STRATEGY_BIT(STRATEGIES) - 1);
	facts.able = rand() % 4 ? POLICY_ABLE_ALL : POLICY_ABLE;
	facts.resets = (unsigned)rand() % 4;
	facts.history_count = coin() ? 0 : (unsigned)rand() % 14;
	for (unsigned i = 0; i < facts.history_count; i++) {
		facts.history[i].time_ns = NOW - (int64_t)(14 - i) * (rand() % 60) * S;
		facts.history[i].resource = rand() % 3 - 1;
	}
	policy_settings_default(&settings);
	settings.objective = coin() ? OBJECTIVE_FAST : OBJECTIVE_OPTIMAL;
	settings.on_loss = coin() ? ON_LOSS_HOLD : ON_LOSS_ROLLBACK;
	for (unsigned i = 0; i < FAULT_KINDS; i++)
		settings.allowed[i] &= coin() ? UINT32_MAX : (uint32_t)rand();
	model_empty(&model);
	for (unsigned i = 0; i < 30; i++)
		model_observe(&model, (enum model_figure)(rand() % MODEL_FIGURES), rand() % 100000);
	for (unsigned i = 0; i < STRATEGIES; i++) {
		model.tries[i].tried = (unsigned)rand() % 50;
		model.tries[i].succeeded = (unsigned)rand() % (model.tries[i].tried + 1);
	}
}

/* The preconditions once more, by what would be harmed without them. */
static bool would_harm(enum strategy strategy)
{
	const bool boots = strategy == STRATEGY_FAILOVER &&
			   !(facts.fault.warning && facts.qemu_alive && facts.qemu_answers);
	const bool hang = facts.fault.kind == FAULT_DISK_HANG;
	const bool on_head = strategy == STRATEGY_PIVOT || strategy == STRATEGY_ROLLBACK ||
			     strategy == STRATEGY_HEAL || boots ||
			     (strategy == STRATEGY_RESTART && hang);
	const bool swaps = strategy == STRATEGY_PIVOT || strategy == STRATEGY_ROLLBACK ||
			   strategy == STRATEGY_RESTORE;
	const bool stops = strategy == STRATEGY_RESET || strategy == STRATEGY_ROLLBACK;

	if (strategy == STRATEGY_HOLD)
		return false;
	if (facts.paused_by_owner && facts.qemu_alive)
		return true; /* its owner may be at the disk */
	if (on_head && (!facts.replica_ready || !facts.head_intact || facts.on_replica))
		return true; /* bad or old data under a guest */
	if (swaps && !facts.swappable)
		return true; /* half a swap */
	if (strategy == STRATEGY_PIVOT && hang && !facts.yankable)
		return true; /* QEMU would wait for ever */
	if (stops && facts.fault.cause == CAUSE_PANIC_DUMPING && fault_of_guest(facts.fault.kind))
		return true; /* the dump is lost */
	if (boots && !facts.standby_boots)
		return true; /* nobody is there to boot */
	if (facts.fault.kind == FAULT_QEMU_HANG && facts.fault.cause == CAUSE_UNKNOWN &&
	    (strategy == STRATEGY_RESTART || strategy == STRATEGY_FAILOVER))
		return true; /* two guests on one disk */
	return facts.fault.warning && (stops || strategy == STRATEGY_RESTART ||
				       strategy == STRATEGY_RESTORE);
}

static void check_choice(void)
{
	const struct policy_candidate *chosen = &verdict.candidates[verdict.strategy];
	bool hold = verdict.strategy == STRATEGY_HOLD;
	bool could = false;

	CU_ASSERT_FATAL(policy_precondition(&facts, verdict.strategy) == NULL);
	CU_ASSERT_FATAL(!would_harm(verdict.strategy));
	CU_ASSERT(chosen->allowed);
	CU_ASSERT(!(chosen->loss_bytes && settings.on_loss == ON_LOSS_HOLD));
	CU_ASSERT(facts.able & STRATEGY_BIT(verdict.strategy));
	CU_ASSERT(hold || !(facts.tried & STRATEGY_BIT(verdict.strategy)));
	for (unsigned i = 0; i < STRATEGY_HOLD; i++) {
		const struct policy_candidate *other = &verdict.candidates[i];
		bool usable = !policy_precondition(&facts, (enum strategy)i) &&
			      settings.allowed[facts.fault.kind] & STRATEGY_BIT(i);

		CU_ASSERT(!(usable && !other->loss_bytes && chosen->loss_bytes));
		CU_ASSERT(!other->eligible || other->score >= chosen->score);
		could |= usable && (!other->loss_bytes || settings.on_loss == ON_LOSS_ROLLBACK);
	}
	/* Hold only for want of anything else, or because of the flap limit. */
	CU_ASSERT(!hold || !could || strstr(verdict.why, "flap limit") != NULL);
}

static void whatever_the_facts_the_choice_holds(void)
{
	const char *given = getenv("QHEAL_TEST_SEED");
	unsigned seed = given ? (unsigned)strtoul(given, NULL, 10) : 1;
	static struct policy_verdict again;
	unsigned chosen[STRATEGIES] = {0};

	printf("QHEAL_TEST_SEED=%u ", seed);
	srand(seed);
	for (unsigned i = 0; i < 100000; i++) {
		draw();
		policy_decide(&facts, &settings, &model, NOW, &verdict);
		policy_decide(&facts, &settings, &model, NOW, &again);
		CU_ASSERT_FATAL(!memcmp(&verdict, &again, sizeof(again)));
		check_choice();
		chosen[verdict.strategy]++;
	}
	for (unsigned i = 0; i < STRATEGIES; i++)
		CU_ASSERT(chosen[i] > 0); /* the draw reaches them all */
}

int main(void)
{
#define CASE(fn) {#fn, fn}
	static const struct cunit_case cases[] = {
		CASE(each_fault_has_its_answer),
		CASE(a_warning_without_a_spare_only_tells),
		CASE(optimal_repairs_in_place_where_fast_may_not),
		CASE(an_error_that_nobody_tried_again_may_be_tried_by_the_thrifty),
		CASE(a_strategy_that_was_tried_is_not_tried_again),
		CASE(repeated_resets_end_in_a_rollback),
		CASE(a_guest_goes_back_only_to_before_it_began_to_fail),
		CASE(nothing_that_may_run_is_started_a_second_time),
		CASE(the_owner_and_the_configuration_are_obeyed),
		CASE(what_is_not_begun_yet_is_held),
		CASE(a_guest_at_work_is_not_reset_for_its_watchdog),
		CASE(a_plan_for_damage_moves_no_guest),
		CASE(twenty_faults_in_a_row_end_in_hold),
		CASE(another_resource_does_not_wait),
		CASE(cards_that_come_and_go_hold_up_no_disk),
		CASE(whatever_the_facts_the_choice_holds),
	};

	return cunit_run("policy", cases, sizeof(cases) / sizeof(cases[0]));
}
