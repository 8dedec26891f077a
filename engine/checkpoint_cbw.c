/* SPDX-License-Identifier: Apache-2.0
 *
 * The point in time by explicit copy-before-write filters, put above the disks
 * and taken out again by `qom-set drive`.  QEMU drains the disk for that, so one
 * disk needs no pause of the guest at all; several disks are swapped between a
 * `stop` and a `cont`, so that the point is the same for all, and so are disks in
 * an iothread.  A failing or full scratch file breaks the snapshot and never the
 * guest's write.  QEMU 7.1.
 *
 * What follows once the filters are made is one write to the monitor: whatever becomes
 * of the sidecar, the `cont` follows its `stop`.  `stop` is in it only when the guest was
 * running: a guest paused by its owner stays paused.
 *
 * The filters preserve every block, not only those in a bitmap: a bitmap is
 * copied when the filter is made, before the swap, and would miss what the guest
 * changes in between.  For the same reason both bitmaps record during the swap:
 * a block too many is read twice, never one too few.
 */
#include "checkpoint.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "jsontext.h"
#include "report.h"

#define CBW_TIMEOUT_S 1 /* memory does not hang; more than 4 overflows before 9.1 */

static void node_of(const char *kind, unsigned index, char name[64])
{
	snprintf(name, 64, "qheal-%s%u", kind, index);
}

static void snap_node(const struct checkpoint *checkpoint, unsigned index, char name[64])
{
	node_of("snap", index, name);
}

static void add_swap(struct batch *batch, const struct guest_disk *disk, const char *node)
{
	batch_add(batch, "qom-set", json_pack("{s:s,s:s,s:s}", "path", disk->qom, "property",
					      "drive", "value", node));
}

static unsigned add_insertions(struct checkpoint *checkpoint, struct batch *batch)
{
	unsigned first = batch->count;

	for (unsigned i = 0; i < checkpoint->guest->disk_count; i++) {
		char filter[64];

		node_of("cbw", i, filter);
		add_swap(batch, &checkpoint->guest->disks[i], filter);
	}
	return first;
}

/* Only where one is: a swap to the node that is the root already aborts QEMU (7.2
 * and 10.0 do).  Where no answer came leftovers.c finds out. */
static void note_insertions(struct checkpoint *checkpoint, const struct batch *batch,
			    unsigned first)
{
	for (unsigned i = 0; i < checkpoint->guest->disk_count; i++) {
		if (!batch->entries[first + i].status)
			checkpoint->filtered |= UINT64_C(1) << i;
	}
}

static void add_removals(struct checkpoint *checkpoint, struct batch *batch)
{
	for (unsigned i = 0; i < checkpoint->guest->disk_count; i++) {
		const struct guest_disk *disk = &checkpoint->guest->disks[i];

		if (checkpoint->filtered >> i & 1)
			add_swap(batch, disk, disk->node);
	}
}

static void add_filters(struct checkpoint *checkpoint, struct batch *batch)
{
	for (unsigned i = 0; i < checkpoint->guest->disk_count; i++) {
		const struct guest_disk *disk = &checkpoint->guest->disks[i];
		char filter[64], scratch[64];

		node_of("cbw", i, filter);
		node_of("tmp", i, scratch);
		batch_add(batch, "blockdev-add", scratch_options(checkpoint->scratch, i, scratch));
		batch_add(batch, "blockdev-add",
			  json_pack("{s:s,s:s,s:s,s:s,s:s,s:i,s:{s:b,s:b}}", "driver",
				    "copy-before-write", "node-name", filter, "file", disk->node,
				    "target", scratch, "on-cbw-error", "break-snapshot",
				    "cbw-timeout", CBW_TIMEOUT_S, "cache", "direct",
				    disk->cache_direct, "no-flush", disk->cache_no_flush));
	}
}

/* QEMU moves the new node into an iothread only while the device stands still. */
static bool in_iothread(const struct checkpoint *checkpoint)
{
	for (unsigned i = 0; i < checkpoint->guest->disk_count; i++) {
		if (checkpoint->guest->disks[i].iothread[0])
			return true;
	}
	return false;
}

static void add_offer(struct checkpoint *checkpoint, struct batch *batch)
{
	for (unsigned i = 0; i < checkpoint->guest->disk_count; i++) {
		char filter[64], name[64];

		node_of("cbw", i, filter);
		snap_node(checkpoint, i, name);
		batch_add(batch, "blockdev-add",
			  json_pack("{s:s,s:s,s:s}", "driver", "snapshot-access", "node-name", name,
				    "file", filter));
	}
}

static int reset_scratch(struct checkpoint *checkpoint, struct errinfo *err)
{
	int rc = 0;

	for (unsigned i = 0; i < checkpoint->guest->disk_count && !rc; i++)
		rc = scratch_reset(checkpoint->scratch, i, err);
	return rc;
}

/* What stopped the guest just before our `stop` our `cont` undid: its owner (one who
 * comes between the two leaves no trace: QEMU answers and sends no event), a panic or
 * a watchdog.  An I/O error QEMU tries again, and reports again. */
void checkpoint_stop_again(struct checkpoint *checkpoint, const json_t *status)
{
	const char *was = json_text(status, "status");
	bool by_fault = !strcmp(was, "guest-panicked") || !strcmp(was, "watchdog");

	if (!by_fault && strcmp(was, "paused"))
		return;
	monitor_call(checkpoint->monitor, "stop", NULL, NULL, NULL);
	checkpoint->stopped_again = by_fault;
}

/* Our `cont`, of a guest that ran before our `stop`.  One that was being migrated away is not
 * to go on here. */
static bool refused(const struct batch *batch, unsigned status, unsigned cont)
{
	return batch->entries[cont].status == -EREMOTEIO &&
	       !strcmp(json_text(batch->entries[status].result, "status"), "running");
}

/* A node that has a filter is no root any more, and QEMU begins no mirror on it: what has
 * begun until then is seen.  A swap would take the guest off the job's own filter.  (A backup
 * QEMU does begin; the swap back it refuses then, and leftovers.c finds the node to take.) */
static int prepare(struct checkpoint *checkpoint, struct errinfo *err)
{
	unsigned begin, jobs;
	struct batch batch;
	int rc;

	batch_init(&batch, checkpoint->monitor);
	begin = checkpoint_add_begin(checkpoint, &batch);
	add_filters(checkpoint, &batch);
	jobs = batch_add(&batch, "query-block-jobs", NULL);
	rc = batch_run(&batch, err);
	checkpoint->rotated = batch.entries[begin].status == 0;
	if (!rc)
		rc = checkpoint_refuse_jobs(batch.entries[jobs].result, err);
	batch_release(&batch);
	return rc;
}

/* Commands behind one that failed still run; each of them is harmless then: a
 * swap to a node that is not there is refused. */
static int cbw_freeze(struct checkpoint *checkpoint, struct errinfo *err)
{
	unsigned swaps, exports, status = 0, cont = 0;
	struct batch batch;
	bool pause;
	int rc = reset_scratch(checkpoint, err);

	if (!rc)
		rc = prepare(checkpoint, err);
	if (rc)
		return rc;
	/* Only now: its owner may have stopped it while the filters were made. */
	pause = guest_running(checkpoint->guest) &&
		(checkpoint->guest->disk_count > 1 || in_iothread(checkpoint));
	batch_init(&batch, checkpoint->monitor);
	if (pause) {
		status = batch_add(&batch, "query-status", NULL);
		batch_add(&batch, "stop", NULL);
	}
	swaps = add_insertions(checkpoint, &batch);
	if (pause)
		cont = batch_add(&batch, "cont", NULL);
	checkpoint_add_end(checkpoint, &batch);
	add_offer(checkpoint, &batch);
	exports = checkpoint_add_exports(checkpoint, &batch, snap_node);
	checkpoint->offered = true;
	checkpoint->time_us = loop_realtime_us();
	rc = batch_run(&batch, err);
	note_insertions(checkpoint, &batch, swaps);
	checkpoint_note_exports(checkpoint, &batch, exports);
	if (pause) {
		checkpoint->halted = refused(&batch, status, cont);
		checkpoint_stop_again(checkpoint, batch.entries[status].result);
	}
	batch_release(&batch);
	return rc;
}

static void add_deletions(struct checkpoint *checkpoint, struct batch *batch, const char *kind)
{
	for (unsigned i = 0; i < checkpoint->guest->disk_count; i++) {
		char name[64];

		node_of(kind, i, name);
		batch_add(batch, "blockdev-del", json_pack("{s:s}", "node-name", name));
	}
}

/* `cont` was refused, with the filters in or while they went: once more without. */
static void cont_again(struct checkpoint *checkpoint)
{
	struct errinfo err = {0};

	checkpoint->halted = false;
	if (monitor_call(checkpoint->monitor, "cont", NULL, NULL, &err))
		log_error("the guest stands still, and QEMU does not let it go on: %s", err.text);
}

static int cbw_thaw(struct checkpoint *checkpoint, struct errinfo *err)
{
	int rc = checkpoint_drop_exports(checkpoint, err), rc2;
	bool pause = guest_running(checkpoint->guest) && in_iothread(checkpoint);
	struct batch batch;
	unsigned status = 0, cont = 0;

	batch_init(&batch, checkpoint->monitor);
	if (checkpoint->offered)
		add_deletions(checkpoint, &batch, "snap");
	if (checkpoint->filtered) {
		if (pause) {
			status = batch_add(&batch, "query-status", NULL);
			batch_add(&batch, "stop", NULL);
		}
		add_removals(checkpoint, &batch);
		if (pause)
			cont = batch_add(&batch, "cont", NULL);
	}
	add_deletions(checkpoint, &batch, "cbw");
	add_deletions(checkpoint, &batch, "tmp");
	rc2 = batch_run(&batch, err);
	if (cont) {
		checkpoint->halted |= refused(&batch, status, cont);
		checkpoint_stop_again(checkpoint, batch.entries[status].result);
	}
	batch_release(&batch);
	checkpoint->filtered = 0;
	if (checkpoint->halted)
		cont_again(checkpoint);
	return rc ? rc : rc2;
}

const struct checkpoint_way checkpoint_cbw = {
	.name = "copy-before-write",
	.freeze = cbw_freeze,
	.thaw = cbw_thaw,
};
