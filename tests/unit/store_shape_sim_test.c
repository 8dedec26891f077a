/* SPDX-License-Identifier: Apache-2.0
 *
 * The list of a store's disks changes, on a simulated disk: the power goes at every
 * operation.  Found must be the old list or the new one, at the last generation,
 * with every replica that is no matter of the change as it was, and every point.
 * SIM_SEED=N for other histories.
 */
#include <CUnit/CUnit.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cunit_main.h"
#include "file.h"
#include "head.h"
#include "pool.h"
#include "point.h"
#include "sim/sim_disk.h"
#include "sim/sim_store.h"
#include "store.h"
#include "sum.h"

#define DIR "/store"
#define BLOCK 4096u
#define BUFFER (4 * BLOCK)
#define BYTES_MAX (32 * BLOCK)
#define NAMES 5 /* vda to vde, of which some are in the store */
#define CHANGES 6
#define POINTS 3
#ifdef __SANITIZE_ADDRESS__
#define SEEDS 1 /* sanitizers look for other faults */
#else
#define SEEDS 2
#endif

/* What the guest's disks hold, by name; and which are there, in order. */
struct world {
	struct store_spec spec;
	uint64_t generation;
	uint8_t content[NAMES][BYTES_MAX];
};

struct taken {
	char name[8];
	bool sure; /* neither being taken nor being deleted */
	struct world *world;
};

struct test {
	struct taken points[POINTS];
	unsigned point_count, names;
	struct sim *sim;
	struct ring *ring;
	struct pool *pool;
	struct store *store;
	uint64_t random;
	struct world *now, *next; /* found must be the one, or the other */
	uint64_t cuts, wrong, found_next;
	unsigned depth;
	char first_wrong[256];
};

static uint64_t draw(struct test *t, uint64_t below)
{
	return sim_random(&t->random) % below;
}

static uint8_t *content_of(struct world *world, unsigned disk)
{
	return world->content[world->spec.disks[disk].name[2] - 'a'];
}

static void done_set(void *arg, int status, const struct errinfo *error)
{
	*(int *)arg = status;
}

static int wait(struct test *t, const int *status)
{
	while (*status == 1)
		ring_run(t->ring);
	return *status;
}

static int settle(struct test *t)
{
	int status = 1;

	store_settle(t->store, done_set, &status);
	return wait(t, &status);
}

static int test_open(struct test *t)
{
	struct errinfo err = {0};
	int status;

	ring_new(&t->ring, 64, NULL);
	pool_new(&t->pool, t->ring, 12, BUFFER, BLOCK, NULL);
	status = store_open(&t->store, t->ring, t->pool, DIR, &err);
	if (status && t->depth == 0)
		printf("%s\n", err.text);
	return status;
}

static void test_close(struct test *t)
{
	store_close(t->store);
	pool_free(t->pool);
	ring_free(t->ring);
	t->store = NULL;
}

static void put(struct test *t, struct copy_sink *sink, struct world *world, unsigned disk,
		uint64_t offset)
{
	uint64_t size = world->spec.disks[disk].size;
	uint32_t length = size - offset < BLOCK ? (uint32_t)(size - offset) : BLOCK;
	struct buf *buf;

	while (!(buf = pool_get(t->pool)))
		ring_run(t->ring);
	memcpy(buf->data, content_of(world, disk) + offset, length);
	buf->sums[0] = block_sum(buf->data, length, offset);
	if (buf->sums[0] == SUM_ZERO) {
		pool_put(t->pool, buf);
		if (sink->zero)
			sink->zero(sink, disk, offset, length, NULL);
		return;
	}
	CU_ASSERT_EQUAL(sink->data(sink, disk, offset, length, buf, NULL), 0);
}

/* As the engine does: added disks are filled, grown ones compared (here: put whole),
 * of the others some blocks change.  NEXT is what the generation will hold. */
static int generation(struct test *t)
{
	uint64_t fresh = store_fresh(t->store), whole = store_info(t->store)->incomplete;
	int status = 1;

	*t->next = *t->now;
	while (!store_can_begin(t->store))
		ring_run(t->ring);
	CU_ASSERT_EQUAL_FATAL(store_begin(t->store, NULL), 0);
	if (fresh)
		CU_ASSERT_EQUAL(store_fresh_begin(t->store, NULL), 0);
	for (unsigned i = 0; i < t->next->spec.disk_count; i++) {
		struct copy_sink *sink = fresh >> i & 1 ? store_fill_sink(t->store)
							: store_sink(t->store);

		for (uint64_t at = 0; at < t->next->spec.disks[i].size; at += BLOCK) {
			uint64_t left = t->next->spec.disks[i].size - at;
			bool change = draw(t, 4) == 0;

			for (uint64_t j = 0; change && j < left && j < BLOCK; j++)
				content_of(t->next, i)[at + j] = (uint8_t)draw(t, 3);
			if (change || whole >> i & 1)
				put(t, sink, t->next, i, at);
		}
	}
	if (fresh) {
		store_fresh_end(t->store, done_set, &status);
		CU_ASSERT_EQUAL(wait(t, &status), 0);
		status = 1;
	}
	t->next->generation++;
	store_commit(t->store, (int64_t)t->next->generation, done_set, &status);
	status = wait(t, &status);
	*t->now = *t->next;
	return status;
}

static void spec_random(struct test *t, const struct store_spec *old, struct store_spec *spec)
{
	unsigned first = (unsigned)draw(t, NAMES);

	*spec = *old;
	spec->disk_count = 0;
	memset(spec->disks, 0, sizeof(spec->disks));
	for (unsigned i = 0; i < NAMES; i++) {
		struct store_disk *disk = &spec->disks[spec->disk_count];
		unsigned letter = (first + i) % NAMES;
		uint64_t size = 0;

		if (draw(t, 3) == 0 && !(i == NAMES - 1 && !spec->disk_count))
			continue;
		snprintf(disk->name, sizeof(disk->name), "vd%c", (char)('a' + letter));
		for (unsigned j = 0; j < old->disk_count; j++)
			if (strcmp(old->disks[j].name, disk->name) == 0)
				size = old->disks[j].size;
		if (!size || draw(t, 8) == 0) /* new, or shorter or longer */
			size = 512 * (1 + draw(t, BYTES_MAX / 512));
		else if (draw(t, 2))
			size += 512 * draw(t, (BYTES_MAX - size) / 512 + 1);
		disk->size = size;
		spec->disk_count++;
	}
}

/* What the disks of SPEC hold for the store: what is kept, zeros behind it; nothing
 * of those that begin anew. */
static void world_change(struct world *world, const struct store_spec *spec)
{
	struct world *old = malloc(sizeof(*old));

	*old = *world;
	world->spec = *spec;
	for (unsigned i = 0; i < spec->disk_count; i++) {
		uint64_t kept = 0;

		for (unsigned j = 0; j < old->spec.disk_count; j++)
			if (strcmp(old->spec.disks[j].name, spec->disks[i].name) == 0 &&
			    old->spec.disks[j].size <= spec->disks[i].size)
				kept = old->spec.disks[j].size;
		memset(content_of(world, i) + kept, 0, BYTES_MAX - kept);
	}
	free(old);
}

/* --- the verdict --- */

static bool file_is(const char *path, const void *content, uint64_t size)
{
	uint8_t *found = calloc(1, size + 1);
	int fd = file_open(path, O_RDONLY);
	bool right = fd >= 0 && (uint64_t)file_size(fd) == size &&
		     file_read(fd, found, size, 0) == (int64_t)size &&
		     memcmp(found, content, size) == 0;

	file_close(fd);
	free(found);
	return right;
}

/* A disk that is incomplete: its last block as it was has a sum of fewer bytes. */
static bool disk_right(struct world *world, unsigned disk, bool incomplete)
{
	const struct store_disk *which = &world->spec.disks[disk];
	uint64_t sums[BYTES_MAX / BLOCK];
	char path[128];

	store_head_path(DIR, which->name, path, sizeof(path));
	if (!file_is(path, content_of(world, disk), which->size))
		return false;
	for (uint64_t at = 0; at < which->size; at += BLOCK) {
		uint64_t left = which->size - at;

		sums[at / BLOCK] = block_sum(content_of(world, disk) + at,
					     left < BLOCK ? (uint32_t)left : BLOCK, at);
	}
	head_sums_path(DIR, which->name, path, sizeof(path));
	return incomplete || file_is(path, sums, (which->size + BLOCK - 1) / BLOCK * 8);
}

static bool world_right(struct test *t, struct world *world)
{
	const struct store_info *info = store_info(t->store);

	if (info->generation != world->generation ||
	    info->spec.disk_count != world->spec.disk_count)
		return false;
	for (unsigned i = 0; i < world->spec.disk_count; i++)
		if (strcmp(info->spec.disks[i].name, world->spec.disks[i].name) ||
		    info->spec.disks[i].size != world->spec.disks[i].size ||
		    !disk_right(world, i, info->incomplete >> i & 1))
			return false;
	return true;
}

static bool point_right(const struct point_info *point, struct world *world)
{
	if (point->damaged || point->generation != world->generation ||
	    point->disk_count != world->spec.disk_count)
		return false;
	for (unsigned i = 0; i < point->disk_count; i++)
		if (strcmp(point->disks[i].name, world->spec.disks[i].name) ||
		    point->disks[i].size != world->spec.disks[i].size ||
		    !sim_point_disk_right(point, i, content_of(world, i)))
			return false;
	return true;
}

/* All that are sure are there, and one of those that are there is looked at. */
static bool points_right(struct test *t)
{
	struct point_info *points;
	unsigned count, look;
	bool right = true;

	if (points_list(DIR, &points, &count, NULL))
		return false;
	look = count ? (unsigned)draw(t, count) : 0;
	for (unsigned i = 0; i < t->point_count; i++) {
		const struct point_info *point = point_find(points, count, t->points[i].name);

		right = right && (point || !t->points[i].sure);
		if (point && point == &points[look])
			right = right && point_right(point, t->points[i].world);
	}
	free(points);
	return right;
}

static void take(struct test *t)
{
	struct taken *taken = &t->points[t->point_count];
	struct point_request request = {.automatic = true};
	int status = 1;

	if (t->point_count == POINTS)
		return;
	taken->sure = false;
	taken->world = malloc(sizeof(*taken->world));
	*taken->world = *t->now;
	snprintf(taken->name, sizeof(taken->name), "p%u", ++t->names % 10000);
	snprintf(request.name, sizeof(request.name), "%s", taken->name);
	t->point_count++;
	store_point_take(t->store, &request, done_set, &status);
	CU_ASSERT_EQUAL(wait(t, &status), 0);
	taken->sure = true;
}

static void delete(struct test *t, unsigned which)
{
	unsigned count;
	const struct point_info *points = store_points(t->store, &count);
	const struct point_info *point = point_find(points, count, t->points[which].name);
	int status = 1;

	CU_ASSERT_PTR_NOT_NULL_FATAL(point);
	t->points[which].sure = false;
	store_point_delete(t->store, point->id, done_set, &status);
	CU_ASSERT_EQUAL(wait(t, &status), 0);
	free(t->points[which].world);
	t->points[which] = t->points[--t->point_count];
}

static void cut(struct test *t);

static void cut_again(void *arg)
{
	struct test *after = arg;

	if (draw(after, 6) == 0)
		cut(after);
}

static void test_wrong(struct test *t, const char *what, long long number)
{
	if (!t->wrong++)
		snprintf(t->first_wrong, sizeof(t->first_wrong),
			 "cut %llu, step %llu, generation %llu: %.120s %lld",
			 (unsigned long long)t->cuts, (unsigned long long)sim_steps(t->sim),
			 (unsigned long long)t->now->generation, what, number);
}

/* What is found can be gone on with: the next generation holds everything. */
static void found_goes_on(struct test *after, struct test *t, const struct world *found)
{
	struct world *now = malloc(sizeof(*now)), *next = malloc(sizeof(*next));

	*now = *found;
	after->now = now;
	after->next = next;
	if (generation(after) || settle(after) || !world_right(after, now) ||
	    store_info(after->store)->incomplete || !points_right(after))
		test_wrong(t, "what was found does not go on at", (long long)now->generation);
	free(now);
	free(next);
}

static void cut(struct test *t)
{
	struct test after = *t;
	struct sim *before;
	int status;

	after.random = sim_random(&t->random);
	after.sim = sim_cut(t->sim, after.random);
	after.depth++;
	after.wrong = after.cuts = 0;
	t->cuts++;
	before = sim_use(after.sim);
	if (t->depth == 0 && draw(t, 4) == 0)
		sim_on_step(after.sim, cut_again, &after);
	status = test_open(&after);
	sim_on_step(after.sim, NULL, NULL);
	if (after.wrong)
		test_wrong(t, after.first_wrong, 2);
	else if (status)
		test_wrong(t, "does not open, errno", -status);
	else if (world_right(&after, t->now))
		t->found_next += 0;
	else if (world_right(&after, t->next))
		t->found_next++;
	else
		test_wrong(t, "neither before nor after, generation",
			   (long long)store_info(after.store)->generation);
	if (!status && !t->wrong && !points_right(&after))
		test_wrong(t, "a point is wrong, of", t->point_count);
	if (!status && !t->wrong && t->depth == 0 && draw(t, 4) == 0)
		found_goes_on(&after, t, world_right(&after, t->now) ? t->now : t->next);
	t->cuts += after.cuts;
	test_close(&after);
	sim_use(before);
	sim_free(after.sim);
}

static void step_cut(void *arg)
{
	cut(arg);
}

static void change(struct test *t)
{
	struct store_spec spec;
	int status;

	spec_random(t, &t->now->spec, &spec);
	CU_ASSERT_EQUAL(settle(t), 0);
	*t->next = *t->now;
	world_change(t->next, &spec);
	status = store_set_disks(t->store, spec.disks, spec.disk_count, NULL);
	while (status == -EEXIST && t->point_count) { /* a point needs a disk that begins anew */
		delete(t, 0);
		status = store_set_disks(t->store, spec.disks, spec.disk_count, NULL);
	}
	CU_ASSERT_EQUAL_FATAL(status, 0);
	*t->now = *t->next; /* durable */
	test_close(t);
	CU_ASSERT_EQUAL_FATAL(test_open(t), 0);
	CU_ASSERT_TRUE(world_right(t, t->now));
	CU_ASSERT_TRUE(points_right(t));
}

static void test_begin(struct test *t, uint64_t seed)
{
	struct store_spec *spec;
	int status = 1;

	memset(t, 0, sizeof(*t));
	t->random = seed;
	t->now = calloc(1, sizeof(*t->now));
	t->next = calloc(1, sizeof(*t->next));
	t->sim = sim_new(seed);
	sim_use(t->sim);
	sim_clones(t->sim, seed % 2 == 0);
	spec = &t->now->spec;
	snprintf(spec->vm, sizeof(spec->vm), "guest");
	spec->block_bytes = BLOCK;
	spec->disk_count = 2;
	snprintf(spec->disks[0].name, sizeof(spec->disks[0].name), "vda");
	snprintf(spec->disks[1].name, sizeof(spec->disks[1].name), "vdb");
	spec->disks[0].size = 9 * BLOCK + 512;
	spec->disks[1].size = 6 * BLOCK;
	CU_ASSERT_EQUAL_FATAL(store_create(DIR, spec, 0, NULL), 0);
	CU_ASSERT_EQUAL_FATAL(test_open(t), 0);
	CU_ASSERT_EQUAL_FATAL(store_fill_begin(t->store, NULL), 0);
	store_fill_end(t->store, done_set, &status);
	CU_ASSERT_EQUAL_FATAL(wait(t, &status), 0);
	CU_ASSERT_EQUAL_FATAL(generation(t), 0);
}

static void test_end(struct test *t, uint64_t seed)
{
	sim_on_step(t->sim, NULL, NULL);
	test_close(t);
	sim_use(NULL);
	sim_free(t->sim);
	if (t->wrong)
		printf("seed %llu: %llu wrong, first: %s\n", (unsigned long long)seed,
		       (unsigned long long)t->wrong, t->first_wrong);
	while (t->point_count)
		free(t->points[--t->point_count].world);
	free(t->now);
	free(t->next);
}

static void list_of_disks_survives_power_cut_at_any_operation(void)
{
	const char *from = getenv("SIM_SEED");
	uint64_t seed = from ? strtoull(from, NULL, 0) : 1, cuts = 0, next = 0;

	for (uint64_t i = 0; i < SEEDS; i++) {
		struct test t;

		test_begin(&t, seed + i);
		sim_on_step(t.sim, step_cut, &t);
		for (unsigned j = 0; j < CHANGES; j++) {
			change(&t);
			if (draw(&t, 4) == 0)
				change(&t); /* once more, before a generation holds it */
			for (uint64_t n = 1 + draw(&t, 3); n; n--)
				CU_ASSERT_EQUAL(generation(&t), 0);
			take(&t);
			if (t.point_count == POINTS)
				delete(&t, (unsigned)draw(&t, POINTS));
		}
		cuts += t.cuts;
		next += t.found_next;
		test_end(&t, seed + i);
		CU_ASSERT_EQUAL(t.wrong, 0);
	}
	printf(" [seed %llu: %llu power cuts, %llu found what was not acknowledged yet] ",
	       (unsigned long long)seed, (unsigned long long)cuts, (unsigned long long)next);
	CU_ASSERT_TRUE(cuts > 2000 && next > 0);
}

static void disk_that_lies_about_a_flush_is_noticed(void)
{
	static const char *const lies[] = {"/store.json.new", "/store", "/head.raw"};

	for (unsigned i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		struct test t;

		test_begin(&t, 5);
		sim_lie(t.sim, lies[i]);
		sim_on_step(t.sim, step_cut, &t);
		for (unsigned j = 0; j < CHANGES && !t.wrong; j++) {
			change(&t);
			generation(&t);
			take(&t);
		}
		CU_ASSERT_TRUE(t.wrong > 0);
		if (!t.wrong)
			printf("nobody noticed that %s is never flushed\n", lies[i]);
		t.wrong = 0;
		test_end(&t, 5);
	}
}

int main(void)
{
	static const struct cunit_case cases[] = {
		{"list_of_disks_survives_power_cut_at_any_operation",
		 list_of_disks_survives_power_cut_at_any_operation},
		{"disk_that_lies_about_a_flush_is_noticed",
		 disk_that_lies_about_a_flush_is_noticed},
	};

	mallopt(M_MMAP_THRESHOLD, 64 << 20);
	mallopt(M_TRIM_THRESHOLD, 256 << 20);
	return cunit_run("store_shape_sim", cases, sizeof(cases) / sizeof(cases[0]));
}
