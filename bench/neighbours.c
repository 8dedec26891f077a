/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "child.h"
#include "neighbours.h"

#define CALM_PERCENT 15 /* of the processors, and of the disk's time */
#define LOOK_NS 100000000

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

/* Milliseconds that the disk below PATH was at work; 0 where there is none to ask. */
static double disk_busy_ms(const char *path)
{
	unsigned long long busy_ms = 0;
	struct stat stat_of;
	char name[64];
	FILE *file;

	if (stat(path, &stat_of))
		return 0;
	snprintf(name, sizeof(name), "/sys/dev/block/%u:%u/stat", major(stat_of.st_dev),
		 minor(stat_of.st_dev));
	file = fopen(name, "re");
	if (file && fscanf(file, "%*u %*u %*u %*u %*u %*u %*u %*u %*u %llu", &busy_ms) != 1)
		busy_ms = 0;
	if (file)
		fclose(file);
	return (double)busy_ms;
}

static bool calm_now(const char *path)
{
	const struct timespec look = {.tv_nsec = LOOK_NS};
	double disk_ms = disk_busy_ms(path);
	struct neighbours begin;

	neighbours_mark(&begin);
	nanosleep(&look, NULL);
	disk_ms = disk_busy_ms(path) - disk_ms;
	return neighbours_percent(&begin) < CALM_PERCENT &&
	       disk_ms < CALM_PERCENT / 100.0 * (LOOK_NS / 1e6);
}

bool neighbours_wait(const char *path, double seconds)
{
	double begin_s = child_now_s();

	do {
		if (calm_now(path))
			return true;
	} while (!child_interrupted() && child_now_s() - begin_s < seconds);
	return false;
}
