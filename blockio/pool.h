/* SPDX-License-Identifier: Apache-2.0
 *
 * pool: all memory of the data path, taken once at start and registered with
 * the ring.  A buffer holds some blocks of one disk on their way from QEMU to
 * the store, with a page in front for the journal's record header, so that
 * header and payload leave in one write.
 */
#ifndef BLOCKIO_POOL_H
#define BLOCKIO_POOL_H

#include <stdbool.h>
#include <stdint.h>

#include "errinfo.h"
#include "ring.h"

#define POOL_HEADER_BYTES 4096 /* the page in front of data */

struct buf {
	uint8_t *header; /* POOL_HEADER_BYTES, 4 KiB aligned; data follows directly */
	uint8_t *data;	 /* pool->buffer_bytes, 4 KiB aligned */
	uint64_t *sums;	 /* one per block in data, see sum.h */
	struct buf *next; /* private while free; the holder's otherwise */
};

struct pool;

/* COUNT buffers of BUFFER_BYTES each (a multiple of BLOCK_BYTES), registered
 * with RING. */
int pool_new(struct pool **pool, struct ring *ring, unsigned count, uint32_t buffer_bytes,
	     uint32_t block_bytes, struct errinfo *err);
void pool_free(struct pool *pool); /* every buffer must be back */

struct buf *pool_get(struct pool *pool); /* NULL when all are out */
void pool_put(struct pool *pool, struct buf *buf);
struct ring *pool_ring(const struct pool *pool);
uint32_t pool_buffer_bytes(const struct pool *pool);
uint32_t pool_block_bytes(const struct pool *pool);
unsigned pool_available(const struct pool *pool);

/* READY runs inside the next pool_put() that finds the waiter first in the queue,
 * once; waiters are served in order.  Waiting twice is waiting once. */
struct pool_waiter {
	void (*ready)(struct pool_waiter *waiter);
	struct pool_waiter *next;
	bool queued;
};
void pool_wait(struct pool *pool, struct pool_waiter *waiter);
void pool_unwait(struct pool *pool, struct pool_waiter *waiter);

#endif
