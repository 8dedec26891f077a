/* SPDX-License-Identifier: Apache-2.0
 *
 * strategy mirror: a disk that only warns is left before it fails.
 *
 *   copy      QEMU's mirror job to a new image in the spare directory; the guest
 *             runs, generations wait (a cycle cannot work on the nodes of a job)
 *   complete  the image takes the disk's place
 *
 * Undone by ending the job.  A disk that fails meanwhile ends it, too (its bitmap still
 * reaches back to the last generation, so it is pivoted as ever), and so does any other
 * fault.  Afterwards the replica follows by checksum.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "mirror.h"
#include "response.h"
#include "sense.h"
#include "sidecar.h"

#define LOOK_MS 200

/* The guest, or something of it, fails by now: no warning can wait for hours beside that. */
static bool is_needed_elsewhere(const struct sidecar *sidecar)
{
	const struct sense_fault *next = sense_next(sidecar);

	return next && !next->fault.warning;
}

static bool news(void *arg)
{
	const struct sidecar *sidecar = arg;

	return sidecar->job_news || sidecar->loop.quit || sidecar->monitor.closed ||
	       sidecar->fault.kind != FAULT_NONE || is_needed_elsewhere(sidecar);
}

static int copy(struct sidecar *sidecar, struct mirror *mirror, struct errinfo *err)
{
	while (mirror->state != MIRROR_READY) {
		int rc;

		sidecar->job_news = false;
		loop_until(&sidecar->loop, news, sidecar, ring_now_ns() + LOOK_MS * NS_PER_MS);
		if (sidecar->monitor.closed)
			return err_set(err, -ENOTCONN, "QEMU closed the connection");
		if (sidecar->loop.quit)
			return err_set(err, -EINTR, "the sidecar ends");
		if (sidecar->fault.kind != FAULT_NONE)
			return err_set(err, -EIO, "disk %s failed meanwhile: %s",
				       sidecar->guest.disks[sidecar->fault.disk].name,
				       sidecar->fault.detail);
		if (is_needed_elsewhere(sidecar))
			return err_set(err, -EAGAIN, "something worse came meanwhile: %s",
				       sense_next(sidecar)->fault.evidence);
		rc = mirror_look(sidecar, mirror, err);
		if (rc)
			return rc;
	}
	return 0;
}

/* The old root may be its owner's, and stays; what we had on it goes. */
static void leave(struct sidecar *sidecar, const char *old)
{
	monitor_call(&sidecar->monitor, "block-dirty-bitmap-remove",
		     json_pack("{s:s,s:s}", "node", old, "name", sidecar->checkpoint.last), NULL,
		     NULL);
	mirror_drop_left(sidecar, MIRROR_LEFT_ALL);
	sidecar->uncovered = true;
	sidecar->alert = true;
	sidecar_degrade(sidecar, "the guest was moved to the spare: its disk is compared with the "
			"replica");
}

static bool same_room(const struct sidecar *sidecar, const struct guest_disk *disk)
{
	struct stat image, spare;

	return !stat(disk->file, &image) && !stat(sidecar->config->spare, &spare) &&
	       image.st_dev == spare.st_dev;
}

int strategy_mirror(struct response *response, struct errinfo *err)
{
	struct sidecar *sidecar = response->sidecar;
	struct mirror *mirror = &sidecar->reprotect.mirror;
	const struct guest_disk *disk = &sidecar->guest.disks[response->fault.index];
	char old[64];
	int rc;

	if (response->fault.kind == FAULT_DISK_FULL && same_room(sidecar, disk))
		return err_set(err, -ENOSPC, "the spare is on the file system that gets full");
	if (mirror->state != MIRROR_NONE || store_info(sidecar->store)->promoted)
		return err_set(err, -EBUSY, "disk %s is being moved already", disk->name);
	snprintf(old, sizeof(old), "%s", disk->node);
	sidecar_degrade(sidecar, "a disk that may fail soon is being moved to the spare; generations "
			"wait");
	/* The disk may die, and no generation is made meanwhile: twice as fast as others. */
	rc = mirror_start(sidecar, mirror, (unsigned)response->fault.index,
			  2 * reprotect_rate(sidecar), err);
	if (!rc)
		rc = copy(sidecar, mirror, err);
	timeline_mark(&response->timeline, "copy");
	if (!rc)
		rc = mirror_complete(sidecar, mirror, err);
	timeline_mark(&response->timeline, "complete");
	if (rc) {
		mirror_abandon(sidecar, mirror);
		return rc;
	}
	response->told = json_pack("{s:{s:s,s:s,s:s}}", "image", "disk", disk->name, "path",
				   disk->file, "format", "raw");
	log_info("disk %s of %s lives in %s now: start QEMU on that image next time", disk->name,
		 sidecar->guest.name, disk->file);
	leave(sidecar, old);
	return 0;
}
