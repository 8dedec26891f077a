/* SPDX-License-Identifier: Apache-2.0 */
#include "quiesce.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "bounds.h"
#include "member.h"
#include "report.h"

/* The byte 0xff ends whatever half a command there is; the agent sends one, only,
 * before its answer to the last. */
static const char farewell[] =
	"\xff{\"execute\":\"guest-fsfreeze-thaw\"}\n"
	"\xff{\"execute\":\"guest-sync-delimited\",\"arguments\":{\"id\":71}}\n";

/* The call ends at its own limit, with a sentence of its own, before we stop waiting. */
#define CALL_MARGIN_MS 1000

static const char *path_of(const char *address)
{
	return strncmp(address, "unix:", 5) ? address : address + 5;
}

int quiesce_start(struct quiesce *quiesce, const char *address, struct errinfo *err)
{
	quiesce->address = address;
	quiesce->sync_ms = BOUND_AGENT_SYNC_MS;
	quiesce->limit_ms = BOUND_QUIESCE_MS;
	quiesce->thaw_ms = BOUND_THAW_MS;
	quiesce->words = (struct guard_words){
		.question = farewell,
		.answered = "\xff",
		.address = path_of(address),
		.limit_ms = BOUND_QUIESCE_MS + BOUND_THAW_MS,
	};
	return guard_start_with(&quiesce->guard, &quiesce->words, err);
}

/* --- calls --- */

static void call_end(struct quiesce_call *call, int status, const char *error)
{
	call->known = true;
	call->status = status;
	snprintf(call->error, sizeof(call->error), "%s", error ? error : strerror(-status));
}

static void call_replied(void *arg, const struct qmp_reply *reply)
{
	struct quiesce_call *call = arg;

	if (reply->status) {
		call_end(call, reply->status, reply->error_text);
	} else if (!json_is_integer(reply->result) || json_integer_value(reply->result) < 0) {
		call_end(call, -EPROTO, "its answer is no number of file systems");
	} else {
		call->known = true;
		call->count = json_integer_value(reply->result);
	}
}

static void call_send(struct quiesce *quiesce, struct quiesce_call *call, const char *command,
		      int64_t timeout_ms)
{
	int rc;

	*call = (struct quiesce_call){.sent = true};
	rc = monitor_send(&quiesce->agent, command, timeout_ms, call_replied, call);
	if (rc)
		call_end(call, rc, quiesce->agent.closed ? quiesce->agent.closed_why : NULL);
}

struct wait {
	const struct quiesce *quiesce;
	const struct quiesce_call *call;
};

static bool wait_over(void *arg)
{
	const struct wait *wait = arg;
	const struct quiesce *quiesce = wait->quiesce;

	return wait->call->known || (quiesce->hopeless && quiesce->hopeless(quiesce->hopeless_arg));
}

/* True when it is answered. */
static bool call_wait(const struct quiesce *quiesce, const struct quiesce_call *call,
		      int64_t timeout_ms)
{
	struct wait wait = {quiesce, call};

	loop_until(quiesce->loop, wait_over, &wait, ring_now_ns() + timeout_ms * NS_PER_MS);
	return call->known;
}

/* --- the connection --- */

static void limit_reached(struct ring_op *op, int result)
{
	struct quiesce *quiesce = member_of(op, struct quiesce, limit_op);

	if (result || quiesce->thaw.sent)
		return;
	quiesce->expired = true;
	quiesce_thaw(quiesce);
}

static bool limit_idle(void *arg)
{
	return !ring_op_pending(&((struct quiesce *)arg)->limit_op);
}

static void limit_cancel(struct quiesce *quiesce)
{
	if (ring_op_pending(&quiesce->limit_op))
		ring_cancel(quiesce->loop->ring, &quiesce->limit_op);
	loop_until(quiesce->loop, limit_idle, quiesce, INT64_MAX);
}

static int agent_open(struct quiesce *quiesce, struct errinfo *err)
{
	int rc = monitor_open_peer(&quiesce->agent, quiesce->loop, quiesce->address, QMP_PEER_AGENT,
				   quiesce->sync_ms, err);

	if (!rc)
		rc = guard_hold(&quiesce->guard, qmp_fd(quiesce->agent.qmp), err);
	return rc;
}

static void hang_up(struct quiesce *quiesce)
{
	limit_cancel(quiesce);
	guard_drop(&quiesce->guard);
	monitor_close(&quiesce->agent);
	quiesce->open = false;
}

/* The socket is over, be it because the agent spoke nonsense; frozen it may be all
 * the same. */
static void thaw_anew(struct quiesce *quiesce)
{
	struct errinfo err = {0};

	monitor_close(&quiesce->agent);
	if (agent_open(quiesce, &err)) {
		call_end(&quiesce->thaw, err.code, err.text);
		return;
	}
	call_send(quiesce, &quiesce->thaw, "guest-fsfreeze-thaw", BOUND_THAW_LATE_MS);
	call_wait(quiesce, &quiesce->thaw, quiesce->thaw_ms);
}

/* --- freeze and thaw --- */

static int begin_failed(struct quiesce *quiesce, struct errinfo *err)
{
	const struct quiesce_call *freeze = &quiesce->freeze;
	int rc = !freeze->known ? -EAGAIN : freeze->status;

	if (!freeze->known)
		err_set(err, rc, "the guest stands still, or the sidecar ends: the guest agent was "
			"not waited for");
	else if (rc == -EREMOTEIO)
		err_set(err, rc, "the guest agent does not freeze the file systems: %s",
			freeze->error);
	else
		err_set(err, rc, "the guest agent did not freeze the file systems: %s",
			freeze->error);
	quiesce_end(quiesce, NULL);
	return rc;
}

int quiesce_begin(struct quiesce *quiesce, struct loop *loop, struct errinfo *err)
{
	int rc;

	quiesce_tidy(quiesce);
	if (quiesce->open)
		return err_set(err, -EBUSY, "the guest agent at %s has not answered an earlier "
			       "thaw yet", quiesce->address);
	quiesce->loop = loop;
	quiesce->expired = false;
	quiesce->freeze = quiesce->thaw = (struct quiesce_call){0};
	quiesce->limit_op.done = limit_reached;
	rc = agent_open(quiesce, err);
	if (rc) {
		hang_up(quiesce);
		return rc;
	}
	quiesce->open = true;
	ring_timer(loop->ring, &quiesce->limit_op, ring_now_ns() + quiesce->limit_ms * NS_PER_MS);
	call_send(quiesce, &quiesce->freeze, "guest-fsfreeze-freeze", quiesce->limit_ms);
	call_wait(quiesce, &quiesce->freeze, quiesce->limit_ms + CALL_MARGIN_MS);
	if (quiesce->freeze.known && !quiesce->freeze.status)
		return 0;
	return begin_failed(quiesce, err);
}

unsigned quiesce_count(const struct quiesce *quiesce)
{
	return (unsigned)quiesce->freeze.count;
}

void quiesce_thaw(struct quiesce *quiesce)
{
	if (quiesce->open && !quiesce->thaw.sent)
		call_send(quiesce, &quiesce->thaw, "guest-fsfreeze-thaw", BOUND_THAW_LATE_MS);
}

static int judge(const struct quiesce *quiesce, struct errinfo *err)
{
	const struct quiesce_call *thaw = &quiesce->thaw;

	if (thaw->status)
		return err_set(err, thaw->status, "the guest agent did not thaw the file systems: "
			       "%s", thaw->error);
	if (quiesce->expired)
		return err_set(err, -ETIMEDOUT, "the guest's file systems were frozen for %lld ms "
			       "and the capture was not over: they were thawed",
			       (long long)quiesce->limit_ms);
	if (quiesce->freeze.count && !thaw->count)
		return err_set(err, -EAGAIN, "the guest's file systems were thawed by somebody else "
			       "before the capture was over");
	return 0;
}

int quiesce_end(struct quiesce *quiesce, struct errinfo *err)
{
	int rc;

	if (!quiesce->open)
		return 0;
	quiesce_thaw(quiesce);
	if (call_wait(quiesce, &quiesce->thaw, quiesce->thaw_ms) && quiesce->agent.closed &&
	    quiesce->thaw.status)
		thaw_anew(quiesce);
	if (!quiesce->thaw.known) {
		log_warn("the guest agent at %s has not answered guest-fsfreeze-thaw yet; the "
			 "guest's file systems may be frozen until it does", quiesce->address);
		return err_set(err, -ETIMEDOUT, "the guest agent has not answered the thaw");
	}
	rc = judge(quiesce, err);
	if (quiesce->thaw.status)
		log_error("the guest agent at %s did not thaw the file systems: %s",
			  quiesce->address, quiesce->thaw.error);
	hang_up(quiesce);
	return rc;
}

void quiesce_tidy(struct quiesce *quiesce)
{
	if (!quiesce->open || !quiesce->thaw.known)
		return;
	if (quiesce->thaw.status)
		log_error("the guest agent at %s did not thaw the file systems: %s",
			  quiesce->address, quiesce->thaw.error);
	else
		log_info("the guest agent at %s has answered the thaw", quiesce->address);
	hang_up(quiesce);
}

void quiesce_stop(struct quiesce *quiesce)
{
	if (!quiesce->address || quiesce->guard.pid <= 0)
		return;
	quiesce_tidy(quiesce);
	if (!quiesce->open) {
		/* Nothing is frozen; one that speaks to a silent agent is not waited for. */
		kill(quiesce->guard.pid, SIGKILL);
		guard_stop(&quiesce->guard);
		return;
	}
	limit_cancel(quiesce);
	monitor_abandon(&quiesce->agent);
	guard_leave(&quiesce->guard);
}
