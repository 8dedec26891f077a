/* SPDX-License-Identifier: Apache-2.0
 *
 * progress: one line on a terminal that tells how far long work is, how fast and
 * for how long still.  Elsewhere it is silent.
 */
#ifndef ENGINE_PROGRESS_H
#define ENGINE_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PROGRESS_PERIOD_NS INT64_C(200000000) /* how often a caller shows it */

struct progress {
	bool shown; /* stderr is a terminal, and the line is on it */
	bool on;
	const char *what;
	int64_t last_ns;
	uint64_t last_done;
	double rate; /* bytes a second, smoothed over some seconds */
};

/* WHAT stays the caller's.  QUIET: never show anything. */
void progress_init(struct progress *progress, const char *what, bool quiet, int64_t now_ns);
void progress_show(struct progress *progress, uint64_t done, uint64_t total, int64_t now_ns);
void progress_end(struct progress *progress); /* takes the line away */

/* The line, at most WIDTH columns; RATE 0: not known yet.  Pure. */
void progress_line(char *text, size_t size, unsigned width, const char *what, uint64_t done,
		   uint64_t total, double rate);
/* "1.5 GiB".  TEXT has 16 bytes. */
void progress_bytes(char text[16], double bytes);

#endif
