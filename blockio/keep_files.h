/* SPDX-License-Identifier: Apache-2.0
 *
 * keep_files: the files of a POINT_KEPT, per disk kept.raw and kept
 * (docs/FORMAT.md), and what an entry of kept says.
 */
#ifndef BLOCKIO_KEEP_FILES_H
#define BLOCKIO_KEEP_FILES_H

#include <stdbool.h>
#include <stdint.h>

#include "errinfo.h"
#include "point.h"
#include "sum.h"

/* 0: not kept.  Else the sum of the block, coded so that it is never 0; the two sums
 * that share a code are told apart by nobody, as two contents of one sum are. */
#define KEEP_NOT UINT64_C(0)
#define KEEP_ZERO UINT64_MAX /* the block is all zeros */
#define KEEP_LOST UINT64_C(0x74736f6c6b636c62) /* no content has it: the block could not be read */

/* The mark: written to the beginning of the block in kept.raw for a block of zeros, so that
 * an entry that is lost is missed, as it is beside other content.  Not zeros: whoever
 * copies a store may make holes of these. */
#define KEEP_MARK_BYTES 4096u
extern const uint8_t keep_mark[KEEP_MARK_BYTES]; /* fit for O_DIRECT */

/* LENGTH bytes of a block in kept.raw are the mark, and zeros behind it. */
bool keep_is_mark(const uint8_t *data, uint32_t length);

static inline uint64_t keep_entry(uint64_t sum)
{
	return sum == SUM_ZERO ? KEEP_ZERO : sum == KEEP_ZERO ? KEEP_ZERO - 1 : sum;
}

/* The sum it says; compare codes, see block_good(). */
static inline uint64_t keep_sum(uint64_t entry)
{
	return entry == KEEP_ZERO ? SUM_ZERO : entry;
}

struct keep_disk {
	int raw_fd;	/* O_DIRECT where possible */
	int tail_fd;	/* buffered: for what is not whole pages */
	int entries_fd; /* buffered */
	uint64_t size;	/* of the disk at the point */
	bool dirty;	/* written since the last flush */
	bool tells_holes; /* kept.raw does */
	char name[STORE_NAME_MAX + 1];
};

struct keep_files {
	uint32_t id; /* of the point; 0: none, nothing is open */
	uint64_t generation;
	uint32_t block_bytes;
	unsigned disk_count;
	struct keep_disk disks[STORE_DISKS_MAX];
};

/* Of POINT in the directory PATH.  -EUCLEAN: a file has the wrong size.  On failure
 * nothing is open. */
int keep_files_open(struct keep_files *files, const char *path, const struct point_info *point,
		    uint32_t block_bytes, bool write, struct errinfo *err);
void keep_files_close(struct keep_files *files);

struct keep_disk *keep_files_disk(struct keep_files *files, const char *name); /* NULL: not in it */
uint64_t keep_disk_blocks(const struct keep_disk *disk, uint32_t block_bytes);
/* Bytes of COUNT blocks from BLOCK on, less at the end of the disk. */
uint32_t keep_disk_bytes(const struct keep_disk *disk, uint32_t block_bytes, uint64_t block,
			 uint64_t count);
/* Sets in HELD those of COUNT blocks from FIRST on that have data in kept.raw and no entry in
 * ENTRIES; none where the file system tells no holes. */
void keep_disk_held(const struct keep_disk *disk, uint32_t block_bytes, uint64_t first,
		    uint64_t count, const uint64_t *entries, bool *held);
/* What is in kept.raw of block BLOCK, which has no entry, and is to get ENTRY.  TORN, if not NULL:
 * LENGTH bytes of which a write that was cut short may have left pieces.  Blocking. */
enum keep_found {
	KEEP_EMPTY,  /* nothing that counts */
	KEEP_FITS,   /* what ENTRY says */
	KEEP_STRAYS, /* its entry was lost, and this tells of it: it stays, without an entry */
};
enum keep_found keep_disk_found(const struct keep_disk *disk, uint32_t block_bytes, uint64_t block,
				uint64_t entry, const uint8_t *torn, uint32_t length);
/* The descriptor for LENGTH bytes of content. */
static inline int keep_disk_fd(const struct keep_disk *disk, uint64_t length)
{
	return length % 4096 ? disk->tail_fd : disk->raw_fd;
}

#endif
