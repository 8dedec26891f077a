/* SPDX-License-Identifier: Apache-2.0
 *
 * What image.c (where the blocks of an image are), imagecopy.c (life of a copy)
 * and imagecopy_read.c (its reads) share.
 */
#ifndef BLOCKIO_IMAGE_PRIVATE_H
#define BLOCKIO_IMAGE_PRIVATE_H

#include "file.h"
#include "image.h"
#include "keep_read.h"

#define IMAGE_DIRECT_BYTES 4096u /* what O_DIRECT wants at most */
#define IMAGE_PLACES 64u	 /* blocks looked up or compared at once: on the stack */

/* A file that holds blocks of an image at the places they have in the disk. */
struct image_file {
	int fd;	     /* O_DIRECT where possible */
	int tail_fd; /* buffered: what is left at the end of a disk of odd size; or -1 */
	bool cached; /* no O_DIRECT here: what was read is taken out of the page cache */
};

/* What is known of the holes of FILE: none of [FROM, TO) is data. */
struct image_hole {
	uint64_t from, to;
};

struct image {
	struct ring *ring;
	uint64_t size;
	uint32_t block_bytes;
	struct image_file file;
	int sums_fd;
	/* Of a kept point: where its blocks are; FILE and sums_fd are the head's. */
	struct keep_chain *chain;
	bool clone; /* its blocks are its own */
	bool salvage;
	struct image_hole hole;
	char label[STORE_NAME_MAX + FILE_PATH_MAX + 48];
};

/* One read of blocks: finds where they are, reads them.  Does not check them.
 * Whoever finds a sum that does not match looks for sum and place once again. */
struct image_read {
	/* 0, or the errno of what could not be read; -EUCLEAN: a kept point has lost the
	 * mark of a block of zeros, too.  Inside ring_run() alone. */
	void (*done)(struct image_read *read, int status);

	/* private */
	struct ring_op op;
	struct image *image;
	const struct image_file *file;
	uint8_t *data;
	uint64_t offset;
	uint32_t length;
	uint32_t progress;
	struct image_file kept; /* of a kept point: FILE may point here */
	uint32_t run_begin;
	uint32_t run_end; /* PROGRESS at which the place has to be looked up */
	bool marks;	  /* the run is one of kept blocks of zeros */
};

/* COUNT blocks from BLOCK on into DATA, 4 KiB aligned, at least that long. */
void image_read_start(struct image *image, struct image_read *read, uint64_t block, uint32_t count,
		      uint8_t *data);

/* Bytes of COUNT blocks from BLOCK on, less at the end of the disk. */
uint64_t image_blocks_bytes(const struct image *image, uint64_t block, uint64_t count);

/* Sets the bit of each of COUNT blocks from BLOCK on whose sum says zeros while the
 * file that has it holds data there, or it is in a kept point: it has to be read, for a sum
 * that was lost looks the same.  Asks for holes only, which costs nothing where both are
 * holes. */
int image_doubts(struct image *image, uint64_t block, uint32_t count, const uint64_t *sums,
		 uint8_t *doubts, struct errinfo *err);

/* --- imagecopy --- */

#define IMAGECOPY_WINDOW 4096u /* sums read at once: 32 KiB, one request of the read ahead */

/*
 *   IDLE ──▶ WHOLE ──▶ IDLE             all blocks good
 *              │ a block is not
 *              ▼            next bad one
 *            AGAIN ◀──────┐
 *              └──────────┘──▶ IDLE     good now, or left out
 */
/* A block of a kept point may move while it is read: from the head to the newest
 * point, and on when that is deleted.  More moves than this within one read of one
 * block are damage. */
#define IMAGECOPY_LOOKS 8u

enum imagecopy_state { IMAGECOPY_IDLE, IMAGECOPY_WHOLE, IMAGECOPY_AGAIN };

struct imagecopy_read {
	struct image_read read;
	struct imagecopy *copy;
	struct buf *buf;
	enum imagecopy_state state;
	bool doubt; /* blocks that should be zeros: checked, not handed on */
	int status; /* of the read of all */
	uint64_t block;
	uint32_t count;
	uint32_t at; /* blocks before it are good, or were left out */
	unsigned looks; /* at block AT again */
};

struct imagecopy {
	struct image *image;
	struct pool *pool;
	struct copy_sink *sink;
	void (*done)(void *arg, int status, const struct errinfo *error);
	void *arg;
	struct ring_op end; /* runs done() */
	struct pool_waiter waiter;
	unsigned disk;
	unsigned depth;
	unsigned in_flight;
	bool busy; /* at work: what the sink or the pool calls back into must not pump */
	bool ended;
	uint64_t next;	 /* blocks before it are zeros, not wanted, or were read */
	struct imagecopy_range range;
	uint64_t window; /* block of sums[0] */
	uint32_t window_count;
	struct errinfo error;
	struct imagecopy_progress progress;
	struct imagecopy_read reads[IMAGECOPY_DEPTH_MAX];
	uint64_t sums[IMAGECOPY_WINDOW];
	uint8_t doubts[IMAGECOPY_WINDOW / 8];
};

/* Something happened: start what can be started, end what is to end. */
void imagecopy_pump(struct imagecopy *copy);
void imagecopy_read_pump(struct imagecopy *copy);
void imagecopy_read_init(struct imagecopy *copy);

#endif
