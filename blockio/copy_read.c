/* SPDX-License-Identifier: Apache-2.0
 *
 * The reads: each fills one buffer from one run, sums its blocks and hands it to
 * the sink.  A read that fails is done again block by block, to lose no more
 * than what is really unreadable.
 */
#include <errno.h>
#include <string.h>

#include "copy_private.h"
#include "sum.h"

/* In one call to a sink, which may have to look at the sums of all of them. */
#define ZEROS_BYTES (UINT64_C(4) << 30)

static void sink_failed(struct copy *copy, int code, uint64_t offset)
{
	err_set(&copy->error, code, "cannot store disk %u at %llu: %s", copy->disk,
		(unsigned long long)offset, strerror(-code));
}

void copy_zeros_flush(struct copy *copy)
{
	struct copy_run run = copy->zeros;
	int ret;

	copy->zeros.length = 0;
	if (!run.length || copy->error.code)
		return;
	ret = copy->sink->zero(copy->sink, copy->disk, run.offset, run.length, &copy->error);
	if (ret) {
		sink_failed(copy, ret, run.offset);
		return;
	}
	copy->progress.bytes += run.length;
}

/* Neighbours become one call, which costs the journal one record. */
void copy_zeros_found(struct copy *copy, uint64_t offset, uint64_t length)
{
	if (!copy_hands_zeros(copy->want) || !length)
		return;
	if (copy->zeros.length && copy->zeros.offset + copy->zeros.length != offset)
		copy_zeros_flush(copy);
	if (!copy->zeros.length)
		copy->zeros.offset = offset;
	copy->zeros.length += length;
	if (copy->zeros.length >= ZEROS_BYTES)
		copy_zeros_flush(copy);
}

/* The sums of LENGTH bytes; gives the length without trailing zero blocks. */
static uint32_t sum_blocks(const struct copy *copy, struct buf *buf, uint64_t offset,
			   uint32_t length)
{
	uint32_t data_length = 0;

	for (uint32_t at = 0; at < length; at += copy->block_bytes) {
		uint32_t left = length - at;
		uint32_t bytes = left < copy->block_bytes ? left : copy->block_bytes;
		uint64_t sum = block_sum(buf->data + at, bytes, offset + at);

		buf->sums[at / copy->block_bytes] = sum;
		if (sum != SUM_ZERO)
			data_length = at + bytes;
	}
	return data_length;
}

static void deliver(struct copy *copy, struct buf *buf, uint64_t offset, uint32_t length)
{
	uint32_t data_length = 0;
	int ret;

	if (!copy->error.code)
		data_length = sum_blocks(copy, buf, offset, length);
	if (!data_length) {
		copy_zeros_found(copy, offset, length);
		pool_put(copy->pool, buf);
		return;
	}
	ret = copy->sink->data(copy->sink, copy->disk, offset, data_length, buf, &copy->error);
	if (ret) {
		sink_failed(copy, ret, offset);
		return;
	}
	copy->progress.bytes += data_length;
	copy->progress.data_bytes += data_length;
	copy_zeros_found(copy, offset + data_length, length - data_length);
}

static void read_failed(struct copy_read *read, uint64_t offset, uint32_t length, int status)
{
	err_set(&read->copy->error, status, "cannot read %u bytes of %s at %llu: %s", length,
		nbd_source_label(read->copy->source), (unsigned long long)offset,
		strerror(-status));
}

static void read_end(struct copy_read *read)
{
	struct buf *buf = read->buf;

	read->state = COPY_READ_IDLE;
	read->buf = NULL;
	if (buf)
		pool_put(read->copy->pool, buf);
}

static void read_done(void *arg, int status);

/* Ask for LENGTH bytes at FILLED in the buffer. */
static void read_ask(struct copy_read *read, uint32_t length)
{
	struct copy *copy = read->copy;
	int ret = nbd_source_read(copy->source, read->buf->data + read->filled, length,
				  read->offset + read->filled, read_done, read);

	if (!ret) {
		copy->reads_in_flight++;
		return;
	}
	read_failed(read, read->offset + read->filled, length, ret);
	read_end(read);
}

static uint32_t single_length(const struct copy_read *read)
{
	uint32_t left = read->length - read->filled;

	return left < read->copy->block_bytes ? left : read->copy->block_bytes;
}

/* Hand on what was read up to here and go on AFTER bytes behind it. */
static void single_deliver(struct copy_read *read, uint32_t after)
{
	struct buf *buf = read->buf;
	uint64_t offset = read->offset;
	uint32_t filled = read->filled;

	read->offset += filled + after;
	read->length -= filled + after;
	read->filled = 0;
	if (!filled)
		return;
	read->buf = NULL;
	deliver(read->copy, buf, offset, filled);
}

static void single_bad(struct copy_read *read, int status)
{
	struct copy *copy = read->copy;
	uint64_t offset = read->offset + read->filled;
	uint32_t length = single_length(read);
	int ret = copy->sink->bad(copy->sink, copy->disk, offset, length, status);

	if (ret) {
		read_failed(read, offset, length, status);
		copy->error.code = ret;
		return;
	}
	copy->progress.bad_bytes += length;
	single_deliver(read, length);
}

static void single_next(struct copy_read *read)
{
	if (read->copy->error.code || !read->length) {
		read_end(read);
	} else if (!read->buf) {
		read->state = COPY_READ_WAITING;
		read->copy->reads_waiting++;
	} else {
		read->state = COPY_READ_SINGLE;
		read_ask(read, single_length(read));
	}
}

static void single_done(struct copy_read *read, int status)
{
	if (status)
		single_bad(read, status);
	else
		read->filled += single_length(read);
	if (!read->copy->error.code && read->length && read->filled == read->length)
		single_deliver(read, 0);
	single_next(read);
}

/* Whether the server answers, but not for these bytes. */
static bool is_bad_block(const struct copy *copy, int status)
{
	return copy->sink->bad && status != -ENOTCONN && status != -ECANCELED &&
	       status != -ESHUTDOWN;
}

static void whole_done(struct copy_read *read, int status)
{
	struct buf *buf = read->buf;

	if (status && read->length <= read->copy->block_bytes) {
		single_done(read, status); /* it was a single one */
		return;
	}
	if (status) {
		single_next(read);
		return;
	}
	read->state = COPY_READ_IDLE;
	read->buf = NULL;
	deliver(read->copy, buf, read->offset, read->length);
}

static void read_done(void *arg, int status)
{
	struct copy_read *read = arg;
	struct copy *copy = read->copy;

	copy->reads_in_flight--;
	copy->busy = true;
	if (status && !is_bad_block(copy, status))
		read_failed(read, read->offset + read->filled, read->length - read->filled, status);
	if (copy->error.code)
		read_end(read);
	else if (read->state == COPY_READ_SINGLE)
		single_done(read, status);
	else
		whole_done(read, status);
	copy->busy = false;
	copy_pump(copy);
}

/* A buffer, or a place in the queue for one. */
static struct buf *buffer_get(struct copy *copy)
{
	struct buf *buf = pool_get(copy->pool);

	if (!buf)
		pool_wait(copy->pool, &copy->waiter);
	return buf;
}

static bool read_start(struct copy_read *read)
{
	struct copy *copy = read->copy;

	if (!copy->scan.run_count || (copy->limited && copy->granted <= 0))
		return false;
	read->buf = buffer_get(copy);
	if (!read->buf)
		return false;
	read->length = copy_scan_take(copy, copy->buffer_bytes, &read->offset);
	copy->granted -= copy->limited ? read->length : 0;
	read->filled = 0;
	read->state = COPY_READ_WHOLE;
	read_ask(read, read->length);
	return true;
}

static bool read_resume(struct copy_read *read)
{
	read->buf = buffer_get(read->copy);
	if (!read->buf)
		return false;
	read->copy->reads_waiting--;
	single_next(read);
	return true;
}

void copy_read_pump(struct copy *copy)
{
	for (unsigned i = 0; i < copy->depth && !copy->error.code; i++) {
		struct copy_read *read = &copy->reads[i];

		if (copy->scan.in_flight + copy->reads_in_flight == NBD_SOURCE_IN_FLIGHT)
			return;
		if (read->state == COPY_READ_WAITING) {
			if (!read_resume(read))
				return;
		} else if (read->state == COPY_READ_IDLE) {
			if (!read_start(read) && !copy->reads_waiting)
				return;
		}
	}
}
