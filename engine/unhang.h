/* SPDX-License-Identifier: Apache-2.0
 *
 * unhang: a disk whose requests neither succeed nor fail.  Where it is reached through
 * an NBD connection, QEMU can be told to give that up (`yank`, out of band): the
 * requests fail then, the guest stops, and recover.c does the rest.
 *
 * A cycle meets such a disk first: its commands wait until the disk's requests have ended,
 * and QEMU's main loop with them, and so does our flow of control.  So this runs in
 * the handlers, from the facts that are known already, and waits for nothing.
 *
 * Given up for good is given up: what the guest wrote after the last generation cannot
 * be read any more.  So the policy decides as on any loss.
 */
#ifndef ENGINE_UNHANG_H
#define ENGINE_UNHANG_H

#include <stdbool.h>

#include "detect.h"

struct sidecar;

/* Which disks have a connection to give up (waits). */
void unhang_look(struct sidecar *sidecar);
/* FAULT, a disk that hangs, is new.  True when it is being answered here. */
bool unhang_attend(struct sidecar *sidecar, const struct detect_fault *fault);

/* Once a second. */
void unhang_tick(struct sidecar *sidecar);

#endif
