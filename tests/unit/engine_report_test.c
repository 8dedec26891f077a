/* SPDX-License-Identifier: Apache-2.0
 *
 * Events as scripts read them (the contract), log lines as people do, and the
 * timeline of a recovery.
 */
#include <CUnit/CUnit.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cunit_main.h"
#include "report.h"
#include "timeline.h"

static char path[64];
static struct report report;
static struct errinfo err;

static void setup(void)
{
	snprintf(path, sizeof(path), "/tmp/qheal-report-%d", (int)getpid());
	unlink(path);
	err_clear(&err);
	CU_ASSERT_EQUAL_FATAL(report_init(&report, path, &err), 0);
	strcpy(report.vm, "guest");
}

static void teardown(void)
{
	report_release(&report);
	unlink(path);
}

/* What DO_IT writes to FD 1 or 2. */
static void capture(int fd, char *text, size_t size, void (*do_it)(void))
{
	FILE *file = tmpfile();
	int saved = dup(fd);
	size_t n;

	fflush(NULL);
	dup2(fileno(file), fd);
	do_it();
	fflush(NULL);
	dup2(saved, fd);
	close(saved);
	rewind(file);
	n = fread(text, 1, size - 1, file);
	text[n] = '\0';
	fclose(file);
}

static void read_back(char *text, size_t size)
{
	FILE *file = fopen(path, "r");
	size_t n = file ? fread(text, 1, size - 1, file) : 0;

	text[n] = '\0';
	if (file)
		fclose(file);
}

static void an_event_begins_with_event_time_and_vm(void)
{
	char text[512], *time;

	setup();
	report_event(&report, "generation", json_pack("{s:i,s:f}", "generation", 7, "lag_ms", 1.5));
	read_back(text, sizeof(text));
	CU_ASSERT(!strncmp(text, "{\"event\":\"generation\",\"time\":\"", 30));
	time = text + 30;
	CU_ASSERT(strlen(time) > 27 && time[4] == '-' && time[10] == 'T' && time[19] == '.' &&
		  time[26] == 'Z');
	CU_ASSERT_STRING_EQUAL(time + 27,
			       "\",\"vm\":\"guest\",\"generation\":7,\"lag_ms\":1.5}\n");
	teardown();
}

static void each_event_is_a_line_and_there_at_once(void)
{
	char text[512];

	setup();
	report_event(&report, "a", json_pack("{s:s}", "why", "two\nlines \"quoted\" \xc3\xa9"));
	read_back(text, sizeof(text)); /* not released yet */
	CU_ASSERT(strchr(text, '\n') == text + strlen(text) - 1);
	CU_ASSERT(strstr(text, "two\\nlines \\\"quoted\\\" \\u00E9") != NULL);
	report_event(&report, "b", NULL);
	read_back(text, sizeof(text));
	CU_ASSERT(strstr(strchr(text, '\n'), "{\"event\":\"b\"") == strchr(text, '\n') + 1);
	teardown();
}

/* Numbers that are none (a division by zero) must not cost the event. */
static void an_event_without_fields_still_goes_out(void)
{
	char text[512];

	setup();
	report_event(&report, "recovered", json_pack("{s:f}", "downtime_ms", 1.0 / 0.0));
	read_back(text, sizeof(text));
	CU_ASSERT(strstr(text, "\"event\":\"recovered\"") != NULL);
	teardown();
}

static void a_file_is_appended_to_and_private(void)
{
	struct stat status;
	char text[512];

	setup();
	report_event(&report, "first", NULL);
	report_release(&report);
	CU_ASSERT_EQUAL(report_init(&report, path, &err), 0);
	report_event(&report, "second", NULL);
	read_back(text, sizeof(text));
	CU_ASSERT(strstr(text, "first") && strstr(text, "second"));
	CU_ASSERT(!stat(path, &status) && (status.st_mode & 07777) == 0600);
	teardown();
}

static void a_file_that_cannot_be_opened_is_named(void)
{
	err_clear(&err);
	CU_ASSERT_EQUAL(report_init(&report, "/nowhere/events", &err), -ENOENT);
	CU_ASSERT(strstr(err.text, "/nowhere/events") != NULL);
	report_event(&report, "x", NULL);
	report_release(&report);
}

static void nobody_asked(void)
{
	CU_ASSERT_EQUAL(report_init(&report, NULL, &err), 0);
	report_event(&report, "x", json_pack("{s:i}", "leak", 1));
	report_release(&report);
	report_release(&report);
}

static int reader;
static const char *where;

static void speak_to_nobody(void)
{
	err_clear(&err);
	CU_ASSERT_EQUAL(report_init(&report, where, &err), 0);
	close(reader);
	for (int i = 0; i < 3; i++)
		report_event(&report, "x", json_pack("{s:i}", "i", i));
}

/* The reader of `--events -` may go: the guest's protection may not. */
static void a_reader_that_is_gone_is_told_of_once(void)
{
	char text[1024], *first;
	int pipes[2], saved = dup(STDOUT_FILENO);

	signal(SIGPIPE, SIG_IGN);
	CU_ASSERT_FATAL(!pipe(pipes));
	reader = pipes[0];
	fflush(stdout);
	dup2(pipes[1], STDOUT_FILENO);
	close(pipes[1]);
	where = "-";
	capture(STDERR_FILENO, text, sizeof(text), speak_to_nobody);
	dup2(saved, STDOUT_FILENO);
	close(saved);
	first = strstr(text, "events can no longer be written (Broken pipe)");
	CU_ASSERT_PTR_NOT_NULL_FATAL(first);
	CU_ASSERT_PTR_NULL(strstr(first + 1, "events can no longer"));
	CU_ASSERT(report.lost);
	report_release(&report);
}

static char all[1 << 20];
static size_t have;

static void read_more(int fd)
{
	ssize_t n = read(fd, all + have, sizeof(all) - 1 - have);

	have += n > 0 ? (size_t)n : 0;
	all[have] = '\0';
}

/* How many events were read, and how many they say are missing. */
static unsigned events_of(unsigned *dropped)
{
	unsigned events = 0;

	for (char *line = all, *end; (end = strchr(line, '\n')); line = end + 1) {
		json_t *event = json_loadb(line, (size_t)(end - line), 0, NULL);

		CU_ASSERT_PTR_NOT_NULL_FATAL(event); /* whole */
		if (!strcmp(json_string_value(json_object_get(event, "event")), "events-lost"))
			*dropped += (unsigned)json_integer_value(json_object_get(event, "count"));
		else
			events++;
		json_decref(event);
	}
	return events;
}

/* It stands still, and comes back: no event waits for it, and those it missed are counted. */
static void a_reader_that_stands_still_is_not_waited_for(void)
{
	unsigned dropped = 0, events, sent = 6000;
	int fd;

	unlink(path);
	CU_ASSERT_EQUAL_FATAL(mkfifo(path, 0600), 0);
	err_clear(&err);
	CU_ASSERT_EQUAL(report_init(&report, path, &err), -ENXIO);
	CU_ASSERT(strstr(err.text, "nobody reads it") != NULL);
	fd = open(path, O_RDONLY | O_NONBLOCK);
	CU_ASSERT_EQUAL_FATAL(report_init(&report, path, &err), 0);
	for (int i = 0; i < 6000; i++)
		report_event(&report, "x", json_pack("{s:i}", "i", i));
	do {
		sent++;
		read_more(fd);
		report_event(&report, "y", NULL);
	} while (sent < 9000 && (report.events.dropped || report.events.bytes));
	read_more(fd);
	events = events_of(&dropped);
	CU_ASSERT(dropped > 100);
	CU_ASSERT_EQUAL(events + dropped, sent);
	CU_ASSERT(!report.lost);
	report_release(&report);
	close(fd);
	unlink(path);
}

static void a_full_disk_is_told_of_and_survived(void)
{
	char text[1024];

	where = "/dev/full";
	reader = -1;
	capture(STDERR_FILENO, text, sizeof(text), speak_to_nobody);
	CU_ASSERT(strstr(text, "No space left") != NULL);
	report_release(&report);
}

static void speak_to_people(void)
{
	char name[2000];

	memset(name, 'n', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	log_info("%d disks", 2);
	log_warn("careful");
	log_error("%s", name);
}

static void log_lines_have_a_prefix_and_an_end(void)
{
	char text[4096];

	capture(STDERR_FILENO, text, sizeof(text), speak_to_people);
	CU_ASSERT(!strncmp(text, "qheal: 2 disks\nqheal: warning: careful\nqheal: error: nnn", 56));
	CU_ASSERT(text[strlen(text) - 1] == '\n');
	CU_ASSERT(strlen(text) < 1200);
}

static void times_are_rfc_3339_with_microseconds(void)
{
	static const struct {
		int64_t us;
		const char *text;
	} times[] = {
		{0, "1970-01-01T00:00:00.000000Z"},
		{1, "1970-01-01T00:00:00.000001Z"},
		{1709210096999999, "2024-02-29T12:34:56.999999Z"},
		{INT64_C(2147483648000000), "2038-01-19T03:14:08.000000Z"},
		{INT64_C(4102444800123456), "2100-01-01T00:00:00.123456Z"},
	};

	for (unsigned i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		char text[40];

		report_time(times[i].us, text);
		CU_ASSERT_STRING_EQUAL(text, times[i].text);
	}
}

/* --- timeline.h --- */

static void steps_add_up_to_the_whole(void)
{
	int64_t start_ns = ring_now_ns() - 5000000, sum_ns = 0;
	struct timeline timeline;
	json_t *steps;

	timeline_start(&timeline, start_ns);
	timeline_mark(&timeline, "notice");
	usleep(2000);
	timeline_mark(&timeline, "catch-up");
	timeline_mark(&timeline, "swap");
	for (unsigned i = 0; i < timeline.count; i++)
		sum_ns += timeline.steps[i].ns;
	CU_ASSERT_EQUAL(timeline.count, 3);
	CU_ASSERT_EQUAL(sum_ns, timeline.last_ns - start_ns);
	steps = timeline_json(&timeline);
	CU_ASSERT_EQUAL(json_array_size(steps), 3);
	CU_ASSERT_STRING_EQUAL(
		json_string_value(json_object_get(json_array_get(steps, 1), "name")), "catch-up");
	CU_ASSERT(json_real_value(json_object_get(json_array_get(steps, 0), "ms")) >= 5.0);
	CU_ASSERT(json_real_value(json_object_get(json_array_get(steps, 1), "ms")) >= 2.0);
	json_decref(steps);
	timeline_start(&timeline, ring_now_ns());
	CU_ASSERT_EQUAL(timeline.count, 0);
}

int main(void)
{
#define CASE(fn) {#fn, fn}
	static const struct cunit_case cases[] = {
		CASE(an_event_begins_with_event_time_and_vm),
		CASE(each_event_is_a_line_and_there_at_once),
		CASE(an_event_without_fields_still_goes_out),
		CASE(a_file_is_appended_to_and_private),
		CASE(a_file_that_cannot_be_opened_is_named),
		CASE(nobody_asked),
		CASE(a_reader_that_is_gone_is_told_of_once),
		CASE(a_reader_that_stands_still_is_not_waited_for),
		CASE(a_full_disk_is_told_of_and_survived),
		CASE(log_lines_have_a_prefix_and_an_end),
		CASE(times_are_rfc_3339_with_microseconds),
		CASE(steps_add_up_to_the_whole),
	};

	return cunit_run("report", cases, sizeof(cases) / sizeof(cases[0]));
}
