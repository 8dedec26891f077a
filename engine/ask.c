/* SPDX-License-Identifier: Apache-2.0 */
#include "ask.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "control.h"
#include "jsontext.h"
#include "loop.h"
#include "report.h"

#define ASK_STEP_MS 100
#define ENDS_TRIES 20
#define ENDS_STEP_US 50000
#define ASK_ANSWER_MAX (1u << 20) /* 32 disks take some 10 KiB, 1024 points 200 KiB */

/* By the directory's descriptor: a socket's path has at most 107 bytes. */
static int ask_connect(const char *store)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct timeval timeout = {.tv_sec = ASK_TIMEOUT_S};
	int dir_fd = open(store, O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd, rc = 0;

	if (dir_fd < 0)
		return -errno;
	snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/" CONTROL_SOCKET,
		 dir_fd);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		rc = -errno;
	if (!rc) {
		/* Of connect, too; for an answer ask_wait() waits. */
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
		if (connect(fd, (struct sockaddr *)&address, sizeof(address)))
			rc = errno == EAGAIN ? -ETIMEDOUT : -errno; /* its queue stays full */
	}
	if (rc && fd >= 0)
		close(fd);
	close(dir_fd);
	return rc ? rc : fd;
}

/* A command with a ring of its own has the signals that end it blocked, for its ring. */
static bool ask_interrupted(void)
{
	sigset_t pending;

	return !sigpending(&pending) &&
	       (sigismember(&pending, SIGINT) || sigismember(&pending, SIGTERM));
}

static int ask_wait(int fd, int64_t deadline_ns)
{
	struct pollfd readable = {.fd = fd, .events = POLLIN};

	for (;;) {
		int ready = poll(&readable, 1, ASK_STEP_MS);

		if (ready > 0)
			return 0;
		if (ready < 0 || ask_interrupted())
			return -EINTR;
		if (ring_now_ns() >= deadline_ns)
			return -ETIMEDOUT;
	}
}

/* The sidecar closes behind its answer. */
static int ask_receive(int fd, int timeout_s, json_t **answer)
{
	int64_t deadline_ns = ring_now_ns() + timeout_s * 1000 * NS_PER_MS;
	char *text = malloc(ASK_ANSWER_MAX);
	size_t have = 0;
	ssize_t n;
	int rc;

	if (!text)
		return -ENOMEM;
	do {
		rc = ask_wait(fd, deadline_ns);
		n = rc ? 0 : recv(fd, text + have, ASK_ANSWER_MAX - have, 0);
		have += n > 0 ? (size_t)n : 0;
	} while (have < ASK_ANSWER_MAX && n > 0);
	if (!rc)
		*answer = json_loadb(text, have, 0, NULL);
	free(text);
	return rc;
}

static int ask_send(int fd, json_t *request)
{
	char *text = json_dumps(request, REPORT_JSON), *line = NULL;
	int length = text ? asprintf(&line, "%s\n", text) : -1;
	int rc = -ENOMEM;

	if (length > 0)
		rc = send(fd, line, (size_t)length, MSG_NOSIGNAL) == length ? 0 : -EPROTO;
	free(text);
	if (length > 0)
		free(line);
	return rc;
}

static int ask_check(const char *store, json_t *answer, int timeout_s, int rc, struct errinfo *err)
{
	if (rc == -EINTR)
		return err_set(err, rc, "interrupted, before the sidecar of %s answered", store);
	if (rc == -ETIMEDOUT)
		return err_set(err, rc, "the sidecar of %s does not answer within %d s: is it "
			       "stopped?", store, timeout_s);
	if (rc || !json_is_object(answer))
		return err_set(err, rc ? rc : -EPROTO, "the sidecar of %s gave no answer%s: did it "
			       "end?", store, rc == -ENOMEM ? " (no memory)" : "");
	if (json_object_get(answer, "error"))
		return err_set(err, -EREMOTEIO, "%s", json_text(answer, "error"));
	return 0;
}

/* What is left of a process that was killed takes connections for a moment yet. */
static bool ends_now(const char *store)
{
	for (int i = 0; i < ENDS_TRIES; i++) {
		int fd = ask_connect(store);

		if (fd < 0)
			return ask_nobody(fd);
		close(fd);
		usleep(ENDS_STEP_US);
	}
	return false;
}

int ask_sidecar(const char *store, json_t *request, int timeout_s, json_t **answer,
		struct errinfo *err)
{
	int fd = ask_connect(store), rc;

	*answer = NULL;
	if (fd < 0) {
		json_decref(request);
		if (fd == -ETIMEDOUT)
			return ask_check(store, NULL, ASK_TIMEOUT_S, fd, err);
		return err_set(err, fd, "%s: cannot ask the sidecar: %s", store, strerror(-fd));
	}
	rc = ask_send(fd, request);
	json_decref(request);
	if (!rc)
		rc = ask_receive(fd, timeout_s, answer);
	close(fd);
	if (rc != -ETIMEDOUT && rc != -ENOMEM && rc != -EINTR && !*answer && ends_now(store))
		return err_set(err, -ECONNREFUSED, "%s: the sidecar has ended", store);
	rc = ask_check(store, *answer, timeout_s, rc, err);
	if (rc) {
		json_decref(*answer);
		*answer = NULL;
	}
	return rc;
}

bool ask_nobody(int status)
{
	return status == -ENOENT || status == -ECONNREFUSED;
}
