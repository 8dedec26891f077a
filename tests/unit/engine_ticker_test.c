/* SPDX-License-Identifier: Apache-2.0
 *
 * A ticker ticks until it is stopped, whenever that is.
 */
#include <CUnit/CUnit.h>
#include <unistd.h>

#include "cunit_main.h"
#include "ticker.h"

#define NEVER_MS INT64_C(3600000)

static struct loop loop;
static struct ticker ticker;
static unsigned ticks, wanted;

static void count(void *arg)
{
	CU_ASSERT_PTR_EQUAL(arg, &ticks);
	ticks++;
}

static bool enough(void *arg)
{
	return ticks >= wanted;
}

static void setup(int64_t period_ms)
{
	struct errinfo err = {0};

	CU_ASSERT_EQUAL_FATAL(loop_init(&loop, &err), 0);
	ticker = (struct ticker){0};
	ticks = 0;
	ticker_start(&ticker, loop.ring, period_ms, count, &ticks);
}

static void teardown(void)
{
	ticker_stop(&ticker, &loop);
	CU_ASSERT(!ring_op_pending(&ticker.op));
	loop_release(&loop);
}

static void it_ticks_at_once_and_again(void)
{
	setup(1);
	wanted = 5;
	CU_ASSERT_EQUAL(loop_until(&loop, enough, NULL, INT64_MAX), 0);
	teardown();
	CU_ASSERT(ticks >= 5);
}

static void a_tick_that_is_far_off_is_not_waited_for(void)
{
	setup(NEVER_MS);
	wanted = 1;
	CU_ASSERT_EQUAL(loop_until(&loop, enough, NULL, INT64_MAX), 0);
	teardown();
	CU_ASSERT_EQUAL(ticks, 1);
}

/* It cannot be cancelled any more, and must not be the first of many. */
static void a_tick_that_is_due_already_is_the_last(void)
{
	setup(1);
	teardown();
	CU_ASSERT_EQUAL(ticks, 0);
	setup(-1); /* the next is always due */
	wanted = 3;
	CU_ASSERT_EQUAL(loop_until(&loop, enough, NULL, INT64_MAX), 0);
	teardown();
}

static void one_that_never_began_is_stopped(void)
{
	setup(1);
	teardown();
	CU_ASSERT_EQUAL(loop_init(&loop, NULL), 0);
	ticker = (struct ticker){0};
	teardown();
}

int main(void)
{
#define CASE(fn) {#fn, fn}
	static const struct cunit_case cases[] = {
		CASE(it_ticks_at_once_and_again),
		CASE(a_tick_that_is_far_off_is_not_waited_for),
		CASE(a_tick_that_is_due_already_is_the_last),
		CASE(one_that_never_began_is_stopped),
	};

	alarm(60);
	return cunit_run("engine_ticker", cases, sizeof(cases) / sizeof(cases[0]));
}
