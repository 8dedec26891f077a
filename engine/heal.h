/* SPDX-License-Identifier: Apache-2.0
 *
 * heal: writes the good block over the bad one, on either side, when the scrub found
 * one and --heal was given.  Both sides are looked at once more first.
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

/* There is a good block to take. */
bool heal_can(const struct heal_block *bad);

/* 0: it was written and read back.  Events `recovery` and `recovered` or
 * `recovery-failed` tell of it.  The store is settled. */
int heal_run(struct sidecar *sidecar, const struct heal_block *bad, struct errinfo *err);

#endif
