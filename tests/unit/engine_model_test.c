/* SPDX-License-Identifier: Apache-2.0
 *
 * What the models say, against values worked out by hand; and models.json.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <CUnit/CUnit.h>

#include "cunit_main.h"
#include "model.h"

static struct model model;

static void the_median_follows_what_is_seen_and_forgets(void)
{
	model_empty(&model);
	CU_ASSERT_EQUAL(model_median(&model, MODEL_HEAL), 16); /* the prior */
	model_observe(&model, MODEL_HEAL, 10);
	CU_ASSERT_EQUAL(model_median(&model, MODEL_HEAL), 13); /* counts as one more */
	model_observe(&model, MODEL_HEAL, 20);
	CU_ASSERT_EQUAL(model_median(&model, MODEL_HEAL), 16);
	model_observe(&model, MODEL_HEAL, 15);
	CU_ASSERT_EQUAL(model_median(&model, MODEL_HEAL), 15); /* it is outvoted */
	for (int i = 0; i < MODEL_WINDOW; i++)
		model_observe(&model, MODEL_HEAL, 100 + i);
	CU_ASSERT_EQUAL(model_median(&model, MODEL_HEAL), 115.5);
	for (int i = 0; i < MODEL_WINDOW / 2 - 1; i++) /* outliers do not move it far */
		model_observe(&model, MODEL_HEAL, 1e6);
	CU_ASSERT(model_median(&model, MODEL_HEAL) < 132);
}

/* Before anything has failed it is known how quick the machine is. */
static void priors_follow_the_machine(void)
{
	struct model_prediction theirs, ours;
	struct model_work work = {.elapsed_ms = 4};

	model_empty(&model);
	model_predict(&model, STRATEGY_PIVOT, &work, &theirs);
	for (int i = 0; i < 5; i++) /* large ones do not count */
		model_observe_generation(&model, 1, 64 << 20, 500);
	CU_ASSERT_EQUAL(model_pace(&model), 1);
	for (int i = 0; i < 5; i++)
		model_observe_generation(&model, 2, 4096, 19);
	CU_ASSERT_DOUBLE_EQUAL(model_pace(&model), 0.5, 1e-9);
	CU_ASSERT_DOUBLE_EQUAL(model_median(&model, MODEL_HEAL), 8, 1e-9);
	model_predict(&model, STRATEGY_PIVOT, &work, &ours);
	CU_ASSERT_DOUBLE_EQUAL(ours.downtime_ms - 4, (theirs.downtime_ms - 4) / 2, 1e-9);
	/* What was seen of the thing itself outvotes both. */
	for (int i = 0; i < MODEL_PRIOR_FADES; i++)
		model_observe(&model, MODEL_HEAL, 40);
	CU_ASSERT_EQUAL(model_median(&model, MODEL_HEAL), 40);
	for (int i = 0; i < MODEL_WINDOW; i++)
		model_observe_generation(&model, 4, 4096, 680);
	CU_ASSERT_EQUAL(model_pace(&model), 1);
}

static void values_that_cannot_be_are_left_out(void)
{
	static const double wrong[] = {0, -1, NAN, INFINITY, 1e300};

	model_empty(&model);
	for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		model_observe(&model, MODEL_COPY_RATE, wrong[i]);
		model_observe_step(&model, STRATEGY_PIVOT, "swap", wrong[i], 0);
		model_observe_step(&model, STRATEGY_PIVOT, "catch-up", wrong[i], 1 << 20);
		model_observe_hours(&model, wrong[i] > 1e299 && wrong[i] < INFINITY ? -1 : -fabs(wrong[i]));
	}
	model_observe_step(&model, STRATEGY_PIVOT, "nobody knows", 5, 0);
	model_observe_step(&model, STRATEGY_HOLD, "swap", 5, 0);
	for (unsigned i = 0; i < MODEL_FIGURES; i++)
		CU_ASSERT_EQUAL(model.figures[i].count, 0);
	for (unsigned i = 0; i < MODEL_PLANS * MODEL_STEPS_MAX; i++)
		CU_ASSERT_EQUAL(model.steps[i / MODEL_STEPS_MAX][i % MODEL_STEPS_MAX].count, 0);
	CU_ASSERT_EQUAL(model.rates[FAULT_DISK_READ].hours, 0);
}

/* 1 - (b / (b + h))^a, and the sum of many is never less than the whole. */
static void probability_is_that_of_the_gamma_poisson_mixture(void)
{
	struct model_total total;
	double p, before = 0;

	model_empty(&model);
	CU_ASSERT_DOUBLE_EQUAL(model_probability(&model, FAULT_DISK_WRITE, 290000),
			       1 - sqrt(0.5), 1e-12);
	CU_ASSERT_EQUAL(model_probability(&model, FAULT_DISK_WRITE, 0), 0);
	model_observe_hours(&model, 710000);
	model_observe_fault(&model, FAULT_DISK_WRITE); /* Gamma(1.5, 1e6) */
	p = model_probability(&model, FAULT_DISK_WRITE, 1e6);
	CU_ASSERT_DOUBLE_EQUAL(p, 1 - pow(0.5, 1.5), 1e-12);
	for (double hours = 1; hours < 1e9; hours *= 3) {
		double product = 1, sum = 0;

		for (unsigned kind = 1; kind < FAULT_KINDS; kind++) {
			p = model_probability(&model, (enum fault_kind)kind, hours);
			CU_ASSERT(p > 0 && p < 1);
			product *= 1 - p;
			sum += p;
		}
		total = model_probability_any(&model, hours);
		CU_ASSERT_DOUBLE_EQUAL(total.probability, 1 - product, 1e-12);
		CU_ASSERT_DOUBLE_EQUAL(total.bound, sum, 1e-12);
		CU_ASSERT(total.probability <= total.bound && total.probability >= before);
		before = total.probability;
	}
}

static void success_moves_from_the_prior_to_what_is_seen(void)
{
	struct model_outcome outcome = {.fault = FAULT_DISK_WRITE, .strategy = STRATEGY_RESUME,
					.predicted_ms = 1, .measured_ms = 1};

	model_empty(&model);
	CU_ASSERT_EQUAL(model_success(&model, STRATEGY_RESUME), 0.5);
	for (int i = 0; i < 8; i++)
		model_observe_outcome(&model, &outcome);
	CU_ASSERT_DOUBLE_EQUAL(model_success(&model, STRATEGY_RESUME), 0.1, 1e-12);
	CU_ASSERT_EQUAL(model_success(&model, STRATEGY_HOLD), 1);
}

/* Every strategy but hold has steps, and their sum is the prediction. */
static void a_prediction_is_the_sum_of_its_steps(void)
{
	struct model_work work = {.dirty_bytes = 80000000, .disk_bytes = UINT64_C(10) << 30,
				  .point_bytes = UINT64_C(20) << 30, .heal_blocks = 3};
	struct model_prediction p, less;

	model_empty(&model);
	for (unsigned plan = 0; plan < MODEL_PLANS; plan++) {
		double down = 0, all = 0;

		model_predict(&model, plan, &work, &p);
		for (unsigned i = 0; i < p.count; i++) {
			CU_ASSERT(p.steps[i].ms > 0);
			all += p.steps[i].ms;
			down += p.steps[i].down ? p.steps[i].ms : 0;
		}
		CU_ASSERT_DOUBLE_EQUAL(p.work_ms, all, 1e-9);
		CU_ASSERT_DOUBLE_EQUAL(p.downtime_ms, down, 1e-9);
		CU_ASSERT(plan == STRATEGY_HOLD ? p.count == 0 : p.count > 0);
	}
	model_predict(&model, STRATEGY_PIVOT, &work, &p);
	work.dirty_bytes = 0;
	model_predict(&model, STRATEGY_PIVOT, &work, &less);
	CU_ASSERT_DOUBLE_EQUAL(p.downtime_ms - less.downtime_ms, 100, 1e-9); /* at 800 MB/s */
	CU_ASSERT_EQUAL(p.moved_bytes, 80000000);
}

static void a_model_learns_the_machine_it_runs_on(void)
{
	struct model_work work = {.dirty_bytes = 50000000};
	struct model_prediction p;

	model_empty(&model);
	for (int i = 0; i < 5; i++) {
		model_observe_step(&model, STRATEGY_PIVOT, "catch-up", 10, 4096); /* the calls */
		model_observe_step(&model, STRATEGY_PIVOT, "catch-up", 110, 20000000); /* 200 MB/s */
		model_observe_step(&model, STRATEGY_PIVOT, "swap", 7, 0);
		model_observe_step(&model, MODEL_PLAN_POINT, "swap", 70, 0); /* another story */
	}
	CU_ASSERT_DOUBLE_EQUAL(model_median(&model, MODEL_CATCH_UP_RATE), 2e8, 1);
	model_predict(&model, STRATEGY_PIVOT, &work, &p);
	for (unsigned i = 0; i < p.count; i++) {
		if (!strcmp(p.steps[i].name, "catch-up"))
			CU_ASSERT_DOUBLE_EQUAL(p.steps[i].ms, 260, 1e-6);
		if (!strcmp(p.steps[i].name, "swap"))
			CU_ASSERT_EQUAL(p.steps[i].ms, 7);
	}
}

/* What is over when the decision is made is known, not predicted. */
static void what_has_passed_already_is_not_guessed(void)
{
	struct model_work work = {0};
	struct model_prediction guessed, known;
	double before_ms;

	model_empty(&model);
	before_ms = model_step_ms(&model, STRATEGY_PIVOT, "detect") +
		    model_step_ms(&model, STRATEGY_PIVOT, "wait") +
		    model_step_ms(&model, STRATEGY_PIVOT, "drain");
	model_predict(&model, STRATEGY_PIVOT, &work, &guessed);
	work.elapsed_ms = 70;
	model_predict(&model, STRATEGY_PIVOT, &work, &known);
	CU_ASSERT_DOUBLE_EQUAL(known.downtime_ms, guessed.downtime_ms - before_ms + 70, 1e-9);
	CU_ASSERT_EQUAL(known.elapsed_ms, 70);
	CU_ASSERT_EQUAL(known.count, guessed.count - 2);
	/* Of what the guest does not wait for nothing has passed. */
	model_predict(&model, STRATEGY_MIRROR, &work, &known);
	CU_ASSERT_EQUAL(known.elapsed_ms, 0);
	CU_ASSERT_EQUAL(known.downtime_ms, 0);
}

static void a_roll_back_of_a_guest_has_steps_of_its_own(void)
{
	CU_ASSERT_EQUAL(model_plan_of(STRATEGY_ROLLBACK, FAULT_GUEST_PANIC), MODEL_PLAN_POINT);
	CU_ASSERT_EQUAL(model_plan_of(STRATEGY_ROLLBACK, FAULT_DISK_WRITE), STRATEGY_ROLLBACK);
	CU_ASSERT_EQUAL(model_plan_of(STRATEGY_RESET, FAULT_GUEST_PANIC), STRATEGY_RESET);
	CU_ASSERT_EQUAL(model_plan_of(STRATEGY_FAILOVER, FAULT_HOST), MODEL_PLAN_TAKEOVER);
	CU_ASSERT_EQUAL(model_plan_of(STRATEGY_FAILOVER, FAULT_MEMORY), STRATEGY_FAILOVER);
	CU_ASSERT(model_step_ms(&model, MODEL_PLAN_POINT, "capture") > 0);
	CU_ASSERT_EQUAL(model_step_ms(&model, STRATEGY_ROLLBACK, "capture"), 0);
}

static void cost_is_the_weighted_sum(void)
{
	struct model_weights w = {.downtime_s = 2, .lost_mib = 3, .moved_gib = 5,
				  .interference_s = 7, .guest_reset = 11};
	struct model_prediction p = {.downtime_ms = 500, .work_ms = 2500, .moved_bytes = 1u << 29};

	CU_ASSERT_DOUBLE_EQUAL(model_cost(&w, STRATEGY_PIVOT, &p, 2 << 20), 1 + 6 + 2.5 + 14, 1e-9);
	CU_ASSERT_DOUBLE_EQUAL(model_cost(&w, STRATEGY_RESET, &p, 0), 1 + 2.5 + 14 + 11, 1e-9);
}

static void predictions_are_measured(void)
{
	static const double predicted[] = {100, 100, 10, 100}, measured[] = {110, 200, 14.9, 80};
	struct model_outcome outcome = {.fault = FAULT_DISK_WRITE, .strategy = STRATEGY_PIVOT,
					.succeeded = true};
	struct model_error error;

	model_empty(&model);
	CU_ASSERT_EQUAL(model_error(&model).count, 0);
	for (unsigned i = 0; i < 4; i++) {
		outcome.predicted_ms = predicted[i];
		outcome.measured_ms = measured[i];
		model_observe_outcome(&model, &outcome);
	}
	outcome.succeeded = false;
	model_observe_outcome(&model, &outcome);
	error = model_error(&model);
	CU_ASSERT_EQUAL(error.count, 4);
	CU_ASSERT_EQUAL(error.within, 3);
	CU_ASSERT_DOUBLE_EQUAL(error.median_percent, (25 + 100 * 4.9 / 14.9) / 2, 1e-9);
}

static void fill(struct model *to)
{
	struct model_outcome outcome = {.time_us = 1, .fault = FAULT_DISK_READ,
					.strategy = STRATEGY_ROLLBACK, .predicted_ms = 1.5,
					.measured_ms = 1.25, .measured_loss_bytes = UINT64_C(1) << 40};

	model_empty(to);
	for (int i = 0; i < 100; i++) {
		model_observe(to, (enum model_figure)(i % MODEL_FIGURES), 1.0 / (i + 1));
		model_observe_step(to, (unsigned)i % MODEL_PLANS, "swap", 0.1 * i + 0.1, 0);
		outcome.time_us++;
		outcome.succeeded = i % 2;
		model_observe_outcome(to, &outcome);
	}
	outcome.measured_ms = 1e12; /* the host's clock was set meanwhile */
	outcome.predicted_ms = -1;
	model_observe_outcome(to, &outcome);
	model_observe_hours(to, 12.5);
	model_observe_fault(to, FAULT_NIC);
}

static void what_is_written_is_read_again(void)
{
	char dir[] = "/tmp/qheal-model-XXXXXX", path[64];
	struct errinfo err = {0};
	static struct model again;
	char *text, *second;

	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(dir));
	CU_ASSERT_EQUAL(model_load(&again, dir, &err), -ENOENT);
	err_clear(&err);
	fill(&model);
	text = model_format(&model);
	CU_ASSERT_FATAL(text && strlen(text) < MODEL_JSON_MAX);
	CU_ASSERT_EQUAL(model_save(&model, dir, &err), 0);
	CU_ASSERT_EQUAL(model_load(&again, dir, &err), 0);
	second = model_format(&again);
	CU_ASSERT_STRING_EQUAL(text, second);
	CU_ASSERT(!memcmp(again.steps[STRATEGY_PIVOT], model.steps[STRATEGY_PIVOT],
			  sizeof(model.steps[0])));
	CU_ASSERT_NOT_EQUAL(model.steps[MODEL_PLAN_POINT][6].count, 0);
	free(text);
	free(second);
	snprintf(path, sizeof(path), "%s/models.json", dir);
	unlink(path);
	rmdir(dir);
}

static void a_damaged_file_leaves_the_model_alone(void)
{
	static const char *const wrong[] = {
		"", "{}", "[]", "null", "{\"format\":2}",
		"{\"format\":1,\"figures\":{},\"rates\":{},\"tries\":{},\"outcomes\":[1]}",
		"{\"format\":1,\"figures\":{\"boot_ms\":[-1]},\"rates\":{},\"tries\":{},\"outcomes\":[]}",
		"{\"format\":1,\"figures\":{\"boot_ms\":[\"1\"]},\"rates\":{},\"tries\":{},\"outcomes\":[]}",
		"{\"format\":1,\"figures\":{\"boot_ms\":1},\"rates\":{},\"tries\":{},\"outcomes\":[]}",
		"{\"format\":1,\"figures\":{},\"steps\":[],\"rates\":{},\"tries\":{},\"outcomes\":[]}",
		"{\"format\":1,\"figures\":{},\"steps\":{\"pivot\":{\"swap\":[-1]}},\"rates\":{},"
		"\"tries\":{},\"outcomes\":[]}",
		"{\"format\":1,\"figures\":{},\"rates\":{\"nic-down\":{\"faults\":-1,\"hours\":1}},"
		"\"tries\":{},\"outcomes\":[]}",
		"{\"format\":1,\"figures\":{},\"rates\":{},\"tries\":{\"pivot\":{\"tried\":1,"
		"\"succeeded\":2}},\"outcomes\":[]}",
	};
	static struct model before;
	char *text;

	fill(&model);
	before = model;
	for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct errinfo err = {0};

		CU_ASSERT_EQUAL(model_parse(&model, wrong[i], strlen(wrong[i]), &err), -EUCLEAN);
		CU_ASSERT(strlen(err.text) > 10 && !memcmp(&model, &before, sizeof(model)));
	}
	/* Cut off or with one byte changed: an error, or a model that can be asked. */
	text = model_format(&before);
	for (size_t i = 0, n = strlen(text); i < n; i += 11) {
		struct model_work work = {.dirty_bytes = 1};
		struct model_prediction p;
		char kept = text[i];

		CU_ASSERT(model_parse(&model, text, i, NULL) != 0);
		text[i] = (char)(kept ^ (1 << (i % 7)));
		if (model_parse(&model, text, n, NULL) == 0) {
			model_predict(&model, STRATEGY_PIVOT, &work, &p);
			CU_ASSERT(isfinite(p.downtime_ms) && p.downtime_ms > 0);
		}
		text[i] = kept;
	}
	free(text);
}

int main(void)
{
#define CASE(fn) {#fn, fn}
	static const struct cunit_case cases[] = {
		CASE(the_median_follows_what_is_seen_and_forgets),
		CASE(priors_follow_the_machine),
		CASE(values_that_cannot_be_are_left_out),
		CASE(probability_is_that_of_the_gamma_poisson_mixture),
		CASE(success_moves_from_the_prior_to_what_is_seen),
		CASE(a_prediction_is_the_sum_of_its_steps),
		CASE(a_model_learns_the_machine_it_runs_on),
		CASE(what_has_passed_already_is_not_guessed),
		CASE(a_roll_back_of_a_guest_has_steps_of_its_own),
		CASE(cost_is_the_weighted_sum),
		CASE(predictions_are_measured),
		CASE(what_is_written_is_read_again),
		CASE(a_damaged_file_leaves_the_model_alone),
	};

	return cunit_run("model", cases, sizeof(cases) / sizeof(cases[0]));
}
