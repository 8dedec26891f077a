/* SPDX-License-Identifier: Apache-2.0 */
#include "adopt.h"

#include <errno.h>
#include <string.h>

#include "notify.h"
#include "promote.h"

static bool overlay_in_use(const struct sidecar *sidecar)
{
	for (unsigned i = 0; i < sidecar->guest.disk_count; i++) {
		if (promote_is_ours(sidecar, &sidecar->guest.disks[i]))
			return true;
	}
	return false;
}

bool adopt_needed(const struct sidecar *sidecar)
{
	return store_info(sidecar->store)->promoted || overlay_in_use(sidecar);
}

static int note_promotions(struct sidecar *sidecar, struct errinfo *err)
{
	struct store_placement placements[BOUND_DISKS];
	unsigned count = 0;

	for (unsigned i = 0; i < sidecar->guest.disk_count; i++) {
		const struct guest_disk *disk = &sidecar->guest.disks[i];

		if (promote_is_ours(sidecar, disk))
			placements[count++] = (struct store_placement){i, disk->file};
	}
	return store_promote(sidecar->store, placements, count, err);
}

/* After a roll back that was cut off the guest's memory is newer than its disks. */
static int go_on(struct sidecar *sidecar, struct errinfo *err)
{
	struct batch batch;
	int rc;

	batch_init(&batch, &sidecar->monitor);
	if (promote_needs_reset(sidecar))
		batch_add(&batch, "system_reset", NULL);
	batch_add(&batch, "cont", NULL);
	rc = batch_run(&batch, err);
	batch_release(&batch);
	if (!rc)
		promote_drop_reset(sidecar);
	return rc;
}

int adopt_run(struct sidecar *sidecar, struct errinfo *err)
{
	int rc;

	if (guest_running(&sidecar->guest)) /* it got over that: a later fault is another one */
		promote_drop_reset(sidecar);
	if (reprotect_is_over(sidecar)) { /* cut off just before that */
		rc = reprotect_free_heads(sidecar, err);
		return rc ? rc : 1;
	}
	if (!overlay_in_use(sidecar))
		return err_set(err, -EROFS, "the heads of %s were handed to a guest by a pivot, and "
			       "this guest does not run on them: protect it with an empty store, or "
			       "remove the overlays in %s/promoted when nobody needs them",
			       store_dir(sidecar->store), store_dir(sidecar->store));
	/* The other disks can still be pivoted: their bitmaps go back to the heads. */
	bitmap_name(sidecar, store_info(sidecar->store)->generation, sidecar->checkpoint.last);
	rc = note_promotions(sidecar, err);
	sidecar->fault.kind = FAULT_NONE; /* of before: what still fails says so again */
	sidecar->faulted = 0;
	if (!rc && !strcmp(sidecar->guest.status, "io-error")) {
		log_info("%s was left between pivot and cont: it goes on now",
			 sidecar->guest.name);
		rc = go_on(sidecar, err);
	}
	if (rc)
		return rc;
	sidecar_set_state(sidecar, SIDECAR_RECOVERED);
	notify_ready(); /* it watches, as far as it can */
	report_event(&sidecar->report, "degraded",
		     json_pack("{s:s}", "reason", sidecar->config->spare
			       ? "the guest runs on a promoted disk; it moves to the spare and is "
				 "protected again then"
			       : "the guest runs on a promoted disk; with --spare DIR it is moved from "
				 "it and protected again, else protect it with an empty store"));
	return 0;
}
