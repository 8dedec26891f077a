/* SPDX-License-Identifier: Apache-2.0
 *
 * The first copy: blocks go straight to the heads, past the journal.  Nothing in
 * them counts until store_fill_end(): a store found FILLING is emptied.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "member.h"
#include "store_private.h"

/* What a buffer waiting for a fill_write is, kept in its header page. */
struct fill_place {
	uint64_t block;
	uint32_t count;
	uint32_t disk;
};

static void fill_written(struct head_write *head, int status);

static int state_change(struct store *store, enum store_state state, struct errinfo *err)
{
	enum store_state before = store->json.state;
	int status;

	store->json.state = state;
	status = store_json_update(store, err);
	if (status)
		store->json.state = before;
	store->info.state = store->json.state;
	return status;
}

int store_fill_begin(struct store *store, struct errinfo *err)
{
	struct store_mark before[STORE_DISKS_MAX];
	/* FILLED: nothing covers what the guest wrote since, so the copy is worthless. */
	bool again = store->info.state == STORE_FILLING || store->info.state == STORE_FILLED;
	int status;

	if (store->info.state != STORE_EMPTY && !again)
		return err_set(err, -EINVAL, "%s: the first copy was made already", store->dir);
	if (store->open)
		return err_set(err, -EBUSY, "%s: a generation is being received", store->dir);
	assert(store->fill.in_flight == 0);
	memcpy(before, store->json.marks, sizeof(before));
	memset(store->json.marks, 0, sizeof(before)); /* all disks begin anew, whatever they were */
	status = state_change(store, STORE_FILLING, err);
	if (status)
		memcpy(store->json.marks, before, sizeof(before));
	if (!status && again)
		status = journal_erase(&store->journal, err);
	if (!status && again)
		status = heads_empty(&store->heads, HEADS_ALL, err);
	if (!status)
		err_clear(&store->fill.error);
	return status;
}

static void fill_write_start(struct store *store, struct buf *buf)
{
	const struct fill_place *place = (const struct fill_place *)(const void *)buf->header;
	struct fill_write *write = store->fill.free;

	store->fill.free = write->next;
	write->buf = buf;
	write->head.disk = place->disk;
	write->head.block = place->block;
	write->head.count = place->count;
	write->head.data = buf->data;
	write->head.sums = buf->sums;
	head_write_start(&write->head);
}

static int fill_data(struct copy_sink *sink, unsigned disk, uint64_t offset, uint32_t length,
		     struct buf *buf, struct errinfo *err)
{
	struct store *store = member_of(sink, struct store, fill_sink);
	struct fill *fill = &store->fill;
	const uint32_t block_bytes = store->shape.block_bytes;
	struct fill_place *place = (struct fill_place *)(void *)buf->header;

	assert(disk < store->shape.disk_count);
	assert(store->info.state == STORE_FILLING || store_fresh(store) >> disk & 1);
	assert(offset % block_bytes == 0 && length > 0);
	if (fill->error.code) {
		pool_put(store->pool, buf);
		return err_set(err, fill->error.code, "%s", fill->error.text);
	}
	place->disk = disk;
	place->block = offset / block_bytes;
	place->count = (length + block_bytes - 1) / block_bytes;
	fill->in_flight++;
	if (fill->free) {
		fill_write_start(store, buf);
		return 0;
	}
	buf->next = NULL;
	*fill->waiting_end = buf;
	fill->waiting_end = &buf->next;
	return 0;
}

/* The heads were all holes when the copy began. */
static int fill_zero(struct copy_sink *sink, unsigned disk, uint64_t offset, uint64_t length,
		     struct errinfo *err)
{
	return 0;
}

void store_fill_init(struct store *store)
{
	struct fill *fill = &store->fill;

	store->fill_sink.data = fill_data;
	store->fill_sink.zero = fill_zero;
	fill->waiting_end = &fill->waiting;
	for (unsigned i = 0; i < FILL_WRITES; i++) {
		struct fill_write *write = &fill->writes[i];

		write->store = store;
		write->head.heads = &store->heads;
		write->head.done = fill_written;
		write->next = fill->free;
		fill->free = write;
	}
}

struct copy_sink *store_fill_sink(struct store *store)
{
	return &store->fill_sink;
}

static void fill_flushed(void *arg, int status, const struct errinfo *error)
{
	struct store *store = arg;
	struct fill *fill = &store->fill;
	store_done *done = fill->done;

	if (status < 0)
		err_set(&fill->error, status, "%s", error->text);
	if (!fill->error.code && store->info.state == STORE_FILLING)
		state_change(store, STORE_FILLED, &fill->error);
	store->fresh_filled = !fill->error.code;
	fill->done = NULL;
	done(fill->arg, fill->error.code, &fill->error);
}

/* A failed write is reported after the flush of the rest: it is the rarer case,
 * and one path to done() is enough. */
static void fill_progress(struct store *store)
{
	if (store->fill.done && !store->fill.in_flight)
		heads_flush(&store->heads, fill_flushed, store);
}

static void fill_written(struct head_write *head, int status)
{
	struct fill_write *write = member_of(head, struct fill_write, head);
	struct store *store = write->store;
	struct fill *fill = &store->fill;
	struct buf *buf = fill->waiting;
	struct buf *written = write->buf;

	if (status < 0)
		err_set(&fill->error, status, "%s", head->error.text);
	write->next = fill->free;
	fill->free = write;
	if (buf) {
		fill->waiting = buf->next;
		if (!fill->waiting)
			fill->waiting_end = &fill->waiting;
		fill_write_start(store, buf);
	}
	pool_put(store->pool, written);
	fill->in_flight--;
	fill_progress(store);
}

void store_fill_end(struct store *store, store_done *done, void *arg)
{
	assert(store->info.state == STORE_FILLING && !store->fill.done);
	store->fill.done = done;
	store->fill.arg = arg;
	fill_progress(store);
}

void store_fill_abort(struct store *store, store_done *done, void *arg)
{
	err_set(&store->fill.error, -ECANCELED, "the first copy was given up");
	store_fill_end(store, done, arg);
}

/* --- disks that were added --- */

uint64_t store_fresh(const struct store *store)
{
	uint64_t fresh = 0;

	if (store->info.state != STORE_READY)
		return 0;
	for (unsigned i = 0; i < store->json.spec.disk_count; i++)
		if (store->json.marks[i].from > store->info.generation &&
		    !store->json.marks[i].grown_from)
			fresh |= UINT64_C(1) << i;
	return fresh;
}

int store_fresh_begin(struct store *store, struct errinfo *err)
{
	int status = store->json_unsure ? store_json_update(store, err) : 0;

	assert(store->fill.in_flight == 0);
	if (!status)
		status = journal_certain(&store->journal, err);
	if (status)
		return status; /* it would make a generation of half-filled heads */
	store->fresh_filled = false;
	err_clear(&store->fill.error);
	return heads_empty(&store->heads, store_fresh(store), err);
}

void store_fresh_end(struct store *store, store_done *done, void *arg)
{
	assert(!store->fill.done);
	store->fill.done = done;
	store->fill.arg = arg;
	fill_progress(store);
}
