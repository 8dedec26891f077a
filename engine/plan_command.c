/* SPDX-License-Identifier: Apache-2.0
 *
 * `qheal plan`: asks the sidecar; where none runs, tells what one would do, by the
 * store alone.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "ask.h"
#include "command.h"
#include "config_file.h"
#include "jsontext.h"
#include "model.h"
#include "plan.h"
#include "policy.h"
#include "report.h"
#include "store.h"
#include "text.h"

#define OPTION_CONFIG COMMAND_KEY_OWN

struct arguments {
	const char *store, *config;
	bool json;
};

/* Nobody would do anything; a sidecar that were started would at first copy or
 * compare, then do this. */
static json_t *plan_of_store(const struct store_info *info,
			     const struct policy_settings *settings, const struct model *model)
{
	const struct plan_row *row;
	json_t *plan = json_array();

	for (unsigned i = 0; (row = plan_row(i)); i++) {
		struct policy_facts facts = {
			.replica_ready = info->state == STORE_READY && info->generation,
			.head_intact = true,
			.on_replica = info->promoted,
			.swappable = true,
			.able = STRATEGY_BIT(STRATEGY_HOLD),
		};
		struct policy_verdict verdict;

		plan_suppose(row, -1, &facts);
		policy_decide(&facts, settings, model, 1, &verdict);
		json_array_append_new(plan, plan_row_json(row, "", model, &verdict));
	}
	return plan_json(info->spec.vm, false, settings, model, plan);
}

static double real(const json_t *object, const char *key)
{
	return json_number_value(json_object_get(object, key));
}

static void print_plan(const json_t *plan)
{
	const json_t *model = json_object_get(plan, "model"), *row, *item;
	size_t i, j;

	text_print(stdout, "%s: objective %s, on-loss %s%s\n", json_text(plan, "vm"),
	       json_text(plan, "objective"), json_text(plan, "on_loss"),
	       json_is_true(json_object_get(plan, "sidecar"))
		       ? "" : "; no sidecar runs: nothing would be done");
	if (json_integer_value(json_object_get(model, "outcomes")))
		text_print(stdout, "%lld of %lld recoveries took what was expected (within 25 %% or 5 ms); the "
		       "median is off by %.0f %%\n",
		       (long long)json_integer_value(json_object_get(model, "within")),
		       (long long)json_integer_value(json_object_get(model, "outcomes")),
		       real(model, "median_error_percent"));
	json_array_foreach(json_object_get(plan, "plan"), i, row) {
		text_print(stdout, "\n%s%s", json_text(row, "fault"),
		       json_array_size(json_object_get(row, "resources")) ? " of" : "");
		json_array_foreach(json_object_get(row, "resources"), j, item)
			text_print(stdout, " %s", json_string_value(item));
		text_print(stdout, ", %s: %s\n  %s\n", json_text(row, "case"), json_text(row, "strategy"),
		       json_text(row, "why"));
		if (json_array_size(json_object_get(row, "steps")))
			text_print(stdout, "  %.1f ms of downtime, %.0f bytes lost, cost %.3f:",
			       real(row, "predicted_downtime_ms"),
			       real(row, "predicted_loss_bytes"), real(row, "cost"));
		json_array_foreach(json_object_get(row, "steps"), j, item)
			text_print(stdout, " %s %.1f%s", json_text(item, "name"), real(item, "ms"),
			       j + 1 < json_array_size(json_object_get(row, "steps")) ? "," : "\n");
		json_array_foreach(json_object_get(row, "others"), j, item) {
			if (strcmp(json_text(item, "why_not"), "it is no answer to this fault"))
				text_print(stdout, "  not %-9s %s\n", json_text(item, "strategy"),
				       json_text(item, "why_not"));
		}
	}
}

static int config_get(const char *path, struct config_file *file)
{
	static struct config_file_errors errors;
	struct errinfo err = {0};

	config_file_default(file);
	if (!path || !config_file_load(file, path, &errors, &err))
		return 0;
	config_file_tell(path, &errors);
	log_error("%s", err.text);
	return 1;
}

/* No sidecar runs: by the store, its models and FILE. */
static int plan_alone(const struct arguments *arguments, json_t **plan)
{
	static struct config_file file;
	static struct model model;
	struct errinfo err = {0};
	struct store_info info;
	int rc;

	if (config_get(arguments->config, &file))
		return COMMAND_USAGE;
	if (store_inspect(arguments->store, &info, &err)) {
		log_error("%s", err.text);
		return 1;
	}
	rc = model_load(&model, arguments->store, &err);
	if (rc && rc != -ENOENT)
		log_warn("%s", err.text);
	*plan = plan_of_store(&info, &file.policy, &model);
	return 0;
}

static int show(const struct arguments *arguments)
{
	struct errinfo err = {0};
	json_t *plan = NULL;
	int rc = ask_sidecar(arguments->store, json_pack("{s:s}", "command", "plan"),
			     ASK_TIMEOUT_S, &plan, &err);

	if (rc && !ask_nobody(rc)) {
		log_error("%s", err.text);
		return 1;
	}
	if (!rc && arguments->config)
		log_warn("a sidecar runs: its own settings count, not %s", arguments->config);
	rc = rc ? plan_alone(arguments, &plan) : 0;
	if (rc)
		return rc;
	if (arguments->json) {
		json_dumpf(plan, stdout, REPORT_JSON);
		putchar('\n');
	} else {
		print_plan(plan);
	}
	json_decref(plan);
	return 0;
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct arguments *arguments = state->input;

	switch (key) {
	case COMMAND_KEY_STORE:
		arguments->store = command_path(state, arg, "--store");
		return 0;
	case COMMAND_KEY_JSON:
		arguments->json = true;
		return 0;
	case OPTION_CONFIG:
		arguments->config = command_path(state, arg, "--config");
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state, "what is \"%s\"?", arg);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

int plan_command(int argc, char **argv)
{
	static const struct argp_option options[] = {
		COMMAND_OPTION_STORE,
		COMMAND_OPTION_JSON,
		{"config", OPTION_CONFIG, "FILE", 0,
		 "weights, limits and what is allowed, where no sidecar runs", 0},
		{0},
	};
	static const struct argp argp = {options, parse_option, NULL,
					 "What would be done about each fault, how long it would "
					 "take, and why not otherwise.", NULL, NULL, NULL};
	struct arguments arguments = {0};

	command_parse(&argp, argc, argv, &arguments);
	if (!command_needs(argv[0], arguments.store, "--store DIR, the directory of the replica"))
		return COMMAND_USAGE;
	return show(&arguments);
}
