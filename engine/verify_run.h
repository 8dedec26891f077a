/* SPDX-License-Identifier: Apache-2.0
 *
 * verify_run: what `qheal verify` does: every image of a store, heads and points,
 * is read and each of its blocks checked against its sum.
 */
#ifndef ENGINE_VERIFY_RUN_H
#define ENGINE_VERIFY_RUN_H

#include <stdbool.h>

int verify_run(const char *store, bool json); /* the exit status */

#endif
