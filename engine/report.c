/* SPDX-License-Identifier: Apache-2.0 */
#include "report.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "loop.h"
#include "text.h"
#include "utf8.h"

static struct outlet logs = {.fd = -1}; /* stderr, from report_init() on */

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
	int fd, rc;

	memset(report, 0, sizeof(*report));
	outlet_open(&logs, STDERR_FILENO);
	if (!path)
		return 0;
	/* A FIFO that nobody reads yet would be waited for. */
	fd = !strcmp(path, "-") ? fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0)
				: open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK,
				       0600);
	if (fd < 0)
		return err_set(err, -errno, "cannot write events to %s: %s", path,
			       errno == ENXIO ? "nobody reads it; start its reader first"
					      : strerror(errno));
	rc = outlet_open(&report->events, fd);
	close(fd);
	if (rc)
		return err_set(err, rc, "cannot write events to %s: %s", path, strerror(-rc));
	report->wanted = true;
	return 0;
}

void report_release(struct report *report)
{
	outlet_close(&logs);
	if (report->wanted)
		outlet_close(&report->events);
	report->wanted = false;
}

static int put_event(struct report *report, const char *event, json_t *fields)
{
	char time[40], *text = NULL;
	size_t length;
	json_t *line;
	int rc = -ENOMEM;

	report_time(loop_realtime_us(), time);
	line = json_pack("{s:s,s:s,s:s}", "event", event, "time", time, "vm", report->vm);
	if (line && fields)
		json_object_update(line, fields);
	if (line)
		text = json_dumps(line, REPORT_JSON);
	if (text) {
		length = strlen(text);
		text[length++] = '\n'; /* in place of its end */
		rc = outlet_put(&report->events, text, length);
	}
	free(text);
	json_decref(line);
	return rc;
}

void report_event(struct report *report, const char *event, json_t *fields)
{
	unsigned dropped;
	int rc = 0;

	if (report->wanted && !report->lost) {
		dropped = outlet_dropped(&report->events);
		if (dropped) {
			json_t *lost = json_pack("{s:I}", "count", (json_int_t)dropped);

			rc = put_event(report, "events-lost", lost);
			json_decref(lost);
		}
		if (!rc)
			rc = put_event(report, event, fields);
		if (rc == -ENOBUFS && report->events.dropped == 1)
			log_warn("the reader of the events stands still: events are dropped");
		report->lost = rc && rc != -ENOBUFS;
		if (report->lost)
			log_warn("events can no longer be written (%s); protection goes on",
				 strerror(-rc));
	}
	json_decref(fields);
}

/* A command waits for who reads what it says; a sidecar does not. */
static void put_line(const char *level, const char *colon, const char *text)
{
	char line[1100];
	unsigned dropped;

	if (logs.fd < 0) {
		fprintf(stderr, "qheal: %s%s%s\n", level, colon, text);
		return;
	}
	dropped = outlet_dropped(&logs);
	if (dropped) {
		snprintf(line, sizeof(line), "qheal: warning: %u lines are missing here, as nobody "
			 "read them\n", dropped);
		outlet_put(&logs, line, strlen(line));
	}
	snprintf(line, sizeof(line), "qheal: %s%s%s\n", level, colon, text);
	outlet_put(&logs, line, strlen(line));
}

void report_draw(const char *text)
{
	if (!isatty(STDERR_FILENO))
		return;
	if (logs.fd < 0)
		fputs(text, stderr);
	else
		outlet_put(&logs, text, strlen(text));
}

void report_log(const char *level, const char *format, ...)
{
	char text[1024]; /* part of it is others' */
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	text[utf8_whole(text, strlen(text))] = '\0';
	text_tame(text, false);
	put_line(strcmp(level, "info") ? level : "", strcmp(level, "info") ? ": " : "", text);
}
