/* SPDX-License-Identifier: Apache-2.0
 *
 * What a start finds of a roll back that an earlier sidecar did not end:
 *
 *   no disk was exchanged   the guest is as it was: taken back, it goes on
 *   some were, or all       the others follow, and the guest is reset
 *
 * So all disks are of one point in time whenever the guest runs.  A guest that was
 * exchanged and runs has been reset, or somebody let it go on before: reset again,
 * because nobody can tell.  QEMU tells "prelaunch" of a paused guest that was
 * reset: that one only goes on.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "file.h"
#include "jsontext.h"
#include "reset.h"
#include "rollback.h"
#include "rollback_record.h"

struct settling {
	struct sidecar *sidecar;
	const json_t *record, *disks;
	struct promotion left[BOUND_DISKS]; /* not exchanged yet */
	unsigned count;
	bool resume;
};

/* Killed at any moment of it: a start finds the guest reset and lets it go on, or finds another
 * QEMU, and keeps the images.  Without room for the note the guest goes on all the same. */
int rollback_reset(struct sidecar *sidecar, bool resume, struct errinfo *err)
{
	struct errinfo why = {0};
	int rc = reset_guest(sidecar, false, err);

	if (!rc && rollback_record_exchanged(sidecar, &why))
		log_warn("that the disks were exchanged is not noted: %s", why.text);
	return !rc && resume ? reset_resume(sidecar, err) : rc;
}

static int find_left(struct settling *settling, struct errinfo *err)
{
	struct sidecar *sidecar = settling->sidecar;
	const json_t *item;
	size_t i;

	json_array_foreach(settling->disks, i, item) {
		const char *name = json_text(item, "disk");
		struct promotion *left = &settling->left[settling->count];
		struct guest_disk *disk = guest_find(&sidecar->guest, name);

		if (!disk || strcmp(disk->name, name))
			return err_set(err, -EPERM, "disk %s is in the middle of a roll back to "
				       "point %s and not among the disks to protect: name it with --disk "
				       "too", name, json_text(settling->record, "point"));
		if (!strcmp(disk->node, json_text(item, "node")))
			continue;
		left->disk = (unsigned)(disk - sidecar->guest.disks);
		left->raw = true;
		rollback_path(sidecar, json_text(settling->record, "dir"), json_text(item, "file"),
			      left->image);
		snprintf(left->node, sizeof(left->node), "%s", json_text(item, "node"));
		settling->count++;
	}
	return 0;
}

/* Nodes that no device has: QEMU refuses to delete the others. */
static void drop_nodes(struct settling *settling)
{
	for (unsigned i = 0; i < settling->count; i++)
		monitor_call(&settling->sidecar->monitor, "blockdev-del",
			     json_pack("{s:s}", "node-name", settling->left[i].node), NULL, NULL);
}

static int undo(struct settling *settling, struct errinfo *err)
{
	struct sidecar *sidecar = settling->sidecar;
	int rc = rollback_record_undo(sidecar, err);

	log_info("a roll back of %s to point %s was cut off before it changed anything",
		 sidecar->guest.name, json_text(settling->record, "point"));
	if (!rc && settling->resume && !strcmp(sidecar->guest.status, "paused"))
		rc = monitor_call(&sidecar->monitor, "cont", NULL, NULL, err);
	return rc;
}

/* Their images are what the guest has now; the bitmaps of before say nothing. */
static void take_nodes(struct settling *settling)
{
	struct sidecar *sidecar = settling->sidecar;
	char since[64];
	const json_t *item;
	size_t i;

	bitmap_name(sidecar, store_info(sidecar->store)->generation, since);
	json_array_foreach(settling->disks, i, item) {
		struct guest_disk *disk = guest_find(&sidecar->guest, json_text(item, "disk"));

		monitor_call(&sidecar->monitor, "block-dirty-bitmap-remove",
			     json_pack("{s:s,s:s}", "node", json_text(item, "old"), "name", since),
			     NULL, NULL);
		snprintf(disk->node, sizeof(disk->node), "%s", json_text(item, "node"));
		snprintf(disk->driver, sizeof(disk->driver), "raw");
		rollback_path(sidecar, json_text(settling->record, "dir"), json_text(item, "file"),
			      disk->file);
	}
}

static void report_finished(struct settling *settling)
{
	struct sidecar *sidecar = settling->sidecar;
	const json_t *item, *record = settling->record;
	json_t *images = json_array(), *fields;
	char path[PATH_MAX];
	size_t i;

	json_array_foreach(settling->disks, i, item) {
		rollback_path(sidecar, json_text(record, "dir"), json_text(item, "file"), path);
		json_array_append_new(images, json_pack("{s:s,s:s,s:s}", "disk",
							json_text(item, "disk"), "path", path,
							"format", "raw"));
	}
	fields = json_pack("{s:s,s:O,s:f,s:I,s:[],s:O,s:o,s:O,s:O}", "strategy",
			   json_text(record, "dir")[0] ? "restore" : "rollback",
			   "generation", json_object_get(record, "generation"), "downtime_ms",
			   (double)(loop_realtime_us() -
				    json_integer_value(json_object_get(record, "time_us"))) / 1e3,
			   "lost_bytes", json_integer_value(json_object_get(record, "lost_bytes")),
			   "steps", "image", json_array_get(images, 0), "images",
			   images, "point", json_object_get(record, "point"), "before",
			   json_object_get(record, "before"));
	json_decref(sidecar->last_recovery);
	sidecar->last_recovery = json_incref(fields);
	log_info("a roll back of %s to point %s that was cut off is ended", sidecar->guest.name,
		 json_text(record, "point"));
	report_event(&sidecar->report, "recovered", fields);
}

static int finish(struct settling *settling, struct errinfo *err)
{
	struct sidecar *sidecar = settling->sidecar;
	bool was_reset = !settling->count && !strcmp(sidecar->guest.status, "prelaunch");
	int rc = 0;

	if (settling->count)
		rc = promote_swap(sidecar, settling->left, settling->count, err);
	else if (guest_running(&sidecar->guest))
		rc = monitor_call(&sidecar->monitor, "stop", NULL, NULL, err);
	if (rc)
		return rc;
	take_nodes(settling);
	if (!was_reset)
		rc = rollback_reset(sidecar, settling->resume, err);
	else if (settling->resume)
		rc = monitor_call(&sidecar->monitor, "cont", NULL, NULL, err);
	if (!rc)
		rc = rollback_record_done(sidecar, err);
	if (!rc)
		report_finished(settling);
	return rc;
}

/* Images hold what the guest wrote last; QEMU was started on others. */
static void warn_of_images(struct settling *settling)
{
	const struct sidecar *sidecar = settling->sidecar;

	for (unsigned i = 0; i < settling->count; i++) {
		const struct promotion *left = &settling->left[i];
		const struct guest_disk *disk = &sidecar->guest.disks[left->disk];
		char file[PATH_MAX];

		if (promote_is_ours(sidecar, disk) || strstr(disk->file, strrchr(left->image, '/')))
			continue;
		snprintf(file, sizeof(file), "%s", disk->file);
		log_warn("disk %s was rolled back to point %s and lived in %s since; this QEMU "
			 "runs it on %s, and the replica follows that", disk->name,
			 json_text(settling->record, "point"), left->image, file);
	}
}

static int settle_record(struct sidecar *sidecar, const json_t *record, struct errinfo *err)
{
	static struct settling settling; /* large; one flow of control */
	struct errinfo ignored = {0};
	int rc;

	memset(&settling, 0, sizeof(settling));
	settling.sidecar = sidecar;
	settling.record = record;
	settling.disks = json_object_get(record, "disks");
	settling.resume = json_is_true(json_object_get(record, "resume"));
	if (json_is_true(json_object_get(record, "done"))) {
		if (!find_left(&settling, &ignored))
			warn_of_images(&settling);
		return 0;
	}
	rc = find_left(&settling, err);
	if (rc)
		return rc;
	drop_nodes(&settling);
	if (settling.count == json_array_size(settling.disks) &&
	    json_is_true(json_object_get(record, "exchanged"))) { /* another QEMU, on the old ones */
		warn_of_images(&settling);
		return rollback_record_done(sidecar, err);
	}
	return settling.count == json_array_size(settling.disks) ? undo(&settling, err)
								  : finish(&settling, err);
}

int rollback_settle(struct sidecar *sidecar, struct errinfo *err)
{
	struct errinfo damage = {0};
	json_t *record;
	int rc = rollback_record_read(sidecar, &record, &damage);

	if (rc && rc != -ENOENT)
		log_warn("%s", damage.text);
	rc = record ? settle_record(sidecar, record, err) : 0;
	json_decref(record);
	if (!rc)
		rollback_clean(sidecar);
	return rc;
}
