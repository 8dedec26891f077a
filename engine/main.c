/* SPDX-License-Identifier: Apache-2.0
 *
 * qheal: the command line.  Exit status 0 done, 1 failed, 2 wrong usage.
 */
#include <argp.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bounds.h"
#include "check.h"
#include "config.h"
#include "report.h"
#include "sidecar.h"
#include "status.h"

#define USAGE_STATUS 2

enum option_key {
	OPTION_QMP = 0x100,
	OPTION_STORE,
	OPTION_DISK,
	OPTION_INTERVAL,
	OPTION_OBJECTIVE,
	OPTION_ON_LOSS,
	OPTION_EVENTS,
	OPTION_ONCE,
	OPTION_SCRATCH,
	OPTION_BLOCK,
	OPTION_JSON,
	OPTION_WATCH,
};

struct arguments {
	struct config config;
	bool json, watch;
};

const char *argp_program_version = "qheal " QHEAL_VERSION;

static long long number_of(struct argp_state *state, const char *text, long long min,
			   long long max, const char *what)
{
	char *end;
	long long value;

	errno = 0;
	value = strtoll(text, &end, 10);
	if (errno || end == text || *end || value < min || value > max)
		argp_error(state, "%s is %lld to %lld, not \"%s\"", what, min, max, text);
	return value;
}

/* QEMU has a working directory of its own, and is given paths below the store. */
static const char *absolute(struct argp_state *state, const char *path)
{
	static char whole[PATH_MAX];
	char here[PATH_MAX];

	if (!path[0])
		argp_error(state, "--store needs a directory");
	if (path[0] == '/')
		return path;
	if (!getcwd(here, sizeof(here)) ||
	    snprintf(whole, sizeof(whole), "%s/%s", here, path) >= (int)sizeof(whole))
		argp_error(state, "--store %s: the path is too long", path);
	return whole;
}

static void set_block(struct argp_state *state, struct config *config, const char *text)
{
	long long kib = number_of(state, text, 4, 1024, "--block-size (KiB)");

	if (kib & (kib - 1))
		argp_error(state, "--block-size is a power of two from 4 to 1024 KiB, not %lld",
			   kib);
	config->block_bytes = (uint32_t)kib << 10;
}

static void add_disk(struct argp_state *state, struct config *config, const char *name)
{
	for (unsigned i = 0; i < config->disk_count; i++) {
		if (!strcmp(config->disks[i], name))
			argp_error(state, "--disk %s is given twice", name);
	}
	if (config->disk_count == BOUND_DISKS)
		argp_error(state, "at most %d disks can be protected", BOUND_DISKS);
	config->disks[config->disk_count++] = name;
}

static void set_objective(struct argp_state *state, const char *text)
{
	if (!strcmp(text, "optimal"))
		argp_error(state, "--objective optimal is not there yet; this version recovers by "
			   "fast");
	if (strcmp(text, "fast"))
		argp_error(state, "--objective is fast or optimal, not \"%s\"", text);
}

static void set_on_loss(struct argp_state *state, struct config *config, const char *text)
{
	if (!strcmp(text, "hold"))
		config->on_loss = ON_LOSS_HOLD;
	else if (!strcmp(text, "rollback"))
		config->on_loss = ON_LOSS_ROLLBACK;
	else
		argp_error(state, "--on-loss is hold or rollback, not \"%s\"", text);
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct arguments *arguments = state->input;
	struct config *config = &arguments->config;

	switch (key) {
	case OPTION_QMP:
		config->qmp = arg;
		return 0;
	case OPTION_STORE:
		config->store = absolute(state, arg);
		return 0;
	case OPTION_DISK:
		add_disk(state, config, arg);
		return 0;
	case OPTION_INTERVAL:
		config->interval_ms = number_of(state, arg, BOUND_INTERVAL_MIN_MS,
						BOUND_INTERVAL_MAX_MS, "--interval (ms)");
		return 0;
	case OPTION_OBJECTIVE:
		set_objective(state, arg);
		return 0;
	case OPTION_ON_LOSS:
		set_on_loss(state, config, arg);
		return 0;
	case OPTION_EVENTS:
		config->events = arg;
		return 0;
	case OPTION_ONCE:
		config->once = true;
		return 0;
	case OPTION_SCRATCH:
		config->scratch_bytes = (uint64_t)number_of(state, arg, BOUND_SCRATCH_MIN_MIB,
							    BOUND_SCRATCH_MAX_MIB,
							    "--scratch (MiB)") << 20;
		return 0;
	case OPTION_BLOCK:
		set_block(state, config, arg);
		return 0;
	case OPTION_JSON:
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

#define OPTION_LINE_QMP                                                                            \
	{"qmp", OPTION_QMP, "SOCKET", 0, "QEMU's monitor: a path, unix:PATH or tcp:HOST:PORT", 0}
#define OPTION_LINE_STORE                                                                          \
	{"store", OPTION_STORE, "DIR", 0, "directory of the replica", 0}
#define OPTION_LINE_JSON                                                                           \
	{"json", OPTION_JSON, NULL, 0, "one JSON object on stdout and nothing else", 0}

static const struct argp_option protect_options[] = {
	OPTION_LINE_QMP,
	OPTION_LINE_STORE,
	{"disk", OPTION_DISK, "NAME", 0, "protect this disk; repeat for several (default: all)", 0},
	{"interval", OPTION_INTERVAL, "MS", 0, "from one generation to the next (default 1000)", 0},
	{"objective", OPTION_OBJECTIVE, "fast", 0, "what a recovery is to minimise", 0},
	{"on-loss", OPTION_ON_LOSS, "hold|rollback", 0,
	 "when the newest writes cannot be saved: leave the guest paused (default), or go back to "
	 "the last generation and reset it", 0},
	{"events", OPTION_EVENTS, "FILE|-", 0, "append events, one JSON object a line", 0},
	{"once", OPTION_ONCE, NULL, 0, "make one consistent generation and leave", 0},
	{"scratch", OPTION_SCRATCH, "MIB", 0,
	 "memory a frozen point may cost at most (default 1024)", 0},
	{"block-size", OPTION_BLOCK, "KIB", 0, "of a new store, 4 to 1024 (default 64)", 0},
	{0},
};

static const struct argp_option check_options[] = {OPTION_LINE_QMP, OPTION_LINE_JSON, {0}};

static const struct argp_option status_options[] = {
	OPTION_LINE_STORE,
	OPTION_LINE_JSON,
	{"watch", OPTION_WATCH, NULL, 0, "again every second", 0},
	{0},
};

static int command_protect(const struct arguments *arguments)
{
	return protect_run(&arguments->config);
}

static int command_check(const struct arguments *arguments)
{
	return check_run(arguments->config.qmp, arguments->json);
}

static int command_status(const struct arguments *arguments)
{
	return status_run(arguments->config.store, arguments->json, arguments->watch);
}

static const struct command {
	const char *name;
	const struct argp_option *options;
	const char *doc;
	bool qmp, store;
	int (*run)(const struct arguments *arguments);
} commands[] = {
	{"check", check_options, "What of a running QEMU can be protected, and what to change if not.",
	 true, false, command_check},
	{"protect", protect_options,
	 "Keep a hot replica of a running guest's disks and repair the guest from it when a disk "
	 "fails.", true, true, command_protect},
	{"status", status_options, "State, generation, lag and last faults of a replica.", false,
	 true, command_status},
};

static int usage(FILE *stream)
{
	fputs("Usage: qheal COMMAND [OPTION...]\n\n"
	      "  check    --qmp SOCKET               what can be protected\n"
	      "  protect  --qmp SOCKET --store DIR   keep a replica, repair the guest\n"
	      "  status   --store DIR                state of a replica\n"
	      "  version                             of qheal\n\n"
	      "`qheal COMMAND --help` tells the options; qheal(1) the whole.\n", stream);
	return stream == stdout ? 0 : USAGE_STATUS;
}

static int run_command(const struct command *command, int argc, char **argv)
{
	struct argp argp = {command->options, parse_option, NULL, command->doc, NULL, NULL, NULL};
	struct arguments arguments = {
		.config = {.interval_ms = 1000, .scratch_bytes = BOUND_TMP_BYTES,
			   .block_bytes = STORE_BLOCK_BYTES_DEFAULT},
	};
	char name[64];

	snprintf(name, sizeof(name), "qheal %s", command->name);
	argv[0] = name;
	argp_err_exit_status = USAGE_STATUS;
	if (argp_parse(&argp, argc, argv, 0, NULL, &arguments))
		return USAGE_STATUS;
	if (command->qmp && !arguments.config.qmp) {
		log_error("%s needs --qmp SOCKET, QEMU's monitor", name);
		return USAGE_STATUS;
	}
	if (command->store && !arguments.config.store) {
		log_error("%s needs --store DIR, the directory of the replica", name);
		return USAGE_STATUS;
	}
	return command->run(&arguments);
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "";

	if (!strcmp(name, "version") || !strcmp(name, "--version")) {
		puts("qheal " QHEAL_VERSION);
		return 0;
	}
	if (!strcmp(name, "--help") || !strcmp(name, "help"))
		return usage(stdout);
	for (unsigned i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (!strcmp(name, commands[i].name))
			return run_command(&commands[i], argc - 1, argv + 1);
	}
	if (name[0])
		log_error("there is no command \"%s\"", name);
	return usage(stderr);
}
