/* SPDX-License-Identifier: Apache-2.0
 *
 * neighbours: how much of the processors others took.  Ours is what this process and
 * those that it has waited for used; the kernel's own threads count as others.
 */
#ifndef BENCH_NEIGHBOURS_H
#define BENCH_NEIGHBOURS_H

#include <stdbool.h>

struct neighbours {
	double busy_s, ours_s, at_s;
};

void neighbours_mark(struct neighbours *neighbours);
/* Percent of all processors since the mark, 0 when the kernel does not tell. */
double neighbours_percent(const struct neighbours *since);
/* Waits until hardly anybody uses the processors or the disk of PATH, at most SECONDS;
 * false: they did not stop, or a signal came.  Takes a tenth of a second at least. */
bool neighbours_wait(const char *path, double seconds);
/* Pure: seconds of all processors in the first line of /proc/stat, without idle and
 * waiting ones; what a hypervisor took counts.  Below 0: it is no such line. */
double neighbours_busy(const char *line, double ticks_per_s);

#endif
