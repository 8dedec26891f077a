/* SPDX-License-Identifier: Apache-2.0 */
#include "command.h"

#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "report.h"

#define COMMAND_PATHS 8 /* options of one command that are paths */

void command_parse(const struct argp *argp, int argc, char **argv, void *input)
{
	argp_err_exit_status = COMMAND_USAGE;
	if (argp_parse(argp, argc, argv, 0, NULL, input))
		exit(COMMAND_USAGE);
}

long long command_number(struct argp_state *state, const char *text, long long min, long long max,
			 const char *what)
{
	char *end;
	long long value;

	errno = 0;
	value = strtoll(text, &end, 10);
	/* A digit first: strtoll() takes blanks and signs. */
	if (text[0] < '0' || text[0] > '9' || errno || *end || value < min || value > max)
		argp_error(state, "%s is %lld to %lld, not \"%s\"", what, min, max, text);
	return value;
}

const char *command_text(struct argp_state *state, const char *text, const char *what)
{
	json_t *string = json_string(text);

	if (!string)
		argp_error(state, "%s: this is no UTF-8, and cannot be said in JSON", what);
	json_decref(string);
	return text;
}

const char *command_path(struct argp_state *state, const char *path, const char *what)
{
	static char paths[COMMAND_PATHS][PATH_MAX];
	static unsigned count;
	char here[PATH_MAX];
	char *whole;

	if (!path[0])
		argp_error(state, "%s needs a path", what);
	command_text(state, path, what);
	if (path[0] == '/')
		return path;
	whole = paths[count++ % COMMAND_PATHS];
	if (!getcwd(here, sizeof(here)))
		argp_error(state, "%s %s: where are we? %s", what, path, strerror(errno));
	if (snprintf(whole, PATH_MAX, "%s/%s", here, path) >= PATH_MAX)
		argp_error(state, "%s %s: the path is too long", what, path);
	return whole;
}

bool command_needs(const char *command, const char *value, const char *what)
{
	if (!value)
		log_error("%s needs %s", command, what);
	return value != NULL;
}
