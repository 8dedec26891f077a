/* SPDX-License-Identifier: Apache-2.0
 *
 * Which side is bad, and what may be healed: every combination of what can be seen.
 */
#include <CUnit/CUnit.h>
#include <errno.h>
#include <stdio.h>

#include "cunit_main.h"
#include "heal.h"

#define A UINT64_C(0xa)
#define B UINT64_C(0xb)
#define C UINT64_C(0xc)

static const struct {
	struct repair_block replica; /* stored, own, status */
	struct scrub_source source;  /* known, status, sum */
	enum scrub_verdict verdict;
	bool can;
} blocks[] = {
	/* The replica verifies. */
	{{A, A, 0}, {true, 0, A}, SCRUB_FINE, false},
	{{A, A, 0}, {false, 0, 0}, SCRUB_FINE, false},
	{{A, A, 0}, {true, 0, B}, SCRUB_SOURCE, true},
	{{A, A, 0}, {true, -EIO, 0}, SCRUB_SOURCE, true},
	{{0, 0, 0}, {true, 0, 0}, SCRUB_FINE, false},
	{{0, 0, 0}, {true, 0, B}, SCRUB_SOURCE, true},
	{{A, A, 0}, {true, 0, 0}, SCRUB_SOURCE, true},
	/* A disk that cannot be read has no sum: its 0 is not that of zeros. */
	{{0, 0, 0}, {true, -EIO, 0}, SCRUB_SOURCE, true},
	/* It does not: changed, a lost write, unreadable. */
	{{A, B, 0}, {true, 0, A}, SCRUB_REPLICA, true},
	{{A, 0, 0}, {true, 0, A}, SCRUB_REPLICA, true},
	{{A, 0, -EIO}, {true, 0, A}, SCRUB_REPLICA, true},
	{{0, 0, -EIO}, {true, 0, 0}, SCRUB_REPLICA, true},
	{{A, B, 0}, {false, 0, 0}, SCRUB_REPLICA, false},
	{{A, 0, -EIO}, {false, 0, 0}, SCRUB_REPLICA, false},
	{{A, B, 0}, {true, 0, B}, SCRUB_SUM, true},
	{{A, 0, 0}, {true, 0, 0}, SCRUB_SUM, true},
	/* Nobody has it. */
	{{A, B, 0}, {true, 0, C}, SCRUB_BOTH, false},
	{{A, B, 0}, {true, -EIO, 0}, SCRUB_BOTH, false},
	{{A, 0, 0}, {true, -EIO, 0}, SCRUB_BOTH, false},
	{{A, 0, -EIO}, {true, 0, 0}, SCRUB_BOTH, false},
	{{A, 0, -EIO}, {true, -EIO, 0}, SCRUB_BOTH, false},
};

static void the_bad_side_is_told_from_the_good_one(void)
{
	for (unsigned i = 0; i < sizeof(blocks) / sizeof(blocks[0]); i++) {
		struct heal_block bad = {.replica = blocks[i].replica, .source = blocks[i].source};

		bad.verdict = scrub_judge(&bad.replica, &bad.source);
		CU_ASSERT_EQUAL(bad.verdict, blocks[i].verdict);
		CU_ASSERT_EQUAL(heal_can(&bad), blocks[i].can);
		if (bad.verdict != blocks[i].verdict)
			printf("block %u\n", i);
	}
}

static const struct cunit_case cases[] = {
	{"the_bad_side_is_told_from_the_good_one", the_bad_side_is_told_from_the_good_one},
};

int main(void)
{
	return cunit_run("scrub", cases, sizeof(cases) / sizeof(cases[0]));
}
