/* SPDX-License-Identifier: Apache-2.0
 *
 * sense_disks: see sense_disks.h.
 */
#include "sense_disks.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "blockstats.h"
#include "jsontext.h"
#include "member.h"
#include "sidecar.h"

#define ANSWER_TIMEOUT_MS 120000 /* sense.c sees that QEMU is silent */
#define QUIET_NS (500 * NS_PER_MS) /* so long without an end: do requests wait? */
#define ROUND_NS (1000 * NS_PER_MS) /* between two looks at a disk's queues */

static const char queue_command[] = "x-query-virtio-queue-status";

/* --- one disk --- */

static void begin_anew(struct sense_disk *disk, struct detect_disk *facts,
		       const struct guest_disk *guest)
{
	memset(disk, 0, sizeof(*disk));
	snprintf(disk->node, sizeof(disk->node), "%s", guest->node);
	memset(facts, 0, sizeof(*facts));
	snprintf(facts->name, sizeof(facts->name), "%s", guest->name);
}

static void note_progress(struct sense_disk *disk, struct detect_disk *facts, uint64_t ended,
			  bool running, int64_t now_ns)
{
	if (ended == disk->ended && facts->progress_ns && running) {
		if (!disk->quiet_ns)
			disk->quiet_ns = now_ns;
		return;
	}
	/* The first sample of a disk tells nothing; one with less is of another QEMU. */
	if (ended > disk->ended && facts->before.time_ns)
		disk->ended_ns = facts->before.time_ns;
	disk->ended = ended;
	disk->quiet_ns = 0;
	disk->waiting = disk->next_queue = 0;
	facts->in_flight = 0;
	facts->progress_ns = now_ns;
}

/* What we read from the disk, or put between it and the guest, takes time, too. */
static bool disturbed(const struct sidecar *sidecar)
{
	return sidecar->checkpoint.way != NULL || sidecar->transfers;
}

static void note_latency(struct sidecar *sidecar, struct sense_disk *disk,
			 struct detect_disk *facts)
{
	const struct detect_stats *before = &facts->before, *now = &facts->now;
	struct drift_load load = {.operations = now->operations - before->operations,
				  .bytes = now->bytes - before->bytes,
				  .busy_ns = now->busy_ns - before->busy_ns,
				  .interval_ns = (uint64_t)(now->time_ns - before->time_ns)};
	struct drift *drift = &disk->drifts[drift_size(&load)];

	if (!before->time_ns || now->operations <= before->operations)
		return;
	disk->latency_us = (double)load.busy_ns / 1e3 / (double)load.operations;
	disk->depth = (double)load.busy_ns / (double)load.interval_ns;
	load.busy_ns = drift_without_waits(load.busy_ns, sidecar->sense.host.cpu_pressure_percent);
	if (disturbed(sidecar) || !drift_sample(drift, &load) || facts->slower)
		return;
	facts->slower = true;
	drift_detail(drift, facts->slower_detail, sizeof(facts->slower_detail));
}

static void sample(struct sidecar *sidecar, unsigned index, const struct blockstats *stats,
		   int64_t now_ns)
{
	struct sense_disk *disk = &sidecar->sense.disks.disks[index];
	struct detect_disk *facts = &sidecar->sense.facts.disks[index];

	if (strcmp(disk->node, sidecar->guest.disks[index].node)) {
		begin_anew(disk, facts, &sidecar->guest.disks[index]);
		sense_probe_forget(sidecar, index);
	}
	facts->before = facts->now;
	facts->now = (struct detect_stats){.time_ns = now_ns,
					   .operations = stats->reads + stats->writes,
					   .bytes = stats->bytes,
					   .failed = stats->failed,
					   .busy_ns = stats->busy_ns};
	/* It ended after the sample before, and not later than now. */
	if (stats->writes > disk->writes && facts->before.time_ns)
		disk->wrote_ns = facts->before.time_ns;
	disk->writes = stats->writes;
	if (facts->before.time_ns && facts->now.operations > facts->before.operations &&
	    facts->now.failed == facts->before.failed)
		facts->good_ns = facts->before.time_ns;
	note_progress(disk, facts, stats->reads + stats->writes + stats->others + stats->failed,
		      sidecar->sense.facts.run == RUN_RUNNING, now_ns);
	note_latency(sidecar, disk, facts);
}

/* --- queues --- */

static void ask_queues(struct sidecar *sidecar);

static void round_over(struct sense_disk *disk, struct detect_disk *facts)
{
	unsigned waiting = disk->quiet_ns ? disk->waiting : 0;

	/* They were given after the last look: they wait since then, not since the
	 * disk was at work last. */
	if (waiting && !facts->in_flight)
		facts->progress_ns = ring_now_ns();
	facts->in_flight = waiting;
	facts->in_flight_known = true;
	disk->next_queue = disk->waiting = 0;
}

static void queue_came(void *arg, const struct qmp_reply *reply)
{
	struct sidecar *sidecar = arg;
	struct sense_disks *disks = &sidecar->sense.disks;
	struct sense_disk *disk = &disks->disks[disks->asked];

	disks->asking = false;
	if (reply->status && reply->status != -EREMOTEIO)
		return;
	if (reply->status || disk->no_queues) {
		disk->no_queues = true;
		return;
	}
	disk->waiting += blockstats_queue(reply->result);
	if (disk->quiet_ns && ++disk->next_queue < disk->queues)
		ask_queues(sidecar);
	else
		round_over(disk, &sidecar->sense.facts.disks[disks->asked]);
}

static void count_came(void *arg, const struct qmp_reply *reply)
{
	struct sidecar *sidecar = arg;
	struct sense_disks *disks = &sidecar->sense.disks;
	struct sense_disk *disk = &disks->disks[disks->asked];
	json_int_t queues = reply->status ? 0 : json_integer_value(reply->result);

	disks->asking = false;
	if (reply->status && reply->status != -EREMOTEIO)
		return;
	disk->no_queues = queues <= 0;
	disk->queues = queues > SENSE_QUEUES_MAX ? SENSE_QUEUES_MAX : (unsigned)queues;
}

static void ask_queues(struct sidecar *sidecar)
{
	struct sense_disks *disks = &sidecar->sense.disks;
	struct sense_disk *disk = &disks->disks[disks->asked];
	const char *qom = sidecar->guest.disks[disks->asked].qom;
	int rc;

	if (!disk->queues)
		rc = monitor_ask(&sidecar->monitor, "qom-get",
				 json_pack("{s:s,s:s}", "path", qom, "property", "num-queues"),
				 ANSWER_TIMEOUT_MS, count_came, sidecar);
	else
		rc = monitor_ask(&sidecar->monitor, queue_command,
				 json_pack("{s:s,s:i}", "path", qom, "queue",
					   (int)disk->next_queue),
				 ANSWER_TIMEOUT_MS, queue_came, sidecar);
	disks->asking = !rc;
}

/* The disk that has been quiet and was not asked for longest. */
static bool choose_quiet(struct sense_disks *disks, unsigned count, int64_t now_ns)
{
	bool found = false;

	for (unsigned i = 0; i < count; i++) {
		const struct sense_disk *disk = &disks->disks[i];

		if (!disk->quiet_ns || now_ns - disk->quiet_ns < QUIET_NS || disk->no_queues ||
		    now_ns - disk->round_ns < ROUND_NS ||
		    (found && disk->round_ns >= disks->disks[disks->asked].round_ns))
			continue;
		disks->asked = i;
		found = true;
	}
	return found;
}

static void look_at_quiet(struct sidecar *sidecar, int64_t now_ns)
{
	struct sense_disks *disks = &sidecar->sense.disks;

	if (disks->asking || !choose_quiet(disks, sidecar->guest.disk_count, now_ns))
		return;
	disks->disks[disks->asked].round_ns = now_ns;
	disks->disks[disks->asked].next_queue = disks->disks[disks->asked].waiting = 0;
	ask_queues(sidecar);
}

/* --- the clock --- */

static void stats_came(void *arg, const struct qmp_reply *reply)
{
	static struct blockstats stats[BOUND_DISKS];
	struct sidecar *sidecar = arg;
	struct sense_disks *disks = &sidecar->sense.disks;
	int64_t now_ns = ring_now_ns(), sent_ns = disks->sent_ns;

	disks->sent_ns = 0;
	if (reply->status || !blockstats_parse(reply->result, &sidecar->guest, stats))
		return;
	disks->round_trip_ns = now_ns - sent_ns;
	for (unsigned i = 0; i < sidecar->guest.disk_count; i++) {
		if (stats[i].known)
			sample(sidecar, i, &stats[i], now_ns);
	}
	look_at_quiet(sidecar, now_ns);
}

static bool busy(const struct sidecar *sidecar)
{
	for (unsigned i = 0; i < sidecar->guest.disk_count; i++) {
		if (!sidecar->sense.disks.disks[i].quiet_ns)
			return true;
	}
	return false;
}

static void tick(struct ring_op *op, int result)
{
	struct sense_disks *disks = member_of(op, struct sense_disks, tick_op);
	struct sidecar *sidecar = disks->sidecar;
	int64_t pause_ms = busy(sidecar) ? SENSE_DISKS_BUSY_MS : SENSE_DISKS_IDLE_MS;

	if (result == -ECANCELED || !disks->started)
		return;
	if (!disks->sent_ns && !sidecar->monitor.closed &&
	    !monitor_ask(&sidecar->monitor, "query-blockstats", NULL, ANSWER_TIMEOUT_MS,
			 stats_came, sidecar))
		disks->sent_ns = ring_now_ns();
	ring_timer(sidecar->loop.ring, &disks->tick_op, ring_now_ns() + pause_ms * NS_PER_MS);
}

bool sense_disks_at_work(const struct sidecar *sidecar, int64_t since_ns)
{
	for (unsigned i = 0; i < sidecar->guest.disk_count; i++) {
		if (sidecar->sense.disks.disks[i].ended_ns >= since_ns)
			return true;
	}
	return false;
}

bool sense_disks_wrote(const struct sidecar *sidecar, int64_t since_ns)
{
	for (unsigned i = 0; i < sidecar->guest.disk_count; i++) {
		if (sidecar->sense.disks.disks[i].wrote_ns >= since_ns)
			return true;
	}
	return false;
}

/* --- events --- */

static void note_error(struct detect_disk *facts, const struct fault *fault, const json_t *data)
{
	struct detect_error *error;

	if (facts->error_count == DETECT_ERRORS_MAX) {
		memmove(&facts->errors[0], &facts->errors[1],
			(DETECT_ERRORS_MAX - 1) * sizeof(facts->errors[0]));
		facts->error_count--;
	}
	error = &facts->errors[facts->error_count++];
	*error = (struct detect_error){.time_ns = ring_now_ns(),
				       .write = fault->kind != FAULT_DISK_READ,
				       .nospace = fault->kind == FAULT_DISK_FULL,
				       .stops = fault->stops_guest,
				       .error = detect_errno_of(json_text(data, "reason"))};
}

/* A threshold may be set on the node below, as libvirt does.  -1: none of ours. */
static int disk_of_node(struct sidecar *sidecar, const char *node)
{
	const struct guest_disk *disk = guest_find(&sidecar->guest, node);

	for (unsigned i = 0; i < sidecar->guest.disk_count && !disk; i++) {
		if (node[0] && !strcmp(sidecar->sense.disks.disks[i].below, node))
			disk = &sidecar->guest.disks[i];
	}
	return disk ? (int)(disk - sidecar->guest.disks) : -1;
}

bool sense_disks_event(struct sidecar *sidecar, const char *name, const json_t *data)
{
	int index;

	if (!strcmp(name, "BLOCK_IO_ERROR")) {
		struct fault fault = fault_of_block_error(&sidecar->guest, data, 0);

		if (fault.kind == FAULT_NONE)
			return false;
		note_error(&sidecar->sense.facts.disks[fault.disk], &fault, data);
		return true;
	}
	if (!strcmp(name, "BLOCK_WRITE_THRESHOLD")) {
		index = disk_of_node(sidecar, json_text(data, "node-name"));
		if (index < 0)
			return false;
		sense_renew(sidecar, FAULT_DISK_FULL, index);
		sidecar->sense.facts.disks[index].write_threshold_ns = ring_now_ns();
		return true;
	}
	return false;
}

void sense_disks_start(struct sidecar *sidecar)
{
	struct sense_disks *disks = &sidecar->sense.disks;

	*disks = (struct sense_disks){.sidecar = sidecar, .started = true};
	for (unsigned i = 0; i < sidecar->guest.disk_count; i++)
		begin_anew(&disks->disks[i], &sidecar->sense.facts.disks[i],
			   &sidecar->guest.disks[i]);
	disks->tick_op.done = tick;
	ring_timer(sidecar->loop.ring, &disks->tick_op, 0);
}

void sense_disks_stop(struct sidecar *sidecar)
{
	struct sense_disks *disks = &sidecar->sense.disks;

	if (!disks->started)
		return;
	disks->started = false;
	ring_cancel(sidecar->loop.ring, &disks->tick_op);
	while (ring_op_pending(&disks->tick_op) && ring_run(sidecar->loop.ring) >= 0)
		;
}
