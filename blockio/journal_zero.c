/* SPDX-License-Identifier: Apache-2.0
 *
 * Zero records: runs are collected in a page until it is full, overlapped by
 * data that came later, or the generation ends.
 */
#include <assert.h>
#include <string.h>

#include "member.h"
#include "file.h"
#include "journal_private.h"

void zeros_drop(struct generation *generation)
{
	struct journal *journal = generation->journal;

	if (!generation->zeros)
		return;
	journal->free_pages[journal->free_page_count++] = generation->zeros;
	generation->zeros = NULL;
}

static void zeros_written(struct ring_op *op, int result)
{
	struct journal_write *write = member_of(op, struct journal_write, op);
	struct journal *journal = write->generation->journal;

	if (result < 0)
		generation_fail(write->generation, result, "writing zeros");
	journal->free_pages[journal->free_page_count++] = write->zeros;
	journal_write_done(write);
}

/* The last free page is never in flight: when the disk falls that far behind,
 * the write is waited for here, since zeros have no buffer to wait in. */
static void zeros_write_now(struct generation *generation, uint64_t offset)
{
	struct journal *journal = generation->journal;
	int status = file_write(journal->fd[generation->area], generation->zeros, RECORD_PAGE,
				offset);

	if (status < 0)
		generation_fail(generation, status, "writing zeros");
	zeros_drop(generation);
}

void zeros_flush(struct generation *generation)
{
	struct journal *journal = generation->journal;
	struct journal_write *write = journal->free_writes;
	uint64_t offset;

	if (!generation->zeros)
		return;
	generation->zeros->sequence = generation->sequence;
	offset = generation_append(generation, generation->zeros);
	if (!write || !journal->free_page_count) {
		zeros_write_now(generation, offset);
		return;
	}
	journal->free_writes = write->next;
	write->generation = generation;
	write->buf = NULL;
	write->zeros = generation->zeros;
	write->op.done = zeros_written;
	generation->zeros = NULL;
	generation->in_flight++;
	ring_write(journal->ring, &write->op, journal->fd[generation->area], write->zeros,
		   RECORD_PAGE, offset);
	area_grow(generation);
}

/* Take neighbours of RUN out of the page and into RUN.  Reads complete out of
 * order, so they are looked for a little way back. */
static void zeros_merge(struct record *page, struct record_run *run)
{
	uint32_t first = page->count > JOURNAL_MERGE_RUNS ? page->count - JOURNAL_MERGE_RUNS : 0;

	for (uint32_t i = page->count; i-- > first;) {
		struct record_run *other = &page->runs[i];

		if (other->disk != run->disk || (other->block + other->count != run->block &&
						 run->block + run->count != other->block))
			continue;
		if (other->block < run->block)
			run->block = other->block;
		run->count += other->count;
		*other = page->runs[--page->count];
		i = page->count; /* the larger run may touch one seen before */
	}
}

bool zeros_overlap(const struct generation *generation, unsigned disk, uint64_t block,
		   uint64_t count)
{
	const struct record *page = generation->zeros;

	for (uint32_t i = 0; page && i < page->count; i++) {
		const struct record_run *run = &page->runs[i];

		if (run->disk == disk && run->block < block + count &&
		    block < run->block + run->count)
			return true;
	}
	return false;
}

int journal_zero(struct generation *generation, unsigned disk, uint64_t offset, uint64_t length,
		 struct errinfo *err)
{
	struct journal *journal = generation->journal;
	const struct record_shape *shape = journal->shape;
	struct record_run run = {.disk = disk, .block = offset / shape->block_bytes,
				 .count = (length + shape->block_bytes - 1) / shape->block_bytes};

	assert(generation->state == GENERATION_RECEIVING && disk < shape->disk_count);
	assert(offset % shape->block_bytes == 0 && run.count > 0);
	assert(run.block + run.count <= record_disk_blocks(shape, disk));
	if (generation->error.code)
		return err_set(err, generation->error.code, "%s", generation->error.text);
	if (generation->zeros)
		zeros_merge(generation->zeros, &run);
	if (generation->zeros && generation->zeros->count == RECORD_RUNS_MAX)
		zeros_flush(generation);
	if (!generation->zeros) {
		generation->zeros = journal->free_pages[--journal->free_page_count];
		record_init(generation->zeros, shape, RECORD_ZERO, generation->number,
			    generation->attempt, 0);
	}
	generation->zeros->runs[generation->zeros->count++] = run;
	return 0;
}
