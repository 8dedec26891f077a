/* SPDX-License-Identifier: Apache-2.0 */
#include <CUnit/CUnit.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "cunit_main.h"
#include "sum.h"

#define BLOCK 65536

static uint8_t *block_new(unsigned char fill)
{
	uint8_t *block = malloc(BLOCK);

	CU_ASSERT_PTR_NOT_NULL_FATAL(block);
	memset(block, fill, BLOCK);
	return block;
}

static void zeros_of_any_length_sum_to_zero(void)
{
	uint8_t *block = block_new(0);

	for (size_t length = 0; length <= 64; length++)
		CU_ASSERT(block_is_zero(block, length));
	CU_ASSERT(block_is_zero(block, BLOCK));
	CU_ASSERT_EQUAL(block_sum(block, BLOCK, 7 * BLOCK), SUM_ZERO);
	CU_ASSERT_EQUAL(block_sum(block, 512, 0), SUM_ZERO);
	free(block);
}

static void one_set_bit_anywhere_is_not_zero(void)
{
	static const size_t lengths[] = {1, 2, 7, 8, 9, 15, 16, 17, 63, 512, 4096};
	uint8_t *block = block_new(0);

	for (unsigned i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		for (size_t at = 0; at < lengths[i]; at++) {
			block[at] = 0x80;
			CU_ASSERT(!block_is_zero(block, lengths[i]));
			CU_ASSERT_NOT_EQUAL(block_sum(block, lengths[i], 0), SUM_ZERO);
			block[at] = 0;
		}
	}
	block[BLOCK - 1] = 1;
	CU_ASSERT(!block_is_zero(block, BLOCK));
	free(block);
}

static void sum_is_xxh3_seeded_with_the_offset(void)
{
	static const size_t lengths[] = {1, 16, 128, 240, 241, 512, 4096, BLOCK};
	uint8_t *block = block_new(0);

	for (size_t i = 0; i < BLOCK; i++)
		block[i] = (uint8_t)(i * 131 + (i >> 8) + 1);
	for (unsigned i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		uint64_t offset = (UINT64_C(1) << 40) + i * BLOCK;

		CU_ASSERT_EQUAL(block_sum(block, lengths[i], offset),
				XXH3_64bits_withSeed(block, lengths[i], offset));
	}
	free(block);
}

static void same_data_at_another_address_sums_differently(void)
{
	uint8_t *block = block_new(0xa5);

	CU_ASSERT_NOT_EQUAL(block_sum(block, BLOCK, 0), block_sum(block, BLOCK, BLOCK));
	CU_ASSERT_EQUAL(block_sum(block, BLOCK, BLOCK), block_sum(block, BLOCK, BLOCK));
	free(block);
}

static const struct cunit_case cases[] = {
    {"zeros_of_any_length_sum_to_zero", zeros_of_any_length_sum_to_zero},
    {"one_set_bit_anywhere_is_not_zero", one_set_bit_anywhere_is_not_zero},
    {"sum_is_xxh3_seeded_with_the_offset", sum_is_xxh3_seeded_with_the_offset},
    {"same_data_at_another_address_sums_differently",
     same_data_at_another_address_sums_differently},
};

int main(void)
{
	return cunit_run("sum", cases, sizeof(cases) / sizeof(cases[0]));
}
