/* SPDX-License-Identifier: Apache-2.0 */
#include "reprotect.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "mind.h"
#include "promote.h"
#include "sidecar.h"
#include "tell.h"
#include "timeline.h"

#define RETRY_FIRST_MS 1000
#define RETRY_LAST_MS 60000 /* a spare that was full may have room */
#define LOOK_MS 200	    /* between two looks at a copy; QEMU tells of its end */
#define TOLD_MS 1000

uint64_t reprotect_rate(const struct sidecar *sidecar)
{
	const struct config *config = sidecar->config;

	return config->mind->settings.objective == OBJECTIVE_FAST ? 0 : config->optimal_rate;
}

int reprotect_check_spare(const struct sidecar *sidecar, struct errinfo *err)
{
	const char *spare = sidecar->config->spare, *store = sidecar->config->store;
	struct stat there, here;

	if (!spare)
		return 0;
	if (stat(spare, &there))
		return err_set(err, -errno, "--spare %s: %s", spare, strerror(errno));
	if (!S_ISDIR(there.st_mode) || access(spare, W_OK | X_OK))
		return err_set(err, -ENOTDIR, "--spare %s: it is no directory that can be written",
			       spare);
	if (!stat(store, &here) && here.st_dev == there.st_dev)
		log_warn("--spare %s is on the same file system as the store: what fails one of "
			 "them may fail both", spare);
	return 0;
}

/* The guest is held because the overlay it was moved to fails. */
static bool held_by_overlay(const struct sidecar *sidecar)
{
	return sidecar->state == SIDECAR_HELD && sidecar->fault.kind != FAULT_NONE &&
	       promote_is_ours(sidecar, &sidecar->guest.disks[sidecar->fault.disk]);
}

static bool has_work(const struct sidecar *sidecar)
{
	return sidecar->config->spare && !sidecar->monitor.closed &&
	       (sidecar->reprotect.mirror.state != MIRROR_NONE ||
		sidecar->state == SIDECAR_RECOVERED || held_by_overlay(sidecar));
}

bool reprotect_wants(const struct sidecar *sidecar)
{
	if (!has_work(sidecar))
		return false;
	return ring_now_ns() >= sidecar->reprotect.due_ns ||
	       (sidecar->reprotect.mirror.state != MIRROR_NONE && sidecar->job_news);
}

int64_t reprotect_due_ns(const struct sidecar *sidecar)
{
	return has_work(sidecar) ? sidecar->reprotect.due_ns : INT64_MAX;
}

/* --- the end of it --- */

/* A QEMU that was started on the spare's image has another name for its node: there the note
 * tells that it was moved, and the image that this is where it went. */
static bool has_left(const struct sidecar *sidecar, unsigned index)
{
	const struct guest_disk *disk = &sidecar->guest.disks[index];
	const char *image = store_promoted_image(sidecar->store, index);

	if (promote_is_ours(sidecar, disk))
		return false;
	return !image[0] || mirror_is_root(sidecar, disk) || access(image, F_OK) ||
	       (promote_has_left(store_dir(sidecar->store), disk->name) &&
		mirror_is_image(sidecar, disk));
}

bool reprotect_is_over(const struct sidecar *sidecar)
{
	for (unsigned i = 0; i < sidecar->guest.disk_count; i++) {
		if (!has_left(sidecar, i))
			return false;
	}
	return true;
}

/* The overlays first: above heads that change they are garbage that looks like a disk. */
int reprotect_free_heads(struct sidecar *sidecar, struct errinfo *err)
{
	char dir[PATH_MAX];
	int rc;

	for (unsigned i = 0; i < sidecar->guest.disk_count; i++) {
		const char *image = store_promoted_image(sidecar->store, i);

		rc = image[0] ? file_remove(image) : 0;
		if (rc && rc != -ENOENT)
			return err_set(err, rc, "%s: cannot remove: %s", image, strerror(-rc));
	}
	snprintf(dir, sizeof(dir), "%s/promoted", store_dir(sidecar->store));
	rc = file_sync_dir(dir);
	if (rc)
		return err_set(err, rc, "%s: %s", dir, strerror(-rc));
	rc = store_demote(sidecar->store, err);
	if (rc)
		return rc;
	for (unsigned i = 0; i < sidecar->guest.disk_count; i++)
		promote_drop_left(sidecar, i);
	promote_drop_reset(sidecar);
	store_close(sidecar->store);
	sidecar->store = NULL;
	return store_open(&sidecar->store, sidecar->loop.ring, sidecar->pool,
			  sidecar->config->store, err);
}

/* Nothing of the store is below the guest any more. */
static void begin_anew(struct sidecar *sidecar)
{
	struct errinfo err = {0};
	int rc;

	keeper_stop(sidecar); /* it works on the store */
	rc = reprotect_free_heads(sidecar, &err);
	if (rc && !sidecar->store) {
		log_error("%s", err.text);
		sidecar->loop.quit = true;
		return;
	}
	keeper_start(sidecar);
	if (rc) {
		log_warn("%s: %s", "the replica cannot follow yet", err.text);
		sidecar->reprotect.due_ns = ring_now_ns() + RETRY_LAST_MS * NS_PER_MS;
		return;
	}
	mirror_drop_left(sidecar, sidecar->reprotect.lost ? MIRROR_LEFT_NODES : MIRROR_LEFT_ALL);
	sidecar->uncovered = true;
	sidecar->alert = true;
	sidecar_degrade(sidecar, "the guest was moved to the spare: its disks are compared with the "
			"replica");
}

/* --- a disk --- */

static void failed(struct sidecar *sidecar, const struct errinfo *why)
{
	struct reprotect *reprotect = &sidecar->reprotect;

	mirror_abandon(sidecar, &reprotect->mirror);
	reprotect->retry_ms = reprotect->retry_ms ? reprotect->retry_ms * 2 : RETRY_FIRST_MS;
	if (reprotect->retry_ms > RETRY_LAST_MS)
		reprotect->retry_ms = RETRY_LAST_MS;
	reprotect->due_ns = ring_now_ns() + reprotect->retry_ms * NS_PER_MS;
	log_warn("disk %s cannot be moved to the spare: %s; the guest is not touched, tried again in "
		 "%lld s", sidecar->guest.disks[reprotect->mirror.disk].name, why->text,
		 (long long)reprotect->retry_ms / 1000);
	tell_failed(sidecar, "mirror", why->text, "mirror",
		    sidecar->guest.disks[reprotect->mirror.disk].name);
}

static void announce(struct sidecar *sidecar, unsigned disk)
{
	const char *name = sidecar->guest.disks[disk].name;
	char why[160];

	snprintf(why, sizeof(why), "disk %s runs on an overlay of the replica: it moves to the spare, "
		 "and is protected again", name);
	tell_recovery(sidecar, STRATEGY_MIRROR, 0, 0, why, name);
}

static void start(struct sidecar *sidecar, unsigned disk)
{
	struct reprotect *reprotect = &sidecar->reprotect;
	struct errinfo err = {0};
	int rc;

	reprotect->mirror.disk = disk;
	reprotect->begun_ns = ring_now_ns();
	reprotect->copied_ns = 0;
	reprotect->due_ns = ring_now_ns() + LOOK_MS * NS_PER_MS;
	announce(sidecar, disk);
	rc = mirror_start(sidecar, &reprotect->mirror, disk,
			  held_by_overlay(sidecar) ? 0 : reprotect_rate(sidecar), &err);
	if (rc)
		failed(sidecar, &err);
}

static void tell_progress(struct sidecar *sidecar)
{
	struct reprotect *reprotect = &sidecar->reprotect;
	int64_t now_ns = ring_now_ns();

	sidecar->figures.done = reprotect->mirror.done;
	sidecar->figures.total = reprotect->mirror.total;
	if (now_ns - reprotect->told_ns < TOLD_MS * NS_PER_MS &&
	    reprotect->mirror.state == MIRROR_COPYING)
		return;
	reprotect->told_ns = now_ns;
	report_event(&sidecar->report, "progress",
		     json_pack("{s:s,s:I,s:I,s:s}", "phase", "mirror", "bytes",
			       (json_int_t)reprotect->mirror.done, "total",
			       (json_int_t)reprotect->mirror.total, "resource",
			       sidecar->guest.disks[reprotect->mirror.disk].name));
}

static void tell_moved(struct sidecar *sidecar)
{
	struct reprotect *reprotect = &sidecar->reprotect;
	const struct guest_disk *disk = &sidecar->guest.disks[reprotect->mirror.disk];
	struct timeline timeline;
	json_t *image, *fields;

	timeline_start(&timeline, reprotect->begun_ns);
	timeline.steps[timeline.count].name = "copy";
	timeline.steps[timeline.count++].ns = reprotect->copied_ns - reprotect->begun_ns;
	timeline.last_ns = reprotect->copied_ns;
	timeline_mark(&timeline, "complete");
	image = json_pack("{s:s,s:s,s:s}", "disk", disk->name, "path", disk->file, "format", "raw");
	fields = json_pack("{s:s,s:I,s:f,s:I,s:I,s:o,s:O,s:[o]}", "strategy", "mirror", "generation",
			   (json_int_t)store_info(sidecar->store)->generation, "downtime_ms",
			   reprotect->mirror.downtime_ms, "lost_bytes", (json_int_t)0, "copied_bytes",
			   (json_int_t)reprotect->mirror.done, "steps", timeline_json(&timeline),
			   "image", image, "images", image);
	json_decref(sidecar->last_recovery);
	sidecar->last_recovery = json_incref(fields);
	log_info("disk %s of %s lives in %s now, after %.1f s: start QEMU on that image next time",
		 disk->name, sidecar->guest.name, disk->file,
		 (double)(ring_now_ns() - reprotect->begun_ns) / 1e9);
	report_event(&sidecar->report, "recovered", fields);
	mind_copied(sidecar->config->mind, reprotect->mirror.done,
		    (double)(reprotect->copied_ns - reprotect->begun_ns) / 1e9);
}

static void complete(struct sidecar *sidecar)
{
	struct reprotect *reprotect = &sidecar->reprotect;
	char old[64];
	struct errinfo err = {0};

	snprintf(old, sizeof(old), "%s", sidecar->guest.disks[reprotect->mirror.disk].node);
	if (mirror_complete(sidecar, &reprotect->mirror, &err)) {
		failed(sidecar, &err);
		return;
	}
	reprotect->retry_ms = 0;
	reprotect->due_ns = 0;
	if (sidecar->state == SIDECAR_HELD && sidecar->fault.kind == FAULT_NONE)
		sidecar_set_state(sidecar, SIDECAR_RECOVERED);
	monitor_call(&sidecar->monitor, "blockdev-del", json_pack("{s:s}", "node-name", old), NULL,
		     NULL);
	tell_moved(sidecar);
}

static void look(struct sidecar *sidecar)
{
	struct reprotect *reprotect = &sidecar->reprotect;
	struct errinfo err = {0};

	sidecar->job_news = false;
	reprotect->due_ns = ring_now_ns() + LOOK_MS * NS_PER_MS;
	if (mirror_look(sidecar, &reprotect->mirror, &err)) {
		failed(sidecar, &err);
		return;
	}
	tell_progress(sidecar);
	if (held_by_overlay(sidecar)) /* it waits for nothing else */
		mirror_unlimit(sidecar, &reprotect->mirror);
	if (reprotect->mirror.state == MIRROR_READY) {
		reprotect->copied_ns = ring_now_ns();
		complete(sidecar);
	}
}

void reprotect_run(struct sidecar *sidecar)
{
	if (sidecar->reprotect.mirror.state != MIRROR_NONE) {
		look(sidecar);
		return;
	}
	for (unsigned i = 0; i < sidecar->guest.disk_count; i++) {
		if (promote_is_ours(sidecar, &sidecar->guest.disks[i])) {
			start(sidecar, i);
			return;
		}
	}
	if (sidecar->state == SIDECAR_RECOVERED && reprotect_is_over(sidecar))
		begin_anew(sidecar);
	else
		sidecar->reprotect.due_ns = ring_now_ns() + RETRY_LAST_MS * NS_PER_MS;
}

void reprotect_stop(struct sidecar *sidecar)
{
	mirror_abandon(sidecar, &sidecar->reprotect.mirror);
}
