/* SPDX-License-Identifier: Apache-2.0
 *
 * sum: the checksum of one block, XXH3-64 seeded with the block's byte offset
 * in its disk, so that a block found at the wrong address does not verify.
 * 0 is kept for "all zeros" (a hole); a real sum of 0 is stored as 1.
 */
#ifndef BLOCKIO_SUM_H
#define BLOCKIO_SUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SUM_ZERO UINT64_C(0) /* the block is all zeros */

uint64_t block_sum(const void *data, size_t length, uint64_t offset);
bool block_is_zero(const void *data, size_t length);

#endif
