/* SPDX-License-Identifier: Apache-2.0
 *
 * report: what the sidecar tells the world: events (one JSON object a line, the
 * contract) and log lines for people on stderr.  Only the engine uses it.
 */
#ifndef ENGINE_REPORT_H
#define ENGINE_REPORT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include "bounds.h"
#include "errinfo.h"
#include "outlet.h"

struct report {
	struct outlet events;
	bool wanted; /* somebody asked for events */
	bool lost;   /* their reader went away; said once */
	char vm[BOUND_VM_NAME + 1];
};

/* PATH: a file to append to (created 0600), "-" for stdout, NULL for none.  Until the release no
 * event and no log line waits for its reader: this process has a guest to look after. */
int report_init(struct report *report, const char *path, struct errinfo *err);
void report_release(struct report *report);

/* Emit EVENT with FIELDS (taken over; may be NULL) behind event, time and vm. */
void report_event(struct report *report, const char *event, json_t *fields);

/* TEXT as it is, for who watches a terminal; nothing if nobody does. */
void report_draw(const char *text);
__attribute__((format(printf, 2, 3))) void report_log(const char *level, const char *format, ...);
#define log_info(...) report_log("info", __VA_ARGS__)
#define log_warn(...) report_log("warning", __VA_ARGS__)
#define log_error(...) report_log("error", __VA_ARGS__)

/* How JSON leaves the program: one line, figures a person can read. */
#define REPORT_JSON (JSON_COMPACT | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(9))

/* RFC 3339 with microseconds, UTC. */
void report_time(int64_t time_us, char text[40]);

#endif
