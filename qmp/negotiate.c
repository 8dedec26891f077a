/* SPDX-License-Identifier: Apache-2.0
 *
 * From a connected socket to READY.
 *
 *   QEMU:   GREETING --{"QMP":...}--> NEGOTIATING --reply to qmp_capabilities--> READY
 *   agent:  NEGOTIATING --sentinel, then {"return": our number}--> READY
 *
 * An agent has no greeting and may still hold half a command, or the replies, of
 * an earlier client.  The sentinel that we send ends the former, the one that it
 * sends before its reply the latter.
 */
#include "client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void negotiate_done(struct qmp *qmp)
{
	qmp->state = QMP_READY;
	qmp->deadline_ns = INT64_MAX;
	if (qmp->callbacks.ready)
		qmp->callbacks.ready(qmp->arg, qmp);
}

static int sync_send(struct qmp *qmp)
{
	char text[128];
	int size;
	struct qmp_packet *packet;

	qmp->handshake_id = qmp->commands.next_id++;
	size = snprintf(text, sizeof(text),
			"\xff{\"execute\":\"guest-sync-delimited\",\"arguments\":{\"id\":%lld}}\n",
			(long long)qmp->handshake_id);
	packet = qmp_packet_new((size_t)size);
	if (!packet)
		return qmp_note(qmp, -ENOMEM, "%s: out of memory", qmp->address.text);
	memcpy(packet->data, text, (size_t)size);
	qmp_output_push(&qmp->output, packet);
	qmp_input_skip(&qmp->input);
	qmp_flush(qmp);
	return 0;
}

int qmp_negotiate_start(struct qmp *qmp)
{
	if (qmp->peer == QMP_PEER_AGENT) {
		qmp->state = QMP_NEGOTIATING;
		return sync_send(qmp);
	}
	qmp->state = QMP_GREETING;
	return 0;
}

/* A reply with another number is for an earlier client: wait for the next. */
void qmp_negotiate_sync(struct qmp *qmp, const json_t *message)
{
	const json_t *number = json_object_get(message, "return");

	if (json_is_integer(number) && json_integer_value(number) == qmp->handshake_id)
		negotiate_done(qmp);
	else
		qmp_input_skip(&qmp->input);
}

static bool version_read(struct qmp_version *version, const json_t *greeting)
{
	const json_t *block = json_object_get(greeting, "version");
	const json_t *qemu = json_object_get(block, "qemu");
	const json_t *major = json_object_get(qemu, "major");
	const json_t *minor = json_object_get(qemu, "minor");
	const json_t *micro = json_object_get(qemu, "micro");
	const char *package = json_string_value(json_object_get(block, "package"));

	if (!json_is_integer(major) || !json_is_integer(minor) || !json_is_integer(micro))
		return false;
	version->major = (int)json_integer_value(major);
	version->minor = (int)json_integer_value(minor);
	version->micro = (int)json_integer_value(micro);
	snprintf(version->package, sizeof(version->package), "%s", package ? package : "");
	return true;
}

static bool oob_offered(const json_t *greeting)
{
	const json_t *capabilities = json_object_get(greeting, "capabilities"), *capability;
	size_t i;

	json_array_foreach(capabilities, i, capability) {
		const char *name = json_string_value(capability);

		if (name && !strcmp(name, "oob"))
			return true;
	}
	return false;
}

static void capabilities_replied(void *arg, const struct qmp_reply *reply)
{
	struct qmp *qmp = arg;

	if (!reply->status)
		negotiate_done(qmp);
	else if (reply->status == -EREMOTEIO)
		qmp_fail(qmp, -EPROTO, "%s refused to negotiate capabilities: %s",
			 qmp->address.text, reply->error_text);
}

static void capabilities_send(struct qmp *qmp)
{
	struct qmp_request request = {
		.name = "qmp_capabilities",
		.fd = -1,
		.timeout_ms = QMP_TIMEOUT_NONE,
		.reply = capabilities_replied,
		.arg = qmp,
	};

	qmp->state = QMP_NEGOTIATING;
	if (qmp->oob) {
		request.arguments = json_pack("{s:[s]}", "enable", "oob");
		if (!request.arguments) {
			qmp_fail(qmp, -ENOMEM, "%s: out of memory", qmp->address.text);
			return;
		}
	}
	if (qmp_command_submit(qmp, &request) < 0)
		qmp_fail(qmp, -ENOMEM, "%s: out of memory", qmp->address.text);
}

void qmp_negotiate_greeting(struct qmp *qmp, const json_t *message)
{
	const json_t *greeting = json_object_get(message, "QMP");
	char *text;

	if (greeting && version_read(&qmp->version, greeting)) {
		qmp->oob = oob_offered(greeting);
		capabilities_send(qmp);
		return;
	}
	text = json_dumps(message, JSON_COMPACT | JSON_ENSURE_ASCII);
	qmp_fail(qmp, -EPROTO,
		 "%s does not speak QMP: it sent %.60s%s where a greeting was expected",
		 qmp->address.text, text ? text : "something",
		 text && strlen(text) > 60 ? "..." : "");
	free(text);
}

void qmp_negotiate_expire(struct qmp *qmp)
{
	const char *address = qmp->address.text;
	long long ms = qmp->timeout_ms;

	if (qmp->state == QMP_CONNECTING)
		qmp_fail(qmp, -ETIMEDOUT, "%s: no connection within %lld ms", address, ms);
	else if (qmp->peer == QMP_PEER_AGENT)
		qmp_fail(qmp, -ETIMEDOUT,
			 "%s: no answer from the guest agent within %lld ms; is it running in the "
			 "guest?",
			 address, ms);
	else if (qmp->state == QMP_GREETING)
		qmp_fail(qmp, -ETIMEDOUT,
			 "%s: no greeting within %lld ms; a monitor serves one client at a time, "
			 "so end the other or give this one a monitor of its own",
			 address, ms);
	else
		qmp_fail(qmp, -ETIMEDOUT, "%s: no reply to qmp_capabilities within %lld ms",
			 address, ms);
}
