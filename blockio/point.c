/* SPDX-License-Identifier: Apache-2.0
 *
 * point: what anybody may do with points: list them, find one, hold it.  Taking
 * and deleting is the store's (point_take.c, point_delete.c).
 */
#include "point.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "point_json.h"
#include "point_private.h"

/* --- names and paths --- */

void point_dir_path(const char *dir, uint32_t id, char *path, size_t size)
{
	snprintf(path, size, "%s/points/%08u", dir, id);
}

static void disk_path(const char *dir, uint32_t id, const char *disk, const char *what, char *path,
		      size_t size)
{
	snprintf(path, size, "%s/points/%08u/%s/%s", dir, id, disk, what);
}

void point_head_path(const char *dir, uint32_t id, const char *disk, char *path, size_t size)
{
	disk_path(dir, id, disk, "head.raw", path, size);
}

void point_sums_path(const char *dir, uint32_t id, const char *disk, char *path, size_t size)
{
	disk_path(dir, id, disk, "sums", path, size);
}

void point_kept_path(const char *dir, uint32_t id, const char *disk, char *path, size_t size)
{
	disk_path(dir, id, disk, "kept.raw", path, size);
}

void point_entries_path(const char *dir, uint32_t id, const char *disk, char *path, size_t size)
{
	disk_path(dir, id, disk, "kept", path, size);
}

void point_damaged_path(const char *dir, uint32_t id, char *path, size_t size)
{
	snprintf(path, size, "%s/points/%08u" POINT_DAMAGED, dir, id);
}

/* The id of a point's directory, 0 if NAME is not that of one. */
static uint32_t id_parse(const char *name, bool *damaged)
{
	const size_t digits = strspn(name, "0123456789");
	char again[16];
	unsigned long id;

	*damaged = strcmp(name + digits, POINT_DAMAGED) == 0;
	if ((name[digits] && !*damaged) || digits > 10)
		return 0;
	id = strtoul(name, NULL, 10);
	if (id > UINT32_MAX)
		return 0;
	snprintf(again, sizeof(again), "%08u", (unsigned)id);
	return strlen(again) == digits && strncmp(again, name, digits) == 0 ? (uint32_t)id : 0;
}

/* --- listing --- */

static int64_t text_read(const char *path, char text[POINT_JSON_MAX])
{
	int64_t n = -EIO;

	for (unsigned i = 0; i < POINT_TRIES && n == -EIO; i++) {
		int fd = file_open(path, O_RDONLY);

		n = fd < 0 ? fd : file_read(fd, text, POINT_JSON_MAX, 0);
		file_close(fd);
	}
	return n;
}

static int json_read(const char *dir, const char *name, uint32_t id, struct point_info *info,
		     struct errinfo *err)
{
	char path[FILE_PATH_MAX], text[POINT_JSON_MAX];
	int64_t n;
	int status;

	snprintf(path, sizeof(path), "%s/points/%.32s/point.json", dir, name);
	n = text_read(path, text);
	if (n == -ENOENT || n == -ENOTDIR)
		return -ENOENT;
	if (n < 0)
		return err_set(err, (int)n, "cannot read %s: %s", path, strerror((int)-n));
	if (n == sizeof(text))
		return err_set(err, -EUCLEAN, "%s has more than %u bytes: damaged or edited", path,
			       POINT_JSON_MAX - 1);
	status = point_json_parse(text, (size_t)n, path, info, err);
	if (!status && info->id != id)
		status = err_set(err, -EUCLEAN, "%s is of point %u; was it moved?", path, info->id);
	return status;
}

struct listing {
	const char *dir;
	struct point_info *points;
	unsigned count, room;
	struct errinfo *err;
};

static int listing_room(struct listing *listing)
{
	unsigned room = listing->room ? 2 * listing->room : 8;
	struct point_info *points;

	if (listing->count < listing->room)
		return 0;
	if (listing->count == POINTS_MAX)
		return err_set(listing->err, -E2BIG, "%s/points holds more than %d points",
			       listing->dir, POINTS_MAX);
	points = realloc(listing->points, room * sizeof(points[0]));
	if (!points)
		return err_set(listing->err, -ENOMEM, "no memory for a list of %u points", room);
	listing->points = points;
	listing->room = room;
	return 0;
}

static void info_unknown(struct point_info *info, uint32_t id)
{
	memset(info, 0, sizeof(*info));
	info->id = id;
	info->kind = POINT_KEPT;
	snprintf(info->name, sizeof(info->name), "%08u" POINT_DAMAGED, id);
}

/* Its directory is there without point.json, not deleted since its name was read. */
static bool json_lost(const char *dir, const char *name)
{
	char path[FILE_PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), "%s/points/%.32s", dir, name);
	fd = file_open(path, O_RDONLY | O_DIRECTORY);
	file_close(fd);
	return fd >= 0;
}

static int listing_entry(void *arg, const char *name)
{
	struct listing *listing = arg;
	struct errinfo why = {0};
	struct point_info *info;
	bool damaged;
	uint32_t id = id_parse(name, &damaged);
	int status;

	if (!id)
		return 0;
	status = listing_room(listing);
	if (status)
		return status;
	info = &listing->points[listing->count];
	status = json_read(listing->dir, name, id, info, &why);
	if (status == -ENOENT && !json_lost(listing->dir, name))
		return 0;
	if (status == -EUCLEAN || status == -ENOENT || status == -EIO) {
		info_unknown(info, id);
		damaged = true;
	} else if (status) {
		return err_set(listing->err, status, "%s", why.text);
	}
	info->damaged = damaged;
	listing->count++;
	return 0;
}

void points_damage_spread(struct point_info *points, unsigned count)
{
	bool damaged = false;

	while (count--) {
		if (points[count].kind != POINT_KEPT)
			continue;
		damaged |= points[count].damaged;
		points[count].damaged = damaged;
	}
}

static int older_first(const void *a, const void *b)
{
	const struct point_info *x = a, *y = b;

	return x->id < y->id ? -1 : x->id > y->id;
}

int points_list(const char *dir, struct point_info **points, unsigned *count, struct errinfo *err)
{
	struct listing listing = {.dir = dir, .err = err};
	char path[FILE_PATH_MAX];
	int status;

	*points = NULL;
	*count = 0;
	snprintf(path, sizeof(path), "%s/points", dir);
	status = file_list(path, listing_entry, &listing);
	if (status == -ENOENT)
		return 0;
	if (status) {
		free(listing.points);
		return err_set(err, status, "cannot list %s: %s", path, strerror(-status));
	}
	if (listing.count)
		qsort(listing.points, listing.count, sizeof(listing.points[0]), older_first);
	points_damage_spread(listing.points, listing.count);
	*points = listing.points;
	*count = listing.count;
	return 0;
}

const struct point_info *point_find(const struct point_info *points, unsigned count,
				    const char *what)
{
	bool digits = what[0] && strspn(what, "0123456789") == strlen(what) && strlen(what) <= 10;
	unsigned long long id = digits ? strtoull(what, NULL, 10) : 0;

	for (unsigned i = 0; i < count; i++)
		if (strcmp(points[i].name, what) == 0 || (digits && points[i].id == id))
			return &points[i];
	return NULL;
}

/* --- holding --- */

int point_hold(const char *dir, uint32_t id, struct errinfo *err)
{
	char path[FILE_PATH_MAX];
	int fd, status, again;

	snprintf(path, sizeof(path), "%s/points/%08u/point.json", dir, id);
	fd = file_open(path, O_RDONLY);
	if (fd < 0)
		return err_set(err, fd, "point %u of %s cannot be held: %s", id, dir,
			       strerror(-fd));
	status = file_lock_shared(fd);
	if (!status) {
		/* Ids are not used twice: if the name is still there, it is this one. */
		again = file_open(path, O_RDONLY);
		status = again < 0 ? again : 0;
		file_close(again);
	}
	if (!status)
		return fd;
	file_close(fd);
	return err_set(err, status, "point %u of %s cannot be held: %s", id, dir,
		       status == -EBUSY ? "it is being deleted" : strerror(-status));
}

int64_t point_bytes(const char *dir, const struct point_info *point)
{
	char path[FILE_PATH_MAX];
	int64_t bytes = 0;

	for (unsigned i = 0; i < 2 * point->disk_count; i++) {
		const char *disk = point->disks[i / 2].name;
		int64_t used;

		if (point->kind == POINT_CLONE)
			(i % 2 ? point_sums_path : point_head_path)(dir, point->id, disk, path,
								    sizeof(path));
		else
			(i % 2 ? point_entries_path : point_kept_path)(dir, point->id, disk, path,
								       sizeof(path));
		used = file_used(path);
		if (used < 0)
			return used;
		bytes += used;
	}
	return bytes;
}
