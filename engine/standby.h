/* SPDX-License-Identifier: Apache-2.0
 *
 * standby: a QEMU that waits for the guest (-incoming), as --standby names it:
 *   qmp=SOCKET[,uri=URI]
 * SOCKET is its monitor, URI where the guest goes; without one it is a socket in the
 * store, and the standby was started with -incoming defer.  Commas in them are doubled.
 */
#ifndef ENGINE_STANDBY_H
#define ENGINE_STANDBY_H

#include <limits.h>
#include <stdbool.h>

struct standby {
	char qmp[PATH_MAX]; /* "": none */
	char uri[PATH_MAX]; /* "": a socket in the store */
};

/* Pure.  False: that is no standby; STANDBY is empty then. */
bool standby_parse(const char *text, struct standby *standby);

#endif
