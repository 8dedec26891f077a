/* SPDX-License-Identifier: Apache-2.0
 *
 * `qheal verify`: its options.  What it does: verify_run.c.
 */
#include "command.h"
#include "verify_run.h"

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

int verify_command(int argc, char **argv)
{
	static const struct argp_option options[] = {
		COMMAND_OPTION_STORE,
		COMMAND_OPTION_JSON,
		{0},
	};
	static const struct argp argp = {options, parse_option, NULL,
					 "Read the latest generation and all points, and check every "
					 "block against its checksum.", NULL, NULL, NULL};
	struct arguments arguments = {0};

	command_parse(&argp, argc, argv, &arguments);
	if (!command_needs(argv[0], arguments.store, "--store DIR, the directory of the replica"))
		return COMMAND_USAGE;
	return verify_run(arguments.store, arguments.json);
}
