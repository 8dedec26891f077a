/* SPDX-License-Identifier: Apache-2.0 */
#include <CUnit/CUnit.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "alloc_fail.h"
#include "cunit_main.h"
#include "pool.h"

#define BLOCK 65536
#define BUFFER (4 * BLOCK)

static struct ring *ring;
static struct pool *pool;

static void pool_setup(unsigned count)
{
	struct errinfo err = {0};

	CU_ASSERT_EQUAL_FATAL(ring_new(&ring, 8, &err), 0);
	CU_ASSERT_EQUAL_FATAL(pool_new(&pool, ring, count, BUFFER, BLOCK, &err), 0);
}

static void pool_teardown(void)
{
	pool_free(pool);
	ring_free(ring);
}

static void buffers_are_aligned_writable_and_do_not_overlap(void)
{
	struct buf *bufs[5];

	pool_setup(5);
	CU_ASSERT_EQUAL(pool_buffer_bytes(pool), BUFFER);
	CU_ASSERT_EQUAL(pool_block_bytes(pool), BLOCK);
	CU_ASSERT_PTR_EQUAL(pool_ring(pool), ring);
	for (unsigned i = 0; i < 5; i++) {
		bufs[i] = pool_get(pool);
		CU_ASSERT_PTR_NOT_NULL_FATAL(bufs[i]);
		CU_ASSERT_EQUAL((uintptr_t)bufs[i]->header % 4096, 0);
		CU_ASSERT_PTR_EQUAL(bufs[i]->data, bufs[i]->header + POOL_HEADER_BYTES);
		memset(bufs[i]->header, (int)i + 1, POOL_HEADER_BYTES + BUFFER);
		memset(bufs[i]->sums, (int)i + 1, BUFFER / BLOCK * sizeof(uint64_t));
	}
	for (unsigned i = 0; i < 5; i++) {
		CU_ASSERT_EQUAL(bufs[i]->header[0], i + 1);
		CU_ASSERT_EQUAL(bufs[i]->data[BUFFER - 1], i + 1);
		CU_ASSERT_EQUAL(bufs[i]->sums[BUFFER / BLOCK - 1],
				(i + 1) * UINT64_C(0x0101010101010101));
		pool_put(pool, bufs[i]);
	}
	pool_teardown();
}

static void an_empty_pool_gives_null_and_counts(void)
{
	struct buf *first, *second;

	pool_setup(2);
	CU_ASSERT_EQUAL(pool_available(pool), 2);
	first = pool_get(pool);
	second = pool_get(pool);
	CU_ASSERT_PTR_NULL(pool_get(pool));
	CU_ASSERT_EQUAL(pool_available(pool), 0);
	pool_put(pool, second);
	CU_ASSERT_EQUAL(pool_available(pool), 1);
	CU_ASSERT_PTR_EQUAL(pool_get(pool), second);
	pool_put(pool, first);
	pool_put(pool, second);
	pool_teardown();
}

struct taker {
	struct pool_waiter waiter;
	struct buf *taken;
	unsigned runs;
	unsigned turn;
	bool again; /* do not take it, wait again */
};
static unsigned turns;

static void taker_ready(struct pool_waiter *waiter)
{
	struct taker *taker = (struct taker *)waiter;

	taker->runs++;
	taker->turn = ++turns;
	if (taker->again)
		pool_wait(pool, waiter);
	else
		taker->taken = pool_get(pool);
}

static void waiters_are_served_in_order_once_each(void)
{
	struct taker takers[3] = {0};
	struct buf *bufs[2];

	pool_setup(2);
	turns = 0;
	for (unsigned i = 0; i < 2; i++)
		bufs[i] = pool_get(pool);
	for (unsigned i = 0; i < 3; i++) {
		takers[i].waiter.ready = taker_ready;
		pool_wait(pool, &takers[i].waiter);
		pool_wait(pool, &takers[i].waiter);
	}
	CU_ASSERT_EQUAL(turns, 0);
	pool_put(pool, bufs[0]);
	CU_ASSERT_PTR_EQUAL(takers[0].taken, bufs[0]);
	CU_ASSERT_EQUAL(turns, 1);
	pool_put(pool, bufs[1]);
	CU_ASSERT_PTR_EQUAL(takers[1].taken, bufs[1]);
	CU_ASSERT_EQUAL(takers[2].runs, 0);
	pool_put(pool, bufs[0]);
	CU_ASSERT_PTR_EQUAL(takers[2].taken, bufs[0]);
	pool_put(pool, bufs[0]);
	pool_put(pool, bufs[1]);
	for (unsigned i = 0; i < 3; i++) {
		CU_ASSERT_EQUAL(takers[i].runs, 1);
		CU_ASSERT_EQUAL(takers[i].turn, i + 1);
	}
	pool_teardown();
}

static void one_that_waits_again_does_not_block_the_next(void)
{
	struct taker takers[2] = {0};
	struct buf *buf;

	pool_setup(1);
	buf = pool_get(pool);
	takers[0].again = true;
	for (unsigned i = 0; i < 2; i++) {
		takers[i].waiter.ready = taker_ready;
		pool_wait(pool, &takers[i].waiter);
	}
	pool_put(pool, buf);
	CU_ASSERT_EQUAL(takers[0].runs, 1);
	CU_ASSERT_PTR_EQUAL(takers[1].taken, buf);
	pool_unwait(pool, &takers[0].waiter);
	pool_put(pool, buf);
	CU_ASSERT_EQUAL(takers[0].runs, 1);
	pool_teardown();
}

static void one_that_never_takes_it_is_asked_once_a_put(void)
{
	struct taker taker = {.waiter.ready = taker_ready, .again = true};
	struct buf *buf;

	pool_setup(1);
	for (unsigned i = 1; i <= 3; i++) {
		buf = pool_get(pool);
		pool_wait(pool, &taker.waiter);
		pool_put(pool, buf);
		CU_ASSERT_EQUAL(taker.runs, i);
	}
	pool_unwait(pool, &taker.waiter);
	pool_teardown();
}

static void who_left_the_queue_is_not_called(void)
{
	struct taker takers[3] = {0};
	struct buf *buf;

	pool_setup(1);
	buf = pool_get(pool);
	for (unsigned i = 0; i < 3; i++) {
		takers[i].waiter.ready = taker_ready;
		pool_wait(pool, &takers[i].waiter);
	}
	pool_unwait(pool, &takers[2].waiter);
	pool_unwait(pool, &takers[0].waiter);
	pool_unwait(pool, &takers[0].waiter);
	pool_wait(pool, &takers[2].waiter);
	pool_put(pool, buf);
	CU_ASSERT_PTR_EQUAL(takers[1].taken, buf);
	pool_put(pool, buf);
	CU_ASSERT_PTR_EQUAL(takers[2].taken, buf);
	CU_ASSERT_EQUAL(takers[0].runs, 0);
	pool_put(pool, buf);
	pool_teardown();
}

static void a_size_that_cannot_be_mapped_is_an_error(void)
{
	struct errinfo err = {0};
	struct pool *huge;

	CU_ASSERT_EQUAL_FATAL(ring_new(&ring, 8, &err), 0);
	CU_ASSERT_EQUAL(pool_new(&huge, ring, 1u << 20, 1u << 30, 1u << 30, &err), -ENOMEM);
	CU_ASSERT_PTR_NULL(huge);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "1048576 buffers"));
	ring_free(ring);
}

static void failed_allocations_leave_nothing_behind(void)
{
	struct errinfo err = {0};
	unsigned n = 1;
	bool failed;
	int ret;

	CU_ASSERT_EQUAL_FATAL(ring_new(&ring, 8, &err), 0);
	do {
		err_clear(&err);
		alloc_fail_at(n++);
		ret = pool_new(&pool, ring, 3, BUFFER, BLOCK, &err);
		failed = alloc_fail_off();
		CU_ASSERT_EQUAL(ret, failed ? -ENOMEM : 0);
		CU_ASSERT_EQUAL(err.code, ret);
		CU_ASSERT_EQUAL(pool == NULL, failed);
	} while (failed);
	CU_ASSERT_EQUAL(n, 5); /* the pool, its buffers, their sums */
	pool_teardown();
}

static const struct cunit_case cases[] = {
    {"buffers_are_aligned_writable_and_do_not_overlap",
     buffers_are_aligned_writable_and_do_not_overlap},
    {"an_empty_pool_gives_null_and_counts", an_empty_pool_gives_null_and_counts},
    {"waiters_are_served_in_order_once_each", waiters_are_served_in_order_once_each},
    {"one_that_waits_again_does_not_block_the_next", one_that_waits_again_does_not_block_the_next},
    {"one_that_never_takes_it_is_asked_once_a_put", one_that_never_takes_it_is_asked_once_a_put},
    {"who_left_the_queue_is_not_called", who_left_the_queue_is_not_called},
    {"failed_allocations_leave_nothing_behind", failed_allocations_leave_nothing_behind},
    {"a_size_that_cannot_be_mapped_is_an_error", a_size_that_cannot_be_mapped_is_an_error},
};

int main(void)
{
	return cunit_run("pool", cases, sizeof(cases) / sizeof(cases[0]));
}
