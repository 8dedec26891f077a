/* SPDX-License-Identifier: Apache-2.0
 *
 * A connection from qmp_connect() to qmp_free(): its socket, its deadlines, its
 * end.
 *
 *   CONNECTING   connect() is under way
 *   GREETING     connected, nothing was sent
 *   NEGOTIATING  qmp_capabilities or guest-sync-delimited was sent
 *   READY        commands may be sent
 *   CLOSED       shut down, no command pending; the descriptor stays open until
 *                qmp_free(), so that a poll that still has its number meets no
 *                other file
 *
 * One deadline covers all before READY.
 */
#include "client.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "message.h"

#define PROCESS_BYTES (512u << 10) /* read in one qmp_process(): others want the thread, too */

int64_t qmp_deadline_after(int64_t timeout_ms)
{
	int64_t deadline_ns;

	if (__builtin_mul_overflow(timeout_ms < 0 ? 0 : timeout_ms, 1000000, &deadline_ns) ||
	    __builtin_add_overflow(deadline_ns, qmp_clock_ns(), &deadline_ns))
		return INT64_MAX;
	return deadline_ns;
}

static void qmp_release(struct qmp *qmp)
{
	qmp_input_release(&qmp->input);
	qmp_output_release(&qmp->output);
	qmp_subscribers_release(&qmp->subscribers);
	free(qmp);
}

void qmp_enter(struct qmp *qmp)
{
	qmp->entered++;
}

void qmp_leave(struct qmp *qmp)
{
	assert(qmp->entered);
	if (!--qmp->entered && qmp->freed)
		qmp_release(qmp);
}

int qmp_note(struct qmp *qmp, int status, const char *format, ...)
{
	va_list args;

	/* Why the connection ended stays the answer. */
	if (qmp->state == QMP_CLOSED)
		return status;
	va_start(args, format);
	vsnprintf(qmp->error, sizeof(qmp->error), format, args);
	va_end(args);
	return status;
}

/* End the connection: nothing is sent or received any more. */
static void connection_end(struct qmp *qmp, int status)
{
	qmp->state = QMP_CLOSED;
	qmp->status = status;
	qmp->more = false;
	qmp->deadline_ns = INT64_MAX;
	/* Not close(): a poll that a ring has under way would keep the socket. */
	shutdown(qmp->fd, SHUT_RDWR);
	qmp_output_release(&qmp->output);
}

void qmp_fail(struct qmp *qmp, int status, const char *format, ...)
{
	char text[QMP_ERROR_MAX];
	va_list args;

	if (qmp->state == QMP_CLOSED)
		return;
	/* Formatted aside: the arguments may point into the old sentence. */
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	memcpy(qmp->error, text, sizeof(text));
	connection_end(qmp, status);
	qmp_enter(qmp);
	qmp_command_end_all(qmp, -ECONNRESET, qmp->error);
	if (qmp->callbacks.closed && !qmp->freed)
		qmp->callbacks.closed(qmp->arg, status);
	qmp_leave(qmp);
}

void qmp_flush(struct qmp *qmp)
{
	if (qmp->state == QMP_CONNECTING || qmp->state == QMP_CLOSED || qmp->send_error)
		return;
	/* The peer may be gone with its last words still in our socket: only
	 * qmp_process() ends the connection, after it has read them. */
	qmp->send_error = qmp_output_send(&qmp->output, qmp->fd);
}

/* --- life --- */

static struct qmp *qmp_new(enum qmp_peer peer, const struct qmp_callbacks *callbacks, void *arg,
			   int64_t timeout_ms)
{
	struct qmp *qmp = calloc(1, sizeof(*qmp));

	if (!qmp)
		return NULL;
	qmp->fd = -1;
	qmp->peer = peer;
	qmp->arg = arg;
	if (callbacks)
		qmp->callbacks = *callbacks;
	qmp->timeout_ms = timeout_ms;
	qmp->deadline_ns = qmp_deadline_after(timeout_ms);
	qmp_commands_init(&qmp->commands);
	qmp_input_init(&qmp->input, peer == QMP_PEER_AGENT);
	return qmp;
}

static int connect_start(struct qmp *qmp, struct errinfo *err)
{
	const struct sockaddr *to = (const struct sockaddr *)&qmp->address.socket;
	int one = 1;

	qmp->is_unix = to->sa_family == AF_UNIX;
	qmp->fd = socket(to->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (qmp->fd < 0)
		return err_set(err, -errno, "%s: no socket: %s", qmp->address.text,
			       strerror(errno));
	if (!qmp->is_unix)
		setsockopt(qmp->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (!connect(qmp->fd, to, qmp->address.size)) {
		int status = qmp_negotiate_start(qmp);

		return status ? err_set(err, status, "%s", qmp->error) : 0;
	}
	if (errno == EINPROGRESS)
		return 0;
	if (errno == EAGAIN)
		return err_set(err, -EBUSY,
			       "%s: other clients wait for this monitor already, and it serves "
			       "one at a time; end them or give this one a monitor of its own",
			       qmp->address.text);
	return err_set(err, -errno, "%s: cannot connect: %s", qmp->address.text, strerror(errno));
}

struct qmp *qmp_connect(const char *address, enum qmp_peer peer,
			const struct qmp_callbacks *callbacks, void *arg, int64_t timeout_ms,
			char *error_text, size_t error_size)
{
	struct errinfo err = {0};
	struct qmp *qmp = qmp_new(peer, callbacks, arg, timeout_ms);
	int status;

	if (!qmp)
		status = err_set(&err, -ENOMEM, "%s: out of memory", address);
	else
		status = qmp_address_parse(&qmp->address, address, &err);
	if (!status)
		status = connect_start(qmp, &err);
	if (!status)
		return qmp;
	if (error_text && error_size)
		snprintf(error_text, error_size, "%s", err.text);
	qmp_free(qmp);
	errno = -status;
	return NULL;
}

struct qmp *qmp_attach(int fd, enum qmp_peer peer, const struct qmp_callbacks *callbacks, void *arg,
		       int64_t timeout_ms)
{
	int domain = 0, status = 0, flags = fcntl(fd, F_GETFL);
	socklen_t size = sizeof(domain);
	struct qmp *qmp;

	if (flags < 0 || getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) ||
	    fcntl(fd, F_SETFL, flags | O_NONBLOCK))
		return NULL;
	qmp = qmp_new(peer, callbacks, arg, timeout_ms);
	if (!qmp)
		return NULL;
	qmp->is_unix = domain == AF_UNIX;
	snprintf(qmp->address.text, sizeof(qmp->address.text), "socket %d", fd);
	qmp->fd = fd;
	status = qmp_negotiate_start(qmp);
	if (!status)
		return qmp;
	qmp->fd = -1;
	qmp_free(qmp);
	errno = -status;
	return NULL;
}

void qmp_free(struct qmp *qmp)
{
	if (!qmp || qmp->freed)
		return;
	qmp_enter(qmp);
	qmp->freed = true;
	if (qmp->state != QMP_CLOSED)
		connection_end(qmp, -ECANCELED);
	if (qmp->fd >= 0)
		close(qmp->fd);
	qmp->fd = -1;
	qmp_command_end_all(qmp, -ECANCELED, "the client was closed");
	qmp_leave(qmp);
}

/* --- what the caller polls --- */

int qmp_fd(const struct qmp *qmp)
{
	return qmp->state == QMP_CLOSED ? -1 : qmp->fd;
}

short qmp_events(const struct qmp *qmp)
{
	if (qmp->state == QMP_CLOSED)
		return 0;
	if (qmp->state == QMP_CONNECTING)
		return POLLOUT;
	if (!qmp->send_error && qmp_output_wanted(&qmp->output))
		return POLLIN | POLLOUT;
	return POLLIN;
}

int64_t qmp_deadline(const struct qmp *qmp)
{
	int64_t command_ns = qmp_command_deadline(qmp);

	if (qmp->more || (qmp->send_error && qmp->state != QMP_CLOSED))
		return 0;
	return command_ns < qmp->deadline_ns ? command_ns : qmp->deadline_ns;
}

/* --- processing --- */

static void connect_finish(struct qmp *qmp, short revents)
{
	int error = 0;
	socklen_t size = sizeof(error);

	if (!(revents & (POLLOUT | POLLERR | POLLHUP)))
		return;
	if (getsockopt(qmp->fd, SOL_SOCKET, SO_ERROR, &error, &size))
		error = errno;
	if (error)
		qmp_fail(qmp, -error, "%s: cannot connect: %s", qmp->address.text, strerror(error));
	else if (qmp_negotiate_start(qmp))
		qmp_fail(qmp, -ENOMEM, "%s: out of memory", qmp->address.text);
}

static void message_dispatch(struct qmp *qmp, const json_t *message)
{
	if (qmp->state == QMP_GREETING)
		qmp_negotiate_greeting(qmp, message);
	else if (qmp->state == QMP_NEGOTIATING && qmp->peer == QMP_PEER_AGENT)
		qmp_negotiate_sync(qmp, message);
	else if (json_object_get(message, "event"))
		qmp_event_deliver(qmp, message);
	else if (json_object_get(message, "return") || json_object_get(message, "error"))
		qmp_command_answer(qmp, message);
	else
		qmp_fail(qmp, -EPROTO, "%s sent a message that is no reply and no event",
			 qmp->address.text);
}

/* "... does not speak QMP: it sent X where a greeting was expected", or what fits
 * the state. */
static void input_refuse(struct qmp *qmp, const char *what, const char *data, size_t size)
{
	char quote[QMP_QUOTE_MAX];

	qmp_message_quote(quote, data, size);
	if (qmp->state == QMP_GREETING)
		qmp_fail(qmp, -EPROTO,
			 "%s does not speak QMP: it sent %s where a greeting was expected%s%s%s",
			 qmp->address.text, quote, *what ? " (" : "", what, *what ? ")" : "");
	else
		qmp_fail(qmp, -EPROTO, "%s sent %s, which is no QMP message%s%s%s",
			 qmp->address.text, quote, *what ? " (" : "", what, *what ? ")" : "");
}

static void message_process(struct qmp *qmp, const char *data, size_t size)
{
	json_error_t error;
	int status;
	json_t *message = qmp_message_parse(data, size, &error, &status);

	if (message)
		message_dispatch(qmp, message);
	else if (status == -ENOMEM)
		qmp_fail(qmp, -ENOMEM, "%s: out of memory for a message of %zu bytes",
			 qmp->address.text, size);
	else
		input_refuse(qmp, error.text, data, size);
	json_decref(message);
}

static void input_process(struct qmp *qmp)
{
	char what[64];
	const char *data;
	size_t size;

	while (qmp->state != QMP_CLOSED) {
		switch (qmp_input_next(&qmp->input, &data, &size)) {
		case QMP_FRAME_MESSAGE:
			message_process(qmp, data, size);
			break;
		case QMP_FRAME_JUNK:
			input_refuse(qmp, "", data, size);
			break;
		case QMP_FRAME_DEEP:
			snprintf(what, sizeof(what), "nested deeper than %d", QMP_DEPTH_MAX);
			input_refuse(qmp, what, data, size);
			break;
		case QMP_FRAME_LONG:
			snprintf(what, sizeof(what), "longer than %u bytes", QMP_MESSAGE_MAX);
			input_refuse(qmp, what, data, size);
			break;
		default:
			return;
		}
	}
}

static void stream_end(struct qmp *qmp, int status)
{
	const char *address = qmp->address.text, *data;

	if (status == -ENOMEM)
		qmp_fail(qmp, status, "%s: out of memory for a message of more than %zu bytes",
			 address, qmp_input_rest(&qmp->input, &data));
	else if (status)
		qmp_fail(qmp, status, "%s: the connection broke: %s", address, strerror(-status));
	else if (qmp->state == QMP_GREETING)
		qmp_fail(qmp, -ECONNRESET, "%s closed the connection before a greeting", address);
	else if (qmp_input_rest(&qmp->input, &data))
		qmp_fail(qmp, -ECONNRESET, "%s closed the connection in the middle of a message",
			 address);
	else
		qmp_fail(qmp, -ECONNRESET, "%s closed the connection", address);
}

static void socket_read(struct qmp *qmp)
{
	size_t taken = 0;

	qmp->more = false;
	while (qmp->state != QMP_CLOSED) {
		int size = qmp_input_receive(&qmp->input, qmp->fd);

		if (size == -EAGAIN)
			return;
		if (size <= 0) {
			stream_end(qmp, size);
			return;
		}
		input_process(qmp);
		taken += (size_t)size;
		if (taken >= PROCESS_BYTES && qmp->state != QMP_CLOSED) {
			qmp->more = true;
			return;
		}
	}
}

static void deadlines_check(struct qmp *qmp)
{
	int64_t now_ns = qmp_clock_ns();

	if (qmp->state < QMP_READY && qmp->deadline_ns <= now_ns)
		qmp_negotiate_expire(qmp);
	if (qmp->state == QMP_READY)
		qmp_command_expire(qmp, now_ns);
}

int qmp_process(struct qmp *qmp, short revents)
{
	int status;

	if (qmp->entered || qmp->state == QMP_CLOSED)
		return qmp->status;
	qmp_enter(qmp);
	if (qmp->state == QMP_CONNECTING)
		connect_finish(qmp, revents);
	if (qmp->state != QMP_CONNECTING)
		socket_read(qmp);
	deadlines_check(qmp);
	qmp_flush(qmp);
	if (qmp->send_error && !qmp->more)
		stream_end(qmp, qmp->send_error);
	status = qmp->status;
	qmp_leave(qmp);
	return status;
}

void qmp_cork(struct qmp *qmp)
{
	qmp->output.corks++;
}

void qmp_uncork(struct qmp *qmp)
{
	if (!qmp->output.corks || --qmp->output.corks)
		return;
	qmp_output_uncork(&qmp->output);
	qmp_flush(qmp);
}

/* --- what is known --- */

enum qmp_state qmp_state(const struct qmp *qmp)
{
	return qmp->state;
}

const struct qmp_version *qmp_version(const struct qmp *qmp)
{
	return &qmp->version;
}

bool qmp_has_oob(const struct qmp *qmp)
{
	return qmp->oob;
}

const char *qmp_error(const struct qmp *qmp)
{
	return qmp->error;
}
