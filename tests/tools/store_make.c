/* SPDX-License-Identifier: Apache-2.0
 *
 * Makes a store of one generation without a guest, for tests and benchmarks of
 * what reads it:  store_make DIR BLOCK_KIB [points=N] NAME:BYTES:PERCENT...
 *
 * PERCENT of the blocks of a disk, spread by a fixed rule, are incompressible and
 * all different; the others are zeros.  With points, p1 to pN are taken, and after
 * each one block in fifty changes.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "pool.h"
#include "ring.h"
#include "store.h"
#include "point.h"
#include "sum.h"

#define BUFFERS 16
#define BUFFER_BYTES (1u << 20)
#define CHANGED_STEP 50u /* blocks */

struct make {
	struct ring *ring;
	struct pool *pool;
	struct store *store;
	struct store_spec spec;
	unsigned percent[STORE_DISKS_MAX], points;
	bool done;
	int status;
	struct errinfo err;
};

static uint64_t mix(uint64_t x)
{
	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

static void done(void *arg, int status, const struct errinfo *error)
{
	struct make *make = arg;

	make->done = true;
	make->status = status;
	if (status)
		err_set(&make->err, status, "%s", error->text);
}

static int await(struct make *make)
{
	make->done = false;
	while (!make->done && ring_run(make->ring) >= 0)
		;
	return make->status;
}

static void block_fill(uint8_t *data, uint32_t length, uint64_t seed)
{
	for (uint32_t at = 0; at < length; at += 8) {
		uint64_t word = mix(seed + at / 8 * UINT64_C(0x9e3779b97f4a7c15));

		memcpy(data + at, &word, 8);
	}
}

/* One buffer of blocks from OFFSET on; 0 bytes when all of them are zeros. */
static uint32_t buffer_fill(const struct make *make, unsigned disk, uint64_t offset,
			    struct buf *buf)
{
	uint32_t block_bytes = make->spec.block_bytes, length = 0;

	for (uint32_t at = 0; at < BUFFER_BYTES && offset + at < make->spec.disks[disk].size;
	     at += block_bytes) {
		uint64_t left = make->spec.disks[disk].size - offset - at;
		uint32_t bytes = left < block_bytes ? (uint32_t)left : block_bytes;
		uint64_t seed = mix((offset + at) / block_bytes + 1) + disk;

		memset(buf->data + at, 0, bytes);
		if (seed % 100 < make->percent[disk]) {
			block_fill(buf->data + at, bytes, seed);
			length = at + bytes;
		}
		buf->sums[at / block_bytes] = block_sum(buf->data + at, bytes, offset + at);
	}
	return length;
}

static struct buf *buf_wait(struct make *make)
{
	struct buf *buf;

	while (!(buf = pool_get(make->pool)))
		ring_run(make->ring);
	return buf;
}

static int disk_fill(struct make *make, unsigned disk)
{
	struct copy_sink *sink = store_fill_sink(make->store);

	for (uint64_t offset = 0; offset < make->spec.disks[disk].size; offset += BUFFER_BYTES) {
		struct buf *buf;
		uint32_t length;
		int status = 0;

		buf = buf_wait(make);
		length = buffer_fill(make, disk, offset, buf);
		if (length)
			status = sink->data(sink, disk, offset, length, buf, &make->err);
		else
			pool_put(make->pool, buf);
		if (status)
			return status;
	}
	return 0;
}

/* One block in CHANGED_STEP of each disk gets other content: others in each NUMBER. */
static int disk_change(struct make *make, unsigned disk, unsigned number)
{
	uint32_t block_bytes = make->spec.block_bytes;
	uint64_t blocks = make->spec.disks[disk].size / block_bytes;

	for (uint64_t i = number % CHANGED_STEP; i < blocks; i += CHANGED_STEP) {
		struct buf *buf = buf_wait(make);
		int status;

		block_fill(buf->data, block_bytes, mix(i + 1) + disk + mix(number));
		buf->sums[0] = block_sum(buf->data, block_bytes, i * block_bytes);
		status = store_sink(make->store)
			     ->data(store_sink(make->store), disk, i * block_bytes, block_bytes,
				    buf, &make->err);
		if (status)
			return status;
	}
	return 0;
}

static int generation_make(struct make *make, unsigned number)
{
	int status = store_begin(make->store, &make->err);

	for (unsigned i = 0; number && i < make->spec.disk_count && !status; i++)
		status = disk_change(make, i, number);
	if (status)
		return status;
	store_commit(make->store, 1700000000000000 + number * INT64_C(1000000), done, make);
	return await(make);
}

/* The point is what the next generation begins with. */
static int point_make(struct make *make, unsigned number)
{
	struct point_request request = {0};
	int status;

	snprintf(request.name, sizeof(request.name), "p%u", number);
	store_settle(make->store, done, make);
	status = await(make);
	if (status)
		return status;
	store_point_take(make->store, &request, done, make);
	status = await(make);
	return status ? status : generation_make(make, number);
}

static int make_run(struct make *make, const char *dir)
{
	int status = store_create(dir, &make->spec, 0, &make->err);

	if (!status)
		status = ring_new(&make->ring, BOUND_RING_ENTRIES, &make->err);
	if (!status)
		status = pool_new(&make->pool, make->ring, BUFFERS, BUFFER_BYTES,
				  make->spec.block_bytes, &make->err);
	if (!status)
		status = store_open(&make->store, make->ring, make->pool, dir, &make->err);
	if (!status)
		status = store_fill_begin(make->store, &make->err);
	for (unsigned i = 0; i < make->spec.disk_count && !status; i++)
		status = disk_fill(make, i);
	if (status)
		return status;
	store_fill_end(make->store, done, make);
	status = await(make);
	if (!status)
		status = generation_make(make, 0);
	for (unsigned i = 1; i <= make->points && !status; i++)
		status = point_make(make, i);
	if (status)
		return status;
	store_settle(make->store, done, make);
	return await(make);
}

int main(int argc, char **argv)
{
	static struct make make;
	int status;

	if (argc < 4)
		return 2;
	strcpy(make.spec.vm, "made");
	make.spec.block_bytes = (uint32_t)atoi(argv[2]) << 10;
	for (int i = 3; i < argc && make.spec.disk_count < STORE_DISKS_MAX; i++) {
		struct store_disk *disk = &make.spec.disks[make.spec.disk_count];
		unsigned long long bytes;

		if (sscanf(argv[i], "points=%u", &make.points) == 1)
			continue;
		if (sscanf(argv[i], "%63[^:]:%llu:%u", disk->name, &bytes,
			   &make.percent[make.spec.disk_count]) != 3)
			return 2;
		disk->size = bytes;
		make.spec.disk_count++;
	}
	status = make_run(&make, argv[1]);
	store_close(make.store);
	if (make.pool && !status)
		pool_free(make.pool);
	ring_free(make.ring);
	if (status)
		fprintf(stderr, "store_make: %s\n", make.err.text);
	return status ? 1 : 0;
}
