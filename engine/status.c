/* SPDX-License-Identifier: Apache-2.0 */
#include "status.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "ask.h"
#include "command.h"
#include "health.h"
#include "jsontext.h"
#include "mind.h"
#include "space.h"

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
	if (sidecar->config->mind)
		add_policy(status, &sidecar->config->mind->settings);
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

static long long number(const json_t *status, const char *key)
{
	return json_integer_value(json_object_get(status, key));
}

static void print_disks(const json_t *status)
{
	const json_t *disk;
	size_t i;

	json_array_foreach(json_object_get(status, "disks"), i, disk)
		printf("  disk %-12s %10.1f MiB\n", json_text(disk, "name"),
		       (double)number(disk, "size") / (1 << 20));
}

static void print_space(const json_t *space)
{
	printf("  space: heads %.1f, journal %.1f, points %.1f (%lld), promoted %.1f MiB; %.1f of "
	       "%.1f GiB free\n", (double)number(space, "heads") / (1 << 20),
	       (double)number(space, "journal") / (1 << 20),
	       (double)number(space, "points") / (1 << 20), number(space, "points_count"),
	       (double)number(space, "promoted") / (1 << 20),
	       (double)number(space, "fs_free") / (1 << 30),
	       (double)number(space, "fs_size") / (1 << 30));
	if (json_text(space, "full_at")[0])
		printf("  at the present rate of %lld bytes/s it is full at %s\n",
		       number(space, "growth"), json_text(space, "full_at"));
}

static void print_scrub(const json_t *scrub)
{
	if (!scrub)
		return;
	printf("  scrub: disk %s at %.1f MiB, %lld passes; bad blocks: %lld of the replica, %lld of "
	       "the disks, %lld healed\n", json_text(scrub, "disk"),
	       (double)number(scrub, "position") / (1 << 20), number(scrub, "passes"),
	       number(scrub, "bad_replica"), number(scrub, "bad_source"), number(scrub, "healed"));
}

static void print_status(const json_t *status)
{
	const json_t *fault = json_object_get(status, "last_fault");
	const json_t *recovery = json_object_get(status, "last_recovery");

	printf("%s: %s, generation %lld of %s, replica %s\n", json_text(status, "vm"),
	       json_text(status, "state"), number(status, "generation"),
	       json_text(status, "point_time")[0] ? json_text(status, "point_time") : "no time yet",
	       json_text(status, "replica"));
	print_disks(status);
	if (json_is_true(json_object_get(status, "sidecar"))) {
		printf("  guest %s; lag %lld ms, every %lld ms; %lld cycles, %lld with nothing to "
		       "do, %lld skipped, %lld failed\n", json_text(status, "guest"),
		       number(status, "lag_ms"), number(status, "interval_ms"),
		       number(status, "cycles"), number(status, "empty_cycles"),
		       number(status, "skipped_cycles"), number(status, "failed_cycles"));
		printf("  %lld bytes in all, %lld in the last cycle, %lld ms\n",
		       number(status, "bytes"), number(status, "last_bytes"),
		       number(status, "cycle_ms"));
	} else {
		printf("  no sidecar is running on this store\n");
	}
	print_space(json_object_get(status, "space"));
	print_scrub(json_object_get(status, "scrub"));
	if (json_text(status, "degraded")[0])
		printf("  behind: %s\n", json_text(status, "degraded"));
	if (fault)
		printf("  last fault: %s on %s: %s\n", json_text(fault, "kind"),
		       json_text(fault, "resource"), json_text(fault, "detail"));
	if (recovery)
		printf("  last recovery: %s, %.1f ms, now on %s\n", json_text(recovery, "strategy"),
		       json_real_value(json_object_get(recovery, "downtime_ms")),
		       json_text(json_object_get(recovery, "image"), "path"));
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

static int status_once(const char *store, bool as_json)
{
	struct errinfo err = {0};
	struct store_info info;
	json_t *status;
	int rc = ask_sidecar(store, json_pack("{s:s}", "command", "status"), ASK_TIMEOUT_S,
			     &status, &err);

	if (rc == -ETIMEDOUT || rc == -EPROTO) {
		log_error("%s", err.text);
		return 1;
	}
	if (rc) {
		err_clear(&err);
		if (store_inspect(store, &info, &err)) {
			log_error("%s", err.text);
			return 1;
		}
		status = status_of_store(&info);
	}
	add_space(status, store);
	if (as_json) {
		json_dumpf(status, stdout, REPORT_JSON);
		putchar('\n');
	} else {
		print_status(status);
	}
	fflush(stdout);
	json_decref(status);
	return 0;
}

int status_run(const char *store, bool as_json, bool watch)
{
	int status = status_once(store, as_json);

	while (watch && !status) {
		sleep(1);
		if (!as_json && isatty(STDOUT_FILENO))
			fputs("\033[H\033[J", stdout);
		status = status_once(store, as_json);
	}
	return status;
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
		{"watch", OPTION_WATCH, NULL, 0, "again every second", 0},
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
