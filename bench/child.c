/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "child.h"

static volatile sig_atomic_t interrupted;
static volatile sig_atomic_t current; /* process group that runs, 0: none */

static void on_signal(int number)
{
	interrupted = 1;
	if (!current)
		return;
	kill(-current, SIGTERM);
	alarm(CHILD_GRACE_S);
}

static void on_alarm(int number)
{
	if (current)
		kill(-current, SIGKILL);
}

void child_catch_signals(void)
{
	struct sigaction action = {.sa_handler = on_signal}; /* no SA_RESTART: waits end */

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
	action.sa_handler = on_alarm;
	sigaction(SIGALRM, &action, NULL);
}

bool child_interrupted(void)
{
	return interrupted;
}

double child_now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

bool child_exists(const char *program)
{
	const char *path = getenv("PATH"), *end;
	char full[4096];

	if (strchr(program, '/'))
		return !access(program, X_OK);
	for (; path && *path; path = *end ? end + 1 : end) {
		end = strchrnul(path, ':');
		snprintf(full, sizeof(full), "%.*s/%s", (int)(end - path), path, program);
		if (!access(full, X_OK))
			return true;
	}
	return false;
}

/* In the new process. */
static void child_become(const char *const *argv, const char *output, int errors, pid_t parent)
{
	int null = open("/dev/null", O_RDWR);
	int out = output ? open(output, O_WRONLY | O_CREAT | O_TRUNC, 0600) : null;
	sigset_t none;

	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(127);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (null < 0 || out < 0 || dup2(null, 0) < 0 || dup2(out, 1) < 0 ||
	    (errors >= 0 && dup2(errors, 2) < 0))
		_exit(127);
	execvp(argv[0], (char *const *)argv);
	_exit(127);
}

/* -EINTR ends the wait only when the child is gone. */
static int child_wait(pid_t pid, int *status, struct rusage *usage)
{
	while (wait4(pid, status, 0, usage) < 0) {
		if (errno != EINTR)
			return -errno;
	}
	return 0;
}

static void last_line(int fd, char *line, size_t size)
{
	char text[512], *end;
	off_t length = lseek(fd, 0, SEEK_END);
	ssize_t got =
	    pread(fd, text, sizeof(text) - 1,
		  length > (off_t)sizeof(text) - 1 ? length - (off_t)sizeof(text) + 1 : 0);

	text[got > 0 ? got : 0] = '\0';
	while ((end = strrchr(text, '\n')) && !end[1])
		*end = '\0';
	snprintf(line, size, "%.200s", end ? end + 1 : text);
}

static int child_verdict(const char *const *argv, int status, int errors, struct errinfo *err)
{
	char line[256] = "";

	if (interrupted)
		return err_set(err, -EINTR, "interrupted");
	if (WIFEXITED(status) && !WEXITSTATUS(status))
		return 0;
	if (errors >= 0)
		last_line(errors, line, sizeof(line));
	if (WIFSIGNALED(status))
		return err_set(err, -EIO, "%s was ended by signal %d: %s", argv[0],
			       WTERMSIG(status), line);
	return err_set(err, -EIO, "%s ended with status %d: %s", argv[0], WEXITSTATUS(status),
		       line);
}

static int errors_file(void)
{
	char path[] = "/tmp/qheal-bench-XXXXXX";
	int fd = mkostemp(path, O_CLOEXEC);

	if (fd >= 0)
		unlink(path);
	return fd;
}

int child_run(const char *const *argv, const char *output, bool show, struct child_usage *usage,
	      struct errinfo *err)
{
	int errors = show ? -1 : errors_file(), status = 0, rc;
	double begin = child_now_s();
	struct rusage used = {0};
	pid_t parent = getpid(), pid;
	sigset_t all, before;

	if (!child_exists(argv[0]))
		rc = err_set(err, -ENOENT, "there is no program %s", argv[0]);
	else
		rc = interrupted ? err_set(err, -EINTR, "interrupted") : 0;
	if (rc)
		goto out;
	sigfillset(&all); /* until CURRENT is known to the handler */
	sigprocmask(SIG_BLOCK, &all, &before);
	pid = fork();
	if (pid == 0)
		child_become(argv, output, errors, parent);
	if (pid > 0) {
		setpgid(pid, pid);
		current = pid;
		alarm(CHILD_LIMIT_S);
	}
	sigprocmask(SIG_SETMASK, &before, NULL);
	rc = pid < 0 ? err_set(err, -errno, "cannot fork: %s", strerror(errno))
		     : child_wait(pid, &status, &used);
	current = 0;
	alarm(0);
	if (!rc)
		rc = child_verdict(argv, status, errors, err);
	if (usage)
		*usage = (struct child_usage){
		    .wall_s = child_now_s() - begin,
		    .cpu_s = (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
			     (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6,
		    .peak_mib = (double)used.ru_maxrss / 1024};
out:
	if (errors >= 0)
		close(errors);
	return rc;
}

void child_line(const char *const *argv, char *line, unsigned size)
{
	char path[] = "/tmp/qheal-bench-XXXXXX";
	int fd = mkostemp(path, O_CLOEXEC);
	ssize_t got = 0;

	line[0] = '\0';
	if (fd < 0)
		return;
	if (!child_run(argv, path, false, NULL, NULL))
		got = pread(fd, line, size - 1, 0);
	line[got > 0 ? got : 0] = '\0';
	line[strcspn(line, "\n")] = '\0';
	close(fd);
	unlink(path);
}
