/* SPDX-License-Identifier: Apache-2.0
 *
 * The store on a simulated disk: power cuts at every operation, a failing call
 * at every place, and disks that lie about flushes, which must be noticed.
 * QHEAL_SEED=N begins with other histories, SIM_CUTS=N has more cuts a step.
 * TORTURE_SECONDS=N (0: until it is interrupted): nothing but histories, each of a
 * seed of its own (make torture).
 */
#include <CUnit/CUnit.h>
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cunit_main.h"
#include "file.h"
#include "point.h"
#include "sim/sim_store.h"

/* One history with points kept, one with clones at least, until there were that many
 * cuts.  Sanitizers look for other faults, at a tenth of the speed. */
#ifdef __SANITIZE_ADDRESS__
#define GENERATIONS 5
#define CUTS 1000u
#define FAIL_STRIDE 61 /* a failing call at every place, or at each of so many */
#else
#define GENERATIONS 8
#define CUTS 5000u
#define FAIL_STRIDE 9
#endif

static uint64_t setting(const char *name, uint64_t otherwise)
{
	const char *value = getenv(name);

	return value ? strtoull(value, NULL, 0) : otherwise;
}

static void step_cut(void *arg)
{
	struct sim_store *s = arg;

	for (unsigned i = 0; i < s->cuts_per_step && !s->wrong; i++)
		sim_store_cut(s);
	if (s->store && sim_random(&s->random) % 4 == 0 && !s->wrong)
		sim_store_look(s);
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

struct totals {
	uint64_t histories, cuts, steps, takes, deletes, wrong;
};

static void totals_add(struct totals *totals, const struct sim_store *s)
{
	totals->histories++;
	totals->cuts += s->cuts;
	totals->steps += sim_steps(s->sim);
	totals->takes += s->takes;
	totals->deletes += s->deletes;
	totals->wrong += s->wrong;
}

static void totals_print(const struct totals *totals, uint64_t seed)
{
	printf(" [seed %llu: %llu histories, %llu steps, %llu power cuts, %llu points taken, %llu "
	       "deleted] ",
	       (unsigned long long)seed, (unsigned long long)totals->histories,
	       (unsigned long long)totals->steps, (unsigned long long)totals->cuts,
	       (unsigned long long)totals->takes, (unsigned long long)totals->deletes);
}

/* A store's whole life; of an odd SEED its points are clones. */
static void history_cut(uint64_t seed, unsigned generations, struct totals *totals)
{
	struct sim_store *s = store_new(seed, (unsigned)setting("SIM_CUTS", 1));

	sim_clones(s->sim, seed & 1);
	CU_ASSERT_EQUAL_FATAL(sim_store_create(s), 0);
	CU_ASSERT_EQUAL_FATAL(sim_store_open(s), 0);
	CU_ASSERT_EQUAL(sim_store_fill(s), 0);
	history_run(s, generations);
	sim_store_close(s);
	if (s->wrong)
		printf("QHEAL_SEED=%llu: wrong: %s\n", (unsigned long long)seed, s->first_wrong);
	CU_ASSERT_EQUAL(s->wrong, 0);
	totals_add(totals, s);
	sim_store_free(s);
}

static void committed_generations_survive_power_cut_at_any_operation(void)
{
	const uint64_t seed = setting("QHEAL_SEED", 1);
	struct totals totals = {0};

	for (unsigned i = 0; i < 20 && (totals.cuts < CUTS || i < 2); i++)
		history_cut(seed + i, GENERATIONS, &totals);
	totals_print(&totals, seed);
	CU_ASSERT_TRUE(totals.wrong || totals.cuts >= CUTS);
	CU_ASSERT_TRUE(totals.wrong || (totals.takes > 10 && totals.deletes > 5));
}

static struct sim_store *lie_run(unsigned seed, const char *file, bool clones)
{
	struct sim_store *s = store_new(seed, 1);

	sim_clones(s->sim, clones);
	sim_store_create(s);
	sim_lie(s->sim, file);
	sim_store_open(s);
	sim_store_fill(s);
	history_run(s, 10);
	sim_store_close(s);
	return s;
}

/* Of a point some are only noticed where files cannot share blocks, some where they can. */
static void disk_that_lies_about_a_flush_is_noticed(void)
{
	static const struct {
		const char *file;
		bool clones;
	} lies[] = {
		{"/journal/a", false}, {"/journal/b", false}, {"/disks/vda/head.raw", false},
		{"/disks/vda/sums", false}, {"/store.json.new", false}, {"/store", false},
		{"/kept.raw", false}, {"/kept", false}, {"/points", false}, {"/points", true},
		{"/point.json", false}, {"/point.json", true}, {"/vda/head.raw", true},
		{"/vda/sums", true},
	};

	for (unsigned i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		struct sim_store *s = lie_run(7, lies[i].file, lies[i].clones);

		for (unsigned seed = 8; seed < 10 && !s->wrong; seed++) {
			sim_store_free(s);
			s = lie_run(seed, lies[i].file, lies[i].clones);
		}
		if (!s->wrong)
			printf("nobody noticed that %s is never flushed\n", lies[i].file);
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

/* The result of the calls before does not matter, only that they have an end. */
static int take(struct sim_store *s)
{
	const uint64_t takes = s->takes;

	sim_point_take(s);
	sim_points_wait(s);
	return s->takes > takes || s->point_count == SIM_POINTS ? 0 : -EIO;
}

static int delete(struct sim_store *s)
{
	const unsigned before = points_count(s);

	sim_point_delete(s);
	sim_points_wait(s);
	return !before || points_count(s) < before ? 0 : -EIO;
}

static bool history_fails(uint64_t nth, uint64_t count, int error, uint64_t *cuts)
{
	struct sim_store *s = store_new(nth * 3 + count, 0);
	uint64_t last;

	sim_clones(s->sim, nth / 2 & 1);
	sim_fail(s->sim, nth, count, error);
	CU_ASSERT_EQUAL(persist(s, create, true), 0);
	CU_ASSERT_EQUAL_FATAL(persist(s, sim_store_open, true), 0);
	CU_ASSERT_EQUAL(persist(s, sim_store_fill, true), 0);
	for (unsigned i = 0; i < 4; i++) {
		CU_ASSERT_EQUAL(persist(s, nth & 1 ? generation_or_refill : generation, true), 0);
		CU_ASSERT_EQUAL(persist(s, take, true), 0);
		if (i > 1)
			CU_ASSERT_EQUAL(persist(s, delete, true), 0);
	}
	CU_ASSERT_EQUAL(persist(s, generation, true), 0);
	CU_ASSERT_EQUAL(persist(s, sim_store_settle, true), 0);
	sim_fail(s->sim, 0, 0, 0); /* what follows is the test's own reading */
	CU_ASSERT_TRUE(sim_store_right(s));
	sim_store_cut(s);
	last = sim_steps(s->sim);
	sim_store_close(s);
	if (s->wrong)
		printf("SIM_FAIL=%llu,%llu,%d: %s\n", (unsigned long long)nth,
		       (unsigned long long)count, -error, s->first_wrong);
	CU_ASSERT_EQUAL(s->wrong, 0);
	*cuts += s->cuts;
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

/* With three points, the last of which nothing was kept for yet. */
static struct sim_store *store_with_points(uint64_t seed, bool clones)
{
	struct sim_store *s = store_new(seed, 0);

	sim_clones(s->sim, clones);
	CU_ASSERT_EQUAL(sim_store_create(s), 0);
	CU_ASSERT_EQUAL(sim_store_open(s), 0);
	CU_ASSERT_EQUAL(sim_store_fill(s), 0);
	for (unsigned i = 0; i < 3; i++) {
		CU_ASSERT_EQUAL(sim_store_generation(s, 6), 0);
		CU_ASSERT_EQUAL(sim_store_settle(s), 0);
		CU_ASSERT_EQUAL(take(s), 0);
	}
	return s;
}

static uint64_t cut_from; /* this step */

/* Nobody reads: the call that fails would be one of the reader's. */
static void step_cut_only(void *arg)
{
	struct sim_store *s = arg;

	for (unsigned i = 0; i < 2 && !s->wrong && sim_steps(s->sim) >= cut_from; i++)
		sim_store_cut(s);
}

static void cuts_end(struct sim_store *s, uint64_t nth, uint64_t *cuts)
{
	sim_on_step(s->sim, NULL, NULL);
	for (unsigned i = 0; i < 4; i++)
		sim_store_cut(s);
	sim_store_close(s);
	if (s->wrong)
		printf("%llu: %s\n", (unsigned long long)nth, s->first_wrong);
	CU_ASSERT_EQUAL(s->wrong, 0);
	*cuts += s->cuts;
	sim_store_free(s);
}

/* Its directory has to lose the name for good before it loses the files: what is found with
 * a name and without files is damage, of all older points, too. */
static void take_that_failed_leaves_no_damage(void)
{
	uint64_t cuts = 0, failed = 0;

	for (uint64_t nth = 1; nth < 80; nth++) {
		struct sim_store *s = store_with_points(nth, nth & 1);

		sim_fail(s->sim, nth / 2, 1, -EIO);
		cut_from = sim_steps(s->sim) + nth / 2;
		sim_on_step(s->sim, step_cut_only, s);
		take(s);
		failed += points_count(s) == 3;
		cuts_end(s, nth, &cuts);
	}
	CU_ASSERT_TRUE(failed > 40);
	printf(" [%llu takes, %llu power cuts] ", (unsigned long long)failed,
	       (unsigned long long)cuts);
}

/* The process ended between the renaming and its flush. */
static void leftovers_of_a_process_that_ended_are_no_damage(void)
{
	static const char *const lefts[] = {"/store/points/.gone-00000003",
					    "/store/points/.new-00000003"};
	uint64_t cuts = 0;

	for (uint64_t i = 0; i < 12; i++) {
		struct sim_store *s = store_with_points(i, i / 2 & 1);

		sim_store_close(s);
		CU_ASSERT_EQUAL(file_rename("/store/points/00000003", lefts[i % 2]), 0);
		s->points[2].state = SIM_POINT_MAYBE;
		cut_from = 0;
		sim_on_step(s->sim, step_cut_only, s);
		CU_ASSERT_EQUAL(sim_store_open(s), 0);
		cuts_end(s, i, &cuts);
	}
	printf(" [%llu power cuts] ", (unsigned long long)cuts);
}

/* However the directory is written, its name is flushed. */
static void name_of_a_new_store_survives_power_cut(void)
{
	static const char *const dirs[] = {"/store/", "/store//", "/store"};
	struct store_spec spec = {.vm = "guest", .block_bytes = SIM_BLOCK, .disk_count = 1,
				  .disks = {{"vda", 8 * SIM_BLOCK}}};
	uint64_t cuts = 0;

	for (unsigned i = 0; i < 3; i++) {
		struct sim_store *s = store_new(i, 0);

		CU_ASSERT_EQUAL(store_create(dirs[i], &spec, 0, NULL), 0);
		for (uint64_t seed = 0; seed < 16; seed++) {
			struct sim *after = sim_cut(s->sim, seed);

			sim_use(after);
			CU_ASSERT_TRUE(file_used("/store/store.json") > 0);
			sim_use(s->sim);
			sim_free(after);
			cuts++;
		}
		sim_store_free(s);
	}
	printf(" [%llu power cuts] ", (unsigned long long)cuts);
}

/* --- a full disk --- */

static void deleted(void *arg, int status, const struct errinfo *error)
{
	*(int *)arg = status;
}

static int delete_oldest(struct sim_store *s)
{
	unsigned count;
	const struct point_info *points = store_points(s->store, &count);
	struct sim_point *point = &s->points[points[0].id - 1];
	int status = 1;

	point->state = SIM_POINT_MAYBE;
	store_point_delete(s->store, points[0].id, deleted, &status);
	while (status == 1)
		ring_run(s->ring);
	point->state = status ? SIM_POINT_MAYBE : SIM_POINT_GONE;
	return status;
}

/* No room for what FULL names; the last generation waits in the journal. */
static struct sim_store *store_without_room(const char *full)
{
	struct sim_store *s = store_with_points(5, false);

	cut_from = 0;
	sim_on_step(s->sim, step_cut_only, s);
	sim_full(s->sim, full);
	CU_ASSERT_EQUAL(sim_store_generation(s, 12), 0);
	CU_ASSERT_EQUAL(sim_store_settle(s), -ENOSPC);
	sim_store_close(s);
	CU_ASSERT_EQUAL_FATAL(sim_store_open(s), 0);
	return s;
}

/* Where it waits nothing is done that needs it in the heads; points can be deleted. */
static void store_opens_on_a_full_disk(void)
{
	static const char *const full[] = {"/kept.raw", "/kept", "/disks/vda/head.raw",
					   "/disks/vda/sums"};
	uint64_t cuts = 0;

	for (unsigned i = 0; i < sizeof(full) / sizeof(full[0]); i++) {
		struct sim_store *s = store_without_room(full[i]);
		const struct store_placement placement = {0, "overlay"};
		const struct store_info *info = store_info(s->store);

		CU_ASSERT_EQUAL(info->generation, s->acknowledged);
		CU_ASSERT_EQUAL(store_promote(s->store, &placement, 1, NULL), -EBUSY);
		CU_ASSERT_EQUAL(store_set_disks(s->store, info->spec.disks, 2, NULL), -EBUSY);
		take(s);
		CU_ASSERT_EQUAL(points_count(s), 3);
		CU_ASSERT_EQUAL(sim_store_settle(s), -ENOSPC);
		sim_store_look(s);
		for (unsigned left = 3; left; left--)
			CU_ASSERT_EQUAL(delete_oldest(s), 0);
		if (i > 1)
			sim_full(s->sim, NULL);
		CU_ASSERT_EQUAL(sim_store_settle(s), 0);
		sim_full(s->sim, NULL);
		CU_ASSERT_EQUAL(sim_store_generation(s, 6), 0);
		CU_ASSERT_EQUAL(sim_store_settle(s), 0);
		CU_ASSERT_TRUE(sim_store_right(s));
		cuts_end(s, i, &cuts);
	}
	printf(" [%llu power cuts] ", (unsigned long long)cuts);
}

/* The commit is on the disk, and store.json could not say so. */
static void first_generation_is_noted_when_there_is_room(void)
{
	struct sim_store *s = store_new(11, 0);
	uint64_t cuts = 0;

	CU_ASSERT_EQUAL(sim_store_create(s), 0);
	CU_ASSERT_EQUAL(sim_store_open(s), 0);
	CU_ASSERT_EQUAL(sim_store_fill(s), 0);
	sim_full(s->sim, "/store.json.new");
	CU_ASSERT_EQUAL(sim_store_generation(s, 6), -ENOSPC);
	sim_store_close(s);
	CU_ASSERT_EQUAL_FATAL(sim_store_open(s), 0);
	CU_ASSERT_EQUAL(store_info(s->store)->generation, 1);
	*s->committed = *s->attempts[0];
	s->acknowledged = 1;
	s->phase = SIM_RUNNING;
	CU_ASSERT_EQUAL(sim_store_settle(s), 0);
	take(s);
	CU_ASSERT_EQUAL(points_count(s), 0);
	CU_ASSERT_EQUAL(sim_store_generation(s, 6), -ENOSPC);
	sim_full(s->sim, NULL);
	CU_ASSERT_EQUAL(take(s), 0);
	CU_ASSERT_EQUAL(sim_store_generation(s, 6), 0);
	CU_ASSERT_EQUAL(sim_store_settle(s), 0);
	CU_ASSERT_TRUE(sim_store_right(s));
	cuts_end(s, 11, &cuts);
}

/* SIM_FAIL=N,COUNT,ERRNO: only this one, as a failed one is printed. */
static bool history_fails_alone(uint64_t *cuts)
{
	const char *only = getenv("SIM_FAIL");
	unsigned long long nth = 0, count = 0;
	int error = 0;

	if (!only || sscanf(only, "%llu,%llu,%d", &nth, &count, &error) != 3)
		return false;
	history_fails(nth, count, -error, cuts);
	return true;
}

static void store_survives_a_failing_call_anywhere(void)
{
	static const int errors[] = {-EIO, -ENOSPC};
	uint64_t nth, runs = 0, cuts = 0;

	if (history_fails_alone(&cuts))
		return;

	for (unsigned i = 0; i < 2; i++)
		for (unsigned count = 1; count <= 7; count += 3)
			for (nth = 1 + i; history_fails(nth, count, errors[i], &cuts);
			     nth += FAIL_STRIDE)
				runs++;
	printf(" [%llu histories with failing calls, %llu power cuts] ", (unsigned long long)runs,
	       (unsigned long long)cuts);
}

/* --- for as long as one likes --- */

static volatile sig_atomic_t interrupted;

static void interrupt(int signal)
{
	interrupted = 1;
}

/* Until one is wrong.  The first history has the seed itself: the last line that was
 * printed, given again, repeats it. */
static void torture(void)
{
	const time_t seconds = (time_t)setting("TORTURE_SECONDS", 0), start = time(NULL);
	const uint64_t seed = setting("QHEAL_SEED", (uint64_t)start);
	struct totals totals = {0};
	uint64_t cuts = 0;

	signal(SIGINT, interrupt);
	signal(SIGTERM, interrupt);
	for (uint64_t i = 0; !interrupted && !CU_get_number_of_failure_records() &&
			     (!seconds || time(NULL) - start < seconds); i++) {
		uint64_t random = seed + i;

		printf("QHEAL_SEED=%llu\n", (unsigned long long)(seed + i));
		history_cut(seed + i, 3 + (unsigned)(sim_random(&random) % 20), &totals);
		for (unsigned j = 0; j < 50 && !interrupted; j++)
			history_fails(1 + sim_random(&random) % 1500, 1 + sim_random(&random) % 8,
				      random & 1 ? -EIO : -ENOSPC, &cuts);
	}
	totals_print(&totals, seed);
	printf("and %llu after failing calls\n", (unsigned long long)cuts);
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
		{"take_that_failed_leaves_no_damage", take_that_failed_leaves_no_damage},
		{"leftovers_of_a_process_that_ended_are_no_damage",
		 leftovers_of_a_process_that_ended_are_no_damage},
		{"name_of_a_new_store_survives_power_cut",
		 name_of_a_new_store_survives_power_cut},
		{"store_opens_on_a_full_disk", store_opens_on_a_full_disk},
		{"first_generation_is_noted_when_there_is_room",
		 first_generation_is_noted_when_there_is_room},
	};

	static const struct cunit_case endless[] = {{"torture", torture}};

	/* Thousands of stores come and go: do not ask the kernel for each. */
	mallopt(M_MMAP_THRESHOLD, 64 << 20);
	mallopt(M_TRIM_THRESHOLD, 256 << 20);
	if (getenv("TORTURE_SECONDS")) {
		setvbuf(stdout, NULL, _IOLBF, 0);
		return cunit_run("store_sim", endless, 1);
	}
	if (getenv("SIM_FAIL"))
		return cunit_run("store_sim", cases + 3, 1);
	return cunit_run("store_sim", cases, sizeof(cases) / sizeof(cases[0]));
}
