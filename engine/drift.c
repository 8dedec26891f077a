/* SPDX-License-Identifier: Apache-2.0
 *
 * drift: see drift.h.
 */
#include "drift.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median_of(const double *values, unsigned count)
{
	double sorted[DRIFT_BASELINE];

	memcpy(sorted, values, count * sizeof(double));
	qsort(sorted, count, sizeof(double), compare);
	return (sorted[(count - 1) / 2] + sorted[count / 2]) / 2;
}

_Static_assert(DRIFT_RECENT <= DRIFT_BASELINE, "median_of() has room for the baseline");

void drift_restart(struct drift *drift)
{
	memset(drift, 0, sizeof(*drift));
}

static void settle(struct drift *drift)
{
	double off[DRIFT_BASELINE];

	drift->median = median_of(drift->baseline, DRIFT_BASELINE);
	for (unsigned i = 0; i < DRIFT_BASELINE; i++)
		off[i] = fabs(drift->baseline[i] - drift->median);
	drift->sigma = fmax(1.4826 * median_of(off, DRIFT_BASELINE), DRIFT_SIGMA_MIN);
}

double drift_ratio(const struct drift *drift)
{
	if (drift->count < DRIFT_BASELINE || drift->recent_count < DRIFT_RECENT)
		return 0;
	return exp(median_of(drift->recent, DRIFT_RECENT) - drift->median);
}

static void take_value(struct drift *drift, double x)
{
	if (drift->count < DRIFT_BASELINE) {
		drift->baseline[drift->count++] = x;
		if (drift->count == DRIFT_BASELINE)
			settle(drift);
		return;
	}
	drift->recent[drift->recent_next] = x;
	drift->recent_next = (drift->recent_next + 1) % DRIFT_RECENT;
	drift->recent_count += drift->recent_count < DRIFT_RECENT;
	drift->sum = fmax(0, drift->sum + fmin((x - drift->median) / drift->sigma, DRIFT_CLIP) -
			  DRIFT_SLACK);
	if (drift->sum > DRIFT_LIMIT && drift_ratio(drift) >= DRIFT_RATIO)
		drift->alarm = true;
}

#define WAITS_MAX 0.9 /* something is always left */

uint64_t drift_without_waits(uint64_t busy_ns, double percent)
{
	double share = fmin(fmax(percent / 100, 0), WAITS_MAX);

	return (uint64_t)((double)busy_ns * (1 - share) + 0.5);
}

bool drift_sample(struct drift *drift, uint64_t operations, uint64_t busy_ns)
{
	if (!operations || !busy_ns)
		return drift->alarm;
	drift->group[drift->group_count++] = (double)busy_ns / 1e3 / (double)operations;
	if (drift->group_count == DRIFT_GROUP) {
		qsort(drift->group, DRIFT_GROUP, sizeof(double), compare);
		take_value(drift, log(drift->group[DRIFT_GROUP / 5]));
		drift->group_count = 0;
	}
	return drift->alarm;
}

void drift_detail(const struct drift *drift, char *text, size_t size)
{
	snprintf(text, size, "requests take %.1f times the %.2f ms that they took (CUSUM %.1f of "
		 "%.0f)", drift_ratio(drift), exp(drift->median) / 1e3, drift->sum, DRIFT_LIMIT);
}
