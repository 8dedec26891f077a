/* SPDX-License-Identifier: Apache-2.0
 *
 * qemu_argv: what a QEMU's own command line tells, as far as its monitor does not.
 * Pure: the bytes of /proc/PID/cmdline in (not trusted).
 */
#ifndef ENGINE_QEMU_ARGV_H
#define ENGINE_QEMU_ARGV_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "bounds.h"

#define QEMU_ARGV_MAX (256u << 10)
#define QEMU_ARGV_MONITORS_MAX 8

struct qemu_argv {
	bool is_qemu;
	char name[BOUND_VM_NAME + 1]; /* of -name, "" for none */
	char panic_action[16], watchdog_action[16]; /* of -action (or -watchdog-action), "" */
	unsigned monitors; /* in all, those without a path too */
	unsigned paths;
	char path[QEMU_ARGV_MONITORS_MAX][PATH_MAX]; /* unix sockets that speak QMP */
};

void qemu_argv_parse(struct qemu_argv *qemu, const char *text, size_t length);
/* Of the process PID: false when it cannot be read or is no QEMU. */
bool qemu_argv_read(struct qemu_argv *qemu, int pid);

#endif
