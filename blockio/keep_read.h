/* SPDX-License-Identifier: Apache-2.0
 *
 * keep_read: where the blocks of one disk of a kept point are: in it, in a newer
 * kept point, or still in the head.  Also beside a running sidecar, which writes
 * content, then entry, then flushes, and only then overwrites the head.  So:
 *
 *   keep_chain_find(): entry KEEP_NOT, the block is in the head
 *   read sum and content from the head
 *   keep_chain_find() again: still KEEP_NOT, what was read is right; else it is
 *   there now, and what was read from the head does not count
 *
 * A block found in a point that does not verify is looked up once more: the point
 * it was in may have been deleted, and an older one has it now.
 */
#ifndef BLOCKIO_KEEP_READ_H
#define BLOCKIO_KEEP_READ_H

#include "errinfo.h"
#include "keep_files.h"
#include "point.h"

struct keep_chain;

struct keep_place {
	uint64_t entry; /* KEEP_NOT: in the head; KEEP_ZERO: zeros; else see keep_entry() */
	int raw_fd;	/* O_DIRECT where possible; content at the block's own offset */
	int tail_fd;	/* buffered; both are the chain's, until the next find */
	/* Of keep_chain_find_strays(): content without an entry, of the oldest point that has
	 * any; or -1. */
	int stray_fd, stray_tail_fd;
	unsigned stray; /* private: whose it is */
	uint32_t id; /* of the point that it is in; 0: the head */
};

/* POINT, which should be held, is a POINT_KEPT; BLOCK_BYTES of the store.  -ENOENT: it
 * has no such disk. */
int keep_chain_open(struct keep_chain **chain, const char *dir, const struct point_info *point,
		    const char *disk, uint32_t block_bytes, struct errinfo *err);
void keep_chain_close(struct keep_chain *chain); /* NULL is allowed */

/* Of COUNT blocks from BLOCK on.  Blocking, from the page cache. */
int keep_chain_find(struct keep_chain *chain, uint64_t block, unsigned count,
		    struct keep_place *places, struct errinfo *err);

/* The same, and which of the blocks a point before that place has content of, without an
 * entry.  Content is there before its entry is, and then it is the block's; anything
 * else is an entry that was lost. */
int keep_chain_find_strays(struct keep_chain *chain, uint64_t block, unsigned count,
			   struct keep_place *places, struct errinfo *err);

/* Has a newer point, before the place, such content of BLOCK as well?  PLACE->stray_fd is
 * that, then.  Not beyond the oldest where the file system tells no holes: all would be
 * read. */
bool keep_chain_next_stray(const struct keep_chain *chain, uint64_t block,
			   struct keep_place *place);

#endif
