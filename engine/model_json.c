/* SPDX-License-Identifier: Apache-2.0
 *
 * model_json: STORE/models.json.  Whatever stands in it, MODEL has only values that
 * model_observe*() could have put there.
 */
#include "model.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jsontext.h"
#include "statefile.h"

#define MODEL_FORMAT 1
#define MODEL_COUNT_MAX 1e9 /* faults, hours: a hundred thousand years */

static const char *const figure_names[MODEL_FIGURES] = {
	[MODEL_ROUND_TRIP] = "round_trip_ms",
	[MODEL_BOOT] = "boot_ms",
	[MODEL_HEAL] = "heal_ms",
	[MODEL_PACE] = "pace",
	[MODEL_CATCH_UP_RATE] = "catch_up_bytes_per_s",
	[MODEL_COPY_RATE] = "copy_bytes_per_s",
	[MODEL_POINT_RATE] = "point_bytes_per_s",
};

/* --- reading --- */

static bool number_get(const json_t *object, const char *key, double max, double *number)
{
	const json_t *value = json_object_get(object, key);

	if (!json_is_number(value))
		return false;
	*number = json_number_value(value);
	return *number >= 0 && *number <= max;
}

static bool bytes_get(const json_t *object, const char *key, uint64_t *bytes)
{
	const json_t *value = json_object_get(object, key);

	*bytes = (uint64_t)json_integer_value(value);
	return json_is_integer(value) && json_integer_value(value) >= 0;
}

/* VALUES may be missing. */
static bool window_get(struct model_window *window, const json_t *values, double max)
{
	const json_t *value;
	size_t i;

	if (values && (!json_is_array(values) || json_array_size(values) > MODEL_WINDOW))
		return false;
	json_array_foreach(values, i, value) {
		unsigned before = window->next;

		if (!json_is_number(value))
			return false;
		model_window_add(window, json_number_value(value), max);
		if (window->next == before)
			return false;
	}
	return true;
}

static bool figures_get(struct model *model, const json_t *root)
{
	const json_t *figures = json_object_get(root, "figures");
	bool good = json_is_object(figures);

	for (unsigned i = 0; i < MODEL_FIGURES && good; i++)
		good = window_get(&model->figures[i], json_object_get(figures, figure_names[i]),
				  model_figure_max((enum model_figure)i));
	return good;
}

/* Of a strategy that was never carried out there is nothing. */
static bool steps_get(struct model *model, const json_t *root)
{
	const json_t *plans = json_object_get(root, "steps");
	bool good = !plans || json_is_object(plans); /* before there were any: figures alone */

	for (unsigned plan = 0; plan < MODEL_PLANS; plan++) {
		const json_t *steps = json_object_get(plans, model_plan_name(plan));

		for (unsigned i = 0; good && model_plan_step(plan, i); i++)
			good = window_get(&model->steps[plan][i],
					  json_object_get(steps, model_plan_step(plan, i)),
					  MODEL_MS_MAX);
	}
	return good;
}

static bool rates_get(struct model *model, const json_t *root)
{
	const json_t *rates = json_object_get(root, "rates");

	if (!json_is_object(rates))
		return false;
	for (unsigned kind = FAULT_NONE + 1; kind < FAULT_KINDS; kind++) {
		const json_t *rate = json_object_get(rates, fault_name((enum fault_kind)kind));

		if (rate && (!number_get(rate, "faults", MODEL_COUNT_MAX,
					 &model->rates[kind].faults) ||
			     !number_get(rate, "hours", MODEL_COUNT_MAX,
					 &model->rates[kind].hours)))
			return false;
	}
	return true;
}

static bool tries_get(struct model *model, const json_t *root)
{
	const json_t *tries = json_object_get(root, "tries");

	if (!json_is_object(tries))
		return false;
	for (unsigned strategy = 0; strategy < STRATEGIES; strategy++) {
		const json_t *item = json_object_get(tries, strategy_names[strategy]);
		uint64_t tried, succeeded;

		if (!item)
			continue;
		if (!bytes_get(item, "tried", &tried) || !bytes_get(item, "succeeded", &succeeded) ||
		    tried > UINT32_MAX || succeeded > tried)
			return false;
		model->tries[strategy] = (struct model_tries){(unsigned)tried, (unsigned)succeeded};
	}
	return true;
}

static bool outcome_get(const json_t *item, struct model_outcome *outcome)
{
	const json_t *time = json_object_get(item, "time_us");
	const json_t *succeeded = json_object_get(item, "succeeded");

	outcome->fault = fault_by_name(json_text(item, "fault"));
	outcome->strategy = strategy_by_name(json_text(item, "strategy"));
	outcome->time_us = json_integer_value(time);
	outcome->succeeded = json_is_true(succeeded);
	return outcome->fault != FAULT_NONE && outcome->strategy != STRATEGIES &&
	       json_is_integer(time) && json_is_boolean(succeeded) &&
	       number_get(item, "predicted_ms", MODEL_MS_MAX, &outcome->predicted_ms) &&
	       number_get(item, "measured_ms", MODEL_MS_MAX, &outcome->measured_ms) &&
	       bytes_get(item, "predicted_loss_bytes", &outcome->predicted_loss_bytes) &&
	       bytes_get(item, "measured_loss_bytes", &outcome->measured_loss_bytes);
}

static bool outcomes_get(struct model *model, const json_t *root)
{
	const json_t *outcomes = json_object_get(root, "outcomes"), *item;
	size_t i;

	if (!json_is_array(outcomes) || json_array_size(outcomes) > MODEL_OUTCOMES_MAX)
		return false;
	json_array_foreach(outcomes, i, item) {
		if (!outcome_get(item, &model->outcomes[i]))
			return false;
	}
	model->outcome_count = (unsigned)json_array_size(outcomes);
	model->outcome_next = model->outcome_count % MODEL_OUTCOMES_MAX;
	return true;
}

int model_parse(struct model *model, const char *text, size_t length, struct errinfo *err)
{
	json_t *root = length <= MODEL_JSON_MAX
			       ? json_loadb(text, length, JSON_REJECT_DUPLICATES, NULL) : NULL;
	struct model *read = calloc(1, sizeof(*read));
	bool good;

	good = read && json_integer_value(json_object_get(root, "format")) == MODEL_FORMAT &&
	       figures_get(read, root) && steps_get(read, root) && rates_get(read, root) &&
	       tries_get(read, root) && outcomes_get(read, root);
	if (good)
		*model = *read;
	free(read);
	json_decref(root);
	return good ? 0 : err_set(err, -EUCLEAN, "this is no models.json of format %d; without it "
				  "predictions begin with the built-in values", MODEL_FORMAT);
}

/* --- writing --- */

static json_t *window_json(const struct model_window *window)
{
	unsigned first = window->count < MODEL_WINDOW ? 0 : window->next;
	json_t *values = json_array();

	for (unsigned i = 0; i < window->count; i++)
		json_array_append_new(values,
				      json_real(window->values[(first + i) % MODEL_WINDOW]));
	return values;
}

static json_t *steps_json(const struct model *model)
{
	json_t *plans = json_object();

	for (unsigned plan = 0; plan < MODEL_PLANS; plan++) {
		json_t *steps = json_object();

		for (unsigned i = 0; model_plan_step(plan, i); i++) {
			if (model->steps[plan][i].count)
				json_object_set_new(steps, model_plan_step(plan, i),
						    window_json(&model->steps[plan][i]));
		}
		if (json_object_size(steps))
			json_object_set(plans, model_plan_name(plan), steps);
		json_decref(steps);
	}
	return plans;
}

static json_t *outcomes_json(const struct model *model)
{
	unsigned first = model->outcome_count < MODEL_OUTCOMES_MAX ? 0 : model->outcome_next;
	json_t *outcomes = json_array();

	for (unsigned i = 0; i < model->outcome_count; i++) {
		const struct model_outcome *outcome =
			&model->outcomes[(first + i) % MODEL_OUTCOMES_MAX];

		json_array_append_new(
			outcomes,
			json_pack("{s:I,s:s,s:s,s:f,s:f,s:I,s:I,s:b}", "time_us",
				  (json_int_t)outcome->time_us, "fault", fault_name(outcome->fault),
				  "strategy", strategy_names[outcome->strategy], "predicted_ms",
				  outcome->predicted_ms, "measured_ms", outcome->measured_ms,
				  "predicted_loss_bytes",
				  (json_int_t)outcome->predicted_loss_bytes, "measured_loss_bytes",
				  (json_int_t)outcome->measured_loss_bytes, "succeeded",
				  outcome->succeeded));
	}
	return outcomes;
}

char *model_format(const struct model *model)
{
	json_t *figures = json_object(), *rates = json_object(), *tries = json_object();
	json_t *root;
	char *text;

	for (unsigned i = 0; i < MODEL_FIGURES; i++)
		json_object_set_new(figures, figure_names[i], window_json(&model->figures[i]));
	for (unsigned i = FAULT_NONE + 1; i < FAULT_KINDS; i++)
		json_object_set_new(rates, fault_name((enum fault_kind)i),
				    json_pack("{s:f,s:f}", "faults", model->rates[i].faults,
					      "hours", model->rates[i].hours));
	for (unsigned i = 0; i < STRATEGIES; i++)
		json_object_set_new(tries, strategy_names[i],
				    json_pack("{s:I,s:I}", "tried",
					      (json_int_t)model->tries[i].tried, "succeeded",
					      (json_int_t)model->tries[i].succeeded));
	root = json_pack("{s:i,s:o,s:o,s:o,s:o,s:o}", "format", MODEL_FORMAT, "figures", figures,
			 "steps", steps_json(model), "rates", rates, "tries", tries, "outcomes",
			 outcomes_json(model));
	text = json_dumps(root, JSON_INDENT(1) | JSON_REAL_PRECISION(17));
	json_decref(root);
	return text;
}

int model_load(struct model *model, const char *dir, struct errinfo *err)
{
	char path[4096], *text;
	size_t length;
	int rc;

	model_empty(model);
	snprintf(path, sizeof(path), "%s/models.json", dir);
	rc = statefile_read(path, MODEL_JSON_MAX, &text, &length, err);
	if (rc)
		return rc;
	rc = model_parse(model, text, length, err);
	free(text);
	return rc;
}

int model_save(const struct model *model, const char *dir, struct errinfo *err)
{
	char *text = model_format(model);
	int rc;

	if (!text)
		return err_set(err, -ENOMEM, "no memory for the models of %s", dir);
	rc = statefile_replace(dir, "models.json", text, err);
	free(text);
	return rc;
}
