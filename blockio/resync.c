/* SPDX-License-Identifier: Apache-2.0
 *
 * resync: see resync.h.  Blocks of one buffer that differ go on in as few calls as
 * there are runs of them; a run that is not the last one needs a buffer of its own
 * and, when none is free, takes what lies between along.
 */
#include "resync.h"

#include <errno.h>
#include <string.h>

#include "member.h"
#include "store_private.h"
#include "sum.h"

/* The sums that the replica has of COUNT blocks, by the page cache. */
static int sums_read(struct resync *resync, unsigned disk, uint64_t block, uint32_t count,
		     struct errinfo *err)
{
	const struct store *store = resync->store;
	const size_t bytes = count * sizeof(resync->sums[0]);
	int64_t n = file_read(store->heads.head[disk].sums_fd, resync->sums, bytes,
			      block * sizeof(resync->sums[0]));

	if (n == (int64_t)bytes)
		return 0;
	return err_set(err, n < 0 ? (int)n : -EUCLEAN,
		       "%s/disks/%s/sums: cannot read %u sums at block %llu: %s", store->dir,
		       store->json.spec.disks[disk].name, count, (unsigned long long)block,
		       n < 0 ? strerror((int)-n) : "the file is too short");
}

static struct copy_sink *below(struct resync *resync)
{
	return &resync->store->sink;
}

/* COUNT blocks from BLOCK on were looked up: those that are zeros now and were not.
 * NOW: the sums of the blocks, NULL: all are zeros. */
static int zeros_pass(struct resync *resync, unsigned disk, uint64_t block, uint32_t count,
		      const uint64_t *now, struct errinfo *err)
{
	const struct record_shape *shape = &resync->store->shape;
	int status = 0;

	for (uint32_t i = 0, end; i < count && !status; i = end) {
		uint64_t bytes;

		end = i;
		while (end < count && resync->sums[end] != SUM_ZERO &&
		       (!now || now[end] == SUM_ZERO))
			end++;
		if (end == i) {
			end++;
			continue;
		}
		bytes = record_blocks_bytes(shape, disk, block + i, end - i);
		resync->different_bytes += bytes;
		status = below(resync)->zero(below(resync), disk,
					     (block + i) * shape->block_bytes, bytes, err);
	}
	return status;
}

struct part {
	unsigned disk;
	uint64_t block; /* of the buffer's first byte */
	uint32_t count;
	struct buf *buf;
};

static bool data_differs(const struct resync *resync, const struct part *part, uint32_t i)
{
	return part->buf->sums[i] != SUM_ZERO && part->buf->sums[i] != resync->sums[i];
}

/* Blocks FIRST to END of PART to the sink, in BUF. */
static int run_pass(struct resync *resync, const struct part *part, struct buf *buf,
		    uint32_t first, uint32_t end, struct errinfo *err)
{
	const struct record_shape *shape = &resync->store->shape;
	uint64_t bytes = record_blocks_bytes(shape, part->disk, part->block + first, end - first);

	memmove(buf->sums, part->buf->sums + first, (end - first) * sizeof(buf->sums[0]));
	memmove(buf->data, part->buf->data + (size_t)first * shape->block_bytes, bytes);
	resync->different_bytes += bytes;
	return below(resync)->data(below(resync), part->disk,
				   (part->block + first) * shape->block_bytes, (uint32_t)bytes, buf,
				   err);
}

/* LAST: one after the last block with data that differs. */
static int data_pass(struct resync *resync, const struct part *part, uint32_t last,
		     struct errinfo *err)
{
	int status = 0;

	for (uint32_t i = 0, end; i < last && !status; i = end) {
		struct buf *buf = NULL;

		end = i + 1;
		if (!data_differs(resync, part, i))
			continue;
		while (end < last && data_differs(resync, part, end))
			end++;
		if (end < last)
			buf = pool_get(resync->store->pool);
		if (!buf)
			return run_pass(resync, part, part->buf, i, last, err);
		status = run_pass(resync, part, buf, i, end, err);
	}
	pool_put(resync->store->pool, part->buf);
	return status;
}

static int resync_data(struct copy_sink *sink, unsigned disk, uint64_t offset, uint32_t length,
		       struct buf *buf, struct errinfo *err)
{
	struct resync *resync = member_of(sink, struct resync, sink);
	struct store *store = resync->store;
	const uint32_t block_bytes = store->shape.block_bytes;
	struct part part = {disk, offset / block_bytes, (length + block_bytes - 1) / block_bytes,
			    buf};
	uint32_t last = 0;
	int status;

	if (store_fresh(store) >> disk & 1) {
		resync->filled_bytes += length;
		return store->fill_sink.data(&store->fill_sink, disk, offset, length, buf, err);
	}
	status = sums_read(resync, disk, part.block, part.count, err);
	if (!status)
		status = zeros_pass(resync, disk, part.block, part.count, buf->sums, err);
	for (uint32_t i = 0; i < part.count && !status; i++)
		last = data_differs(resync, &part, i) ? i + 1 : last;
	if (last)
		return data_pass(resync, &part, last, err);
	pool_put(store->pool, buf);
	return status;
}

static int resync_zero(struct copy_sink *sink, unsigned disk, uint64_t offset, uint64_t length,
		       struct errinfo *err)
{
	struct resync *resync = member_of(sink, struct resync, sink);
	const uint32_t block_bytes = resync->store->shape.block_bytes;
	uint64_t block = offset / block_bytes;
	uint64_t end = block + (length + block_bytes - 1) / block_bytes;
	int status = 0;

	if (store_fresh(resync->store) >> disk & 1)
		return 0; /* its head was all holes */
	while (block < end && !status) {
		uint32_t count = end - block < RESYNC_SUMS ? (uint32_t)(end - block) : RESYNC_SUMS;

		status = sums_read(resync, disk, block, count, err);
		if (!status)
			status = zeros_pass(resync, disk, block, count, NULL, err);
		block += count;
	}
	return status;
}

void resync_init(struct resync *resync, struct store *store)
{
	memset(resync, 0, sizeof(*resync));
	resync->store = store;
	resync->sink.data = resync_data;
	resync->sink.zero = resync_zero;
}
