/* SPDX-License-Identifier: Apache-2.0
 *
 * image: one disk of the replica at one point in time, to be read: of a retained
 * point (also beside a running sidecar), or of the heads of a store that nobody
 * writes to meanwhile.
 */
#ifndef BLOCKIO_IMAGE_H
#define BLOCKIO_IMAGE_H

#include <stdint.h>

#include "copy.h"
#include "errinfo.h"
#include "point.h"
#include "ring.h"

struct image;

/* POINT NULL: the heads as they are.  The point should be held (point_hold()). */
int image_open(struct image **image, struct ring *ring, const char *dir,
	       const struct point_info *point, const char *disk, struct errinfo *err);
void image_close(struct image *image); /* nothing in flight; NULL is allowed */

uint64_t image_size(const struct image *image);
uint32_t image_block_bytes(const struct image *image);
uint64_t image_blocks(const struct image *image); /* the last one may be shorter */
const char *image_label(const struct image *image); /* for messages */
/* The sums of COUNT blocks from BLOCK on, as in `sums`.  Blocking, by the page cache.
 * Of a kept point that has content of a block without an entry for it, the sum of that
 * content: an entry that was lost must not give out what is in the head. */
int image_sums(struct image *image, uint64_t block, uint32_t count, uint64_t *sums,
	       struct errinfo *err);
/* From now on sums that cannot be read (EIO) are IMAGE_SUM_LOST, which no content has, and
 * no error. */
void image_salvage(struct image *image);
#define IMAGE_SUM_LOST UINT64_C(0x74736f6c2d6d7573)

/* Sets in WANTED (bit 0 of byte 0 is BLOCK) those of COUNT blocks that are not in the same
 * place and of the same sum in OTHER, an image of the same disk that is still open: who
 * read that one has read the others.  *SAME: how many are.  Where a file system does not
 * tell, all are set. */
int image_others(struct image *image, struct image *other, uint64_t block, uint64_t count,
		 uint8_t *wanted, uint64_t *same, struct errinfo *err);

/* imagecopy: brings an image to a sink, as copy does for an NBD export: DEPTH
 * buffers in flight, blocks of zeros are not handed on, and only read where the file
 * has data under a sum of zero; every block is checked against its sum.  A block that differs or cannot be read goes to
 * sink->bad() (-EUCLEAN: the checksum; else the errno of the read), which says
 * whether to go on; without bad() the copy ends with the block's address in the
 * error.  A block left out is handed on as zeros with SUM_ZERO, also at the end. */
struct imagecopy;

#define IMAGECOPY_DEPTH_MAX 64 /* reads in flight; no disk gets faster by more */

struct imagecopy_progress {
	uint64_t scanned;   /* bytes of the disk looked at, up to its size */
	uint64_t data_bytes; /* read and handed on */
	uint64_t bad_bytes;
	/* Of the block that bad() is called for, when it could be read: for reports. */
	uint64_t bad_expected, bad_found;
};

int imagecopy_start(struct imagecopy **copy, struct image *image, struct pool *pool, unsigned disk,
		    unsigned depth, struct copy_sink *sink,
		    void (*done)(void *arg, int status, const struct errinfo *error), void *arg,
		    struct errinfo *err);
/* The same for a part: blocks FIRST to END - 1, of these the ones whose bit is set
 * in WANTED (bit 0 of byte 0 is FIRST; NULL: all of them).  WANTED stays the caller's. */
struct imagecopy_range {
	uint64_t first, end;
	const uint8_t *wanted;
};
int imagecopy_start_range(struct imagecopy **copy, struct image *image, struct pool *pool,
			  unsigned disk, unsigned depth, const struct imagecopy_range *range,
			  struct copy_sink *sink,
			  void (*done)(void *arg, int status, const struct errinfo *error),
			  void *arg, struct errinfo *err);
void imagecopy_cancel(struct imagecopy *copy); /* done() follows with -ECANCELED */
void imagecopy_free(struct imagecopy *copy);   /* only after done(); NULL is allowed */
const struct imagecopy_progress *imagecopy_progress(const struct imagecopy *copy);

#endif
