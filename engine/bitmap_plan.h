/* SPDX-License-Identifier: Apache-2.0
 *
 * bitmap_plan: what becomes of the bitmaps found on a guest's disks at a start.
 * Pure: the disks as QEMU told them in, the actions of one `transaction` out.
 *
 * A sidecar, ended anywhere, leaves on every disk (`since` counts from the
 * generation that the store has, `next` from the point after it):
 *
 *   since recording                  between two cycles
 *   since still, next recording      in a cycle that did not become durable
 *   next recording, older ones still in one that did: `next` is `since` then
 *
 * All else was somebody else's doing, or QEMU is another process: then nothing
 * tells what changed.
 */
#ifndef ENGINE_BITMAP_PLAN_H
#define ENGINE_BITMAP_PLAN_H

#include <jansson.h>
#include <stdbool.h>

#include "guest.h"

/* The disks, as a bit set, whose bitmaps know all changes since the generation of
 * SINCE. */
uint64_t bitmap_plan_covered(const struct guest *guest, const char *since, const char *next);

/* On the disks in COVERED SINCE records again, with what NEXT has, and is the only
 * one of ours; on the others none of ours stays.  A new reference, an empty array when all is in
 * order; NULL: no memory. */
json_t *bitmap_plan_actions(const struct guest *guest, const char *since, const char *next,
			    uint64_t covered);

/* `block-dirty-bitmap-merge`; a new reference. */
json_t *bitmap_plan_merge(const char *node, const char *target, const char *source);
/* An action that changes nothing, and is refused when BITMAP is not there: into itself.
 * To stand before one that enables it: a transaction that fails at the enabling of a
 * bitmap that somebody removed kills QEMU (7.2 and 10.0 at least: the abort takes the
 * bitmap for there), and so does a merge of nothing. */
json_t *bitmap_plan_exists(const char *node, const char *bitmap);

#endif
