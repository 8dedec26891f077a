/* SPDX-License-Identifier: Apache-2.0 */
#include <CUnit/CUnit.h>

#include "cunit_main.h"
#include "latency.h"

static void percentiles_are_close_above_the_truth(void)
{
	static struct latency latency;

	for (uint64_t us = 1; us <= 10000; us++)
		latency_add(&latency, us * 1000);
	for (unsigned per_mille = 100; per_mille <= 999; per_mille += 29) {
		uint64_t truth = UINT64_C(10) * per_mille, found = latency_us(&latency, per_mille);

		CU_ASSERT(found >= truth && found <= truth + truth / 15 + 2);
	}
	CU_ASSERT_EQUAL(latency_us(&latency, 1000), 10000);
}

static void few_requests_have_percentiles_too(void)
{
	static struct latency none, one;

	CU_ASSERT_EQUAL(latency_us(&none, 990), 0);
	latency_add(&one, 5000);
	CU_ASSERT_EQUAL(latency_us(&one, 500), 5);
	CU_ASSERT_EQUAL(latency_us(&one, 999), 5);
}

static void the_longest_wait_has_a_bucket(void)
{
	static struct latency latency;

	latency_add(&latency, 0);
	latency_add(&latency, UINT64_MAX);
	CU_ASSERT_EQUAL(latency.count, 2);
	CU_ASSERT(latency_us(&latency, 500) <= 1);
	CU_ASSERT_EQUAL(latency_us(&latency, 1000), UINT64_MAX / 1000);
}

static const struct cunit_case cases[] = {
    {"percentiles_are_close_above_the_truth", percentiles_are_close_above_the_truth},
    {"few_requests_have_percentiles_too", few_requests_have_percentiles_too},
    {"the_longest_wait_has_a_bucket", the_longest_wait_has_a_bucket},
};

int main(void)
{
	return cunit_run("guest_latency", cases, sizeof(cases) / sizeof(cases[0]));
}
