/* SPDX-License-Identifier: Apache-2.0
 *
 * One client at a time is read and answered; the listener's queue holds the
 * others.  A client that sends nothing is dropped after a second: it must not
 * keep the next one waiting.
 */
#include "control.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "jsontext.h"
#include "member.h"
#include "sidecar.h"
#include "status.h"

#define CONTROL_CLIENT_MS 1000

struct control {
	struct sidecar *sidecar;
	struct ring_op accept_op, client_op, timer_op;
	int dir_fd, listen_fd, client_fd;
	size_t have;
	char request[CONTROL_REQUEST_MAX + 1];
	char *answer; /* being sent */
	size_t answer_bytes, sent;
	bool stopping;
};

static void control_listen(struct control *control)
{
	if (!control->stopping)
		ring_poll(control->sidecar->loop.ring, &control->accept_op, control->listen_fd,
			  POLLIN);
}

static void control_hang_up(struct control *control)
{
	if (control->client_fd >= 0)
		close(control->client_fd);
	control->client_fd = -1;
	free(control->answer);
	control->answer = NULL;
	if (ring_op_pending(&control->timer_op))
		ring_cancel(control->sidecar->loop.ring, &control->timer_op);
	else
		control_listen(control);
}

static void control_timer(struct ring_op *op, int result)
{
	struct control *control = member_of(op, struct control, timer_op);

	if (result == 0 && control->client_fd >= 0)
		ring_cancel(control->sidecar->loop.ring, &control->client_op);
	else
		control_listen(control); /* cancelled by the hang-up: the next, please */
}

static char *control_answer(struct control *control, const char *line)
{
	json_t *request = json_loads(line, 0, NULL);
	json_t *reply;
	char *text, *answer = NULL;

	if (!strcmp(json_text(request, "command"), "status"))
		reply = status_of_sidecar(control->sidecar);
	else
		reply = json_pack("{s:s}", "error", "unknown command; there is: status");
	text = json_dumps(reply, REPORT_JSON);
	if (text && asprintf(&answer, "%s\n", text) < 0)
		answer = NULL;
	free(text);
	json_decref(reply);
	json_decref(request);
	return answer;
}

static void control_send(struct control *control)
{
	ssize_t n = send(control->client_fd, control->answer + control->sent,
			 control->answer_bytes - control->sent, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n > 0)
		control->sent += (size_t)n;
	if ((n < 0 && errno != EAGAIN) || control->sent == control->answer_bytes)
		control_hang_up(control);
	else
		ring_poll(control->sidecar->loop.ring, &control->client_op, control->client_fd,
			  POLLOUT);
}

/* True when a whole line is there. */
static bool control_receive(struct control *control, bool *ended)
{
	ssize_t n = recv(control->client_fd, control->request + control->have,
			 CONTROL_REQUEST_MAX - control->have, MSG_DONTWAIT);

	*ended = n == 0 || (n < 0 && errno != EAGAIN);
	if (n > 0)
		control->have += (size_t)n;
	control->request[control->have] = '\0';
	if (control->have == CONTROL_REQUEST_MAX && !strchr(control->request, '\n'))
		*ended = true;
	return strchr(control->request, '\n') != NULL;
}

static void control_client(struct ring_op *op, int result)
{
	struct control *control = member_of(op, struct control, client_op);
	bool ended = false;

	/* Without the timer nobody would end a client that stays silent. */
	if (result < 0 || control->stopping || !ring_op_pending(&control->timer_op)) {
		control_hang_up(control);
	} else if (control->answer) {
		control_send(control);
	} else if (control_receive(control, &ended)) {
		control->answer = control_answer(control, control->request);
		control->answer_bytes = control->answer ? strlen(control->answer) : 0;
		control->sent = 0;
		if (control->answer)
			control_send(control);
		else
			control_hang_up(control);
	} else if (ended) {
		control_hang_up(control);
	} else {
		ring_poll(control->sidecar->loop.ring, op, control->client_fd, POLLIN);
	}
}

static void control_accept(struct ring_op *op, int result)
{
	struct control *control = member_of(op, struct control, accept_op);

	if (result < 0 || control->stopping)
		return;
	control->client_fd = accept4(control->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (control->client_fd < 0) {
		control_listen(control);
		return;
	}
	control->have = 0;
	ring_poll(control->sidecar->loop.ring, &control->client_op, control->client_fd, POLLIN);
	ring_timer(control->sidecar->loop.ring, &control->timer_op,
		   ring_now_ns() + CONTROL_CLIENT_MS * NS_PER_MS);
}

static int control_bind(struct control *control, struct errinfo *err)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	mode_t mask;
	int rc = 0;

	snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/" CONTROL_SOCKET,
		 control->dir_fd);
	control->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (control->listen_fd < 0)
		return err_set(err, -errno, "socket: %s", strerror(errno));
	unlinkat(control->dir_fd, CONTROL_SOCKET, 0); /* ours: the store's lock is held */
	mask = umask(0177);
	if (bind(control->listen_fd, (struct sockaddr *)&address, sizeof(address)) ||
	    listen(control->listen_fd, 8))
		rc = err_set(err, -errno, "control socket: %s", strerror(errno));
	umask(mask);
	return rc;
}

int control_start(struct control **out, struct sidecar *sidecar, struct errinfo *err)
{
	struct control *control = calloc(1, sizeof(*control));
	int rc;

	if (!control)
		return err_set(err, -ENOMEM, "control socket: no memory");
	*out = control;
	control->sidecar = sidecar;
	control->listen_fd = control->client_fd = -1;
	control->accept_op.done = control_accept;
	control->client_op.done = control_client;
	control->timer_op.done = control_timer;
	control->dir_fd = open(sidecar->config->store, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (control->dir_fd < 0)
		return err_set(err, -errno, "%s: %s", sidecar->config->store, strerror(errno));
	rc = control_bind(control, err);
	if (!rc)
		control_listen(control);
	return rc;
}

static bool control_quiet(void *arg)
{
	const struct control *control = arg;

	return !ring_op_pending(&control->accept_op) && !ring_op_pending(&control->client_op) &&
	       !ring_op_pending(&control->timer_op);
}

void control_stop(struct control *control)
{
	struct ring *ring;

	if (!control)
		return;
	ring = control->sidecar->loop.ring;
	control->stopping = true;
	if (ring_op_pending(&control->accept_op))
		ring_cancel(ring, &control->accept_op);
	if (ring_op_pending(&control->client_op))
		ring_cancel(ring, &control->client_op);
	if (ring_op_pending(&control->timer_op))
		ring_cancel(ring, &control->timer_op);
	loop_until(&control->sidecar->loop, control_quiet, control, INT64_MAX);
	if (control->client_fd >= 0)
		close(control->client_fd);
	if (control->listen_fd >= 0)
		close(control->listen_fd);
	if (control->dir_fd >= 0) {
		unlinkat(control->dir_fd, CONTROL_SOCKET, 0);
		close(control->dir_fd);
	}
	free(control->answer);
	free(control);
}
