/* SPDX-License-Identifier: Apache-2.0
 *
 * journal_scan: what two journal areas hold, and what is to be done about it on
 * open.  Pure code over a read callback: the same runs in the store, in `status`,
 * in the table of cases of the tests and in the fuzzer.
 */
#ifndef BLOCKIO_JOURNAL_SCAN_H
#define BLOCKIO_JOURNAL_SCAN_H

#include <stdbool.h>
#include <stdint.h>

#include "errinfo.h"
#include "record.h"

struct journal_reader {
	/* LENGTH bytes from OFFSET; both whole pages.  Returns the bytes that exist
	 * or a negative errno. */
	int64_t (*read)(struct journal_reader *reader, void *buffer, uint32_t length,
			uint64_t offset);
};

enum journal_area_state {
	JOURNAL_EMPTY,	   /* no record of this store at the start */
	JOURNAL_TORN,	   /* records, but not a whole generation */
	JOURNAL_COMMITTED, /* a whole generation */
};

struct journal_found {
	enum journal_area_state state;
	uint64_t generation; /* TORN, COMMITTED: of the records */
	uint64_t attempt;
	uint64_t records;    /* COMMITTED: before the commit record */
	uint64_t end;	     /* COMMITTED: where the commit record lies */
	uint64_t bytes;	     /* content bytes */
	int64_t time_us;     /* COMMITTED */
	bool sealed;	     /* COMMITTED: and known to have been acknowledged */
	uint64_t seal;	     /* the generation the seal page names, 0: none */
	int64_t seal_time_us;
	int error; /* errno of the read that ended the scan, or of the seal's; 0: none */
};

enum journal_depth {
	JOURNAL_PAGES,	/* record pages only: quick; enough for a sealed generation */
	JOURNAL_CONTENT, /* also the content of an unsealed generation */
};

/* Read area AREA (0 or 1).  BUFFER has BUFFER_BYTES, at least a page and one
 * block, aligned as the reader wants it.  Damage is a finding, and so is what cannot
 * be read. */
void journal_scan(struct journal_reader *reader, const struct record_shape *shape, unsigned area,
		 enum journal_depth depth, void *buffer, uint32_t buffer_bytes,
		 struct journal_found *found);

/* What is known without the journal: the heads hold GENERATION at least. */
struct journal_base {
	uint64_t generation; /* nothing up to it in the areas counts; 0: a new store */
	int64_t time_us;
	bool more; /* a later one was committed, so the areas must hold one */
};

/* Which areas are to be applied, in order.  The last one is the current
 * generation; COUNT 0: there is none yet. */
struct journal_plan {
	unsigned count;
	unsigned area[2];
	uint64_t generation;
	int64_t time_us;
};

/* -EUCLEAN when an acknowledged generation is not there any more; what journal_found
 * says of a read when an area may hold one behind a page that cannot be read. */
int journal_decide(const struct journal_found areas[2], const struct journal_base *base,
		   struct journal_plan *plan, struct errinfo *err);

#endif
