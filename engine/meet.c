/* SPDX-License-Identifier: Apache-2.0
 *
 * meet: see meet.h.
 */
#include "meet.h"

#include <errno.h>
#include <string.h>

#include "jsontext.h"
#include "monitor.h"

/* A QEMU listens after some 20 ms; one that does not is not hurried by asking. */
#define TRY_FIRST_MS 5
#define TRY_LAST_MS 5000
#define TRY_PART 10 /* of the time that it has taken already */

struct meeting {
	struct loop *loop;
	const struct meet *meet;
	int64_t start_ns, end_ns;
};

static bool hopeless(void *arg)
{
	const struct meeting *meeting = arg;

	return meeting->loop->quit || (meeting->meet->gone && *meeting->meet->gone);
}

/* False: there is no time for another try. */
static bool pause_between(struct meeting *meeting)
{
	int64_t now_ns = ring_now_ns();
	int64_t wait_ns = (now_ns - meeting->start_ns) / TRY_PART;

	if (wait_ns < TRY_FIRST_MS * NS_PER_MS)
		wait_ns = TRY_FIRST_MS * NS_PER_MS;
	if (wait_ns > TRY_LAST_MS * NS_PER_MS)
		wait_ns = TRY_LAST_MS * NS_PER_MS;
	loop_until(meeting->loop, hopeless, meeting, now_ns + wait_ns);
	return !hopeless(meeting) && ring_now_ns() < meeting->end_ns;
}

static int give_up(const struct meeting *meeting, struct errinfo *err)
{
	struct errinfo last = *err;

	err_clear(err);
	if (meeting->loop->quit)
		return err_set(err, -EINTR, "the sidecar is to end");
	if (hopeless((void *)meeting))
		return err_set(err, -ECHILD, "QEMU ended");
	return err_set(err, -ETIMEDOUT, "QEMU did not answer within %lld s: %.300s",
		       (long long)meeting->meet->timeout_ms / 1000, last.text);
}

static int connect_qemu(struct meeting *meeting, struct monitor *monitor, const char *address,
			struct errinfo *err)
{
	for (;;) {
		int rc = monitor_open(monitor, meeting->loop, address, err);

		if (!rc)
			return 0;
		monitor_close(monitor);
		if (!pause_between(meeting))
			return give_up(meeting, err);
		err_clear(err);
	}
}

static int wait_running(struct meeting *meeting, struct monitor *monitor, struct errinfo *err)
{
	bool asked = meeting->meet->want != MEET_CONT;

	for (;;) {
		json_t *reply = NULL;
		bool running;
		int rc = monitor_call(monitor, "query-status", NULL, &reply, err);

		if (rc)
			return rc;
		running = !strcmp(json_text(reply, "status"), "running");
		err_clear(err);
		err_set(err, -EAGAIN, "its guest is in state %s", json_text(reply, "status"));
		json_decref(reply);
		if (running) {
			err_clear(err);
			return 0;
		}
		if (!asked) {
			err_clear(err);
			rc = monitor_call(monitor, "cont", NULL, NULL, err);
			if (rc)
				return rc;
			asked = true;
			continue;
		}
		if (!pause_between(meeting))
			return give_up(meeting, err);
	}
}

int meet_qemu(struct loop *loop, const char *address, const struct meet *meet, struct errinfo *err)
{
	struct meeting meeting = {.loop = loop, .meet = meet, .start_ns = ring_now_ns()};
	struct monitor monitor;
	int rc;

	meeting.end_ns = meeting.start_ns + meet->timeout_ms * NS_PER_MS;
	rc = connect_qemu(&meeting, &monitor, address, err);
	if (rc)
		return rc;
	if (meet->timeline)
		timeline_mark(meet->timeline, "start");
	if (meet->want != MEET_ANSWER) {
		rc = wait_running(&meeting, &monitor, err);
		if (!rc && meet->timeline)
			timeline_mark(meet->timeline, "resume");
	}
	monitor_close(&monitor);
	return rc;
}
