/* SPDX-License-Identifier: Apache-2.0
 *
 * What differs: the target is read once, its holes are not, and each block's sum
 * tells whether it is the one that the image has.  The image is not read.
 */
#include <string.h>

#include "member.h"
#include "restore_private.h"
#include "sum.h"

static void block_differs(struct restore *restore, uint64_t block)
{
	uint64_t bit = block - restore->first;

	restore->wanted[bit / 8] |= (uint8_t)(1u << bit % 8);
}

/* Blocks up to END that the target has as zeros, without reading them. */
static void zeros_compare(struct restore *restore, uint64_t end)
{
	uint64_t sum;

	for (; restore->next < end && restore_sum(restore, restore->next, &sum); restore->next++) {
		if (sum != SUM_ZERO)
			block_differs(restore, restore->next);
	}
}

static void read_done(struct target_op *op, int status)
{
	struct restore_slot *slot = member_of(op, struct restore_slot, op);
	struct restore *restore = slot->restore;

	for (uint64_t i = 0; i < slot->count && !restore->error.code; i++) {
		uint64_t offset = (slot->block + i) * restore->block_bytes;
		const uint8_t *data = slot->buf->data + i * restore->block_bytes;
		uint32_t length = (uint32_t)restore_bytes(restore, slot->block + i, 1);

		/* What cannot be read may still be written: disks replace bad sectors then. */
		if (status || block_sum(data, length, offset) != slot->buf->sums[i])
			block_differs(restore, slot->block + i);
	}
	if (!status)
		restore->progress.compared_bytes += op->length;
	restore->busy = true;
	restore_slot_put(slot);
	restore->busy = false;
	restore_pump(restore);
}

/* A target without place for zeros has them by itself. */
static bool is_compared(const struct restore *restore, uint64_t sum)
{
	return sum != SUM_ZERO || !restore->request.target->sparse;
}

static uint64_t run_take(struct restore *restore, uint64_t *sums)
{
	uint64_t count = 0, max = pool_buffer_bytes(restore->request.pool) / restore->block_bytes;
	uint64_t sum;

	while (count < max && restore->next < restore->end &&
	       restore_sum(restore, restore->next, &sum) && is_compared(restore, sum)) {
		sums[count++] = sum;
		restore->next++;
	}
	return count;
}

/* To the next block to be read from the target; false: none in this section. */
static bool run_find(struct restore *restore)
{
	uint64_t sum, data;

	while (restore->next < restore->end && restore_sum(restore, restore->next, &sum) &&
	       !is_compared(restore, sum))
		restore->next++;
	if (restore->error.code || restore->next == restore->end)
		return false;
	data = target_next_data(restore->request.target, restore->next * restore->block_bytes);
	data = data == restore->request.target->size ? restore->blocks : data / restore->block_bytes;
	zeros_compare(restore, data < restore->end ? data : restore->end);
	return !restore->error.code && restore->next < restore->end;
}

void restore_compare_pump(struct restore *restore)
{
	while (!restore->error.code && restore->in_flight < restore->request.compare_depth &&
	       run_find(restore)) {
		struct restore_slot *slot;
		struct buf *buf = pool_get(restore->request.pool);

		if (!buf) {
			pool_wait(restore->request.pool, &restore->waiter);
			return;
		}
		slot = restore_slot_take(restore, restore->slots, RESTORE_BUFFERS_MAX);
		slot->buf = buf;
		slot->block = restore->next;
		slot->count = run_take(restore, buf->sums);
		slot->op.done = read_done;
		target_read(restore->request.target, &slot->op, buf->data,
			    (uint32_t)restore_bytes(restore, slot->block, slot->count),
			    slot->block * restore->block_bytes);
		restore->progress.scanned = restore_bytes(restore, 0, restore->next);
	}
}
