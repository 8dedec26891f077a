/* SPDX-License-Identifier: Apache-2.0
 *
 * journal: see journal.h.  A data record leaves in one write, header page and
 * content together, straight from the buffer it arrived in.
 */
#include "journal.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "member.h"
#include "file.h"
#include "journal_private.h"

/* The page in front of a buffer's data is its record. */
static struct record *buf_record(struct buf *buf)
{
	return (struct record *)(void *)buf->header;
}

void generation_fail(struct generation *generation, int status, const char *what)
{
	char path[FILE_PATH_MAX];

	journal_path(generation->journal->dir, generation->area, path, sizeof(path));
	err_set(&generation->error, status,
		"%s: %s of generation %llu failed, %llu bytes into it: %s%s", path, what,
		(unsigned long long)generation->number, (unsigned long long)generation->end,
		strerror(-status),
		status == -ENOSPC ? "; make room on the file system of the replica" : "");
}

uint64_t generation_append(struct generation *generation, struct record *record)
{
	uint64_t offset = generation->end;

	record->place = offset;
	record_finish(record);
	generation->chain = record_chain(generation->chain, record);
	generation->sequence++;
	generation->end += record_length(record);
	return offset;
}

static void generation_reset(struct generation *generation)
{
	journal_forget(generation);
	zeros_drop(generation);
	assert(generation->in_flight == 0);
	generation->state = GENERATION_FREE;
	generation->aborting = false;
}

int journal_begin(struct journal *journal, uint64_t number, struct errinfo *err)
{
	struct generation *generation = &journal->generation[number & 1];
	int status;

	assert(generation->state == GENERATION_FREE);
	status = journal_certain(journal, err);
	if (status)
		return status;
	status = file_random(&generation->attempt, sizeof(generation->attempt));
	if (status)
		return err_set(err, status, "no random number from the kernel: %s",
			       strerror(-status));
	area_trim(journal, generation->area);
	generation->state = GENERATION_RECEIVING;
	generation->number = number;
	generation->sequence = 0;
	generation->end = RECORD_PAGE;
	generation->chain = generation->attempt;
	generation->bytes = 0;
	generation->keep = true;
	generation->grow_failed = false;
	err_clear(&generation->error);
	return 0;
}

/* --- data records --- */

/* Keep BUF for the apply, in order; or give up keeping when it gets too much. */
static void generation_keep(struct generation *generation, struct buf *buf)
{
	struct journal *journal = generation->journal;
	struct buf **link = &generation->kept;

	if (journal->kept >= journal->kept_max) {
		generation->keep = false;
		journal_forget(generation);
	}
	if (!generation->keep) {
		pool_put(journal->pool, buf);
		return;
	}
	while (*link && buf_record(*link)->sequence < buf_record(buf)->sequence)
		link = &(*link)->next;
	buf->next = *link;
	*link = buf;
	journal->kept++;
}

void journal_forget(struct generation *generation)
{
	struct journal *journal = generation->journal;

	while (generation->kept) {
		struct buf *buf = generation->kept;

		generation->kept = buf->next;
		journal->kept--;
		pool_put(journal->pool, buf);
	}
}

static void data_written(struct ring_op *op, int result)
{
	struct journal_write *write = member_of(op, struct journal_write, op);
	struct generation *generation = write->generation;

	if (result < 0) {
		generation_fail(generation, result, "writing data");
		generation->keep = false;
	}
	generation_keep(generation, write->buf);
	journal_write_done(write);
}

static void data_write(struct journal *journal, struct generation *generation, struct buf *buf)
{
	struct journal_write *write = journal->free_writes;
	uint32_t length = (uint32_t)record_length(buf_record(buf));

	journal->free_writes = write->next;
	write->generation = generation;
	write->buf = buf;
	write->op.done = data_written;
	ring_write(journal->ring, &write->op, journal->fd[generation->area], buf->header, length,
		   buf_record(buf)->place);
}

void journal_write_done(struct journal_write *write)
{
	struct generation *generation = write->generation;
	struct journal *journal = generation->journal;
	struct buf *buf = journal->waiting;

	write->next = journal->free_writes;
	journal->free_writes = write;
	if (buf) {
		journal->waiting = buf->next;
		if (!journal->waiting)
			journal->waiting_end = &journal->waiting;
		data_write(journal, &journal->generation[buf_record(buf)->generation & 1], buf);
	}
	generation_put(generation);
}

int journal_data(struct generation *generation, unsigned disk, uint64_t offset, uint32_t length,
		 struct buf *buf, struct errinfo *err)
{
	struct journal *journal = generation->journal;
	const struct record_shape *shape = journal->shape;
	struct record *record = buf_record(buf);
	const uint64_t block = offset / shape->block_bytes;
	const uint32_t count = (length + shape->block_bytes - 1) / shape->block_bytes;

	assert(generation->state == GENERATION_RECEIVING && disk < shape->disk_count);
	assert(offset % shape->block_bytes == 0 && count > 0 && count <= RECORD_SUMS_MAX);
	assert(length == record_blocks_bytes(shape, disk, block, count));
	if (generation->error.code) {
		pool_put(journal->pool, buf);
		return err_set(err, generation->error.code, "%s", generation->error.text);
	}
	if (zeros_overlap(generation, disk, block, count))
		zeros_flush(generation); /* what came later wins, on disk too */
	record_init(record, shape, RECORD_DATA, generation->number, generation->attempt,
		    generation->sequence);
	record->disk = disk;
	record->block = block;
	record->count = count;
	record->bytes = length;
	memcpy(record->sums, buf->sums, count * sizeof(record->sums[0]));
	memset(buf->data + length, 0, (size_t)(record_length(record) - RECORD_PAGE) - length);
	generation_append(generation, record);
	generation->bytes += length;
	generation->in_flight++;
	if (journal->free_writes) {
		data_write(journal, generation, buf);
	} else {
		buf->next = NULL;
		*journal->waiting_end = buf;
		journal->waiting_end = &buf->next;
	}
	area_grow(generation);
	return 0;
}

/* --- the end of a generation --- */

static void finish(struct generation *generation, int status)
{
	void (*done)(void *arg, int status, const struct errinfo *error) = generation->done;
	struct errinfo error = generation->error;

	if (status < 0 || generation->aborting) {
		generation_reset(generation);
		if (status == -ENOSPC)
			area_trim(generation->journal, generation->area);
	}
	generation->done = NULL;
	done(generation->arg, status, &error);
}

static void commit_erased(struct ring_op *op, int result)
{
	struct generation *generation = member_of(op, struct generation, op);

	generation->stale = result < 0;
	finish(generation, generation->error.code);
}

/* What failed may be whole on disk all the same: without its first record nothing is. */
static void commit_erase(struct generation *generation)
{
	struct journal *journal = generation->journal;

	memset(generation->page, 0, sizeof(*generation->page));
	generation->op.done = commit_erased;
	ring_write_flush(journal->ring, &generation->op, journal->fd[generation->area],
			 generation->page, RECORD_PAGE, RECORD_PAGE);
}

static void committed(struct ring_op *op, int result)
{
	struct generation *generation = member_of(op, struct generation, op);

	if (result < 0) {
		generation_fail(generation, result, "the commit");
		commit_erase(generation);
		return;
	}
	generation->state = GENERATION_COMMITTED;
	finish(generation, 0);
}

/* Everything is written: the record that makes a generation of it. */
static void commit_write(struct generation *generation)
{
	struct journal *journal = generation->journal;
	struct record *page = generation->page;

	record_init(page, journal->shape, RECORD_COMMIT, generation->number, generation->attempt,
		    generation->sequence);
	page->bytes = generation->bytes;
	page->chain = generation->chain;
	page->time_us = generation->time_us;
	page->place = generation->end;
	record_finish(page);
	generation->op.done = committed;
	ring_write_flush(journal->ring, &generation->op, journal->fd[generation->area], page,
			 RECORD_PAGE, generation->end);
}

static void finish_later(struct ring_op *op, int result)
{
	struct generation *generation = member_of(op, struct generation, op);

	finish(generation, generation->aborting ? 0 : generation->error.code);
}

static void generation_progress(struct generation *generation)
{
	if (generation->in_flight || !generation->done)
		return;
	if (!generation->aborting && !generation->error.code) {
		commit_write(generation);
		return;
	}
	generation->op.done = finish_later;
	ring_timer(generation->journal->ring, &generation->op, 0);
}

void generation_put(struct generation *generation)
{
	generation->in_flight--;
	generation_progress(generation);
}

void journal_commit(struct generation *generation, int64_t time_us,
		    void (*done)(void *arg, int status, const struct errinfo *error), void *arg)
{
	assert(generation->state == GENERATION_RECEIVING);
	zeros_flush(generation);
	generation->state = GENERATION_COMMITTING;
	generation->time_us = time_us;
	generation->done = done;
	generation->arg = arg;
	generation_progress(generation);
}

void journal_abort(struct generation *generation,
		   void (*done)(void *arg, int status, const struct errinfo *error), void *arg)
{
	assert(generation->state == GENERATION_RECEIVING);
	generation->state = GENERATION_COMMITTING;
	generation->aborting = true;
	generation->done = done;
	generation->arg = arg;
	generation_progress(generation);
}

/* --- after the commit --- */

static void sealed(struct ring_op *op, int result)
{
	struct generation *generation = member_of(op, struct generation, op);
	void (*done)(void *arg, int status, const struct errinfo *error) = generation->done;
	struct errinfo error;

	err_clear(&generation->error);
	if (result < 0)
		generation_fail(generation, result, "the seal");
	else
		generation->state = GENERATION_SEALED;
	error = generation->error;
	generation->done = NULL;
	done(generation->arg, result < 0 ? result : 0, &error);
}

void journal_seal(struct generation *generation,
		  void (*done)(void *arg, int status, const struct errinfo *error), void *arg)
{
	struct journal *journal = generation->journal;
	struct record *page = generation->page;

	assert(generation->state == GENERATION_COMMITTED && !generation->done);
	record_init(page, journal->shape, RECORD_SEAL, generation->number, generation->attempt,
		    generation->sequence);
	page->bytes = generation->bytes;
	page->time_us = generation->time_us;
	record_finish(page);
	generation->done = done;
	generation->arg = arg;
	generation->op.done = sealed;
	ring_write_flush(journal->ring, &generation->op, journal->fd[generation->area], page,
			 RECORD_PAGE, 0);
}

void journal_release(struct generation *generation)
{
	assert(generation->state == GENERATION_SEALED ||
	       generation->state == GENERATION_COMMITTED);
	generation_reset(generation);
}

void journal_revoke(struct generation *generation)
{
	journal_release(generation);
	generation->stale = true;
}

struct generation *journal_adopt(struct journal *journal, unsigned area,
				 const struct journal_found *found)
{
	struct generation *generation = &journal->generation[area];

	generation->state = found->sealed ? GENERATION_SEALED : GENERATION_COMMITTED;
	generation->number = found->generation;
	generation->attempt = found->attempt;
	generation->sequence = found->records;
	generation->end = found->end;
	generation->bytes = found->bytes;
	generation->time_us = found->time_us;
	return generation;
}
