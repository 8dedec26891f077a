/* SPDX-License-Identifier: Apache-2.0
 *
 * restart: may QEMU be started anew when it is gone, and by what.  Somebody else may
 * look after that already (libvirt, systemd), so it is off unless asked for.
 */
#ifndef ENGINE_RESTART_H
#define ENGINE_RESTART_H

#include "config.h"
#include "errinfo.h"

struct sidecar;

#define RESTART_LOG "qemu.log" /* in the store: what a QEMU that we started says */

/* recorded, never, or hook:COMMAND with an absolute path.  False: it is none of them. */
bool restart_parse(const char *text, enum restart_mode *mode, const char **hook);

/* When attached: the QEMU at the monitor's other end is recorded, if that is wanted. */
void restart_record(struct sidecar *sidecar);
/* NULL: a hook, if it is that, is there and may be run; else a literal. */
const char *restart_hook_lacks(const struct config *config);
/* NULL: there is a way; else why not, a literal. */
const char *restart_lacks(const struct sidecar *sidecar);
/* The same, of what is recorded alone. */
const char *restart_not_recorded(const struct sidecar *sidecar);
/* Now and then: the log stays small. */
void restart_trim_log(const struct sidecar *sidecar);

#endif
