/* SPDX-License-Identifier: Apache-2.0
 *
 * transfer: the members' exports to one sink, a connection and a copy a disk, at
 * the same time; waits until all have ended.
 */
#include "sidecar.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "member.h"
#include "mind.h"
#include "ration.h"
#include "reprotect.h"
#include "ticker.h"

#define TRANSFER_PROGRESS_MS 500
#define TRANSFER_CONNECT_MS 10000 /* QEMU accepts from its main loop */
/* A stopped guest waits for a disk that hangs no longer than this; looked at in
 * steps, as a SIGSTOP makes one of them look idle. */
#define TRANSFER_STALL_STEP_MS 5000
#define TRANSFER_STALL_STEPS 3

struct transfer_lane {
	struct transfer_run *run;
	struct nbd_source *source;
	struct copy *copy;
	struct errinfo err;
	unsigned disk;
	int status;
	bool connected, ended;
};

/* Between the copies and the sink: whose failure was it? */
struct transfer_tap {
	struct copy_sink sink;
	struct copy_sink *below;
	bool failed;
};

struct transfer_run {
	struct transfer_tap tap;
	struct sidecar *sidecar;
	struct transfer *transfer;
	struct transfer_lane lanes[BOUND_DISKS];
	unsigned count;
	int64_t next_progress_ns;
	struct ticker ticker;
	struct ration ration;
	bool unreached; /* a lane's connection failed */
};

static int tap_data(struct copy_sink *sink, unsigned disk, uint64_t offset, uint32_t length,
		    struct buf *buf, struct errinfo *err)
{
	struct transfer_tap *tap = member_of(sink, struct transfer_tap, sink);
	int rc = tap->below->data(tap->below, disk, offset, length, buf, err);

	tap->failed |= rc != 0;
	return rc;
}

static int tap_zero(struct copy_sink *sink, unsigned disk, uint64_t offset, uint64_t length,
		    struct errinfo *err)
{
	struct transfer_tap *tap = member_of(sink, struct transfer_tap, sink);
	int rc = tap->below->zero(tap->below, disk, offset, length, err);

	tap->failed |= rc != 0;
	return rc;
}

static int tap_bad(struct copy_sink *sink, unsigned disk, uint64_t offset, uint32_t length,
		   int status)
{
	struct transfer_tap *tap = member_of(sink, struct transfer_tap, sink);

	return tap->below->bad(tap->below, disk, offset, length, status);
}

static void lane_end(struct transfer_lane *lane, int status, const struct errinfo *error)
{
	lane->ended = true;
	lane->status = status;
	if (status && error)
		err_set(&lane->err, status, "%s", error->text);
}

static void lane_copied(void *arg, int status, const struct errinfo *error)
{
	lane_end(arg, status, error);
}

static bool is_rationed(const struct transfer_run *run)
{
	return run->ration.rate || run->ration.cpu_percent;
}

static int64_t cpu_used_ns(void)
{
	struct timespec used;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
	return used.tv_sec * INT64_C(1000000000) + used.tv_nsec;
}

static void lane_copy(struct transfer_lane *lane)
{
	const struct transfer *transfer = lane->run->transfer;
	int status = copy_start_range(&lane->copy, lane->source, lane->run->sidecar->pool,
				      lane->disk, transfer->want, NBD_SOURCE_IN_FLIGHT,
				      transfer->offset,
				      transfer->length ? transfer->length : UINT64_MAX,
				      &lane->run->tap.sink, lane_copied, lane, &lane->err);

	if (status)
		lane_end(lane, status, NULL);
	else if (is_rationed(lane->run))
		copy_limit(lane->copy);
}

static void lane_connected(void *arg, int status, const struct errinfo *error)
{
	struct transfer_lane *lane = arg;
	const struct guest_disk *disk = &lane->run->sidecar->guest.disks[lane->disk];

	lane->connected = true;
	if (status) {
		lane->run->unreached = true;
		lane_end(lane, status, error);
		return;
	}
	if (nbd_source_size(lane->source) != disk->size) {
		err_set(&lane->err, -ESTALE, "disk %s has %llu bytes now, it had %llu: it was resized",
			disk->name, (unsigned long long)nbd_source_size(lane->source),
			(unsigned long long)disk->size);
		lane_end(lane, -ESTALE, NULL);
		return;
	}
	nbd_source_limit_reads(lane->source, lane->run->transfer->read_limit);
	lane_copy(lane);
}

/* --- rations --- */

/* A disk of it failed, and it is recovered when the copy is there: nobody is spared. */
static bool guest_waits(const struct sidecar *sidecar)
{
	return sidecar->stopped && sidecar->fault.kind != FAULT_NONE;
}

static void ration_tick(void *arg)
{
	struct transfer_run *run = arg;
	uint64_t due, most;
	unsigned lanes = 0;

	for (unsigned i = 0; i < run->count; i++)
		lanes += run->lanes[i].copy && !run->lanes[i].ended;
	due = lanes ? ration_due(&run->ration, ring_now_ns(), cpu_used_ns()) / lanes : 0;
	most = run->ration.rate ? run->ration.rate * RATION_SAVED_MS / 1000 / (lanes ? lanes : 1)
				: due;
	if (guest_waits(run->sidecar))
		due = most = INT64_MAX / 2;
	for (unsigned i = 0; i < run->count && due; i++) {
		if (run->lanes[i].copy && !run->lanes[i].ended)
			copy_grant(run->lanes[i].copy, due, most);
	}
}

static void ration_start(struct transfer_run *run)
{
	const struct sidecar *sidecar = run->sidecar;

	if (!run->transfer->sparing || !sidecar->config->mind ||
	    sidecar->config->mind->settings.objective == OBJECTIVE_FAST)
		return;
	ration_begin(&run->ration, reprotect_rate(sidecar), sidecar->config->optimal_cpu_percent,
		     ring_now_ns(), cpu_used_ns());
	if (is_rationed(run))
		ticker_start(&run->ticker, sidecar->loop.ring, RATION_TICK_MS, ration_tick, run);
}

static void transfer_sum(struct transfer_run *run)
{
	struct copy_progress *sum = &run->transfer->sum;

	memset(sum, 0, sizeof(*sum));
	for (unsigned i = 0; i < run->count; i++) {
		const struct copy_progress *progress;

		if (!run->lanes[i].copy)
			continue;
		progress = copy_progress(run->lanes[i].copy);
		sum->bytes += progress->bytes;
		sum->data_bytes += progress->data_bytes;
		sum->scanned += progress->scanned;
		sum->extents += progress->extents;
		sum->bad_bytes += progress->bad_bytes;
	}
}

/* STALLED: what was asked for is not waited for. */
static void transfer_stop(struct transfer_run *run, bool stalled)
{
	for (unsigned i = 0; i < run->count; i++) {
		struct transfer_lane *lane = &run->lanes[i];

		if (!lane->copy || lane->ended)
			continue;
		copy_cancel(lane->copy);
		if (!stalled)
			continue;
		nbd_source_close(lane->source);
		lane->source = NULL;
	}
}

static bool transfer_over(void *arg)
{
	struct transfer_run *run = arg;
	bool failed = false, over = true;

	for (unsigned i = 0; i < run->count; i++) {
		failed |= run->lanes[i].ended && run->lanes[i].status;
		over &= run->lanes[i].ended;
	}
	/* One disk's end is the end of all: a generation has every disk or none. */
	if (!over && (failed || (run->sidecar->loop.quit && !run->transfer->patient)))
		return true;
	if (run->transfer->progress && ring_now_ns() >= run->next_progress_ns) {
		run->next_progress_ns = ring_now_ns() + TRANSFER_PROGRESS_MS * NS_PER_MS;
		transfer_sum(run);
		run->transfer->progress(run->sidecar, &run->transfer->sum);
	}
	return over;
}

/* Every lane is past the handshake, one way or the other. */
static bool transfer_connected(void *arg)
{
	struct transfer_run *run = arg;

	for (unsigned i = 0; i < run->count; i++) {
		if (!run->lanes[i].connected)
			return false;
	}
	return true;
}

static bool transfer_quiet(void *arg)
{
	struct transfer_run *run = arg;

	for (unsigned i = 0; i < run->count; i++) {
		if (run->lanes[i].copy && !run->lanes[i].ended)
			return false;
	}
	return true;
}

static int transfer_open(struct transfer_run *run, struct errinfo *err)
{
	struct sidecar *sidecar = run->sidecar;

	for (unsigned i = 0; i < sidecar->guest.disk_count; i++) {
		struct transfer_lane *lane = &run->lanes[run->count];
		char name[32];
		int rc;

		if (!(run->transfer->members >> i & 1))
			continue;
		run->count++;
		lane->run = run;
		lane->disk = i;
		checkpoint_export_name(i, name);
		rc = nbd_source_open(&lane->source, sidecar->loop.ring, sidecar->exports.path, name,
				     run->transfer->context, lane_connected, lane, err);
		if (rc) {
			lane_end(lane, rc, err);
			return rc;
		}
	}
	return 0;
}

static uint64_t transfer_position(struct transfer_run *run)
{
	transfer_sum(run);
	return run->transfer->sum.bytes + run->transfer->sum.scanned;
}

/* A cycle waits for a disk for ever: its thaw would hang QEMU together with the disk.  For a
 * QEMU that hangs itself there is no need to; nor for a sidecar that is to end and has no
 * filter in. */
static int transfer_until(struct transfer_run *run, bool (*met)(void *run))
{
	uint64_t before, now = 0;
	int idle = 0, rc;

	while ((rc = loop_until(&run->sidecar->loop, met, run, ring_now_ns() +
				TRANSFER_STALL_STEP_MS * NS_PER_MS)) == -ETIMEDOUT) {
		const struct sidecar *sidecar = run->sidecar;
		bool counts = run->transfer->patient || sense_hung(run->sidecar) ||
			      (sidecar->loop.quit && !sidecar->checkpoint.way);

		before = now;
		now = transfer_position(run);
		idle = now == before && counts ? idle + 1 : 0;
		if (idle == TRANSFER_STALL_STEPS)
			return rc;
	}
	return rc;
}

static int transfer_wait(struct transfer_run *run, struct errinfo *err)
{
	int rc = transfer_until(run, transfer_over);

	if (rc == -ETIMEDOUT)
		err_set(err, rc, "nothing was read from the disk, or written to the store, for %d s",
			TRANSFER_STALL_STEPS * TRANSFER_STALL_STEP_MS / 1000);
	return rc;
}

/* What a lane ended with is told by transfer_close(). */
static int transfer_again(struct transfer_run *run, struct errinfo *err)
{
	int rc;

	for (unsigned i = 0; i < run->count; i++) {
		if (run->lanes[i].status || !run->lanes[i].ended)
			return 0;
	}
	rc = run->transfer->between(run->transfer->between_arg, err);
	for (unsigned i = 0; i < run->count && !rc; i++) {
		copy_free(run->lanes[i].copy);
		run->lanes[i].copy = NULL;
		run->lanes[i].ended = false;
		lane_copy(&run->lanes[i]);
	}
	return rc ? rc : transfer_wait(run, err);
}

static int transfer_close(struct transfer_run *run, int rc, struct errinfo *err)
{
	bool cut = false;

	transfer_stop(run, rc == -ETIMEDOUT);
	/* Another disk failed, or we are to end: the rest may hang all the same. */
	while (transfer_until(run, transfer_quiet) == -ETIMEDOUT)
		transfer_stop(run, true);
	transfer_sum(run);
	for (unsigned i = 0; i < run->count; i++) {
		struct transfer_lane *lane = &run->lanes[i];

		cut |= !lane->ended || lane->status == -ECANCELED;
		if (lane->status && lane->status != -ECANCELED && !rc)
			rc = err_set(err, lane->status, "disk %s: %s",
				     run->sidecar->guest.disks[lane->disk].name, lane->err.text);
		copy_free(lane->copy);
		nbd_source_close(lane->source);
	}
	return !rc && cut ? err_set(err, -EINTR, "interrupted") : rc;
}

int transfer_run(struct sidecar *sidecar, struct transfer *transfer, struct errinfo *err)
{
	struct transfer_run run = {.sidecar = sidecar, .transfer = transfer,
				   .tap = {.sink = {.data = tap_data, .zero = tap_zero},
					   .below = transfer->sink}};
	int rc;

	if (transfer->sink->bad)
		run.tap.sink.bad = tap_bad;
	sidecar->transfers++;
	ration_start(&run);
	rc = transfer_open(&run, err);
	if (!rc && loop_until(&sidecar->loop, transfer_connected, &run,
			      ring_now_ns() + TRANSFER_CONNECT_MS * NS_PER_MS))
		rc = err_set(err, -ETIMEDOUT, "QEMU does not accept an NBD connection within %d ms",
			     TRANSFER_CONNECT_MS);
	run.unreached |= rc != 0;
	if (!rc)
		rc = transfer_wait(&run, err);
	if (!rc && transfer->between)
		rc = transfer_again(&run, err);
	ticker_stop(&run.ticker, &sidecar->loop);
	rc = transfer_close(&run, rc, err);
	transfer->sink_failed = run.tap.failed;
	transfer->unreached = run.unreached;
	sidecar->transfers--;
	return rc;
}
