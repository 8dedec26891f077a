/* SPDX-License-Identifier: Apache-2.0
 *
 * guard: a tiny child that holds the monitor's socket open while the sidecar
 * lives and a moment longer.  QEMU drops the commands it has queued when the
 * socket closes; a sidecar killed between `stop` and `cont` of a batch would
 * leave the guest paused.  With the guard the socket outlives the sidecar until
 * QEMU has answered everything.
 */
#ifndef ENGINE_GUARD_H
#define ENGINE_GUARD_H

#include <sys/types.h>

#include "errinfo.h"

struct guard {
	pid_t pid;
	int socket_fd; /* closed by our death, whatever the cause */
};

/* Fork it, first thing: it shares nothing of the sidecar then. */
int guard_start(struct guard *guard, struct errinfo *err);
/* Give it MONITOR_FD to hold (a copy; the former one is let go). */
int guard_hold(struct guard *guard, int monitor_fd, struct errinfo *err);
/* An orderly end: nothing is in flight, the child leaves at once. */
void guard_stop(struct guard *guard);

#endif
