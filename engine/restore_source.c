/* SPDX-License-Identifier: Apache-2.0 */
#include "restore_source.h"

#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ask.h"
#include "file.h"
#include "loop.h"
#include "restore_output.h"

#define KNOWN_TEXT 256 /* of names of points in a sentence: the newest ones fit */

static void known_points(const struct point_info *points, unsigned count, char text[KNOWN_TEXT])
{
	size_t used = 0;

	text[0] = '\0';
	for (unsigned i = count; i-- > 0 && used + POINT_NAME_MAX + 16 < KNOWN_TEXT;)
		used += (size_t)snprintf(text + used, KNOWN_TEXT - used, "%s%s (%u)",
					 used ? ", " : "", points[i].name, points[i].id);
}

static int point_use(struct restore_source *source, const struct point_info *point,
		     struct errinfo *err)
{
	source->point = malloc(sizeof(*source->point));
	if (!source->point)
		return err_set(err, -ENOMEM, "no memory for point %s", point->name);
	*source->point = *point;
	source->name = source->point->name;
	source->generation = point->generation;
	source->time_us = point->time_us;
	source->disk_count = point->disk_count;
	source->disks = source->point->disks;
	return 0;
}

static int point_search(struct restore_source *source, const char *what, struct errinfo *err)
{
	struct point_info *points;
	const struct point_info *found;
	char known[KNOWN_TEXT];
	unsigned count;
	int status = points_list(source->dir, &points, &count, err);

	if (status)
		return status;
	found = point_find(points, count, what);
	known_points(points, count, known);
	if (found)
		status = point_use(source, found, err);
	else if (count)
		status = err_set(err, -ENOENT, "%s has no point %s; it has latest, %s%s",
				 source->dir, what, known, count > 8 ? ", ..." : "");
	else
		status = err_set(err, -ENOENT, "%s has no point %s; it has no points, only latest",
				 source->dir, what);
	free(points);
	return status;
}

int restore_source_find(struct restore_source *source, const char *dir, const char *what,
			struct errinfo *err)
{
	int status;

	memset(source, 0, sizeof(*source));
	source->dir = dir;
	source->hold_fd = -1;
	source->name = "latest";
	source->disks = source->info.spec.disks;
	status = store_inspect(dir, &source->info, err);
	if (strcmp(what, "latest") && (!status || source->info.uuid[0])) {
		err_clear(err); /* a point needs no journal */
		return point_search(source, what, err);
	}
	source->disk_count = source->info.spec.disk_count;
	source->generation = source->info.generation;
	source->time_us = source->info.generation_time_us;
	if (!status && !source->info.generation)
		return err_set(err, -ENODATA, "%s has no generation yet: its first copy did not end",
			       dir);
	return status;
}

/* --- opening --- */

static int point_open(struct restore_source *source, struct errinfo *err)
{
	source->hold_fd = point_hold(source->dir, source->point->id, err);
	return source->hold_fd < 0 ? source->hold_fd : 0;
}

/* A point of the sidecar's newest generation; -ENOENT: there is no sidecar. */
static int sidecar_point(struct restore_source *source, struct errinfo *err)
{
	struct errinfo failure = {0};
	json_t *answer;
	char name[POINT_NAME_MAX + 1], id[16];
	int status;

	/* In containers there are many of one number. */
	snprintf(name, sizeof(name), "restore-%d-%lld", (int)getpid(),
		 (long long)(loop_realtime_us() / 1000));
	status = ask_sidecar(source->dir,
			     json_pack("{s:s,s:s,s:b}", "command", "point", "name", name,
				       "temporary", 1),
			     ASK_LONG_TIMEOUT_S, &answer, &failure);
	if (ask_nobody(status))
		return -ENOENT;
	source->refused = status != 0;
	if (status)
		return err_set(err, status, "the sidecar of %s gives no point to read: %s",
			       source->dir, failure.text);
	snprintf(id, sizeof(id), "%u",
		 (unsigned)json_integer_value(json_object_get(answer, "id")));
	json_decref(answer);
	status = point_search(source, id, err);
	source->temporary = !status;
	if (!status)
		source->name = "latest"; /* what was asked for */
	return status ? status : point_open(source, err);
}

struct settled {
	bool done;
	int status;
	struct errinfo *err;
};

static void settle_done(void *arg, int status, const struct errinfo *error)
{
	struct settled *settled = arg;

	settled->done = true;
	settled->status = status;
	if (status)
		err_set(settled->err, status, "%s", error->text);
}

/* What the journal holds goes into the heads first. */
static int heads_settle(struct restore_source *source, struct ring *ring, struct errinfo *err)
{
	struct settled settled = {.err = err};

	store_settle(source->store, settle_done, &settled);
	while (!settled.done) {
		int status = ring_run(ring);

		if (status < 0)
			return err_set(err, status, "the ring failed: %s", strerror(-status));
	}
	return settled.status;
}

static int heads_open(struct restore_source *source, struct ring *ring, struct pool *pool,
		      struct errinfo *err)
{
	struct errinfo failure = {0};
	int status = store_open(&source->store, ring, pool, source->dir, &failure);

	for (unsigned ms = 0; status == -EBUSY && ms < RESTORE_LOCK_WAIT_MS;
	     ms += RESTORE_LOCK_POLL_MS) {
		poll(NULL, 0, RESTORE_LOCK_POLL_MS);
		err_clear(&failure);
		status = store_open(&source->store, ring, pool, source->dir, &failure);
	}
	if (status)
		return err_set(err, status, "%s", failure.text);
	status = heads_settle(source, ring, err);
	if (status)
		return status;
	source->generation = store_info(source->store)->generation;
	source->time_us = store_info(source->store)->generation_time_us;
	return 0;
}

int restore_source_open(struct restore_source *source, struct ring *ring, struct pool *pool,
			struct errinfo *err)
{
	int status;

	if (source->point)
		return point_open(source, err);
	status = sidecar_point(source, err);
	return status == -ENOENT && !source->point ? heads_open(source, ring, pool, err) : status;
}

bool restore_source_lacks(const struct restore_source *source, const struct store_disk *disk)
{
	uint64_t incomplete = source->store ? store_info(source->store)->incomplete
			      : source->point ? 0 : source->info.incomplete;

	return incomplete >> (disk - source->disks) & 1;
}

void restore_source_release(struct restore_source *source)
{
	struct errinfo ignored = {0};
	json_t *answer = NULL;
	char id[16];

	store_close(source->store);
	file_close(source->hold_fd);
	/* If nobody hears it, the sidecar lets go of temporary points by itself. */
	snprintf(id, sizeof(id), "%u", source->point ? source->point->id : 0);
	if (source->temporary &&
	    !ask_sidecar(source->dir,
			 json_pack("{s:s,s:s,s:I}", "command", "point-delete", "point", id, "id",
				   (json_int_t)source->point->id),
			 ASK_TIMEOUT_S, &answer, &ignored))
		json_decref(answer);
	free(source->point);
	memset(source, 0, sizeof(*source));
	source->hold_fd = -1;
}
