/* SPDX-License-Identifier: Apache-2.0
 *
 * The inside of struct qmp, shared by connection.c (life and socket),
 * negotiate.c (up to READY), command.c (ids, replies, deadlines) and event.c.
 *
 * Callbacks may call anything, qmp_free() included.  Therefore whoever runs one
 * stands between qmp_enter() and qmp_leave(), and the memory goes away with the
 * last qmp_leave().
 */
#ifndef QMP_CLIENT_H
#define QMP_CLIENT_H

#include <time.h>

#include "address.h"
#include "input.h"
#include "output.h"
#include "qmp.h"

#define QMP_ERROR_MAX 768 /* an address, a quotation and a sentence */
#define QMP_NAME_MAX 64	  /* of a command, as far as sentences show it */

struct qmp_command {
	int64_t id; /* 0: the slot is free */
	int64_t deadline_ns;
	int64_t timeout_ms;
	qmp_reply_fn *reply;
	void *arg;
	bool oob;
	/* Timed out or cancelled, with a reply still to come: kept, without its
	 * REPLY, to tell which command an answer without an id belongs to. */
	bool forgotten;
	char name[QMP_NAME_MAX];
};

struct qmp_commands {
	struct qmp_command slots[QMP_PENDING_MAX];
	unsigned pending; /* without the forgotten */
	int64_t next_id;
};

struct qmp_subscriber {
	struct qmp_subscriber *next;
	qmp_event_fn *fn; /* NULL: unsubscribed during a delivery */
	void *arg;
	char name[]; /* "": all */
};

struct qmp_subscribers {
	struct qmp_subscriber *head;
	unsigned delivering;
};

struct qmp {
	enum qmp_state state;
	enum qmp_peer peer;
	struct qmp_callbacks callbacks;
	void *arg;
	int fd;
	bool is_unix;
	bool freed;	  /* qmp_free() was called from a callback */
	bool more;	  /* qmp_process() stopped before the socket was empty */
	unsigned entered; /* between qmp_enter() and qmp_leave() */
	int status;	  /* why it is CLOSED */
	int send_error;	  /* what is left to read comes first */
	int64_t timeout_ms;
	int64_t deadline_ns; /* of everything before READY */
	int64_t handshake_id;
	struct qmp_address address;
	struct qmp_input input;
	struct qmp_output output;
	struct qmp_commands commands;
	struct qmp_subscribers subscribers;
	struct qmp_version version;
	bool oob;
	char error[QMP_ERROR_MAX];
};

/* What qmp_execute() and its kin ask for. */
struct qmp_request {
	const char *name;
	json_t *arguments; /* the reference is taken over */
	bool oob;
	int fd; /* -1: none */
	int64_t timeout_ms;
	qmp_reply_fn *reply;
	void *arg;
};

static inline int64_t qmp_clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* connection.c */
void qmp_enter(struct qmp *qmp);
void qmp_leave(struct qmp *qmp);
/* Note a sentence and return STATUS. */
__attribute__((format(printf, 3, 4))) int qmp_note(struct qmp *qmp, int status, const char *format,
						   ...);
/* End the connection with a sentence, unless it is over already. */
__attribute__((format(printf, 3, 4))) void qmp_fail(struct qmp *qmp, int status, const char *format,
						    ...);
/* Write what may be written; a failure is kept for qmp_process(). */
void qmp_flush(struct qmp *qmp);
int64_t qmp_deadline_after(int64_t timeout_ms);

/* command.c */
void qmp_commands_init(struct qmp_commands *commands);
int64_t qmp_command_submit(struct qmp *qmp, const struct qmp_request *request);
void qmp_command_answer(struct qmp *qmp, const json_t *message);
void qmp_command_expire(struct qmp *qmp, int64_t now_ns);
void qmp_command_end_all(struct qmp *qmp, int status, const char *text);
int64_t qmp_command_deadline(const struct qmp *qmp);

/* event.c */
void qmp_event_deliver(struct qmp *qmp, const json_t *message);
void qmp_subscribers_release(struct qmp_subscribers *subscribers);

/* negotiate.c */
/* The socket is connected.  Returns 0 or -ENOMEM. */
int qmp_negotiate_start(struct qmp *qmp);
void qmp_negotiate_greeting(struct qmp *qmp, const json_t *message);
void qmp_negotiate_sync(struct qmp *qmp, const json_t *message);
void qmp_negotiate_expire(struct qmp *qmp);

#endif
