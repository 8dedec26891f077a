/* SPDX-License-Identifier: Apache-2.0
 *
 * instance: one sidecar a QEMU, on whichever monitor and whichever store.  The
 * name of an abstract socket with QEMU's pid in it: it vanishes with us.
 */
#ifndef ENGINE_INSTANCE_H
#define ENGINE_INSTANCE_H

#include "errinfo.h"

/* MONITOR_FD: the connected monitor.  Returns the descriptor that holds the name,
 * -1 when the peer's pid is not known (TCP), or -EBUSY with the sentence. */
int instance_claim(int monitor_fd, struct errinfo *err);

#endif
