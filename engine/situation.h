/* SPDX-License-Identifier: Apache-2.0
 *
 * situation: the sidecar's state as the facts that the policy decides upon.
 */
#ifndef ENGINE_SITUATION_H
#define ENGINE_SITUATION_H

#include "policy.h"

struct sidecar;

/* FACTS about FAULT, as of now; asks nobody. */
void situation_gather(const struct sidecar *sidecar, const struct detect_fault *fault,
		      struct policy_facts *facts);

#endif
