/* SPDX-License-Identifier: Apache-2.0
 *
 * What a copy in the background may read.
 */
#include <CUnit/CUnit.h>

#include "cunit_main.h"
#include "ration.h"

#define MS INT64_C(1000000)

static struct ration ration;

static void the_rate_is_never_exceeded(void)
{
	uint64_t sum = 0;

	ration_begin(&ration, 1000000, 0, 5 * MS, 0);
	CU_ASSERT_EQUAL(ration_due(&ration, 5 * MS, 0), 0);
	for (int i = 1; i <= 1000; i++)
		sum += ration_due(&ration, (5 + i * 7) * MS, i * MS);
	CU_ASSERT(sum <= 7000000 && sum > 6990000);
	/* What was not fetched in time is not saved up. */
	CU_ASSERT_EQUAL(ration_due(&ration, (5 + 7000 + 60000) * MS, 0), 200000);
	CU_ASSERT_EQUAL(ration_due(&ration, 0, 0), 0); /* a clock that went back */
}

static void more_cpu_than_its_share_waits(void)
{
	ration_begin(&ration, 0, 10, 0, 0);
	CU_ASSERT(ration_due(&ration, 20 * MS, 2 * MS) > 1 << 30);
	CU_ASSERT_EQUAL(ration_due(&ration, 40 * MS, 12 * MS), 0);
	CU_ASSERT_EQUAL(ration_due(&ration, 119 * MS, 12 * MS), 0);
	CU_ASSERT(ration_due(&ration, 121 * MS, 12 * MS) > 0);
	ration_begin(&ration, 1000000, 10, 0, 0);
	CU_ASSERT_EQUAL(ration_due(&ration, 20 * MS, 19 * MS), 0);
	CU_ASSERT(ration_due(&ration, 200 * MS, 19 * MS) > 0);
}

int main(void)
{
	static const struct cunit_case cases[] = {
		{"the_rate_is_never_exceeded", the_rate_is_never_exceeded},
		{"more_cpu_than_its_share_waits", more_cpu_than_its_share_waits},
	};

	return cunit_run("engine_ration", cases, sizeof(cases) / sizeof(cases[0]));
}
