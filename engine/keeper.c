/* SPDX-License-Identifier: Apache-2.0 */
#include "keeper.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "capture.h"
#include "control.h"
#include "jsontext.h"
#include "points.h"
#include "retention.h"
#include "rollback.h"
#include "sidecar.h"

#define KEEPER_TICK_MS 1000
#define KEEPER_NAMES 1000	   /* points of one second */
#define KEEPER_TEMPORARY_S 60	   /* the time to begin reading one that was asked for */
#define KEEPER_ROOM (16u << 20)	   /* of a next generation: what an area of the journal begins with */
_Static_assert(POINTS_MAX <= RETENTION_POINTS_MAX, "the retention is asked about all of them");

/* --- taking --- */

static void answer(struct sidecar *sidecar, json_t *reply)
{
	if (sidecar->keeper.ordered)
		control_reply(sidecar->control, reply);
	else
		json_decref(reply);
	sidecar->keeper.ordered = false;
}

static void refuse(struct sidecar *sidecar, const struct errinfo *err)
{
	if (!sidecar->keeper.ordered)
		log_warn("%s", err->text);
	answer(sidecar, json_pack("{s:s}", "error", err->text));
}

/* One that is free: another try may come after another generation. */
static void name_by_time(struct sidecar *sidecar)
{
	struct keeper *keeper = &sidecar->keeper;
	unsigned count;
	const struct point_info *points = store_points(sidecar->store, &count);

	points_name_of_time(loop_realtime_us(), keeper->name_try, keeper->request.name);
	while (point_find(points, count, keeper->request.name) && keeper->name_try < KEEPER_NAMES)
		points_name_of_time(loop_realtime_us(), ++keeper->name_try, keeper->request.name);
}

static void submit(struct sidecar *sidecar)
{
	struct keeper *keeper = &sidecar->keeper;

	if (keeper->name_try)
		name_by_time(sidecar);
	memset(&keeper->outcome, 0, sizeof(keeper->outcome));
	keeper->state = KEEPER_TAKING;
	store_point_take(sidecar->store, &keeper->request, outcome_set, &keeper->outcome);
}

static const struct point_info *newest(const struct sidecar *sidecar)
{
	unsigned count;
	const struct point_info *points = store_points(sidecar->store, &count);

	return count ? &points[count - 1] : NULL;
}

static void report_point(struct sidecar *sidecar, const struct point_info *point)
{
	report_event(&sidecar->report, "point",
		     json_pack("{s:I,s:s,s:I,s:b,s:b,s:b}", "id", (json_int_t)point->id, "name",
			       point->name, "generation", (json_int_t)point->generation,
			       "automatic", point->automatic, "temporary", point->temporary,
			       "quiesced", point->quiesced));
}

static void taken(struct sidecar *sidecar)
{
	struct keeper *keeper = &sidecar->keeper;
	const struct point_info *point = newest(sidecar);
	struct errinfo err = {0};

	keeper->state = KEEPER_IDLE;
	if (keeper->outcome.status == -EEXIST && keeper->name_try &&
	    keeper->name_try < KEEPER_NAMES && !keeper->request.quiesced) {
		keeper->name_try++;
		submit(sidecar);
		return;
	}
	if (keeper->outcome.status || !point) {
		err_set(&err, keeper->outcome.status, "no point was taken: %s",
			keeper->outcome.err.text);
		refuse(sidecar, &err);
		return;
	}
	report_point(sidecar, point);
	keeper->prune = true;
	answer(sidecar, points_item(point));
}

/* --- deleting --- */

static void begin_delete(struct sidecar *sidecar, const struct point_info *point, const char *why)
{
	struct keeper *keeper = &sidecar->keeper;

	keeper->victim = *point;
	keeper->why = why;
	memset(&keeper->outcome, 0, sizeof(keeper->outcome));
	keeper->state = KEEPER_DELETING;
	store_point_delete(sidecar->store, point->id, outcome_set, &keeper->outcome);
}

static void deleted(struct sidecar *sidecar)
{
	struct keeper *keeper = &sidecar->keeper;

	keeper->state = KEEPER_IDLE;
	if (keeper->outcome.status) {
		/* One that is being read is tried again at the next look. */
		if (keeper->ordered || keeper->outcome.status != -EBUSY)
			refuse(sidecar, &keeper->outcome.err);
		return;
	}
	report_event(&sidecar->report, "point-deleted",
		     json_pack("{s:I,s:s,s:s}", "id", (json_int_t)keeper->victim.id, "name",
			       keeper->victim.name, "why", keeper->why));
	answer(sidecar, json_pack("{s:I,s:s}", "id", (json_int_t)keeper->victim.id, "name",
				  keeper->victim.name));
}

/* --- orders --- */

static void order_point(struct sidecar *sidecar, const json_t *order)
{
	struct keeper *keeper = &sidecar->keeper;
	const char *name = json_text(order, "name");
	bool quiesce = json_is_true(json_object_get(order, "quiesce"));
	struct errinfo err = {0};
	int rc = 0;

	memset(&keeper->request, 0, sizeof(keeper->request));
	keeper->request.temporary = json_is_true(json_object_get(order, "temporary"));
	keeper->name_try = !name[0];
	if (name[0])
		rc = points_check_name(name, &err);
	/* Who reads the latest generation does not need a newer one. */
	if (!rc && (quiesce || !keeper->request.temporary))
		rc = capture(sidecar, quiesce, &keeper->request.quiesced, &err);
	if (rc) {
		refuse(sidecar, &err);
		return;
	}
	snprintf(keeper->request.name, sizeof(keeper->request.name), "%s", name);
	submit(sidecar);
}

static const struct point_info *find(struct sidecar *sidecar, const json_t *order)
{
	const char *what = json_text(order, "point");
	unsigned count;
	const struct point_info *points = store_points(sidecar->store, &count);
	const struct point_info *point = point_find(points, count, what);
	struct errinfo err = {0};

	if (point)
		return point;
	err_set(&err, -ENOENT, "%s has no point \"%.80s\"; `qheal points` lists them",
		store_dir(sidecar->store), what);
	refuse(sidecar, &err);
	return NULL;
}

static void carry_out(struct sidecar *sidecar, const json_t *order)
{
	const char *command = json_text(order, "command");
	const struct point_info *point;

	if (!strcmp(command, "rollback")) {
		rollback_order(sidecar, order);
		return;
	}
	sidecar->keeper.ordered = true;
	if (!strcmp(command, "point")) {
		order_point(sidecar, order);
		return;
	}
	point = find(sidecar, order);
	if (point)
		begin_delete(sidecar, point, "asked");
}

/* --- of itself --- */

/* The oldest above FROM for which WANTED holds. */
static const struct point_info *oldest(const struct sidecar *sidecar, uint32_t from,
				       bool (*wanted)(const struct point_info *point))
{
	unsigned count;
	const struct point_info *points = store_points(sidecar->store, &count);

	for (unsigned i = 0; i < count; i++) {
		if (points[i].id > from && wanted(&points[i]))
			return &points[i];
	}
	return NULL;
}

static bool is_outdated(const struct point_info *point)
{
	int64_t age_us = loop_realtime_us() - point->taken_us;

	/* Taken later than now: the clock was set back, and its age is not known. */
	return point->temporary &&
	       (age_us < 0 || age_us > KEEPER_TEMPORARY_S * INT64_C(1000000));
}

static bool is_automatic(const struct point_info *point)
{
	return point->automatic && !point->temporary;
}

static bool is_by_hand(const struct point_info *point)
{
	return !point->automatic && !point->temporary;
}

/* The oldest that the retention does not keep and was not tried in this round. */
static const struct point_info *superfluous(const struct sidecar *sidecar)
{
	static int64_t times_us[POINTS_MAX];
	static unsigned places[POINTS_MAX];
	static bool keep[POINTS_MAX];
	unsigned count, found = 0;
	const struct point_info *points = store_points(sidecar->store, &count);

	for (unsigned i = 0; i < count && i < POINTS_MAX; i++) {
		if (!is_automatic(&points[i]))
			continue;
		times_us[found] = points[i].time_us;
		places[found++] = i;
	}
	retention_plan(&sidecar->config->keep, times_us, found, keep);
	for (unsigned i = 0; i < found; i++) {
		if (!keep[i] && points[places[i]].id > sidecar->keeper.pruned_to)
			return &points[places[i]];
	}
	return NULL;
}

static bool prune(struct sidecar *sidecar)
{
	const struct point_info *point = NULL;

	if (sidecar->config->keep.set && sidecar->keeper.prune)
		point = superfluous(sidecar);
	if (!point) {
		sidecar->keeper.prune = false;
		return false;
	}
	sidecar->keeper.pruned_to = point->id;
	begin_delete(sidecar, point, "retention");
	return true;
}

static bool let_go(struct sidecar *sidecar)
{
	const struct point_info *point = oldest(sidecar, sidecar->keeper.let_go_to, is_outdated);

	if (!point)
		return false;
	sidecar->keeper.let_go_to = point->id;
	begin_delete(sidecar, point, "temporary");
	return true;
}

static void tell_short(struct sidecar *sidecar, uint64_t free_bytes)
{
	char why[240];

	if (sidecar->keeper.short_told)
		return;
	sidecar->keeper.short_told = true;
	snprintf(why, sizeof(why), "%llu bytes are free in the store's file system, less than the "
		 "reserve of %u %%, and there is no automatic point to give up; free some, delete "
		 "points, or give a smaller --reserve",
		 (unsigned long long)free_bytes, sidecar->config->reserve_percent);
	log_warn("%s", why);
	report_event(&sidecar->report, "degraded", json_pack("{s:s}", "reason", why));
}

/* Who follows the events was told that the guest is less than protected. */
static void tell_enough(struct sidecar *sidecar)
{
	if (sidecar->keeper.short_told && sidecar->state == SIDECAR_PROTECTED)
		report_event(&sidecar->report, "protected",
			     json_pack("{s:I,s:i,s:f,s:b}", "generation",
				       (json_int_t)store_info(sidecar->store)->generation, "bytes",
				       0, "seconds", 0.0, "resumed", 1));
	sidecar->keeper.short_told = false;
}

static bool make_room(struct sidecar *sidecar)
{
	struct keeper *keeper = &sidecar->keeper;
	uint64_t total_bytes, free_bytes;
	const struct point_info *point;

	if (space_of_fs(store_dir(sidecar->store), &total_bytes, &free_bytes))
		return false;
	if (keeper->sample_ns <= ring_now_ns()) {
		keeper->sample_ns = ring_now_ns() + SPACE_SAMPLE_MS * NS_PER_MS;
		space_note(&keeper->trend, ring_now_ns() / NS_PER_MS, free_bytes);
	}
	if (!space_short(free_bytes, total_bytes, sidecar->config->reserve_percent)) {
		tell_enough(sidecar);
		keeper->cleared_to = 0; /* what was being read then may go the next time */
		return false;
	}
	point = oldest(sidecar, keeper->cleared_to, is_automatic);
	if (point) {
		keeper->cleared_to = point->id;
	} else if (!store_info(sidecar->store)->promoted &&
		   free_bytes < 2 * sidecar->figures.usual_bytes + KEEPER_ROOM) {
		/* Perhaps an older one than those automatic ones: then they could not go, as what
		 * they alone have would have to move there first. */
		point = oldest(sidecar, keeper->cleared_by_hand_to, is_by_hand);
		keeper->cleared_by_hand_to = point ? point->id : 0;
		keeper->cleared_to = 0;
	}
	if (!point) {
		tell_short(sidecar, free_bytes);
		keeper->cleared_to = 0; /* those that were being read: again */
		return false;
	}
	begin_delete(sidecar, point, "space");
	return true;
}

static int64_t next_point_ns(const struct sidecar *sidecar)
{
	int64_t every_s = sidecar->config->point_every_s;

	return ring_now_ns() + (every_s ? every_s : POINT_EVERY_S) * 1000 * NS_PER_MS;
}

/* One that would be the same as the one before is not taken. */
static bool take_automatic(struct sidecar *sidecar)
{
	struct keeper *keeper = &sidecar->keeper;
	const struct point_info *last = newest(sidecar);
	uint64_t total_bytes, free_bytes;

	if (!sidecar->config->keep.set || sidecar->state != SIDECAR_PROTECTED ||
	    ring_now_ns() < keeper->point_ns)
		return false;
	keeper->point_ns = next_point_ns(sidecar);
	if (last && last->generation == store_info(sidecar->store)->generation && !last->temporary)
		return false;
	/* It would be the next to go. */
	if (!space_of_fs(store_dir(sidecar->store), &total_bytes, &free_bytes) &&
	    space_short(free_bytes, total_bytes, sidecar->config->reserve_percent))
		return false;
	memset(&keeper->request, 0, sizeof(keeper->request));
	keeper->request.automatic = true;
	keeper->name_try = 1;
	submit(sidecar);
	return true;
}

static void look_around(struct sidecar *sidecar)
{
	struct keeper *keeper = &sidecar->keeper;

	if (prune(sidecar) || let_go(sidecar))
		return;
	quiesce_tidy(&sidecar->quiesce);
	points_tell_damaged(sidecar->store, &keeper->damaged);
	keeper->tick_ns = ring_now_ns() + KEEPER_TICK_MS * NS_PER_MS;
	keeper->pruned_to = keeper->let_go_to = 0;
	if (!make_room(sidecar))
		take_automatic(sidecar);
}

bool keeper_wants(const struct sidecar *sidecar)
{
	const struct keeper *keeper = &sidecar->keeper;

	if (keeper->state != KEEPER_IDLE)
		return keeper->outcome.known;
	return control_has_order(sidecar->control) || ring_now_ns() >= keeper->tick_ns;
}

int64_t keeper_due_ns(const struct sidecar *sidecar)
{
	return sidecar->keeper.state == KEEPER_IDLE ? sidecar->keeper.tick_ns : INT64_MAX;
}

void keeper_run(struct sidecar *sidecar)
{
	struct keeper *keeper = &sidecar->keeper;
	json_t *order;

	if (keeper->state == KEEPER_TAKING && keeper->outcome.known)
		taken(sidecar);
	else if (keeper->state == KEEPER_DELETING && keeper->outcome.known)
		deleted(sidecar);
	if (keeper->state != KEEPER_IDLE)
		return;
	order = control_take_order(sidecar->control);
	if (order)
		carry_out(sidecar, order);
	else if (ring_now_ns() >= keeper->tick_ns || keeper->prune)
		look_around(sidecar);
	json_decref(order);
}

void keeper_start(struct sidecar *sidecar)
{
	sidecar->keeper.point_ns = next_point_ns(sidecar);
	sidecar->keeper.prune = true;
}

void keeper_stop(struct sidecar *sidecar)
{
	while (sidecar->keeper.state != KEEPER_IDLE) {
		loop_until_set(&sidecar->loop, &sidecar->keeper.outcome.known, INT64_MAX);
		if (sidecar->keeper.state == KEEPER_TAKING)
			taken(sidecar);
		else
			deleted(sidecar);
	}
}

json_t *keeper_json(const struct sidecar *sidecar)
{
	uint64_t total_bytes, free_bytes;
	json_t *full_at = json_null(), *rate = json_null();
	double bytes_per_s;
	char time[40];

	if (space_rate(&sidecar->keeper.trend, &bytes_per_s) &&
	    !space_of_fs(store_dir(sidecar->store), &total_bytes, &free_bytes)) {
		int64_t seconds = space_full_in_s(bytes_per_s, free_bytes);

		rate = json_integer((json_int_t)bytes_per_s);
		if (seconds >= 0) {
			report_time(loop_realtime_us() + seconds * 1000000, time);
			full_at = json_string(time);
		}
	}
	return json_pack("{s:o,s:o,s:i}", "growth", rate, "full_at", full_at, "reserve",
			 (int)sidecar->config->reserve_percent);
}
