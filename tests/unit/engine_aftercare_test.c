/* SPDX-License-Identifier: Apache-2.0
 *
 * When a guest counts as well after a recovery, and when the recovery was in vain.
 */
#include <CUnit/CUnit.h>
#include <string.h>

#include "aftercare.h"
#include "cunit_main.h"

#define MS INT64_C(1000000)
#define START (1000 * MS)

static struct aftercare aftercare;
static struct aftercare_signs signs;

static void begin(bool boots)
{
	aftercare = (struct aftercare){.state = AFTERCARE_WATCHING, .boots = boots,
				       .was_at_work = true, .since_ns = START};
	signs = (struct aftercare_signs){.running = true, .boot_ms = 20000};
}

/* The verdict, or the evidence, as one word. */
static const char *judged(int64_t after_ms)
{
	static const char *const names[] = {"wait", "well", "forget", "in vain"};
	const char *evidence = NULL;
	enum aftercare_verdict verdict =
		aftercare_judge(&aftercare, &signs, START + after_ms * MS, &evidence);

	return verdict == AFTERCARE_WELL ? evidence : names[verdict];
}

#define JUDGES(ms, word) CU_ASSERT_STRING_EQUAL(judged(ms), word)

static void a_write_is_the_best_sign(void)
{
	begin(true);
	JUDGES(0, "wait");
	signs.requests = true;
	JUDGES(10, "wait"); /* a loader */
	signs.agent = true;
	JUDGES(20, "agent");
	signs.wrote = true;
	JUDGES(30, "writes");
	signs.running = false;
	JUDGES(40, "wait");
}

static void a_guest_in_place_that_runs_on_is_well(void)
{
	begin(false);
	JUDGES(0, "wait");
	JUDGES(9999, "wait");
	signs.running = false; /* it stood still again: the time begins anew */
	JUDGES(10000, "wait");
	signs.running = true;
	JUDGES(11000, "wait");
	JUDGES(20999, "wait");
	JUDGES(21000, "runs");
	begin(false);
	signs.requests = true;
	JUDGES(1, "requests");
}

static void a_boot_that_only_runs_was_in_vain(void)
{
	begin(true);
	JUDGES(0, "wait");
	JUDGES(119999, "wait");
	JUDGES(120000, "in vain");
	begin(true);
	signs.boot_ms = 60000; /* its boots take a minute */
	JUDGES(0, "wait");
	JUDGES(120000, "wait");
	JUDGES(180000, "in vain");
	begin(true);
	signs.requests = true;
	JUDGES(0, "wait");
	JUDGES(29999, "wait");
	JUDGES(30000, "requests");
	begin(true);
	aftercare.was_at_work = false; /* a guest without use for its disks */
	JUDGES(0, "wait");
	JUDGES(10000, "runs");
}

static void a_guest_that_does_not_run_is_not_well(void)
{
	begin(false);
	signs.running = false;
	signs.wrote = signs.agent = signs.requests = true;
	JUDGES(29999, "wait");
	JUDGES(30000, "in vain");
}

static void what_its_owner_does_ends_the_watch(void)
{
	begin(false);
	signs.paused_by_owner = true;
	signs.running = false;
	JUDGES(50000, "forget");
	begin(true);
	signs.ended = true;
	JUDGES(200000, "forget");
}

int main(void)
{
#define CASE(fn) {#fn, fn}
	static const struct cunit_case cases[] = {
		CASE(a_write_is_the_best_sign),
		CASE(a_guest_in_place_that_runs_on_is_well),
		CASE(a_boot_that_only_runs_was_in_vain),
		CASE(a_guest_that_does_not_run_is_not_well),
		CASE(what_its_owner_does_ends_the_watch),
	};

	return cunit_run("engine_aftercare", cases, sizeof(cases) / sizeof(cases[0]));
}
