/* SPDX-License-Identifier: Apache-2.0
 *
 * capture: what a point is to hold becomes the last generation.
 */
#ifndef ENGINE_CAPTURE_H
#define ENGINE_CAPTURE_H

#include <stdbool.h>

#include "errinfo.h"

struct sidecar;

/* With QUIESCE the guest's file systems are frozen meanwhile; *QUIESCED: at least one was. */
int capture(struct sidecar *sidecar, bool quiesce, bool *quiesced, struct errinfo *err);

#endif
