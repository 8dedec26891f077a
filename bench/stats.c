/* SPDX-License-Identifier: Apache-2.0
 *
 * stats: sources of the formulas
 *
 *   quantile            Hyndman, Fan: Sample Quantiles in Statistical Packages. The
 *                       American Statistician 50 (1996), definition 7
 *   percentile          nearest rank: the smallest value that this share does not exceed
 *   MAD                 Hampel: The Influence Curve. JASA 69 (1974)
 *   pairs               Wilcoxon: Individual Comparisons by Ranking Methods. Biometrics
 *                       Bulletin 1 (1945); estimate and interval from the Walsh averages:
 *                       Hollander, Wolfe, Chicken: Nonparametric Statistical Methods,
 *                       3rd ed. (2014), sections 3.2 and 3.3
 *   two samples         Mann, Whitney: On a Test. Annals of Math. Statistics 18 (1947);
 *                       estimate and interval: Hollander et al., sections 4.2 and 4.3
 *   distribution of U   Gaussian binomial coefficients: Andrews: The Theory of
 *                       Partitions (1976), chapter 3
 */
#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stats.h"

#define SIGNED_RANK_EXACT 50 /* 2^50 is exact in a double */
#define RANK_SUM_EXACT 25    /* C(50,25) is exact in a double */

static double *values_new(size_t count)
{
	double *values = calloc(count ? count : 1, sizeof(*values));

	if (!values) {
		fputs("qheal-bench: out of memory\n", stderr);
		abort();
	}
	return values;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double *sorted(const double *values, unsigned count)
{
	double *copy = values_new(count);

	assert(count && count <= STATS_SAMPLES_MAX);
	memcpy(copy, values, count * sizeof(*copy));
	qsort(copy, count, sizeof(*copy), compare);
	return copy;
}

static double quantile_of_sorted(const double *ranked, size_t count, double part)
{
	double at = part * (double)(count - 1);
	size_t below = (size_t)at;

	if (below + 1 >= count)
		return ranked[count - 1];
	return ranked[below] + (at - (double)below) * (ranked[below + 1] - ranked[below]);
}

static double percentile_of_sorted(const double *ranked, unsigned count, double percent)
{
	double rank = ceil(count * percent / 100);

	return ranked[rank < 1 ? 0 : (unsigned)rank - 1];
}

double stats_quantile(const double *values, unsigned count, double part)
{
	double *ranked = sorted(values, count), found = quantile_of_sorted(ranked, count, part);

	free(ranked);
	return found;
}

double stats_percentile(const double *values, unsigned count, double percent)
{
	double *ranked = sorted(values, count),
	       found = percentile_of_sorted(ranked, count, percent);

	free(ranked);
	return found;
}

double stats_median(const double *values, unsigned count)
{
	return stats_quantile(values, count, 0.5);
}

double stats_mad(const double *values, unsigned count)
{
	double *away = values_new(count), median = stats_median(values, count), found;

	for (unsigned i = 0; i < count; i++)
		away[i] = fabs(values[i] - median);
	found = stats_median(away, count);
	free(away);
	return found;
}

void stats_figures(const double *values, unsigned count, struct stats_figures *figures)
{
	double *ranked = sorted(values, count);

	*figures = (struct stats_figures){
	    .count = count,
	    .median = quantile_of_sorted(ranked, count, 0.5),
	    .q1 = quantile_of_sorted(ranked, count, 0.25),
	    .q3 = quantile_of_sorted(ranked, count, 0.75),
	    .mad = stats_mad(values, count),
	    .min = ranked[0],
	    .max = ranked[count - 1],
	    .p90 = percentile_of_sorted(ranked, count, 90),
	    .p99 = percentile_of_sorted(ranked, count, 99),
	};
	free(ranked);
}

/* z with P(|Z| <= z) = CONFIDENCE, by bisection of erfc. */
static double normal_two_sided(double confidence)
{
	double low = 0, high = 10;

	for (int i = 0; i < 100; i++) {
		double middle = (low + high) / 2;

		if (1 - erfc(middle / sqrt(2)) < confidence)
			low = middle;
		else
			high = middle;
	}
	return low;
}

/* WAYS[k]: how many of TOTAL equally likely cases give the statistic k.  The largest
 * c with P(statistic < c) <= (1 - CONFIDENCE) / 2, or -1 when not even c = 1 is. */
static int outside_of(const double *ways, size_t length, double total, double confidence)
{
	double tail = 0, allowed = (1 - confidence) / 2 * total;
	size_t k = 0;

	while (k < length && tail + ways[k] <= allowed)
		tail += ways[k++];
	return k ? (int)k - 1 : -1;
}

/* Beyond the exact range: mean and deviation of the statistic. */
static int outside_by_normal(double mean, double deviation, double confidence)
{
	double at = floor(mean - 0.5 - normal_two_sided(confidence) * deviation);

	return at < 0 ? -1 : (int)at;
}

int stats_signed_rank_outside(unsigned count, double confidence)
{
	double n = count, total = ldexp(1, (int)count), *ways;
	size_t length = (size_t)count * (count + 1) / 2 + 1;
	int found;

	if (count > SIGNED_RANK_EXACT)
		return outside_by_normal(n * (n + 1) / 4, sqrt(n * (n + 1) * (2 * n + 1) / 24),
					 confidence);
	ways = values_new(length); /* subsets of 1..count by their sum */
	ways[0] = 1;
	for (unsigned rank = 1; rank <= count; rank++) {
		for (size_t k = length; k-- > rank;)
			ways[k] += ways[k - rank];
	}
	found = outside_of(ways, length, total, confidence);
	free(ways);
	return found;
}

int stats_rank_sum_outside(unsigned m, unsigned n, double confidence)
{
	size_t length = (size_t)m * n + 1;
	double total = 0, *ways;
	int found;

	if (m > RANK_SUM_EXACT || n > RANK_SUM_EXACT)
		return outside_by_normal((double)m * n / 2, sqrt((double)m * n * (m + n + 1) / 12),
					 confidence);
	ways = values_new(length); /* the product of (1 - x^(n+i)) / (1 - x^i), i = 1..m */
	ways[0] = 1;
	for (unsigned i = 1; i <= m; i++) {
		for (size_t k = length; k-- > n + i;)
			ways[k] -= ways[k - n - i];
		for (size_t k = i; k < length; k++)
			ways[k] += ways[k - i];
	}
	for (size_t k = 0; k < length; k++)
		total += ways[k];
	found = outside_of(ways, length, total, confidence);
	free(ways);
	return found;
}

/* The median of COUNT candidates, and the interval that leaves OUTSIDE of them at each
 * end; back from logarithms. */
static struct stats_interval interval_of(double *candidates, size_t count, int outside)
{
	struct stats_interval found;
	size_t cut = outside < 0 ? 0 : (size_t)outside;

	qsort(candidates, count, sizeof(*candidates), compare);
	found = (struct stats_interval){
	    .estimate = exp(quantile_of_sorted(candidates, count, 0.5)),
	    .low = exp(candidates[cut]),
	    .high = exp(candidates[count - 1 - cut]),
	    .known = outside >= 0,
	};
	free(candidates);
	return found;
}

struct stats_interval stats_pair_ratio(const double *a, const double *b, unsigned count,
				       double confidence)
{
	double *logs = values_new(count), *walsh = values_new((size_t)count * (count + 1) / 2);
	size_t k = 0;

	assert(count && count <= STATS_SAMPLES_MAX);
	for (unsigned i = 0; i < count; i++) {
		assert(a[i] > 0 && b[i] > 0);
		logs[i] = log(a[i] / b[i]);
		for (unsigned j = 0; j <= i; j++)
			walsh[k++] = (logs[i] + logs[j]) / 2;
	}
	free(logs);
	return interval_of(walsh, k, stats_signed_rank_outside(count, confidence));
}

struct stats_interval stats_sample_ratio(const double *new, unsigned new_count, const double *old,
					 unsigned old_count, double confidence)
{
	double *apart = values_new((size_t)new_count * old_count);
	size_t k = 0;

	assert(new_count && new_count <= STATS_SAMPLES_MAX);
	assert(old_count && old_count <= STATS_SAMPLES_MAX);
	for (unsigned i = 0; i < new_count; i++) {
		for (unsigned j = 0; j < old_count; j++) {
			assert(new[i] > 0 && old[j] > 0);
			apart[k++] = log(new[i] / old[j]);
		}
	}
	return interval_of(apart, k, stats_rank_sum_outside(new_count, old_count, confidence));
}
