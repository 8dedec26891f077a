/* SPDX-License-Identifier: Apache-2.0 */
#include "rollback.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control.h"
#include "file.h"
#include "jsontext.h"
#include "mind.h"
#include "points.h"
#include "reset.h"
#include "rollback_check.h"
#include "rollback_copy.h"
#include "rollback_private.h"
#include "rollback_record.h"
#include "sidecar.h"
#include "tell.h"
#include "timeline.h"

#define ROLLBACK_TRIES 10000	/* roll backs to one point, names of one second */

static void answer_error(struct sidecar *sidecar, uint64_t ticket, const struct errinfo *err)
{
	if (sidecar->rollback && sidecar->rollback->by_fault)
		return;
	log_warn("roll back: %s", err->text);
	control_reply_to(sidecar->control, ticket, json_pack("{s:s}", "error", err->text));
}

void rollback_files_remove(const struct rollback *rollback)
{
	for (unsigned i = 0; i < rollback->count; i++) {
		if (!rollback->promotions[i].swapped)
			unlink(rollback->promotions[i].image);
	}
}

void rollback_end(struct sidecar *sidecar)
{
	file_close(sidecar->rollback->hold_fd);
	free(sidecar->rollback);
	sidecar->rollback = NULL;
}

/* --- the copies --- */

static void image_name(const struct sidecar *sidecar, const struct rollback *rollback,
		       unsigned disk, char path[PATH_MAX])
{
	char file[STORE_NAME_MAX + 64];

	if (!rollback->dir[0])
		snprintf(file, sizeof(file), ROLLBACK_FILE "%s-%u-%u.raw",
			 sidecar->guest.disks[disk].name, rollback->point.id, rollback->serial);
	else /* which may be the spare of other guests, too */
		snprintf(file, sizeof(file), ROLLBACK_FILE "%s-%.8s-%u-%u.raw",
			 sidecar->guest.disks[disk].name, store_info(sidecar->store)->uuid,
			 rollback->point.id, rollback->serial);
	rollback_path(sidecar, rollback->dir, file, path);
}

/* Those of an earlier roll back to the same point may be in use. */
static int choose_serial(const struct sidecar *sidecar, struct rollback *rollback,
			 struct errinfo *err)
{
	char path[PATH_MAX];

	for (rollback->serial = 1; rollback->serial < ROLLBACK_TRIES; rollback->serial++) {
		bool free = true;

		for (unsigned i = 0; i < sidecar->guest.disk_count; i++) {
			image_name(sidecar, rollback, i, path);
			free = free && access(path, F_OK);
		}
		if (free)
			return 0;
	}
	rollback_path(sidecar, rollback->dir, "", path);
	return err_set(err, -EEXIST, "%s holds too many images of point %s", path,
		       rollback->point.name);
}

int rollback_copy_next(struct sidecar *sidecar, struct errinfo *err)
{
	struct rollback *rollback = sidecar->rollback;
	unsigned disk = rollback->count;
	struct promotion *promotion = &rollback->promotions[rollback->count++];

	promotion->disk = disk;
	promotion->raw = true;
	image_name(sidecar, rollback, disk, promotion->image);
	snprintf(promotion->node, sizeof(promotion->node), ROLLBACK_NODE "%.4s-%u-%u-%u",
		 store_info(sidecar->store)->uuid, rollback->point.id, rollback->serial, disk);
	return rollback_copy_start(&rollback->copy, sidecar->pool, store_dir(sidecar->store),
				   &rollback->point, sidecar->guest.disks[disk].name,
				   sidecar->guest.disks[disk].size, promotion->image, err);
}

static void copy_failed(struct sidecar *sidecar, const struct errinfo *err)
{
	rollback_copy_release(&sidecar->rollback->copy);
	rollback_files_remove(sidecar->rollback);
	answer_error(sidecar, sidecar->rollback->ticket, err);
	rollback_end(sidecar);
}

int rollback_begin(struct sidecar *sidecar, const struct point_info *point, const char *dir,
		   uint64_t ticket, struct errinfo *err)
{
	struct rollback *rollback = calloc(1, sizeof(*rollback));
	int rc;

	if (!rollback)
		return err_set(err, -ENOMEM, "no memory for a roll back");
	rollback->point = *point;
	rollback->ticket = ticket;
	rollback->start_ns = ring_now_ns();
	timeline_start(&rollback->timeline, rollback->start_ns);
	rollback->hold_fd = point_hold(store_dir(sidecar->store), point->id, err);
	rc = rollback->hold_fd < 0 ? rollback->hold_fd : 0;
	if (!rc && dir && (!realpath(dir, rollback->dir) ||
			   strlen(rollback->dir) + STORE_NAME_MAX + 64 >= PATH_MAX))
		rc = err_set(err, -ENOTDIR, "--spare %s cannot be used", dir);
	if (!rc)
		rc = choose_serial(sidecar, rollback, err);
	sidecar->rollback = rollback;
	if (rc)
		rollback_end(sidecar);
	return rc;
}

void rollback_order(struct sidecar *sidecar, const json_t *order)
{
	uint64_t ticket = control_postpone(sidecar->control);
	const struct point_info *point = NULL;
	struct errinfo err = {0};
	int rc = 0;

	if (sidecar->rollback)
		rc = err_set(&err, -EBUSY, "a roll back to point %s is under way",
			     sidecar->rollback->point.name);
	if (!rc)
		rc = rollback_check_state(sidecar, &err);
	if (!rc)
		point = rollback_find_point(sidecar, json_text(order, "point"), &err);
	if (point)
		rc = rollback_check_disks(sidecar, point, &err);
	if (point && !rc)
		rc = rollback_check_room(sidecar, point, NULL, &err);
	if (point && !rc)
		rc = rollback_begin(sidecar, point, NULL, ticket, &err);
	if (!point || rc) {
		answer_error(sidecar, ticket, &err);
		return;
	}
	log_info("%s goes back to point %s: its disks are being made ready", sidecar->guest.name,
		 point->name);
	if (rollback_copy_next(sidecar, &err))
		copy_failed(sidecar, &err);
}

/* --- the switch --- */

/* Unused, so that its taking cannot fail for the name. */
static int choose_before(struct sidecar *sidecar, struct errinfo *err)
{
	struct rollback *rollback = sidecar->rollback;
	char time[POINT_NAME_MAX + 1];
	unsigned count;
	const struct point_info *points = store_points(sidecar->store, &count);

	for (unsigned try = 1; try < ROLLBACK_TRIES; try++) {
		points_name_of_time(loop_realtime_us(), try, time);
		snprintf(rollback->before, sizeof(rollback->before), "before-rollback-%.40s", time);
		if (!point_find(points, count, rollback->before))
			return 0;
	}
	return err_set(err, -EEXIST, "there is no name left for the point before the roll back");
}

static int note_begin(struct sidecar *sidecar, struct errinfo *err)
{
	struct rollback *rollback = sidecar->rollback;
	struct rollback_note note = {.point = &rollback->point, .before = rollback->before,
				     .resume = rollback->resume,
				     .time_us = loop_realtime_us(), .dir = rollback->dir,
				     .lost_bytes = rollback->lost_bytes};
	char dir[PATH_MAX];
	int rc;

	rollback_path(sidecar, rollback->dir, "", dir);
	rc = file_sync_dir(dir);
	if (rc)
		return err_set(err, rc, "%s: %s", dir, strerror(-rc));
	return rollback_record_begin(sidecar, &note, rollback->promotions, rollback->count, err);
}

/* The guest stands still from the stop on. */
static double predicted_ms(const struct sidecar *sidecar)
{
	struct model_prediction prediction;

	model_predict(&sidecar->config->mind->model, MODEL_PLAN_ASKED, &(struct model_work){0},
		      &prediction);
	return prediction.downtime_ms;
}

static void announce(struct sidecar *sidecar)
{
	const struct rollback *rollback = sidecar->rollback;
	char why[256];

	if (rollback->by_fault)
		return;

	snprintf(why, sizeof(why), "somebody asked for point %s (generation %llu); what was "
		 "written since is not lost: it is in point %s", rollback->point.name,
		 (unsigned long long)rollback->point.generation, rollback->before);
	tell_recovery(sidecar, STRATEGY_ROLLBACK, predicted_ms(sidecar), 0, why, NULL);
}

/* What the event says of it, whoever wanted it. */
json_t *rollback_told_of(const struct sidecar *sidecar)
{
	const struct rollback *rollback = sidecar->rollback;
	json_t *images = promote_images_json(sidecar, rollback->promotions, rollback->count,
					     "raw");

	return json_pack("{s:I,s:I,s:O,s:o,s:s,s:s}", "generation",
			 (json_int_t)rollback->point.generation, "copied_bytes",
			 (json_int_t)rollback->copied_bytes, "image", json_array_get(images, 0),
			 "images", images, "point", rollback->point.name, "before",
			 rollback->before);
}

static void report_recovered(struct sidecar *sidecar)
{
	struct rollback *rollback = sidecar->rollback;
	double downtime_ms = (double)((rollback->resume ? sidecar->resume_us : loop_realtime_us()) -
				      rollback->stopped_us) / 1e3;
	json_t *fields = rollback_told_of(sidecar);

	json_object_update_new(fields, json_pack("{s:s,s:f,s:I,s:o}", "strategy", "rollback",
						 "downtime_ms", downtime_ms, "lost_bytes",
						 (json_int_t)0, "steps",
						 timeline_json(&rollback->timeline)));
	json_decref(sidecar->last_recovery);
	sidecar->last_recovery = json_incref(fields);
	log_info("%s was rolled back to point %s and boots, after %.1f ms; its disks live in "
		 "%s/promoted now: start QEMU on these images next time; point %s undoes it",
		 sidecar->guest.name, rollback->point.name, downtime_ms,
		 store_dir(sidecar->store), rollback->before);
	control_reply_to(sidecar->control, rollback->ticket, json_deep_copy(fields));
	report_event(&sidecar->report, "recovered", fields);
}

/* The guest has left the old nodes; the replica follows by checksum. */
static void move_on(struct sidecar *sidecar)
{
	struct rollback *rollback = sidecar->rollback;
	struct errinfo err = {0};

	sidecar->checkpoint.members = (UINT64_C(1) << sidecar->guest.disk_count) - 1;
	checkpoint_forget(&sidecar->checkpoint, &err);
	/* The node of a -drive disk goes away by itself when its device leaves it. */
	if (err.code && !strstr(err.text, "not found") && !strstr(err.text, "Cannot find"))
		log_warn("after the roll back: %s", err.text);
	err_clear(&err);
	for (unsigned i = 0; i < rollback->count; i++) {
		struct guest_disk *disk = &sidecar->guest.disks[rollback->promotions[i].disk];

		snprintf(disk->node, sizeof(disk->node), "%s", rollback->promotions[i].node);
		snprintf(disk->file, sizeof(disk->file), "%s", rollback->promotions[i].image);
		snprintf(disk->driver, sizeof(disk->driver), "raw");
		disk->bitmap_count = 0;
	}
	sidecar->uncovered = true;
	sidecar->alert = true;
	sidecar_set_state(sidecar, SIDECAR_PROTECTED);
	sidecar_degrade(sidecar, rollback->dir[0]
					 ? "the guest lives on a restored point: its disks are compared "
					   "with the replica"
					 : "the guest was rolled back: its disks are compared with the "
					   "replica");
}

/* Some disks are others now, and QEMU does not let the rest follow. */
static void give_up(struct sidecar *sidecar, const struct errinfo *why)
{
	log_error("the roll back stands half-way: %s; the guest is left paused, starting protect "
		  "again tries to end it", why->text);
	sidecar->held_resumes = sidecar->resumes;
	sidecar_set_state(sidecar, SIDECAR_HELD);
	if (sidecar->rollback->by_fault)
		return;
	tell_failed(sidecar, "rollback", why->text, "hold", NULL);
	answer_error(sidecar, sidecar->rollback->ticket, why);
}

/* Also when QEMU did not answer in time: then nobody knows, and the guest may not go
 * on before somebody looked. */
static bool may_be_swapped(const struct rollback *rollback, int status)
{
	if (rollback->swapping && status == -ETIMEDOUT)
		return true;
	for (unsigned i = 0; i < rollback->count; i++) {
		if (rollback->promotions[i].swapped)
			return true;
	}
	return false;
}

/* As if nothing had been asked. */
static void take_back(struct sidecar *sidecar, bool noted, const struct errinfo *why)
{
	struct rollback *rollback = sidecar->rollback;
	struct errinfo err = {0};

	if (rollback->ran || (rollback->stopped_us && sidecar->resumes != rollback->resumes))
		monitor_call(&sidecar->monitor, "cont", NULL, NULL, NULL);
	if (sidecar->state == SIDECAR_RECOVERING && !rollback->by_fault) {
		sidecar_set_state(sidecar, SIDECAR_PROTECTED);
		tell_failed(sidecar, "rollback", why->text, "resume", NULL);
	}
	sidecar->alert = true;
	if (noted && rollback_record_undo(sidecar, &err))
		log_warn("roll back: %s", err.text);
	rollback_files_remove(rollback);
	answer_error(sidecar, rollback->ticket, why);
}

int rollback_switch_over(struct sidecar *sidecar, struct errinfo *err)
{
	struct rollback *rollback = sidecar->rollback;
	bool noted = false;
	int rc = 0;

	keeper_stop(sidecar); /* what it works on */
	if (!rollback->by_fault)
		rc = rollback_check_state(sidecar, err);
	if (!rc)
		rc = rollback_check_disks(sidecar, &rollback->point, err);
	if (!rc && !rollback->dir[0]) /* so that little is left for the pause */
		rc = cycle_run(sidecar, err);
	if (!rc)
		rc = choose_before(sidecar, err);
	rollback->resume = rollback->dir[0] || rollback_goes_on(sidecar, sidecar->guest.status);
	if (!rc)
		rc = note_begin(sidecar, err);
	noted = !rc;
	if (!rc) {
		announce(sidecar);
		sidecar_set_state(sidecar, SIDECAR_RECOVERING);
		timeline_mark(&rollback->timeline, "prepare");
		rc = rollback->dir[0] ? rollback_exchange_failed(sidecar, err)
				      : rollback_exchange(sidecar, err);
	}
	if (rc == -ENOTCONN && sidecar->monitor.closed) /* and not only an export of it */
		return rc;
	if (rc && !may_be_swapped(rollback, rc)) {
		take_back(sidecar, noted, err);
		return rc;
	}
	if (!rc)
		rc = rollback_reset(sidecar, rollback->resume, err);
	timeline_mark(&rollback->timeline, "reset");
	if (rc) {
		give_up(sidecar, err);
		return rc;
	}
	sidecar->rollback_open = true;
	rollback_note_end(sidecar);
	if (!rollback->by_fault) {
		report_recovered(sidecar);
		mind_learn(sidecar->config->mind, MODEL_PLAN_ASKED, &rollback->timeline,
			   rollback->copied_bytes);
	}
	move_on(sidecar);
	rollback_clean(sidecar);
	return 0;
}

bool rollback_wants(const struct sidecar *sidecar)
{
	return sidecar->rollback && sidecar->rollback->copy.outcome.known;
}

void rollback_run(struct sidecar *sidecar)
{
	struct rollback *rollback = sidecar->rollback;
	struct errinfo err = rollback->copy.outcome.err;

	if (rollback->copy.outcome.status) {
		copy_failed(sidecar, &err);
		return;
	}
	rollback_copy_release(&rollback->copy);
	rollback->copied_bytes += rollback->copy.data_bytes;
	if (rollback->count < sidecar->guest.disk_count) {
		if (rollback_copy_next(sidecar, &err))
			copy_failed(sidecar, &err);
		return;
	}
	timeline_mark(&rollback->timeline, "copy");
	rollback_switch_over(sidecar, &err);
	rollback_end(sidecar);
}

void rollback_stop(struct sidecar *sidecar)
{
	struct rollback *rollback = sidecar->rollback;

	if (!rollback)
		return;
	rollback_copy_cancel(&rollback->copy);
	loop_until_set(&sidecar->loop, &rollback->copy.outcome.known, INT64_MAX);
	rollback_copy_release(&rollback->copy);
	rollback_files_remove(rollback);
	rollback_end(sidecar);
}
