/* SPDX-License-Identifier: Apache-2.0
 *
 * The points of a store on the simulated disk beside a model of them: what each
 * must be, whatever became of the power meanwhile.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "head.h"
#include "keep_read.h"
#include "point.h"
#include "sim/sim_store.h"
#include "sum.h"

#define DIR "/store"

static bool file_get(const char *path, void *buffer, uint64_t length, uint64_t offset)
{
	int fd = file_open(path, O_RDONLY);
	bool right = fd >= 0 && file_read(fd, buffer, length, offset) == (int64_t)length;

	file_close(fd);
	return right;
}

/* Content and sum of one block, from wherever it is. */
static bool block_get(const struct point_info *point, const char *disk, struct keep_chain *chain,
		      unsigned block, uint8_t *data, uint32_t length)
{
	const uint64_t offset = (uint64_t)block * SIM_BLOCK;
	struct keep_place place = {.entry = KEEP_NOT};
	char path[128], sums[128];
	uint64_t sum;

	store_head_path(DIR, disk, path, sizeof(path));
	head_sums_path(DIR, disk, sums, sizeof(sums));
	if (!chain) {
		point_head_path(DIR, point->id, disk, path, sizeof(path));
		point_sums_path(DIR, point->id, disk, sums, sizeof(sums));
	} else if (keep_chain_find(chain, block, 1, &place, NULL)) {
		return false;
	}
	if (place.entry != KEEP_NOT && file_read(place.tail_fd, data, length, offset) != length)
		return false;
	if (place.entry == KEEP_ZERO && !keep_is_mark(data, length))
		return false;
	if (place.entry == KEEP_ZERO)
		memset(data, 0, length);
	if (place.entry != KEEP_NOT)
		return keep_entry(block_sum(data, length, offset)) == place.entry;
	return file_get(path, data, length, offset) && file_get(sums, &sum, 8, block * 8u) &&
	       sum == block_sum(data, length, offset);
}

bool sim_point_disk_right(const struct point_info *point, unsigned disk, const uint8_t *content)
{
	const uint64_t size = point->disks[disk].size;
	const char *name = point->disks[disk].name;
	struct keep_chain *chain = NULL;
	uint8_t data[SIM_BLOCK];
	bool right = true;

	if (point->kind == POINT_KEPT &&
	    keep_chain_open(&chain, DIR, point, name, SIM_BLOCK, NULL))
		return false;
	for (unsigned block = 0; (uint64_t)block * SIM_BLOCK < size && right; block++) {
		uint64_t offset = (uint64_t)block * SIM_BLOCK;
		uint32_t length = size - offset < SIM_BLOCK ? (uint32_t)(size - offset) : SIM_BLOCK;

		right = block_get(point, name, chain, block, data, length) &&
			memcmp(data, content + offset, length) == 0;
	}
	keep_chain_close(chain);
	return right;
}

static const struct sim_point *model_find(const struct sim_store *s, const char *name)
{
	for (unsigned i = 0; i < s->point_count; i++)
		if (strcmp(s->points[i].name, name) == 0)
			return &s->points[i];
	return NULL;
}

static bool content_right(const struct sim_point *model, const struct point_info *point)
{
	for (unsigned disk = 0; disk < SIM_DISKS; disk++)
		if (!sim_point_disk_right(point, disk, model->content->disk[disk]))
			return false;
	return true;
}

static bool found_right(const struct sim_store *s, const struct point_info *point, bool look,
			const char **what)
{
	const struct sim_point *model = model_find(s, point->name);

	*what = "a point that must not be there:";
	if (!model || model->state == SIM_POINT_GONE)
		return false;
	*what = "a point is said to be damaged:";
	if (point->damaged)
		return false;
	*what = "a point of the wrong generation:";
	if (point->generation != model->generation || point->disk_count != SIM_DISKS)
		return false;
	*what = point->kind == POINT_KEPT ? "kept content is wrong of point"
					  : "a clone is wrong: point";
	return !look || content_right(model, point);
}

bool sim_points_right(struct sim_store *s, bool all, const char **what, uint64_t *number)
{
	struct point_info *points;
	unsigned count, only = UINT_MAX;
	bool right = true;

	*what = "the points cannot be listed";
	*number = 0;
	if (points_list(DIR, &points, &count, NULL))
		return false;
	if (!all && count && sim_random(&s->random) % 8)
		only = (unsigned)(sim_random(&s->random) % count);
	for (unsigned i = 0; i < count && right; i++) {
		*number = points[i].id;
		right = found_right(s, &points[i], only == UINT_MAX || only == i, what);
	}
	for (unsigned i = 0; i < s->point_count && right; i++) {
		if (s->points[i].state != SIM_POINT_THERE ||
		    point_find(points, count, s->points[i].name))
			continue;
		*what = "a point is lost:";
		*number = i;
		right = false;
	}
	free(points);
	return right;
}

/* --- taking and deleting --- */

/* It has an end: is it in the list of the open store? */
static void state_settle(struct sim_store *s, struct sim_point *point, int status)
{
	unsigned count;
	const struct point_info *points = store_points(s->store, &count);
	bool there = point_find(points, count, point->name) != NULL;

	if (there && point->taking && status)
		point->state = SIM_POINT_MAYBE; /* its name is not flushed */
	else if (there)
		point->state = SIM_POINT_THERE;
	else
		point->state = status ? SIM_POINT_MAYBE : SIM_POINT_GONE;
}

static void point_done(void *arg, int status, const struct errinfo *error)
{
	struct sim_point *point = arg;

	point->busy = false;
	point->status = status;
	state_settle(point->store, point, status);
	if (!status && point->state == SIM_POINT_THERE)
		point->store->takes++;
	else if (!status)
		point->store->deletes++;
}

void sim_point_take(struct sim_store *s)
{
	struct sim_point *point = &s->points[s->point_count];
	struct point_request request = {.automatic = true};

	if (s->point_count == SIM_POINTS || s->phase != SIM_RUNNING)
		return;
	s->point_count++;
	point->store = s;
	point->busy = point->taking = true;
	point->state = SIM_POINT_MAYBE;
	point->generation = s->acknowledged;
	point->content = malloc(sizeof(*point->content));
	*point->content = *s->committed;
	snprintf(point->name, sizeof(point->name), "p%u", s->point_count);
	snprintf(request.name, sizeof(request.name), "%s", point->name);
	store_point_take(s->store, &request, point_done, point);
}

void sim_point_delete(struct sim_store *s)
{
	unsigned count;
	const struct point_info *points = store_points(s->store, &count);
	const struct point_info *which;

	if (!count)
		return;
	which = &points[sim_random(&s->random) % count];
	for (unsigned i = 0; i < s->point_count; i++) {
		struct sim_point *point = &s->points[i];

		if (strcmp(point->name, which->name) || point->busy)
			continue;
		point->busy = true;
		point->taking = false;
		point->state = SIM_POINT_MAYBE;
		store_point_delete(s->store, which->id, point_done, point);
	}
}

int sim_points_wait(struct sim_store *s)
{
	int status = 0;

	for (unsigned i = 0; i < s->point_count; i++) {
		while (s->points[i].busy)
			ring_run(s->ring);
		if (s->points[i].status)
			status = s->points[i].status;
		s->points[i].status = 0;
	}
	return status;
}

/* What was under way when the power went is there, or it is not, for good. */
void sim_points_found(struct sim_store *s)
{
	unsigned count;
	const struct point_info *points = store_points(s->store, &count);

	for (unsigned i = 0; i < s->point_count; i++) {
		struct sim_point *point = &s->points[i];

		point->store = s;
		point->busy = false;
		point->status = 0;
		point->state = point_find(points, count, point->name) ? SIM_POINT_THERE
								      : SIM_POINT_GONE;
	}
}

void sim_points_release(struct sim_store *s, unsigned first)
{
	while (s->point_count > first)
		free(s->points[--s->point_count].content);
}
