/* SPDX-License-Identifier: Apache-2.0
 *
 * sense_host: see sense_host.h.
 */
#include "sense_host.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sidecar.h"

#define BALLOON_TIMEOUT_MS 120000
/* Between two looks: threads that wake each other write 8 bytes, a dump more than this. */
#define AT_WORK_BYTES (1u << 20)

/* --- texts --- */

/* The name of the command, in parentheses, may have anything in it. */
bool sense_host_parse_stat(const char *text, int64_t *cpu_ticks, uint64_t *resident_pages)
{
	const char *rest = strrchr(text, ')');
	long long user, system, resident;

	if (!rest ||
	    sscanf(rest + 1,
		   " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lld %lld %*d %*d %*d %*d %*d %*d "
		   "%*u %*u %lld", &user, &system, &resident) != 3 ||
	    user < 0 || system < 0 || resident < 0)
		return false;
	*cpu_ticks = user + system;
	*resident_pages = (uint64_t)resident;
	return true;
}

bool sense_host_parse_written(const char *text, uint64_t *bytes)
{
	const char *line = strstr(text, "wchar: ");

	return line && sscanf(line, "wchar: %lu", bytes) == 1;
}

bool sense_host_parse_pressure(const char *text, double *percent)
{
	return sscanf(text, "some avg10=%lf", percent) == 1 && *percent >= 0 && *percent <= 100;
}

static bool read_number(int dir_fd, const char *name, uint64_t *number)
{
	char path[300], text[32];
	int fd;
	ssize_t n;

	snprintf(path, sizeof(path), "%s/ce_count", name);
	fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[n > 0 ? n : 0] = '\0';
	return sscanf(text, "%lu", number) == 1;
}

bool sense_host_corrected(const char *dir, uint64_t *count)
{
	DIR *folder = opendir(dir);
	const struct dirent *entry;
	bool found = false;
	uint64_t n;

	*count = 0;
	while (folder && (entry = readdir(folder))) {
		if (strncmp(entry->d_name, "mc", 2) ||
		    !read_number(dirfd(folder), entry->d_name, &n))
			continue;
		*count += n;
		found = true;
	}
	if (folder)
		closedir(folder);
	return found;
}

static bool read_text(int fd, char *text, size_t size)
{
	ssize_t n = fd < 0 ? -1 : pread(fd, text, size - 1, 0);

	text[n > 0 ? n : 0] = '\0';
	return n > 0;
}

/* --- looks --- */

static void look_at_process(struct sense_host *host)
{
	static long ticks_per_s;
	int64_t ticks, now_ns = ring_now_ns();
	uint64_t pages;
	char text[1024];

	if (!ticks_per_s)
		ticks_per_s = sysconf(_SC_CLK_TCK);
	if (!read_text(host->stat_fd, text, sizeof(text)) ||
	    !sense_host_parse_stat(text, &ticks, &pages))
		return;
	if (host->cpu_ns && now_ns > host->cpu_ns)
		host->cpu_percent = (double)(ticks - host->cpu_ticks) / (double)ticks_per_s /
				    ((double)(now_ns - host->cpu_ns) / 1e9) * 100;
	host->cpu_ticks = ticks;
	host->cpu_ns = now_ns;
	host->resident_bytes = pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void look_at_writes(struct sense_host *host, struct detect_facts *facts)
{
	char text[512];
	uint64_t bytes;

	if (!read_text(host->io_fd, text, sizeof(text)) || !sense_host_parse_written(text, &bytes))
		return;
	if (host->written_ns && bytes >= host->written_bytes + AT_WORK_BYTES)
		facts->writes_since_ns = host->written_ns;
	host->written_bytes = bytes;
	host->written_ns = ring_now_ns();
}

static void look_at_pressure(int fd, double *percent)
{
	char text[256];
	double found;

	if (read_text(fd, text, sizeof(text)) && sense_host_parse_pressure(text, &found))
		*percent = found;
}

static void look_at_memory(struct sidecar *sidecar)
{
	struct sense_host *host = &sidecar->sense.host;
	const char *dir = getenv(SENSE_EDAC_ENV);
	uint64_t count, before;

	if (!sense_host_corrected(dir ? dir : SENSE_EDAC_DIR, &count))
		return;
	before = host->corrected_count < SENSE_EDAC_LOOKS ? host->corrected[0]
							   : host->corrected[host->corrected_next];
	if (!host->corrected_count)
		before = count; /* those before our time are nobody's news */
	host->corrected[host->corrected_next] = count;
	host->corrected_next = (host->corrected_next + 1) % SENSE_EDAC_LOOKS;
	host->corrected_count += host->corrected_count < SENSE_EDAC_LOOKS;
	sidecar->sense.facts.corrected_errors = count > before ? count - before : 0;
}

void sense_host_forget_errors(struct sidecar *sidecar)
{
	sidecar->sense.host.corrected_count = sidecar->sense.host.corrected_next = 0;
	sidecar->sense.facts.corrected_errors = 0;
}

/* --- balloon --- */

static void balloon_came(void *arg, const struct qmp_reply *reply)
{
	struct sense_host *host = &((struct sidecar *)arg)->sense.host;

	host->asking = false;
	if (!reply->status)
		host->balloon_bytes = json_integer_value(json_object_get(reply->result, "actual"));
	else if (reply->status == -EREMOTEIO)
		host->no_balloon = true;
}

static void ask_balloon(struct sidecar *sidecar)
{
	struct sense_host *host = &sidecar->sense.host;

	if (host->no_balloon || host->asking || sidecar->monitor.closed)
		return;
	host->asking = !monitor_send(&sidecar->monitor, "query-balloon", BALLOON_TIMEOUT_MS,
				     balloon_came, sidecar);
}

/* --- life --- */

void sense_host_tick(struct sidecar *sidecar)
{
	struct sense_host *host = &sidecar->sense.host;
	unsigned tick = host->ticks++;

	if (tick % SENSE_HOST_S == 0) {
		look_at_process(host);
		look_at_writes(host, &sidecar->sense.facts);
		look_at_pressure(host->pressure_fd, &host->pressure_percent);
		look_at_pressure(host->cpu_pressure_fd, &host->cpu_pressure_percent);
		look_at_memory(sidecar);
	}
	if (tick % SENSE_BALLOON_S == 0)
		ask_balloon(sidecar);
}

void sense_host_start(struct sidecar *sidecar, pid_t pid)
{
	struct sense_host *host = &sidecar->sense.host;
	char path[64];

	*host = (struct sense_host){.cpu_percent = -1, .pressure_percent = -1,
				    .cpu_pressure_percent = -1,
				    .balloon_bytes = -1, .stat_fd = -1, .io_fd = -1};
	if (pid > 0) {
		snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
		host->stat_fd = open(path, O_RDONLY | O_CLOEXEC);
		snprintf(path, sizeof(path), "/proc/%d/io", (int)pid);
		host->io_fd = open(path, O_RDONLY | O_CLOEXEC);
	}
	host->pressure_fd = open("/proc/pressure/memory", O_RDONLY | O_CLOEXEC);
	host->cpu_pressure_fd = open("/proc/pressure/cpu", O_RDONLY | O_CLOEXEC);
}

void sense_host_stop(struct sidecar *sidecar)
{
	struct sense_host *host = &sidecar->sense.host;

	if (host->stat_fd >= 0)
		close(host->stat_fd);
	if (host->io_fd >= 0)
		close(host->io_fd);
	if (host->pressure_fd >= 0)
		close(host->pressure_fd);
	if (host->cpu_pressure_fd >= 0)
		close(host->cpu_pressure_fd);
	host->stat_fd = host->io_fd = host->pressure_fd = host->cpu_pressure_fd = -1;
}
