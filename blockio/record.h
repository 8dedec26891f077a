/* SPDX-License-Identifier: Apache-2.0
 *
 * record: one page of the journal: what it looks like on disk and what makes it
 * valid.  Pure: bytes in, verdict out.  Byte by byte in docs/FORMAT.md.
 */
#ifndef BLOCKIO_RECORD_H
#define BLOCKIO_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store.h"

/* On-disk integers are used as they lie in memory. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the store is little endian");

#define RECORD_MAGIC UINT64_C(0x31304c4e4a4c4851) /* "QHLJNL01" */
#define RECORD_FORMAT 1u
#define RECORD_PAGE 4096u
#define RECORD_SUMS_MAX 496u /* blocks in one data record */
#define RECORD_RUNS_MAX 165u /* runs in one zero record */

enum record_type {
	RECORD_DATA = 1,   /* blocks of one disk; their content follows the page */
	RECORD_ZERO = 2,   /* runs of blocks that are all zeros */
	RECORD_COMMIT = 3, /* the generation is whole */
	RECORD_SEAL = 4,   /* page 0 of an area: this generation was acknowledged */
};

struct record_run {
	uint32_t disk;
	uint32_t reserved;
	uint64_t block;
	uint64_t count;
};

struct record {
	uint64_t magic;
	uint32_t format;
	uint32_t type;
	uint8_t store[16]; /* uuid of the store */
	uint64_t generation;
	uint64_t attempt;  /* random, one for every store_begin() */
	uint64_t sequence; /* 0, 1, ... in the generation; of a commit: records before it */
	uint32_t disk;	   /* data: index in store.json */
	uint32_t count;	   /* data: blocks; zero: runs */
	uint64_t block;	   /* data: the first one */
	uint64_t bytes;	   /* data: of the content, unpadded; commit: all of these added up */
	uint64_t chain;	   /* commit: over the checksums of all records before it; else 0 */
	int64_t time_us;   /* commit, seal: the point in time */
	uint64_t checksum; /* XXH3-64 of what follows, seeded with that of what is before */
	uint64_t place;	   /* offset of this page in its area */
	uint8_t reserved[16];
	union {
		uint64_t sums[RECORD_SUMS_MAX];
		struct record_run runs[RECORD_RUNS_MAX];
	};
};

_Static_assert(sizeof(struct record) == RECORD_PAGE, "a record is one page");
_Static_assert(offsetof(struct record, checksum) == 96, "see docs/FORMAT.md");
_Static_assert(offsetof(struct record, sums) == 128, "see docs/FORMAT.md");
_Static_assert(sizeof(struct record_run) == 24, "see docs/FORMAT.md");

/* What records are checked against: whose they are and what may be in them. */
struct record_shape {
	uint8_t store[16];
	uint32_t block_bytes;
	unsigned disk_count;
	uint64_t disk_bytes[STORE_DISKS_MAX];
};

uint64_t record_disk_blocks(const struct record_shape *shape, unsigned disk);
/* Bytes of COUNT blocks from BLOCK on, less at the end of the disk. */
uint64_t record_blocks_bytes(const struct record_shape *shape, unsigned disk, uint64_t block,
			     uint64_t count);

/* Zero the page and fill in what all types share. */
void record_init(struct record *record, const struct record_shape *shape, enum record_type type,
		 uint64_t generation, uint64_t attempt, uint64_t sequence);
void record_finish(struct record *record); /* computes the checksum, last of all */

/* Whole, of this store, and with nothing in it that points outside its disks. */
bool record_valid(const struct record *record, const struct record_shape *shape);

/* Page and content, padded to whole pages: where the next record begins. */
uint64_t record_length(const struct record *record);

/* The running checksum: start with the attempt, then every record in order. */
uint64_t record_chain(uint64_t chain, const struct record *record);

/* Index of the first block of DATA that differs from its sum, -1: all right. */
int record_bad_block(const struct record *record, const struct record_shape *shape,
		     const uint8_t *data);

#endif
