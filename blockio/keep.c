/* SPDX-License-Identifier: Apache-2.0
 *
 * keep: see keep.h.  Which blocks a generation changes is read from its records;
 * keep_op.c brings them to the point.
 */
#include "keep.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "keep_private.h"
#include "member.h"

void keep_fail(struct keep *keep, int status, const char *what)
{
	err_set(&keep->error, status,
		"%s/points/%08u: keeping what generation %llu changes: %s: %s%s", keep->heads->dir,
		keep->target.id, (unsigned long long)keep->generation->number, what,
		strerror(-status),
		status == -ENOSPC ? "; delete points, or make room on that file system" : "");
}

/* --- the records of the generation, one after the other --- */

static const struct record *kept_record(const struct buf *buf)
{
	return (const struct record *)(const void *)buf->header;
}

static bool record_expected(const struct keep *keep, const struct record *record)
{
	const struct generation *generation = keep->generation;

	return record_valid(record, keep->journal->shape) &&
	       (record->type == RECORD_DATA || record->type == RECORD_ZERO) &&
	       record->generation == generation->number &&
	       record->attempt == generation->attempt && record->sequence == keep->sequence &&
	       record->place == keep->offset;
}

static void page_arrived(struct ring_op *op, int result)
{
	struct keep *keep = member_of(op, struct keep, op);

	keep->reading = false;
	if (result < 0)
		keep_fail(keep, result, "the journal cannot be read");
	else if (result < (int)RECORD_PAGE || !record_expected(keep, keep->page))
		keep_fail(keep, -EUCLEAN, "a record of the journal is damaged");
	else
		keep->record = keep->page;
	keep_step(keep);
}

static void record_fetch(struct keep *keep)
{
	if (keep->kept && kept_record(keep->kept)->sequence == keep->sequence) {
		keep->record = kept_record(keep->kept);
		keep->kept = keep->kept->next;
		return;
	}
	keep->reading = true;
	keep->op.done = page_arrived;
	ring_read(keep->journal->ring, &keep->op, keep->journal->fd[keep->generation->area],
		  keep->page, RECORD_PAGE, keep->offset);
}

static void record_next(struct keep *keep)
{
	keep->offset += record_length(keep->record);
	keep->sequence++;
	keep->record = NULL;
	keep->run = 0;
	keep->position = 0;
}

/* --- its blocks, some at a time --- */

/* What is left of the record's present run of blocks; false: nothing. */
static bool range_left(const struct keep *keep, struct record_run *range)
{
	const struct record *record = keep->record;

	if (record->type == RECORD_DATA)
		*range = (struct record_run){.disk = record->disk, .block = record->block,
					     .count = record->count};
	else if (keep->run < record->count)
		*range = record->runs[keep->run];
	else
		return false;
	range->block += keep->position;
	range->count -= keep->position;
	return range->count > 0;
}

int64_t keep_data_next(int fd, uint64_t offset)
{
	int64_t data = file_data_next(fd, offset);

	return data == -ENXIO ? INT64_MAX : data < 0 ? (int64_t)offset : data;
}

/* Zeros that become zeros are no change: what is a hole of the sums and of the head is
 * skipped. */
static void holes_skip(const struct keep *keep, struct record_run *range)
{
	const struct head *head = &keep->heads->head[range->disk];
	const uint64_t block_bytes = keep->journal->shape->block_bytes;
	const uint64_t end = range->block + range->count;
	uint64_t block =
	    (uint64_t)keep_data_next(head->fd, range->block * block_bytes) / block_bytes;
	uint64_t sum = (uint64_t)keep_data_next(head->sums_fd, range->block * sizeof(uint64_t)) /
		       sizeof(uint64_t);

	block = sum < block ? sum : block;
	block = block > end ? end : block;
	range->count = end - block;
	range->block = block;
}

static bool range_busy(const struct keep *keep, const struct keep_disk *disk, uint64_t block,
		       unsigned count)
{
	for (unsigned i = 0; i < KEEP_OPS; i++) {
		const struct keep_op *op = &keep->ops[i];

		if (op->buf && op->disk == disk && op->block < block + count &&
		    block < op->block + op->count)
			return true;
	}
	return false;
}

static struct keep_op *op_idle(struct keep *keep)
{
	for (unsigned i = 0; i < KEEP_OPS; i++)
		if (!keep->ops[i].buf)
			return &keep->ops[i];
	return NULL;
}

static void position_set(struct keep *keep, const struct record_run *range)
{
	const struct record *record = keep->record;

	keep->position = range->block - (record->type == RECORD_DATA
						 ? record->block
						 : record->runs[keep->run].block);
}

static struct buf *buffer_get(struct keep *keep)
{
	struct buf *buf = pool_get(keep->journal->pool);

	if (!buf && !keep->in_flight)
		pool_wait(keep->journal->pool, &keep->waiter);
	return buf;
}

/* An operation for the beginning of RANGE; false: not now. */
static bool range_start(struct keep *keep, struct record_run *range, struct keep_disk *disk)
{
	const struct record *record = keep->record;
	const uint32_t block_bytes = keep->journal->shape->block_bytes;
	uint64_t count = pool_buffer_bytes(keep->journal->pool) / block_bytes;
	struct keep_op *op = op_idle(keep);

	count = count > KEEP_BLOCKS ? KEEP_BLOCKS : count;
	count = count > range->count ? range->count : count;
	if (!op || range_busy(keep, disk, range->block, (unsigned)count))
		return false;
	op->buf = buffer_get(keep);
	if (!op->buf)
		return false;
	op->disk = disk;
	op->head = &keep->heads->head[range->disk];
	op->block = range->block;
	op->count = (unsigned)count;
	for (unsigned i = 0; i < count; i++)
		op->fresh[i] = record->type == RECORD_DATA
				       ? record->sums[range->block - record->block + i]
				       : SUM_ZERO;
	range->block += count;
	range->count -= count;
	position_set(keep, range);
	keep->in_flight++;
	keep_op_start(op);
	return true;
}

static void slice_ahead(struct ring_op *op, int result)
{
	struct keep *keep = member_of(op, struct keep, op);

	keep->reading = false;
	keep_step(keep);
}

/* The range is cloned, a slice at a time; false: the next one follows. */
static bool range_ahead(struct keep *keep, struct record_run *range)
{
	const struct head *head = &keep->heads->head[range->disk];
	const uint64_t block_bytes = keep->journal->shape->block_bytes;

	if (!clone_ahead(keep->clone, head->sums_fd, range->block * sizeof(uint64_t),
			 range->count * sizeof(uint64_t)) ||
	    !clone_ahead(keep->clone, head->fd, range->block * block_bytes,
			 range->count * block_bytes)) {
		keep->reading = true;
		keep->op.done = slice_ahead;
		ring_timer(keep->journal->ring, &keep->op, 0);
		return false;
	}
	range->block += range->count;
	position_set(keep, range);
	return true;
}

/* Go on with the record; false: something must end first. */
static bool record_scan(struct keep *keep)
{
	const struct store_spec *spec = keep->heads->spec;
	struct keep_disk *disk;
	struct record_run range;
	uint64_t blocks, end;

	if (!range_left(keep, &range)) {
		if (keep->record->type == RECORD_ZERO && ++keep->run < keep->record->count)
			keep->position = 0;
		else
			record_next(keep);
		return true;
	}
	if (keep->clone)
		return range_ahead(keep, &range);
	disk = keep->target.id ? keep_files_disk(&keep->target, spec->disks[range.disk].name)
			       : NULL; /* the clone ended meanwhile */
	blocks = disk ? keep_disk_blocks(disk, keep->target.block_bytes) : 0;
	end = range.block + range.count;
	if (range.block < blocks && keep->record->type == RECORD_ZERO)
		holes_skip(keep, &range);
	if (range.block < blocks && range.count) {
		if (end > blocks)
			range.count = blocks - range.block;
		return range_start(keep, &range, disk);
	}
	/* Not in the point: it was added since, or grew. */
	range.block = end;
	position_set(keep, &range);
	return true;
}

/* --- the whole --- */

static void keep_end(struct keep *keep)
{
	struct errinfo error = keep->error;

	if (keep->waiter.queued)
		pool_unwait(keep->journal->pool, &keep->waiter);
	keep->generation = NULL;
	keep->unsure = error.code != 0;
	keep->failures = error.code ? keep->failures + keep->head_failed : 0;
	keep->point_failures = error.code && keep->point_failed ? keep->point_failures + 1 : 0;
	keep->stats.keep_ns = ring_now_ns() - keep->start_ns;
	keep->done(keep->arg, error.code, &error);
}

static void keep_flushed(struct flush *flush, int result)
{
	struct keep *keep = member_of(flush, struct keep, flush);

	keep->flushing = false;
	keep->point_failed |= result == -EIO;
	if (result < 0)
		keep_fail(keep, result, "a flush failed");
	keep_end(keep);
}

static void keep_flush(struct keep *keep)
{
	keep->flushing = true;
	flush_init(&keep->flush, keep->journal->ring);
	for (unsigned i = 0; keep->target.id && i < keep->target.disk_count; i++) {
		struct keep_disk *disk = &keep->target.disks[i];

		if (!disk->dirty)
			continue;
		flush_add(&keep->flush, disk->raw_fd);
		flush_add(&keep->flush, disk->entries_fd);
		disk->dirty = false;
	}
	flush_start(&keep->flush, false, keep_flushed);
}

void keep_step(struct keep *keep)
{
	while (!keep->error.code && !keep->reading && keep->sequence < keep->generation->sequence) {
		if (!keep->record)
			record_fetch(keep);
		else if (!record_scan(keep))
			break;
	}
	if (keep->in_flight || keep->reading || keep->flushing || keep->waiter.queued)
		return;
	if (keep->error.code)
		keep_end(keep);
	else if (keep->sequence == keep->generation->sequence)
		keep_flush(keep);
}

static void buffer_ready(struct pool_waiter *waiter)
{
	keep_step(member_of(waiter, struct keep, waiter));
}

static bool keep_records(const struct keep *keep, const struct generation *generation)
{
	return keep->clone || (keep->target.id && keep->target.generation < generation->number);
}

static void names_flushed(struct ring_op *op, int result)
{
	struct keep *keep = member_of(op, struct keep, op);

	if (result < 0)
		keep_fail(keep, result, "flushing the list of points failed");
	else
		keep->names_unsure = false;
	/* Without a point to keep for that was all. */
	if (!keep_records(keep, keep->generation))
		keep->sequence = keep->generation->sequence;
	keep_step(keep);
}

bool keep_needed(const struct keep *keep, const struct generation *generation)
{
	return keep->names_unsure || keep_records(keep, generation);
}

static void keep_begin(struct ring_op *op, int result)
{
	keep_step(member_of(op, struct keep, op));
}

void keep_start(struct keep *keep, struct generation *generation,
		void (*done)(void *arg, int status, const struct errinfo *error), void *arg)
{
	assert(!keep->generation);
	keep->generation = generation;
	keep->kept = generation->kept;
	keep->record = NULL;
	keep->sequence = 0;
	keep->offset = RECORD_PAGE;
	keep->run = 0;
	keep->position = 0;
	keep->point_failed = keep->head_failed = false;
	keep->done = done;
	keep->arg = arg;
	keep->start_ns = ring_now_ns();
	err_clear(&keep->error);
	if (keep->names_unsure) {
		keep->op.done = names_flushed;
		ring_sync(keep->journal->ring, &keep->op, keep->names_fd);
	} else {
		keep->op.done = keep_begin;
		ring_timer(keep->journal->ring, &keep->op, 0);
	}
}

void keep_target_set(struct keep *keep, struct keep_files *files)
{
	assert(!keep->generation);
	keep_files_close(&keep->target);
	if (files) {
		keep->target = *files;
		files->id = 0;
	}
}

int keep_init(struct keep *keep, struct journal *journal, struct heads *heads, struct errinfo *err)
{
	memset(keep, 0, sizeof(*keep));
	keep->journal = journal;
	keep->heads = heads;
	keep->unsure = true;
	keep->waiter.ready = buffer_ready;
	for (unsigned i = 0; i < KEEP_OPS; i++)
		keep->ops[i].keep = keep;
	keep->page = aligned_alloc(RECORD_PAGE, RECORD_PAGE);
	return keep->page ? 0 : err_set(err, -ENOMEM, "no memory for a page of the journal");
}

void keep_release(struct keep *keep)
{
	free(keep->page);
	keep->page = NULL;
}
