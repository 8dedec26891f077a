/* SPDX-License-Identifier: Apache-2.0
 *
 * What journal.c (a generation's life), journal_zero.c (runs of zeros) and
 * journal_area.c (the files) share.
 */
#ifndef BLOCKIO_JOURNAL_PRIVATE_H
#define BLOCKIO_JOURNAL_PRIVATE_H

#include "journal.h"

/* Latch a failed write. */
void generation_fail(struct generation *generation, int status, const char *what);
/* RECORD takes the next place: checksum, chain, sequence.  Returns its offset. */
uint64_t generation_append(struct generation *generation, struct record *record);
/* One thing less in flight; the last one lets commit or abort go on. */
void generation_put(struct generation *generation);
/* WRITE is over; what waits for it goes on. */
void journal_write_done(struct journal_write *write);

void zeros_flush(struct generation *generation);
void zeros_drop(struct generation *generation);
bool zeros_overlap(const struct generation *generation, unsigned disk, uint64_t block,
		   uint64_t count);

/* See that the area has room well ahead of the generation's end. */
void area_grow(struct generation *generation);
/* Cut back an area that holds nothing any more. */
void area_trim(struct journal *journal, unsigned area);

#endif
