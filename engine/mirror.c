/* SPDX-License-Identifier: Apache-2.0 */
#include "mirror_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "file.h"
#include "jsontext.h"
#include "promote.h"
#include "sidecar.h"

#define WAIT_MS 30000	    /* for QEMU to flush and drain a busy disk */
#define POLL_MS 20
#define GRANULARITY_MIN 4096u
#define GRANULARITY_MAX 65536u
#define BITMAP_MAX (4u << 20) /* bytes */
#define HURRY_PART 8 /* of the disk, copied more than once */
#define HURRY_FACTOR 4

bool mirror_is_ours(const struct sidecar *sidecar, const char *node)
{
	char own[8];

	snprintf(own, sizeof(own), "-%.4s-", store_info(sidecar->store)->uuid);
	return !strncmp(node, MIRROR_NODE, strlen(MIRROR_NODE)) && strstr(node, own);
}

bool mirror_is_root(const struct sidecar *sidecar, const struct guest_disk *disk)
{
	return mirror_is_ours(sidecar, disk->node);
}

/* --- the job --- */

static json_t *node_options(const struct guest_disk *disk, const struct mirror *mirror)
{
	return json_pack("{s:s,s:s,s:s,s:{s:b,s:b},s:{s:s,s:s,s:s,s:{s:b,s:b}}}", "driver", "raw",
			 "node-name", mirror->node, "discard", "unmap", "cache", "direct",
			 disk->cache_direct, "no-flush", disk->cache_no_flush, "file", "driver",
			 "file", "filename", mirror->image, "discard", "unmap", "cache", "direct",
			 disk->cache_direct, "no-flush", disk->cache_no_flush);
}

/* A write of the guest has so much copied again.  Small, then, but for what the two bitmaps of
 * a large disk take: 4 MiB each up to 2 TiB. */
static unsigned granularity_of(uint64_t size)
{
	unsigned bytes = GRANULARITY_MIN;

	while (bytes < GRANULARITY_MAX && size / bytes / 8 > BITMAP_MAX)
		bytes *= 2;
	return bytes;
}

/* An error of either side ends the job and never stops the guest. */
static json_t *job_options(const struct guest_disk *disk, const struct mirror *mirror,
			   uint64_t rate)
{
	return json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:I,s:i,s:b}", "job-id", mirror->job, "device",
			 disk->node, "target", mirror->node, "sync", "full", "on-source-error",
			 "report", "on-target-error", "report", "speed", (json_int_t)rate,
			 "granularity", (int)granularity_of(disk->size), "auto-dismiss", 0);
}

/* QEMU names the filter of the job in its events, and the new root from the moment of
 * the exchange on: what fails then is still this disk. */
static void note_cover(struct sidecar *sidecar, unsigned disk)
{
	struct guest_disk *covered = &sidecar->guest.disks[disk];
	const json_t *node;
	json_t *list = NULL;
	size_t i;

	if (guest_query_nodes(&sidecar->monitor, &list, NULL))
		return;
	json_array_foreach(list, i, node) {
		if (!strcmp(json_text(node, "drv"), "mirror_top") &&
		    !strcmp(json_text(node, "file"), covered->file))
			snprintf(covered->cover, sizeof(covered->cover), "%s",
				 json_text(node, "node-name"));
	}
	json_decref(list);
}

int mirror_start(struct sidecar *sidecar, struct mirror *mirror, unsigned disk, uint64_t rate,
		 struct errinfo *err)
{
	const struct guest_disk *from = &sidecar->guest.disks[disk];
	struct batch batch;
	int rc;

	*mirror = (struct mirror){.disk = disk, .total = from->size, .rate = rate,
				  .enough_bytes = from->size / HURRY_PART * (HURRY_PART + 1)};
	rc = mirror_check_room(sidecar, disk, err);
	if (!rc)
		rc = mirror_choose_names(sidecar, mirror, err);
	if (!rc)
		rc = mirror_files_make(sidecar, mirror, from->size, err);
	if (rc)
		return rc;
	batch_init(&batch, &sidecar->monitor);
	batch_add(&batch, "blockdev-add", node_options(from, mirror));
	batch_add(&batch, "blockdev-mirror", job_options(from, mirror, rate));
	rc = batch_run(&batch, err);
	batch_release(&batch);
	mirror->state = MIRROR_COPYING;
	if (rc)
		mirror_abandon(sidecar, mirror);
	else
		note_cover(sidecar, disk);
	return rc;
}

/* The job of this id out of query-jobs, with a new reference on the list in LIST. */
static const json_t *find_job(struct sidecar *sidecar, const char *id, json_t **list,
			      struct errinfo *err)
{
	const json_t *job;
	size_t i;

	*list = NULL;
	if (monitor_call(&sidecar->monitor, "query-jobs", NULL, list, err))
		return NULL;
	json_array_foreach(*list, i, job) {
		if (!strcmp(json_text(job, "id"), id))
			return job;
	}
	err_set(err, -ENOENT, "somebody ended the job %s", id);
	return NULL;
}

static void set_speed(struct sidecar *sidecar, const struct mirror *mirror)
{
	monitor_call(&sidecar->monitor, "block-job-set-speed",
		     json_pack("{s:s,s:I}", "device", mirror->job, "speed",
			       (json_int_t)mirror->rate), NULL, NULL);
}

/* More than the disk was copied, and it is still not the same: the guest writes as fast as
 * we may copy. */
static void hurry(struct sidecar *sidecar, struct mirror *mirror)
{
	uint64_t size = sidecar->guest.disks[mirror->disk].size;

	if (!mirror->rate || mirror->done < mirror->enough_bytes)
		return;
	mirror->rate *= HURRY_FACTOR;
	mirror->enough_bytes = mirror->done + size / HURRY_PART;
	log_info("the guest writes as fast as its disk is copied: %llu MiB/s are allowed now",
		 (unsigned long long)mirror->rate >> 20);
	set_speed(sidecar, mirror);
}

void mirror_unlimit(struct sidecar *sidecar, struct mirror *mirror)
{
	if (!mirror->rate)
		return;
	mirror->rate = 0;
	set_speed(sidecar, mirror);
}

int mirror_look(struct sidecar *sidecar, struct mirror *mirror, struct errinfo *err)
{
	json_t *list;
	const json_t *job = find_job(sidecar, mirror->job, &list, err);
	const char *status = job ? json_text(job, "status") : "";
	int rc = job ? 0 : err->code;

	if (job) {
		mirror->done = (uint64_t)json_integer_value(json_object_get(job, "current-progress"));
		mirror->total = (uint64_t)json_integer_value(json_object_get(job, "total-progress"));
	}
	if (!strcmp(status, "ready"))
		mirror->state = MIRROR_READY;
	else if (!strcmp(status, "concluded") || !strcmp(status, "aborting"))
		rc = err_set(err, -EIO, "%s: %s", mirror->image,
			     json_text(job, "error")[0] ? json_text(job, "error") : "cancelled");
	json_decref(list);
	if (!rc && mirror->state == MIRROR_COPYING)
		hurry(sidecar, mirror);
	return rc;
}

static void wait_news(struct sidecar *sidecar)
{
	sidecar->job_news = false;
	loop_until_set(&sidecar->loop, &sidecar->job_news, ring_now_ns() + POLL_MS * NS_PER_MS);
}

/* 0: the job ended well. */
static int wait_concluded(struct sidecar *sidecar, const char *id, struct errinfo *err)
{
	int64_t deadline_ns = ring_now_ns() + WAIT_MS * NS_PER_MS;

	for (;;) {
		json_t *list;
		const json_t *job = find_job(sidecar, id, &list, err);
		int rc = job ? 1 : err->code;

		if (job && !strcmp(json_text(job, "status"), "concluded"))
			rc = json_text(job, "error")[0]
				     ? err_set(err, -EIO, "%s: %s", id, json_text(job, "error"))
				     : 0;
		json_decref(list);
		if (rc <= 0)
			return rc;
		if (ring_now_ns() > deadline_ns)
			return err_set(err, -ETIMEDOUT, "the job %s does not end", id);
		wait_news(sidecar);
	}
}

static void dismiss(struct sidecar *sidecar, const char *id)
{
	monitor_call(&sidecar->monitor, "job-dismiss", json_pack("{s:s}", "id", id), NULL, NULL);
}

/* Job and flight of the guest's requests end on either root: QEMU says on which. */
static int take_root(struct sidecar *sidecar, struct mirror *mirror, struct errinfo *err)
{
	static struct guest now; /* large; one flow of control */
	struct guest_disk *disk = &sidecar->guest.disks[mirror->disk];
	json_t *reply = NULL;
	int rc = monitor_call(&sidecar->monitor, "query-block", NULL, &reply, err);

	memset(&now, 0, sizeof(now));
	if (!rc)
		rc = guest_parse_block(&now, reply, err);
	json_decref(reply);
	for (unsigned i = 0; !rc && i < now.disk_count; i++) {
		if (strcmp(now.disks[i].qom, disk->qom) || strcmp(now.disks[i].node, mirror->node))
			continue;
		snprintf(disk->node, sizeof(disk->node), "%s", mirror->node);
		snprintf(disk->file, sizeof(disk->file), "%s", mirror->image);
		snprintf(disk->driver, sizeof(disk->driver), "raw");
		disk->bitmap_count = 0;
		disk->cover[0] = '\0';
		return 0;
	}
	return rc ? rc : err_set(err, -EIO, "QEMU did not move disk %s to %s", disk->name,
				 mirror->image);
}

/* What it failed to do for the guest is sent again, to the new disk. */
static void let_go_on(struct sidecar *sidecar, struct mirror *mirror)
{
	struct errinfo err = {0};

	if (sidecar->fault.kind == FAULT_NONE || sidecar->fault.disk != (int)mirror->disk)
		return;
	mirror->downtime_ms = (double)(ring_now_ns() - sidecar->fault_ns) / 1e6;
	sidecar->fault.kind = FAULT_NONE;
	sidecar->faulted &= ~(UINT64_C(1) << mirror->disk);
	if (monitor_call(&sidecar->monitor, "cont", NULL, NULL, &err))
		log_error("QEMU does not let the guest go on: %s", err.text);
}

int mirror_complete(struct sidecar *sidecar, struct mirror *mirror, struct errinfo *err)
{
	struct guest_disk *disk = &sidecar->guest.disks[mirror->disk];
	char mark[PATH_MAX + 16];
	struct errinfo job_err = {0};
	int rc;

	mirror_mark_path(mirror->image, mark);
	rc = file_remove(mark);
	if (!rc)
		rc = file_sync_dir(sidecar->config->spare);
	if (rc)
		return err_set(err, rc, "%s: %s", mark, strerror(-rc));
	mirror->marked = false;
	if (store_promoted_image(sidecar->store, mirror->disk)[0])
		rc = promote_note_left(sidecar, mirror->disk, err);
	if (rc)
		return rc;
	snprintf(disk->cover, sizeof(disk->cover), "%s", mirror->node);
	rc = monitor_call(&sidecar->monitor, "job-complete",
			  json_pack("{s:s}", "id", mirror->job), NULL, err);
	if (rc)
		return rc;
	wait_concluded(sidecar, mirror->job, &job_err);
	rc = sidecar->monitor.closed ? -ENOTCONN : take_root(sidecar, mirror, err);
	if (rc) {
		if (job_err.code)
			*err = job_err;
		return err->code ? err->code : err_set(err, rc, "QEMU is gone");
	}
	dismiss(sidecar, mirror->job);
	mirror->state = MIRROR_NONE;
	let_go_on(sidecar, mirror);
	return 0;
}

void mirror_end_job(struct sidecar *sidecar, const char *id)
{
	struct errinfo err = {0};

	monitor_call(&sidecar->monitor, "block-job-cancel",
		     json_pack("{s:s,s:b}", "device", id, "force", 1), NULL, NULL);
	wait_concluded(sidecar, id, &err);
	dismiss(sidecar, id);
}

/* The owner may have completed our job himself, or the guest may be there by a completion that
 * was not answered: then the image is its disk.  0: it is; -EIO: it is not; -ETIMEDOUT of one with
 * its mark: a start looks again; else nobody says. */
static int find_root(struct sidecar *sidecar, struct mirror *mirror)
{
	struct errinfo err = {0};
	int rc;

	if (sidecar->monitor.closed)
		return mirror->marked ? -EIO : -ENOTCONN;
	if (!mirror->marked)
		return take_root(sidecar, mirror, &err);
	rc = monitor_call(&sidecar->monitor, "blockdev-del",
			  json_pack("{s:s}", "node-name", mirror->node), NULL, NULL);
	if (rc != -EREMOTEIO)
		return rc == -ETIMEDOUT ? rc : -EIO;
	rc = take_root(sidecar, mirror, &err); /* somebody has it */
	return rc == -ENOTCONN ? -EIO : rc;
}

/* As before and behind a completion of ours.  OLD: the root it had, which goes when it is ours. */
static void note_moved(struct sidecar *sidecar, struct mirror *mirror, const char *old)
{
	struct errinfo err = {0};
	char mark[PATH_MAX + 16];

	log_warn("disk %s was moved to %s all the same", sidecar->guest.disks[mirror->disk].name,
		 mirror->image);
	if (store_promoted_image(sidecar->store, mirror->disk)[0]) {
		if (promote_note_left(sidecar, mirror->disk, &err))
			log_warn("%s", err.text);
		monitor_call(&sidecar->monitor, "blockdev-del",
			     json_pack("{s:s}", "node-name", old), NULL, NULL);
	}
	mirror_mark_path(mirror->image, mark);
	file_remove(mark);
	file_sync_dir(sidecar->config->spare);
	mirror->marked = false;
	let_go_on(sidecar, mirror);
}

void mirror_abandon(struct sidecar *sidecar, struct mirror *mirror)
{
	struct guest_disk *disk = &sidecar->guest.disks[mirror->disk];
	char old[sizeof(disk->node)];
	int rc;

	if (mirror->state == MIRROR_NONE)
		return;
	mirror->state = MIRROR_NONE;
	disk->cover[0] = '\0';
	snprintf(old, sizeof(old), "%s", disk->node);
	if (!sidecar->monitor.closed)
		mirror_end_job(sidecar, mirror->job);
	rc = find_root(sidecar, mirror);
	if (!rc) {
		note_moved(sidecar, mirror, old);
		return;
	}
	if (rc == -ETIMEDOUT && mirror->marked)
		return;
	if (rc != -EIO) { /* nobody says that it did not */
		log_warn("QEMU does not tell whether disk %s was moved to %s: that image may be "
			 "newer than the one it had, and stays", disk->name, mirror->image);
		sidecar->astray = true;
		return;
	}
	if (!sidecar->monitor.closed)
		monitor_call(&sidecar->monitor, "blockdev-del",
			     json_pack("{s:s}", "node-name", mirror->node), NULL, NULL);
	promote_drop_left(sidecar, mirror->disk); /* it did not */
	mirror_files_remove(mirror);
}
