/* SPDX-License-Identifier: Apache-2.0
 *
 * qheal: finds the command.  Exit status 0 done, 1 failed, 2 wrong usage.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "descriptors.h"
#include "report.h"

const char *argp_program_version = "qheal " QHEAL_VERSION;

static const struct command {
	const char *name;
	int (*run)(int argc, char **argv); /* argv[0] is "qheal NAME" */
	const char *needs, *does;
} commands[] = {
	{"check", check_command, "--qmp SOCKET", "what can be protected"},
	{"incidents", incidents_command, "--store DIR", "what failed, and what was done about it"},
	{"plan", plan_command, "--store DIR", "what would be done about each fault"},
	{"points", points_command, "--store DIR", "points in time: list, take, delete"},
	{"protect", protect_command, "--qmp SOCKET --store DIR", "keep a replica, repair the guest"},
	{"restore", restore_command, "--store DIR --output PATH", "disks as they were at a point in time"},
	{"rollback", rollback_command, "--store DIR --point P", "put the guest back to a point"},
	{"standby", standby_command, "--store DIR --fence CMD",
	 "boot the guest here when its host is gone"},
	{"status", status_command, "--store DIR", "state of a replica"},
	{"verify", verify_command, "--store DIR", "check every block against its checksum"},
};

#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static int usage(FILE *stream)
{
	fputs("Usage: qheal COMMAND [OPTION...]\n\n", stream);
	for (unsigned i = 0; i < COMMANDS; i++)
		fprintf(stream, "  %-9s %-26s %s\n", commands[i].name, commands[i].needs,
			commands[i].does);
	fputs("  version                              of qheal\n\n"
	      "`qheal COMMAND --help` tells the options; qheal(1) the whole.\n", stream);
	return stream == stdout ? 0 : COMMAND_USAGE;
}

/* A flush before may have had the failure. */
static int said(const char *name, int status)
{
	errno = EIO;
	if (!fflush(stdout) && !ferror(stdout))
		return status;
	log_error("%s: what it says cannot be written: %s", name, strerror(errno));
	return status ? status : 1;
}

static int run(const struct command *command, int argc, char **argv)
{
	char name[64];

	snprintf(name, sizeof(name), "qheal %s", command->name);
	argv[0] = name;
	return said(name, command->run(argc, argv));
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "";

	if (!strcmp(name, "version") || !strcmp(name, "--version")) {
		puts("qheal " QHEAL_VERSION);
		return said(name, 0);
	}
	if (!strcmp(name, "--help") || !strcmp(name, "help"))
		return said(name, usage(stdout));
	descriptors_raise();
	for (unsigned i = 0; i < COMMANDS; i++) {
		if (!strcmp(name, commands[i].name))
			return run(&commands[i], argc - 1, argv + 1);
	}
	if (name[0])
		log_error("there is no command \"%s\"", name);
	return usage(stderr);
}
