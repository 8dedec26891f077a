/* SPDX-License-Identifier: Apache-2.0
 *
 * A restore's life, see restore.h.  A section is compared, then copied; without
 * comparing the whole disk is one section.  The first error ends it: what is in
 * flight is waited for, what was written is flushed all the same, so that
 * running again finds it.
 */
#include "restore.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "member.h"
#include "restore_private.h"
#include "sum.h"

uint64_t restore_bytes(const struct restore *restore, uint64_t block, uint64_t count)
{
	uint64_t left = image_size(restore->request.image) - block * restore->block_bytes;

	return count * restore->block_bytes < left ? count * restore->block_bytes : left;
}

static int sums_read(struct image *image, uint64_t block, uint64_t *sums, uint64_t *count,
		     struct errinfo *err)
{
	uint64_t left = image_blocks(image) - block;

	*count = left < RESTORE_SUMS ? left : RESTORE_SUMS;
	return image_sums(image, block, (uint32_t)*count, sums, err);
}

bool restore_sum(struct restore *restore, uint64_t block, uint64_t *sum)
{
	if (block < restore->sums_first || block >= restore->sums_first + restore->sums_count) {
		restore->sums_count = 0;
		restore->sums_first = block;
		if (sums_read(restore->request.image, block, restore->sums, &restore->sums_count,
			      &restore->error)) {
			restore->sums_count = 0;
			return false;
		}
	}
	*sum = restore->sums[block - restore->sums_first];
	return true;
}

int restore_measure(struct image *image, uint64_t *data_bytes, struct errinfo *err)
{
	uint64_t sums[512], block = 0, count = 0;

	*data_bytes = 0;
	while (block < image_blocks(image)) {
		int status;

		count = image_blocks(image) - block;
		if (count > sizeof(sums) / sizeof(sums[0]))
			count = sizeof(sums) / sizeof(sums[0]);
		status = image_sums(image, block, (uint32_t)count, sums, err);
		if (status)
			return status;
		for (uint64_t i = 0; i < count; i++)
			*data_bytes += sums[i] == SUM_ZERO ? 0 : image_block_bytes(image);
		block += count;
	}
	if (block && sums[count - 1] != SUM_ZERO) /* the last block may be shorter */
		*data_bytes -= block * image_block_bytes(image) - image_size(image);
	return 0;
}

bool restore_wanted(const struct restore *restore, uint64_t block)
{
	uint64_t bit = block - restore->first;

	return !restore->request.compare || restore->wanted[bit / 8] >> bit % 8 & 1;
}

struct restore_slot *restore_slot_take(struct restore *restore, struct restore_slot *slots,
				       unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		if (slots[i].busy)
			continue;
		slots[i].busy = true;
		slots[i].restore = restore;
		slots[i].buf = NULL;
		restore->in_flight++;
		return &slots[i];
	}
	return NULL;
}

void restore_slot_put(struct restore_slot *slot)
{
	struct buf *buf = slot->buf;

	slot->busy = false;
	slot->buf = NULL;
	slot->restore->in_flight--;
	if (buf)
		pool_put(slot->restore->request.pool, buf);
}

/* --- phases --- */

static void copy_done(void *arg, int status, const struct errinfo *error)
{
	struct restore *restore = arg;

	restore->copying = false;
	if (status)
		err_set(&restore->error, status, "%s", error->text);
	restore_pump(restore);
}

static void copy_begin(struct restore *restore)
{
	const struct restore_request *request = &restore->request;
	struct imagecopy_range range = {restore->first, restore->end,
					request->compare ? restore->wanted : NULL};

	restore->phase = RESTORE_COPY;
	restore->next = restore->first;
	restore->copying =
		!imagecopy_start_range(&restore->copy, request->image, request->pool, 0,
				       request->depth, &range, &restore->sink, copy_done, restore,
				       &restore->error);
}

static void section_begin(struct restore *restore)
{
	restore->first = restore->next = restore->end;
	restore->end = restore->blocks;
	if (!restore->request.compare) {
		copy_begin(restore);
		return;
	}
	if (restore->end - restore->first > RESTORE_SECTION_BLOCKS)
		restore->end = restore->first + RESTORE_SECTION_BLOCKS;
	memset(restore->wanted, 0, sizeof(restore->wanted));
	restore->phase = RESTORE_COMPARE;
}

static void flush_done(struct target_op *op, int status)
{
	struct restore *restore = member_of(op, struct restore, flush);

	restore->in_flight--;
	restore->flushed = true;
	if (status)
		err_set(&restore->error, status, "%s: the flush failed: %s",
			restore->request.target->label, strerror(-status));
	restore_pump(restore);
}

static void flush_begin(struct restore *restore)
{
	restore->phase = RESTORE_FLUSH;
	restore->flushed = false;
	restore->in_flight++;
	restore->flush.done = flush_done;
	target_flush(restore->request.target, &restore->flush);
}

static void restore_end(struct ring_op *op, int result)
{
	struct restore *restore = member_of(op, struct restore, now);

	restore->done(restore->arg, restore->error.code, &restore->error);
}

/* The header of an image says that its data are there: flushed before it. */
static void flush_over(struct restore *restore)
{
	if (!restore->error.code && !restore->sealed) {
		restore->sealed = true;
		if (!restore->request.target->ops->seal) {
			restore->phase = RESTORE_ENDED;
		} else if (target_seal(restore->request.target, &restore->error)) {
			restore->phase = RESTORE_ENDED;
		} else {
			flush_begin(restore);
			return;
		}
	}
	restore->phase = RESTORE_ENDED;
	ring_timer(restore->ring, &restore->now, 0);
}

static bool section_over(struct restore *restore)
{
	if (restore->in_flight || restore->copying)
		return false;
	return restore->error.code || restore->next == restore->end;
}

static void section_next(struct restore *restore)
{
	pool_unwait(restore->request.pool, &restore->waiter);
	if (restore->phase == RESTORE_COPY) {
		imagecopy_free(restore->copy);
		restore->copy = NULL;
		if (!restore->error.code)
			restore->progress.scanned = restore_bytes(restore, 0, restore->end);
	}
	if (restore->error.code)
		flush_begin(restore);
	else if (restore->phase == RESTORE_COMPARE)
		copy_begin(restore);
	else if (restore->end < restore->blocks)
		section_begin(restore);
	else
		flush_begin(restore);
}

/* Something happened: start what can be started, go on to the next phase. */
void restore_pump(struct restore *restore)
{
	if (restore->busy || restore->phase == RESTORE_ENDED)
		return;
	restore->busy = true;
	while (restore->phase < RESTORE_FLUSH) {
		if (restore->phase == RESTORE_COMPARE)
			restore_compare_pump(restore);
		else
			restore_zeros_pump(restore);
		if (restore->error.code && restore->copying)
			imagecopy_cancel(restore->copy);
		if (!section_over(restore))
			break;
		section_next(restore);
	}
	if (restore->phase == RESTORE_FLUSH && restore->flushed && !restore->in_flight)
		flush_over(restore);
	restore->busy = false;
}

static void buffer_ready(struct pool_waiter *waiter)
{
	restore_pump(member_of(waiter, struct restore, waiter));
}

int restore_start(struct restore **out, const struct restore_request *request,
		  void (*done)(void *arg, int status, const struct errinfo *error), void *arg,
		  struct errinfo *err)
{
	struct restore *restore = calloc(1, sizeof(*restore));

	assert(request->depth && (request->compare_depth || !request->compare));
	*out = NULL;
	if (!restore)
		return err_set(err, -ENOMEM, "no memory to restore %s",
			       image_label(request->image));
	restore->request = *request;
	restore->ring = pool_ring(request->pool);
	restore->block_bytes = image_block_bytes(request->image);
	restore->blocks = image_blocks(request->image);
	restore->done = done;
	restore->arg = arg;
	restore->now.done = restore_end;
	restore->waiter.ready = buffer_ready;
	restore_write_init(restore);
	*out = restore;
	restore->busy = true;
	section_begin(restore);
	restore->busy = false;
	restore_pump(restore);
	return 0;
}

void restore_cancel(struct restore *restore)
{
	if (restore->phase == RESTORE_ENDED)
		return;
	err_set(&restore->error, -ECANCELED, "interrupted");
	restore_pump(restore);
}

void restore_free(struct restore *restore)
{
	assert(!restore || (restore->phase == RESTORE_ENDED && !restore->now.pending));
	free(restore);
}

const struct restore_progress *restore_progress(const struct restore *restore)
{
	return &restore->progress;
}

const struct restore_bad *restore_bad(const struct restore *restore)
{
	return restore->bad;
}
