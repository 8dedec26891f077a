/* SPDX-License-Identifier: Apache-2.0
 *
 * Freeze and thaw against a guest agent that answers, refuses, is silent, talks
 * nonsense or hangs up: whatever it does, a thaw follows the freeze.  The agent is
 * a process of its own that shares a record of what it was told.
 */
#include <CUnit/CUnit.h>
#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cunit_main.h"
#include "quiesce.h"

enum manner {
	WILLING,
	WITHOUT_FILE_SYSTEMS,
	REFUSES,
	SILENT,		/* does not even answer the sync */
	NEVER_ANSWERS,	/* freezes, and says nothing of it; the thaw it answers */
	NONSENSE,	/* freezes, and answers no JSON */
	NO_NUMBER,	/* freezes, and answers something else */
	HANGS_UP,	/* freezes, and closes the socket; takes the next client */
	STUCK,		/* freezes, and answers all of it only when it is let go */
	REFUSES_THAW,
	THAWED_BEFORE,	/* somebody else did */
};

static struct shared {
	char log[1024];
	bool frozen, froze, released;
	unsigned clients;
} *shared;

static struct loop loop;
static struct quiesce quiesce;
static struct errinfo err;
static char path[64];
static pid_t agent;
static bool hopeless;

/* --- the agent --- */

static void say(int fd, const char *text)
{
	(void)!send(fd, text, strlen(text), MSG_NOSIGNAL);
}

static void answer(int fd, const json_t *request, json_t *reply)
{
	json_t *id = json_object_get(request, "id");
	char *text;

	if (id)
		json_object_set(reply, "id", id);
	text = json_dumps(reply, JSON_COMPACT);
	say(fd, text);
	say(fd, "\n");
	free(text);
	json_decref(reply);
}

static json_t *refusal(void)
{
	return json_pack("{s:{s:s,s:s}}", "error", "class", "CommandNotFound", "desc",
			 "the command is disabled");
}

static void answer_freeze(int fd, enum manner manner, const json_t *request)
{
	if (manner == REFUSES) {
		answer(fd, request, refusal());
		return;
	}
	shared->frozen = manner != WITHOUT_FILE_SYSTEMS;
	shared->froze = true;
	if (manner == NONSENSE)
		say(fd, "}{ what?\n");
	else if (manner == NO_NUMBER)
		answer(fd, request, json_pack("{s:s}", "return", "two"));
	else if (manner == HANGS_UP)
		shutdown(fd, SHUT_RDWR);
	else if (manner != NEVER_ANSWERS)
		answer(fd, request, json_pack("{s:i}", "return", shared->frozen ? 2 : 0));
}

static void answer_thaw(int fd, enum manner manner, const json_t *request)
{
	bool was_frozen = shared->frozen && manner != THAWED_BEFORE;

	if (manner == REFUSES_THAW) {
		answer(fd, request, refusal());
		return;
	}
	shared->frozen = false;
	answer(fd, request, json_pack("{s:i}", "return", was_frozen ? 2 : 0));
}

static void obey(int fd, enum manner manner, const char *line)
{
	json_t *request = json_loads(line + strspn(line, "\xff"), 0, NULL);
	const char *command = json_string_value(json_object_get(request, "execute"));
	size_t used = strlen(shared->log);

	if (!command)
		return;
	snprintf(shared->log + used, sizeof(shared->log) - used, "%s ", command);
	if (manner == SILENT)
		return;
	if (!strcmp(command, "guest-sync-delimited")) {
		say(fd, "\xff");
		answer(fd, request, json_pack("{s:O}", "return", json_object_get(
				       json_object_get(request, "arguments"), "id")));
	} else if (!strcmp(command, "guest-fsfreeze-freeze")) {
		answer_freeze(fd, manner, request);
		while (manner == STUCK && !shared->released)
			usleep(1000);
	} else {
		answer_thaw(fd, manner, request);
	}
	json_decref(request);
}

static void serve(int fd, enum manner manner)
{
	FILE *in = fdopen(fd, "r");
	char line[1024];

	shared->clients++;
	while (fgets(line, sizeof(line), in))
		obey(fd, manner, line);
	fclose(in);
}

static void agent_start(enum manner manner)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	static unsigned serial;
	int listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(path, sizeof(path), "/tmp/qheal-agent-%d-%u", (int)getpid(), ++serial);
	memcpy(address.sun_path, path, strlen(path));
	CU_ASSERT_FATAL(!bind(listen_fd, (struct sockaddr *)&address, sizeof(address)));
	CU_ASSERT_FATAL(!listen(listen_fd, 4));
	memset(shared, 0, sizeof(*shared));
	agent = fork();
	if (!agent) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			serve(accept(listen_fd, NULL, NULL), manner);
	}
	close(listen_fd);
}

static void agent_stop(void)
{
	kill(agent, SIGKILL);
	waitpid(agent, NULL, 0);
	unlink(path);
}

/* --- the sidecar --- */

static bool is_hopeless(void *arg)
{
	return hopeless;
}

static void setup(enum manner manner)
{
	err_clear(&err);
	hopeless = false;
	agent_start(manner);
	memset(&quiesce, 0, sizeof(quiesce));
	CU_ASSERT_EQUAL_FATAL(quiesce_start(&quiesce, path, &err), 0);
	CU_ASSERT_EQUAL_FATAL(loop_init(&loop, &err), 0);
	quiesce.hopeless = is_hopeless;
}

static void teardown(void)
{
	quiesce_stop(&quiesce);
	loop_release(&loop);
	agent_stop();
}

/* Not longer than a test may take: this is no assertion about time. */
static bool comes_true(const bool *flag, bool value)
{
	for (int i = 0; i < 30000 && *(const volatile bool *)flag != value; i++)
		usleep(1000);
	return *(const volatile bool *)flag == value;
}

/* The agent may come to what it was sent when we have given up. */
static bool hears(const char *words)
{
	for (int i = 0; i < 30000 && !strstr(shared->log, words); i++)
		usleep(1000);
	return strstr(shared->log, words) != NULL;
}

static void the_freeze_is_thawed_in_time_and_the_agent_is_free_again(void)
{
	setup(WILLING);
	for (int i = 0; i < 2; i++) {
		shared->log[0] = '\0';
		CU_ASSERT_EQUAL(quiesce_begin(&quiesce, &loop, &err), 0);
		CU_ASSERT_EQUAL(quiesce_count(&quiesce), 2);
		CU_ASSERT(shared->frozen);
		quiesce_thaw(&quiesce);
		quiesce_thaw(&quiesce);
		CU_ASSERT_EQUAL(quiesce_end(&quiesce, &err), 0);
		CU_ASSERT(!shared->frozen && !quiesce.open);
		CU_ASSERT_STRING_EQUAL(shared->log, "guest-sync-delimited guest-fsfreeze-freeze "
				       "guest-fsfreeze-thaw ");
	}
	CU_ASSERT_EQUAL(shared->clients, 2);
	teardown();
}

static void an_end_without_a_thaw_thaws(void)
{
	setup(WILLING);
	CU_ASSERT_EQUAL(quiesce_begin(&quiesce, &loop, &err), 0);
	CU_ASSERT_EQUAL(quiesce_end(&quiesce, &err), 0);
	CU_ASSERT(!shared->frozen);
	CU_ASSERT_EQUAL(quiesce_end(&quiesce, &err), 0); /* and once is enough */
	teardown();
}

static void nothing_to_freeze_is_no_error(void)
{
	setup(WITHOUT_FILE_SYSTEMS);
	CU_ASSERT_EQUAL(quiesce_begin(&quiesce, &loop, &err), 0);
	CU_ASSERT_EQUAL(quiesce_count(&quiesce), 0);
	CU_ASSERT_EQUAL(quiesce_end(&quiesce, &err), 0);
	teardown();
}

/* What a begin that fails has to leave behind, and what the agent heard of it. */
static void begin_fails(int status, const char *words, const char *heard)
{
	CU_ASSERT_EQUAL(quiesce_begin(&quiesce, &loop, &err), status);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, words));
	CU_ASSERT(hears(heard));
	CU_ASSERT(comes_true(&shared->frozen, false));
	CU_ASSERT(!quiesce.open);
	CU_ASSERT_EQUAL(quiesce_end(&quiesce, NULL), 0);
	teardown();
}

static void an_agent_that_refuses_is_quoted(void)
{
	setup(REFUSES);
	begin_fails(-EREMOTEIO, "the command is disabled", "guest-fsfreeze-freeze ");
}

static void a_silent_agent_is_not_waited_for_long(void)
{
	setup(SILENT);
	quiesce.sync_ms = 50;
	begin_fails(-ENOTCONN, "guest agent", "guest-sync-delimited ");
	CU_ASSERT_STRING_EQUAL(shared->log, "guest-sync-delimited ");
}

static void no_agent_at_all_is_an_error(void)
{
	setup(WILLING);
	unlink(path);
	begin_fails(-ENOENT, path, "");
}

static void a_freeze_without_an_answer_is_thawed(void)
{
	setup(NEVER_ANSWERS);
	quiesce.limit_ms = 50;
	begin_fails(-ETIMEDOUT, "guest-fsfreeze-freeze",
		    "guest-fsfreeze-freeze guest-fsfreeze-thaw ");
}

static void nonsense_after_a_freeze_is_thawed(void)
{
	setup(NONSENSE);
	begin_fails(-ECONNRESET, "what?", "guest-fsfreeze-thaw ");
}

static void no_number_is_thawed(void)
{
	setup(NO_NUMBER);
	begin_fails(-EPROTO, "no number", "guest-fsfreeze-thaw ");
}

static void an_agent_that_hangs_up_is_called_again_to_thaw(void)
{
	setup(HANGS_UP);
	begin_fails(-ECONNRESET, "did not freeze", "guest-fsfreeze-thaw ");
	CU_ASSERT_EQUAL(shared->clients, 2);
}

static void a_capture_that_takes_too_long_is_thawed_meanwhile(void)
{
	setup(WILLING);
	quiesce.limit_ms = 3000; /* the agent has to answer within it, on a busy machine */
	CU_ASSERT_EQUAL(quiesce_begin(&quiesce, &loop, &err), 0);
	CU_ASSERT(shared->frozen);
	loop_until_set(&loop, &quiesce.thaw.known, INT64_MAX); /* the capture */
	CU_ASSERT(!shared->frozen);
	CU_ASSERT_EQUAL(quiesce_end(&quiesce, &err), -ETIMEDOUT);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "3000 ms"));
	teardown();
}

static void thawed_by_somebody_else_is_not_quiesced(void)
{
	setup(THAWED_BEFORE);
	CU_ASSERT_EQUAL(quiesce_begin(&quiesce, &loop, &err), 0);
	CU_ASSERT_EQUAL(quiesce_end(&quiesce, &err), -EAGAIN);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "somebody else"));
	teardown();
}

static void a_refused_thaw_is_told(void)
{
	setup(REFUSES_THAW);
	CU_ASSERT_EQUAL(quiesce_begin(&quiesce, &loop, &err), 0);
	CU_ASSERT_EQUAL(quiesce_end(&quiesce, &err), -EREMOTEIO);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "the command is disabled"));
	teardown();
}

static void a_late_thaw_keeps_the_agent_until_it_comes(void)
{
	setup(STUCK);
	quiesce.thaw_ms = 50;
	CU_ASSERT_EQUAL(quiesce_begin(&quiesce, &loop, &err), 0);
	CU_ASSERT_EQUAL(quiesce_end(&quiesce, &err), -ETIMEDOUT);
	err_clear(&err);
	CU_ASSERT_EQUAL(quiesce_begin(&quiesce, &loop, &err), -EBUSY);
	shared->released = true;
	loop_until_set(&loop, &quiesce.thaw.known, INT64_MAX);
	quiesce_tidy(&quiesce);
	CU_ASSERT(!quiesce.open && !shared->frozen);
	teardown();
}

/* Its disk failed, say: the recovery must not wait for the agent. */
static void the_agent_of_a_guest_that_stands_still_is_not_waited_for(void)
{
	setup(NEVER_ANSWERS);
	quiesce.limit_ms = INT64_C(1000000);
	quiesce.thaw_ms = INT64_C(1000000);
	hopeless = true;
	CU_ASSERT_EQUAL(quiesce_begin(&quiesce, &loop, &err), -EAGAIN);
	loop_until_set(&loop, &quiesce.thaw.known, INT64_MAX);
	quiesce_tidy(&quiesce);
	CU_ASSERT(!quiesce.open && !shared->frozen);
	teardown();
}

/* The end of the sidecar with the thaw on its way: the guard sees to it. */
static void an_end_before_the_answer_leaves_it_to_the_guard(void)
{
	setup(STUCK);
	quiesce.thaw_ms = 50;
	CU_ASSERT_EQUAL(quiesce_begin(&quiesce, &loop, &err), 0);
	CU_ASSERT_EQUAL(quiesce_end(&quiesce, &err), -ETIMEDOUT);
	quiesce_stop(&quiesce);
	shared->released = true;
	CU_ASSERT(comes_true(&shared->frozen, false));
	loop_release(&loop);
	close(qmp_fd(quiesce.agent.qmp));
	agent_stop();
}

/* --- and when it dies --- */

/* A sidecar that freezes and gets no further. */
static pid_t frozen_sidecar(enum manner manner, int64_t limit_ms)
{
	pid_t pid;

	err_clear(&err);
	agent_start(manner);
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		memset(&quiesce, 0, sizeof(quiesce));
		if (quiesce_start(&quiesce, path, &err) || loop_init(&loop, &err))
			_exit(1);
		if (limit_ms) {
			/* the guard's own, shorter than a test may take */
			struct guard_words words = quiesce.words;

			words.limit_ms = limit_ms;
			guard_stop(&quiesce.guard);
			if (guard_start_with(&quiesce.guard, &words, &err))
				_exit(1);
		}
		quiesce_begin(&quiesce, &loop, &err);
		for (;;)
			pause();
	}
	CU_ASSERT(comes_true(&shared->froze, true)); /* its guard may have thawed already */
	return pid;
}

static void killed(enum manner manner)
{
	pid_t pid = frozen_sidecar(manner, 0);

	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	CU_ASSERT(comes_true(&shared->frozen, false));
	agent_stop();
}

static void a_killed_sidecar_is_thawed_by_the_guard(void)
{
	killed(WILLING);
	killed(NEVER_ANSWERS); /* in the middle of the freeze */
}

/* False: the limit was over before the freeze, on a machine that stood still. */
static bool stands_still(int64_t limit_ms)
{
	pid_t pid = frozen_sidecar(WILLING, limit_ms);
	const char *thaw = strstr(shared->log, "guest-fsfreeze-thaw");
	bool in_time = !thaw || strstr(shared->log, "guest-fsfreeze-freeze") < thaw;

	CU_ASSERT(!in_time || comes_true(&shared->frozen, false));
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	agent_stop();
	return in_time;
}

static void a_sidecar_that_stands_still_is_thawed_by_the_guard(void)
{
	bool in_time = false;

	for (int64_t limit_ms = 200; !in_time && limit_ms < 20000; limit_ms *= 4)
		in_time = stands_still(limit_ms);
	CU_ASSERT(in_time);
}

int main(void)
{
#define CASE(fn) {#fn, fn}
	static const struct cunit_case cases[] = {
		CASE(the_freeze_is_thawed_in_time_and_the_agent_is_free_again),
		CASE(an_end_without_a_thaw_thaws),
		CASE(nothing_to_freeze_is_no_error),
		CASE(an_agent_that_refuses_is_quoted),
		CASE(a_silent_agent_is_not_waited_for_long),
		CASE(no_agent_at_all_is_an_error),
		CASE(a_freeze_without_an_answer_is_thawed),
		CASE(nonsense_after_a_freeze_is_thawed),
		CASE(no_number_is_thawed),
		CASE(an_agent_that_hangs_up_is_called_again_to_thaw),
		CASE(a_capture_that_takes_too_long_is_thawed_meanwhile),
		CASE(thawed_by_somebody_else_is_not_quiesced),
		CASE(a_refused_thaw_is_told),
		CASE(a_late_thaw_keeps_the_agent_until_it_comes),
		CASE(the_agent_of_a_guest_that_stands_still_is_not_waited_for),
		CASE(an_end_before_the_answer_leaves_it_to_the_guard),
		CASE(a_killed_sidecar_is_thawed_by_the_guard),
		CASE(a_sidecar_that_stands_still_is_thawed_by_the_guard),
	};

	alarm(120);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	return cunit_run("quiesce", cases, sizeof(cases) / sizeof(cases[0]));
}
