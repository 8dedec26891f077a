/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#if defined(__x86_64__)
#include <xxh_x86dispatch.h> /* the library's plain entry points stay with SSE2 */
#else
#include <xxhash.h>
#endif

#include "sum.h"

#define SUM_INSTEAD_OF_ZERO UINT64_C(1)

/* Data leaves at its first word; zeros compare themselves with themselves one
 * word further, at the speed of memcmp(). */
bool block_is_zero(const void *data, size_t length)
{
	const uint8_t *bytes = data;
	uint64_t word = 0;

	if (length < sizeof(word))
		return !length || (!bytes[0] && !memcmp(bytes, bytes + 1, length - 1));
	memcpy(&word, bytes, sizeof(word));
	return !word && !memcmp(bytes, bytes + sizeof(word), length - sizeof(word));
}

uint64_t block_sum(const void *data, size_t length, uint64_t offset)
{
	uint64_t sum;

	if (block_is_zero(data, length))
		return SUM_ZERO;
	sum = XXH3_64bits_withSeed(data, length, offset);
	return sum == SUM_ZERO ? SUM_INSTEAD_OF_ZERO : sum;
}
