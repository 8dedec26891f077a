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

static void settle(struct drift *drift, unsigned m)
{
	double off[DRIFT_BASELINE];

	drift->median[m] = median_of(drift->baseline[m], DRIFT_BASELINE);
	for (unsigned i = 0; i < DRIFT_BASELINE; i++)
		off[i] = fabs(drift->baseline[m][i] - drift->median[m]);
	drift->sigma[m] = fmax(1.4826 * median_of(off, DRIFT_BASELINE), DRIFT_SIGMA_MIN);
}

double drift_ratio(const struct drift *drift)
{
	if (drift->count < DRIFT_BASELINE || drift->recent_count < DRIFT_RECENT)
		return 0;
	return exp(median_of(drift->recent, DRIFT_RECENT));
}

static void learn(struct drift *drift, const double x[DRIFT_MEASURES])
{
	for (unsigned m = 0; m < DRIFT_MEASURES; m++)
		drift->baseline[m][drift->count] = x[m];
	drift->count++;
	for (unsigned m = 0; m < DRIFT_MEASURES && drift->count == DRIFT_BASELINE; m++)
		settle(drift, m);
}

static void take_value(struct drift *drift, const double x[DRIFT_MEASURES])
{
	double off = INFINITY, z = DRIFT_CLIP;

	if (drift->count < DRIFT_BASELINE) {
		learn(drift, x);
		return;
	}
	for (unsigned m = 0; m < DRIFT_MEASURES; m++) {
		off = fmin(off, x[m] - drift->median[m]);
		z = fmin(z, (x[m] - drift->median[m]) / drift->sigma[m]);
	}
	drift->recent[drift->recent_next] = off;
	drift->recent_next = (drift->recent_next + 1) % DRIFT_RECENT;
	drift->recent_count += drift->recent_count < DRIFT_RECENT;
	drift->sum = fmax(0, drift->sum + z - DRIFT_SLACK);
	if (drift->sum > DRIFT_LIMIT && drift_ratio(drift) >= DRIFT_RATIO)
		drift->alarm = true;
}

#define WAITS_MAX 0.9 /* something is always left */

uint64_t drift_without_waits(uint64_t busy_ns, double percent)
{
	double share = fmin(fmax(percent / 100, 0), WAITS_MAX);

	return (uint64_t)((double)busy_ns * (1 - share) + 0.5);
}

bool drift_sample(struct drift *drift, const struct drift_load *load)
{
	uint64_t share_ns = load->busy_ns < load->interval_ns ? load->busy_ns : load->interval_ns;
	double x[DRIFT_MEASURES];

	if (!load->operations || !share_ns)
		return drift->alarm;
	drift->group[DRIFT_LATENCY][drift->group_count] =
		(double)load->busy_ns / 1e3 / (double)load->operations;
	drift->group[DRIFT_SHARE][drift->group_count++] =
		(double)share_ns / 1e3 / (double)load->operations;
	if (drift->group_count < DRIFT_GROUP)
		return drift->alarm;
	for (unsigned m = 0; m < DRIFT_MEASURES; m++) {
		qsort(drift->group[m], DRIFT_GROUP, sizeof(double), compare);
		x[m] = log(drift->group[m][DRIFT_GROUP / 5]);
	}
	take_value(drift, x);
	drift->group_count = 0;
	return drift->alarm;
}

unsigned drift_size(const struct drift_load *load)
{
	uint64_t kib = load->operations ? load->bytes / load->operations / 1024 : 0;
	unsigned size = 0;

	for (; kib >= 8 && size < DRIFT_SIZES - 1; kib /= 2)
		size++;
	return size;
}

const struct drift *drift_of_note(const struct drift *sizes)
{
	const struct drift *note = &sizes[0];

	for (unsigned i = 1; i < DRIFT_SIZES && !note->alarm; i++) {
		if (sizes[i].alarm || sizes[i].count > note->count)
			note = &sizes[i];
	}
	return note;
}

void drift_detail(const struct drift *drift, char *text, size_t size)
{
	snprintf(text, size, "requests take %.1f times the %.2f ms that they took (CUSUM %.1f of "
		 "%.0f)", drift_ratio(drift), exp(drift->median[DRIFT_LATENCY]) / 1e3, drift->sum, DRIFT_LIMIT);
}
