/* SPDX-License-Identifier: Apache-2.0
 *
 * `qheal incidents`: what failed, what was decided, predicted against measured.
 */
#include <stdio.h>

#include "command.h"
#include "incident.h"
#include "jsontext.h"
#include "report.h"
#include "store.h"
#include "text.h"

struct arguments {
	const char *store;
	bool json;
};

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
	case ARGP_KEY_ARG:
		argp_error(state, "what is \"%s\"?", arg);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static double real(const json_t *object, const char *key)
{
	return json_number_value(json_object_get(object, key));
}

static void print_decision(const json_t *decision)
{
	const json_t *other;
	size_t i;

	text_print(stdout, "  decided   %s (%s): %s\n", json_text(decision, "strategy"),
	       json_text(decision, "objective"), json_text(decision, "why"));
	text_print(stdout, "            predicted %.1f ms of downtime, %.0f bytes lost\n",
	       real(decision, "predicted_downtime_ms"), real(decision, "predicted_loss_bytes"));
	json_array_foreach(json_object_get(decision, "alternatives"), i, other)
		text_print(stdout, "            not %-9s %s\n", json_text(other, "strategy"),
		       json_text(other, "why_not"));
}

static void print_incident(const json_t *incident)
{
	const json_t *fault = json_object_get(incident, "fault");
	const json_t *outcome = json_object_get(incident, "outcome"), *item;
	size_t i;

	text_print(stdout, "%lld  ", (long long)json_integer_value(json_object_get(incident, "number")));
	if (json_text(incident, "damaged")[0]) {
		text_print(stdout, "cannot be read: %s\n", json_text(incident, "damaged"));
		return;
	}
	text_print(stdout, "%s  %s (%s) on %s\n  seen by   %s\n", json_text(incident, "time"),
	       json_text(fault, "kind"), json_text(fault, "cause"), json_text(fault, "resource"),
	       json_text(fault, "evidence"));
	json_array_foreach(json_object_get(incident, "decisions"), i, item)
		print_decision(item);
	json_array_foreach(json_object_get(incident, "timeline"), i, item)
		text_print(stdout, "  %-9s %.1f ms\n", json_text(item, "name"), real(item, "ms"));
	text_print(stdout, "  %s by %s: %.1f ms of downtime, %.0f bytes lost%s%s\n",
	       json_text(outcome, "result"), json_text(outcome, "strategy"),
	       real(outcome, "downtime_ms"), real(outcome, "lost_bytes"),
	       json_text(outcome, "reason")[0] ? ": " : "", json_text(outcome, "reason"));
}

static int show(const struct arguments *arguments)
{
	struct errinfo err = {0};
	struct store_info info;
	json_t *incidents, *item;
	size_t i;
	int rc = store_inspect(arguments->store, &info, &err);

	if (rc && info.uuid[0]) { /* only its journal is damaged */
		err_clear(&err);
		rc = 0;
	}
	if (rc || incident_list(arguments->store, &incidents, &err)) {
		log_error("%s", err.text);
		return 1;
	}
	if (arguments->json) {
		json_t *all = json_pack("{s:s,s:o}", "vm", info.spec.vm, "incidents", incidents);

		json_dumpf(all, stdout, REPORT_JSON);
		putchar('\n');
		json_decref(all);
		return 0;
	}
	json_array_foreach(incidents, i, item)
		print_incident(item);
	if (!json_array_size(incidents))
		text_print(stdout, "%s: no incidents\n", info.spec.vm);
	json_decref(incidents);
	return 0;
}

int incidents_command(int argc, char **argv)
{
	static const struct argp_option options[] = {COMMAND_OPTION_STORE, COMMAND_OPTION_JSON, {0}};
	static const struct argp argp = {options, parse_option, NULL,
					 "What failed, what was decided and why, and how it went.",
					 NULL, NULL, NULL};
	struct arguments arguments = {0};

	command_parse(&argp, argc, argv, &arguments);
	if (!command_needs(argv[0], arguments.store, "--store DIR, the directory of the replica"))
		return COMMAND_USAGE;
	return show(&arguments);
}
