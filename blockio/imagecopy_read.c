/* SPDX-License-Identifier: Apache-2.0
 *
 * The reads: each fills one buffer with neighbouring blocks that are not zeros,
 * checks them against their sums and hands them to the sink.  A block that is
 * not what it should be is looked for and read once more, alone: it may have
 * moved since, or the disk may have recovered.
 */
#include <errno.h>
#include <string.h>

#include "image_private.h"
#include "member.h"
#include "sum.h"

/* --- the blocks to read --- */

/* The sums at copy->next; false when they cannot be had. */
static bool window_load(struct imagecopy *copy)
{
	uint64_t left = copy->range.end - copy->next;
	uint32_t count = left < IMAGECOPY_WINDOW ? (uint32_t)left : IMAGECOPY_WINDOW;

	if (copy->window_count && copy->next < copy->window + copy->window_count)
		return true;
	copy->window = copy->next;
	copy->window_count = 0;
	if (image_sums(copy->image, copy->window, count, copy->sums, &copy->error) ||
	    image_doubts(copy->image, copy->window, count, copy->sums, copy->doubts, &copy->error))
		return false;
	copy->window_count = count;
	return true;
}

static void scanned(struct imagecopy *copy, uint64_t block)
{
	copy->next = block;
	copy->progress.scanned =
	    image_blocks_bytes(copy->image, copy->range.first, block - copy->range.first);
}

static bool is_doubted(const struct imagecopy *copy, uint32_t at)
{
	return copy->doubts[at / 8] >> at % 8 & 1;
}

/* Block AT of the window has to be read.  One in doubt also if nobody wants it: a target
 * that has zeros there would keep them. */
static bool is_wanted(const struct imagecopy *copy, uint32_t at)
{
	uint64_t bit = copy->window + at - copy->range.first;

	if (copy->sums[at] == SUM_ZERO)
		return is_doubted(copy, at);
	return !copy->range.wanted || copy->range.wanted[bit / 8] >> bit % 8 & 1;
}

/* Go to the next block to read; false: there is none, or an error. */
static bool data_find(struct imagecopy *copy)
{
	while (copy->next < copy->range.end && window_load(copy)) {
		uint32_t at = (uint32_t)(copy->next - copy->window);

		while (at < copy->window_count && !is_wanted(copy, at))
			at++;
		scanned(copy, copy->window + at);
		if (at < copy->window_count)
			return true;
	}
	return false;
}

/* At most MAX blocks from copy->next on, their sums to SUMS; all in doubt, or none. */
static uint32_t data_take(struct imagecopy *copy, uint32_t max, uint64_t *sums, bool *doubt)
{
	uint32_t at = (uint32_t)(copy->next - copy->window), count = 0;

	*doubt = is_doubted(copy, at);
	while (count < max && at < copy->window_count && is_wanted(copy, at) &&
	       is_doubted(copy, at) == *doubt)
		sums[count++] = copy->sums[at++];
	scanned(copy, copy->next + count);
	return count;
}

/* --- one read --- */

static void read_end(struct imagecopy_read *read)
{
	struct buf *buf = read->buf;

	read->state = IMAGECOPY_IDLE;
	read->buf = NULL;
	if (buf)
		pool_put(read->copy->pool, buf);
}

static void read_deliver(struct imagecopy_read *read)
{
	struct imagecopy *copy = read->copy;
	struct buf *buf = read->buf;
	uint64_t offset = read->block * copy->image->block_bytes;
	uint32_t length = (uint32_t)image_blocks_bytes(copy->image, read->block, read->count);
	int ret;

	read->state = IMAGECOPY_IDLE;
	read->buf = NULL;
	ret = copy->sink->data(copy->sink, copy->disk, offset, length, buf, &copy->error);
	if (ret)
		err_set(&copy->error, ret, "cannot store %u bytes of %s at %llu: %s", length,
			copy->image->label, (unsigned long long)offset, strerror(-ret));
	else
		copy->progress.data_bytes += length;
}

static uint8_t *block_data(const struct imagecopy_read *read)
{
	return read->buf->data + (size_t)read->at * read->copy->image->block_bytes;
}

static uint32_t block_length(const struct imagecopy_read *read)
{
	return (uint32_t)image_blocks_bytes(read->copy->image, read->block + read->at, 1);
}

static bool block_good(const struct imagecopy_read *read)
{
	uint64_t offset = (read->block + read->at) * read->copy->image->block_bytes;

	if (read->doubt)
		return read->buf->sums[read->at] == SUM_ZERO &&
		       block_is_zero(block_data(read), block_length(read));
	/* As a kept point codes them, which has one code for two sums. */
	return keep_entry(block_sum(block_data(read), block_length(read), offset)) ==
	       keep_entry(read->buf->sums[read->at]);
}

/* Sum and content of the block, from where they are now. */
static void block_again(struct imagecopy_read *read)
{
	struct imagecopy *copy = read->copy;

	if (image_sums(copy->image, read->block + read->at, 1, &read->buf->sums[read->at],
		       &copy->error))
		return;
	read->state = IMAGECOPY_AGAIN;
	copy->in_flight++;
	image_read_start(copy->image, &read->read, read->block + read->at, 1, block_data(read));
}

static void block_bad(struct imagecopy_read *read, int status)
{
	struct imagecopy *copy = read->copy;
	uint64_t block = read->block + read->at, offset = block * copy->image->block_bytes;
	uint32_t length = block_length(read);
	int ret = status;

	copy->progress.bad_expected = read->buf->sums[read->at];
	copy->progress.bad_found =
	    status == -EUCLEAN ? block_sum(block_data(read), length, offset) : 0;
	if (copy->sink->bad)
		ret = copy->sink->bad(copy->sink, copy->disk, offset, length, status);
	if (ret) {
		err_set(&copy->error, ret, "%s: block %llu (%u bytes at %llu) %s%s",
			copy->image->label, (unsigned long long)block, length,
			(unsigned long long)offset,
			status == -EUCLEAN ? "is damaged: it differs from its checksum"
					   : "cannot be read: ",
			status == -EUCLEAN ? "" : strerror(-status));
		copy->error.code = ret;
		return;
	}
	copy->progress.bad_bytes += length;
	memset(block_data(read), 0, length);
	read->buf->sums[read->at] = SUM_ZERO;
}

/* On from the first block not yet checked. */
static void read_check(struct imagecopy_read *read)
{
	struct imagecopy *copy = read->copy;

	while (!copy->error.code && read->at < read->count) {
		if (read->buf->sums[read->at] == IMAGE_SUM_LOST) {
			block_bad(read, -EIO); /* and it is not looked for again */
			read->at++;
		} else if (read->status || !block_good(read)) {
			block_again(read);
			if (read->state == IMAGECOPY_AGAIN)
				return;
		} else {
			read->at++;
		}
	}
	if (copy->error.code || read->doubt)
		read_end(read);
	else
		read_deliver(read);
}

static void read_done(struct image_read *image_read, int status)
{
	struct imagecopy_read *read = member_of(image_read, struct imagecopy_read, read);
	struct imagecopy *copy = read->copy;

	copy->in_flight--;
	copy->busy = true;
	if (read->state == IMAGECOPY_WHOLE) {
		read->status = status;
	} else if (!copy->error.code) {
		read->state = IMAGECOPY_WHOLE;
		if (status || !block_good(read)) {
			if (copy->image->chain && ++read->looks < IMAGECOPY_LOOKS)
				block_again(read);
			else
				block_bad(read, status ? status : -EUCLEAN);
		}
		if (read->state == IMAGECOPY_AGAIN) {
			copy->busy = false;
			return;
		}
		read->looks = 0;
		read->at++;
	}
	read_check(read);
	copy->busy = false;
	imagecopy_pump(copy);
}

static bool read_start(struct imagecopy_read *read)
{
	struct imagecopy *copy = read->copy;

	if (!data_find(copy))
		return false;
	read->buf = pool_get(copy->pool);
	if (!read->buf) {
		pool_wait(copy->pool, &copy->waiter);
		return false;
	}
	read->state = IMAGECOPY_WHOLE;
	read->status = 0;
	read->looks = 0;
	read->at = 0;
	read->block = copy->next;
	read->count = data_take(copy, pool_buffer_bytes(copy->pool) / copy->image->block_bytes,
				read->buf->sums, &read->doubt);
	copy->in_flight++;
	image_read_start(copy->image, &read->read, read->block, read->count, read->buf->data);
	return true;
}

void imagecopy_read_init(struct imagecopy *copy)
{
	for (unsigned i = 0; i < IMAGECOPY_DEPTH_MAX; i++) {
		copy->reads[i].copy = copy;
		copy->reads[i].read.done = read_done;
	}
}

void imagecopy_read_pump(struct imagecopy *copy)
{
	for (unsigned i = 0; i < copy->depth && !copy->error.code; i++) {
		if (copy->reads[i].state == IMAGECOPY_IDLE && !read_start(&copy->reads[i]))
			return;
	}
}
