/* SPDX-License-Identifier: Apache-2.0
 *
 * scrub: reads replica and disks in the background, at a bounded rate, and compares
 * every block of both with the replica's sums.  Window by window, between two cycles:
 *
 *   settle   heads and sums are the last generation G, and nothing is committed
 *            meanwhile, because the flow of control is here
 *   replica  the window's blocks of the head are read and summed
 *   freeze   a point, as in a cycle; a block that G's bitmap does not have was not
 *            written since G, whatever the guest does: its sum must be that of G
 *   thaw     the point goes and the bitmaps are as before: it was no generation
 *
 * What is bad is reported, and with --heal healed (heal.h).
 */
#ifndef ENGINE_SCRUB_H
#define ENGINE_SCRUB_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "copy.h"
#include "repair.h"

struct sidecar;

struct scrub {
	unsigned disk; /* the next window */
	uint64_t position;
	int64_t due_ns; /* when */
	uint64_t passes, checked_bytes, bad_replica, bad_source, healed;
	int64_t last_pass_us; /* its end, 0: none yet */
};

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

/* For the steady loop: when the next window is due, and do it. */
int64_t scrub_due_ns(const struct sidecar *sidecar);
void scrub_run(struct sidecar *sidecar);
json_t *scrub_json(const struct sidecar *sidecar); /* for the status; NULL: it is off */

/* The blocks of one disk that the bitmap does not have, read from what is exported:
 * SOURCE has COUNT entries.  KEEP: the content of the last one goes there, too. */
struct scrub_look {
	unsigned disk;
	uint64_t block;
	uint32_t count;
	struct scrub_source *source;
	struct buf *keep;
};
int scrub_read(struct sidecar *sidecar, const struct scrub_look *look, struct errinfo *err);
/* Freeze, read, thaw. */
int scrub_look(struct sidecar *sidecar, const struct scrub_look *look, struct errinfo *err);
/* The same blocks of the replica, through BUF; the store is settled. */
int scrub_inspect(struct sidecar *sidecar, const struct scrub_look *look,
		  struct repair_block *replica, struct buf *buf, struct errinfo *err);

#endif
