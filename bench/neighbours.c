/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "child.h"
#include "neighbours.h"

double neighbours_busy(const char *line, double ticks_per_s)
{
	unsigned long long user, nice, system, idle, wait, irq, softirq, steal;

	if (sscanf(line, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &user, &nice, &system,
		   &idle, &wait, &irq, &softirq, &steal) != 8)
		return -1;
	return (double)(user + nice + system + irq + softirq + steal) / ticks_per_s;
}

static double seconds_of(int who)
{
	struct rusage usage;

	getrusage(who, &usage);
	return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
	       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

void neighbours_mark(struct neighbours *neighbours)
{
	FILE *file = fopen("/proc/stat", "re");
	char line[256] = "";

	if (file && !fgets(line, sizeof(line), file))
		line[0] = '\0';
	if (file)
		fclose(file);
	*neighbours =
	    (struct neighbours){.busy_s = neighbours_busy(line, (double)sysconf(_SC_CLK_TCK)),
				.ours_s = seconds_of(RUSAGE_SELF) + seconds_of(RUSAGE_CHILDREN),
				.at_s = child_now_s()};
}

double neighbours_percent(const struct neighbours *since)
{
	struct neighbours now;
	double others_s, all_s;

	neighbours_mark(&now);
	if (now.busy_s < 0 || since->busy_s < 0)
		return 0;
	others_s = (now.busy_s - since->busy_s) - (now.ours_s - since->ours_s);
	all_s = (now.at_s - since->at_s) * (double)sysconf(_SC_NPROCESSORS_ONLN);
	return others_s > 0 && all_s > 0 ? 100 * others_s / all_s : 0;
}
