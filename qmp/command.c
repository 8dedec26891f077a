/* SPDX-License-Identifier: Apache-2.0
 *
 * Commands: ids, the table of those without a reply, deadlines, cancellation.
 *
 *   free --submit--> pending --reply, end of connection--> free
 *                       \--deadline, cancel--> forgotten --reply, a later reply--> free
 *
 * A command whose message was not sent yet when it is given up is taken out of
 * the queue and never sent.
 */
#include "client.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

void qmp_commands_init(struct qmp_commands *commands)
{
	uint32_t seed;

	/* QEMU may give the reply to an earlier client's command to the next
	 * client: ids must differ between connections, not only within one. */
	if (getrandom(&seed, sizeof(seed), GRND_NONBLOCK) != sizeof(seed))
		seed = (uint32_t)qmp_clock_ns();
	commands->next_id = ((int64_t)(seed >> 1) << 20) + 1;
}

static struct qmp_command *command_find(struct qmp *qmp, int64_t id)
{
	for (unsigned i = 0; i < QMP_PENDING_MAX; i++) {
		if (qmp->commands.slots[i].id == id)
			return &qmp->commands.slots[i];
	}
	return NULL;
}

/* The one that was sent first; NULL: none. */
static struct qmp_command *command_oldest(struct qmp *qmp, bool forgotten, bool pending)
{
	struct qmp_command *oldest = NULL;

	for (unsigned i = 0; i < QMP_PENDING_MAX; i++) {
		struct qmp_command *command = &qmp->commands.slots[i];

		if (!command->id || (command->forgotten ? !forgotten : !pending))
			continue;
		if (!oldest || command->id < oldest->id)
			oldest = command;
	}
	return oldest;
}

static void command_release(struct qmp *qmp, struct qmp_command *command)
{
	qmp_output_settle(&qmp->output, command->id);
	if (!command->forgotten)
		qmp->commands.pending--;
	memset(command, 0, sizeof(*command));
}

/* Take COMMAND out of the table and run its callback.  QMP may be freed after
 * this, except between qmp_enter() and qmp_leave(). */
static void command_finish(struct qmp *qmp, struct qmp_command *command,
			   const struct qmp_reply *reply)
{
	qmp_reply_fn *fn = command->forgotten ? NULL : command->reply;
	void *arg = command->arg;

	command_release(qmp, command);
	if (fn)
		fn(arg, reply);
}

/* End COMMAND before its reply came. */
static void command_give_up(struct qmp *qmp, struct qmp_command *command, int status,
			    const char *text)
{
	struct qmp_reply reply = {.status = status, .error_text = text};
	qmp_reply_fn *fn = command->reply;
	void *arg = command->arg;

	if (qmp_output_remove(&qmp->output, command->id)) {
		command_release(qmp, command);
	} else {
		command->forgotten = true;
		command->deadline_ns = INT64_MAX;
		qmp->commands.pending--;
	}
	if (fn)
		fn(arg, &reply);
}

/* A free slot; if need be that of the command forgotten longest ago. */
static struct qmp_command *command_slot(struct qmp *qmp)
{
	struct qmp_command *command = command_find(qmp, 0);

	if (command || qmp->commands.pending == QMP_PENDING_MAX)
		return command;
	command = command_oldest(qmp, true, false);
	command_release(qmp, command);
	return command;
}

static bool name_valid(const char *name)
{
	size_t size = name ? strspn(name, "abcdefghijklmnopqrstuvwxyz"
					  "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.")
			   : 0;

	return size && size < QMP_NAME_MAX && !name[size];
}

/* The message as a packet.  Written by hand around the arguments: a tree for the
 * envelope would cost ten allocations a command. */
static struct qmp_packet *command_encode(const struct qmp_request *request, int64_t id, int *status)
{
	const char *verb = request->oob ? "exec-oob" : "execute";
	size_t arguments = 0, head;
	struct qmp_packet *packet;
	char text[QMP_NAME_MAX + 96];

	head = (size_t)snprintf(text, sizeof(text), "{\"%s\":\"%s\",\"id\":%lld%s", verb,
				request->name, (long long)id,
				request->arguments ? ",\"arguments\":" : "");
	if (request->arguments) {
		arguments = json_dumpb(request->arguments, NULL, 0, JSON_COMPACT);
		*status = -EINVAL;
		if (!arguments)
			return NULL;
	}
	*status = -ENOBUFS;
	if (arguments > QMP_OUTPUT_MAX)
		return NULL;
	*status = -ENOMEM;
	packet = qmp_packet_new(head + arguments + 2);
	if (!packet)
		return NULL;
	memcpy(packet->data, text, head);
	if (arguments && json_dumpb(request->arguments, packet->data + head, arguments,
				    JSON_COMPACT) != arguments) {
		free(packet);
		return NULL;
	}
	memcpy(packet->data + head + arguments, "}\n", 2);
	packet->id = id;
	packet->oob = request->oob;
	packet->fd = request->fd;
	return packet;
}

static int64_t command_refused(struct qmp *qmp, const struct qmp_request *request, int status)
{
	const char *address = qmp->address.text, *name = request->name;

	switch (status) {
	case -ENOBUFS:
		return qmp_note(qmp, status,
				"%s: %s not sent: %u commands wait for a reply (at most %u) and "
				"%zu bytes to be taken (at most %u)",
				address, name, qmp->commands.pending, QMP_PENDING_MAX,
				qmp->output.queued_bytes, QMP_OUTPUT_MAX);
	case -ENOMEM:
		return qmp_note(qmp, status, "%s: %s not sent: out of memory", address, name);
	default:
		return qmp_note(qmp, status, "%s: %s not sent: the arguments are no JSON object",
				address, name);
	}
}

static int64_t command_queue(struct qmp *qmp, const struct qmp_request *request)
{
	struct qmp_packet *packet;
	struct qmp_command *command;
	int status;

	if (request->arguments && !json_is_object(request->arguments))
		return command_refused(qmp, request, -EINVAL);
	if (qmp->commands.pending == QMP_PENDING_MAX)
		return command_refused(qmp, request, -ENOBUFS);
	packet = command_encode(request, qmp->commands.next_id, &status);
	if (!packet)
		return command_refused(qmp, request, status);
	if (qmp->output.queued_bytes + packet->size > QMP_OUTPUT_MAX) {
		free(packet);
		return command_refused(qmp, request, -ENOBUFS);
	}
	command = command_slot(qmp);
	assert(command); /* fewer are pending than there are slots */
	*command = (struct qmp_command){
		.id = qmp->commands.next_id++,
		.deadline_ns = qmp_deadline_after(request->timeout_ms),
		.timeout_ms = request->timeout_ms,
		.reply = request->reply,
		.arg = request->arg,
		.oob = request->oob,
	};
	snprintf(command->name, sizeof(command->name), "%s", request->name);
	qmp->commands.pending++;
	qmp_output_push(&qmp->output, packet);
	return command->id;
}

int64_t qmp_command_submit(struct qmp *qmp, const struct qmp_request *request)
{
	int64_t id = command_queue(qmp, request);

	json_decref(request->arguments);
	if (id > 0)
		qmp_flush(qmp);
	return id;
}

static int64_t request_execute(struct qmp *qmp, const struct qmp_request *request)
{
	int status = 0;

	if (!name_valid(request->name))
		status = qmp_note(qmp, -EINVAL, "%s: a command without a valid name was not sent",
				  qmp->address.text);
	else if (qmp->state != QMP_READY)
		status = qmp_note(qmp, -ENOTCONN, "%s: %s not sent: the connection is not ready",
				  qmp->address.text, request->name);
	else if (request->oob && !qmp->oob)
		status = qmp_note(qmp, -ENOTSUP,
				  "%s: %s not sent: this monitor takes no out-of-band commands",
				  qmp->address.text, request->name);
	else if (request->fd >= 0 && !qmp->is_unix)
		status = qmp_note(qmp, -ENOTSUP,
				  "%s: %s not sent: a descriptor passes over a unix socket only",
				  qmp->address.text, request->name);
	if (!status)
		return qmp_command_submit(qmp, request);
	json_decref(request->arguments);
	return status;
}

int64_t qmp_execute(struct qmp *qmp, const char *command, json_t *arguments, int64_t timeout_ms,
		    qmp_reply_fn *reply, void *arg)
{
	return request_execute(
		qmp, &(struct qmp_request){command, arguments, false, -1, timeout_ms, reply, arg});
}

int64_t qmp_execute_oob(struct qmp *qmp, const char *command, json_t *arguments, int64_t timeout_ms,
			qmp_reply_fn *reply, void *arg)
{
	return request_execute(
		qmp, &(struct qmp_request){command, arguments, true, -1, timeout_ms, reply, arg});
}

int64_t qmp_execute_fd(struct qmp *qmp, const char *command, json_t *arguments, int fd,
		       int64_t timeout_ms, qmp_reply_fn *reply, void *arg)
{
	if (fd < 0) {
		json_decref(arguments);
		return qmp_note(qmp, -EINVAL, "%s: a command with the descriptor %d was not sent",
				qmp->address.text, fd);
	}
	return request_execute(
		qmp, &(struct qmp_request){command, arguments, false, fd, timeout_ms, reply, arg});
}

void qmp_cancel(struct qmp *qmp, int64_t id)
{
	struct qmp_command *command = id > 0 ? command_find(qmp, id) : NULL;

	if (!command || command->forgotten)
		return;
	qmp_enter(qmp);
	command_give_up(qmp, command, -ECANCELED, "cancelled");
	qmp_leave(qmp);
}

/* Whose reply is a message without an id?  QEMU sends errors so that it found
 * before it saw the id, agents before QEMU 4.0 everything; both answer in order. */
static struct qmp_command *command_without_id(struct qmp *qmp, const json_t *message)
{
	struct qmp_command *oldest = NULL;

	if (qmp->peer != QMP_PEER_AGENT && !json_object_get(message, "error"))
		return NULL;
	for (unsigned i = 0; i < QMP_PENDING_MAX; i++) {
		struct qmp_command *command = &qmp->commands.slots[i];

		if (command->id && !command->oob && (!oldest || command->id < oldest->id))
			oldest = command;
	}
	return oldest && !qmp_output_holds(&qmp->output, oldest->id) ? oldest : NULL;
}

/* In-band commands are answered in order: what was forgotten before ID and is
 * older will not be answered any more. */
static void command_drop_forgotten(struct qmp *qmp, int64_t id)
{
	for (unsigned i = 0; i < QMP_PENDING_MAX; i++) {
		struct qmp_command *command = &qmp->commands.slots[i];

		if (command->forgotten && !command->oob && command->id < id)
			command_release(qmp, command);
	}
}

static void reply_read_error(struct qmp_reply *reply, const json_t *error)
{
	const char *class = json_string_value(json_object_get(error, "class"));
	const char *text = json_string_value(json_object_get(error, "desc"));

	reply->status = -EREMOTEIO;
	reply->error_class = class ? class : "GenericError";
	reply->error_text = text ? text : "an error without a description";
}

void qmp_command_answer(struct qmp *qmp, const json_t *message)
{
	const json_t *id = json_object_get(message, "id");
	const json_t *error = json_object_get(message, "error");
	struct qmp_reply reply = {.result = json_object_get(message, "return")};
	struct qmp_command *command = NULL;

	if (!id)
		command = command_without_id(qmp, message);
	else if (json_is_integer(id) && json_integer_value(id) > 0)
		command = command_find(qmp, json_integer_value(id));
	if (!command)
		return;
	if (!command->oob)
		command_drop_forgotten(qmp, command->id);
	if (error) {
		reply.result = NULL;
		reply_read_error(&reply, error);
		if (!command->forgotten)
			qmp_note(qmp, -EREMOTEIO, "%s: %s: %s", qmp->address.text, command->name,
				 reply.error_text);
	}
	command_finish(qmp, command, &reply);
}

static struct qmp_command *command_most_urgent(const struct qmp *qmp)
{
	const struct qmp_command *urgent = NULL;

	/* Asked before every wait, mostly with nothing under way. */
	for (unsigned i = 0; qmp->commands.pending && i < QMP_PENDING_MAX; i++) {
		const struct qmp_command *command = &qmp->commands.slots[i];

		if (command->id && !command->forgotten &&
		    (!urgent || command->deadline_ns < urgent->deadline_ns))
			urgent = command;
	}
	return (struct qmp_command *)urgent;
}

int64_t qmp_command_deadline(const struct qmp *qmp)
{
	const struct qmp_command *urgent = command_most_urgent(qmp);

	return urgent ? urgent->deadline_ns : INT64_MAX;
}

void qmp_command_expire(struct qmp *qmp, int64_t now_ns)
{
	struct qmp_command *command = command_most_urgent(qmp);
	char text[QMP_ERROR_MAX];

	for (; command && command->deadline_ns <= now_ns; command = command_most_urgent(qmp)) {
		snprintf(text, sizeof(text), "%s: no reply to %s within %lld ms", qmp->address.text,
			 command->name, (long long)command->timeout_ms);
		qmp_note(qmp, -ETIMEDOUT, "%s", text);
		command_give_up(qmp, command, -ETIMEDOUT, text);
	}
}

void qmp_command_end_all(struct qmp *qmp, int status, const char *text)
{
	struct qmp_reply reply = {.status = status, .error_text = text};
	struct qmp_command *command;

	while ((command = command_oldest(qmp, true, true)))
		command_finish(qmp, command, &reply);
}
