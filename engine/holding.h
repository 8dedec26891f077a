/* SPDX-License-Identifier: Apache-2.0
 *
 * holding: a sidecar and the lease of its store (lease.h).  It is renewed from the first
 * moment on at which nobody else can have it, and through the end of a QEMU and the start of
 * another: whoever has not renewed it for its time is taken for gone.
 */
#ifndef ENGINE_HOLDING_H
#define ENGINE_HOLDING_H

#include "errinfo.h"

struct sidecar;

/* Before anything is looked at.  -EBUSY: another host renews it. */
int holding_begin(struct sidecar *sidecar, struct errinfo *err);
/* The store is open and the guest known.  Without --lease one that was left is released. */
int holding_take(struct sidecar *sidecar, struct errinfo *err);

#endif
