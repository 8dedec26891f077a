/* SPDX-License-Identifier: Apache-2.0
 *
 * child: one timed program: how long, how much of the processors, how much memory.
 * It runs in a process group of its own, which gets the SIGTERM when this program is
 * interrupted: then child_run() gives -EINTR, and the caller unwinds and cleans up.
 */
#ifndef BENCH_CHILD_H
#define BENCH_CHILD_H

#include <stdbool.h>

#include "errinfo.h"

#define CHILD_WORDS_MAX 64
#define CHILD_GRACE_S 10   /* from SIGTERM to SIGKILL: a sidecar ends its cycle meanwhile */
#define CHILD_LIMIT_S 3600 /* a tool that hangs must not hold up a night's run for ever */

struct child_usage {
	double wall_s;
	double cpu_s;	 /* of it and of all that it waited for */
	double peak_mib; /* of the largest of them; below 6 it is this program's own */
};

/* ARGV ends with NULL; found by PATH.  OUTPUT: a file for its stdout, NULL for none.
 * Its stderr goes to a file, whose last line is in the error, unless SHOW is set: it
 * tells its own progress then.
 * -ENOENT: there is no such program; -EINTR: interrupted; -EIO: exit status not 0. */
int child_run(const char *const *argv, const char *output, bool show, struct child_usage *usage,
	      struct errinfo *err);

/* Is PROGRAM there to be run: a path, or found by PATH? */
bool child_exists(const char *program);
/* The first line of its output, "" when it does not run. */
void child_line(const char *const *argv, char *line, unsigned size);

/* SIGINT, SIGTERM and SIGHUP only set a flag and end the child. */
void child_catch_signals(void);
bool child_interrupted(void);
double child_now_s(void); /* CLOCK_MONOTONIC */

#endif
