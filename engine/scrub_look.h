/* SPDX-License-Identifier: Apache-2.0
 *
 * What scrub and heal share: a look at some blocks of both sides, and the verdict.
 */
#ifndef ENGINE_SCRUB_LOOK_H
#define ENGINE_SCRUB_LOOK_H

#include <stdbool.h>
#include <stdint.h>

#include "errinfo.h"
#include "repair.h"

struct sidecar;

/* A block of a disk as a point has it. */
struct scrub_source {
	bool known; /* it did not change since the generation, and was looked at */
	int status; /* why it cannot be read, 0 when it can */
	uint64_t sum;
};

enum scrub_verdict {
	SCRUB_FINE,
	SCRUB_REPLICA, /* the replica's block is bad, the disk may have a good one */
	SCRUB_SUM,     /* replica and disk agree: the sum is wrong */
	SCRUB_SOURCE,  /* the disk's block is bad, the replica's verifies */
	SCRUB_BOTH,    /* nobody has the content that the sum is of */
};

/* Pure. */
enum scrub_verdict scrub_judge(const struct repair_block *replica,
			       const struct scrub_source *source);

/* The blocks of one disk that the bitmap does not have, read from what is exported:
 * SOURCE has COUNT entries.  KEEP: the content of the last one goes there, too. */
struct scrub_look {
	unsigned disk;
	uint64_t block;
	uint32_t count;
	struct scrub_source *source;
	struct buf *keep;
	/* Between two looks of scrub_read(), the second of which counts (struct transfer). */
	int (*between)(void *arg, struct errinfo *err);
	void *between_arg;
};
int scrub_read(struct sidecar *sidecar, const struct scrub_look *look, struct errinfo *err);
/* Freeze, read, thaw. */
int scrub_look(struct sidecar *sidecar, const struct scrub_look *look, struct errinfo *err);
/* The same blocks of the replica, through BUF; the store is settled. */
int scrub_inspect(struct sidecar *sidecar, const struct scrub_look *look,
		  struct repair_block *replica, struct buf *buf, struct errinfo *err);

#endif
