/* SPDX-License-Identifier: Apache-2.0
 *
 * stats: figures of a sample, and how sure they are.  Pure.  Nothing here assumes a
 * normal distribution: times have long tails, and a machine has neighbours.
 */
#ifndef BENCH_STATS_H
#define BENCH_STATS_H

#include <stdbool.h>

#define STATS_SAMPLES_MAX 2048 /* of one series: pairs of two of them are 32 MiB */

struct stats_figures {
	unsigned count;
	double median, q1, q3;	   /* quartiles of Hyndman and Fan's type 7 */
	double mad;		   /* median absolute deviation, not scaled */
	double min, max, p90, p99; /* nearest rank */
};

/* An estimate and its confidence interval.  KNOWN: there are enough values for an
 * interval at this level; without it LOW and HIGH are the extremes. */
struct stats_interval {
	double estimate, low, high;
	bool known;
};

/* All take COUNT values in any order and leave them as they are; 0 < COUNT <=
 * STATS_SAMPLES_MAX.  Allocation failure ends the program: it has no state to save. */
double stats_quantile(const double *values, unsigned count, double part); /* 0 <= PART <= 1 */
double stats_percentile(const double *values, unsigned count, double percent);
double stats_median(const double *values, unsigned count);
double stats_mad(const double *values, unsigned count);
void stats_figures(const double *values, unsigned count, struct stats_figures *figures);

/* A[i] and B[i] were measured side by side: by what factor A is B, all values > 0.
 * Hodges-Lehmann estimate and Wilcoxon signed-rank interval of the logarithms. */
struct stats_interval stats_pair_ratio(const double *a, const double *b, unsigned count,
				       double confidence);

/* Two independent samples: by what factor NEW is OLD, all values > 0.  Hodges-Lehmann
 * shift and Mann-Whitney (Moses) interval of the logarithms. */
struct stats_interval stats_sample_ratio(const double *new, unsigned new_count, const double *old,
					 unsigned old_count, double confidence);

/* The critical counts behind the two, for the tests: how many of the sorted averages
 * (differences) lie outside of the interval at each end; -1: there is no interval. */
int stats_signed_rank_outside(unsigned count, double confidence);
int stats_rank_sum_outside(unsigned m, unsigned n, double confidence);

#endif
