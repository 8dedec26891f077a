/* SPDX-License-Identifier: Apache-2.0
 *
 * heal: writes the good block over the bad one, on either side, when the scrub found
 * one and --heal was given.  Both sides are looked at once more first.
 *
 * A block of the replica: the disk's content of a frozen point, whose sum is the stored
 * one, is written to the head, flushed and read back.
 *
 * A block of the disk is written by QEMU, and the guest stands still meanwhile:
 *
 *   stop     all its writes have ended, and those since the generation have their bit
 *   look     the block has none, and is still as bad as the scrub saw it; nobody has let the
 *            guest go on since
 *   write    from the file, by the guest's own device: the bit is set, so that the next
 *            generation has the block, too
 *   look     it reads back with the sum of the replica
 *   cont
 *
 * These are several round trips, so the guard sends the `cont` when we cannot.  It
 * removes the file before that: then QEMU has nothing to write, and a guest that runs
 * is never written over.
 */
#ifndef ENGINE_HEAL_H
#define ENGINE_HEAL_H

#include "scrub_look.h"

struct heal_block {
	unsigned disk;
	uint64_t block, offset;
	uint32_t bytes;
	enum scrub_verdict verdict;
	struct repair_block replica; /* as the scrub saw it */
	struct scrub_source source;
};

/* The file that QEMU reads a good block from: the guard's fence (guard.h). */
struct config;
const char *heal_file(const struct config *config);

/* There is a good block to take. */
bool heal_can(const struct heal_block *bad);

/* 0: it was written and read back.  Events `recovery` and `recovered` or
 * `recovery-failed` tell of it.  PAUSE_MS: how long the guest stood still, also in vain.  The
 * store is settled.  -EAGAIN: there is nothing to heal any more, or not now. */
int heal_run(struct sidecar *sidecar, const struct heal_block *bad, double *pause_ms,
	     struct errinfo *err);

/* heal_incident.c: one report for the blocks of a disk that one window of the scrub found bad,
 * at most one a pass, and none more of a disk of which nothing could be healed. */
struct heal_tally {
	bool begun;	/* there is a report */
	unsigned found; /* bad blocks of the disk, beforehand */
	unsigned tried, healed;
	double pause_ms;	/* for all of them */
	char why[ERRINFO_TEXT_MAX]; /* one was not */
};
/* Before the first of FOUND blocks, BAD: what is going to be done. */
void heal_incident_begin(struct sidecar *sidecar, const struct heal_block *bad,
			 struct heal_tally *tally);
void heal_incident_end(struct sidecar *sidecar, unsigned disk, const struct heal_tally *tally);

#endif
