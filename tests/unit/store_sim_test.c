/* SPDX-License-Identifier: Apache-2.0
 *
 * The store on a simulated disk: power cuts at every operation, a failing call
 * at every place, and disks that lie about flushes, which must be noticed.
 * SIM_SEED=N begins with other histories, SIM_RUNS=N has more of them, SIM_CUTS=N
 * more cuts a step.
 */
#include <CUnit/CUnit.h>
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

#include "cunit_main.h"
#include "point.h"
#include "sim/sim_store.h"

#define GENERATIONS 15
/* Histories go on until there were that many.  Sanitizers look for other faults, at
 * a tenth of the speed: one history is enough for them. */
#ifdef __SANITIZE_ADDRESS__
#define CUTS 2000u
#else
#define CUTS 10000u
#endif

static uint64_t setting(const char *name, uint64_t otherwise)
{
	const char *value = getenv(name);

	return value ? strtoull(value, NULL, 0) : otherwise;
}

static void step_cut(void *arg)
{
	struct sim_store *s = arg;

	for (unsigned i = 0; i < s->cuts_per_step; i++)
		sim_store_cut(s);
}

static unsigned points_count(const struct sim_store *s)
{
	unsigned count;

	store_points(s->store, &count);
	return count;
}

/* Some large generations, some empty, some aborted, some settled, some not. */
static void history_run(struct sim_store *s, unsigned generations)
{
	for (unsigned i = 0; i < generations; i++) {
		unsigned kind = (unsigned)(sim_random(&s->random) % 10);

		if (kind == 0)
			sim_store_abort(s, 5);
		if (kind % 3 == 1)
			sim_point_take(s);
		if (points_count(s) > kind)
			sim_point_delete(s);
		CU_ASSERT_EQUAL(sim_store_generation(s, kind == 1 ? 40 : kind), 0);
		if (kind % 2)
			CU_ASSERT_EQUAL(sim_points_wait(s), 0);
		if (kind > 6)
			CU_ASSERT_EQUAL(sim_store_settle(s), 0);
	}
	CU_ASSERT_EQUAL(sim_points_wait(s), 0);
	CU_ASSERT_EQUAL(sim_store_settle(s), 0);
	CU_ASSERT_TRUE(sim_store_right(s));
}

static struct sim_store *store_new(uint64_t seed, unsigned cuts_per_step)
{
	struct sim_store *s = sim_store_new(seed);

	s->cuts_per_step = cuts_per_step;
	sim_on_step(s->sim, cuts_per_step ? step_cut : NULL, s);
	return s;
}

static void committed_generations_survive_power_cut_at_any_operation(void)
{
	uint64_t seed = setting("SIM_SEED", 1);
	uint64_t cuts = 0, steps = 0, points = 0;

	for (unsigned i = 0; i < 20 && (cuts < CUTS || i < setting("SIM_RUNS", 2)); i++) {
		struct sim_store *s = store_new(seed + i, (unsigned)setting("SIM_CUTS", 1));

		sim_clones(s->sim, i % 2);
		CU_ASSERT_EQUAL_FATAL(sim_store_create(s), 0);
		CU_ASSERT_EQUAL_FATAL(sim_store_open(s), 0);
		CU_ASSERT_EQUAL(sim_store_fill(s), 0);
		history_run(s, GENERATIONS);
		sim_store_close(s);
		cuts += s->cuts;
		steps += sim_steps(s->sim);
		points += s->point_count;
		if (s->wrong)
			printf("seed %llu: %llu wrong, first: %s\n", (unsigned long long)seed + i,
			       (unsigned long long)s->wrong, s->first_wrong);
		CU_ASSERT_EQUAL(s->wrong, 0);
		sim_store_free(s);
	}
	printf(" [seed %llu: %llu steps, %llu points, %llu power cuts] ", (unsigned long long)seed,
	       (unsigned long long)steps, (unsigned long long)points, (unsigned long long)cuts);
	CU_ASSERT_TRUE(cuts >= CUTS);
}

static void disk_that_lies_about_a_flush_is_noticed(void)
{
	static const char *const lies[] = {"/journal/a", "/journal/b", "/head.raw", "/sums",
					   "/store.json.new", "/store"};

	for (unsigned i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		struct sim_store *s = store_new(7, 1);

		sim_store_create(s);
		sim_lie(s->sim, lies[i]);
		sim_store_open(s);
		sim_store_fill(s);
		history_run(s, 10);
		sim_store_close(s);
		if (!s->wrong)
			printf("nobody noticed that %s is never flushed\n", lies[i]);
		CU_ASSERT_TRUE(s->wrong > 0);
		sim_store_free(s);
	}
}

/* Every step may fail; then it is tried again, as the engine would. */
static int persist(struct sim_store *s, int (*step)(struct sim_store *s), bool reopen)
{
	int status = -EIO;

	for (unsigned i = 0; i < 20 && status; i++) {
		status = step(s);
		if (status && reopen) {
			sim_store_cut(s);
			if (s->store)
				CU_ASSERT_EQUAL(store_info(s->store)->generation, s->acknowledged);
		}
	}
	return status;
}

static int create(struct sim_store *s)
{
	int status = sim_store_create(s);

	/* It failed after the last rename: there, but not yet for good. */
	return status == -EEXIST ? 0 : status;
}

static int generation(struct sim_store *s)
{
	int status = sim_store_generation(s, 8);

	if (status == -EBUSY)
		sim_store_settle(s);
	return status;
}

/* Its bitmaps were lost: the first copy is made again, over a commit that may
 * have left its record behind. */
static int generation_or_refill(struct sim_store *s)
{
	int status = generation(s);

	if (status && s->acknowledged == 0)
		persist(s, sim_store_fill, true);
	return status;
}

static bool history_fails(uint64_t nth, uint64_t count, int error)
{
	struct sim_store *s = store_new(nth * 3 + count, 0);
	uint64_t last;

	sim_fail(s->sim, nth, count, error);
	CU_ASSERT_EQUAL(persist(s, create, true), 0);
	CU_ASSERT_EQUAL_FATAL(persist(s, sim_store_open, true), 0);
	CU_ASSERT_EQUAL(persist(s, sim_store_fill, true), 0);
	for (unsigned i = 0; i < 4; i++)
		CU_ASSERT_EQUAL(persist(s, nth & 1 ? generation_or_refill : generation, true), 0);
	CU_ASSERT_EQUAL(persist(s, sim_store_settle, true), 0);
	sim_fail(s->sim, 0, 0, 0); /* what follows is the test's own reading */
	CU_ASSERT_TRUE(sim_store_right(s));
	sim_store_cut(s);
	last = sim_steps(s->sim);
	sim_store_close(s);
	if (s->wrong)
		printf("call %llu x %llu, errno %d: %s\n", (unsigned long long)nth,
		       (unsigned long long)count, -error, s->first_wrong);
	CU_ASSERT_EQUAL(s->wrong, 0);
	sim_store_free(s);
	return nth <= last;
}

/* The record of a commit whose flush failed stays on the disk, whole. */
static void refill_forgets_a_commit_that_failed(void)
{
	uint64_t cuts = 0, failed = 0;

	for (uint64_t nth = 1; nth < 60; nth++) {
		struct sim_store *s = store_new(nth, 0);

		CU_ASSERT_EQUAL(sim_store_create(s), 0);
		CU_ASSERT_EQUAL(sim_store_open(s), 0);
		CU_ASSERT_EQUAL(sim_store_fill(s), 0);
		sim_fail(s->sim, nth, 1, -EIO);
		if (sim_store_generation(s, 3) != 0) {
			s->cuts_per_step = 2;
			sim_on_step(s->sim, step_cut, s);
			CU_ASSERT_EQUAL(sim_store_fill(s), 0);
			CU_ASSERT_EQUAL(sim_store_generation(s, 3), 0);
			failed++;
		}
		sim_store_close(s);
		if (s->wrong)
			printf("call %llu: %s\n", (unsigned long long)nth, s->first_wrong);
		CU_ASSERT_EQUAL(s->wrong, 0);
		cuts += s->cuts;
		sim_store_free(s);
	}
	CU_ASSERT_TRUE(failed > 3);
	printf(" [%llu refills, %llu power cuts] ", (unsigned long long)failed,
	       (unsigned long long)cuts);
}

static void store_survives_a_failing_call_anywhere(void)
{
	static const int errors[] = {-EIO, -ENOSPC};
	uint64_t nth, runs = 0;

	for (unsigned i = 0; i < 2; i++)
		for (unsigned count = 1; count <= 7; count += 3)
			for (nth = 1; history_fails(nth, count, errors[i]); nth++)
				runs++;
	printf(" [%llu histories with failing calls] ", (unsigned long long)runs);
}

int main(void)
{
	static const struct cunit_case cases[] = {
		{"committed_generations_survive_power_cut_at_any_operation",
		 committed_generations_survive_power_cut_at_any_operation},
		{"disk_that_lies_about_a_flush_is_noticed",
		 disk_that_lies_about_a_flush_is_noticed},
		{"refill_forgets_a_commit_that_failed", refill_forgets_a_commit_that_failed},
		{"store_survives_a_failing_call_anywhere", store_survives_a_failing_call_anywhere},
	};

	/* Thousands of stores come and go: do not ask the kernel for each. */
	mallopt(M_MMAP_THRESHOLD, 64 << 20);
	mallopt(M_TRIM_THRESHOLD, 256 << 20);
	return cunit_run("store_sim", cases, sizeof(cases) / sizeof(cases[0]));
}
