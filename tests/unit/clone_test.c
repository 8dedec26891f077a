/* SPDX-License-Identifier: Apache-2.0
 *
 * A point made by reflink while generations go on, on an XFS: it holds its own generation,
 * whatever the heads became before their turn to be cloned.
 */
#include "store_fixture.h"
#include "xfs_fixture.h"

#include <limits.h>

#include "cunit_main.h"
#include "image.h"
#include "member.h"
#include "pace.h"
#include "store_private.h"

#define BLOCKS 128u
#define SIZE ((uint64_t)BLOCKS * FIXTURE_BLOCK + 1536)

/* --- the clone goes on when it may (ring_timer, pace_slice and file_clone are wrapped) --- */

static struct ring_op *held; /* the clone's own; NULL: it is not held */
static unsigned slices;	     /* that it may make before */
static bool waits;
static unsigned fail_clone; /* this one from now on; 0: none */

void __real_ring_timer(struct ring *ring, struct ring_op *op, int64_t deadline_ns);
void __wrap_ring_timer(struct ring *ring, struct ring_op *op, int64_t deadline_ns);
void __wrap_ring_timer(struct ring *ring, struct ring_op *op, int64_t deadline_ns)
{
	if (op != held || slices) {
		slices -= op == held;
		__real_ring_timer(ring, op, deadline_ns);
	} else {
		waits = true;
	}
}

uint64_t __wrap_pace_slice(struct pace *pace, int fd, uint64_t at, uint64_t left, bool backwards);
uint64_t __wrap_pace_slice(struct pace *pace, int fd, uint64_t at, uint64_t left, bool backwards)
{
	return left < FIXTURE_BLOCK ? left : FIXTURE_BLOCK;
}

int __real_file_clone(int to, int from, uint64_t offset, uint64_t length);
int __wrap_file_clone(int to, int from, uint64_t offset, uint64_t length);
int __wrap_file_clone(int to, int from, uint64_t offset, uint64_t length)
{
	return fail_clone && !--fail_clone ? -ENOSPC : __real_file_clone(to, from, offset, length);
}

static void clone_hold(struct fixture *f, unsigned after)
{
	held = &f->store->points.take.clone.op;
	slices = after;
	waits = false;
}

/* The clone has made what it may, and no more of it, however long each slice took. */
static void clone_held(struct fixture *f)
{
	while (!waits)
		CU_ASSERT_TRUE_FATAL(ring_run(f->ring) >= 0);
}

static void clone_go(struct fixture *f)
{
	struct ring_op *op = held;

	held = NULL;
	if (waits)
		ring_timer(f->ring, op, 0);
}

/* --- what is in a point, or in the heads --- */

static uint32_t block_length(unsigned block)
{
	return block == BLOCKS ? 1536 : FIXTURE_BLOCK;
}

struct collect {
	struct copy_sink sink;
	struct pool *pool;
	const uint64_t *fill;
	unsigned good;
};

static int collect_data(struct copy_sink *sink, unsigned disk, uint64_t offset, uint32_t length,
			struct buf *buf, struct errinfo *err)
{
	struct collect *collect = member_of(sink, struct collect, sink);
	uint8_t *wanted = malloc(FIXTURE_BLOCK);

	for (uint32_t at = 0; at < length; at += FIXTURE_BLOCK) {
		unsigned block = (unsigned)((offset + at) / FIXTURE_BLOCK);

		fixture_pattern(wanted, offset + at, block_length(block), collect->fill[block]);
		collect->good += !memcmp(buf->data + at, wanted, block_length(block));
	}
	free(wanted);
	pool_put(collect->pool, buf);
	return 0;
}

static void content_check(struct fixture *f, const struct point_info *point, const uint64_t *fill)
{
	struct collect collect = {{.data = collect_data}, f->pool, fill, 0};
	struct imagecopy *copy;
	struct image *image;
	unsigned wanted = 0;

	for (unsigned i = 0; i <= BLOCKS; i++)
		wanted += fill[i] != 0;
	CU_ASSERT_EQUAL_FATAL(image_open(&image, f->ring, f->dir, point, "vda", &f->err), 0);
	CU_ASSERT_EQUAL_FATAL(
	    imagecopy_start(&copy, image, f->pool, 0, 4, &collect.sink, fixture_done, f, &f->err),
	    0);
	CU_ASSERT_EQUAL(fixture_wait(f), 0);
	CU_ASSERT_EQUAL(collect.good, wanted);
	imagecopy_free(copy);
	image_close(image);
}

/* --- generations --- */

static void block_put(struct fixture *f, struct copy_sink *sink, uint64_t *fill, unsigned block,
		      uint64_t value)
{
	fill[block] = value;
	fixture_put(f, sink, 0, (uint64_t)block * FIXTURE_BLOCK, block_length(block), value);
}

/* Every other block has content. */
static void ready(struct fixture *f, uint64_t *fill)
{
	memset(fill, 0, (BLOCKS + 1) * sizeof(*fill));
	fixture_init(f);
	fixture_create(f, SIZE, 0);
	CU_ASSERT_EQUAL_FATAL(store_fill_begin(f->store, &f->err), 0);
	for (unsigned i = 0; i <= BLOCKS; i += 2)
		block_put(f, store_fill_sink(f->store), fill, i, i + 1);
	store_fill_end(f->store, fixture_done, f);
	CU_ASSERT_EQUAL_FATAL(fixture_wait(f), 0);
	fixture_begin(f);
	CU_ASSERT_EQUAL_FATAL(fixture_commit(f, 1), 0);
	CU_ASSERT_EQUAL_FATAL(fixture_settle(f), 0);
}

/* Content over content, over holes, and zeros, some of them before the clone's place. */
static void generation(struct fixture *f, uint64_t *fill, unsigned number)
{
	struct copy_sink *sink = store_sink(f->store);

	fixture_begin(f);
	for (unsigned i = number; i <= BLOCKS; i += 9)
		block_put(f, sink, fill, i, 1000 * number + i);
	block_put(f, sink, fill, BLOCKS, 1000 * number);
	sink->zero(sink, 0, (30 + number) * FIXTURE_BLOCK, 20 * FIXTURE_BLOCK, NULL);
	memset(fill + 30 + number, 0, 20 * sizeof(*fill));
	CU_ASSERT_EQUAL_FATAL(fixture_commit(f, 1 + number), 0);
}

struct taken {
	bool done;
	int status;
};

static void taken(void *arg, int status, const struct errinfo *error)
{
	*(struct taken *)arg = (struct taken){true, status};
}

static int taken_wait(struct fixture *f, struct taken *take)
{
	while (!take->done)
		CU_ASSERT_TRUE_FATAL(ring_run(f->ring) >= 0);
	return take->status;
}

static void generations_go_on_while_the_heads_are_cloned(void)
{
	/* BLOCKS / 2 + 1: only sums are left; the last: it goes on beside the generations. */
	static const unsigned after[] = {0, 1, 40, BLOCKS / 2 + 1, UINT_MAX};
	const struct point_request request = {.name = "clone"};

	if (!xfs_mount())
		return;
	for (unsigned i = 0; i < 5; i++) {
		uint64_t fill[BLOCKS + 1], before[BLOCKS + 1];
		const struct point_info *points;
		struct taken take = {false, 0};
		struct fixture f;
		unsigned count;

		ready(&f, fill);
		memcpy(before, fill, sizeof(fill));
		clone_hold(&f, after[i]);
		store_point_take(f.store, &request, taken, &take);
		if (after[i] != UINT_MAX)
			clone_held(&f);
		for (unsigned number = 1; number < 6; number++)
			generation(&f, fill, number);
		CU_ASSERT_EQUAL(fixture_settle(&f), 0);
		CU_ASSERT(!take.done || after[i] == UINT_MAX);
		clone_go(&f);
		CU_ASSERT_EQUAL(taken_wait(&f, &take), 0);
		points = store_points(f.store, &count);
		CU_ASSERT_EQUAL_FATAL(count, 1);
		CU_ASSERT_EQUAL(points[0].kind, POINT_CLONE);
		content_check(&f, &points[0], before);
		content_check(&f, NULL, fill);
		fixture_release(&f);
	}
	xfs_unmount();
}

/* What cannot be cloned ahead fails the point, and no generation. */
static void clone_that_fails_holds_up_nothing(void)
{
	const struct point_request request = {.name = "clone"};
	uint64_t fill[BLOCKS + 1];
	struct taken take = {false, 0};
	struct fixture f;
	unsigned count;

	if (!xfs_mount())
		return;
	ready(&f, fill);
	clone_hold(&f, 3);
	store_point_take(f.store, &request, taken, &take);
	fail_clone = 8;
	for (unsigned number = 1; number < 4; number++)
		generation(&f, fill, number);
	CU_ASSERT_EQUAL(fixture_settle(&f), 0);
	CU_ASSERT_EQUAL(fail_clone, 0);
	clone_go(&f);
	CU_ASSERT_EQUAL(taken_wait(&f, &take), -ENOSPC);
	store_points(f.store, &count);
	CU_ASSERT_EQUAL(count, 0);
	generation(&f, fill, 4);
	CU_ASSERT_EQUAL(fixture_settle(&f), 0);
	content_check(&f, NULL, fill);
	fixture_release(&f);
	xfs_unmount();
}

int main(void)
{
	static const struct cunit_case cases[] = {
	    {"generations_go_on_while_the_heads_are_cloned",
	     generations_go_on_while_the_heads_are_cloned},
	    {"clone_that_fails_holds_up_nothing", clone_that_fails_holds_up_nothing},
	};

	return cunit_run("clone", cases, sizeof(cases) / sizeof(cases[0]));
}
