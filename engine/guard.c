/* SPDX-License-Identifier: Apache-2.0 */
#include "guard.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* QEMU may hang in a drain or a flush for long, with our `cont` in its queue. */
#define GUARD_WAIT_MS 60000
#define GUARD_PAUSE_MS 2000 /* a heal takes some 10 ms; a disk that hangs is not waited for */
#define GUARD_QUIET_MS 300 /* when it cannot be asked: no reply for so long */

static const struct guard_words monitor_words = {
	.question = "{\"execute\":\"query-version\",\"id\":\"qheal-guard\"}\n",
	.answered = "qheal-guard",
};

static const char cont[] = "{\"execute\":\"cont\",\"id\":\"qheal-cont\"}\n";

static int64_t guard_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* QEMU answers in order: when this is answered, all before it was worked off. */
static bool guard_ask(const struct guard_words *words, int monitor_fd)
{
	size_t size = strlen(words->question);

	return send(monitor_fd, words->question, size, MSG_NOSIGNAL | MSG_DONTWAIT) ==
	       (ssize_t)size;
}

/* Read what QEMU still answers, so that it is never held up.  False: the socket is
 * over, or there was silence. */
static bool guard_linger(const struct guard_words *words, int monitor_fd)
{
	struct pollfd poll_fd = {.fd = monitor_fd, .events = POLLIN};
	int64_t end_ms = guard_now_ms() + GUARD_WAIT_MS, left_ms;
	bool asked = guard_ask(words, monitor_fd);
	size_t answer_size = strlen(words->answered);
	char text[4096];
	size_t kept = 0; /* the answer may come in two pieces */

	while ((left_ms = end_ms - guard_now_ms()) > 0) {
		ssize_t n;

		if (poll(&poll_fd, 1, asked ? (int)left_ms : GUARD_QUIET_MS) <= 0)
			return false;
		n = recv(monitor_fd, text + kept, sizeof(text) - kept, MSG_DONTWAIT);
		if (n <= 0)
			return false;
		if (memmem(text, kept + (size_t)n, words->answered, answer_size))
			return true;
		n += (ssize_t)kept;
		kept = (size_t)n < answer_size - 1 ? (size_t)n : answer_size - 1;
		memmove(text, text + n - kept, kept);
	}
	return false;
}

static int guard_connect(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	if (fd >= 0 && !connect(fd, (const struct sockaddr *)&address, sizeof(address)))
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

static void guard_speak(const struct guard_words *words, int *held_fd)
{
	bool answered = guard_linger(words, *held_fd);

	close(*held_fd);
	*held_fd = !answered && words->address ? guard_connect(words->address) : -1;
	if (*held_fd >= 0) {
		guard_linger(words, *held_fd);
		close(*held_fd);
	}
	*held_fd = -1;
}

/* One message: 'h' with a descriptor to hold, 'd' to drop it, 'p' and 'r' around a
 * pause, 'q' to leave; 0 at the end. */
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

/* False: the sidecar holds on for longer than it may. */
static bool guard_wait(int64_t limit_ms, int socket_fd)
{
	struct pollfd poll_fd = {.fd = socket_fd, .events = POLLIN};

	return !limit_ms || poll(&poll_fd, 1, (int)limit_ms) != 0;
}

/* The file goes first: what the sidecar may still send finds a guest that stands, or
 * no file.  The answer is the sidecar's to read, should it live. */
static void guard_end_pause(const struct guard_words *words, int held_fd)
{
	unlink(words->fence);
	if (held_fd >= 0)
		send(held_fd, cont, sizeof(cont) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void guard_child(const struct guard_words *words, int socket_fd)
{
	int held_fd = -1, word;
	bool paused = false;

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
		if (paused && !guard_wait(GUARD_PAUSE_MS, socket_fd)) {
			guard_end_pause(words, held_fd);
			paused = false;
		}
		if (held_fd >= 0 && !guard_wait(words->limit_ms, socket_fd))
			guard_speak(words, &held_fd);
		word = guard_receive(socket_fd, &held_fd);
		if (word == 'd' && held_fd >= 0) {
			close(held_fd);
			held_fd = -1;
		}
		if (word == 'p' || word == 'r')
			paused = word == 'p' && words->fence;
	} while (word && word != 'q');
	if (paused)
		guard_end_pause(words, held_fd);
	if (word != 'q' && held_fd >= 0)
		guard_speak(words, &held_fd);
	_exit(0);
}

int guard_start(struct guard *guard, struct errinfo *err)
{
	return guard_start_with(guard, &monitor_words, err);
}

int guard_start_fenced(struct guard *guard, const char *fence, struct errinfo *err)
{
	struct guard_words words = monitor_words; /* the child has a copy */

	words.fence = fence;
	return guard_start_with(guard, &words, err);
}

int guard_start_with(struct guard *guard, const struct guard_words *words, struct errinfo *err)
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
		guard_child(words, fds[0]);
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
		return err_set(err, -errno, "guard: cannot hand over the socket: %s",
			       strerror(errno));
	return 0;
}

int guard_pause(struct guard *guard, struct errinfo *err)
{
	if (guard->pid > 0 && send(guard->socket_fd, "p", 1, MSG_NOSIGNAL) == 1)
		return 0;
	return err_set(err, -EPIPE, "the guard is gone: the guest is not paused without it");
}

void guard_resumed(struct guard *guard)
{
	if (guard->pid > 0)
		send(guard->socket_fd, "r", 1, MSG_NOSIGNAL);
}

void guard_drop(struct guard *guard)
{
	if (guard->pid > 0)
		send(guard->socket_fd, "d", 1, MSG_NOSIGNAL);
}

void guard_leave(struct guard *guard)
{
	if (guard->pid > 0)
		close(guard->socket_fd);
	guard->pid = 0;
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
