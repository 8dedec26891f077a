/* SPDX-License-Identifier: Apache-2.0
 *
 * `qheal plan`: what would be done about each fault that could strike now, decided by
 * the code that decides in earnest.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "ask.h"
#include "command.h"
#include "config_file.h"
#include "jsontext.h"
#include "model.h"
#include "policy.h"
#include "report.h"
#include "store.h"

#define OPTION_CONFIG COMMAND_KEY_OWN
#define HORIZON_HOURS (30.0 * 24)

struct arguments {
	const char *store, *config;
	bool json;
};

static const struct plan_row {
	enum fault_kind kind;
	enum detect_cause cause;
	bool warning, running, dead;
	const char *says;
} rows[] = {
	{FAULT_DISK_WRITE, CAUSE_NO_WRITES, false, false, false, "writes fail, reads go"},
	{FAULT_DISK_WRITE, CAUSE_DEAD, false, false, false, "the disk is dead"},
	{FAULT_DISK_READ, CAUSE_BAD_SECTOR, false, false, false, "a bad sector"},
	{FAULT_DISK_FULL, CAUSE_FULL, false, false, false, "no room for the image"},
	{FAULT_DISK_HANG, CAUSE_HUNG, false, true, false, "requests hang"},
	{FAULT_DISK_CORRUPT, CAUSE_BAD_SECTOR, false, true, false, "the scrub finds damage"},
	{FAULT_DISK_DEGRADING, CAUSE_SLOWER, true, true, false, "it gets slower"},
	{FAULT_REPLICA, CAUSE_DEAD, false, true, false, "the store fails"},
	{FAULT_QEMU_EXIT, CAUSE_CRASH, false, false, true, "QEMU dies"},
	{FAULT_QEMU_HANG, CAUSE_HUNG, false, true, false, "QEMU hangs"},
	{FAULT_GUEST_PANIC, CAUSE_PANIC, false, false, false, "the guest panics"},
	{FAULT_GUEST_WATCHDOG, CAUSE_UNKNOWN, false, false, false, "its watchdog bites"},
	{FAULT_GUEST_SILENT, CAUSE_UNKNOWN, false, true, false, "its agent is silent"},
	{FAULT_MEMORY, CAUSE_DEAD, false, true, false, "memory is lost"},
	{FAULT_NIC, CAUSE_PATH, false, true, false, "a NIC's backend is gone"},
	{FAULT_HOST, CAUSE_UNKNOWN, false, false, true, "the host is gone"},
};

#define ROWS (sizeof(rows) / sizeof(rows[0]))

/* STATUS: of the sidecar, NULL when none runs: then nobody would do anything. */
static void facts_of(const struct plan_row *row, const struct store_info *info,
		     const json_t *status, struct policy_facts *facts)
{
	uint64_t last = (uint64_t)json_integer_value(json_object_get(status, "last_bytes"));

	*facts = (struct policy_facts){
		.fault = {.kind = row->kind, .cause = row->cause, .warning = row->warning},
		.qemu_alive = !row->dead,
		.qemu_answers = !row->dead && row->kind != FAULT_QEMU_HANG,
		.running = row->running,
		.replica_ready = info->state == STORE_READY && info->generation,
		.head_intact = true,
		.covered = status != NULL,
		.on_replica = info->promoted,
		.swappable = true,
		/* What the guest writes between two generations, as of the last one. */
		.dirty_bytes = last,
		.all_dirty_bytes = last,
		.able = status ? POLICY_ABLE : STRATEGY_BIT(STRATEGY_HOLD),
	};
	for (unsigned i = 0; i < info->spec.disk_count; i++) {
		if (info->spec.disks[i].size > facts->disk_bytes)
			facts->disk_bytes = info->spec.disks[i].size;
	}
}

static json_t *steps_json(const struct model_prediction *prediction)
{
	json_t *steps = json_array();

	for (unsigned i = 0; i < prediction->count; i++)
		json_array_append_new(steps,
				      json_pack("{s:s,s:f,s:b}", "name", prediction->steps[i].name,
						"ms", prediction->steps[i].ms, "downtime",
						prediction->steps[i].down));
	return steps;
}

static json_t *others_json(const struct policy_verdict *verdict)
{
	json_t *others = json_array();

	for (unsigned i = 0; i < STRATEGIES; i++) {
		const struct policy_candidate *other = &verdict->candidates[i];

		if (i != verdict->strategy)
			json_array_append_new(
				others, json_pack("{s:s,s:s}", "strategy", strategy_names[i],
						  "why_not", other->why_not));
	}
	return others;
}

static json_t *row_json(const struct plan_row *row, const struct model *model,
			const struct policy_verdict *verdict)
{
	const struct policy_candidate *chosen = &verdict->candidates[verdict->strategy];

	return json_pack("{s:s,s:s,s:s,s:s,s:f,s:o,s:I,s:f,s:f,s:f,s:s,s:o}", "fault",
			 fault_name(row->kind), "cause", detect_cause_name(row->cause), "case",
			 row->says, "strategy", strategy_names[verdict->strategy],
			 "predicted_downtime_ms", chosen->prediction.downtime_ms, "steps",
			 steps_json(&chosen->prediction), "predicted_loss_bytes",
			 (json_int_t)chosen->loss_bytes, "cost", chosen->cost, "success",
			 chosen->success, "probability_30_days",
			 model_probability(model, row->kind, HORIZON_HOURS), "why", verdict->why,
			 "others", others_json(verdict));
}

static json_t *plan_of(const struct store_info *info, const json_t *status,
		       const struct policy_settings *settings, const struct model *model)
{
	struct model_total total = model_probability_any(model, HORIZON_HOURS);
	struct policy_verdict verdict;
	struct policy_facts facts;
	json_t *plan = json_array();

	for (unsigned i = 0; i < ROWS; i++) {
		facts_of(&rows[i], info, status, &facts);
		policy_decide(&facts, settings, model, 1, &verdict);
		json_array_append_new(plan, row_json(&rows[i], model, &verdict));
	}
	return json_pack("{s:s,s:b,s:s,s:s,s:f,s:f,s:o}", "vm", info->spec.vm, "sidecar",
			 status != NULL, "objective",
			 settings->objective == OBJECTIVE_FAST ? "fast" : "optimal", "on_loss",
			 settings->on_loss == ON_LOSS_HOLD ? "hold" : "rollback",
			 "probability_30_days", total.probability, "probability_bound", total.bound,
			 "plan", plan);
}

static double real(const json_t *object, const char *key)
{
	return json_number_value(json_object_get(object, key));
}

static void print_plan(const json_t *plan)
{
	const json_t *row, *item;
	size_t i, j;

	printf("%s: objective %s, on-loss %s%s\n", json_text(plan, "vm"),
	       json_text(plan, "objective"), json_text(plan, "on_loss"),
	       json_is_true(json_object_get(plan, "sidecar"))
		       ? "" : "; no sidecar runs: nothing would be done");
	json_array_foreach(json_object_get(plan, "plan"), i, row) {
		printf("\n%s, %s: %s\n  %s\n", json_text(row, "fault"), json_text(row, "case"),
		       json_text(row, "strategy"), json_text(row, "why"));
		if (json_array_size(json_object_get(row, "steps")))
			printf("  %.1f ms of downtime, %.0f bytes lost, cost %.3f:",
			       real(row, "predicted_downtime_ms"),
			       real(row, "predicted_loss_bytes"), real(row, "cost"));
		json_array_foreach(json_object_get(row, "steps"), j, item)
			printf(" %s %.1f%s", json_text(item, "name"), real(item, "ms"),
			       j + 1 < json_array_size(json_object_get(row, "steps")) ? "," : "\n");
		json_array_foreach(json_object_get(row, "others"), j, item) {
			if (strcmp(json_text(item, "why_not"), "it is no answer to this fault"))
				printf("  not %-9s %s\n", json_text(item, "strategy"),
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

/* What the sidecar was told counts, not what the file says now. */
static void settings_of(const json_t *status, struct policy_settings *settings)
{
	if (json_text(status, "objective")[0])
		settings->objective = strcmp(json_text(status, "objective"), "optimal")
					      ? OBJECTIVE_FAST : OBJECTIVE_OPTIMAL;
	if (json_text(status, "on_loss")[0])
		settings->on_loss = strcmp(json_text(status, "on_loss"), "rollback")
					    ? ON_LOSS_HOLD : ON_LOSS_ROLLBACK;
}

static int show(const struct arguments *arguments)
{
	static struct config_file file;
	static struct model model;
	json_t *status = NULL, *plan;
	struct errinfo err = {0};
	struct store_info info;
	int rc;

	if (config_get(arguments->config, &file))
		return 1;
	if (store_inspect(arguments->store, &info, &err)) {
		log_error("%s", err.text);
		return 1;
	}
	rc = ask_sidecar(arguments->store, json_pack("{s:s}", "command", "status"), ASK_TIMEOUT_S,
			 &status, &err);
	if (rc && !ask_nobody(rc)) {
		log_error("%s", err.text);
		return 1;
	}
	err_clear(&err);
	rc = model_load(&model, arguments->store, &err);
	if (rc && rc != -ENOENT)
		log_warn("%s", err.text);
	settings_of(status, &file.policy);
	plan = plan_of(&info, status, &file.policy, &model);
	if (arguments->json) {
		json_dumpf(plan, stdout, REPORT_JSON);
		putchar('\n');
	} else {
		print_plan(plan);
	}
	json_decref(plan);
	json_decref(status);
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
		arguments->config = arg;
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
		{"config", OPTION_CONFIG, "FILE", 0, "weights, limits and what is allowed", 0},
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
