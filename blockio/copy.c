/* SPDX-License-Identifier: Apache-2.0
 *
 * A copy's life: scanning and reading go on side by side until there is nothing
 * left, or until the first error; then what is in flight is waited for, and
 * done() runs from a ring operation of its own, so that it may free everything.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "copy_private.h"
#include "member.h"

static void copy_end(struct ring_op *op, int result)
{
	struct copy *copy = member_of(op, struct copy, end);

	copy->done(copy->arg, copy->error.code, &copy->error);
}

static bool copy_quiet(const struct copy *copy)
{
	if (copy->reads_in_flight || copy->scan.in_flight)
		return false;
	return copy->error.code || (!copy->reads_waiting && copy_scan_done(copy));
}

void copy_pump(struct copy *copy)
{
	if (copy->busy || copy->ended)
		return;
	copy->busy = true;
	copy_scan_pump(copy);
	copy_read_pump(copy);
	if (copy_quiet(copy)) {
		copy_zeros_flush(copy);
		pool_unwait(copy->pool, &copy->waiter);
		copy->ended = true;
		ring_timer(pool_ring(copy->pool), &copy->end, 0);
	}
	copy->busy = false;
}

static void copy_buffer_ready(struct pool_waiter *waiter)
{
	copy_pump(member_of(waiter, struct copy, waiter));
}

int copy_start_range(struct copy **out, struct nbd_source *source, struct pool *pool,
		     unsigned disk, enum copy_want want, unsigned depth, uint64_t offset,
		     uint64_t length, struct copy_sink *sink,
		     void (*done)(void *arg, int status, const struct errinfo *error), void *arg,
		     struct errinfo *err)
{
	struct copy *copy = calloc(1, sizeof(*copy));

	assert(depth && depth <= NBD_SOURCE_IN_FLIGHT && (!copy_hands_zeros(want) || sink->zero));
	assert(offset % pool_block_bytes(pool) == 0 && (want != COPY_ALL || !offset));
	*out = NULL;
	if (!copy)
		return err_set(err, -ENOMEM, "no memory for a copy of disk %u", disk);
	copy->source = source;
	copy->pool = pool;
	copy->sink = sink;
	copy->done = done;
	copy->arg = arg;
	copy->end.done = copy_end;
	copy->waiter.ready = copy_buffer_ready;
	copy->want = want;
	copy->disk = disk;
	copy->depth = depth;
	copy->size = nbd_source_size(source);
	if (offset > copy->size)
		offset = copy->size;
	if (length < copy->size - offset)
		copy->size = offset + length;
	copy->scan.next = offset;
	copy->block_bytes = pool_block_bytes(pool);
	copy->buffer_bytes = pool_buffer_bytes(pool);
	for (unsigned i = 0; i < NBD_SOURCE_IN_FLIGHT; i++)
		copy->reads[i].copy = copy;
	copy_scan_init(copy);
	*out = copy;
	copy_pump(copy);
	return 0;
}

int copy_start(struct copy **copy, struct nbd_source *source, struct pool *pool, unsigned disk,
	       enum copy_want want, unsigned depth, struct copy_sink *sink,
	       void (*done)(void *arg, int status, const struct errinfo *error), void *arg,
	       struct errinfo *err)
{
	return copy_start_range(copy, source, pool, disk, want, depth, 0, UINT64_MAX, sink, done,
				arg, err);
}

void copy_limit(struct copy *copy)
{
	copy->limited = true;
}

void copy_grant(struct copy *copy, uint64_t bytes, uint64_t most)
{
	copy->granted += (int64_t)bytes;
	if (copy->granted > (int64_t)most)
		copy->granted = (int64_t)most;
	copy_pump(copy);
}

void copy_cancel(struct copy *copy)
{
	if (copy->ended)
		return;
	err_set(&copy->error, -ECANCELED, "the copy of disk %u was cancelled", copy->disk);
	copy_pump(copy);
}

void copy_free(struct copy *copy)
{
	assert(!copy || (copy->ended && !copy->end.pending));
	free(copy);
}

const struct copy_progress *copy_progress(const struct copy *copy)
{
	return &copy->progress;
}
