/* SPDX-License-Identifier: Apache-2.0
 *
 * apply: see apply.h.
 *
 * Records are placed in their order.  Two writes in flight never touch the same
 * block: a later one waits for an earlier one that it overlaps.  So the last one
 * put wins, as it would have on the disk.
 */
#include "apply.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "member.h"
#include "file.h"

static void apply_step(struct apply *apply);

static struct record *buf_record(struct buf *buf)
{
	return (struct record *)(void *)buf->header;
}

static void apply_fail(struct apply *apply, int status, const char *what)
{
	char path[FILE_PATH_MAX];

	journal_path(apply->journal->dir, apply->generation->area, path, sizeof(path));
	err_set(&apply->error, status, "%s: record %llu of generation %llu at offset %llu: %s",
		path, (unsigned long long)apply->sequence,
		(unsigned long long)apply->generation->number, (unsigned long long)apply->offset,
		what);
}

/* --- getting the next record into apply->current --- */

static bool record_expected(const struct apply *apply, const struct record *record)
{
	const struct generation *generation = apply->generation;

	return record_valid(record, apply->journal->shape) &&
	       (record->type == RECORD_DATA || record->type == RECORD_ZERO) &&
	       record->generation == generation->number &&
	       record->attempt == generation->attempt && record->sequence == apply->sequence &&
	       record->place == apply->offset;
}

static struct apply_read *read_at(struct apply *apply, unsigned index)
{
	return &apply->reads[(apply->read_first + index) % APPLY_READS];
}

static void read_pop(struct apply *apply)
{
	apply->read_first = (apply->read_first + 1) % APPLY_READS;
	apply->read_count--;
}

static void read_arrived(struct ring_op *op, int result)
{
	struct apply_read *read = member_of(op, struct apply_read, op);

	read->busy = false;
	if (result > 0)
		read->have += (uint32_t)result;
	else
		read->status = result < 0 ? result : -EUCLEAN; /* the file ends before it */
	apply_step(read->apply);
}

static void read_start(struct apply_read *read, uint32_t length)
{
	struct apply *apply = read->apply;

	read->busy = true;
	read->status = 0;
	read->length = length;
	read->op.done = read_arrived;
	ring_read(apply->journal->ring, &read->op, apply->journal->fd[apply->generation->area],
		  read->buf->header + read->have, length - read->have, read->offset + read->have);
}

/* Read ahead.  Where a record begins is only known when the one before it is
 * there, so equal lengths are assumed until it turns out otherwise. */
static void reads_ahead(struct apply *apply)
{
	struct generation *generation = apply->generation;
	uint32_t guess = generation->kept ? RECORD_PAGE : apply->guess; /* of zeros, then */
	uint64_t offset = apply->offset;

	if (apply->read_count) {
		const struct apply_read *last = read_at(apply, apply->read_count - 1);

		offset = last->offset + last->length;
	}
	while (apply->read_count < apply->read_depth && offset < generation->end) {
		struct apply_read *read = read_at(apply, apply->read_count);

		read->buf = pool_get(apply->journal->pool);
		if (!read->buf) {
			if (!apply->read_count)
				pool_wait(apply->journal->pool, &apply->waiter);
			return;
		}
		read->offset = offset;
		read->have = 0;
		apply->read_count++;
		if (guess > generation->end - offset)
			guess = (uint32_t)(generation->end - offset);
		read_start(read, guess);
		offset += guess;
	}
}

static void read_take(struct apply *apply, struct apply_read *read, uint32_t length)
{
	apply->current = read->buf;
	read_pop(apply);
	if (length == read->length) {
		if (apply->read_depth < APPLY_READS)
			apply->read_depth++;
	} else {
		apply->read_depth = 1;
	}
	apply->guess = length;
}

/* The first read is where the record must be: take it, or ask for the rest. */
static void read_judge(struct apply *apply, struct apply_read *read)
{
	struct record *record = buf_record(read->buf);
	uint64_t length;

	if (read->status < 0) {
		apply_fail(apply, read->status, strerror(-read->status));
		return;
	}
	if (read->have < RECORD_PAGE || !record_expected(apply, record)) {
		apply_fail(apply, -EUCLEAN, "it is damaged; protect into a new store");
		return;
	}
	length = record_length(record);
	if (length > RECORD_PAGE + pool_buffer_bytes(apply->journal->pool))
		apply_fail(apply, -EFBIG, "it is larger than the buffers of this version");
	else if (read->have < length)
		read_start(read, (uint32_t)length);
	else
		read_take(apply, read, (uint32_t)length);
}

static void buffer_ready(struct pool_waiter *waiter)
{
	apply_step(member_of(waiter, struct apply, waiter));
}

/* The first kept buffer, if it is the record wanted; else what was read. */
static void record_fetch(struct apply *apply)
{
	struct generation *generation = apply->generation;
	struct buf *buf = generation->kept;

	if (buf && buf_record(buf)->sequence == apply->sequence) {
		generation->kept = buf->next;
		apply->journal->kept--;
		apply->current = buf;
		return;
	}
	while (apply->read_count) {
		struct apply_read *read = read_at(apply, 0);

		if (read->busy)
			break;
		if (read->offset == apply->offset) {
			read_judge(apply, read);
			break;
		}
		read_pop(apply); /* guessed wrong */
		pool_put(apply->journal->pool, read->buf);
	}
	if (!apply->error.code && !apply->waiter.queued)
		reads_ahead(apply);
}

static bool reads_busy(struct apply *apply)
{
	for (unsigned i = 0; i < apply->read_count; i++)
		if (read_at(apply, i)->busy)
			return true;
	return false;
}

/* --- placing it --- */

static void apply_written(struct head_write *head, int status)
{
	struct apply_write *write = member_of(head, struct apply_write, head);
	struct apply *apply = write->apply;

	if (status < 0)
		err_set(&apply->error, status, "%s", head->error.text);
	if (write->buf)
		pool_put(apply->journal->pool, write->buf);
	write->buf = NULL;
	write->busy = false;
	apply->in_flight--;
	apply_step(apply);
}

/* A free write, or NULL when none is or an earlier one is on the same blocks. */
static struct apply_write *write_get(struct apply *apply, unsigned disk, uint64_t block,
				     uint64_t count)
{
	struct apply_write *found = NULL;

	for (unsigned i = 0; i < APPLY_WRITES; i++) {
		struct apply_write *write = &apply->writes[i];

		if (!write->busy)
			found = write;
		else if (write->head.disk == disk && write->head.block < block + count &&
			 block < write->head.block + write->head.count)
			return NULL;
	}
	return found;
}

static void write_start(struct apply *apply, struct apply_write *write, unsigned disk,
			uint64_t block, uint64_t count)
{
	write->busy = true;
	write->head.disk = disk;
	write->head.block = block;
	write->head.count = count;
	apply->in_flight++;
	head_write_start(&write->head);
}

static void record_placed(struct apply *apply)
{
	apply->offset += record_length(buf_record(apply->current));
	apply->sequence++;
	apply->run = 0;
	apply->current = NULL;
}

static bool place_data(struct apply *apply)
{
	struct record *record = buf_record(apply->current);
	struct apply_write *write =
		write_get(apply, record->disk, record->block, record->count);
	struct buf *buf = apply->current;

	if (!write)
		return false;
	if (record_bad_block(record, apply->journal->shape, buf->data) >= 0) {
		apply_fail(apply, -EUCLEAN,
			   "a block differs from its checksum; protect into a new store");
		return false;
	}
	write->buf = buf;
	write->head.data = buf->data;
	write->head.sums = record->sums;
	record_placed(apply);
	write_start(apply, write, record->disk, record->block, record->count);
	return true;
}

static bool place_zeros(struct apply *apply)
{
	struct record *record = buf_record(apply->current);
	const struct record_run *run = &record->runs[apply->run];
	struct apply_write *write;

	if (apply->run == record->count) {
		struct buf *buf = apply->current;

		record_placed(apply);
		pool_put(apply->journal->pool, buf);
		return true;
	}
	write = write_get(apply, run->disk, run->block, run->count);
	if (!write)
		return false;
	write->head.data = NULL;
	write->head.sums = NULL;
	apply->run++;
	write_start(apply, write, run->disk, run->block, run->count);
	return true;
}

/* --- the whole --- */

/* Buffers held, in flight or not, go back before anybody hears of the end. */
static void apply_end(struct apply *apply)
{
	struct errinfo error = apply->error;

	if (apply->waiter.queued)
		pool_unwait(apply->journal->pool, &apply->waiter);
	if (apply->current)
		pool_put(apply->journal->pool, apply->current);
	apply->current = NULL;
	while (apply->read_count) {
		struct buf *buf = read_at(apply, 0)->buf;

		read_pop(apply);
		pool_put(apply->journal->pool, buf);
	}
	if (error.code)
		journal_forget(apply->generation);
	else
		journal_release(apply->generation);
	apply->generation = NULL;
	apply->done(apply, error.code, &error);
}

static void apply_flushed(void *arg, int status, const struct errinfo *error)
{
	struct apply *apply = arg;

	if (status < 0)
		err_set(&apply->error, status, "%s", error->text);
	apply_end(apply);
}

static void apply_step(struct apply *apply)
{
	bool going = true;

	while (going && !apply->error.code && apply->sequence < apply->generation->sequence) {
		if (!apply->current)
			record_fetch(apply);
		if (!apply->current)
			break;
		going = buf_record(apply->current)->type == RECORD_DATA ? place_data(apply)
									: place_zeros(apply);
	}
	if (apply->in_flight || apply->flushing || reads_busy(apply))
		return;
	if (apply->error.code) {
		apply_end(apply);
	} else if (apply->sequence == apply->generation->sequence) {
		apply->flushing = true;
		heads_flush(apply->heads, apply_flushed, apply);
	}
}

static void apply_sealed(void *arg, int status, const struct errinfo *error)
{
	struct apply *apply = arg;

	if (status < 0) {
		err_set(&apply->error, status, "%s", error->text);
		apply_end(apply);
		return;
	}
	apply_step(apply);
}

static void apply_kept(void *arg, int status, const struct errinfo *error)
{
	struct apply *apply = arg;

	if (status < 0) {
		err_set(&apply->error, status, "%s", error->text);
		apply_end(apply);
		return;
	}
	journal_seal(apply->generation, apply_sealed, apply);
}

void apply_init(struct apply *apply, struct journal *journal, struct heads *heads,
		struct keep *keep,
		void (*done)(struct apply *apply, int status, const struct errinfo *error))
{
	memset(apply, 0, sizeof(*apply));
	apply->journal = journal;
	apply->heads = heads;
	apply->keep = keep;
	apply->done = done;
	apply->waiter.ready = buffer_ready;
	for (unsigned i = 0; i < APPLY_READS; i++)
		apply->reads[i].apply = apply;
	for (unsigned i = 0; i < APPLY_WRITES; i++) {
		apply->writes[i].apply = apply;
		apply->writes[i].head.heads = heads;
		apply->writes[i].head.done = apply_written;
	}
}

static void apply_now(struct ring_op *op, int result)
{
	apply_step(member_of(op, struct apply, now));
}

void apply_start(struct apply *apply, struct generation *generation)
{
	assert(!apply->generation);
	apply->generation = generation;
	apply->sequence = 0;
	apply->offset = RECORD_PAGE;
	apply->run = 0;
	apply->read_depth = 1;
	apply->guess = RECORD_PAGE + pool_buffer_bytes(apply->journal->pool);
	apply->flushing = false;
	err_clear(&apply->error);
	if (generation->state == GENERATION_COMMITTED && keep_needed(apply->keep, generation)) {
		keep_start(apply->keep, generation, apply_kept, apply);
		return;
	}
	if (generation->state == GENERATION_COMMITTED) {
		journal_seal(generation, apply_sealed, apply);
		return;
	}
	apply->now.done = apply_now;
	ring_timer(apply->journal->ring, &apply->now, 0);
}
