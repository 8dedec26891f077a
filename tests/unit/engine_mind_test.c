/* SPDX-License-Identifier: Apache-2.0
 *
 * Since when the guest itself has faults: a roll back goes to a point from before.
 */
#include <CUnit/CUnit.h>
#include <stdio.h>
#include <stdlib.h>

#include "cunit_main.h"
#include "mind.h"

#define S INT64_C(1000000000)
#define WINDOW (600 * S)

static struct mind mind;

static void begin(void)
{
	mind = (struct mind){.settings.flap_window_ns = WINDOW};
}

static void without_a_fault_it_is_now(void)
{
	begin();
	CU_ASSERT_EQUAL(mind_first_us(&mind, 5 * S, 77), 77);
}

/* The guest may have gone on by itself: nobody answered, and it counts. */
static void the_first_within_the_window(void)
{
	begin();
	mind_struck(&mind, 1000, 10 * S);
	mind_struck(&mind, 2000, 20 * S);
	CU_ASSERT_EQUAL(mind_first_us(&mind, 30 * S, 77), 1000);
	CU_ASSERT_EQUAL(mind_first_us(&mind, 10 * S + WINDOW, 77), 2000);
	CU_ASSERT_EQUAL(mind_first_us(&mind, 20 * S + WINDOW, 77), 77);
}

static void of_many_the_first_stays(void)
{
	begin();
	for (int i = 0; i < 3 * POLICY_HISTORY_MAX; i++)
		mind_struck(&mind, 1000 + i, (10 + i) * S / 10);
	CU_ASSERT_EQUAL(mind_first_us(&mind, 30 * S, 77), 1000);
	CU_ASSERT_EQUAL(mind.struck_count, POLICY_HISTORY_MAX);
	/* What is over makes room. */
	mind_struck(&mind, 9000, 30 * S + WINDOW);
	CU_ASSERT_EQUAL(mind.struck_count, 1);
	CU_ASSERT_EQUAL(mind_first_us(&mind, 31 * S + WINDOW, 77), 9000);
}

/* The agent's silence counts when it was answered, as any fault of the guest; no disk's does. */
static void what_was_answered_counts(void)
{
	static const struct detect_fault silent = {.kind = FAULT_GUEST_SILENT, .index = -1},
					 disk = {.kind = FAULT_DISK_WRITE, .index = 0};
	char store[] = "/tmp/mind.XXXXXX", command[64];
	json_t *steps = json_array();

	begin();
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(store));
	mind.store = store;
	mind_begin(&mind, "guest", 500, &disk, "vda");
	mind.verdict.strategy = STRATEGY_PIVOT;
	mind_end(&mind, "recovered", 1, 0, NULL, steps, 600, 5 * S);
	CU_ASSERT_EQUAL(mind_first_us(&mind, 6 * S, 77), 77);
	mind_begin(&mind, "guest", 1000, &silent, "guest");
	CU_ASSERT_EQUAL(mind_first_us(&mind, 9 * S, 77), 77);
	mind.verdict.strategy = STRATEGY_RESET;
	mind_end(&mind, "recovered", 1, 0, NULL, steps, 2000, 10 * S);
	CU_ASSERT_EQUAL(mind_first_us(&mind, 11 * S, 77), 1000);
	json_decref(steps);
	snprintf(command, sizeof(command), "rm -r %s", store);
	CU_ASSERT_EQUAL(system(command), 0);
}

int main(void)
{
	static const struct cunit_case cases[] = {
		{"without_a_fault_it_is_now", without_a_fault_it_is_now},
		{"the_first_within_the_window", the_first_within_the_window},
		{"of_many_the_first_stays", of_many_the_first_stays},
		{"what_was_answered_counts", what_was_answered_counts},
	};

	return cunit_run("engine_mind", cases, sizeof(cases) / sizeof(cases[0]));
}
