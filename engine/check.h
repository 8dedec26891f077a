/* SPDX-License-Identifier: Apache-2.0
 *
 * check: `qheal check`: what can be protected, and what to change if not.
 * Changes nothing in QEMU.
 */
#ifndef ENGINE_CHECK_H
#define ENGINE_CHECK_H

#include <stdbool.h>

/* 0: everything can be protected; 1: not, or not fully. */
int check_run(const char *address, bool as_json);

#endif
