/* SPDX-License-Identifier: Apache-2.0
 *
 * The control socket with real clients, good and bad, and `qheal status` against
 * it.  The sidecar is a store and a loop.
 */
#include <linux/sockios.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "alloc_fail.h"
#include "control.h"
#include "cunit_main.h"
#include "sidecar.h"
#include "status.h"
#include "store_fixture.h"

#define MIB (UINT64_C(1) << 20)
#define STATUS "{\"command\":\"status\"}\n"

static struct fixture fixture;
static struct sidecar sidecar;
static struct config config;
static struct control *control;

static void setup_store(void)
{
	fixture_init(&fixture);
	fixture_create(&fixture, MIB, 2 * MIB);
	memset(&sidecar, 0, sizeof(sidecar));
	config = (struct config){.store = fixture.dir, .interval_ms = 250};
	sidecar.config = &config;
	sidecar.loop.ring = fixture.ring;
	sidecar.store = fixture.store;
	sidecar.state = SIDECAR_PROTECTED;
	strcpy(sidecar.guest.status, "running");
}

static void setup(void)
{
	setup_store();
	CU_ASSERT_EQUAL_FATAL(control_start(&control, &sidecar, &fixture.err), 0);
}

static void teardown(void)
{
	control_stop(control);
	control = NULL;
	json_decref(sidecar.last_fault);
	json_decref(sidecar.last_recovery);
	fixture_release(&fixture);
}

static int client_new(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%.80s/" CONTROL_SOCKET, fixture.dir);
	CU_ASSERT_FATAL(!connect(fd, (struct sockaddr *)&address, sizeof(address)));
	return fd;
}

static void client_say(int fd, const char *text, size_t size)
{
	CU_ASSERT(send(fd, text, size, MSG_NOSIGNAL) == (ssize_t)size);
}

static bool never(void *arg)
{
	return false;
}

/* Let the sidecar run. */
static void pump(int ms)
{
	loop_until(&sidecar.loop, never, NULL, ring_now_ns() + ms * NS_PER_MS);
}

static bool is_over(void *arg)
{
	struct pollfd poll_fd = {.fd = *(int *)arg, .events = POLLIN | POLLRDHUP};

	poll(&poll_fd, 1, 0);
	return poll_fd.revents & (POLLRDHUP | POLLHUP | POLLERR);
}

/* Everything until the other end closes. NULL: it did not. */
static const char *client_hear(int fd)
{
	static char text[65536];
	int64_t end_ns = ring_now_ns() + 60000 * NS_PER_MS;
	size_t have = 0;
	ssize_t n;
	bool over;

	while (!is_over(&fd) && ring_now_ns() < end_ns)
		pump(2);
	over = is_over(&fd);
	while ((n = recv(fd, text + have, sizeof(text) - 1 - have, MSG_DONTWAIT)) > 0)
		have += (size_t)n;
	text[have] = '\0';
	close(fd);
	return over ? text : NULL;
}

static const char *ask(const char *request)
{
	int fd = client_new();

	client_say(fd, request, strlen(request));
	return client_hear(fd);
}

static bool answers(void)
{
	const char *text = ask(STATUS);

	return text && strstr(text, "\"state\":\"protected\"");
}

static void the_status_is_one_line_of_json(void)
{
	const char *text;
	json_t *status;

	setup();
	sidecar.figures.lag_ms = 21;
	sidecar.figures.cycles = 7;
	text = ask(STATUS);
	CU_ASSERT_PTR_NOT_NULL_FATAL(text);
	CU_ASSERT(strchr(text, '\n') == text + strlen(text) - 1);
	status = json_loads(text, 0, NULL);
	CU_ASSERT_PTR_NOT_NULL_FATAL(status);
	CU_ASSERT(json_is_true(json_object_get(status, "sidecar")));
	CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(status, "vm")), "guest");
	CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(status, "guest")), "running");
	CU_ASSERT_EQUAL(json_integer_value(json_object_get(status, "lag_ms")), 21);
	CU_ASSERT_EQUAL(json_integer_value(json_object_get(status, "cycles")), 7);
	CU_ASSERT_EQUAL(json_integer_value(json_object_get(status, "interval_ms")), 250);
	CU_ASSERT_EQUAL(json_integer_value(json_object_get(status, "pid")), getpid());
	CU_ASSERT_EQUAL(json_array_size(json_object_get(status, "disks")), 2);
	CU_ASSERT_PTR_NULL(json_object_get(status, "degraded"));
	CU_ASSERT_PTR_NULL(json_object_get(status, "last_fault"));
	json_decref(status);
	teardown();
}

static void trouble_is_in_the_status(void)
{
	const char *text;

	setup();
	sidecar.state = SIDECAR_DEGRADED;
	strcpy(sidecar.degraded_why, "the disk of the store is full");
	sidecar.last_fault = json_pack("{s:s}", "kind", "disk-write-error");
	sidecar.last_recovery = json_pack("{s:s}", "strategy", "pivot");
	text = ask(STATUS);
	CU_ASSERT_PTR_NOT_NULL_FATAL(text);
	CU_ASSERT(strstr(text, "\"degraded\":\"the disk of the store is full\"") != NULL);
	CU_ASSERT(strstr(text, "\"last_fault\":{\"kind\":\"disk-write-error\"}") != NULL);
	CU_ASSERT(strstr(text, "\"last_recovery\":{\"strategy\":\"pivot\"}") != NULL);
	teardown();
}

static void every_state_has_a_name(void)
{
	for (int state = SIDECAR_ATTACHING; state <= SIDECAR_HELD; state++)
		CU_ASSERT(strlen(sidecar_state_name((enum sidecar_state)state)) > 3);
}

static void garbage_is_answered_with_what_there_is(void)
{
	static const char *const requests[] = {
		"\n", "hello\n", "null\n", "[1]\n", "{}\n", "{\"command\":7}\n",
		"{\"command\":\"explode\"}\n", "{\"command\":\"status\"\n", "\xff\xfe\n",
		"GET / HTTP/1.1\r\n\r\n",
	};

	setup();
	for (unsigned i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		const char *text = ask(requests[i]);

		CU_ASSERT(text && strstr(text, "unknown command; there is: status"));
	}
	CU_ASSERT(answers());
	teardown();
}

static void a_request_may_come_in_pieces(void)
{
	int fd;

	setup();
	fd = client_new();
	for (const char *c = STATUS; *c; c++) {
		client_say(fd, c, 1);
		pump(1);
	}
	CU_ASSERT(strstr(client_hear(fd), "\"state\"") != NULL);
	teardown();
}

static void a_request_over_the_bound_is_dropped(void)
{
	static const size_t sizes[] = {CONTROL_REQUEST_MAX, CONTROL_REQUEST_MAX + 1, 60000};
	static char junk[60000];

	setup();
	memset(junk, 'x', sizeof(junk));
	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		int fd = client_new();
		const char *text;

		client_say(fd, junk, sizes[i]);
		text = client_hear(fd);
		CU_ASSERT(text && !text[0]);
	}
	CU_ASSERT(answers());
	teardown();
}

static void zeros_in_a_request_do_no_harm(void)
{
	static const char zeros[CONTROL_REQUEST_MAX] = {0};
	int fd;

	setup();
	fd = client_new();
	client_say(fd, "\0\0\0\n", 4);
	client_say(fd, zeros, sizeof(zeros));
	CU_ASSERT(client_hear(fd) != NULL);
	CU_ASSERT(answers());
	teardown();
}

static void clients_that_leave_early_do_no_harm(void)
{
	setup();
	for (int i = 0; i < 20; i++) {
		int fd = client_new();

		if (i % 4 == 1)
			client_say(fd, STATUS, 5);
		if (i % 4 == 2)
			client_say(fd, STATUS, strlen(STATUS));
		if (i % 4 == 3)
			pump(2); /* accepted already */
		close(fd);
	}
	CU_ASSERT(answers());
	teardown();
}

/* One that asked before it closed its half for writing is answered. */
static void a_client_that_closed_its_half_is_answered(void)
{
	int fd;

	setup();
	fd = client_new();
	client_say(fd, STATUS, strlen(STATUS));
	shutdown(fd, SHUT_WR);
	pump(50);
	CU_ASSERT(strstr(client_hear(fd), "\"state\"") != NULL);
	teardown();
}

static void a_silent_client_is_dropped_after_a_second(void)
{
	int64_t start_ns;
	bool quick = false;
	int silent;

	setup();
	/* Others do not wait for it; a machine that stands still for a second does. */
	for (int i = 0; i < 5 && !quick; i++) {
		if (i)
			close(silent);
		start_ns = ring_now_ns();
		silent = client_new();
		CU_ASSERT(answers());
		quick = !is_over(&silent);
	}
	CU_ASSERT(quick);
	while (!is_over(&silent) && ring_now_ns() - start_ns < 20000 * NS_PER_MS)
		pump(20);
	CU_ASSERT(ring_now_ns() - start_ns >= 900 * NS_PER_MS);
	CU_ASSERT(is_over(&silent));
	close(silent);
	teardown();
}

/* More than there are places for: the others come when those are dropped. */
static void silent_clients_in_every_place_delay_the_next(void)
{
	int silent[20];

	setup();
	for (int i = 0; i < 20; i++) {
		silent[i] = client_new();
		pump(2);
	}
	CU_ASSERT(answers());
	for (int i = 0; i < 20; i++)
		close(silent[i]);
	CU_ASSERT(answers());
	teardown();
}

/* --- orders --- */

static void setup_ready(void)
{
	setup();
	fixture_fill(&fixture, 1);
	fixture_begin(&fixture);
	CU_ASSERT_EQUAL_FATAL(fixture_commit(&fixture, 1000000), 0);
}

/* The sidecar has read all that it was sent, and with its end heard what it is. */
static bool is_heard(void *arg)
{
	int unread = -1;

	ioctl(*(int *)arg, SIOCOUTQ, &unread);
	return unread == 0;
}

static int order_new(const char *request)
{
	int fd = client_new();

	client_say(fd, request, strlen(request));
	CU_ASSERT_EQUAL(loop_until(&sidecar.loop, is_heard, &fd,
				   ring_now_ns() + 60000 * NS_PER_MS), 0);
	return fd;
}

/* Whoever left before has been seen to: who asks now comes behind. */
static void departures_are_seen(void)
{
	CU_ASSERT(answers());
}

static void carry_out(const char *name)
{
	json_t *order = control_take_order(control);

	CU_ASSERT_PTR_NOT_NULL_FATAL(order);
	CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(order, "name")), name);
	control_reply(control, json_pack("{s:O}", "done", json_object_get(order, "name")));
	json_decref(order);
}

static void orders_are_answered_when_they_are_done_in_turn(void)
{
	int fds[2];

	setup_ready();
	CU_ASSERT(!control_has_order(control));
	CU_ASSERT_PTR_NULL(control_take_order(control));
	fds[0] = order_new("{\"command\":\"point\",\"name\":\"a\"}\n");
	fds[1] = order_new("{\"command\":\"point-delete\",\"name\":\"b\"}\n");
	CU_ASSERT(control_has_order(control));
	CU_ASSERT(answers()); /* meanwhile */
	pump(1200);	      /* longer than a silent client has */
	CU_ASSERT(!is_over(&fds[0]) && !is_over(&fds[1]));
	carry_out("a");
	CU_ASSERT_STRING_EQUAL(client_hear(fds[0]), "{\"done\":\"a\"}\n");
	CU_ASSERT(!is_over(&fds[1]));
	carry_out("b");
	CU_ASSERT_STRING_EQUAL(client_hear(fds[1]), "{\"done\":\"b\"}\n");
	CU_ASSERT(!control_has_order(control));
	teardown();
}

static void an_order_without_a_generation_is_refused_at_once(void)
{
	const char *text;

	setup();
	text = ask("{\"command\":\"point\"}\n");
	CU_ASSERT(text && strstr(text, "{\"error\":\"there is no generation yet"));
	CU_ASSERT(!control_has_order(control));
	teardown();
}

static void an_order_while_the_disks_are_compared_is_refused_at_once(void)
{
	const char *text;

	setup_ready();
	sidecar.state = SIDECAR_COPYING;
	text = ask("{\"command\":\"point\"}\n");
	CU_ASSERT(text && strstr(text, "being compared with the replica"));
	CU_ASSERT(!control_has_order(control));
	sidecar.state = SIDECAR_PROTECTED;
	teardown();
}

/* Their clients may be gone: what asks for the status has a place. */
static void orders_that_wait_leave_places_for_questions(void)
{
	const char *text;
	unsigned carried = 0;

	setup_ready();
	for (unsigned i = 0; i < 12; i++)
		close(order_new("{\"command\":\"point\"}\n"));
	pump(20);
	text = ask("{\"command\":\"point\"}\n");
	CU_ASSERT(text && strstr(text, "too many orders wait"));
	CU_ASSERT(answers());
	for (; control_has_order(control); carried++) {
		json_decref(control_take_order(control));
		control_reply(control, json_pack("{s:b}", "done", 1));
	}
	CU_ASSERT_EQUAL(carried, 12);
	teardown();
}

/* Its order is carried out all the same, before it or after it is begun. */
static void who_goes_away_does_not_take_the_answer_of_another(void)
{
	json_t *order;
	int fds[3];

	setup_ready();
	fds[0] = order_new("{\"command\":\"point\",\"name\":\"a\"}\n");
	fds[1] = order_new("{\"command\":\"point\",\"name\":\"b\"}\n");
	close(fds[0]);
	departures_are_seen();
	fds[2] = order_new("{\"command\":\"point\",\"name\":\"c\"}\n");
	carry_out("a");
	order = control_take_order(control);
	close(fds[1]);
	departures_are_seen();
	control_reply(control, json_pack("{s:s}", "done", "b"));
	json_decref(order);
	CU_ASSERT(!is_over(&fds[2]));
	carry_out("c");
	CU_ASSERT_STRING_EQUAL(client_hear(fds[2]), "{\"done\":\"c\"}\n");
	for (int i = 0; i < 100; i++)
		CU_ASSERT(answers()); /* no place was lost */
	teardown();
}

/* Not a roll back: nobody is to be surprised by a reset. */
static void a_roll_back_whose_client_left_is_withdrawn(void)
{
	int fds[2];

	setup_ready();
	fds[0] = order_new("{\"command\":\"rollback\",\"name\":\"r\",\"point\":\"p\"}\n");
	fds[1] = order_new("{\"command\":\"point\",\"name\":\"a\"}\n");
	close(fds[0]);
	departures_are_seen();
	carry_out("a");
	CU_ASSERT(!control_has_order(control));
	close(fds[1]);
	teardown();
}

static void one_that_closed_its_half_gets_the_answer_of_its_order(void)
{
	int fd;

	setup_ready();
	fd = order_new("{\"command\":\"point\",\"name\":\"a\"}\n");
	shutdown(fd, SHUT_WR);
	departures_are_seen();
	carry_out("a");
	CU_ASSERT_STRING_EQUAL(client_hear(fd), "{\"done\":\"a\"}\n");
	teardown();
}

static void an_end_of_the_sidecar_is_told_to_those_who_wait(void)
{
	char text[100] = "";
	int fds[2];

	setup_ready();
	fds[0] = order_new("{\"command\":\"point\",\"name\":\"a\"}\n");
	fds[1] = order_new("{\"command\":\"point\",\"name\":\"b\"}\n");
	json_decref(control_take_order(control)); /* begun, and cut off */
	control_stop(control);
	control = NULL;
	for (int i = 0; i < 2; i++) {
		CU_ASSERT(recv(fds[i], text, sizeof(text) - 1, MSG_DONTWAIT) > 0);
		CU_ASSERT_STRING_EQUAL(text, "{\"error\":\"the sidecar ends\"}\n");
		close(fds[i]);
	}
	teardown();
}

/* As one does that reads a byte now and then. */
static void a_client_that_drips_is_dropped_after_a_second(void)
{
	int64_t start_ns;
	int fd;

	setup();
	start_ns = ring_now_ns();
	fd = client_new();
	while (ring_now_ns() - start_ns < 20000 * NS_PER_MS && !is_over(&fd)) {
		send(fd, "x", 1, MSG_NOSIGNAL);
		pump(50);
	}
	CU_ASSERT(is_over(&fd));
	close(fd);
	CU_ASSERT(answers());
	teardown();
}

static void many_clients_are_answered_in_turn(void)
{
	int fds[8];

	setup();
	for (int i = 0; i < 8; i++) {
		fds[i] = client_new();
		client_say(fds[i], STATUS, strlen(STATUS));
	}
	for (int i = 7; i >= 0; i--) {
		const char *text = client_hear(fds[i]);

		CU_ASSERT(text && strstr(text, "\"state\""));
	}
	for (int i = 0; i < 200; i++)
		CU_ASSERT(answers());
	teardown();
}

static void the_socket_is_private_and_goes_with_the_sidecar(void)
{
	struct stat status;
	char path[300];

	setup();
	snprintf(path, sizeof(path), "%s/" CONTROL_SOCKET, fixture.dir);
	CU_ASSERT(!stat(path, &status) && S_ISSOCK(status.st_mode) &&
		  (status.st_mode & 0777) == 0600);
	control_stop(control);
	control = NULL;
	CU_ASSERT(stat(path, &status) && errno == ENOENT);
	control_stop(NULL);
	teardown();
}

static void the_socket_of_a_killed_sidecar_is_replaced(void)
{
	char path[300];
	FILE *file;

	setup_store();
	snprintf(path, sizeof(path), "%s/" CONTROL_SOCKET, fixture.dir);
	file = fopen(path, "w");
	CU_ASSERT_FATAL(file != NULL);
	fclose(file);
	CU_ASSERT_EQUAL_FATAL(control_start(&control, &sidecar, &fixture.err), 0);
	CU_ASSERT(answers());
	teardown();
}

static void a_stop_in_the_middle_of_anything_ends(void)
{
	for (int i = 0; i < 4; i++) {
		int fd = -1;

		setup();
		if (i)
			fd = client_new();
		if (i > 1)
			client_say(fd, STATUS, i == 2 ? 5 : strlen(STATUS));
		if (i)
			pump(i == 3 ? 0 : 5);
		control_stop(control);
		control = NULL;
		if (fd >= 0)
			close(fd);
		teardown();
	}
}

static void a_store_that_is_gone_is_told(void)
{
	setup_store();
	config.store = "/nowhere";
	err_clear(&fixture.err);
	CU_ASSERT_EQUAL(control_start(&control, &sidecar, &fixture.err), -ENOENT);
	CU_ASSERT(strstr(fixture.err.text, "/nowhere") != NULL);
	teardown();
}

static void a_failing_allocation_costs_one_answer_at_most(void)
{
	unsigned n = 1;
	bool failed;

	setup_store();
	alloc_fail_at(1);
	CU_ASSERT_EQUAL(control_start(&control, &sidecar, &fixture.err), -ENOMEM);
	CU_ASSERT(alloc_fail_off());
	CU_ASSERT_EQUAL_FATAL(control_start(&control, &sidecar, &fixture.err), 0);
	alloc_fail_jansson();
	do {
		int fd = client_new();

		client_say(fd, STATUS, strlen(STATUS));
		alloc_fail_at(n++);
		pump(3);
		failed = alloc_fail_off();
		CU_ASSERT(client_hear(fd) != NULL);
	} while (failed && n < 1000);
	CU_ASSERT(n > 20 && n < 1000);
	CU_ASSERT(answers());
	teardown();
}

/* --- qheal status --- */

/* Its standard output, and exit status in *STATUS; the sidecar runs meanwhile. */
static const char *run_status(const char *store, bool as_json, bool pumped, int *status)
{
	static char text[65536];
	int pipes[2];
	size_t have = 0;
	ssize_t n;
	pid_t pid;

	CU_ASSERT_FATAL(!pipe(pipes));
	fflush(NULL);
	pid = fork();
	if (!pid) {
		dup2(pipes[1], STDOUT_FILENO);
		dup2(pipes[1], STDERR_FILENO);
		_exit(status_run(store, as_json, false));
	}
	close(pipes[1]);
	fcntl(pipes[0], F_SETFL, O_NONBLOCK);
	do {
		if (pumped)
			pump(5);
		else
			usleep(5000);
		n = read(pipes[0], text + have, sizeof(text) - 1 - have);
		have += n > 0 ? (size_t)n : 0;
	} while (n > 0 || (n < 0 && errno == EAGAIN));
	text[have] = '\0';
	close(pipes[0]);
	waitpid(pid, status, 0);
	*status = WIFEXITED(*status) ? WEXITSTATUS(*status) : -1;
	return text;
}

static void the_command_asks_the_sidecar(void)
{
	json_t *json;
	int status;
	const char *text;

	setup();
	text = run_status(fixture.dir, true, true, &status);
	json = json_loads(text, 0, NULL);
	CU_ASSERT_EQUAL(status, 0);
	CU_ASSERT(json_is_true(json_object_get(json, "sidecar")));
	json_decref(json);
	sidecar.last_fault = json_pack("{s:s,s:s,s:s}", "kind", "disk-write-error", "resource",
				       "vda", "detail", "write failed");
	sidecar.last_recovery = json_pack("{s:s,s:f,s:{s:s}}", "strategy", "pivot", "downtime_ms",
					  8.5, "image", "path", "/store/promoted/vda");
	text = run_status(fixture.dir, false, true, &status);
	CU_ASSERT_EQUAL(status, 0);
	CU_ASSERT(strstr(text, "guest: protected, generation 0") != NULL);
	CU_ASSERT(strstr(text, "disk-write-error on vda") != NULL);
	CU_ASSERT(strstr(text, "pivot, 8.5 ms") != NULL);
	teardown();
}

static void without_a_sidecar_the_store_is_looked_at(void)
{
	json_t *json;
	int status;
	const char *text;

	setup_store();
	text = run_status(fixture.dir, true, false, &status);
	json = json_loads(text, 0, NULL);
	CU_ASSERT_EQUAL(status, 0);
	CU_ASSERT(json_is_false(json_object_get(json, "sidecar")));
	CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(json, "state")), "unattended");
	CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(json, "replica")), "incomplete");
	json_decref(json);
	text = run_status(fixture.dir, false, false, &status);
	CU_ASSERT(strstr(text, "no sidecar is running") != NULL);
	teardown();
}

static void what_is_no_store_is_told(void)
{
	int status;
	const char *text = run_status("/nowhere/store", true, false, &status);

	CU_ASSERT_EQUAL(status, 1);
	CU_ASSERT(strstr(text, "qheal: error: ") && strstr(text, "/nowhere/store"));
	text = run_status("/tmp", true, false, &status);
	CU_ASSERT_EQUAL(status, 1);
	CU_ASSERT(strstr(text, "/tmp") != NULL);
}

/* Stopped in a debugger, its queue full of those who asked before. */
static void a_sidecar_that_stands_still_does_not_hold_up_the_command(void)
{
	int fds[9], status;

	setup();
	for (int i = 0; i < 9; i++)
		fds[i] = client_new();
	alarm(30);
	/* It is there: nobody is to think that the guest is unattended. */
	CU_ASSERT(strstr(run_status(fixture.dir, true, false, &status), "does not answer") != NULL);
	alarm(0);
	CU_ASSERT_EQUAL(status, 1);
	for (int i = 0; i < 9; i++)
		close(fds[i]);
	teardown();
}

int main(void)
{
#define CASE(fn) {#fn, fn}
	static const struct cunit_case cases[] = {
		CASE(the_status_is_one_line_of_json),
		CASE(trouble_is_in_the_status),
		CASE(every_state_has_a_name),
		CASE(garbage_is_answered_with_what_there_is),
		CASE(a_request_may_come_in_pieces),
		CASE(a_request_over_the_bound_is_dropped),
		CASE(zeros_in_a_request_do_no_harm),
		CASE(clients_that_leave_early_do_no_harm),
		CASE(a_client_that_closed_its_half_is_answered),
		CASE(a_silent_client_is_dropped_after_a_second),
		CASE(silent_clients_in_every_place_delay_the_next),
		CASE(orders_are_answered_when_they_are_done_in_turn),
		CASE(an_order_without_a_generation_is_refused_at_once),
		CASE(an_order_while_the_disks_are_compared_is_refused_at_once),
		CASE(orders_that_wait_leave_places_for_questions),
		CASE(a_roll_back_whose_client_left_is_withdrawn),
		CASE(who_goes_away_does_not_take_the_answer_of_another),
		CASE(one_that_closed_its_half_gets_the_answer_of_its_order),
		CASE(an_end_of_the_sidecar_is_told_to_those_who_wait),
		CASE(a_client_that_drips_is_dropped_after_a_second),
		CASE(many_clients_are_answered_in_turn),
		CASE(the_socket_is_private_and_goes_with_the_sidecar),
		CASE(the_socket_of_a_killed_sidecar_is_replaced),
		CASE(a_stop_in_the_middle_of_anything_ends),
		CASE(a_store_that_is_gone_is_told),
		CASE(a_failing_allocation_costs_one_answer_at_most),
		CASE(the_command_asks_the_sidecar),
		CASE(without_a_sidecar_the_store_is_looked_at),
		CASE(what_is_no_store_is_told),
		CASE(a_sidecar_that_stands_still_does_not_hold_up_the_command),
	};

	signal(SIGPIPE, SIG_IGN);
	return cunit_run("control", cases, sizeof(cases) / sizeof(cases[0]));
}
