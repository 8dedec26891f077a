/* SPDX-License-Identifier: Apache-2.0
 *
 * launch_hook: a command of the operator's, bounded in time and in what is kept of its
 * output.  It may fail, hang or flood: the ring goes on meanwhile.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "descriptors.h"

#include "launch.h"
#include "member.h"

#define WORDS_MAX 64
#define KILL_WAIT_MS 5000 /* a process in the kernel's hands may not end at once */

extern char **environ;

struct running {
	struct loop *loop;
	struct launch_hook *hook;
	struct ring_op output_op, end_op;
	pid_t pid;
	int pidfd, output_fd;
	size_t kept;
	bool ended;
};

/* --- the words --- */

static int split(const char *command, char *copy, size_t size, char **words, struct errinfo *err)
{
	unsigned count = 0;
	char *rest = NULL;

	if (strlen(command) >= size)
		return err_set(err, -E2BIG, "the hook has more than %zu bytes", size - 1);
	strcpy(copy, command);
	if (!access(command, X_OK)) { /* a path with blanks */
		words[0] = copy;
		words[1] = NULL;
		return 0;
	}
	for (char *word = strtok_r(copy, " \t", &rest); word; word = strtok_r(NULL, " \t", &rest)) {
		if (count == WORDS_MAX)
			return err_set(err, -E2BIG, "the hook has more than %d words", WORDS_MAX);
		words[count++] = word;
	}
	words[count] = NULL;
	return count ? 0 : err_set(err, -EINVAL, "the hook is empty");
}

static char **environment_with(const char *const *more)
{
	size_t count = 0, added = 0;
	char **environment;

	while (environ[count])
		count++;
	while (more[added])
		added++;
	environment = calloc(count + added + 1, sizeof(*environment));
	for (size_t i = 0; environment && i < added; i++)
		environment[i] = (char *)more[i]; /* the first of a name counts */
	for (size_t i = 0; environment && i < count; i++)
		environment[added + i] = environ[i];
	return environment;
}

/* --- the process --- */

static void hook_exec(char **words, char **environment, int output_fd)
{
	int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	sigset_t none;

	setsid();
	if (null_fd < 0 || dup2(null_fd, 0) < 0 || dup2(output_fd, 1) < 0 || dup2(output_fd, 2) < 0)
		_exit(126);
	close_range(3, ~0U, 0);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	descriptors_restore();
	execve(words[0], words, environment);
	dprintf(2, "%s: %s\n", words[0], strerror(errno));
	_exit(127);
}

static int spawn(struct running *running, char **words, struct errinfo *err)
{
	char **environment = environment_with(running->hook->more);
	int fds[2] = {-1, -1}, rc = 0;

	if (!environment)
		return err_set(err, -ENOMEM, "no memory for the hook");
	if (pipe2(fds, O_CLOEXEC))
		rc = err_set(err, -errno, "pipe: %s", strerror(errno));
	if (!rc) {
		running->pid = fork();
		if (running->pid == 0)
			hook_exec(words, environment, fds[1]);
		if (running->pid < 0)
			rc = err_set(err, -errno, "fork: %s", strerror(errno));
		close(fds[1]);
		running->output_fd = fds[0];
		fcntl(fds[0], F_SETFL, O_NONBLOCK);
	}
	free(environment);
	return rc;
}

/* --- the ring --- */

/* One buffer full at a time: a flood does not keep the ring from the rest. */
static void output_came(struct ring_op *op, int result)
{
	struct running *running = member_of(op, struct running, output_op);
	struct launch_hook *hook = running->hook;
	char text[4096];
	ssize_t got;

	if (result < 0)
		return;
	got = read(running->output_fd, text, sizeof(text));
	if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
		return;
	if (got > 0) {
		size_t room = hook->output_size - 1 - running->kept;
		size_t kept = (size_t)got < room ? (size_t)got : room;

		memcpy(hook->output + running->kept, text, kept);
		running->kept += kept;
		hook->output[running->kept] = '\0';
		hook->said_bytes += (unsigned long long)got;
	}
	ring_poll(running->loop->ring, &running->output_op, running->output_fd, POLLIN);
}

static void hook_ended(struct ring_op *op, int result)
{
	if (result >= 0)
		member_of(op, struct running, end_op)->ended = true;
}

static bool over(void *arg)
{
	const struct running *running = arg;

	return running->ended || running->loop->quit;
}

static bool quiet(void *arg)
{
	const struct running *running = arg;

	return !ring_op_pending(&running->output_op) && !ring_op_pending(&running->end_op);
}

static void settle(struct running *running)
{
	/* What it said last is in the pipe still. */
	if (running->ended && ring_op_pending(&running->output_op))
		loop_until(running->loop, quiet, running, ring_now_ns() + 10 * NS_PER_MS);
	if (ring_op_pending(&running->output_op))
		ring_cancel(running->loop->ring, &running->output_op);
	if (ring_op_pending(&running->end_op))
		ring_cancel(running->loop->ring, &running->end_op);
	loop_until(running->loop, quiet, running, INT64_MAX);
}

static int verdict(struct running *running, int rc, struct errinfo *err)
{
	const char *command = running->hook->command;
	int status = 0;

	if (!running->ended) {
		kill(-running->pid, SIGKILL);
		kill(running->pid, SIGKILL); /* it may not have a group of its own yet */
		loop_until_set(running->loop, &running->ended,
			       ring_now_ns() + KILL_WAIT_MS * NS_PER_MS);
	}
	waitpid(running->pid, &status, running->ended ? 0 : WNOHANG);
	if (rc == -ETIMEDOUT)
		return err_set(err, rc, "the hook \"%.100s\" had not ended after %lld s and was killed",
			       command, (long long)running->hook->timeout_ms / 1000);
	if (rc)
		return err_set(err, rc, "the hook \"%.100s\" was killed: the sidecar ends", command);
	if (WIFSIGNALED(status))
		return err_set(err, -ECHILD, "the hook \"%.100s\" ended by signal %d", command,
			       WTERMSIG(status));
	if (WEXITSTATUS(status))
		return err_set(err, -ECHILD, "the hook \"%.100s\" failed with status %d", command,
			       WEXITSTATUS(status));
	return 0;
}

static int watch(struct running *running, struct errinfo *err)
{
	struct ring *ring = running->loop->ring;
	int rc;

	running->pidfd = pidfd_open(running->pid, 0);
	if (running->pidfd < 0) {
		rc = -errno;
		kill(-running->pid, SIGKILL);
		kill(running->pid, SIGKILL);
		waitpid(running->pid, NULL, 0);
		return err_set(err, rc, "pidfd_open: %s", strerror(-rc));
	}
	running->output_op.done = output_came;
	running->end_op.done = hook_ended;
	ring_poll(ring, &running->output_op, running->output_fd, POLLIN);
	ring_poll(ring, &running->end_op, running->pidfd, POLLIN);
	rc = loop_until(running->loop, over, running,
			ring_now_ns() + running->hook->timeout_ms * NS_PER_MS);
	rc = verdict(running, running->ended ? 0 : rc ? rc : -EINTR, err);
	settle(running);
	close(running->pidfd);
	return rc;
}

int launch_hook_check(const char *command)
{
	char copy[4096], *words[WORDS_MAX + 1];
	struct errinfo ignored = {0};
	int rc = split(command, copy, sizeof(copy), words, &ignored);

	if (!rc && access(words[0], X_OK))
		rc = -errno;
	return rc;
}

int launch_hook(struct loop *loop, struct launch_hook *hook, struct errinfo *err)
{
	struct running running = {.loop = loop, .hook = hook, .output_fd = -1};
	char copy[4096], *words[WORDS_MAX + 1];
	int rc = split(hook->command, copy, sizeof(copy), words, err);

	hook->output[0] = '\0';
	hook->said_bytes = 0;
	if (!rc && loop->quit)
		rc = err_set(err, -EINTR, "the sidecar ends");
	if (!rc)
		rc = spawn(&running, words, err);
	if (!rc)
		rc = watch(&running, err);
	if (running.output_fd >= 0)
		close(running.output_fd);
	return rc;
}
