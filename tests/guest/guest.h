/* SPDX-License-Identifier: Apache-2.0
 *
 * What the two halves of the test guest share: init.c boots and reads the
 * kernel command line, writer.c writes records until told otherwise.
 */
#ifndef GUEST_H
#define GUEST_H

#include "record.h"

/* Parameters are words `qh.NAME=VALUE` of the kernel command line. */
const char *param_get(const char *name, const char *fallback);
uint64_t param_number(const char *name, uint64_t fallback);

/* One line to the console, and to the host. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Mounts the file system on the disk `name`, writes files to it and runs qemu-ga, each
 * in a process of its own. */
void agent_run(const char *name);

/* Opens the disks `names`, separated by commas, and writes.  Never returns. */
void writer_run(char *names) __attribute__((noreturn));

#endif
