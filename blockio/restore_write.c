/* SPDX-License-Identifier: Apache-2.0
 *
 * Data and zeros on their way to the target.
 */
#include <errno.h>
#include <string.h>

#include "member.h"
#include "restore_private.h"
#include "sum.h"

static void write_failed(struct restore_slot *slot, int status)
{
	struct restore *restore = slot->restore;

	err_set(&restore->error, status, "%s: cannot write %llu bytes at %llu: %s%s",
		restore->request.target->label, (unsigned long long)slot->op.length,
		(unsigned long long)slot->op.offset, strerror(-status),
		status == -ENOSPC ? "; make room and run it again: it continues" : "");
}

/* --- data, as an imagecopy's sink --- */

static void data_written(struct target_op *op, int status)
{
	struct restore_slot *slot = member_of(op, struct restore_slot, op);
	struct restore *restore = slot->restore;

	if (status)
		write_failed(slot, status);
	else
		restore->progress.data_bytes += op->length;
	restore->busy = true;
	restore_slot_put(slot);
	restore->busy = false;
	restore_pump(restore);
}

static int sink_data(struct copy_sink *sink, unsigned disk, uint64_t offset, uint32_t length,
		     struct buf *buf, struct errinfo *err)
{
	struct restore *restore = member_of(sink, struct restore, sink);
	struct restore_slot *slot =
		restore_slot_take(restore, restore->slots, RESTORE_BUFFERS_MAX);

	slot->buf = buf;
	if (restore->error.code) {
		restore_slot_put(slot);
		return restore->error.code;
	}
	if (!restore->request.compare)
		restore->progress.scanned = offset + length;
	slot->op.done = data_written;
	target_write(restore->request.target, &slot->op, buf->data, length, offset);
	return 0;
}

static int sink_bad(struct copy_sink *sink, unsigned disk, uint64_t offset, uint32_t length,
		    int status)
{
	struct restore *restore = member_of(sink, struct restore, sink);

	if (restore->progress.bad_count < RESTORE_BAD_MAX)
		restore->bad[restore->progress.bad_count] =
			(struct restore_bad){offset, length, status};
	restore->progress.bad_count++;
	restore->progress.bad_bytes += length;
	return 0;
}

void restore_write_init(struct restore *restore)
{
	restore->sink.data = sink_data;
	restore->sink.bad = restore->request.salvage ? sink_bad : NULL;
}

/* --- zeros --- */

static void zeros_done(struct target_op *op, int status)
{
	struct restore_slot *slot = member_of(op, struct restore_slot, op);
	struct restore *restore = slot->restore;

	if (status)
		write_failed(slot, status);
	else
		restore->progress.zero_bytes += op->length;
	restore_slot_put(slot);
	restore_pump(restore);
}

static bool is_zeroed(struct restore *restore, uint64_t block, bool *zeroed)
{
	uint64_t sum;

	if (!restore_sum(restore, block, &sum))
		return false;
	*zeroed = sum == SUM_ZERO && restore_wanted(restore, block);
	return true;
}

/* The next run that has to become zeros; 0: none in this section, or an error. */
static uint64_t zeros_take(struct restore *restore, uint64_t *first)
{
	uint64_t max = RESTORE_ZERO_BYTES / restore->block_bytes, count = 0;
	bool zeroed = false;

	while (restore->next < restore->end && is_zeroed(restore, restore->next, &zeroed) &&
	       !zeroed)
		restore->next++;
	*first = restore->next;
	while (restore->next < restore->end && count < max &&
	       is_zeroed(restore, restore->next, &zeroed) && zeroed) {
		restore->next++;
		count++;
	}
	return count;
}

/* Only the copy's thread of sums may be behind; both go through the section once. */
void restore_zeros_pump(struct restore *restore)
{
	struct target *target = restore->request.target;

	if (target->blank || target->sparse)
		restore->next = restore->end;
	while (!restore->error.code && restore->next < restore->end) {
		struct restore_slot *slot =
			restore_slot_take(restore, restore->zeros, RESTORE_ZEROS);
		uint64_t first, count;

		if (!slot)
			return;
		count = zeros_take(restore, &first);
		if (!count || restore->error.code) {
			restore_slot_put(slot);
			return;
		}
		slot->op.done = zeros_done;
		target_zero(target, &slot->op, first * restore->block_bytes,
			    restore_bytes(restore, first, count));
	}
}
