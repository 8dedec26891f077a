/* SPDX-License-Identifier: Apache-2.0
 *
 * points: what points in time cost, as JSON.  The file system below DIR decides
 * whether they are clones or kept.
 *
 *   points DIR [EXTENTS [BLOCK_BYTES]]   a store of its own in DIR, removed by the caller
 *
 * The head gets EXTENTS extents (every second block, in an order that scatters them
 * over the disk); then cycles of some changed blocks without a point, with one taken
 * before each, and, of kept points, over the same blocks again.  While the first point is
 * taken, generations follow each other: the first one's time, and the longest.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pool.h"
#include "ring.h"
#include "store.h"
#include "store_private.h"
#include "sum.h"

#define CYCLES 20u
#define CHANGED 64u /* blocks a cycle */
#define SCATTER UINT64_C(1299709) /* a prime: all numbers of blocks, in another order */

static uint32_t block_bytes = 65536;

struct bench {
	struct ring *ring;
	struct pool *pool;
	struct store *store;
	struct errinfo err;
	uint64_t fill;
	uint32_t extents;
};

struct cycles {
	double commit_ms, commit_max_ms, settle_ms, settle_max_ms;
	uint64_t blocks, kept, read_bytes, write_bytes;
};

static void fail(const struct errinfo *err, const char *what)
{
	fprintf(stderr, "%s: %s\n", what, err->text);
	exit(1);
}

static void done_set(void *arg, int status, const struct errinfo *error)
{
	if (status)
		fail(error, "points");
	*(bool *)arg = true;
}

static void wait_for(struct bench *b, const bool *done)
{
	while (!*done)
		if (ring_run(b->ring) < 0)
			exit(1);
}

static double ms_since(int64_t start_ns)
{
	return (double)(ring_now_ns() - start_ns) / 1e6;
}

static void put(struct bench *b, struct copy_sink *sink, uint64_t block)
{
	struct buf *buf;

	while (!(buf = pool_get(b->pool)))
		ring_run(b->ring);
	for (uint32_t i = 0; i < block_bytes; i += 8) {
		uint64_t word = (++b->fill) * UINT64_C(0x9e3779b97f4a7c15);

		memcpy(buf->data + i, &word, 8);
	}
	buf->sums[0] = block_sum(buf->data, block_bytes, block * block_bytes);
	if (sink->data(sink, 0, block * block_bytes, block_bytes, buf, &b->err))
		fail(&b->err, "put");
}

static void settle(struct bench *b)
{
	bool done = false;

	store_settle(b->store, done_set, &done);
	wait_for(b, &done);
}

/* Blocks FIRST, FIRST + 2, ...; how long until it is committed. */
static double generation(struct bench *b, uint64_t first, unsigned count)
{
	int64_t start_ns = ring_now_ns();
	bool done = false;

	while (!store_can_begin(b->store))
		ring_run(b->ring);
	if (store_begin(b->store, &b->err))
		fail(&b->err, "begin");
	for (unsigned i = 0; i < count; i++)
		put(b, store_sink(b->store), (first + 2ull * i) % (2ull * b->extents));
	store_commit(b->store, start_ns / 1000, done_set, &done);
	wait_for(b, &done);
	return ms_since(start_ns);
}

static void take(struct bench *b, const char *name, bool *done)
{
	struct point_request request = {0};

	snprintf(request.name, sizeof(request.name), "%s", name);
	*done = false;
	store_point_take(b->store, &request, done_set, done);
}

static void cycles_run(struct bench *b, struct cycles *cycles, bool points)
{
	const struct keep_stats before = b->store->keep.stats;

	memset(cycles, 0, sizeof(*cycles));
	for (unsigned i = 0; i < CYCLES; i++) {
		int64_t start_ns;
		double commit_ms, settle_ms;
		bool taken = true;
		char name[32];

		snprintf(name, sizeof(name), "%s-%llu", "cycle", (unsigned long long)b->fill);
		if (points)
			take(b, name, &taken);
		commit_ms = generation(b, 2ull * CHANGED * i, CHANGED);
		start_ns = ring_now_ns();
		wait_for(b, &taken);
		settle(b);
		settle_ms = ms_since(start_ns);
		cycles->commit_ms += commit_ms / CYCLES;
		cycles->settle_ms += settle_ms / CYCLES;
		if (commit_ms > cycles->commit_max_ms)
			cycles->commit_max_ms = commit_ms;
		if (settle_ms > cycles->settle_max_ms)
			cycles->settle_max_ms = settle_ms;
	}
	cycles->blocks = b->store->keep.stats.blocks - before.blocks;
	cycles->kept = b->store->keep.stats.kept - before.kept;
	cycles->read_bytes = b->store->keep.stats.read_bytes - before.read_bytes;
	cycles->write_bytes = b->store->keep.stats.write_bytes - before.write_bytes;
}

static void cycles_print(const char *name, const struct cycles *cycles, const char *end)
{
	printf("  \"%s\": {\"commit_ms\": %.2f, \"commit_max_ms\": %.2f, \"apply_ms\": %.2f, "
	       "\"apply_max_ms\": %.2f, \"blocks_looked_at\": %llu, \"blocks_kept\": %llu, "
	       "\"read_bytes\": %llu, \"write_bytes\": %llu}%s\n",
	       name, cycles->commit_ms, cycles->commit_max_ms, cycles->settle_ms,
	       cycles->settle_max_ms, (unsigned long long)cycles->blocks,
	       (unsigned long long)cycles->kept, (unsigned long long)cycles->read_bytes,
	       (unsigned long long)cycles->write_bytes, end);
}

static void store_fill(struct bench *b, const char *dir)
{
	struct store_spec spec = {.vm = "bench", .block_bytes = block_bytes, .disk_count = 1};
	bool done = false;

	strcpy(spec.disks[0].name, "vda");
	spec.disks[0].size = 2ull * b->extents * block_bytes;
	if (ring_new(&b->ring, 256, &b->err) ||
	    pool_new(&b->pool, b->ring, 48, 4 * block_bytes, block_bytes, &b->err) ||
	    store_create(dir, &spec, 0, &b->err) ||
	    store_open(&b->store, b->ring, b->pool, dir, &b->err) ||
	    store_fill_begin(b->store, &b->err))
		fail(&b->err, dir);
	for (uint64_t i = 0; i < b->extents; i++)
		put(b, store_fill_sink(b->store), 2 * (i * SCATTER % b->extents));
	store_fill_end(b->store, done_set, &done);
	wait_for(b, &done);
	generation(b, 0, 1);
	settle(b);
}

/* Milliseconds until the point is there; of the generations meanwhile the first's, the
 * longest's and how many. */
static double take_beside(struct bench *b, double *first_ms, double *max_ms, unsigned *count)
{
	int64_t start_ns = ring_now_ns();
	double take_ms;
	bool taken;

	take(b, "whole", &taken);
	*first_ms = *max_ms = generation(b, 0, CHANGED);
	for (*count = 1; !taken; ++*count) {
		double ms = generation(b, 2ull * CHANGED * *count, CHANGED);

		*max_ms = ms > *max_ms ? ms : *max_ms;
	}
	take_ms = ms_since(start_ns);
	settle(b);
	return take_ms;
}

int main(int argc, char **argv)
{
	struct bench b = {.extents = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 0) : 100000};
	struct cycles without, with, again;
	double beside_ms, beside_max_ms, take_ms;
	unsigned count, beside;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc < 2 || b.extents < 2 * CYCLES * CHANGED) {
		fprintf(stderr, "usage: points DIR [EXTENTS [BLOCK_BYTES]], at least %u extents\n", 2 * CYCLES * CHANGED);
		return 2;
	}
	if (argc > 3)
		block_bytes = (uint32_t)strtoul(argv[3], NULL, 0);
	store_fill(&b, argv[1]);
	cycles_run(&b, &without, false);
	take_ms = take_beside(&b, &beside_ms, &beside_max_ms, &beside);
	printf("{\n  \"kind\": \"%s\", \"extents\": %u, \"block_bytes\": %u, \"changed\": %u,\n",
	       store_points(b.store, &count)[0].kind == POINT_CLONE ? "clone" : "kept", b.extents,
	       block_bytes, CHANGED);
	printf("  \"take_ms\": %.2f, \"clone_ms\": %.2f, \"longest_slice_ms\": %.2f, "
	       "\"generation_beside_ms\": %.2f,\n  \"generations_beside\": %u, "
	       "\"longest_generation_beside_ms\": %.2f,\n",
	       take_ms, (double)store_stats(b.store)->clone_ns / 1e6,
	       (double)store_stats(b.store)->clone_slice_ns / 1e6, beside_ms, beside,
	       beside_max_ms);
	cycles_run(&b, &again, false);
	cycles_run(&b, &with, true);
	cycles_print("without_a_point", &without, ",");
	cycles_print("after_one_point", &again, ",");
	cycles_print("a_point_each_cycle", &with, "");
	printf("}\n");
	store_close(b.store);
	pool_free(b.pool);
	ring_free(b.ring);
	return 0;
}
