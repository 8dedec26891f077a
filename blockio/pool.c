/* SPDX-License-Identifier: Apache-2.0
 *
 * The pool is one mapping: [header page | data] per buffer, one behind the
 * other, faulted in at the start so that memory cannot run out later.  In huge
 * pages where there are any: sums and the kernel's own walks over a buffer took a
 * quarter more processor time with pages of 4 KiB.
 */
#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "pool.h"

#define HUGE_PAGE_BYTES ((size_t)2 << 20) /* of x86 and of arm64 with pages of 4 KiB */

struct pool {
	struct ring *ring;
	struct buf *free;
	struct buf *bufs;
	uint64_t *sums;
	void *memory;
	size_t memory_bytes;
	unsigned count;
	unsigned available;
	uint32_t buffer_bytes;
	uint32_t block_bytes;
	struct pool_waiter *waiter_first;
	struct pool_waiter **waiter_end;
	unsigned waiters;
};

/* Memory that begins with a huge page; what is left over at its end is in small ones,
 * so that nothing is resident that was not asked for. */
static void *pages_map(size_t bytes)
{
	uint8_t *base = mmap(NULL, bytes + HUGE_PAGE_BYTES, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	size_t before;
	int code;

	if (base == MAP_FAILED)
		return NULL;
	before = -(uintptr_t)base % HUGE_PAGE_BYTES;
	if (before)
		munmap(base, before);
	base += before;
	munmap(base + bytes, HUGE_PAGE_BYTES - before);
	madvise(base, bytes, MADV_HUGEPAGE); /* only quicker: not every kernel has them */
	if (!madvise(base, bytes, MADV_POPULATE_WRITE))
		return base;
	code = errno;
	munmap(base, bytes);
	errno = code;
	return NULL;
}

static int pool_map(struct pool *pool, struct errinfo *err)
{
	/* Whole pages: what is cut off around them has to be such. */
	size_t stride = POOL_HEADER_BYTES + (size_t)pool->buffer_bytes;

	pool->memory_bytes = stride * pool->count;
	pool->memory = pages_map(pool->memory_bytes);
	if (pool->memory)
		return 0;
	return err_set(err, -errno, "cannot map %zu bytes for %u buffers of %u: %s",
		       pool->memory_bytes, pool->count, pool->buffer_bytes, strerror(errno));
}

static void pool_carve(struct pool *pool)
{
	size_t stride = POOL_HEADER_BYTES + (size_t)pool->buffer_bytes;
	size_t blocks = pool->buffer_bytes / pool->block_bytes;

	for (unsigned i = pool->count; i-- > 0;) {
		struct buf *buf = &pool->bufs[i];

		buf->header = (uint8_t *)pool->memory + stride * i;
		buf->data = buf->header + POOL_HEADER_BYTES;
		buf->sums = pool->sums + blocks * i;
		buf->next = pool->free;
		pool->free = buf;
	}
	pool->available = pool->count;
}

static void pool_release(struct pool *pool)
{
	if (!pool)
		return;
	if (pool->memory) {
		ring_register_memory(pool->ring, pool->memory, 0, NULL);
		munmap(pool->memory, pool->memory_bytes);
	}
	free(pool->sums);
	free(pool->bufs);
	free(pool);
}

int pool_new(struct pool **out, struct ring *ring, unsigned count, uint32_t buffer_bytes,
	     uint32_t block_bytes, struct errinfo *err)
{
	struct pool *pool;
	int ret;

	assert(count && block_bytes && buffer_bytes && buffer_bytes % block_bytes == 0);
	assert(buffer_bytes % POOL_HEADER_BYTES == 0);
	*out = NULL;
	pool = calloc(1, sizeof(*pool));
	if (!pool)
		return err_set(err, -ENOMEM, "no memory for the pool");
	pool->ring = ring;
	pool->count = count;
	pool->buffer_bytes = buffer_bytes;
	pool->block_bytes = block_bytes;
	pool->waiter_end = &pool->waiter_first;
	pool->bufs = calloc(count, sizeof(*pool->bufs));
	pool->sums = calloc((size_t)count * (buffer_bytes / block_bytes), sizeof(*pool->sums));
	ret = pool->bufs && pool->sums ? pool_map(pool, err)
				       : err_set(err, -ENOMEM, "no memory for %u buffers", count);
	if (!ret)
		ret = ring_register_memory(ring, pool->memory, pool->memory_bytes, err);
	if (ret) {
		pool_release(pool);
		return ret;
	}
	pool_carve(pool);
	*out = pool;
	return 0;
}

void pool_free(struct pool *pool)
{
	assert(!pool || pool->available == pool->count);
	pool_release(pool);
}

struct buf *pool_get(struct pool *pool)
{
	struct buf *buf = pool->free;

	if (!buf)
		return NULL;
	pool->free = buf->next;
	buf->next = NULL;
	pool->available--;
	return buf;
}

/* Each waiter at most once a call: one that does not take the buffer and waits
 * again must not keep the others from it. */
static void pool_serve(struct pool *pool)
{
	for (unsigned turns = pool->waiters; turns && pool->free && pool->waiters; turns--) {
		struct pool_waiter *waiter = pool->waiter_first;

		pool_unwait(pool, waiter);
		waiter->ready(waiter);
	}
}

void pool_put(struct pool *pool, struct buf *buf)
{
	assert(buf >= pool->bufs && buf < pool->bufs + pool->count);
	assert(pool->available < pool->count);
	buf->next = pool->free;
	pool->free = buf;
	pool->available++;
	pool_serve(pool);
}

struct ring *pool_ring(const struct pool *pool)
{
	return pool->ring;
}

uint32_t pool_buffer_bytes(const struct pool *pool)
{
	return pool->buffer_bytes;
}

uint32_t pool_block_bytes(const struct pool *pool)
{
	return pool->block_bytes;
}

unsigned pool_available(const struct pool *pool)
{
	return pool->available;
}

void pool_wait(struct pool *pool, struct pool_waiter *waiter)
{
	assert(waiter->ready);
	if (waiter->queued)
		return;
	waiter->queued = true;
	waiter->next = NULL;
	*pool->waiter_end = waiter;
	pool->waiter_end = &waiter->next;
	pool->waiters++;
}

void pool_unwait(struct pool *pool, struct pool_waiter *waiter)
{
	struct pool_waiter **link = &pool->waiter_first;

	if (!waiter->queued)
		return;
	while (*link != waiter) {
		assert(*link);
		link = &(*link)->next;
	}
	*link = waiter->next;
	if (pool->waiter_end == &waiter->next)
		pool->waiter_end = link;
	waiter->queued = false;
	pool->waiters--;
}
