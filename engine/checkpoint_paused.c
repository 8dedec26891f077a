/* SPDX-License-Identifier: Apache-2.0
 *
 * The point in time of a guest that stands still already (an I/O error stopped
 * it): no filter, the disks' own nodes are exported.  QEMU sends STOP before its
 * requests are drained; the first command here waits behind that.
 */
#include "checkpoint.h"

#include <stdio.h>

static void disk_node(const struct checkpoint *checkpoint, unsigned index, char name[64])
{
	snprintf(name, 64, "%s", checkpoint->guest->disks[index].node);
}

static int paused_freeze(struct checkpoint *checkpoint, struct errinfo *err)
{
	unsigned rotation, first;
	struct batch batch;
	int rc;

	batch_init(&batch, checkpoint->monitor);
	rotation = checkpoint_add_rotation(checkpoint, &batch);
	first = checkpoint_add_exports(checkpoint, &batch, disk_node);
	checkpoint->time_us = loop_realtime_us();
	rc = batch_run(&batch, err);
	checkpoint->rotated = batch.entries[rotation].status == 0;
	checkpoint_note_exports(checkpoint, &batch, first);
	batch_release(&batch);
	return rc;
}

static int paused_thaw(struct checkpoint *checkpoint, struct errinfo *err)
{
	return checkpoint_drop_exports(checkpoint, err);
}

const struct checkpoint_way checkpoint_paused = {
	.name = "paused",
	.freeze = paused_freeze,
	.thaw = paused_thaw,
};
