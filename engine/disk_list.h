/* SPDX-License-Identifier: Apache-2.0
 *
 * disk_list: the disks of the guest against those of the store, and what may
 * become of the difference.
 *
 *   in both        continued; longer than it was: extended; shorter: copied anew
 *   in the guest   added: copied
 *   in the store   gone from the guest: its replica goes.  Still there, but not
 *                  asked for: refused, unless --drop-disks says that it is meant
 */
#ifndef ENGINE_DISK_LIST_H
#define ENGINE_DISK_LIST_H

#include "sidecar.h"

/* The store is of this guest, by name and uuid. */
bool disk_list_same_guest(const struct store_spec *spec, const struct guest *guest);

/* Pure.  SELECTED: the guest's disks to be protected, ALL: those it has.  CHANGED:
 * the store's list has to become that of SELECTED.  -EPERM with the reason. */
int disk_list_check(const struct store_info *info, const struct guest *selected,
		    const struct guest *all, bool drop, const char *dir, bool *changed,
		    struct errinfo *err);

/* The open store gets the guest's list; it is closed and opened for that, and is NULL
 * when that fails. */
int disk_list_apply(struct sidecar *sidecar, struct errinfo *err);

/* Beside a running guest: disks that somebody has made longer.  0: followed, and
 * the bitmaps do not cover them; -ESTALE: it is something else that changed. */
int disk_list_follow(struct sidecar *sidecar, struct errinfo *err);

#endif
