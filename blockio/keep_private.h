/* SPDX-License-Identifier: Apache-2.0
 *
 * What keep.c (which blocks) and keep_op.c (some blocks on their way) share.
 */
#ifndef BLOCKIO_KEEP_PRIVATE_H
#define BLOCKIO_KEEP_PRIVATE_H

#include "keep.h"

void keep_step(struct keep *keep);
void keep_fail(struct keep *keep, int status, const char *what);
void keep_op_start(struct keep_op *op);

#endif
