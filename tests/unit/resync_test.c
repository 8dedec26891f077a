/* SPDX-License-Identifier: Apache-2.0
 *
 * What a comparison hands on: blocks that differ, and no others.
 */
#include "store_fixture.h"

#include "cunit_main.h"
#include "resync.h"

#define MIB (UINT64_C(1) << 20)
#define SIZE (4 * MIB + 1536) /* a tail that is no block */
#define BLOCK FIXTURE_BLOCK

static struct resync resync;

/* Generation 1: block 0 is FILL 1, block 2 is FILL 2, the tail is FILL 3. */
static void begin(struct fixture *f)
{
	fixture_init(f);
	fixture_create(f, SIZE, 0);
	fixture_fill(f, 1);
	fixture_begin(f);
	fixture_put(f, store_sink(f->store), 0, 2 * BLOCK, BLOCK, 2);
	fixture_put(f, store_sink(f->store), 0, 4 * MIB, 1536, 3);
	CU_ASSERT_EQUAL_FATAL(fixture_commit(f, 1), 0);
	CU_ASSERT_EQUAL_FATAL(fixture_settle(f), 0);
	fixture_begin(f);
	resync_init(&resync, f->store);
}

static int zero(struct fixture *f, uint64_t offset, uint64_t length)
{
	return resync.sink.zero(&resync.sink, 0, offset, length, &f->err);
}

static void end(struct fixture *f, uint64_t different)
{
	CU_ASSERT_EQUAL(resync.different_bytes, different);
	CU_ASSERT_EQUAL(fixture_commit(f, 2), 0);
	CU_ASSERT_EQUAL(fixture_settle(f), 0);
}

static void what_is_equal_is_not_stored(void)
{
	struct fixture f;

	begin(&f);
	CU_ASSERT_EQUAL(fixture_put(&f, &resync.sink, 0, 0, BLOCK, 1), 0);
	CU_ASSERT_EQUAL(fixture_put(&f, &resync.sink, 0, 2 * BLOCK, BLOCK, 2), 0);
	CU_ASSERT_EQUAL(fixture_put(&f, &resync.sink, 0, 4 * MIB, 1536, 3), 0);
	CU_ASSERT_EQUAL(zero(&f, BLOCK, BLOCK), 0);
	CU_ASSERT_EQUAL(zero(&f, 3 * BLOCK, 4 * MIB - 3 * BLOCK), 0);
	end(&f, 0);
	CU_ASSERT_EQUAL(store_stats(f.store)->journal_bytes, 2 * 4096);
	fixture_release(&f);
}

static void what_differs_is_stored(void)
{
	struct fixture f;

	begin(&f);
	CU_ASSERT_EQUAL(fixture_put(&f, &resync.sink, 0, 0, BLOCK, 9), 0);
	CU_ASSERT_EQUAL(fixture_put(&f, &resync.sink, 0, 4 * MIB, 1536, 8), 0);
	CU_ASSERT_EQUAL(zero(&f, BLOCK, 4 * MIB - BLOCK), 0); /* block 2 became a hole */
	end(&f, 2 * BLOCK + 1536);
	CU_ASSERT_TRUE(fixture_head_is(&f, "vda", 0, BLOCK, 9));
	CU_ASSERT_TRUE(fixture_head_is(&f, "vda", BLOCK, 2 * BLOCK, 0));
	CU_ASSERT_TRUE(fixture_head_is(&f, "vda", 4 * MIB, 1536, 8));
	fixture_release(&f);
}

/* One buffer: differs, equal, differs; and with no buffer left to split it. */
static void buffer_is_split_into_what_differs(void)
{
	struct fixture f;
	struct buf *taken[16];
	unsigned count;

	for (int starved = 0; starved < 2; starved++) {
		struct buf *buf;

		begin(&f);
		buf = pool_get(f.pool);
		fixture_pattern(buf->data, 0, BLOCK, 7);
		fixture_pattern(buf->data + BLOCK, 0, BLOCK, 0);
		fixture_pattern(buf->data + 2 * BLOCK, 2 * BLOCK, BLOCK, 2);
		fixture_pattern(buf->data + 3 * BLOCK, 3 * BLOCK, BLOCK, 6);
		for (unsigned i = 0; i < 4; i++)
			buf->sums[i] = block_sum(buf->data + i * BLOCK, BLOCK, i * BLOCK);
		for (count = 0; starved && (taken[count] = pool_get(f.pool)); count++)
			;
		CU_ASSERT_EQUAL(resync.sink.data(&resync.sink, 0, 0, 4 * BLOCK, buf, &f.err), 0);
		while (starved && count)
			pool_put(f.pool, taken[--count]);
		end(&f, starved ? 4 * BLOCK : 2 * BLOCK);
		CU_ASSERT_TRUE(fixture_head_is(&f, "vda", 0, BLOCK, 7));
		CU_ASSERT_TRUE(fixture_head_is(&f, "vda", BLOCK, BLOCK, 0));
		CU_ASSERT_TRUE(fixture_head_is(&f, "vda", 2 * BLOCK, BLOCK, 2));
		CU_ASSERT_TRUE(fixture_head_is(&f, "vda", 3 * BLOCK, BLOCK, 6));
		fixture_release(&f);
	}
}

/* The comparison saw content that the frozen point does not have: that wins. */
static void later_put_wins(void)
{
	struct fixture f;

	begin(&f);
	CU_ASSERT_EQUAL(fixture_put(&f, &resync.sink, 0, 0, BLOCK, 9), 0);
	CU_ASSERT_EQUAL(zero(&f, 2 * BLOCK, BLOCK), 0);
	fixture_put(&f, store_sink(f.store), 0, 0, BLOCK, 1);
	fixture_put(&f, store_sink(f.store), 0, 2 * BLOCK, BLOCK, 5);
	end(&f, 2 * BLOCK);
	CU_ASSERT_TRUE(fixture_head_is(&f, "vda", 0, BLOCK, 1));
	CU_ASSERT_TRUE(fixture_head_is(&f, "vda", 2 * BLOCK, BLOCK, 5));
	fixture_release(&f);
}

int main(void)
{
	static const struct cunit_case cases[] = {
		{"what_is_equal_is_not_stored", what_is_equal_is_not_stored},
		{"what_differs_is_stored", what_differs_is_stored},
		{"buffer_is_split_into_what_differs", buffer_is_split_into_what_differs},
		{"later_put_wins", later_put_wins},
	};

	return cunit_run("resync", cases, sizeof(cases) / sizeof(cases[0]));
}
