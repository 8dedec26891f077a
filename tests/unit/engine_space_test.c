/* SPDX-License-Identifier: Apache-2.0
 *
 * The forecast of a full file system, and the names of points.
 */
#include <CUnit/CUnit.h>
#include <string.h>

#include "cunit_main.h"
#include "points.h"
#include "space.h"

#define MIB (UINT64_C(1) << 20)

static struct space_trend trend;

static void note(unsigned samples, int64_t free_mib, int64_t step_mib)
{
	memset(&trend, 0, sizeof(trend));
	for (unsigned i = 0; i < samples; i++)
		space_note(&trend, 5000 + (int64_t)i * 10000,
			   (uint64_t)(free_mib + step_mib * (int64_t)i) * MIB);
}

static void a_steady_growth_is_found(void)
{
	double rate = 0;

	note(100, 100000, -10);
	CU_ASSERT(space_rate(&trend, &rate));
	CU_ASSERT_DOUBLE_EQUAL(rate, (double)MIB, 1.0);
	CU_ASSERT_EQUAL(space_full_in_s((double)MIB, 3600 * MIB), 3600);
	note(1000, 100000, -10); /* more than are kept */
	CU_ASSERT(space_rate(&trend, &rate));
	CU_ASSERT_DOUBLE_EQUAL(rate, (double)MIB, 1.0);
}

static void without_growth_there_is_no_forecast(void)
{
	double rate = 1;

	note(2, 1000, -10);
	CU_ASSERT(!space_rate(&trend, &rate));
	note(50, 1000, 0);
	CU_ASSERT(space_rate(&trend, &rate) && rate == 0);
	CU_ASSERT_EQUAL(space_full_in_s(rate, MIB), -1);
	note(50, 1000, 10);
	CU_ASSERT(space_rate(&trend, &rate) && rate < 0);
	CU_ASSERT_EQUAL(space_full_in_s(rate, MIB), -1);
	CU_ASSERT_EQUAL(space_full_in_s(1e-9, MIB), -1); /* in a million years */
	memset(&trend, 0, sizeof(trend));
	for (int i = 0; i < 9; i++)
		space_note(&trend, 7, MIB); /* a clock that stands still */
	CU_ASSERT(!space_rate(&trend, &rate));
}

static void the_reserve_is_a_part_of_the_whole(void)
{
	CU_ASSERT(space_short(49, 1000, 5));
	CU_ASSERT(!space_short(50, 1000, 5));
	CU_ASSERT(!space_short(0, 1000, 0));
	CU_ASSERT(space_short(UINT64_C(1) << 60, UINT64_C(1) << 63, 90));
}

static void names_of_points_are_checked(void)
{
	static const char *const wrong[] = {"", ".a", "a b", "a/b", "17", "latest", "\xc3\xa4",
					    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
					    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"};
	char name[POINT_NAME_MAX + 1];
	struct errinfo err = {0};

	for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		err_clear(&err);
		CU_ASSERT(points_check_name(wrong[i], &err) < 0 && err.text[0]);
	}
	err_clear(&err);
	points_name_of_time(INT64_C(1795523405) * 1000000, 1, name);
	CU_ASSERT_STRING_EQUAL(name, "2026-11-24T12:30:05Z");
	CU_ASSERT_EQUAL(points_check_name(name, &err), 0);
	points_name_of_time(INT64_C(1795523405) * 1000000, 2, name);
	CU_ASSERT_STRING_EQUAL(name, "2026-11-24T12:30:05Z.2");
	CU_ASSERT_EQUAL(points_check_name(name, &err), 0);
}

int main(void)
{
#define CASE(fn) {#fn, fn}
	static const struct cunit_case cases[] = {
		CASE(a_steady_growth_is_found),
		CASE(without_growth_there_is_no_forecast),
		CASE(the_reserve_is_a_part_of_the_whole),
		CASE(names_of_points_are_checked),
	};

	return cunit_run("space", cases, sizeof(cases) / sizeof(cases[0]));
}
