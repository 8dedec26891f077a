/* SPDX-License-Identifier: Apache-2.0
 *
 * cut: ends a connection of another process from outside, as if the network had.
 */
#ifndef ENGINE_CUT_H
#define ENGINE_CUT_H

#include "errinfo.h"

/* Of the process behind PIDFD (its number: PID) all connections to the NBD server that
 * QEMU calls FILE: nbd+unix:///...?socket=PATH, nbd://ADDRESS:PORT with an address in
 * numbers.  -EPERM: the kernel does not let us; -ENOENT: it has none; -EINVAL: FILE is
 * neither. */
int cut_connection(int pidfd, int pid, const char *file, struct errinfo *err);

/* Where FILE's server is: 0, and PATH, or else HOST and PORT are set.  Pure. */
int cut_parse(const char *file, char path[108], char host[64], unsigned *port);

#endif
