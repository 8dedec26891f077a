/* SPDX-License-Identifier: Apache-2.0
 *
 * libqmp: an asynchronous client of the QEMU Machine Protocol, for QEMU,
 * qemu-storage-daemon and the QEMU guest agent, over unix and TCP sockets.
 *
 * The library never blocks, never owns a loop and starts no thread.  The caller
 * polls qmp_fd() for qmp_events() until qmp_deadline() and then calls
 * qmp_process(); all callbacks run from inside qmp_process() (or qmp_free()).
 *
 * JSON values are jansson's.  A number above INT64_MAX comes as the negative
 * one of the same bits: cast json_integer_value() to uint64_t where QEMU's schema
 * says so.  Protocol: qemu docs/interop/qmp-spec.
 *
 *   CONNECTING -> GREETING -> NEGOTIATING -> READY -> CLOSED
 *
 * Errors are negative errno values; qmp_error() is the sentence to the last one
 * of this connection.  -EREMOTEIO: the peer answered with an error object.
 */
#ifndef QMP_H
#define QMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#ifdef __cplusplus
extern "C" {
#endif

#define QMP_MESSAGE_MAX (8u << 20)   /* bytes of one message; a QEMU 10 schema has 0.24 MB */
#define QMP_DEPTH_MAX 128	     /* nesting of one message; QEMU's own limit is 1024, its replies stay below 20 */
#define QMP_OUTPUT_MAX (1u << 20)    /* bytes queued and not yet taken by the peer */
#define QMP_PENDING_MAX 256	     /* commands without a reply */
#define QMP_TIMEOUT_NONE INT64_MAX

enum qmp_peer {
	QMP_PEER_QEMU,	/* greets with {"QMP":...}: QEMU and qemu-storage-daemon */
	QMP_PEER_AGENT, /* guest agent: no greeting; synchronised by guest-sync-delimited */
};

enum qmp_state { QMP_CONNECTING, QMP_GREETING, QMP_NEGOTIATING, QMP_READY, QMP_CLOSED };

struct qmp;

struct qmp_version {
	int major, minor, micro;
	char package[64];
};

struct qmp_callbacks {
	/* Greeting and capabilities are done: commands may be sent. */
	void (*ready)(void *arg, struct qmp *qmp);
	/* Every event, in the order received, before the subscribers of its name.
	 * DATA is borrowed and may be NULL; TIME_US is the peer's stamp. */
	void (*event)(void *arg, const char *name, json_t *data, int64_t time_us);
	/* The connection is over: STATUS says why (-ECONNRESET, -EPROTO, -ETIMEDOUT ...),
	 * qmp_error() in words.  All pending commands have been ended before this. */
	void (*closed)(void *arg, int status);
};

/* One reply.  Borrowed: valid during the callback (json_incref to keep). */
struct qmp_reply {
	int status;	  /* 0, -EREMOTEIO, -ETIMEDOUT, -ECONNRESET, -ECANCELED */
	json_t *result;	  /* "return", when status is 0 */
	const char *error_class; /* with -EREMOTEIO */
	const char *error_text;	 /* in words, with every other status than 0 */
};
typedef void qmp_reply_fn(void *arg, const struct qmp_reply *reply);

/* ADDRESS: a path, "unix:PATH" or "tcp:HOST:PORT" (numeric or a name of
 * /etc/hosts).  TIMEOUT_MS bounds connect, greeting and negotiation together.
 * NULL and errno when not even the attempt can be made; then ERROR_TEXT, if not
 * NULL, has the sentence. */
struct qmp *qmp_connect(const char *address, enum qmp_peer peer,
			const struct qmp_callbacks *callbacks, void *arg, int64_t timeout_ms,
			char *error_text, size_t error_size);
/* The same over a connected stream socket, which now belongs to the library.
 * NULL and errno: it is still the caller's. */
struct qmp *qmp_attach(int fd, enum qmp_peer peer, const struct qmp_callbacks *callbacks,
		       void *arg, int64_t timeout_ms);
/* Ends pending commands with -ECANCELED, closes, frees. NULL is allowed.  In any
 * callback, too: then the rest of qmp_process() touches nothing of the caller's,
 * and it returns -ECANCELED. */
void qmp_free(struct qmp *qmp);

/* All three may change in qmp_process() and with every command: ask before each
 * wait. */
int qmp_fd(const struct qmp *qmp);	     /* the same until CLOSED, then -1 */
short qmp_events(const struct qmp *qmp);     /* POLLIN, POLLOUT wanted now */
int64_t qmp_deadline(const struct qmp *qmp); /* CLOCK_MONOTONIC ns, 0: at once, INT64_MAX: none */
/* REVENTS of poll(2), 0 for a mere timeout.  Returns 0, or the negative errno
 * that closed the connection. */
int qmp_process(struct qmp *qmp, short revents);

enum qmp_state qmp_state(const struct qmp *qmp);
const struct qmp_version *qmp_version(const struct qmp *qmp);
bool qmp_has_oob(const struct qmp *qmp);
const char *qmp_error(const struct qmp *qmp);

/* Send COMMAND.  ARGUMENTS may be NULL; the reference is taken over, also on
 * failure.  REPLY runs exactly once (NULL: not interested).  After TIMEOUT_MS
 * the command ends with -ETIMEDOUT and a late reply is dropped.  Returns the id
 * or a negative errno: -ENOTCONN, -ENOBUFS (a bound is reached), -EINVAL, -ENOMEM;
 * then REPLY does not run. */
int64_t qmp_execute(struct qmp *qmp, const char *command, json_t *arguments, int64_t timeout_ms,
		    qmp_reply_fn *reply, void *arg);
/* Out of band: not behind the queue of the main loop; needs qmp_has_oob(), else
 * -ENOTSUP, and a command that allows it, else the peer answers with an error.
 * QEMU reads on while at most eight commands wait in its queue: behind more, one
 * out of band waits in the socket. */
int64_t qmp_execute_oob(struct qmp *qmp, const char *command, json_t *arguments,
			int64_t timeout_ms, qmp_reply_fn *reply, void *arg);
/* With the descriptor FD (stays the caller's, may be closed after the reply):
 * getfd, add-fd.  Unix sockets only, else -ENOTSUP.  QEMU holds one descriptor at
 * a time, so the next such command, and what follows it, is sent when this one is
 * answered, even out of a batch. */
int64_t qmp_execute_fd(struct qmp *qmp, const char *command, json_t *arguments, int fd,
		       int64_t timeout_ms, qmp_reply_fn *reply, void *arg);
/* Forget a pending command: its REPLY runs now with -ECANCELED. */
void qmp_cancel(struct qmp *qmp, int64_t id);

/* Between cork and uncork commands are only collected; uncork hands all of them
 * to the peer in one write, so that either all arrive or none (as long as they
 * fit the socket's buffer).  Without cork a command is written at once. */
void qmp_cork(struct qmp *qmp);
void qmp_uncork(struct qmp *qmp);

/* Events by name (NULL: all), delivered in order of subscription. */
typedef void qmp_event_fn(void *arg, const char *name, json_t *data, int64_t time_us);
int qmp_subscribe(struct qmp *qmp, const char *name, qmp_event_fn *fn, void *arg);
void qmp_unsubscribe(struct qmp *qmp, qmp_event_fn *fn, void *arg);

/* The peer's schema (the result of query-qmp-schema). */
struct qmp_schema;
/* Takes what is needed out of SCHEMA (borrowed, not kept). NULL: not a schema. */
struct qmp_schema *qmp_schema_new(const json_t *schema);
void qmp_schema_free(struct qmp_schema *schema);
/* "blockdev-backup", "blockdev-backup/on-cbw-error",
 * "blockdev-add/copy-before-write/on-cbw-error" (a variant of a union by its tag),
 * "migrate/channels/addr" (members of members, through arrays),
 * "transaction/actions/blockdev-backup"; events and enumeration values the same
 * way: "BLOCK_IO_ERROR/qom-path", "blockdev-mirror/copy-mode/write-blocking". */
bool qmp_schema_has(const struct qmp_schema *schema, const char *path);

#ifdef __cplusplus
}
#endif

#endif
