/* SPDX-License-Identifier: Apache-2.0
 *
 * situation: the sidecar's state as the facts that the policy decides upon.
 */
#ifndef ENGINE_SITUATION_H
#define ENGINE_SITUATION_H

#include "policy.h"

struct point_info;
struct sidecar;

/* The point that a guest which fails again and again goes back to: the newest from
 * before the first of these faults, and one older for each time that this did not
 * help.  NULL: there is none.  *COUNT: how many come into question. */
const struct point_info *situation_point(const struct sidecar *sidecar, unsigned *count);

/* The newest point whose id is below BEFORE and that all disks can go back to; NULL: there
 * is none. */
const struct point_info *situation_newest(const struct sidecar *sidecar, uint32_t before,
					  unsigned *count);
/* What was written since POINT, or more. */
uint64_t situation_since(const struct sidecar *sidecar, const struct point_info *point,
			 uint64_t dirty_bytes);
/* What the disks in the bit set MEMBERS have and no generation yet; all that fits on them
 * where nobody can say. */
uint64_t situation_dirty(const struct sidecar *sidecar, uint64_t members);
/* What the heads occupy; what cannot be asked does not count. */
uint64_t situation_used_bytes(const struct sidecar *sidecar);
/* What counts when disks have failed and the guest stands still: the heads, and what could
 * be restored in their place.  FACTS has `source` and the dirty bytes. */
void situation_of_failed(const struct sidecar *sidecar, uint64_t members,
			 struct policy_facts *facts);

/* FACTS about FAULT, as of now; asks nobody. */
void situation_gather(const struct sidecar *sidecar, const struct detect_fault *fault,
		      struct policy_facts *facts);

#endif
