/* SPDX-License-Identifier: Apache-2.0
 *
 * command: what the commands of the program have in common.  Each one is a file
 * of its own with its options; main.c only finds it.  Exit status: 0 done,
 * 1 failed, 2 wrong usage.
 */
#ifndef ENGINE_COMMAND_H
#define ENGINE_COMMAND_H

#include <argp.h>
#include <stdbool.h>

#define COMMAND_USAGE 2 /* exit status of wrong usage */

/* Keys of options that several commands have; a command's own begin at
 * COMMAND_KEY_OWN. */
enum command_key {
	COMMAND_KEY_QMP = 0x100,
	COMMAND_KEY_STORE,
	COMMAND_KEY_JSON,
	COMMAND_KEY_OWN,
};

#define COMMAND_OPTION_QMP                                                                         \
	{"qmp", COMMAND_KEY_QMP, "SOCKET", 0, "QEMU's monitor: a path, unix:PATH or tcp:HOST:PORT", 0}
#define COMMAND_OPTION_STORE                                                                       \
	{"store", COMMAND_KEY_STORE, "DIR", 0, "directory of the replica", 0}
#define COMMAND_OPTION_JSON                                                                        \
	{"json", COMMAND_KEY_JSON, NULL, 0, "one JSON object on stdout and nothing else", 0}

/* Parse with ARGP under the name that argv[0] has; ends the program with
 * COMMAND_USAGE on wrong usage. */
void command_parse(const struct argp *argp, int argc, char **argv, void *input);

/* For parsers: end the program with a sentence unless TEXT is what it must be. */
long long command_number(struct argp_state *state, const char *text, long long min, long long max,
			 const char *what);
/* An absolute path, valid until the end: QEMU has a working directory of its own
 * and is given paths below the store.  WHAT names the option. */
const char *command_path(struct argp_state *state, const char *path, const char *what);
/* TEXT as it is; wrong usage if it cannot be said in JSON. */
const char *command_text(struct argp_state *state, const char *text, const char *what);
/* VALUE is there, or the usage is wrong: "qheal check needs --qmp SOCKET, ...". */
bool command_needs(const char *command, const char *value, const char *what);

/* The commands. */
int check_command(int argc, char **argv);
int incidents_command(int argc, char **argv);
int plan_command(int argc, char **argv);
int points_command(int argc, char **argv);
int protect_command(int argc, char **argv);
int standby_command(int argc, char **argv);
int restore_command(int argc, char **argv);
int rollback_command(int argc, char **argv);
int status_command(int argc, char **argv);
int verify_command(int argc, char **argv);

#endif
