/* SPDX-License-Identifier: Apache-2.0
 *
 * A libqmp client with a scripted peer at the other end of a socketpair, and a
 * record of what the client's callbacks were told.
 */
#ifndef QMP_FIXTURE_H
#define QMP_FIXTURE_H

#include <CUnit/CUnit.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "cunit_main.h"
#include "qmp.h"

#define GREETING                                                                                   \
	"{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 22, \"minor\": 2, \"major\": 7}, "         \
	"\"package\": \"Debian\"}, \"capabilities\": [%s]}}\r\n"
#define GREETING_OOB                                                                               \
	"{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 22, \"minor\": 2, "                        \
	"\"major\": 7}, \"package\": \"Debian\"}, \"capabilities\": [\"oob\"]}}\r\n"

struct fixture {
	struct qmp *qmp;
	int peer;
	unsigned ready, closed;
	int closed_status;
	char events[256]; /* names, each with a space behind */
	int64_t event_time_us;
	char sent[65536]; /* what the peer received last */
};

/* What one command's callback was told. */
struct record {
	unsigned calls;
	int status;
	char text[768];
	char class[64];
	json_int_t result; /* "return" if it is a number */
	struct fixture *fixture;
};

static inline int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static inline void fixture_ready(void *arg, struct qmp *qmp)
{
	struct fixture *f = arg;

	f->ready++;
}

static inline void fixture_event(void *arg, const char *name, json_t *data, int64_t time_us)
{
	struct fixture *f = arg;
	size_t used = strlen(f->events);

	snprintf(f->events + used, sizeof(f->events) - used, "%s ", name);
	f->event_time_us = time_us;
}

static inline void fixture_closed(void *arg, int status)
{
	struct fixture *f = arg;

	f->closed++;
	f->closed_status = status;
}

static inline void record_reply(void *arg, const struct qmp_reply *reply)
{
	struct record *record = arg;

	record->calls++;
	record->status = reply->status;
	record->result = json_integer_value(reply->result);
	snprintf(record->text, sizeof(record->text), "%s",
		 reply->error_text ? reply->error_text : "");
	snprintf(record->class, sizeof(record->class), "%s",
		 reply->error_class ? reply->error_class : "");
}

/* Attach over a pair of sockets; nothing was said yet. */
static inline void fixture_attach(struct fixture *f, enum qmp_peer peer, int64_t timeout_ms)
{
	static const struct qmp_callbacks callbacks = {fixture_ready, fixture_event,
						       fixture_closed};
	int pair[2];

	memset(f, 0, sizeof(*f));
	CU_ASSERT_FATAL(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
	f->peer = pair[1];
	f->qmp = qmp_attach(pair[0], peer, &callbacks, f, timeout_ms);
	if (!f->qmp)
		close(pair[0]);
}

/* Let the client do all it can now. */
static inline int fixture_pump(struct fixture *f)
{
	int status;

	do {
		status = qmp_process(f->qmp, POLLIN | POLLOUT);
	} while (!status && !qmp_deadline(f->qmp));
	return status;
}

static inline void peer_send_bytes(struct fixture *f, const void *data, size_t size)
{
	CU_ASSERT(send(f->peer, data, size, MSG_NOSIGNAL) == (ssize_t)size);
}

/* The peer says TEXT and the client hears it. */
static inline int peer_say(struct fixture *f, const char *text)
{
	peer_send_bytes(f, text, strlen(text));
	return fixture_pump(f);
}

static inline int peer_reply(struct fixture *f, int64_t id, const char *what)
{
	char text[256];

	snprintf(text, sizeof(text), "{%s, \"id\": %lld}\r\n", what, (long long)id);
	return peer_say(f, text);
}

/* What the client sent meanwhile, as one text; FD, if not NULL, gets a descriptor
 * that came with it, or -1. */
static inline const char *peer_hear_fd(struct fixture *f, int *fd)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int) * 4)];
	} control;
	struct iovec part = {f->sent, sizeof(f->sent) - 1};
	struct msghdr header = {.msg_iov = &part,
				.msg_iovlen = 1,
				.msg_control = control.bytes,
				.msg_controllen = sizeof(control)};
	ssize_t size = recvmsg(f->peer, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	struct cmsghdr *cmsg = size > 0 ? CMSG_FIRSTHDR(&header) : NULL;
	int received = -1;

	if (cmsg && cmsg->cmsg_level == SOL_SOCKET && cmsg->cmsg_type == SCM_RIGHTS) {
		CU_ASSERT(cmsg->cmsg_len == CMSG_LEN(sizeof(int)));
		memcpy(&received, CMSG_DATA(cmsg), sizeof(int));
	}
	if (fd)
		*fd = received;
	else if (received >= 0)
		close(received);
	f->sent[size > 0 ? size : 0] = '\0';
	return f->sent;
}

static inline const char *peer_hear(struct fixture *f)
{
	return peer_hear_fd(f, NULL);
}

/* The id of the first command in TEXT. */
static inline int64_t id_in(const char *text)
{
	const char *id = strstr(text, "\"id\":");

	return id ? strtoll(id + 5, NULL, 10) : -1;
}

/* A client that is READY. */
static inline void fixture_init(struct fixture *f, bool oob)
{
	fixture_attach(f, QMP_PEER_QEMU, 5000);
	CU_ASSERT_PTR_NOT_NULL_FATAL(f->qmp);
	if (oob) {
		peer_say(f, GREETING_OOB);
	} else {
		char text[512];

		snprintf(text, sizeof(text), GREETING, "");
		peer_say(f, text);
	}
	peer_reply(f, id_in(peer_hear(f)), "\"return\": {}");
	CU_ASSERT_FATAL(f->ready == 1);
}

static inline void fixture_release(struct fixture *f)
{
	qmp_free(f->qmp);
	if (f->peer >= 0)
		close(f->peer);
}

/* qmp_execute() with a record, no arguments. */
static inline int64_t execute(struct fixture *f, const char *name, int64_t timeout_ms,
			      struct record *record)
{
	return qmp_execute(f->qmp, name, NULL, timeout_ms, record ? record_reply : NULL, record);
}

#define ASSERT_TEXT(text, part)                                                                    \
	do {                                                                                       \
		if (!strstr(text, part))                                                           \
			fprintf(stderr, "\n  not \"%s\" in \"%s\"\n", part, text);                 \
		CU_ASSERT(strstr(text, part) != NULL);                                             \
	} while (0)

#define CASES(suite, ...)                                                                          \
	int main(void)                                                                             \
	{                                                                                          \
		static const struct cunit_case cases[] = {__VA_ARGS__};                            \
		                                                                           \
		return cunit_run(suite, cases, sizeof(cases) / sizeof(*cases));                    \
	}
#define CASE(fn)                                                                                   \
	{                                                                                          \
#fn, fn                                                                            \
	}

#endif
