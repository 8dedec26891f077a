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
/* Where the first data at or behind OFFSET is, INT64_MAX: nowhere; OFFSET itself where the
 * file system does not tell. */
int64_t keep_data_next(int fd, uint64_t offset);

#endif
