/* SPDX-License-Identifier: Apache-2.0
 *
 * A copy's life: reads are started until the last block was looked at, or until
 * the first error; then what is in flight is waited for, and done() runs from a
 * ring operation of its own, so that it may free everything.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "image_private.h"
#include "member.h"

static void copy_end(struct ring_op *op, int result)
{
	struct imagecopy *copy = member_of(op, struct imagecopy, end);

	copy->done(copy->arg, copy->error.code, &copy->error);
}

static bool copy_quiet(const struct imagecopy *copy)
{
	return !copy->in_flight && (copy->error.code || copy->next == copy->range.end);
}

void imagecopy_pump(struct imagecopy *copy)
{
	if (copy->busy || copy->ended)
		return;
	copy->busy = true;
	imagecopy_read_pump(copy);
	if (copy_quiet(copy)) {
		pool_unwait(copy->pool, &copy->waiter);
		copy->ended = true;
		ring_timer(pool_ring(copy->pool), &copy->end, 0);
	}
	copy->busy = false;
}

static void copy_buffer_ready(struct pool_waiter *waiter)
{
	imagecopy_pump(member_of(waiter, struct imagecopy, waiter));
}

int imagecopy_start_range(struct imagecopy **out, struct image *image, struct pool *pool,
			  unsigned disk, unsigned depth, const struct imagecopy_range *range,
			  struct copy_sink *sink,
			  void (*done)(void *arg, int status, const struct errinfo *error),
			  void *arg, struct errinfo *err)
{
	struct imagecopy *copy = calloc(1, sizeof(*copy));

	assert(depth && depth <= IMAGECOPY_DEPTH_MAX);
	assert(range->first <= range->end && range->end <= image_blocks(image));
	assert(pool_block_bytes(pool) == image->block_bytes);
	*out = NULL;
	if (!copy)
		return err_set(err, -ENOMEM, "no memory for a copy of %s", image->label);
	copy->image = image;
	copy->pool = pool;
	copy->sink = sink;
	copy->done = done;
	copy->arg = arg;
	copy->end.done = copy_end;
	copy->waiter.ready = copy_buffer_ready;
	copy->disk = disk;
	copy->depth = depth;
	copy->range = *range;
	copy->next = range->first;
	imagecopy_read_init(copy);
	*out = copy;
	imagecopy_pump(copy);
	return 0;
}

int imagecopy_start(struct imagecopy **copy, struct image *image, struct pool *pool, unsigned disk,
		    unsigned depth, struct copy_sink *sink,
		    void (*done)(void *arg, int status, const struct errinfo *error), void *arg,
		    struct errinfo *err)
{
	struct imagecopy_range all = {0, image_blocks(image), NULL};

	return imagecopy_start_range(copy, image, pool, disk, depth, &all, sink, done, arg, err);
}

void imagecopy_cancel(struct imagecopy *copy)
{
	if (copy->ended)
		return;
	err_set(&copy->error, -ECANCELED, "the copy of %s was cancelled", copy->image->label);
	imagecopy_pump(copy);
}

void imagecopy_free(struct imagecopy *copy)
{
	assert(!copy || (copy->ended && !copy->end.pending));
	free(copy);
}

const struct imagecopy_progress *imagecopy_progress(const struct imagecopy *copy)
{
	return &copy->progress;
}
