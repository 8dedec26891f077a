/* SPDX-License-Identifier: Apache-2.0
 *
 * blockstats: what query-blockstats tells of the guest's disks.  Pure: JSON of the
 * monitor in (not trusted), numbers out.
 *
 * The sums belong to the device's backend, so they go on when the node below is
 * exchanged.  How many requests wait is not among them: of a virtio-blk device its
 * queues tell (x-query-virtio-queue-status).
 */
#ifndef ENGINE_BLOCKSTATS_H
#define ENGINE_BLOCKSTATS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "guest.h"

struct blockstats {
	bool known; /* QEMU told of the disk */
	/* Since QEMU began. */
	uint64_t reads, writes, others; /* ended well; others: flushes and discards */
	uint64_t bytes, failed;
	uint64_t busy_ns;	/* of reads and writes, all of them together */
	uint64_t write_highest; /* end of the furthest write */
};

/* STATS has GUEST's disks in their order.  False: it is no answer at all. */
bool blockstats_parse(const json_t *reply, const struct guest *guest,
		      struct blockstats stats[BOUND_DISKS]);

/* Requests that the guest gave and that have not ended, of one queue; 0 when the
 * answer does not tell. */
unsigned blockstats_queue(const json_t *reply);

#endif
