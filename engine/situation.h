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

/* FACTS about FAULT, as of now; asks nobody. */
void situation_gather(const struct sidecar *sidecar, const struct detect_fault *fault,
		      struct policy_facts *facts);

#endif
