/* SPDX-License-Identifier: Apache-2.0 */
#include "monitor.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "member.h"

static void monitor_arm(struct monitor *monitor);

static void monitor_pump(struct monitor *monitor, short revents)
{
	if (!monitor->qmp || monitor->closed)
		return;
	qmp_process(monitor->qmp, revents);
	monitor_arm(monitor);
}

static void monitor_readable(struct ring_op *op, int result)
{
	struct monitor *monitor = member_of(op, struct monitor, poll_op);

	if (result == -ECANCELED)
		result = 0; /* asked for other events: armed anew below */
	monitor_pump(monitor, result < 0 ? POLLERR : (short)result);
}

static void monitor_timer(struct ring_op *op, int result)
{
	struct monitor *monitor = member_of(op, struct monitor, timer_op);

	/* After SIGSTOP the deadline has passed while the reply is waiting in the
	 * socket: read first, the library expires what is still missing. */
	monitor_pump(monitor, POLLIN);
}

/* One poll and one timer in the ring, renewed when what libqmp wants changed. */
static void monitor_arm(struct monitor *monitor)
{
	struct ring *ring = monitor->loop->ring;
	int64_t deadline_ns;

	if (!monitor->qmp || monitor->closed)
		return;
	if (!ring_op_pending(&monitor->poll_op))
		ring_poll(ring, &monitor->poll_op, qmp_fd(monitor->qmp), qmp_events(monitor->qmp));
	else if (qmp_events(monitor->qmp) & POLLOUT)
		ring_cancel(ring, &monitor->poll_op);
	deadline_ns = qmp_deadline(monitor->qmp);
	if (!ring_op_pending(&monitor->timer_op)) {
		if (deadline_ns != INT64_MAX) {
			monitor->timer_ns = deadline_ns;
			ring_timer(ring, &monitor->timer_op, deadline_ns);
		}
	} else if (deadline_ns < monitor->timer_ns) {
		monitor->timer_ns = deadline_ns;
		ring_cancel(ring, &monitor->timer_op);
	}
}

static void monitor_on_ready(void *arg, struct qmp *qmp)
{
	((struct monitor *)arg)->ready = true;
}

static void monitor_on_closed(void *arg, int status)
{
	struct monitor *monitor = arg;

	monitor->closed = true;
	snprintf(monitor->closed_why, sizeof(monitor->closed_why), "%s",
		 monitor->qmp ? qmp_error(monitor->qmp) : strerror(-status));
}

static void monitor_on_event(void *arg, const char *name, json_t *data, int64_t time_us)
{
	struct monitor *monitor = arg;

	if (monitor->on_event)
		monitor->on_event(monitor->on_event_arg, name, data, time_us);
	if (!strcmp(name, "RESUME"))
		monitor->stop_sent = false;
}

static const struct qmp_callbacks monitor_callbacks = {
	.ready = monitor_on_ready,
	.event = monitor_on_event,
	.closed = monitor_on_closed,
};

static bool monitor_settled(void *arg)
{
	const struct monitor *monitor = arg;

	return monitor->ready || monitor->closed;
}

int monitor_open(struct monitor *monitor, struct loop *loop, const char *address,
		 struct errinfo *err)
{
	return monitor_open_peer(monitor, loop, address, QMP_PEER_QEMU, MONITOR_GREETING_MS, err);
}

int monitor_begin_peer(struct monitor *monitor, struct loop *loop, const char *address,
		       enum qmp_peer peer, int64_t timeout_ms, struct errinfo *err)
{
	char text[256];

	memset(monitor, 0, sizeof(*monitor));
	monitor->loop = loop;
	monitor->timeout_ms = MONITOR_TIMEOUT_MS;
	monitor->poll_op.done = monitor_readable;
	monitor->timer_op.done = monitor_timer;
	snprintf(monitor->address, sizeof(monitor->address), "%s", address);
	monitor->qmp = qmp_connect(address, peer, &monitor_callbacks, monitor, timeout_ms, text,
				   sizeof(text));
	if (!monitor->qmp)
		return err_set(err, errno ? -errno : -EINVAL, "%s", text);
	monitor_arm(monitor);
	return 0;
}

int monitor_open_peer(struct monitor *monitor, struct loop *loop, const char *address,
		      enum qmp_peer peer, int64_t timeout_ms, struct errinfo *err)
{
	int rc = monitor_begin_peer(monitor, loop, address, peer, timeout_ms, err);

	if (rc)
		return rc;
	loop_until(loop, monitor_settled, monitor, INT64_MAX);
	if (monitor->closed)
		return err_set(err, -ENOTCONN, "%s", monitor->closed_why);
	return 0;
}

bool monitor_is_idle(const struct monitor *monitor)
{
	return !ring_op_pending(&monitor->poll_op) && !ring_op_pending(&monitor->timer_op);
}

static bool monitor_idle(void *arg)
{
	return monitor_is_idle(arg);
}

static void monitor_cancel(struct monitor *monitor)
{
	monitor->closed = true;
	if (ring_op_pending(&monitor->poll_op))
		ring_cancel(monitor->loop->ring, &monitor->poll_op);
	if (ring_op_pending(&monitor->timer_op))
		ring_cancel(monitor->loop->ring, &monitor->timer_op);
}

void monitor_drop(struct monitor *monitor)
{
	if (!monitor->loop)
		return;
	monitor_cancel(monitor);
	qmp_free(monitor->qmp);
	monitor->qmp = NULL;
}

void monitor_abandon(struct monitor *monitor)
{
	if (!monitor->loop)
		return;
	monitor_cancel(monitor);
	loop_until(monitor->loop, monitor_idle, monitor, INT64_MAX);
}

void monitor_close(struct monitor *monitor)
{
	monitor_abandon(monitor);
	qmp_free(monitor->qmp);
	monitor->qmp = NULL;
}

int monitor_ask(struct monitor *monitor, const char *command, json_t *arguments,
		int64_t timeout_ms, qmp_reply_fn *reply, void *arg)
{
	int64_t id;

	if (!monitor->qmp || monitor->closed) {
		json_decref(arguments);
		return -ENOTCONN;
	}
	id = qmp_execute(monitor->qmp, command, arguments, timeout_ms, reply, arg);
	monitor_arm(monitor);
	return id < 0 ? (int)id : 0;
}

int monitor_ask_oob(struct monitor *monitor, const char *command, json_t *arguments,
		    int64_t timeout_ms, qmp_reply_fn *reply, void *arg)
{
	int64_t id;

	if (!monitor->qmp || monitor->closed) {
		json_decref(arguments);
		return -ENOTCONN;
	}
	id = qmp_execute_oob(monitor->qmp, command, arguments, timeout_ms, reply, arg);
	monitor_arm(monitor);
	return id < 0 ? (int)id : 0;
}

int monitor_send(struct monitor *monitor, const char *command, int64_t timeout_ms,
		 qmp_reply_fn *reply, void *arg)
{
	return monitor_ask(monitor, command, NULL, timeout_ms, reply, arg);
}

void batch_init(struct batch *batch, struct monitor *monitor)
{
	batch->monitor = monitor;
	batch->count = 0;
	batch->replied = 0;
}

unsigned batch_add(struct batch *batch, const char *command, json_t *arguments)
{
	struct batch_entry *entry = &batch->entries[batch->count];

	assert(batch->count < MONITOR_BATCH_MAX);
	memset(entry, 0, sizeof(*entry));
	entry->batch = batch;
	entry->command = command;
	entry->arguments = arguments;
	return batch->count++;
}

static void batch_reply(void *arg, const struct qmp_reply *reply)
{
	struct batch_entry *entry = arg;

	entry->batch->replied++;
	entry->status = reply->status;
	entry->batch->monitor->unanswered |= reply->status == -ETIMEDOUT;
	if (reply->status)
		snprintf(entry->error, sizeof(entry->error), "%s",
			 reply->error_text ? reply->error_text : strerror(-reply->status));
	else
		entry->result = json_incref(reply->result);
}

static int64_t entry_send(struct batch_entry *entry, int fd)
{
	struct monitor *monitor = entry->batch->monitor;
	json_t *arguments = entry->arguments;

	entry->arguments = NULL;
	monitor->stop_sent |= !strcmp(entry->command, "stop");
	return fd >= 0 ? qmp_execute_fd(monitor->qmp, entry->command, arguments, fd,
					monitor->timeout_ms, batch_reply, entry)
		       : qmp_execute(monitor->qmp, entry->command, arguments, monitor->timeout_ms,
				     batch_reply, entry);
}

/* Nothing of it is sent: what is queued already is taken back, so that a `stop`
 * never goes without its `cont`.  Every entry has the reason; no reply will come. */
static void batch_refuse(struct batch *batch, const int64_t *ids, unsigned queued, int status,
			 const char *why)
{
	for (unsigned i = 0; i < queued; i++)
		qmp_cancel(batch->monitor->qmp, ids[i]);
	for (unsigned i = 0; i < batch->count; i++) {
		batch->entries[i].status = status;
		snprintf(batch->entries[i].error, sizeof(batch->entries[i].error), "%.191s", why);
	}
	batch->replied = batch->count;
}

static int batch_send_fd(struct batch *batch, int fd, struct errinfo *err)
{
	struct monitor *monitor = batch->monitor;
	int64_t ids[MONITOR_BATCH_MAX];
	int rc = 0;

	if (!monitor->qmp || monitor->closed) {
		batch_refuse(batch, NULL, 0, -ENOTCONN, monitor->closed_why);
		return err_set(err, -ENOTCONN, "%s", monitor->closed_why);
	}
	qmp_cork(monitor->qmp);
	for (unsigned i = 0; i < batch->count && !rc; i++) {
		ids[i] = entry_send(&batch->entries[i], fd);
		if (ids[i] < 0) {
			char why[sizeof(batch->entries[i].error)];

			rc = (int)ids[i];
			snprintf(why, sizeof(why), "%s", qmp_error(monitor->qmp));
			batch_refuse(batch, ids, i, rc, why);
			err_set(err, rc, "%s", why);
		}
	}
	qmp_uncork(monitor->qmp);
	monitor_arm(monitor);
	return rc;
}

int batch_send(struct batch *batch, struct errinfo *err)
{
	return batch_send_fd(batch, -1, err);
}

static bool batch_complete(void *arg)
{
	const struct batch *batch = arg;

	return batch->replied == batch->count;
}

int batch_wait(struct batch *batch, struct errinfo *err)
{
	loop_until_sure(batch->monitor->loop, batch_complete, batch);
	for (unsigned i = 0; i < batch->count; i++) {
		const struct batch_entry *entry = &batch->entries[i];

		if (entry->status == -ECONNRESET || entry->status == -ECANCELED)
			return err_set(err, -ENOTCONN, "QEMU closed the monitor during %s: %s",
				       entry->command, entry->error);
		if (entry->status)
			return err_set(err, entry->status, "QEMU refused %s: %s", entry->command,
				       entry->error);
	}
	return 0;
}

int batch_run(struct batch *batch, struct errinfo *err)
{
	int rc = batch_send(batch, err);

	return rc ? rc : batch_wait(batch, err);
}

void batch_release(struct batch *batch)
{
	for (unsigned i = 0; i < batch->count; i++) {
		json_decref(batch->entries[i].arguments);
		json_decref(batch->entries[i].result);
	}
	batch->count = 0;
	batch->replied = 0;
}

int monitor_call_fd(struct monitor *monitor, const char *command, json_t *arguments, int fd,
		    json_t **result, struct errinfo *err)
{
	struct batch batch;
	int rc;

	batch_init(&batch, monitor);
	batch_add(&batch, command, arguments);
	rc = batch_send_fd(&batch, fd, err);
	if (!rc)
		rc = batch_wait(&batch, err);
	if (!rc && result)
		*result = json_incref(batch.entries[0].result);
	batch_release(&batch);
	return rc;
}

int monitor_call(struct monitor *monitor, const char *command, json_t *arguments, json_t **result,
		 struct errinfo *err)
{
	return monitor_call_fd(monitor, command, arguments, -1, result, err);
}
