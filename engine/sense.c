/* SPDX-License-Identifier: Apache-2.0
 *
 * sense: see sense.h.
 */
#include "sense.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "jsontext.h"
#include "member.h"
#include "mind.h"
#include "nics.h"
#include "restart.h"
#include "sidecar.h"
#include "unhang.h"

#define LATE_TICKS 3
#define EVENT_AGE_US 60000000
#define ANSWER_TIMEOUT_MS 120000 /* long: that it is late is what we want to know */

/* --- what is there now --- */

static bool same(const struct detect_fault *a, const struct detect_fault *b)
{
	return a->kind == b->kind && a->index == b->index && a->cause == b->cause &&
	       a->warning == b->warning;
}

static struct sense_fault *find(struct sense *sense, const struct detect_fault *fault)
{
	for (unsigned i = 0; i < sense->fault_count; i++) {
		if (same(&sense->faults[i].fault, fault))
			return &sense->faults[i];
	}
	return NULL;
}

const char *sense_resource(const struct sidecar *sidecar, const struct detect_fault *fault)
{
	const struct detect_facts *facts = &sidecar->sense.facts;

	switch (fault->kind) {
	case FAULT_DISK_WRITE: case FAULT_DISK_READ: case FAULT_DISK_FULL: case FAULT_DISK_HANG:
	case FAULT_DISK_CORRUPT: case FAULT_DISK_DEGRADING:
		return fault->index >= 0 && (unsigned)fault->index < sidecar->guest.disk_count
			       ? sidecar->guest.disks[fault->index].name : "disk";
	case FAULT_NIC:
		return fault->index >= 0 && (unsigned)fault->index < facts->nic_count
			       ? facts->nics[fault->index].name : "nic";
	case FAULT_QEMU_EXIT: case FAULT_QEMU_HANG:
		return "qemu";
	case FAULT_REPLICA:
		return "store";
	case FAULT_MEMORY:
		return "memory";
	case FAULT_HOST:
		return "host";
	default:
		return "guest";
	}
}

static void tell(struct sidecar *sidecar, const struct detect_fault *fault)
{
	const char *resource = sense_resource(sidecar, fault);
	json_t *fields = json_pack("{s:s,s:s,s:s,s:s,s:b}", "kind", fault_name(fault->kind),
				   "resource", resource, "detail", fault->evidence, "cause",
				   detect_cause_name(fault->cause), "warning", fault->warning);

	log_warn("%s of %s: %s", resource, sidecar->guest.name, fault->evidence);
	json_decref(sidecar->last_fault);
	sidecar->last_fault = json_incref(fields);
	report_event(&sidecar->report, "fault", fields);
}

/* Errors of disks that stand between the guest and its writes are watch.c's. */
static bool is_ours(const struct detect_fault *fault)
{
	if (fault->warning)
		return true;
	switch (fault->kind) {
	case FAULT_DISK_WRITE: case FAULT_DISK_READ: case FAULT_DISK_FULL: case FAULT_DISK_CORRUPT:
		return false;
	default:
		return true;
	}
}

/* An event may have waited in the socket: what was captured meanwhile is not from before it.
 * The clock of a QEMU elsewhere is not believed. */
static int64_t time_of_fault(const struct sense *sense)
{
	int64_t now_us = loop_realtime_us();

	return sense->event_us > now_us - EVENT_AGE_US && sense->event_us < now_us
		       ? sense->event_us : now_us;
}

/* We ourselves stood still (SIGSTOP, a debugger): answers may lie in the sockets, and what
 * comes out of them first is judged before the next tick. */
static void excuse_silence(struct sidecar *sidecar)
{
	struct sense *sense = &sidecar->sense;
	int64_t now_ns = ring_now_ns();

	if (!sense->tick_ns || now_ns - sense->tick_ns <= LATE_TICKS * SENSE_TICK_MS * NS_PER_MS)
		return;
	if (sense->facts.asked_ns)
		sense->facts.asked_ns = now_ns;
	sense_agent_excuse(sidecar);
}

/* What was told and is not seen at this moment, for a reason that does not end it. */
static bool stays(const struct sense *sense, const struct sense_fault *known,
		  const struct detect_verdict *verdict)
{
	const struct detect_facts *facts = &sense->facts;

	/* A pause of a moment, as ours for a generation. */
	if (known->fault.kind == FAULT_GUEST_SILENT)
		return detect_on_its_way(facts->run) && facts->agent_asked_ns;
	/* A probe that is late as well does not make QEMU answer. */
	if (known->fault.kind != FAULT_QEMU_HANG || !facts->asked_ns || facts->process_ended ||
	    facts->asked_ns > known->since_ns)
		return false;
	for (unsigned i = 0; i < verdict->count; i++) {
		if (verdict->faults[i].kind == FAULT_QEMU_HANG ||
		    verdict->faults[i].kind == FAULT_DISK_HANG)
			return false;
	}
	return true;
}

void sense_judge(struct sidecar *sidecar)
{
	static struct detect_verdict verdict; /* large, and one a process */
	struct sense_fault now[DETECT_FAULTS_MAX] = {0};
	struct sense *sense = &sidecar->sense;
	unsigned count = 0;

	excuse_silence(sidecar);
	detect_run(&sense->facts, &detect_limits_default, ring_now_ns(), &verdict);
	for (unsigned i = 0; i < verdict.count; i++) {
		const struct sense_fault *known = find(sense, &verdict.faults[i]);

		if (!is_ours(&verdict.faults[i]))
			continue;
		if (known) {
			now[count] = *known;
			now[count++].fault = verdict.faults[i];
			continue;
		}
		now[count++] = (struct sense_fault){.fault = verdict.faults[i],
						    .time_us = time_of_fault(sense),
						    .since_ns = ring_now_ns()};
		sidecar->alert = true;
		tell(sidecar, &verdict.faults[i]);
		if (!verdict.faults[i].warning && (verdict.faults[i].kind == FAULT_GUEST_PANIC ||
						   verdict.faults[i].kind == FAULT_GUEST_WATCHDOG))
			mind_struck(sidecar->config->mind, now[count - 1].time_us,
				    now[count - 1].since_ns);
		if (verdict.faults[i].kind == FAULT_DISK_HANG)
			now[count - 1].attended = unhang_attend(sidecar, &verdict.faults[i]);
		now[count - 1].attended |= sense_store_hung(sidecar, &verdict.faults[i]);
	}
	for (unsigned i = 0; i < sense->fault_count && count < DETECT_FAULTS_MAX; i++) {
		if (stays(sense, &sense->faults[i], &verdict))
			now[count++] = sense->faults[i];
	}
	memcpy(sense->faults, now, count * sizeof(now[0]));
	sense->fault_count = count;
}

enum detect_cause sense_cause(struct sidecar *sidecar, int disk)
{
	static struct detect_verdict verdict; /* large, and one a process */

	detect_run(&sidecar->sense.facts, &detect_limits_default, ring_now_ns(), &verdict);
	for (unsigned i = 0; i < verdict.count; i++) {
		const struct detect_fault *fault = &verdict.faults[i];

		if (fault->index == disk && !fault->warning &&
		    (fault->kind == FAULT_DISK_WRITE || fault->kind == FAULT_DISK_READ))
			return fault->cause;
	}
	return CAUSE_UNKNOWN;
}

const struct sense_fault *sense_next(const struct sidecar *sidecar)
{
	const struct sense_fault *first = NULL;

	for (unsigned i = 0; i < sidecar->sense.fault_count; i++) {
		const struct sense_fault *known = &sidecar->sense.faults[i];

		if (known->attended)
			continue;
		if (!known->fault.warning)
			return known;
		first = first ? first : known;
	}
	return first; /* of what only warns */
}

void sense_attended(struct sidecar *sidecar, const struct detect_fault *fault)
{
	struct sense_fault *known = find(&sidecar->sense, fault);

	if (known)
		known->attended = true;
}

void sense_again(struct sidecar *sidecar, const struct detect_fault *fault)
{
	struct sense_fault *known = find(&sidecar->sense, fault);

	if (known && known->attended) {
		known->attended = false;
		sidecar->alert = true;
	}
}

void sense_renew(struct sidecar *sidecar, enum fault_kind kind, int index)
{
	struct sense *sense = &sidecar->sense;
	unsigned kept = 0;

	for (unsigned i = 0; i < sense->fault_count; i++) {
		const struct sense_fault *known = &sense->faults[i];

		if (!known->attended || known->fault.kind != kind || known->fault.index != index)
			sense->faults[kept++] = *known;
	}
	sense->fault_count = kept;
}

bool sense_has(const struct sidecar *sidecar, const struct detect_fault *fault)
{
	return find((struct sense *)&sidecar->sense, fault) != NULL;
}

bool sense_hung(const struct sidecar *sidecar)
{
	const struct sense *sense = &sidecar->sense;

	for (unsigned i = 0; i < sense->fault_count; i++) {
		if (sense->faults[i].fault.kind == FAULT_QEMU_HANG)
			return true;
	}
	return false;
}

void sense_forget(struct sidecar *sidecar, enum fault_kind kind)
{
	struct detect_facts *facts = &sidecar->sense.facts;

	switch (kind) {
	case FAULT_GUEST_PANIC:
		facts->panicked_ns = facts->crashloaded_ns = 0;
		break;
	case FAULT_GUEST_WATCHDOG:
		facts->watchdog_ns = 0;
		break;
	case FAULT_GUEST_SILENT:
		facts->agent_ns = facts->agent_asked_ns = 0;
		break;
	case FAULT_MEMORY:
		facts->memory_failure_ns = facts->memory_spared_ns = 0;
		sense_host_forget_errors(sidecar);
		break;
	default:
		return;
	}
	sense_judge(sidecar);
}

/* --- questions --- */

/* QEMU answers in order, so an event that came before is older than the answer. */
static void status_came(void *arg, const struct qmp_reply *reply)
{
	struct sidecar *sidecar = arg;
	struct detect_facts *facts = &sidecar->sense.facts;

	sidecar->sense.asking = false;
	if (reply->status && reply->status != -EREMOTEIO)
		return; /* the next question is as old as this one */
	facts->asked_ns = 0;
	if (!reply->status)
		facts->run = detect_run_of(json_text(reply->result, "status"));
	sense_judge(sidecar);
}

void sense_ask(struct sidecar *sidecar)
{
	struct sense *sense = &sidecar->sense;

	if (sense->asking || sidecar->monitor.closed)
		return;
	sense->asking = !monitor_send(&sidecar->monitor, "query-status", ANSWER_TIMEOUT_MS,
				      status_came, sidecar);
	if (sense->asking && !sense->facts.asked_ns)
		sense->facts.asked_ns = ring_now_ns();
}

/* The hours under watch, by a clock that stands still while the host is suspended. */
static void learn(struct sidecar *sidecar)
{
	struct sense *sense = &sidecar->sense;
	struct mind *mind = sidecar->config->mind;
	int64_t now_ns = ring_now_ns();
	double seconds = sense->tick_ns ? (double)(now_ns - sense->tick_ns) / 1e9 : 0;

	sense->tick_ns = now_ns;
	aftercare_tick(sidecar);
	/* A write of some KiB: not while the guest waits for us, or we would for the store. */
	if (seconds > 0 && mind_watched(mind, seconds, (double)sense->disks.round_trip_ns / 1e6) &&
	    sidecar->state != SIDECAR_RECOVERING && !sense->facts.store_stalled_ns)
		mind_save(mind);
}

static void tick(struct ring_op *op, int result)
{
	struct sense *sense = member_of(op, struct sense, tick_op);
	struct sidecar *sidecar = sense->sidecar;

	if (result == -ECANCELED || !sense->started)
		return;
	excuse_silence(sidecar);
	sense->facts.disk_count = sidecar->guest.disk_count;
	restart_trim_log(sidecar);
	nics_tick(sidecar);
	/* Whoever gave the drain up does not end it. */
	sense->facts.draining = sidecar->checkpoint.way ||
				(sense->facts.draining && sense->facts.asked_ns);
	unhang_tick(sidecar);
	sense_ask(sidecar);
	sense_probe_tick(sidecar);
	sense_host_tick(sidecar);
	sense_store_tick(sidecar);
	sense_agent_tick(sidecar);
	sense_judge(sidecar);
	if (sidecar->config->mind)
		learn(sidecar);
	ring_timer(sidecar->loop.ring, &sense->tick_op,
		   ring_now_ns() + SENSE_TICK_MS * NS_PER_MS);
}

/* --- the process --- */

static void process_ended(struct ring_op *op, int result)
{
	struct sense *sense = member_of(op, struct sense, pid_op);

	if (result < 0)
		return;
	/* What QEMU said last is still in its socket, and is read first: it makes the
	 * difference between an end on purpose and a crash. */
	sense->facts.process_ended = true;
}

static void watch_process(struct sidecar *sidecar)
{
	struct sense *sense = &sidecar->sense;
	struct ucred peer;
	socklen_t length = sizeof(peer);

	if (getsockopt(qmp_fd(sidecar->monitor.qmp), SOL_SOCKET, SO_PEERCRED, &peer, &length) ||
	    peer.pid <= 0)
		return;
	sense->pid = peer.pid;
	sense->pidfd = pidfd_open(peer.pid, 0);
	if (sense->pidfd < 0)
		return;
	sense->pid_op.done = process_ended;
	ring_poll(sidecar->loop.ring, &sense->pid_op, sense->pidfd, POLLIN);
}

void sense_start(struct sidecar *sidecar)
{
	struct sense *sense = &sidecar->sense;

	*sense = (struct sense){.sidecar = sidecar, .pidfd = -1, .started = true};
	sense->facts.disk_count = sidecar->guest.disk_count;
	sense->facts.run = detect_run_of(sidecar->guest.status);
	watch_process(sidecar);
	sense_disks_start(sidecar);
	sense_probe_start(sidecar);
	sense_host_start(sidecar, sense->pid);
	unhang_look(sidecar);
	sense->tick_op.done = tick;
	ring_timer(sidecar->loop.ring, &sense->tick_op, 0);
}

void sense_stop(struct sidecar *sidecar)
{
	struct sense *sense = &sidecar->sense;

	if (!sense->started)
		return;
	sense->started = false;
	if (sense->tick_ns && sidecar->store && sidecar->config->mind)
		mind_save(sidecar->config->mind);
	sense_disks_stop(sidecar);
	sense_probe_stop(sidecar);
	sense_host_stop(sidecar);
	sense_agent_stop(sidecar);
	ring_cancel(sidecar->loop.ring, &sense->tick_op);
	ring_cancel(sidecar->loop.ring, &sense->pid_op);
	while ((ring_op_pending(&sense->tick_op) || ring_op_pending(&sense->pid_op)) &&
	       ring_run(sidecar->loop.ring) >= 0)
		;
	if (sense->pidfd >= 0)
		close(sense->pidfd);
	sense->pidfd = -1;
}
