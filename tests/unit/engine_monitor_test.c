/* SPDX-License-Identifier: Apache-2.0
 *
 * The monitor and its batches against a QEMU that answers, refuses, is silent or
 * dies in the middle.
 */
#include <CUnit/CUnit.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "alloc_fail.h"
#include "cunit_main.h"
#include "fake/fake_qemu.h"

static struct loop loop;
static struct fake_qemu fake;
static struct monitor monitor;
static struct errinfo err;

static void setup(void)
{
	CU_ASSERT_EQUAL_FATAL(loop_init(&loop, &err), 0);
	fake_start(&fake, &loop);
	fake_connect(&fake, &monitor);
	err_clear(&err);
}

static void teardown(void)
{
	monitor_close(&monitor);
	fake_stop(&fake);
	loop_release(&loop);
}

static void add_pause(struct batch *batch)
{
	batch_init(batch, &monitor);
	batch_add(batch, "stop", NULL);
	batch_add(batch, "transaction", json_pack("{s:[]}", "actions"));
	batch_add(batch, "cont", NULL);
}

static json_t *silent(void *arg, const char *command, const json_t *arguments)
{
	return NULL;
}

static json_t *number(void *arg, const char *command, const json_t *arguments)
{
	return json_pack("{s:i}", "return", (int)fake.commands);
}

static void a_batch_is_one_write_in_order(void)
{
	struct batch batch;

	setup();
	fake.answer = number;
	add_pause(&batch);
	CU_ASSERT_EQUAL(batch_run(&batch, &err), 0);
	CU_ASSERT_STRING_EQUAL(fake.log, "stop transaction cont ");
	CU_ASSERT_EQUAL(fake_writes.count, 1);
	for (int i = 0; i < 3; i++)
		CU_ASSERT_EQUAL(json_integer_value(batch.entries[i].result), i + 1);
	batch_release(&batch);
	teardown();
}

static void the_largest_batch_is_one_write(void)
{
	struct batch batch;

	setup();
	batch_init(&batch, &monitor);
	for (unsigned i = 0; i < MONITOR_BATCH_MAX; i++)
		batch_add(&batch, "blockdev-add",
			  json_pack("{s:s%}", "node-name", "0123456789012345678901234567890123456789"
				    "0123456789012345678901234567890123456789", (size_t)80));
	CU_ASSERT_EQUAL(batch_run(&batch, &err), 0);
	CU_ASSERT_EQUAL(fake.commands, MONITOR_BATCH_MAX);
	CU_ASSERT_EQUAL(fake_writes.count, 1);
	batch_release(&batch);
	teardown();
}

static void an_empty_batch_is_done(void)
{
	struct batch batch;

	setup();
	batch_init(&batch, &monitor);
	CU_ASSERT_EQUAL(batch_run(&batch, &err), 0);
	CU_ASSERT_EQUAL(fake_writes.count, 0);
	batch_release(&batch);
	teardown();
}

static void what_follows_a_refusal_is_done_and_the_refusal_told(void)
{
	struct batch batch;

	setup();
	add_pause(&batch);
	fake.fail_at = 2;
	CU_ASSERT_EQUAL(batch_run(&batch, &err), -EREMOTEIO);
	CU_ASSERT_STRING_EQUAL(fake.log, "stop transaction cont ");
	CU_ASSERT_EQUAL(batch.entries[0].status, 0);
	CU_ASSERT_EQUAL(batch.entries[1].status, -EREMOTEIO);
	CU_ASSERT_EQUAL(batch.entries[2].status, 0);
	CU_ASSERT(strstr(err.text, "QEMU refused transaction") != NULL);
	CU_ASSERT(strstr(err.text, "command 2 fails by order") != NULL);
	batch_release(&batch);
	teardown();
}

static void qemus_death_in_a_batch_ends_it(void)
{
	struct batch batch;

	setup();
	add_pause(&batch);
	fake.hang_up_at = 2;
	CU_ASSERT_EQUAL(batch_run(&batch, &err), -ENOTCONN);
	CU_ASSERT(monitor.closed);
	CU_ASSERT_EQUAL(batch.entries[0].status, 0);
	CU_ASSERT(batch.entries[1].status < 0 && batch.entries[2].status < 0);
	CU_ASSERT(strstr(err.text, "transaction") != NULL);
	batch_release(&batch);
	teardown();
}

/* What is left to do in a cycle after QEMU's death must not wait for replies. */
static void a_batch_after_the_end_is_refused_at_once(void)
{
	struct batch batch;

	setup();
	fake.hang_up_at = 1;
	CU_ASSERT_EQUAL(monitor_call(&monitor, "query-status", NULL, NULL, &err), -ENOTCONN);
	err_clear(&err);
	add_pause(&batch);
	CU_ASSERT_EQUAL(batch_run(&batch, &err), -ENOTCONN);
	CU_ASSERT(err.text[0] != '\0');
	for (int i = 0; i < 3; i++)
		CU_ASSERT_EQUAL(batch.entries[i].status, -ENOTCONN);
	batch_release(&batch);
	err_clear(&err);
	CU_ASSERT_EQUAL(monitor_call(&monitor, "cont", NULL, NULL, &err), -ENOTCONN);
	teardown();
}

/* To the first command of the last write. */
static void answer_first(int value)
{
	char text[64];

	snprintf(text, sizeof(text), "{\"return\": %d, \"id\": %lld}\r\n", value,
		 strtoll(strstr(fake_writes.text[0], "\"id\":") + 5, NULL, 10));
	fake_say(&fake, text);
}

static void a_silent_qemu_times_out_and_its_late_reply_does_no_harm(void)
{
	setup();
	monitor.timeout_ms = 30;
	fake.answer = silent;
	CU_ASSERT_EQUAL(monitor_call(&monitor, "query-block", NULL, NULL, &err), -ETIMEDOUT);
	CU_ASSERT(strstr(err.text, "query-block") != NULL);
	CU_ASSERT(!monitor.closed);
	/* The batch was on a stack that is gone. */
	answer_first(7);
	fake.answer = NULL;
	monitor.timeout_ms = MONITOR_TIMEOUT_MS;
	err_clear(&err);
	CU_ASSERT_EQUAL(monitor_call(&monitor, "query-status", NULL, NULL, &err), 0);
	teardown();
}

/* The sidecar itself was stopped (SIGSTOP, a debugger) past the deadline. */
static void a_reply_in_the_socket_counts_although_the_deadline_has_passed(void)
{
	struct batch batch;

	setup();
	monitor.timeout_ms = 40;
	fake.answer = silent;
	batch_init(&batch, &monitor);
	batch_add(&batch, "query-status", NULL);
	CU_ASSERT_EQUAL(batch_send(&batch, &err), 0);
	usleep(80000); /* the timer has gone off already when the reply comes */
	answer_first(7);
	CU_ASSERT_EQUAL(batch_wait(&batch, &err), 0);
	CU_ASSERT_EQUAL(json_integer_value(batch.entries[0].result), 7);
	batch_release(&batch);
	teardown();
}

/* Without kernel memory the ring fails for a while. */
static unsigned ring_failures;
int __wrap_ring_run(struct ring *ring);
int __real_ring_run(struct ring *ring);

int __wrap_ring_run(struct ring *ring)
{
	if (!ring_failures)
		return __real_ring_run(ring);
	ring_failures--;
	return -EAGAIN;
}

static void a_ring_that_fails_for_a_while_is_no_answer(void)
{
	struct batch batch;

	setup();
	fake.answer = number;
	add_pause(&batch);
	ring_failures = 3;
	CU_ASSERT_EQUAL(batch_run(&batch, &err), 0);
	CU_ASSERT_EQUAL(batch.replied, 3);
	CU_ASSERT_EQUAL(json_integer_value(batch.entries[2].result), 3);
	batch_release(&batch);
	teardown();
}

static bool never(void *arg)
{
	return false;
}

/* The alarm of the wait is on its stack. */
static void a_wait_leaves_no_alarm_behind(void)
{
	setup();
	ring_failures = 4;
	CU_ASSERT_EQUAL(loop_until(&loop, never, NULL, ring_now_ns() + NS_PER_MS * 3600000),
			-EAGAIN);
	CU_ASSERT_EQUAL(ring_failures, 0);
	CU_ASSERT_EQUAL(monitor_call(&monitor, "query-status", NULL, NULL, &err), 0);
	teardown();
}

static void note_event(void *arg, const char *name, json_t *data, int64_t time_us)
{
	char *text = arg;

	snprintf(text + strlen(text), 64 - strlen(text), "%s ", name);
	CU_ASSERT_EQUAL(time_us, INT64_C(1700000000000005));
}

static void events_are_heard_while_a_call_waits(void)
{
	char events[64] = "";

	setup();
	monitor.on_event = note_event;
	monitor.on_event_arg = events;
	fake_event(&fake, "STOP", NULL);
	fake_event(&fake, "BLOCK_IO_ERROR", NULL);
	CU_ASSERT_EQUAL(monitor_call(&monitor, "query-status", NULL, NULL, &err), 0);
	CU_ASSERT_EQUAL(monitor_call(&monitor, "query-status", NULL, NULL, &err), 0);
	CU_ASSERT_STRING_EQUAL(events, "STOP BLOCK_IO_ERROR ");
	teardown();
}

static void a_descriptor_comes_with_its_command(void)
{
	int fd = memfd_create("test", MFD_CLOEXEC);
	char byte = 0;

	setup();
	CU_ASSERT(pwrite(fd, "x", 1, 0) == 1);
	CU_ASSERT_EQUAL(monitor_call_fd(&monitor, "add-fd", NULL, fd, NULL, &err), 0);
	CU_ASSERT_FATAL(fake.received_fd >= 0);
	CU_ASSERT(pread(fake.received_fd, &byte, 1, 0) == 1 && byte == 'x');
	close(fd);
	teardown();
}

static void a_result_is_the_callers(void)
{
	json_t *result = NULL;

	setup();
	fake.answer = number;
	CU_ASSERT_EQUAL(monitor_call(&monitor, "a", NULL, &result, &err), 0);
	CU_ASSERT_EQUAL(json_integer_value(result), 1);
	json_decref(result);
	result = NULL;
	fake.fail_at = 2;
	CU_ASSERT_EQUAL(monitor_call(&monitor, "b", NULL, &result, &err), -EREMOTEIO);
	CU_ASSERT_PTR_NULL(result);
	teardown();
}

/* Never a `stop` whose `cont` could not be queued. */
static void a_batch_that_cannot_be_queued_whole_is_not_sent_at_all(void)
{
	unsigned n = 1;

	setup();
	for (;; n++) {
		struct batch batch;
		bool failed;
		int rc;

		add_pause(&batch);
		fake_forget(&fake);
		err_clear(&err);
		alloc_fail_at(n);
		rc = batch_send(&batch, &err);
		failed = alloc_fail_off();
		if (!failed) {
			CU_ASSERT_EQUAL(batch_wait(&batch, &err), 0);
			batch_release(&batch);
			break;
		}
		CU_ASSERT_EQUAL(rc, -ENOMEM);
		CU_ASSERT_EQUAL(err.code, -ENOMEM);
		CU_ASSERT_EQUAL(fake_writes.count, 0);
		CU_ASSERT_EQUAL(batch.replied, 3);
		for (int i = 0; i < 3; i++)
			CU_ASSERT_EQUAL(batch.entries[i].status, -ENOMEM);
		batch_release(&batch);
	}
	CU_ASSERT(n >= 4); /* each of the three failed once */
	err_clear(&err);
	CU_ASSERT_EQUAL(monitor_call(&monitor, "query-status", NULL, NULL, &err), 0);
	teardown();
}

/* Arguments that are no object (no memory for them, say) stop all of it too. */
static void a_batch_with_one_bad_command_is_not_sent_at_all(void)
{
	struct batch batch;

	setup();
	batch_init(&batch, &monitor);
	batch_add(&batch, "stop", NULL);
	batch_add(&batch, "transaction", json_array());
	batch_add(&batch, "cont", NULL);
	CU_ASSERT_EQUAL(batch_run(&batch, &err), -EINVAL);
	CU_ASSERT(strstr(err.text, "transaction") != NULL);
	CU_ASSERT_EQUAL(monitor_call(&monitor, "query-status", NULL, NULL, NULL), 0);
	CU_ASSERT_STRING_EQUAL(fake.log, "query-status ");
	batch_release(&batch);
	teardown();
}

static void what_is_no_monitor_is_refused(void)
{
	static const char *const greetings[] = {
		"HTTP/1.1 400 Bad Request\r\n\r\n",
		"{\"QMP\": 7}\r\n",
		"{\"event\": \"STOP\"}\r\n[1]\r\n",
	};

	CU_ASSERT_EQUAL_FATAL(loop_init(&loop, &err), 0);
	for (unsigned i = 0; i < sizeof(greetings) / sizeof(greetings[0]); i++) {
		fake_start(&fake, &loop);
		fake.greeting = greetings[i];
		err_clear(&err);
		CU_ASSERT_EQUAL(monitor_open(&monitor, &loop, fake.path, &err), -ENOTCONN);
		CU_ASSERT(err.text[0] != '\0');
		monitor_close(&monitor);
		fake_stop(&fake);
	}
	loop_release(&loop);
}

static void an_address_where_nobody_listens_is_named(void)
{
	CU_ASSERT_EQUAL_FATAL(loop_init(&loop, &err), 0);
	err_clear(&err);
	CU_ASSERT(monitor_open(&monitor, &loop, "/nowhere/qmp.sock", &err) < 0);
	CU_ASSERT(strstr(err.text, "/nowhere/qmp.sock") != NULL);
	monitor_close(&monitor);
	err_clear(&err);
	CU_ASSERT(monitor_open(&monitor, &loop, "tcp:nonsense", &err) < 0);
	CU_ASSERT(err.text[0] != '\0');
	monitor_close(&monitor);
	loop_release(&loop);
}

int main(void)
{
#define CASE(fn) {#fn, fn}
	static const struct cunit_case cases[] = {
		CASE(a_batch_is_one_write_in_order),
		CASE(the_largest_batch_is_one_write),
		CASE(an_empty_batch_is_done),
		CASE(what_follows_a_refusal_is_done_and_the_refusal_told),
		CASE(qemus_death_in_a_batch_ends_it),
		CASE(a_batch_after_the_end_is_refused_at_once),
		CASE(a_silent_qemu_times_out_and_its_late_reply_does_no_harm),
		CASE(a_reply_in_the_socket_counts_although_the_deadline_has_passed),
		CASE(a_ring_that_fails_for_a_while_is_no_answer),
		CASE(a_wait_leaves_no_alarm_behind),
		CASE(events_are_heard_while_a_call_waits),
		CASE(a_descriptor_comes_with_its_command),
		CASE(a_result_is_the_callers),
		CASE(a_batch_that_cannot_be_queued_whole_is_not_sent_at_all),
		CASE(a_batch_with_one_bad_command_is_not_sent_at_all),
		CASE(what_is_no_monitor_is_refused),
		CASE(an_address_where_nobody_listens_is_named),
	};

	alarm(60); /* a wait that never ends is a failure too */
	return cunit_run("monitor", cases, sizeof(cases) / sizeof(cases[0]));
}
