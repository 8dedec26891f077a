/* SPDX-License-Identifier: Apache-2.0
 *
 * Which points stay: tables of times.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <CUnit/CUnit.h>

#include "cunit_main.h"
#include "retention.h"

#define S INT64_C(1000000)
#define HOUR (3600 * S)
#define DAY (24 * HOUR)
#define T0 (INT64_C(1795478400) * S) /* 2026-11-24T00:00:00Z, a Tuesday */

static struct retention policy(const char *text)
{
	struct retention retention;
	struct errinfo err = {0};

	CU_ASSERT_EQUAL_FATAL(retention_parse(&retention, text, &err), 0);
	CU_ASSERT(retention.set);
	return retention;
}

/* The kept ones as a word of 0 and 1, oldest first. */
static const char *kept(const char *text, const int64_t *times_us, unsigned count)
{
	static char word[RETENTION_POINTS_MAX + 1];
	static bool keep[RETENTION_POINTS_MAX];
	struct retention retention = policy(text);

	retention_plan(&retention, times_us, count, keep);
	for (unsigned i = 0; i < count; i++)
		word[i] = keep[i] ? '1' : '0';
	word[count] = '\0';
	return word;
}

static void the_last_ones_stay(void)
{
	static const int64_t times[] = {T0, T0 + 1, T0 + 1, T0 + 60 * S, T0 + 61 * S};

	CU_ASSERT_STRING_EQUAL(kept("last=2", times, 5), "00011");
	CU_ASSERT_STRING_EQUAL(kept("last=3", times, 5), "00111"); /* the same time twice */
	CU_ASSERT_STRING_EQUAL(kept("last=9", times, 5), "11111");
	CU_ASSERT_STRING_EQUAL(kept("last=1", times, 0), "");
}

static void the_newest_of_each_period_stays(void)
{
	static const struct {
		const char *rule;
		int64_t times[6];
		const char *kept;
	} table[] = {
		{"hourly=2", {T0 - 1, T0, T0 + HOUR - 1, T0 + HOUR, T0 + HOUR + 1, T0 + 2 * HOUR - 1},
		 "001001"},
		/* hours without a point are not counted */
		{"hourly=3", {T0, T0 + 1, T0 + 9 * HOUR, T0 + 90 * HOUR, T0 + 91 * HOUR - 1,
			      T0 + 200 * HOUR}, "001011"},
		{"daily=2", {T0 - DAY, T0 - 1, T0, T0 + DAY - 1, T0 + DAY, T0 + DAY + 5}, "000101"},
		/* Sunday and Monday are two weeks: the 22nd and the 23rd of November */
		{"weekly=2", {T0 - 2 * DAY, T0 - DAY - 1, T0 - DAY, T0, T0 + 4 * DAY,
			      T0 + 6 * DAY - 1}, "010001"},
		{"monthly=2", {T0 - 24 * DAY - 1, T0 - 24 * DAY, T0 - 23 * DAY, T0, T0 + 7 * DAY - 1,
			       T0 + 7 * DAY}, "000011"},
		{"yearly=9", {-1, 0, T0 - 400 * DAY, T0, T0 + 38 * DAY - 1, T0 + 38 * DAY}, "111011"},
	};

	for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		CU_ASSERT_STRING_EQUAL(kept(table[i].rule, table[i].times, 6), table[i].kept);
}

/* A period of which an earlier rule kept a point is not counted again. */
static void a_point_counts_for_the_first_rule_that_keeps_it(void)
{
	static const int64_t times[] = {T0 - 3 * DAY, T0 - 2 * DAY, T0 - DAY, T0, T0 + 9 * HOUR,
					T0 + 10 * HOUR};

	CU_ASSERT_STRING_EQUAL(kept("last=1,daily=2", times, 6), "011001");
	CU_ASSERT_STRING_EQUAL(kept("hourly=2,daily=1", times, 6), "001011");
	CU_ASSERT_STRING_EQUAL(kept("daily=1,hourly=2", times, 6), "001011"); /* any order */
	CU_ASSERT_STRING_EQUAL(kept("last=1,hourly=1,daily=1", times, 6), "001011");
	CU_ASSERT_STRING_EQUAL(kept("last=2,hourly=1", times, 6), "000111");
}

/* Two years, a point every ten minutes, pruned after each one, as it is used. */
static void pruned_every_time_it_converges(void)
{
	static int64_t times[RETENTION_POINTS_MAX];
	static bool keep[RETENTION_POINTS_MAX];
	struct retention retention = policy("last=6,hourly=24,daily=14,weekly=8,monthly=12,yearly=3");
	unsigned count = 0, most = 0;

	for (int i = 0; i < 2 * 365 * 144; i++) {
		unsigned left = 0;

		times[count++] = T0 + i * 600 * S;
		retention_plan(&retention, times, count, keep);
		CU_ASSERT(keep[count - 1]);
		for (unsigned j = 0; j < count; j++) {
			if (keep[j])
				times[left++] = times[j];
		}
		count = left;
		most = count > most ? count : most;
	}
	CU_ASSERT(most <= 6 + 24 + 14 + 8 + 12 + 3);
	CU_ASSERT(count >= 6 + 23 + 13 + 7 + 11);
	CU_ASSERT(times[0] < T0 + 400 * DAY); /* the oldest are old */
}

static void the_list_of_rules_is_checked(void)
{
	static const char *const wrong[] = {
		"", ",", "last", "last=", "last=0", "last=x", "last=-1", "last=+1", "last= 1",
		"last=1,", ",last=1", "last=1,,daily=1", "last=1 daily=1", "Last=1", "minutely=3",
		"last=1,last=2", "last=513", "last=99999999999999999999", "last=300,daily=300",
		"last=1x", "lastx=1", "keep-last=1",
	};
	struct retention retention;

	for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct errinfo err = {0};

		CU_ASSERT(retention_parse(&retention, wrong[i], &err) < 0);
		CU_ASSERT(!retention.set && strlen(err.text) > 10);
	}
	retention = policy("yearly=1,last=60,hourly=24,daily=14,weekly=8,monthly=6");
	CU_ASSERT(retention.keep[RETENTION_LAST] == 60 && retention.keep[RETENTION_YEARLY] == 1 &&
		  retention.keep[RETENTION_MONTHLY] == 6);
}

int main(void)
{
#define CASE(fn) {#fn, fn}
	static const struct cunit_case cases[] = {
		CASE(the_last_ones_stay),
		CASE(the_newest_of_each_period_stays),
		CASE(a_point_counts_for_the_first_rule_that_keeps_it),
		CASE(pruned_every_time_it_converges),
		CASE(the_list_of_rules_is_checked),
	};

	return cunit_run("retention", cases, sizeof(cases) / sizeof(cases[0]));
}
