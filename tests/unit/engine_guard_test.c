/* SPDX-License-Identifier: Apache-2.0
 *
 * The guard with real processes and real signals: a socketpair stands for the
 * monitor, this test is QEMU at its other end.
 */
#include <CUnit/CUnit.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cunit_main.h"
#include "guard.h"

#define QUIET_MS 300
#define ANSWER "{\"return\": {\"qemu\": {}}, \"id\": \"qheal-guard\"}\r\n"

static pid_t sidecar, guard_pid; /* the latter becomes our child when the former dies */
static int qemu;		 /* QEMU's end of the monitor */

enum wish {
	JUST_HOLD,
	WITHOUT_STANDARD_FILES,
	WITH_A_FULL_SOCKET,
	IN_A_PAUSE,
	BEGINNING_A_PAUSE, /* the guard is stopped, and has not heard of it yet */
};

static char fence[64]; /* the file of a pause */

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* It has read all it was sent: it is past its beginning, in which it closes what is not its. */
static void wait_until_heard(int socket_fd)
{
	int unread = 1;

	while (!ioctl(socket_fd, SIOCOUTQ, &unread) && unread)
		usleep(1000);
}

static void be_the_sidecar(int monitor_fd, int report_fd, enum wish wish)
{
	struct errinfo err = {0};
	struct guard guard;
	char junk[4096] = {0};
	int rc;

	prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that hangs leaves nothing behind */
	if (wish == WITHOUT_STANDARD_FILES) {
		for (int fd = 0; fd < 3; fd++)
			close(fd);
	}
	rc = guard_start_fenced(&guard, fence, &err);
	if (!rc)
		rc = guard_hold(&guard, monitor_fd, &err);
	/* It ends a pause itself after a while, which must not be before we are killed. */
	if (!rc && wish == BEGINNING_A_PAUSE) {
		wait_until_heard(guard.socket_fd);
		kill(guard.pid, SIGSTOP);
	}
	if (!rc && (wish == IN_A_PAUSE || wish == BEGINNING_A_PAUSE))
		rc = guard_pause(&guard, &err);
	while (wish == WITH_A_FULL_SOCKET &&
	       send(monitor_fd, junk, sizeof(junk), MSG_DONTWAIT) > 0)
		;
	if (rc)
		guard.pid = -1;
	(void)!write(report_fd, &guard.pid, sizeof(guard.pid));
	close(report_fd);
	for (;;)
		pause();
}

static void setup(enum wish wish)
{
	int monitor[2], report[2];

	prctl(PR_SET_CHILD_SUBREAPER, 1);
	CU_ASSERT_FATAL(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, monitor));
	CU_ASSERT_FATAL(!pipe(report));
	sidecar = fork();
	if (!sidecar) {
		close(monitor[0]);
		close(report[0]);
		be_the_sidecar(monitor[1], report[1], wish);
	}
	close(monitor[1]);
	close(report[1]);
	qemu = monitor[0];
	CU_ASSERT_FATAL(read(report[0], &guard_pid, sizeof(guard_pid)) == sizeof(guard_pid));
	CU_ASSERT_FATAL(guard_pid > 0);
	/* The guard has nothing of this pipe: its end comes with the sidecar's close. */
	CU_ASSERT(read(report[0], &guard_pid, 1) == 0);
	close(report[0]);
}

static void kill_sidecar(void)
{
	kill(sidecar, SIGKILL);
	waitpid(sidecar, NULL, 0);
}

/* Read for TIMEOUT_MS: true when the other end was closed meanwhile. */
static bool ends_within(int timeout_ms)
{
	int64_t end_ms = now_ms() + timeout_ms;
	char text[65536];

	for (;;) {
		struct pollfd poll_fd = {.fd = qemu, .events = POLLIN};
		int64_t left_ms = end_ms - now_ms();

		if (poll(&poll_fd, 1, left_ms > 0 ? (int)left_ms : 0) <= 0)
			return false;
		if (recv(qemu, text, sizeof(text), MSG_DONTWAIT) <= 0)
			return true;
	}
}

static void say(const char *text)
{
	CU_ASSERT(send(qemu, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text));
}

static void teardown(void)
{
	int status = -1;

	close(qemu);
	/* QEMU's end lets every guard go. */
	CU_ASSERT(waitpid(guard_pid, &status, 0) == guard_pid);
	CU_ASSERT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* QEMU in a slow flush says nothing for long, with `cont` still in its queue. */
static void the_socket_outlives_a_killed_sidecar_until_qemu_has_answered(void)
{
	setup(JUST_HOLD);
	kill_sidecar();
	CU_ASSERT(!ends_within(3 * QUIET_MS));
	say("{\"return\": {}, \"id\": 7}\r\n{\"event\": \"RESUME\"}\r\n");
	CU_ASSERT(!ends_within(2 * QUIET_MS));
	say(ANSWER);
	CU_ASSERT(ends_within(30000));
	teardown();
}

static void the_guard_asks_only_when_the_sidecar_is_dead(void)
{
	char text[256] = "";

	setup(JUST_HOLD);
	usleep(50000);
	CU_ASSERT(recv(qemu, text, sizeof(text) - 1, MSG_DONTWAIT) < 0);
	kill_sidecar();
	CU_ASSERT(recv(qemu, text, sizeof(text) - 1, 0) > 0);
	CU_ASSERT_STRING_EQUAL(text, "{\"execute\":\"query-version\",\"id\":\"qheal-guard\"}\n");
	say("{\"error\": {\"class\": \"CommandNotFound\"}, \"id\": \"qheal-guard\"}\r\n");
	CU_ASSERT(ends_within(30000)); /* died before it had negotiated */
	teardown();
}

static void an_answer_in_pieces_behind_many_events_is_found(void)
{
	setup(JUST_HOLD);
	kill_sidecar();
	for (int i = 0; i < 20000; i++)
		say("{\"event\": \"JOB_STATUS_CHANGE\", \"data\": {\"status\": \"paused\"}}\r\n");
	say("{\"return\": {}, \"id\": \"qheal-g");
	CU_ASSERT(!ends_within(50));
	say("uard\"}\r\n");
	CU_ASSERT(ends_within(30000));
	teardown();
}

static void qemus_end_is_the_guards(void)
{
	setup(JUST_HOLD);
	kill_sidecar();
	CU_ASSERT(!ends_within(50));
	teardown();
}

/* QEMU's buffer is full of what it has not read: then only silence is left. */
static void a_guard_that_cannot_ask_leaves_when_it_is_quiet(void)
{
	int64_t start_ms;

	setup(WITH_A_FULL_SOCKET);
	start_ms = now_ms();
	kill_sidecar();
	usleep(1000 * (QUIET_MS + 300));
	CU_ASSERT(ends_within(30000));
	CU_ASSERT(now_ms() - start_ms >= QUIET_MS);
	teardown();
}

static void signals_for_the_sidecar_do_not_end_the_guard(void)
{
	static const int signals[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT};

	setup(JUST_HOLD);
	for (unsigned i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		kill(guard_pid, signals[i]);
	usleep(50000);
	kill_sidecar();
	CU_ASSERT(!ends_within(QUIET_MS));
	say(ANSWER);
	CU_ASSERT(ends_within(30000));
	teardown();
}

static void a_sidecar_started_without_standard_files_is_guarded_too(void)
{
	setup(WITHOUT_STANDARD_FILES);
	kill_sidecar();
	CU_ASSERT(!ends_within(QUIET_MS));
	say(ANSWER);
	CU_ASSERT(ends_within(30000));
	teardown();
}

static void fence_make(void)
{
	strcpy(fence, "/tmp/guard_test.XXXXXX");
	close(mkstemp(fence));
}

static const char *heard(char text[256])
{
	ssize_t n = recv(qemu, text, 255, 0);

	text[n > 0 ? n : 0] = '\0';
	return text;
}

/* What a dead sidecar cannot send any more; and only then the question. */
static void a_sidecar_killed_in_a_pause_has_its_cont_sent(void)
{
	char text[256];

	fence_make();
	setup(BEGINNING_A_PAUSE);
	CU_ASSERT(!ends_within(50));
	CU_ASSERT_EQUAL(access(fence, F_OK), 0);
	kill_sidecar();
	kill(guard_pid, SIGCONT);
	CU_ASSERT_PTR_EQUAL(strstr(heard(text), "{\"execute\":\"cont\""), text);
	CU_ASSERT_EQUAL(access(fence, F_OK), -1);
	say("{\"return\": {}, \"id\": \"qheal-cont\"}\r\n");
	CU_ASSERT(!ends_within(QUIET_MS));
	say(ANSWER);
	CU_ASSERT(ends_within(30000));
	teardown();
}

/* SIGSTOP, a hang: the guest does not wait for it.  The file is gone before `cont`. */
static void a_pause_that_takes_too_long_is_ended_for_a_living_sidecar(void)
{
	char text[256];

	fence_make();
	setup(IN_A_PAUSE);
	kill(sidecar, SIGSTOP);
	CU_ASSERT_STRING_EQUAL(heard(text), "{\"execute\":\"cont\",\"id\":\"qheal-cont\"}\n");
	CU_ASSERT_EQUAL(access(fence, F_OK), -1);
	CU_ASSERT(!ends_within(50)); /* and the socket stays */
	kill_sidecar();
	CU_ASSERT_PTR_NOT_NULL(strstr(heard(text), "query-version"));
	say(ANSWER);
	CU_ASSERT(ends_within(30000));
	teardown();
}

static void a_pause_that_ended_is_forgotten(void)
{
	struct errinfo err = {0};
	struct guard guard;
	int monitor[2];

	fence_make();
	CU_ASSERT_FATAL(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, monitor));
	CU_ASSERT_EQUAL(guard_start_fenced(&guard, fence, &err), 0);
	CU_ASSERT_EQUAL(guard_hold(&guard, monitor[1], &err), 0);
	CU_ASSERT_EQUAL(guard_pause(&guard, &err), 0);
	guard_resumed(&guard);
	close(monitor[1]);
	qemu = monitor[0];
	guard_stop(&guard);
	CU_ASSERT(ends_within(30000));
	CU_ASSERT_EQUAL(unlink(fence), 0);
	close(qemu);
}

static void an_orderly_stop_closes_at_once(void)
{
	struct errinfo err = {0};
	struct guard guard;
	int monitor[2];

	CU_ASSERT_FATAL(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, monitor));
	CU_ASSERT_EQUAL(guard_start(&guard, &err), 0);
	CU_ASSERT_EQUAL(guard_hold(&guard, monitor[1], &err), 0);
	close(monitor[1]);
	qemu = monitor[0];
	CU_ASSERT(!ends_within(50)); /* held */
	guard_stop(&guard);
	CU_ASSERT(ends_within(0));
	CU_ASSERT_EQUAL(guard.pid, 0);
	guard_stop(&guard); /* twice is allowed */
	close(qemu);
}

static void a_new_monitor_lets_the_former_go(void)
{
	struct errinfo err = {0};
	struct guard guard;
	int first[2], second[2];

	CU_ASSERT_FATAL(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, first));
	CU_ASSERT_FATAL(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, second));
	CU_ASSERT_EQUAL(guard_start(&guard, &err), 0);
	CU_ASSERT_EQUAL(guard_hold(&guard, first[1], &err), 0);
	CU_ASSERT_EQUAL(guard_hold(&guard, second[1], &err), 0);
	close(first[1]);
	close(second[1]);
	qemu = first[0];
	CU_ASSERT(ends_within(30000));
	qemu = second[0];
	CU_ASSERT(!ends_within(50));
	guard_stop(&guard);
	close(first[0]);
	close(second[0]);
}

static void a_dead_guard_is_told(void)
{
	struct errinfo err = {0};
	struct guard guard;
	siginfo_t info;

	CU_ASSERT_EQUAL(guard_start(&guard, &err), 0);
	kill(guard.pid, SIGKILL);
	waitid(P_PID, (id_t)guard.pid, &info, WEXITED | WNOWAIT);
	CU_ASSERT(guard_hold(&guard, 1, &err) < 0);
	CU_ASSERT(strstr(err.text, "guard") != NULL);
	guard_stop(&guard); /* and that neither hangs nor signals us */
}

int main(void)
{
#define CASE(fn) {#fn, fn}
	static const struct cunit_case cases[] = {
		CASE(the_socket_outlives_a_killed_sidecar_until_qemu_has_answered),
		CASE(the_guard_asks_only_when_the_sidecar_is_dead),
		CASE(an_answer_in_pieces_behind_many_events_is_found),
		CASE(qemus_end_is_the_guards),
		CASE(a_guard_that_cannot_ask_leaves_when_it_is_quiet),
		CASE(signals_for_the_sidecar_do_not_end_the_guard),
		CASE(a_sidecar_started_without_standard_files_is_guarded_too),
		CASE(a_sidecar_killed_in_a_pause_has_its_cont_sent),
		CASE(a_pause_that_takes_too_long_is_ended_for_a_living_sidecar),
		CASE(a_pause_that_ended_is_forgotten),
		CASE(an_orderly_stop_closes_at_once),
		CASE(a_new_monitor_lets_the_former_go),
		CASE(a_dead_guard_is_told),
	};

	alarm(300);
	return cunit_run("guard", cases, sizeof(cases) / sizeof(cases[0]));
}
