/* SPDX-License-Identifier: Apache-2.0
 *
 * `qheal rollback`: asks the running sidecar to put the guest back to a point.
 */
#include <stdio.h>

#include "ask.h"
#include "command.h"
#include "jsontext.h"
#include "report.h"

#define ROLLBACK_TIMEOUT_S 86400 /* a point's disks are copied first: terabytes take hours */

enum option_key { OPTION_POINT = COMMAND_KEY_OWN };

struct arguments {
	const char *store, *point;
	bool json;
};

static void tell(const char *store, const json_t *answer)
{
	const json_t *image;
	size_t i;

	printf("rolled back to point %s; the guest boots after a pause of %.0f ms\n",
	       json_text(answer, "point"),
	       json_number_value(json_object_get(answer, "downtime_ms")));
	json_array_foreach(json_object_get(answer, "images"), i, image)
		printf("disk %s now lives in %s\n", json_text(image, "disk"),
		       json_text(image, "path"));
	printf("`qheal rollback --store %s --point %s` undoes it\n", store,
	       json_text(answer, "before"));
}

static int roll_back(const struct arguments *arguments, struct errinfo *err)
{
	json_t *answer;
	int rc = ask_sidecar(arguments->store,
			     json_pack("{s:s,s:s}", "command", "rollback", "point",
				       arguments->point),
			     ROLLBACK_TIMEOUT_S, &answer, err);

	if (ask_nobody(rc)) {
		err_clear(err);
		return err_set(err, rc, "no sidecar runs on %s: a roll back needs one, to exchange "
			       "the disks of the running guest; without a guest take qheal restore",
			       arguments->store);
	}
	if (rc)
		return rc;
	if (arguments->json) {
		json_dumpf(answer, stdout, REPORT_JSON);
		putchar('\n');
	} else {
		tell(arguments->store, answer);
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
	case OPTION_POINT:
		arguments->point = command_text(state, arg, "--point");
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state, "what is \"%s\"?", arg);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

int rollback_command(int argc, char **argv)
{
	static const struct argp_option options[] = {
		COMMAND_OPTION_STORE,
		{"point", OPTION_POINT, "P", 0, "name or id of the point to go back to", 0},
		COMMAND_OPTION_JSON,
		{0},
	};
	static const struct argp argp = {options, parse_option, NULL,
					 "Put the running guest back to a point in time; it is "
					 "reset.", NULL, NULL, NULL};
	struct arguments arguments = {0};
	struct errinfo err = {0};
	int rc;

	command_parse(&argp, argc, argv, &arguments);
	if (!command_needs(argv[0], arguments.store, "--store DIR, the directory of the replica") ||
	    !command_needs(argv[0], arguments.point, "--point P, the point to go back to"))
		return COMMAND_USAGE;
	rc = roll_back(&arguments, &err);
	fflush(stdout);
	if (rc)
		log_error("%s", err.text);
	return rc != 0;
}
