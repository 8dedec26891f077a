/* SPDX-License-Identifier: Apache-2.0 */
#include <CUnit/CUnit.h>
#include <math.h>

#include "cunit_main.h"
#include "stats.h"

static void near(double found, double wanted)
{
	CU_ASSERT_DOUBLE_EQUAL(found, wanted, 1e-9 * (1 + fabs(wanted)));
}

static void quartiles_interpolate_as_type_7(void)
{
	const double values[] = {4, 1, 3, 2}; /* R: quantile(1:4) gives 1.75 2.5 3.25 */

	near(stats_quantile(values, 4, 0.25), 1.75);
	near(stats_median(values, 4), 2.5);
	near(stats_quantile(values, 4, 0.75), 3.25);
	near(stats_quantile(values, 4, 0), 1);
	near(stats_quantile(values, 4, 1), 4);
	near(stats_median(values, 1), 4);
	CU_ASSERT_EQUAL(values[0], 4); /* left as it was */
}

static void a_percentile_is_a_sample_that_was_seen(void)
{
	double values[100];

	for (int i = 0; i < 100; i++)
		values[i] = 100 - i;
	near(stats_percentile(values, 100, 99), 99);
	near(stats_percentile(values, 100, 90), 90);
	near(stats_percentile(values, 100, 100), 100);
	near(stats_percentile(values, 100, 0), 1);
	near(stats_percentile(values, 50, 99), 100);
}

static void spread_ignores_one_wild_value(void)
{
	const double values[] = {1, 1, 2, 2, 4, 6, 900}; /* away from 2: 1 1 0 0 2 4 898 */

	near(stats_mad(values, 7), 1);
}

/* Tables of Hollander, Wolfe, Chicken; and R's qsignrank and qwilcox. */
static void critical_counts_are_those_of_the_tables(void)
{
	CU_ASSERT_EQUAL(stats_signed_rank_outside(5, 0.95), -1); /* 2 of 32 is too much */
	CU_ASSERT_EQUAL(stats_signed_rank_outside(6, 0.95), 0);
	CU_ASSERT_EQUAL(stats_signed_rank_outside(10, 0.95), 8);
	CU_ASSERT_EQUAL(stats_signed_rank_outside(20, 0.95), 52);
	CU_ASSERT_EQUAL(stats_signed_rank_outside(7, 0.99), -1);
	CU_ASSERT_EQUAL(stats_signed_rank_outside(8, 0.99), 0);
	CU_ASSERT_EQUAL(stats_rank_sum_outside(3, 3, 0.95), -1);
	CU_ASSERT_EQUAL(stats_rank_sum_outside(4, 4, 0.95), 0);
	CU_ASSERT_EQUAL(stats_rank_sum_outside(5, 5, 0.95), 2);
	CU_ASSERT_EQUAL(stats_rank_sum_outside(10, 10, 0.95), 23);
	CU_ASSERT_EQUAL(stats_rank_sum_outside(10, 10, 0.99), 16);
	CU_ASSERT_EQUAL(stats_rank_sum_outside(20, 20, 0.95), 127);
	CU_ASSERT_EQUAL(stats_rank_sum_outside(7, 12, 0.95), stats_rank_sum_outside(12, 7, 0.95));
}

static void approximation_meets_the_exact_count_at_the_border(void)
{
	int exact = stats_signed_rank_outside(50, 0.95),
	    beyond = stats_signed_rank_outside(51, 0.95);

	CU_ASSERT(beyond > exact && beyond - exact < 30); /* the tables: 434, 453 */
	exact = stats_rank_sum_outside(25, 25, 0.99);
	beyond = stats_rank_sum_outside(26, 25, 0.99);
	CU_ASSERT(beyond > exact && beyond - exact < 20);
}

static void pairs_cancel_what_slows_both(void)
{
	double a[12], b[12];
	struct stats_interval ratio;

	for (int i = 0; i < 12; i++) {
		b[i] = 1 + 10 * i; /* the machine gets slower and slower */
		a[i] = 1.2 * b[i];
	}
	ratio = stats_pair_ratio(a, b, 12, 0.95);
	near(ratio.estimate, 1.2);
	near(ratio.low, 1.2);
	near(ratio.high, 1.2);
	CU_ASSERT(ratio.known);
}

/* By hand: the 21 Walsh averages of 0 1 2 3 4 20 have their median at 2.5. */
static void one_wild_pair_does_not_move_the_estimate(void)
{
	double a[6], b[6] = {1, 1, 1, 1, 1, 1};
	const double logs[] = {3, 0, 20, 1, 4, 2};
	struct stats_interval ratio;

	for (int i = 0; i < 6; i++)
		a[i] = exp(logs[i]);
	ratio = stats_pair_ratio(a, b, 6, 0.95);
	near(log(ratio.estimate), 2.5);
	near(log(ratio.low), 0);
	near(log(ratio.high), 20);
}

static void too_few_values_have_no_interval(void)
{
	const double a[] = {1, 2, 3}, b[] = {2, 2, 2};
	struct stats_interval ratio = stats_pair_ratio(a, b, 3, 0.95);

	CU_ASSERT(!ratio.known);
	near(ratio.low, 0.5);
	near(ratio.high, 1.5);
	CU_ASSERT(!stats_sample_ratio(a, 3, b, 3, 0.99).known);
}

/* A small generator of its own: the same numbers everywhere. */
static double random_next(unsigned long long *state)
{
	*state = *state * 6364136223846793005ULL + 1442695040888963407ULL;
	return (double)(*state >> 11) / 9007199254740992.0;
}

static void interval_holds_the_truth_as_often_as_it_says(void)
{
	unsigned long long state = 1;
	unsigned held = 0, of = 1000;

	for (unsigned round = 0; round < of; round++) {
		double new[15], old[15];
		struct stats_interval found;

		for (int i = 0; i < 15; i++) {
			old[i] = exp(random_next(&state));
			new[i] = 1.2 * exp(random_next(&state));
		}
		found = stats_sample_ratio(new, 15, old, 15, 0.95);
		held += found.low <= 1.2 && found.high >= 1.2;
	}
	CU_ASSERT(held >= 930 && held <= 980);
}

static const struct cunit_case cases[] = {
    {"quartiles_interpolate_as_type_7", quartiles_interpolate_as_type_7},
    {"a_percentile_is_a_sample_that_was_seen", a_percentile_is_a_sample_that_was_seen},
    {"spread_ignores_one_wild_value", spread_ignores_one_wild_value},
    {"critical_counts_are_those_of_the_tables", critical_counts_are_those_of_the_tables},
    {"approximation_meets_the_exact_count_at_the_border",
     approximation_meets_the_exact_count_at_the_border},
    {"pairs_cancel_what_slows_both", pairs_cancel_what_slows_both},
    {"one_wild_pair_does_not_move_the_estimate", one_wild_pair_does_not_move_the_estimate},
    {"too_few_values_have_no_interval", too_few_values_have_no_interval},
    {"interval_holds_the_truth_as_often_as_it_says", interval_holds_the_truth_as_often_as_it_says},
};

int main(void)
{
	return cunit_run("bench_stats", cases, sizeof(cases) / sizeof(cases[0]));
}
