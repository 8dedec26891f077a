/* SPDX-License-Identifier: Apache-2.0
 *
 * resync: between a copy of a whole disk and the generation being received: drops
 * the blocks that the replica has already, by their sums.  What is left is the
 * difference between the replica and the disk.
 *
 * The sums are those of the last generation, so the heads must be settled before
 * the generation begins, and nothing is applied while it is open.
 */
#ifndef BLOCKIO_RESYNC_H
#define BLOCKIO_RESYNC_H

#include <stdint.h>

#include "copy.h"
#include "store.h"

#define RESYNC_SUMS 8192u /* read at a time where the disk has a hole: 64 KiB of sums */

struct resync {
	struct copy_sink sink; /* for a COPY_MAPPED */
	uint64_t different_bytes; /* handed on */
	uint64_t filled_bytes;	  /* of disks that had no replica: straight to their heads */

	/* private */
	struct store *store;
	uint64_t sums[RESYNC_SUMS];
};

/* Blocks that differ go into the generation that STORE is receiving; those of a
 * disk that store_fresh() has go to its head. */
void resync_init(struct resync *resync, struct store *store);

#endif
