/* SPDX-License-Identifier: Apache-2.0
 *
 * takeover: `qheal standby`, on another host that reaches the store: it waits for the end of
 * the host that has the guest, and boots the replica here.
 *
 *   WAITING   no lease (lease.h), one that is renewed, or one that was released
 *     |  expired, and no monitor answers.  One that does answer is left alone; if the lease
 *     |  is of this very host, it gets a sidecar
 *   FENCE     the operator's command: 0 says that the host is off, or cut off from the store
 *   OPEN      the store's lock, and the lease: another sidecar is refused from now on
 *   BOOT      boot.c: overlays above the heads, QEMU as it was recorded, or by a hook
 *     |
 *   the story of a sidecar (protect.c) begins with the new QEMU
 *
 * What the guest wrote since the last generation is lost: nothing is done unless --on-loss
 * rollback accepts that, or the guest lived on images in the store already.  A fence that
 * fails is tried again, with growing pauses, until the lease is renewed.  Of a standby that
 * is killed in
 *
 *   FENCE  the next one waits for the lease's time and fences again
 *   OPEN   the same; the host that comes back is refused while the lease is renewed
 *   BOOT   overlays without a note in the store are removed and made anew; those with one,
 *          the newest that there is of the guest, are booted; a QEMU that was started
 *          already gets its sidecar
 *
 * Never two QEMUs on one replica: the lease is not the proof that the other one is gone, the
 * fence is.
 */
#ifndef ENGINE_TAKEOVER_H
#define ENGINE_TAKEOVER_H

#include <stdbool.h>

#include "config.h"
#include "errinfo.h"

struct response;
struct sidecar;

/* Until it is over: the exit status, or SIDECAR's `rebirth`: the guest runs here. */
int takeover_run(struct sidecar *sidecar, struct config *config);
/* strategy failover, of a host that is gone. */
int takeover_boot(struct response *response, struct errinfo *err);
/* A standby watches the store in DIR (as far as locks are seen from here). */
bool takeover_waits(const char *dir);

#endif
