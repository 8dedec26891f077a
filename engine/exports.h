/* SPDX-License-Identifier: Apache-2.0
 *
 * exports: the NBD server inside QEMU.  The listening socket is ours, made in the
 * store's directory (0700) and handed over by descriptor, so that QEMU needs no
 * right to that path; it stays running when the sidecar ends and is found again.
 */
#ifndef ENGINE_EXPORTS_H
#define ENGINE_EXPORTS_H

#include <stdbool.h>

#include "bounds.h"
#include "errinfo.h"
#include "monitor.h"

struct exports {
	int dir_fd;
	bool running; /* a server of ours, to be stopped at the end */
	char path[64]; /* of the socket, short whatever the store is called */
};

/* Start the server, or adopt the one an earlier sidecar of this store left.
 * OURS: a server that runs and has no exports but ours is that of a killed sidecar,
 * whatever its store.
 * -EBUSY: somebody else's server runs in this QEMU. */
int exports_start(struct exports *exports, struct monitor *monitor, const char *store_dir,
		  bool ours, struct errinfo *err);
/* Somebody's nbd-server-stop took ours: when that is WHY a command failed, start it
 * again; true when the command is worth another try. */
bool exports_revive(struct exports *exports, struct monitor *monitor, const char *store_dir,
		    const struct errinfo *why);
/* Forget a server that is gone. */
void exports_close(struct exports *exports);
/* Our descriptor only: the server stays, or went with its QEMU. */
void exports_leave(struct exports *exports);
/* Stop it (an orderly end); errors do not matter any more. */
void exports_stop(struct exports *exports, struct monitor *monitor);

#endif
