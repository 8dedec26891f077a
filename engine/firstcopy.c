/* SPDX-License-Identifier: Apache-2.0
 *
 * firstcopy: fills the heads from the running guest.  The disks' own nodes are
 * exported read-only, no filter burdens the guest; the bitmaps record meanwhile,
 * and the first cycle makes a point in time of it.  A fault of the guest's disk
 * does not end it: a replica that is complete is what will bring the guest back.
 */
#include "sidecar.h"

#include <errno.h>
#include <stdio.h>

#include "outcome.h"

void firstcopy_progress(struct sidecar *sidecar, const char *phase, uint64_t scanned)
{
	char line[96];

	sidecar->figures.done = scanned;
	report_event(&sidecar->report, "progress",
		     json_pack("{s:s,s:I,s:I}", "phase", phase, "bytes", (json_int_t)scanned,
			       "total", (json_int_t)sidecar->figures.total));
	snprintf(line, sizeof(line), "\r%s: %llu of %llu MiB ", phase,
		 (unsigned long long)(scanned >> 20),
		 (unsigned long long)(sidecar->figures.total >> 20));
	report_draw(line);
}

static void say_progress(struct sidecar *sidecar, const struct copy_progress *sum)
{
	firstcopy_progress(sidecar, "first-copy", sum->scanned);
}

int firstcopy_exports(struct sidecar *sidecar, uint64_t members, struct errinfo *err)
{
	struct batch batch;
	int rc;

	batch_init(&batch, &sidecar->monitor);
	for (unsigned i = 0; i < sidecar->guest.disk_count; i++) {
		char name[32];

		if (!(members >> i & 1))
			continue;
		checkpoint_export_name(i, name);
		batch_add(&batch, "block-export-add",
			  json_pack("{s:s,s:s,s:s,s:s}", "type", "nbd", "id", name, "node-name",
				    sidecar->guest.disks[i].node, "name", name));
	}
	rc = batch_run(&batch, err);
	sidecar->checkpoint.members = members;
	checkpoint_note_exports(&sidecar->checkpoint, &batch, 0);
	batch_release(&batch);
	return rc;
}

int firstcopy_run(struct sidecar *sidecar, struct errinfo *err)
{
	struct transfer transfer = {.want = COPY_ALLOCATED, .context = "base:allocation",
				    .sparing = true, .members = CHECKPOINT_ALL, .progress = say_progress};
	struct outcome filled = {0};
	struct errinfo drop_err = {0};
	int rc, drop_rc;

	sidecar->figures.total = 0;
	for (unsigned i = 0; i < sidecar->guest.disk_count; i++)
		sidecar->figures.total += sidecar->guest.disks[i].size;
	rc = store_fill_begin(sidecar->store, err);
	if (rc) {
		cycle_note_store(sidecar, rc);
		return rc;
	}
	transfer.sink = store_fill_sink(sidecar->store);
	/* The bitmaps only after the store says "filling": one of that name must
	 * never be found beside heads that were filled before it. */
	rc = sidecar_track(sidecar, err);
	if (!rc)
		rc = firstcopy_exports(sidecar, CHECKPOINT_ALL, err);
	if (!rc)
		rc = transfer_run(sidecar, &transfer, err);
	if (rc && transfer.sink_failed)
		cycle_note_store(sidecar, rc);
	sidecar->figures.done = transfer.sum.bytes;
	drop_rc = checkpoint_drop_exports(&sidecar->checkpoint, &drop_err);
	report_draw("\r\033[K");
	if (rc) {
		exports_revive(&sidecar->exports, &sidecar->monitor, store_dir(sidecar->store),
			       err);
		/* Stays "filling" on disk: the next attempt starts anew. */
		store_fill_abort(sidecar->store, outcome_set, &filled);
		outcome_wait(&filled, &sidecar->loop, NULL);
		return rc;
	}
	store_fill_end(sidecar->store, outcome_set, &filled);
	rc = outcome_wait(&filled, &sidecar->loop, err);
	cycle_note_store(sidecar, rc);
	if (!rc && drop_rc)
		rc = err_set(err, drop_rc, "%s", drop_err.text);
	return rc;
}
