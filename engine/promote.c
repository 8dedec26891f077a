/* SPDX-License-Identifier: Apache-2.0 */
#include "promote.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "jsontext.h"
#include "outcome.h"

#define OVERLAY_NODE "qheal-p"

bool promote_is_ours(const struct sidecar *sidecar, const struct guest_disk *disk)
{
	char dir[PATH_MAX], promoted[PATH_MAX], file[PATH_MAX];

	/* A QEMU that was started on it calls its node as its owner did. */
	if ((strncmp(disk->node, OVERLAY_NODE, strlen(OVERLAY_NODE)) &&
	     strcmp(disk->driver, "qcow2")) ||
	    !realpath(disk->file, file) || !realpath(store_dir(sidecar->store), dir))
		return false;
	snprintf(promoted, sizeof(promoted), "%.*s/promoted", PATH_MAX - 16, dir);
	return !strcmp(dirname(file), promoted);
}

int promote_clean(struct sidecar *sidecar, struct errinfo *err)
{
	const json_t *node;
	json_t *list = NULL;
	char own[8];
	size_t i;
	int rc = guest_query_nodes(&sidecar->monitor, &list, err);

	snprintf(own, sizeof(own), "-%.4s-", store_info(sidecar->store)->uuid);
	json_array_foreach(list, i, node) {
		const char *name = json_text(node, "node-name");

		if (!strncmp(name, OVERLAY_NODE, strlen(OVERLAY_NODE)) && strstr(name, own) &&
		    !monitor_call(&sidecar->monitor, "blockdev-del",
				  json_pack("{s:s}", "node-name", name), NULL, NULL))
			log_info("the overlay %s, which an earlier sidecar left, is closed", name);
	}
	json_decref(list);
	return rc;
}

static int sync_directory_of(const char *path)
{
	char copy[PATH_MAX];
	int fd, rc = 0;

	snprintf(copy, sizeof(copy), "%s", path);
	fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fsync(fd))
		rc = -errno;
	close(fd);
	return rc;
}

int promote_create(struct sidecar *sidecar, unsigned disk, struct promotion *promotion,
		   struct errinfo *err)
{
	const struct store_info *info = store_info(sidecar->store);
	const char *name = sidecar->guest.disks[disk].name;
	char backing[PATH_MAX];

	/* Its image would be made anew under the guest. */
	if (promote_is_ours(sidecar, &sidecar->guest.disks[disk]))
		return err_set(err, -EROFS, "disk %s runs on the promoted image %s, and there is no "
			       "replica of that", name, sidecar->guest.disks[disk].file);
	promotion->disk = disk;
	promotion->unknown = false;
	store_promoted_path(store_dir(sidecar->store), name, info->generation, promotion->image,
			    sizeof(promotion->image));
	snprintf(promotion->node, sizeof(promotion->node), OVERLAY_NODE "%u-%.4s-%llu", disk,
		 info->uuid, (unsigned long long)info->generation % 1000000000000);
	/* Relative to the overlay, so that the store can be moved as a whole. */
	store_head_path("..", name, backing, sizeof(backing));
	return overlay_new(&promotion->overlay, sidecar->loop.ring, sidecar->pool, promotion->image,
			   sidecar->guest.disks[disk].size, backing, err);
}

int promote_finish(struct sidecar *sidecar, struct promotion *promotions, unsigned count,
		   struct errinfo *err)
{
	struct outcome finished[BOUND_DISKS] = {0}, settled = {0};
	int rc, first = 0;

	store_settle(sidecar->store, outcome_set, &settled);
	for (unsigned i = 0; i < count; i++)
		overlay_finish(promotions[i].overlay, outcome_set, &finished[i]);
	for (unsigned i = 0; i < count; i++) {
		rc = outcome_wait(&finished[i], &sidecar->loop, err);
		first = first ? first : rc;
		overlay_free(promotions[i].overlay);
		promotions[i].overlay = NULL;
	}
	rc = outcome_wait(&settled, &sidecar->loop, err);
	first = first ? first : rc;
	if (!first && count) {
		first = sync_directory_of(promotions[0].image);
		if (first)
			err_set(err, first, "%s: %s", promotions[0].image, strerror(-first));
	}
	return first;
}

int promote_note(struct sidecar *sidecar, const struct promotion *promotions, unsigned count,
		 struct errinfo *err)
{
	struct store_placement placements[BOUND_DISKS];

	for (unsigned i = 0; i < count; i++) {
		promote_drop_left(sidecar, promotions[i].disk);
		placements[i] = (struct store_placement){promotions[i].disk, promotions[i].image};
	}
	return store_promote(sidecar->store, placements, count, err);
}

bool promote_is_left(const struct promotion *promotions, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		if (promotions[i].swapped || promotions[i].unknown)
			return true;
	}
	return false;
}

void promote_abandon(struct sidecar *sidecar, struct promotion *promotions, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		struct outcome gone = {0};

		if (promotions[i].overlay) {
			overlay_abandon(promotions[i].overlay, outcome_set, &gone);
			outcome_wait(&gone, &sidecar->loop, NULL);
			overlay_free(promotions[i].overlay);
			promotions[i].overlay = NULL;
		} else if (!promotions[i].swapped && !promotions[i].unknown) {
			unlink(promotions[i].image);
		}
	}
}

static void add_overlay(struct batch *batch, const struct guest_disk *disk,
			const struct promotion *promotion)
{
	/* The cache mode the owner chose for the disk goes on to hold. */
	batch_add(batch, "blockdev-add",
		  json_pack("{s:s,s:s,s:s,s:{s:b,s:b},s:{s:s,s:s,s:s,s:{s:b,s:b}}}", "driver",
			    promotion->raw ? "raw" : "qcow2", "node-name", promotion->node,
			    "discard", "unmap", "cache", "direct", disk->cache_direct, "no-flush",
			    disk->cache_no_flush, "file", "driver", "file", "filename",
			    promotion->image, "discard", "unmap", "cache", "direct",
			    disk->cache_direct, "no-flush", disk->cache_no_flush));
}

static void add_drive(struct batch *batch, const struct guest_disk *disk, const char *node)
{
	batch_add(batch, "qom-set", json_pack("{s:s,s:s,s:s}", "path", disk->qom, "property",
					      "drive", "value", node));
}

/* Only what was done: QEMU aborts when the drive is set to the node it has. */
void promote_unswap(struct sidecar *sidecar, struct promotion *promotions, unsigned count)
{
	unsigned back[BOUND_DISKS] = {0};
	struct batch batch;

	batch_init(&batch, &sidecar->monitor);
	for (unsigned i = 0; i < count; i++) {
		const struct guest_disk *disk = &sidecar->guest.disks[promotions[i].disk];

		back[i] = batch.count;
		if (promotions[i].unknown)
			continue;
		if (promotions[i].swapped)
			add_drive(&batch, disk, disk->node);
		if (promotions[i].added)
			batch_add(&batch, "blockdev-del",
				  json_pack("{s:s}", "node-name", promotions[i].node));
	}
	batch_run(&batch, NULL);
	for (unsigned i = 0; i < count; i++) {
		if (promotions[i].unknown) {
			if (!sidecar->swap_unknown)
				sidecar->swap_resumes = sidecar->resumes;
			sidecar->swap_unknown = true;
			continue;
		}
		if (promotions[i].swapped)
			promotions[i].swapped = batch.entries[back[i]].status != 0;
		promotions[i].added = promotions[i].swapped;
		sidecar->astray |= promotions[i].swapped && !sidecar->monitor.closed;
	}
	batch_release(&batch);
}

static void add_swap(struct batch *batch, const struct guest_disk *disk,
		     const struct promotion *promotion)
{
	if (disk->iothread[0] && !strstr(disk->qom, "virtio-backend"))
		batch_add(batch, "x-blockdev-set-iothread",
			  json_pack("{s:s,s:s}", "node-name", promotion->node, "iothread",
				    disk->iothread));
	add_drive(batch, disk, promotion->node);
}

/* What the guest wrote since the freeze is in the bitmap `next` of the old root. */
static int refuse_if_written(struct sidecar *sidecar, const struct promotion *promotions,
			     unsigned count, const json_t *blocks, struct errinfo *err)
{
	uint64_t members = 0, bytes;
	int rc;

	for (unsigned i = 0; i < count; i++)
		members |= UINT64_C(1) << promotions[i].disk;
	rc = checkpoint_written(&sidecar->checkpoint, blocks, members, &bytes, err);
	if (!rc && bytes)
		rc = err_set(err, -EAGAIN, "somebody let the guest go on during the recovery, and "
			     "it wrote to the disk");
	return rc;
}

/* Stopped (already, unless somebody let it go on) the guest cannot write between
 * the look and the swap. */
static int open_overlays(struct sidecar *sidecar, struct promotion *promotions, unsigned count,
			 struct errinfo *err)
{
	unsigned first, blocks;
	struct batch batch;
	int rc;

	batch_init(&batch, &sidecar->monitor);
	batch_add(&batch, "stop", NULL);
	blocks = batch_add(&batch, "query-block", NULL);
	first = batch.count;
	for (unsigned i = 0; i < count; i++)
		add_overlay(&batch, &sidecar->guest.disks[promotions[i].disk], &promotions[i]);
	rc = batch_run(&batch, err);
	for (unsigned i = 0; i < count; i++)
		promotions[i].added = batch.entries[first + i].status == 0;
	if (!rc)
		rc = refuse_if_written(sidecar, promotions, count, batch.entries[blocks].result,
				       err);
	batch_release(&batch);
	return rc;
}

int promote_swap(struct sidecar *sidecar, struct promotion *promotions, unsigned count,
		 struct errinfo *err)
{
	unsigned last[BOUND_DISKS], resumes;
	struct batch batch;
	int rc = open_overlays(sidecar, promotions, count, err);

	resumes = sidecar->resumes;
	if (!rc) {
		batch_init(&batch, &sidecar->monitor);
		/* Who lets it go on after the look does not get it onto the new images. */
		batch_add(&batch, "stop", NULL);
		for (unsigned i = 0; i < count; i++) {
			add_swap(&batch, &sidecar->guest.disks[promotions[i].disk],
				 &promotions[i]);
			last[i] = batch.count - 1;
		}
		rc = batch_run(&batch, err);
		for (unsigned i = 0; i < count; i++) {
			promotions[i].swapped = batch.entries[last[i]].status == 0;
			promotions[i].unknown = batch.entries[last[i]].status == -ETIMEDOUT;
		}
		batch_release(&batch);
	}
	if (!rc && sidecar->resumes != resumes)
		rc = err_set(err, -EAGAIN, "somebody let the guest go on just before the exchange");
	if (rc && rc != -ENOTCONN)
		promote_unswap(sidecar, promotions, count);
	return rc;
}

static void reset_path(const struct sidecar *sidecar, char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, "%s/promoted/reset", store_dir(sidecar->store));
}

static void left_path(const char *store, const char *disk, char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, "%s/promoted/%s.left", store, disk);
}

/* An empty file, durable. */
static int note(const char *path, struct errinfo *err)
{
	int fd, rc;

	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_set(err, -errno, "%s: %s", path, strerror(errno));
	rc = fsync(fd) ? -errno : sync_directory_of(path);
	close(fd);
	return rc ? err_set(err, rc, "%s: %s", path, strerror(-rc)) : 0;
}

int promote_note_reset(const struct sidecar *sidecar, struct errinfo *err)
{
	char path[PATH_MAX];

	reset_path(sidecar, path);
	return note(path, err);
}

int promote_note_left(const struct sidecar *sidecar, unsigned disk, struct errinfo *err)
{
	char path[PATH_MAX];

	left_path(store_dir(sidecar->store), sidecar->guest.disks[disk].name, path);
	return note(path, err);
}

void promote_drop_left(const struct sidecar *sidecar, unsigned disk)
{
	char path[PATH_MAX];

	left_path(store_dir(sidecar->store), sidecar->guest.disks[disk].name, path);
	unlink(path);
}

bool promote_has_left(const char *store, const char *disk)
{
	char path[PATH_MAX];

	left_path(store, disk, path);
	return access(path, F_OK) == 0;
}

void promote_drop_reset(const struct sidecar *sidecar)
{
	char path[PATH_MAX];

	reset_path(sidecar, path);
	unlink(path);
}

bool promote_needs_reset(const struct sidecar *sidecar)
{
	char path[PATH_MAX];

	reset_path(sidecar, path);
	return access(path, F_OK) == 0;
}

json_t *promote_images_json(const struct sidecar *sidecar, const struct promotion *promotions,
			    unsigned count, const char *format)
{
	json_t *images = json_array();

	for (unsigned i = 0; i < count; i++)
		json_array_append_new(
			images, json_pack("{s:s,s:s,s:s}", "disk",
					  sidecar->guest.disks[promotions[i].disk].name, "path",
					  promotions[i].image, "format", format));
	return images;
}
