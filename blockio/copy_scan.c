/* SPDX-License-Identifier: Apache-2.0
 *
 * The scan: a few block status requests at a time over windows of the disk, the
 * wanted extents of their replies into a bounded queue of runs.  A window is
 * whole blocks, so that no block is in two of them, and is asked for again from
 * where a reply stopped.
 */
#include <assert.h>
#include <string.h>

#include "copy_private.h"

/* Below this a reply cannot be full, whatever the disk looks like. */
#define WINDOW_BLOCKS_MIN NBD_SOURCE_EXTENTS_MAX

static uint64_t round_down(uint64_t value, uint32_t unit)
{
	return value - value % unit;
}

static uint64_t block_end(const struct copy *copy, uint64_t end)
{
	uint64_t up = round_down(end + copy->block_bytes - 1, copy->block_bytes);

	return up < copy->size ? up : copy->size;
}

static void run_push(struct copy *copy, uint64_t offset, uint64_t length)
{
	struct copy_scan *scan = &copy->scan;
	struct copy_run *last = &scan->runs[(scan->run_first + scan->run_count - 1) % COPY_RUNS];

	if (scan->run_count && last->offset + last->length == offset) {
		last->length += length;
		return;
	}
	assert(scan->run_count < COPY_RUNS); /* there was room for a whole reply */
	scan->run_count++;
	scan->runs[(scan->run_first + scan->run_count - 1) % COPY_RUNS] =
	    (struct copy_run){offset, length};
}

uint32_t copy_scan_take(struct copy *copy, uint32_t length, uint64_t *offset)
{
	struct copy_scan *scan = &copy->scan;
	struct copy_run *run = &scan->runs[scan->run_first];

	if (!scan->run_count)
		return 0;
	*offset = run->offset;
	if (run->length < length)
		length = (uint32_t)run->length;
	run->offset += length;
	run->length -= length;
	if (!run->length) {
		scan->run_first = (scan->run_first + 1) % COPY_RUNS;
		scan->run_count--;
	}
	return length;
}

static bool extent_wanted(const struct copy *copy, const struct nbd_extent *extent)
{
	if (copy->want == COPY_DIRTY)
		return extent->flags & 1;
	if (copy->want == COPY_CLEAN)
		return !(extent->flags & 1);
	return !(extent->flags & 2); /* a hole that is not zero has to be read */
}

/* What no wanted extent reached up to END is zeros.  By blocks: a hole that a reply
 * cuts in the middle of one is still whole. */
static void window_zeros(struct copy_window *window, uint64_t end)
{
	if (window->copy->want == COPY_MAPPED && end > window->taken)
		copy_zeros_found(window->copy, window->taken, end - window->taken);
}

static void window_take(struct copy_window *window, const struct nbd_extent *extent)
{
	struct copy *copy = window->copy;
	uint64_t start = round_down(extent->offset, copy->block_bytes);
	uint64_t end = block_end(copy, extent->offset + extent->length);

	/* A block is clean only as a whole. */
	if (copy->want == COPY_CLEAN) {
		start = block_end(copy, extent->offset);
		if (extent->offset + extent->length < copy->size)
			end = round_down(extent->offset + extent->length, copy->block_bytes);
	}
	if (start < window->taken)
		start = window->taken;
	if (start >= end)
		return;
	window_zeros(window, start);
	run_push(copy, start, end - start);
	window->taken = end;
}

/* Replies that do not reach the end of what was asked cost the server more than
 * they bring: ask for less, and for more again when they do. */
static void window_adapt(struct copy_scan *scan, uint64_t asked, uint64_t covered,
			 uint32_t block_bytes)
{
	uint64_t least = (uint64_t)WINDOW_BLOCKS_MIN * block_bytes;

	if (covered < asked)
		scan->window_bytes = round_down(covered, block_bytes);
	else if (asked >= scan->window_bytes)
		scan->window_bytes *= 2;
	if (scan->window_bytes < least)
		scan->window_bytes = least;
	if (scan->window_bytes > NBD_SOURCE_STATUS_BYTES_MAX)
		scan->window_bytes = NBD_SOURCE_STATUS_BYTES_MAX;
}

static void window_reply(void *arg, int status, const struct nbd_extent *extents, unsigned count)
{
	struct copy_window *window = arg;
	struct copy *copy = window->copy;
	uint64_t asked = window->asked;
	uint64_t covered = 0;

	window->asked = 0;
	copy->scan.in_flight--;
	if (status)
		err_set(&copy->error, status, "cannot read the extents of %s from %llu on: %s",
			nbd_source_label(copy->source), (unsigned long long)window->offset,
			strerror(-status));
	for (unsigned i = 0; i < count; i++) {
		covered += extents[i].length;
		if (!extent_wanted(copy, &extents[i]))
			continue;
		copy->progress.extents++;
		window_take(window, &extents[i]);
	}
	window->offset += covered;
	copy->progress.scanned += covered;
	if (!status && window->offset >= window->end)
		window_zeros(window, window->end);
	if (!status)
		window_adapt(&copy->scan, asked, covered, copy->block_bytes);
	copy_pump(copy);
}

/* Give the window something to ask for; false when all is asked. */
static bool window_open(struct copy *copy, struct copy_window *window)
{
	struct copy_scan *scan = &copy->scan;
	uint64_t left = copy->size - scan->next;

	if (window->offset < window->end)
		return true;
	if (!left)
		return false;
	window->copy = copy;
	window->offset = scan->next;
	window->taken = scan->next;
	scan->next += left < scan->window_bytes ? left : scan->window_bytes;
	window->end = scan->next;
	return true;
}

static void window_ask(struct copy *copy, struct copy_window *window)
{
	struct copy_scan *scan = &copy->scan;
	uint64_t length = window->end - window->offset;
	int ret;

	if (length > scan->window_bytes)
		length = scan->window_bytes;
	window->asked = length;
	scan->in_flight++;
	ret = nbd_source_extents(copy->source, window->offset, length, window_reply, window);
	if (!ret)
		return;
	window->asked = 0;
	scan->in_flight--;
	err_set(&copy->error, ret, "cannot ask for the extents of %s from %llu on: %s",
		nbd_source_label(copy->source), (unsigned long long)window->offset, strerror(-ret));
}

void copy_scan_pump(struct copy *copy)
{
	struct copy_scan *scan = &copy->scan;

	for (unsigned i = 0; i < NBD_SOURCE_STATUS_IN_FLIGHT && !copy->error.code; i++) {
		struct copy_window *window = &scan->windows[i];

		if (window->asked)
			continue;
		if (scan->in_flight + copy->reads_in_flight == NBD_SOURCE_IN_FLIGHT)
			return;
		if (scan->run_count + (scan->in_flight + 1) * COPY_REPLY_RUNS > COPY_RUNS)
			return;
		if (window_open(copy, window))
			window_ask(copy, window);
	}
}

bool copy_scan_done(const struct copy *copy)
{
	const struct copy_scan *scan = &copy->scan;

	for (unsigned i = 0; i < NBD_SOURCE_STATUS_IN_FLIGHT; i++) {
		if (scan->windows[i].offset < scan->windows[i].end)
			return false;
	}
	return !scan->in_flight && !scan->run_count && scan->next == copy->size;
}

void copy_scan_init(struct copy *copy)
{
	copy->scan.window_bytes = NBD_SOURCE_STATUS_BYTES_MAX;
	if (copy->want != COPY_ALL || !copy->size)
		return;
	run_push(copy, 0, copy->size);
	copy->scan.next = copy->size;
	copy->progress.scanned = copy->size;
	copy->progress.extents = 1;
}
