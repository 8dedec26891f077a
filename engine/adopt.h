/* SPDX-License-Identifier: Apache-2.0
 *
 * adopt: the sidecar of a guest that was pivoted before (by an earlier sidecar,
 * perhaps killed in the middle of it).
 */
#ifndef ENGINE_ADOPT_H
#define ENGINE_ADOPT_H

#include "sidecar.h"

/* True when a disk's root is an overlay of a pivot or the store says so. */
bool adopt_needed(const struct sidecar *sidecar);
/* Make the store's note complete, let the guest go on when the pivot was cut off
 * before `cont`, and stand by in state RECOVERED.  1: it has left the overlays for a
 * spare already, the heads are free, and it can be protected. */
int adopt_run(struct sidecar *sidecar, struct errinfo *err);

#endif
