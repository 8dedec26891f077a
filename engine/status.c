/* SPDX-License-Identifier: Apache-2.0 */
#include "status.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "ask.h"
#include "command.h"
#include "health.h"
#include "jsontext.h"
#include "lease.h"
#include "mind.h"
#include "plan.h"
#include "space.h"
#include "status_show.h"
#include "status_watch.h"
#include "successor.h"
#include "takeover.h"

#define WATCH_MS 1000

static json_t *disks_json(const struct store_spec *spec)
{
	json_t *disks = json_array();

	for (unsigned i = 0; i < spec->disk_count; i++)
		json_array_append_new(disks, json_pack("{s:s,s:I}", "name", spec->disks[i].name,
						       "size", (json_int_t)spec->disks[i].size));
	return disks;
}

static json_t *store_json(const struct store_info *info, const char *state)
{
	char time[40] = "";

	if (info->generation)
		report_time(info->generation_time_us, time);
	return json_pack("{s:s,s:s,s:s,s:s,s:I,s:s,s:i,s:b,s:o}", "vm", info->spec.vm, "vm_uuid",
			 info->spec.vm_uuid, "store", info->uuid, "state", state, "generation",
			 (json_int_t)info->generation, "point_time", time, "block_bytes",
			 (int)info->spec.block_bytes, "promoted", info->promoted, "disks",
			 disks_json(&info->spec));
}

json_t *status_of_store(const struct store_info *info)
{
	json_t *status = store_json(info, "unattended");

	json_object_set_new(status, "sidecar", json_false());
	json_object_set_new(status, "replica",
			    json_string(info->state == STORE_READY ? "complete" : "incomplete"));
	return status;
}

static void add_policy(json_t *status, const struct policy_settings *settings)
{
	json_object_set_new(status, "objective",
			    json_string(settings->objective == OBJECTIVE_FAST ? "fast"
									      : "optimal"));
	json_object_set_new(status, "on_loss",
			    json_string(settings->on_loss == ON_LOSS_HOLD ? "hold"
									  : "rollback"));
}

json_t *status_of_sidecar(const struct sidecar *sidecar)
{
	const struct store_info *info = store_info(sidecar->store);
	json_t *status = store_json(info, sidecar_state_name(sidecar->state));
	json_t *more = json_pack(
		"{s:b,s:s,s:s,s:i,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "sidecar", 1,
		"replica", info->state == STORE_READY ? "complete" : "incomplete", "guest",
		sidecar->guest.status, "pid", (int)getpid(), "interval_ms",
		(json_int_t)sidecar->config->interval_ms, "lag_ms",
		(json_int_t)sidecar->figures.lag_ms, "cycle_ms",
		(json_int_t)sidecar->figures.duration_ms, "cycles",
		(json_int_t)sidecar->figures.cycles, "empty_cycles",
		(json_int_t)sidecar->figures.empty_cycles, "skipped_cycles",
		(json_int_t)sidecar->figures.skipped, "failed_cycles",
		(json_int_t)sidecar->figures.failed, "bytes", (json_int_t)sidecar->figures.bytes,
		"last_bytes", (json_int_t)sidecar->figures.last_bytes, "copied",
		(json_int_t)sidecar->figures.done, "copy_total",
		(json_int_t)sidecar->figures.total);

	json_object_update(status, more);
	json_decref(more);
	if (sidecar->config->mind) {
		add_policy(status, &sidecar->config->mind->settings);
		json_object_set_new(status, "model",
				    plan_model_json(&sidecar->config->mind->model));
	}
	if (sidecar->config->origin)
		json_object_set_new(status, "origin", json_string(sidecar->config->origin));
	json_object_set_new(status, "space", keeper_json(sidecar));
	if (sidecar->config->scrub_rate)
		json_object_set_new(status, "scrub", scrub_json(sidecar));
	if (sidecar->sense.started)
		json_object_set_new(status, "health", health_json(sidecar));
	if (sidecar->state == SIDECAR_DEGRADED)
		json_object_set_new(status, "degraded", json_string(sidecar->degraded_why));
	if (sidecar->last_fault)
		json_object_set(status, "last_fault", sidecar->last_fault);
	if (sidecar->last_recovery)
		json_object_set(status, "last_recovery", sidecar->last_recovery);
	return status;
}

/* Measured here and not by the sidecar: it would wait for the disk. */
static void add_space(json_t *status, const char *store)
{
	struct point_info *points = NULL;
	struct errinfo ignored = {0};
	unsigned count = 0;
	json_t *space;

	if (points_list(store, &points, &count, &ignored))
		count = 0;
	space = space_json(store, points, count);
	json_object_set_new(space, "points_count", json_integer(count));
	json_object_update(space, json_object_get(status, "space"));
	json_object_set_new(status, "space", space);
	free(points);
}

/* As the store has it: also without a sidecar, and of another host's. */
static void add_lease(json_t *status, const char *store)
{
	struct errinfo ignored = {0};
	struct lease lease;

	if (lease_read(store, &lease, &ignored))
		return;
	json_object_set_new(status, "lease",
			    json_pack("{s:s,s:i,s:b,s:b}", "host", lease.host, "seconds",
				      (int)lease.seconds, "released", lease.released, "standby",
				      takeover_waits(store)));
}

/* NULL: told why. */
static json_t *status_get(const char *store)
{
	struct errinfo err = {0};
	struct store_info info;
	json_t *status = NULL;
	char left[PATH_MAX];
	int rc = ask_sidecar(store, json_pack("{s:s}", "command", "status"), ASK_TIMEOUT_S,
			     &status, &err);

	if (rc && !ask_nobody(rc)) {
		log_error("%s", err.text);
		return NULL;
	}
	if (rc) {
		err_clear(&err);
		if (store_inspect(store, &info, &err)) {
			log_error("%s", err.text);
			return NULL;
		}
		status = status_of_store(&info);
		if (successor_left(store, left))
			json_object_set_new(status, "left", json_string(left));
	}
	add_space(status, store);
	add_lease(status, store);
	return status;
}

static void draw(const json_t *status)
{
	size_t length;
	char *text = NULL;
	FILE *stream = open_memstream(&text, &length);

	if (!stream)
		return;
	status_show(stream, status);
	fclose(stream);
	status_watch_draw(text);
	free(text);
}

static void show(const json_t *status, bool as_json, bool watch)
{
	if (as_json)
		json_dumpf(status, stdout, REPORT_JSON);
	else if (watch && isatty(STDOUT_FILENO))
		draw(status);
	else if (watch)
		status_show_line(stdout, status);
	else
		status_show(stdout, status);
	if (as_json || (watch && !isatty(STDOUT_FILENO)))
		putchar('\n');
	fflush(stdout);
}

int status_run(const char *store, bool as_json, bool watch)
{
	json_t *status = status_get(store);

	if (!status)
		return 1;
	if (watch)
		status_watch_begin(!as_json && isatty(STDOUT_FILENO));
	do {
		show(status, as_json, watch);
		json_decref(status);
		if (!watch || !status_watch_wait(WATCH_MS)) {
			status_watch_end();
			return 0;
		}
		status = status_get(store);
	} while (status);
	status_watch_end();
	return 1;
}

/* --- the command --- */

#define OPTION_WATCH COMMAND_KEY_OWN

struct arguments {
	const char *store;
	bool json, watch;
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
	case OPTION_WATCH:
		arguments->watch = true;
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state, "what is \"%s\"?", arg);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

int status_command(int argc, char **argv)
{
	static const struct argp_option options[] = {
		COMMAND_OPTION_STORE,
		COMMAND_OPTION_JSON,
		{"watch", OPTION_WATCH, NULL, 0,
		 "again every second, in place on a terminal; q ends it", 0},
		{0},
	};
	static const struct argp argp = {options, parse_option, NULL,
					 "State, generation, lag and last faults of a replica.", NULL,
					 NULL, NULL};
	struct arguments arguments = {0};

	command_parse(&argp, argc, argv, &arguments);
	if (!command_needs(argv[0], arguments.store, "--store DIR, the directory of the replica"))
		return COMMAND_USAGE;
	return status_run(arguments.store, arguments.json, arguments.watch);
}
