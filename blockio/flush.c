/* SPDX-License-Identifier: Apache-2.0
 *
 * flush: see flush.h.
 */
#include "flush.h"

#include <assert.h>
#include <string.h>

#include "member.h"

void flush_init(struct flush *flush, struct ring *ring)
{
	memset(flush, 0, sizeof(*flush));
	flush->ring = ring;
}

void flush_add(struct flush *flush, int fd)
{
	assert(flush->count < FLUSH_FILES_MAX && !flush->in_flight);
	flush->files[flush->count].flush = flush;
	flush->files[flush->count++].fd = fd;
}

static void flush_put(struct flush *flush, int result)
{
	if (result < 0 && !flush->status)
		flush->status = result;
	if (--flush->in_flight == 0)
		flush->done(flush, flush->status);
}

static void file_flushed(struct ring_op *op, int result)
{
	flush_put(member_of(op, struct flush_file, op)->flush, result);
}

static void nothing_flushed(struct ring_op *op, int result)
{
	flush_put(member_of(op, struct flush, now), 0);
}

void flush_start(struct flush *flush, bool metadata,
		 void (*done)(struct flush *flush, int result))
{
	assert(!flush->in_flight);
	flush->done = done;
	flush->status = 0;
	flush->in_flight = 1;
	for (unsigned i = 0; i < flush->count; i++) {
		struct flush_file *file = &flush->files[i];

		flush->in_flight++;
		file->op.done = file_flushed;
		(metadata ? ring_sync : ring_flush)(flush->ring, &file->op, file->fd);
	}
	flush->now.done = nothing_flushed;
	ring_timer(flush->ring, &flush->now, 0);
}
