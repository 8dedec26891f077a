/* SPDX-License-Identifier: Apache-2.0 */
#include "guard.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* QEMU may hang in a drain or a flush for long, with our `cont` in its queue. */
#define GUARD_WAIT_MS 60000
#define GUARD_QUIET_MS 300 /* when it cannot be asked: no reply for so long */

static const char question[] = "{\"execute\":\"query-version\",\"id\":\"qheal-guard\"}\n";
static const char answered[] = "qheal-guard"; /* nowhere else in what QEMU sends */

static int64_t guard_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* QEMU answers in order: when this is answered, all before it was worked off. */
static bool guard_ask(int monitor_fd)
{
	return send(monitor_fd, question, sizeof(question) - 1, MSG_NOSIGNAL | MSG_DONTWAIT) ==
	       (ssize_t)sizeof(question) - 1;
}

/* Read what QEMU still answers, so that it is never held up. */
static void guard_linger(int monitor_fd)
{
	struct pollfd poll_fd = {.fd = monitor_fd, .events = POLLIN};
	int64_t end_ms = guard_now_ms() + GUARD_WAIT_MS, left_ms;
	bool asked = guard_ask(monitor_fd);
	char text[4096];
	size_t kept = 0; /* the answer may come in two pieces */

	while ((left_ms = end_ms - guard_now_ms()) > 0) {
		ssize_t n;

		if (poll(&poll_fd, 1, asked ? (int)left_ms : GUARD_QUIET_MS) <= 0)
			return;
		n = recv(monitor_fd, text + kept, sizeof(text) - kept, MSG_DONTWAIT);
		if (n <= 0)
			return;
		if (memmem(text, kept + (size_t)n, answered, sizeof(answered) - 1))
			return;
		n += (ssize_t)kept;
		kept = (size_t)n < sizeof(answered) - 1 ? (size_t)n : sizeof(answered) - 1;
		memmove(text, text + n - kept, kept);
	}
}

/* One message: 'h' with a descriptor to hold, 'q' to leave; 0 at the end. */
static int guard_receive(int socket_fd, int *held_fd)
{
	char control[CMSG_SPACE(sizeof(int))];
	char word = 0;
	struct iovec iov = {.iov_base = &word, .iov_len = 1};
	struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
				 .msg_controllen = sizeof(control)};
	struct cmsghdr *header;
	ssize_t n;

	do {
		n = recvmsg(socket_fd, &message, MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n <= 0)
		return 0;
	header = CMSG_FIRSTHDR(&message);
	if (header && header->cmsg_type == SCM_RIGHTS) {
		if (*held_fd >= 0)
			close(*held_fd);
		memcpy(held_fd, CMSG_DATA(header), sizeof(int));
	}
	return word;
}

static void guard_child(int socket_fd)
{
	int held_fd = -1, word;

	/* The signals meant for the sidecar (a terminal's ^C, a service manager's
	 * SIGTERM to the group) must not end the guard first. */
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGQUIT, SIG_IGN);
	prctl(PR_SET_NAME, "qheal-guard");
	/* Nobody may wait for the end of our output, events included, because of
	 * the guard. */
	if (socket_fd > 0)
		close_range(0, (unsigned)socket_fd - 1, 0);
	close_range((unsigned)socket_fd + 1, ~0U, 0);
	do {
		word = guard_receive(socket_fd, &held_fd);
	} while (word == 'h');
	if (word != 'q' && held_fd >= 0)
		guard_linger(held_fd);
	_exit(0);
}

int guard_start(struct guard *guard, struct errinfo *err)
{
	int fds[2];

	guard->pid = 0;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds))
		return err_set(err, -errno, "guard: socketpair: %s", strerror(errno));
	guard->pid = fork();
	if (guard->pid < 0) {
		int rc = -errno;

		close(fds[0]);
		close(fds[1]);
		return err_set(err, rc, "guard: fork: %s", strerror(-rc));
	}
	if (guard->pid == 0) {
		close(fds[1]);
		guard_child(fds[0]);
	}
	close(fds[0]);
	guard->socket_fd = fds[1];
	return 0;
}

int guard_hold(struct guard *guard, int monitor_fd, struct errinfo *err)
{
	char control[CMSG_SPACE(sizeof(int))] = {0};
	char word = 'h';
	struct iovec iov = {.iov_base = &word, .iov_len = 1};
	struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
				 .msg_controllen = sizeof(control)};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &monitor_fd, sizeof(int));
	if (sendmsg(guard->socket_fd, &message, MSG_NOSIGNAL) != 1)
		return err_set(err, -errno, "guard: cannot hand over the monitor's socket: %s",
			       strerror(errno));
	return 0;
}

void guard_stop(struct guard *guard)
{
	if (guard->pid <= 0)
		return;
	if (send(guard->socket_fd, "q", 1, MSG_NOSIGNAL) != 1)
		kill(guard->pid, SIGKILL);
	close(guard->socket_fd);
	while (waitpid(guard->pid, NULL, 0) < 0 && errno == EINTR)
		;
	guard->pid = 0;
}
