/* SPDX-License-Identifier: Apache-2.0
 *
 * model: see model.h and docs/MODELS.md.
 */
#include "model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define PACE_BYTES_MAX (1u << 20)
#define EXTREME 2 /* medians: more says nothing of the usual case */
#define PACE_MIN 0.1
#define PACE_MAX 1.0

/* What is expected before anything was seen. */
static const double figure_priors[MODEL_FIGURES] = {
	[MODEL_ROUND_TRIP] = 0.3,     [MODEL_BOOT] = 20000,	[MODEL_HEAL] = 16.0,
	[MODEL_PACE] = 1,
	[MODEL_CATCH_UP_RATE] = 8e8,  [MODEL_COPY_RATE] = 1e8, [MODEL_POINT_RATE] = 4e8,
};

/* Beta(a, b) of a strategy's success: as good as A tries that went well and B
 * that did not.  A pivot swaps what was tested; a resume only hopes. */
static const struct {
	double a, b;
} success_priors[STRATEGIES] = {
	[STRATEGY_RESUME] = {1, 1},   [STRATEGY_HEAL] = {4, 1},	   [STRATEGY_PIVOT] = {18, 2},
	[STRATEGY_MIRROR] = {8, 2},   [STRATEGY_ROLLBACK] = {18, 2}, [STRATEGY_RESTORE] = {8, 2},
	[STRATEGY_RESTART] = {8, 2},  [STRATEGY_RESET] = {6, 4},   [STRATEGY_FAILOVER] = {6, 4},
	[STRATEGY_RELINK] = {4, 1},   [STRATEGY_HOLD] = {1, 0},
};

/* Gamma(a, b) of a fault's rate, b in hours: half a fault in so many hours.  Round
 * figures: a disk fails some 1.5 % a year (Backblaze's drive statistics), the rest
 * is guessed; what is seen soon outweighs them. */
static const struct {
	double a, b;
} rate_priors[FAULT_KINDS] = {
	[FAULT_DISK_WRITE] = {0.5, 290000}, [FAULT_DISK_READ] = {0.5, 290000},
	[FAULT_DISK_FULL] = {0.5, 44000},   [FAULT_REPLICA] = {0.5, 290000},
	[FAULT_QEMU_EXIT] = {0.5, 22000},   [FAULT_DISK_HANG] = {0.5, 88000},
	[FAULT_DISK_CORRUPT] = {0.5, 440000}, [FAULT_DISK_DEGRADING] = {0.5, 88000},
	[FAULT_QEMU_HANG] = {0.5, 88000},   [FAULT_GUEST_PANIC] = {0.5, 8800},
	[FAULT_GUEST_WATCHDOG] = {0.5, 22000}, [FAULT_GUEST_SILENT] = {0.5, 8800},
	[FAULT_MEMORY] = {0.5, 440000},	    [FAULT_NIC] = {0.5, 44000},
	[FAULT_HOST] = {0.5, 44000},
};

const struct model_weights model_weights_default = {
	.downtime_s = 1.0,
	.lost_mib = 60.0, /* a minute of downtime is better than a MiB lost */
	.moved_gib = 1.0,
	.interference_s = 0.05,
	.guest_reset = 30.0,
};

void model_empty(struct model *model)
{
	memset(model, 0, sizeof(*model));
}

/* --- learning --- */

void model_window_add(struct model_window *window, double value, double max)
{
	if (!isfinite(value) || value <= 0 || value > max)
		return;
	window->values[window->next] = value;
	window->next = (window->next + 1) % MODEL_WINDOW;
	window->count += window->count < MODEL_WINDOW;
}

double model_figure_max(enum model_figure figure)
{
	return figure >= MODEL_CATCH_UP_RATE ? MODEL_RATE_MAX : MODEL_MS_MAX;
}

void model_observe(struct model *model, enum model_figure figure, double value)
{
	model_window_add(&model->figures[figure], value, model_figure_max(figure));
}

void model_observe_hours(struct model *model, double hours)
{
	if (!isfinite(hours) || hours <= 0)
		return;
	for (unsigned kind = FAULT_NONE + 1; kind < FAULT_KINDS; kind++)
		model->rates[kind].hours += hours;
}

void model_observe_fault(struct model *model, enum fault_kind kind)
{
	model->rates[kind].faults += kind != FAULT_NONE;
}

void model_observe_try(struct model *model, enum strategy strategy, bool succeeded)
{
	struct model_tries *tries = &model->tries[strategy];

	if (tries->tried == UINT32_MAX)
		return;
	tries->tried++;
	tries->succeeded += succeeded;
}

void model_observe_outcome(struct model *model, const struct model_outcome *outcome)
{
	struct model_outcome *taken;

	if (!isfinite(outcome->predicted_ms) || !isfinite(outcome->measured_ms))
		return;
	taken = &model->outcomes[model->outcome_next];
	*taken = *outcome;
	/* As it is read again. */
	taken->predicted_ms = fmin(fmax(outcome->predicted_ms, 0), MODEL_MS_MAX);
	taken->measured_ms = fmin(fmax(outcome->measured_ms, 0), MODEL_MS_MAX);
	model->outcome_next = (model->outcome_next + 1) % MODEL_OUTCOMES_MAX;
	model->outcome_count += model->outcome_count < MODEL_OUTCOMES_MAX;
	model_observe_try(model, outcome->strategy, outcome->succeeded);
}

void model_retract(struct model *model, enum strategy strategy)
{
	struct model_tries *tries = &model->tries[strategy];

	tries->succeeded -= tries->succeeded > 0;
}

/* On the machine of the priors a generation of next to nothing took 23.3 ms for one disk,
 * 38.7 for two and 68.0 for four. */
void model_observe_generation(struct model *model, unsigned disks, uint64_t bytes, double ms)
{
	if (bytes <= PACE_BYTES_MAX)
		model_observe(model, MODEL_PACE, ms / (8 + 15.0 * disks));
}

/* --- asking --- */

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* The mean of the two in the middle when the count is even. */
static double median_of(double *values, unsigned count)
{
	qsort(values, count, sizeof(*values), compare);
	return count ? (values[(count - 1) / 2] + values[count / 2]) / 2 : 0;
}

double model_window_median(const struct model_window *window, double prior)
{
	double values[MODEL_WINDOW + 1];

	memcpy(values, window->values, window->count * sizeof(double));
	if (window->count >= MODEL_PRIOR_FADES)
		return median_of(values, window->count);
	values[window->count] = prior;
	return median_of(values, window->count + 1);
}

double model_pace(const struct model *model)
{
	double pace = model_window_median(&model->figures[MODEL_PACE], figure_priors[MODEL_PACE]);

	return fmax(PACE_MIN, fmin(pace, PACE_MAX));
}

static double figure_prior(const struct model *model, enum model_figure figure)
{
	return figure_priors[figure] * (figure == MODEL_HEAL ? model_pace(model) : 1);
}

double model_median(const struct model *model, enum model_figure figure)
{
	return model_window_median(&model->figures[figure], figure_prior(model, figure));
}

double model_expected(const struct model *model, enum model_figure figure)
{
	const struct model_window *window = &model->figures[figure];
	const double median = model_median(model, figure);
	const bool prior = window->count < MODEL_PRIOR_FADES;
	double sum = prior ? figure_prior(model, figure) : 0;

	for (unsigned i = 0; i < window->count; i++)
		sum += fmin(window->values[i], EXTREME * median);
	return sum / (window->count + prior);
}

double model_probability(const struct model *model, enum fault_kind kind, double hours)
{
	double a = rate_priors[kind].a + model->rates[kind].faults;
	double b = rate_priors[kind].b + model->rates[kind].hours;

	if (kind == FAULT_NONE || !(hours > 0))
		return 0;
	return -expm1(-a * log1p(hours / b));
}

struct model_total model_probability_any(const struct model *model, double hours)
{
	struct model_total total = {0};
	double log_none = 0; /* small probabilities would drown in 1 - (1 - p) */

	for (unsigned kind = FAULT_NONE + 1; kind < FAULT_KINDS; kind++) {
		double p = model_probability(model, (enum fault_kind)kind, hours);

		log_none += log1p(-p);
		total.bound += p;
	}
	total.probability = -expm1(log_none);
	return total;
}

double model_success(const struct model *model, enum strategy strategy)
{
	const struct model_tries *tries = &model->tries[strategy];
	double a = success_priors[strategy].a, b = success_priors[strategy].b;

	return (a + tries->succeeded) / (a + b + tries->tried);
}

/* --- what it costs, and how good it was --- */

double model_cost(const struct model_weights *weights, enum strategy strategy,
		  const struct model_prediction *prediction, uint64_t lost_bytes)
{
	bool resets = strategy == STRATEGY_ROLLBACK || strategy == STRATEGY_RESTORE ||
		      strategy == STRATEGY_RESTART || strategy == STRATEGY_RESET;

	double away_ms = prediction->downtime_ms + prediction->boot_ms;

	return weights->downtime_s * away_ms / 1e3 +
	       weights->lost_mib * (double)lost_bytes / (1 << 20) +
	       weights->moved_gib * (double)prediction->moved_bytes / (1 << 30) +
	       weights->interference_s * (prediction->work_ms - away_ms) / 1e3 +
	       (resets ? weights->guest_reset : 0);
}

struct model_error model_error(const struct model *model)
{
	double percents[MODEL_OUTCOMES_MAX] = {0};
	struct model_error error = {0};

	for (unsigned i = 0; i < model->outcome_count; i++) {
		const struct model_outcome *outcome = &model->outcomes[i];
		double off_ms = fabs(outcome->predicted_ms - outcome->measured_ms);

		if (!outcome->succeeded || outcome->measured_ms <= 0)
			continue;
		percents[error.count++] = 100 * off_ms / outcome->measured_ms;
		error.within += off_ms <= 5 || off_ms <= outcome->measured_ms / 4;
	}
	error.median_percent = median_of(percents, error.count);
	return error;
}
