/* SPDX-License-Identifier: Apache-2.0
 *
 * `qheal points`: list, take and delete points in time.  Beside a sidecar its
 * control socket is asked; without one the store is opened here.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ask.h"
#include "bounds.h"
#include "command.h"
#include "jsontext.h"
#include "outcome.h"
#include "points.h"
#include "pool.h"
#include "report.h"
#include "space.h"

#define POINTS_NAMES 1000 /* of one second */

enum option_key { OPTION_CREATE = COMMAND_KEY_OWN, OPTION_DELETE, OPTION_QUIESCE };

struct arguments {
	const char *store, *name, *delete;
	bool create, json, quiesce;
};

/* A damaged one counts: its points are listed all the same. */
static int is_store(const char *store, struct errinfo *err)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/store.json", store);
	if (!access(path, F_OK))
		return 0;
	return errno == ENOENT ? err_set(err, -ENOENT, "%s holds no store (no store.json in it)",
					 store)
			       : err_set(err, -errno, "%s: %s", path, strerror(errno));
}

static int list_points(const struct arguments *arguments, struct errinfo *err)
{
	json_t *items = json_array(), *all;
	struct point_info *points = NULL;
	unsigned count = 0;
	int rc = is_store(arguments->store, err);

	if (!rc)
		rc = points_list(arguments->store, &points, &count, err);

	for (unsigned i = 0; i < count && !rc; i++) {
		json_t *item = points_item(&points[i]);
		uint64_t bytes = space_of_point(arguments->store, &points[i]);

		json_object_set_new(item, "bytes", json_integer((json_int_t)bytes));
		json_array_append_new(items, item);
		if (arguments->json)
			continue;
		if (!i)
			printf("%5s  %-24s %-27s %10s  %-5s %5s %10s\n", "id", "name", "time",
			       "generation", "kind", "disks", "own MiB");
		printf("%5u  %-24s %-27s %10llu  %-5s %5u %10.1f%s\n", points[i].id,
		       points[i].name, json_text(item, "time"),
		       (unsigned long long)points[i].generation, json_text(item, "kind"),
		       points[i].disk_count, (double)bytes / (1 << 20),
		       points[i].damaged    ? "  damaged"
		       : points[i].automatic  ? "  automatic"
		       : points[i].quiesced ? "  quiesced"
					    : "");
	}
	all = json_pack("{s:o}", "points", items);
	if (!rc && arguments->json) {
		json_dumpf(all, stdout, REPORT_JSON);
		putchar('\n');
	}
	if (!rc && !arguments->json && !count)
		printf("no points yet\n");
	json_decref(all);
	free(points);
	return rc;
}

static int take_here(const struct arguments *arguments, struct loop *loop, struct store *store,
		     json_t **answer, struct errinfo *err)
{
	struct point_request request = {0};
	struct outcome outcome = {0};
	const struct point_info *points;
	unsigned count, try = 0;

	if (store_info(store)->state != STORE_READY)
		return err_set(err, -ENODATA, "%s has no generation yet", arguments->store);
	do {
		outcome = (struct outcome){0};
		if (arguments->name)
			snprintf(request.name, sizeof(request.name), "%s", arguments->name);
		else
			points_name_of_time(loop_realtime_us(), ++try, request.name);
		store_point_take(store, &request, outcome_set, &outcome);
		outcome_wait(&outcome, loop, NULL);
	} while (outcome.status == -EEXIST && try && try < POINTS_NAMES);
	if (outcome.status)
		return err_set(err, outcome.status, "no point was taken: %s", outcome.err.text);
	points = store_points(store, &count);
	*answer = points_item(&points[count - 1]);
	return 0;
}

static int delete_here(const struct arguments *arguments, struct loop *loop, struct store *store,
		       json_t **answer, struct errinfo *err)
{
	struct outcome outcome = {0};
	unsigned count;
	const struct point_info *points = store_points(store, &count);
	const struct point_info *point = point_find(points, count, arguments->delete);
	json_t *reply;

	if (!point)
		return err_set(err, -ENOENT, "%s has no point \"%s\"; `qheal points` lists them",
			       arguments->store, arguments->delete);
	reply = json_pack("{s:I,s:s}", "id", (json_int_t)point->id, "name", point->name);
	store_point_delete(store, point->id, outcome_set, &outcome);
	if (outcome_wait(&outcome, loop, err)) {
		json_decref(reply);
		return outcome.status;
	}
	*answer = reply;
	return 0;
}

/* Nobody runs: the store's lock says so for as long as it takes. */
static int do_here(const struct arguments *arguments, json_t **answer, struct errinfo *err)
{
	struct store *store = NULL;
	struct pool *pool = NULL;
	struct store_info info;
	struct loop loop;
	uint32_t bytes;
	int rc = loop_init(&loop, err);

	if (rc)
		return rc;
	rc = store_inspect(arguments->store, &info, err);
	bytes = rc || info.spec.block_bytes < BOUND_BUFFER_BYTES ? BOUND_BUFFER_BYTES
								 : info.spec.block_bytes;
	if (!rc)
		rc = pool_new(&pool, loop.ring, BOUND_POOL_BYTES / bytes, bytes,
			      info.spec.block_bytes, err);
	if (!rc)
		rc = store_open(&store, loop.ring, pool, arguments->store, err);
	if (!rc)
		rc = arguments->create ? take_here(arguments, &loop, store, answer, err)
				       : delete_here(arguments, &loop, store, answer, err);
	store_close(store);
	pool_free(pool);
	loop_release(&loop);
	return rc;
}

static int change_points(const struct arguments *arguments, struct errinfo *err)
{
	json_t *request, *answer = NULL;
	int rc;

	if (arguments->name && points_check_name(arguments->name, err))
		return -EINVAL;
	request = json_pack("{s:s,s:s*}", "command", arguments->create ? "point" : "point-delete",
			    arguments->create ? "name" : "point",
			    arguments->create ? arguments->name : arguments->delete);
	if (arguments->quiesce)
		json_object_set_new(request, "quiesce", json_true());
	rc = ask_sidecar(arguments->store, request, ASK_LONG_TIMEOUT_S, &answer, err);
	if (ask_nobody(rc) && arguments->quiesce) {
		err_clear(err);
		return err_set(err, rc, "no point was taken: --quiesce needs the sidecar that "
			       "protects the guest, and none runs on %s", arguments->store);
	}
	if (ask_nobody(rc)) {
		err_clear(err);
		rc = do_here(arguments, &answer, err);
	}
	if (rc)
		return rc;
	if (arguments->json) {
		json_dumpf(answer, stdout, REPORT_JSON);
		putchar('\n');
	} else {
		bool in_vain = arguments->quiesce &&
			       !json_is_true(json_object_get(answer, "quiesced"));

		printf("point %s (id %lld) %s%s\n", json_text(answer, "name"),
		       (long long)json_integer_value(json_object_get(answer, "id")),
		       arguments->create ? "taken" : "deleted",
		       in_vain ? ", but not quiesced: the guest agent found no file system to freeze"
			       : "");
	}
	json_decref(answer);
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
	case OPTION_CREATE:
		arguments->create = true;
		return 0;
	case OPTION_DELETE:
		arguments->delete = command_text(state, arg, "--delete");
		return 0;
	case OPTION_QUIESCE:
		arguments->quiesce = true;
		return 0;
	case ARGP_KEY_ARG:
		if (!arguments->create || arguments->name)
			argp_error(state, "what is \"%s\"?", arg);
		arguments->name = arg;
		return 0;
	case ARGP_KEY_END:
		if (arguments->create && arguments->delete)
			argp_error(state, "--create or --delete, not both");
		if (arguments->quiesce && !arguments->create)
			argp_error(state, "--quiesce goes with --create");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

int points_command(int argc, char **argv)
{
	static const struct argp_option options[] = {
		COMMAND_OPTION_STORE,
		COMMAND_OPTION_JSON,
		{"create", OPTION_CREATE, NULL, 0, "take one now, named NAME or by the time", 0},
		{"quiesce", OPTION_QUIESCE, NULL, 0,
		 "while the guest's file systems are frozen by its agent", 0},
		{"delete", OPTION_DELETE, "POINT", 0, "delete this one, a name or an id", 0},
		{0},
	};
	static const struct argp argp = {options, parse_option, "[NAME]",
					 "Points in time of a replica: list, take, delete.", NULL,
					 NULL, NULL};
	struct arguments arguments = {0};
	struct errinfo err = {0};
	int rc;

	command_parse(&argp, argc, argv, &arguments);
	if (!command_needs(argv[0], arguments.store, "--store DIR, the directory of the replica"))
		return COMMAND_USAGE;
	rc = arguments.create || arguments.delete ? change_points(&arguments, &err)
						  : list_points(&arguments, &err);
	fflush(stdout);
	if (rc)
		log_error("%s", err.text);
	return rc != 0;
}
