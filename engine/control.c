/* SPDX-License-Identifier: Apache-2.0
 *
 *   FREE --accept--> READING --status, error--> ANSWERING --> FREE
 *                        \                       ^
 *                         +--order--> WAITING ---+   control_reply()
 *
 * READING and ANSWERING together have a second: a client that is silent, or does
 * not take its answer, must not keep a place for ever.  WAITING has no limit: the
 * flow of control comes to every order, or the sidecar ends.
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
#include "plan.h"
#include "status.h"

#define CONTROL_CLIENT_MS 1000
#define CONTROL_CLIENTS 16 /* 4 KiB each; the listener's queue holds the others */
#define CONTROL_ORDERS 12  /* that may wait: the other places are for questions */

struct client {
	struct control *control;
	struct ring_op op, timer_op;
	int fd; /* -1: hung up */
	bool used, waiting;
	uint64_t ordered; /* which order it was, 0 for none */
	json_t *order;	  /* not begun */
	size_t have;
	char request[CONTROL_REQUEST_MAX + 1];
	char *answer; /* being sent */
	size_t answer_bytes, sent;
};

struct control {
	struct sidecar *sidecar;
	struct ring_op accept_op;
	int dir_fd, listen_fd;
	bool stopping;
	uint64_t orders;  /* given so far */
	uint64_t current; /* the one that the flow has begun, 0 for none */
	struct client clients[CONTROL_CLIENTS];
};

static struct ring *ring_of(const struct client *client)
{
	return client->control->sidecar->loop.ring;
}

static struct client *control_place(struct control *control)
{
	for (unsigned i = 0; i < CONTROL_CLIENTS; i++) {
		if (!control->clients[i].used)
			return &control->clients[i];
	}
	return NULL;
}

static void control_listen(struct control *control)
{
	if (!control->stopping && !ring_op_pending(&control->accept_op) && control_place(control))
		ring_poll(control->sidecar->loop.ring, &control->accept_op, control->listen_fd,
			  POLLIN);
}

/* Who gave up on a roll back does not expect a reset of the guest, perhaps hours later. */
static void client_withdraw(struct client *client)
{
	if (!client->order || strcmp(json_text(client->order, "command"), "rollback"))
		return;
	log_info("the roll back is not begun: who asked for it is gone");
	json_decref(client->order);
	client->order = NULL;
}

/* The place is free when nothing of it is in flight; another order that was not begun
 * keeps it too: it is carried out all the same. */
static void client_settle(struct client *client)
{
	if (client->fd >= 0 || ring_op_pending(&client->timer_op) ||
	    ring_op_pending(&client->op) || client->order)
		return;
	client->used = false;
	control_listen(client->control);
}

static void client_hang_up(struct client *client)
{
	if (client->fd >= 0)
		close(client->fd);
	client->fd = -1;
	client->waiting = false;
	client_withdraw(client);
	free(client->answer);
	client->answer = NULL;
	if (ring_op_pending(&client->timer_op))
		ring_cancel(ring_of(client), &client->timer_op);
	if (ring_op_pending(&client->op))
		ring_cancel(ring_of(client), &client->op);
	client_settle(client);
}

static void client_time_limit(struct client *client)
{
	ring_timer(ring_of(client), &client->timer_op,
		   ring_now_ns() + CONTROL_CLIENT_MS * NS_PER_MS);
}

static void client_timer(struct ring_op *op, int result)
{
	struct client *client = member_of(op, struct client, timer_op);

	if (result == 0 && client->fd >= 0 && !client->waiting)
		client_hang_up(client);
	else if (client->fd >= 0 && client->answer && !client->control->stopping)
		client_time_limit(client); /* cancelled while it waited; answered meanwhile */
	else
		client_settle(client);
}

static void client_send(struct client *client)
{
	ssize_t n = send(client->fd, client->answer + client->sent,
			 client->answer_bytes - client->sent, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n > 0)
		client->sent += (size_t)n;
	if ((n < 0 && errno != EAGAIN) || client->sent == client->answer_bytes)
		client_hang_up(client);
	else
		ring_poll(ring_of(client), &client->op, client->fd, POLLOUT);
}

/* False: no memory. */
static bool client_compose(struct client *client, json_t *reply)
{
	char *text = json_dumps(reply, REPORT_JSON);

	if (text && asprintf(&client->answer, "%s\n", text) < 0)
		client->answer = NULL;
	free(text);
	json_decref(reply);
	client->answer_bytes = client->answer ? strlen(client->answer) : 0;
	client->sent = 0;
	return client->answer != NULL;
}

static void client_answer(struct client *client, json_t *reply)
{
	if (client_compose(client, reply))
		client_send(client);
	else
		client_hang_up(client);
}

static const char *const orders[] = {"point", "point-delete", "rollback"};

static bool is_order(const char *command)
{
	for (unsigned i = 0; i < sizeof(orders) / sizeof(orders[0]); i++) {
		if (!strcmp(command, orders[i]))
			return true;
	}
	return false;
}

/* From now on only its end is looked for. */
static void client_wait(struct client *client, json_t *order)
{
	client->order = order;
	client->ordered = ++client->control->orders;
	client->waiting = true;
	if (ring_op_pending(&client->timer_op))
		ring_cancel(ring_of(client), &client->timer_op);
	ring_poll(ring_of(client), &client->op, client->fd, 0);
}

static unsigned orders_waiting(const struct control *control)
{
	unsigned count = 0;

	for (unsigned i = 0; i < CONTROL_CLIENTS; i++)
		count += control->clients[i].order != NULL;
	return count;
}

/* Why it would not be carried out soon; NULL: it will be.  A comparison of the disks may take
 * hours, and the flow of control comes to no order before the guest is protected. */
static const char *order_refused(const struct control *control)
{
	const struct sidecar *sidecar = control->sidecar;

	if (store_info(sidecar->store)->state != STORE_READY)
		return "there is no generation yet: the first copy has to end before";
	if (sidecar->state == SIDECAR_COPYING)
		return "the disks are being compared with the replica: points (restore and verify "
		       "--point) can be had now, the rest when the guest is protected again";
	return orders_waiting(control) < CONTROL_ORDERS ? NULL : "too many orders wait already; "
								 "ask again";
}

static void client_request(struct client *client)
{
	struct sidecar *sidecar = client->control->sidecar;
	json_t *request = json_loads(client->request, 0, NULL);
	const char *command = json_text(request, "command"), *refusal;

	/* Its list of disks changed, or the heads are free again: a moment only. */
	if (!sidecar->store)
		client_answer(client, json_pack("{s:s}", "error", "the store is being opened anew; "
						"ask again"));
	else if (!strcmp(command, "status"))
		client_answer(client, status_of_sidecar(sidecar));
	else if (!strcmp(command, "plan") && sidecar->config->mind)
		client_answer(client, plan_of_sidecar(sidecar));
	else if (!is_order(command))
		client_answer(client, json_pack("{s:s}", "error", "unknown command; there is: "
						"status, plan, point, "
						"point-delete, rollback"));
	else if ((refusal = order_refused(client->control)))
		client_answer(client, json_pack("{s:s}", "error", refusal));
	else
		client_wait(client, json_incref(request));
	json_decref(request);
}

/* True when a whole line is there. */
static bool client_receive(struct client *client, bool *ended)
{
	ssize_t n = recv(client->fd, client->request + client->have,
			 CONTROL_REQUEST_MAX - client->have, MSG_DONTWAIT);

	*ended = n == 0 || (n < 0 && errno != EAGAIN);
	if (n > 0)
		client->have += (size_t)n;
	client->request[client->have] = '\0';
	if (client->have == CONTROL_REQUEST_MAX && !strchr(client->request, '\n'))
		*ended = true;
	return strchr(client->request, '\n') != NULL;
}

/* One that only closed its half for writing still reads: no more is asked of it. */
static void client_left(struct client *client)
{
	struct pollfd poll_fd = {.fd = client->fd};

	if (poll(&poll_fd, 1, 0) > 0)
		client_hang_up(client);
}

static void client_event(struct ring_op *op, int result)
{
	struct client *client = member_of(op, struct client, op);
	bool ended = false;

	if (client->fd < 0)
		client_settle(client);
	else if (client->control->stopping || (result < 0 && result != -ECANCELED))
		client_hang_up(client);
	else if (client->answer)
		client_send(client);
	else if (client->waiting)
		client_left(client);
	else if (client_receive(client, &ended))
		client_request(client);
	else if (ended)
		client_hang_up(client);
	else
		ring_poll(ring_of(client), op, client->fd, POLLIN);
}

static void control_accept(struct ring_op *op, int result)
{
	struct control *control = member_of(op, struct control, accept_op);
	struct client *client = control_place(control);
	int fd;

	if (result < 0 || control->stopping || !client)
		return;
	fd = accept4(control->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd >= 0) {
		client->used = true;
		client->fd = fd;
		client->have = 0;
		client->ordered = 0;
		ring_poll(ring_of(client), &client->op, fd, POLLIN);
		client_time_limit(client);
	}
	control_listen(control);
}

/* --- orders --- */

static struct client *first_order(const struct control *control)
{
	const struct client *first = NULL;

	for (unsigned i = 0; i < CONTROL_CLIENTS; i++) {
		const struct client *client = &control->clients[i];

		if (client->order && (!first || client->ordered < first->ordered))
			first = client;
	}
	return (struct client *)first;
}

bool control_has_order(const struct control *control)
{
	return control && first_order(control);
}

json_t *control_take_order(struct control *control)
{
	struct client *client = control ? first_order(control) : NULL;
	json_t *order;

	if (!client)
		return NULL;
	order = client->order;
	client->order = NULL;
	control->current = client->ordered;
	client_settle(client);
	return order;
}

static struct client *client_of_order(struct control *control)
{
	for (unsigned i = 0; i < CONTROL_CLIENTS; i++) {
		struct client *client = &control->clients[i];

		if (client->waiting && client->ordered == control->current)
			return client;
	}
	return NULL;
}

void control_reply(struct control *control, json_t *reply)
{
	struct client *client = client_of_order(control);

	control->current = 0;
	if (!client) {
		json_decref(reply);
		return;
	}
	client->waiting = false;
	if (!ring_op_pending(&client->timer_op))
		client_time_limit(client);
	if (!ring_op_pending(&client->op))
		client_answer(client, reply);
	else if (client_compose(client, reply))
		ring_cancel(ring_of(client), &client->op); /* its end sends the answer */
	else
		client_hang_up(client);
}

uint64_t control_postpone(struct control *control)
{
	uint64_t postponed = control->current;

	control->current = 0;
	return postponed;
}

void control_reply_to(struct control *control, uint64_t postponed, json_t *reply)
{
	uint64_t current = control->current;

	control->current = postponed;
	control_reply(control, reply);
	control->current = current;
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
	control->listen_fd = -1;
	control->accept_op.done = control_accept;
	for (unsigned i = 0; i < CONTROL_CLIENTS; i++) {
		control->clients[i].control = control;
		control->clients[i].fd = -1;
		control->clients[i].op.done = client_event;
		control->clients[i].timer_op.done = client_timer;
	}
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
	bool quiet = !ring_op_pending(&control->accept_op);

	for (unsigned i = 0; i < CONTROL_CLIENTS; i++)
		quiet = quiet && !ring_op_pending(&control->clients[i].op) &&
			!ring_op_pending(&control->clients[i].timer_op);
	return quiet;
}

void control_stop(struct control *control)
{
	static const char farewell[] = "{\"error\":\"the sidecar ends\"}\n";
	struct ring *ring;

	if (!control)
		return;
	ring = control->sidecar->loop.ring;
	control->stopping = true;
	if (ring_op_pending(&control->accept_op))
		ring_cancel(ring, &control->accept_op);
	for (unsigned i = 0; i < CONTROL_CLIENTS; i++) {
		struct client *client = &control->clients[i];

		json_decref(client->order);
		client->order = NULL;
		if (client->waiting)
			send(client->fd, farewell, sizeof(farewell) - 1,
			     MSG_DONTWAIT | MSG_NOSIGNAL);
		client_hang_up(client);
	}
	loop_until(&control->sidecar->loop, control_quiet, control, INT64_MAX);
	if (control->listen_fd >= 0)
		close(control->listen_fd);
	if (control->dir_fd >= 0) {
		unlinkat(control->dir_fd, CONTROL_SOCKET, 0);
		close(control->dir_fd);
	}
	free(control);
}
