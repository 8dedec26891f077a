/* SPDX-License-Identifier: Apache-2.0
 *
 * Making a store.  A directory is a store from the moment store.json is in it, which
 * is written last.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "store_private.h"

static int room_check(const char *dir, uint64_t need, struct errinfo *err)
{
	uint64_t room;
	int status = file_room(dir, &room);

	if (status)
		return err_set(err, status, "%s: cannot tell its free space: %s", dir,
			       strerror(-status));
	if (room < need)
		return err_set(err, -ENOSPC,
			       "%s has room for %llu bytes, the store needs %llu: %llu bytes are "
			       "missing",
			       dir, (unsigned long long)room, (unsigned long long)need,
			       (unsigned long long)(need - room));
	return 0;
}

static int sub_dirs(const char *dir, int (*call)(const char *path), const char *what,
		    struct errinfo *err)
{
	static const char *const names[] = {"journal", "disks", "promoted"};
	char path[FILE_PATH_MAX];
	int status = 0;

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]) && !status; i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		status = call(path);
	}
	if (status)
		return err_set(err, status, "%s: cannot %s it: %s", path, what, strerror(-status));
	return 0;
}

/* "dir/" and "dir/." are "dir". */
static void tail_cut(char *path)
{
	size_t length = strlen(path);

	while (length > 1 && (path[length - 1] == '/' ||
			      (path[length - 1] == '.' && path[length - 2] == '/')))
		path[--length] = '\0';
}

/* The directory's own name: without it all that is below is lost with the power.
 * A parent that may not be read cannot be flushed: left to its owner. */
static int parent_sync(const char *dir, struct errinfo *err)
{
	char path[FILE_PATH_MAX];
	char *slash;
	int status;

	snprintf(path, sizeof(path), "%s", dir);
	tail_cut(path);
	slash = strrchr(path, '/');
	if (slash)
		*(slash == path ? slash + 1 : slash) = '\0';
	status = file_sync_dir(slash ? path : ".");
	if (status && status != -EACCES)
		return err_set(err, status, "cannot flush the directory of %s: %s", dir,
			       strerror(-status));
	return 0;
}

static int store_make(const char *dir, const struct store_spec *spec, struct errinfo *err)
{
	struct store_json json = {.spec = *spec, .state = STORE_EMPTY};
	int status = file_random(json.uuid_bytes, sizeof(json.uuid_bytes));

	if (status)
		return err_set(err, status, "no random number from the kernel: %s",
			       strerror(-status));
	json.uuid_bytes[6] = (json.uuid_bytes[6] & 0x0f) | 0x40; /* RFC 9562: version 4, */
	json.uuid_bytes[8] = (json.uuid_bytes[8] & 0x3f) | 0x80; /* variant 1 */
	uuid_format(json.uuid_bytes, json.uuid);
	status = sub_dirs(dir, file_make_dir, "make", err);
	for (unsigned i = 0; i < spec->disk_count && !status; i++)
		status = head_create(dir, spec, i, err);
	if (!status)
		status = journal_create(dir, err);
	if (!status)
		status = sub_dirs(dir, file_sync_dir, "flush", err);
	if (!status)
		status = parent_sync(dir, err);
	if (!status)
		status = store_json_write(dir, &json, err);
	return status;
}

/* --- what may be there already --- */

static int something(void *arg, const char *name)
{
	return 1;
}

static int store_check(const char *dir, struct errinfo *err)
{
	char path[FILE_PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), "%s/store.json", dir);
	fd = file_open(path, O_RDONLY);
	file_close(fd);
	if (fd >= 0)
		return err_set(err, -EEXIST, "%s holds a store already", dir);
	if (fd != -ENOENT)
		return err_set(err, fd, "%s: cannot open it: %s", path, strerror(-fd));
	return 0;
}

/* Of a store whose store.json is gone.  A kept point would be read from the new heads, and
 * verify; a guest may run on an overlay above the old ones. */
static int remains_check(const char *dir, struct errinfo *err)
{
	struct point_info *points;
	char path[FILE_PATH_MAX];
	unsigned count;
	int status = points_list(dir, &points, &count, err);

	if (status)
		return status;
	free(points);
	if (count)
		return err_set(err, -EEXIST,
			       "%s has no store.json, but %u points of an earlier store, which a new "
			       "one would make wrong: remove %s/points, or give another --store",
			       dir, count, dir);
	snprintf(path, sizeof(path), "%s/promoted", dir);
	status = file_list(path, something, NULL);
	if (status == 1)
		return err_set(err, -EEXIST,
			       "%s has no store.json, but images in %s that a guest may run on: "
			       "remove them when none does, or give another --store",
			       dir, path);
	if (status && status != -ENOENT)
		return err_set(err, status, "cannot list %s: %s", path, strerror(-status));
	return 0;
}

static int names_check(const struct store_spec *spec, struct errinfo *err)
{
	int status = store_spec_check(spec, err);

	for (unsigned i = 0; i < spec->disk_count && !status; i++)
		status = store_new_name_check(spec->disks[i].name, err);
	return status;
}

int store_create(const char *dir, const struct store_spec *spec, uint64_t need_bytes,
		 struct errinfo *err)
{
	int status = store_dir_check(dir, err);
	int lock;

	if (!status)
		status = names_check(spec, err);
	if (status)
		return status;
	status = file_make_dir(dir);
	if (status)
		return err_set(err, status, "%s: cannot make this directory: %s", dir,
			       strerror(-status));
	lock = store_lock(dir, err);
	if (lock < 0)
		return lock;
	status = store_check(dir, err);
	if (!status)
		status = remains_check(dir, err);
	if (!status)
		status = room_check(dir, need_bytes + 2 * (uint64_t)JOURNAL_AREA_BYTES, err);
	if (!status)
		status = store_make(dir, spec, err);
	file_close(lock);
	return status;
}
