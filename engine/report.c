/* SPDX-License-Identifier: Apache-2.0 */
#include "report.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "loop.h"

void report_time(int64_t time_us, char text[40])
{
	time_t seconds = (time_t)(time_us / 1000000);
	struct tm tm;
	char date[24];

	gmtime_r(&seconds, &tm);
	strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text, 40, "%.23s.%06uZ", date, (unsigned)(time_us % 1000000));
}

int report_init(struct report *report, const char *path, struct errinfo *err)
{
	int fd;

	memset(report, 0, sizeof(*report));
	if (!path)
		return 0;
	if (!strcmp(path, "-")) {
		fd = dup(STDOUT_FILENO);
	} else {
		fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	}
	if (fd < 0)
		return err_set(err, -errno, "cannot write events to %s: %s", path, strerror(errno));
	report->events = fdopen(fd, "a");
	if (!report->events) {
		close(fd);
		return err_set(err, -ENOMEM, "cannot write events to %s: no memory", path);
	}
	return 0;
}

void report_release(struct report *report)
{
	if (report->events)
		fclose(report->events);
	report->events = NULL;
}

void report_event(struct report *report, const char *event, json_t *fields)
{
	json_t *line;
	char time[40];

	if (!report->events || report->lost) {
		json_decref(fields);
		return;
	}
	report_time(loop_realtime_us(), time);
	line = json_pack("{s:s,s:s,s:s}", "event", event, "time", time, "vm", report->vm);
	if (line && fields)
		json_object_update(line, fields);
	json_decref(fields);
	if (!line || json_dumpf(line, report->events, REPORT_JSON) ||
	    fputc('\n', report->events) == EOF || fflush(report->events) == EOF) {
		report->lost = true;
		log_warn("events can no longer be written (%s); protection goes on",
			 strerror(errno));
	}
	json_decref(line);
}

void report_log(const char *level, const char *format, ...)
{
	char text[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	fprintf(stderr, "qheal: %s%s%s\n", strcmp(level, "info") ? level : "",
		strcmp(level, "info") ? ": " : "", text);
}
