/* SPDX-License-Identifier: Apache-2.0
 *
 * resync: continues a store when QEMU has no bitmaps that go back to its
 * generation G (it was restarted, or a disk was added, or grew).
 *
 *   track     new bitmaps on all disks begin to record, named so that no start ever
 *             takes them for ones that go back to a generation; what is known of
 *             the disks whose bitmaps do go back to G is merged into them
 *   compare   the running disks that have none are read; blocks whose sum differs
 *             from that of generation G are put into generation G+1
 *   freeze    a point, as in any cycle; what the new bitmaps say changed is read
 *             from it into the same generation, where a later put wins
 *
 * A block that no bitmap has was not written since the bitmaps began: what the
 * comparison saw of it is what the point holds.  All others are read from the
 * point.  So G+1 is exactly the point, though the comparison read a disk that
 * changed under it.  When anything fails the generation is dropped, and the
 * bitmaps that go back to G still do.
 */
#include "sidecar.h"

#include <errno.h>
#include <stdio.h>

#include "outcome.h"
#include "resync.h"

#define RESYNC_BITMAP "resync"

static struct resync comparison; /* 64 KiB; one flow of control */

static void say_progress(struct sidecar *sidecar, const struct copy_progress *sum)
{
	firstcopy_progress(sidecar, "resync", sum->scanned);
}

static void resync_bitmap_name(const struct sidecar *sidecar, char name[64])
{
	snprintf(name, 64, GUEST_BITMAP_PREFIX "%.8s-" RESYNC_BITMAP,
		 store_info(sidecar->store)->uuid);
}

/* Merging while both record: a write meanwhile is in the new one either way. */
static int track(struct sidecar *sidecar, uint64_t covered, struct errinfo *err)
{
	json_t *actions = json_array();
	char since[64];
	int failed = 0;

	bitmap_name(sidecar, store_info(sidecar->store)->generation, since);
	resync_bitmap_name(sidecar, sidecar->checkpoint.last);
	for (unsigned i = 0; i < sidecar->guest.disk_count; i++) {
		const char *node = sidecar->guest.disks[i].node;

		failed |= json_array_append_new(
			actions, json_pack("{s:s,s:{s:s,s:s,s:i}}", "type",
					   "block-dirty-bitmap-add", "data", "node", node, "name",
					   sidecar->checkpoint.last, "granularity",
					   (int)sidecar->checkpoint.granularity));
		if (covered >> i & 1)
			failed |= json_array_append_new(
				actions, json_pack("{s:s,s:{s:s,s:s,s:[s]}}", "type",
						   "block-dirty-bitmap-merge", "data", "node", node,
						   "target", sidecar->checkpoint.last, "bitmaps",
						   since));
	}
	if (failed) {
		json_decref(actions);
		return err_set(err, -ENOMEM, "no memory to begin new bitmaps");
	}
	return monitor_call(&sidecar->monitor, "transaction",
			    json_pack("{s:o}", "actions", actions), NULL, err);
}

/* The disks that have to be read: those whose old bitmap was not found. */
static uint64_t unknown(const struct sidecar *sidecar)
{
	char since[64];
	uint64_t members = 0;

	bitmap_name(sidecar, store_info(sidecar->store)->generation, since);
	for (unsigned i = 0; i < sidecar->guest.disk_count; i++) {
		if (!guest_bitmap_find(&sidecar->guest.disks[i], since))
			members |= UINT64_C(1) << i;
	}
	return members;
}

static int end_fresh(struct sidecar *sidecar, int status, struct errinfo *err)
{
	struct outcome filled = {0};
	int rc;

	if (!store_fresh(sidecar->store))
		return status;
	store_fresh_end(sidecar->store, outcome_set, &filled);
	rc = outcome_wait(&filled, &sidecar->loop, status ? NULL : err);
	return status ? status : rc;
}

/* The generation is open: what differs goes into it. */
static int compare(struct sidecar *sidecar, uint64_t *bytes, struct errinfo *err)
{
	struct transfer transfer = {.want = COPY_MAPPED, .context = "base:allocation",
				    .sparing = true, .sink = &comparison.sink, .members = unknown(sidecar),
				    .progress = say_progress};
	struct errinfo drop_err = {0};
	int rc = store_fresh(sidecar->store) ? store_fresh_begin(sidecar->store, err) : 0, drop_rc;

	resync_init(&comparison, sidecar->store);
	sidecar->figures.total = 0;
	for (unsigned i = 0; i < sidecar->guest.disk_count; i++) {
		if (transfer.members >> i & 1)
			sidecar->figures.total += sidecar->guest.disks[i].size;
	}
	if (!rc)
		rc = firstcopy_exports(sidecar, transfer.members, err);
	if (!rc)
		rc = transfer_run(sidecar, &transfer, err);
	if (rc && transfer.sink_failed)
		cycle_note_store(sidecar, rc);
	drop_rc = checkpoint_drop_exports(&sidecar->checkpoint, &drop_err);
	report_draw("\r\033[K");
	rc = end_fresh(sidecar, rc, err);
	if (!rc && drop_rc)
		rc = err_set(err, drop_rc, "%s", drop_err.text);
	*bytes = comparison.different_bytes + comparison.filled_bytes;
	return rc;
}

/* They went back to generation G; the cycle left those that go back to G+1. */
static void drop_old(struct sidecar *sidecar, uint64_t covered, const char *since)
{
	struct errinfo err = {0};
	struct batch batch;

	batch_init(&batch, &sidecar->monitor);
	for (unsigned i = 0; i < sidecar->guest.disk_count; i++) {
		if (covered >> i & 1)
			batch_add(&batch, "block-dirty-bitmap-remove",
				  json_pack("{s:s,s:s}", "node", sidecar->guest.disks[i].node,
					    "name", since));
	}
	if (batch.count && batch_run(&batch, &err))
		log_warn("resync: %s", err.text); /* the next start removes them */
	batch_release(&batch);
}

int resync_run(struct sidecar *sidecar, uint64_t covered, struct errinfo *err)
{
	struct outcome settled = {0};
	char since[64];
	int rc;

	sidecar_set_state(sidecar, SIDECAR_COPYING);
	bitmap_name(sidecar, store_info(sidecar->store)->generation, since);
	/* The sums that are compared with are those of generation G. */
	store_settle(sidecar->store, outcome_set, &settled);
	rc = outcome_wait(&settled, &sidecar->loop, err);
	if (rc)
		cycle_note_store(sidecar, rc);
	if (!rc)
		rc = track(sidecar, covered, err);
	if (!rc)
		rc = cycle_run_after(sidecar, compare, err);
	if (rc)
		return rc;
	sidecar->uncovered = false;
	sidecar->figures.resynced = true;
	sidecar->figures.different_bytes = comparison.different_bytes;
	drop_old(sidecar, covered, since);
	return 0;
}
