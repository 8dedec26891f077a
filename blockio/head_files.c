/* SPDX-License-Identifier: Apache-2.0
 *
 * The files of the heads: making, opening, checking and emptying them.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "file.h"
#include "head.h"

static uint64_t sums_of(const struct store_spec *spec, uint64_t size)
{
	return (size + spec->block_bytes - 1) / spec->block_bytes * sizeof(uint64_t);
}

static uint64_t sums_bytes(const struct store_spec *spec, unsigned disk)
{
	return sums_of(spec, spec->disks[disk].size);
}

/* All holes, of SIZE bytes, durable. */
static int file_blank(int fd, uint64_t size)
{
	int status = file_truncate(fd, 0);

	if (!status)
		status = file_truncate(fd, size);
	if (!status)
		status = file_sync(fd);
	return status;
}

static int blank_create(const char *path, uint64_t size, struct errinfo *err)
{
	int fd = file_open(path, O_RDWR | O_CREAT);
	int status = fd < 0 ? fd : file_blank(fd, size);

	file_close(fd);
	if (status)
		return err_set(err, status, "%s: cannot make this file of %llu bytes: %s", path,
			       (unsigned long long)size, strerror(-status));
	return 0;
}

static int dir_make(const char *path, struct errinfo *err)
{
	int status = file_make_dir(path);

	if (status)
		return err_set(err, status, "%s: cannot make this directory: %s", path,
			       strerror(-status));
	return 0;
}

int head_create(const char *dir, const struct store_spec *spec, unsigned disk, struct errinfo *err)
{
	const struct store_disk *which = &spec->disks[disk];
	char path[FILE_PATH_MAX];
	int status;

	snprintf(path, sizeof(path), "%s/disks/%s", dir, which->name);
	status = dir_make(path, err);
	if (status)
		return status;
	store_head_path(dir, which->name, path, sizeof(path));
	status = blank_create(path, which->size, err);
	if (status)
		return status;
	head_sums_path(dir, which->name, path, sizeof(path));
	status = blank_create(path, sums_bytes(spec, disk), err);
	if (status)
		return status;
	snprintf(path, sizeof(path), "%s/disks/%s", dir, which->name);
	status = file_sync_dir(path);
	if (status)
		return err_set(err, status, "%s: cannot flush this directory: %s", path,
			       strerror(-status));
	return 0;
}

static int file_extend(const char *path, uint64_t from, uint64_t to, struct errinfo *err)
{
	int fd = file_open(path, O_RDWR);
	int64_t size = fd < 0 ? fd : file_size(fd);
	/* In between: it grew before, and no generation held it since. */
	bool other = size >= 0 && ((uint64_t)size < from || (uint64_t)size > to);
	int status = size < 0 ? (int)size : 0;

	if (!status && !other)
		status = file_truncate(fd, to);
	if (!status && !other)
		status = file_sync(fd);
	file_close(fd);
	if (other)
		return err_set(err, -EUCLEAN,
			       "%s has %lld bytes instead of %llu to %llu: something else changed "
			       "it; protect into a new store",
			       path, (long long)size, (unsigned long long)from,
			       (unsigned long long)to);
	if (status)
		return err_set(err, status, "%s: cannot make it %llu bytes long: %s", path,
			       (unsigned long long)to, strerror(-status));
	return 0;
}

int head_extend(const char *dir, const struct store_spec *spec, unsigned disk, uint64_t from,
		struct errinfo *err)
{
	const struct store_disk *which = &spec->disks[disk];
	char path[FILE_PATH_MAX];
	int status;

	store_head_path(dir, which->name, path, sizeof(path));
	status = file_extend(path, from, which->size, err);
	if (status)
		return status;
	head_sums_path(dir, which->name, path, sizeof(path));
	return file_extend(path, sums_of(spec, from), sums_bytes(spec, disk), err);
}

int head_remove(const char *dir, const char *disk, struct errinfo *err)
{
	char path[FILE_PATH_MAX];
	int status;

	store_head_path(dir, disk, path, sizeof(path));
	status = file_remove(path);
	if (!status || status == -ENOENT) {
		head_sums_path(dir, disk, path, sizeof(path));
		status = file_remove(path);
	}
	if (!status || status == -ENOENT) {
		snprintf(path, sizeof(path), "%s/disks/%s", dir, disk);
		status = file_remove_dir(path);
	}
	if (status && status != -ENOENT)
		return err_set(err, status, "%s: cannot remove it: %s", path, strerror(-status));
	return 0;
}

static int sized_open(const char *path, int flags, int *fd, uint64_t size, bool any_size,
		      struct errinfo *err)
{
	int64_t found;

	*fd = file_open(path, flags);
	if (*fd < 0)
		return err_set(err, *fd, "%s: cannot open: %s", path, strerror(-*fd));
	found = file_size(*fd);
	if (found < 0)
		return err_set(err, (int)found, "%s: %s", path, strerror((int)-found));
	if (!any_size && (uint64_t)found != size)
		return err_set(err, -EUCLEAN,
			       "%s has %lld bytes instead of %llu: something else changed it; "
			       "protect into a new store",
			       path, (long long)found, (unsigned long long)size);
	return 0;
}

static int head_open(struct heads *heads, unsigned disk, bool any_size, struct errinfo *err)
{
	const struct store_disk *which = &heads->spec->disks[disk];
	struct head *head = &heads->head[disk];
	char path[FILE_PATH_MAX];
	int status;

	store_head_path(heads->dir, which->name, path, sizeof(path));
	status = sized_open(path, O_RDWR | O_DIRECT, &head->fd, which->size, any_size, err);
	if (!status)
		status = sized_open(path, O_RDWR, &head->tail_fd, which->size, any_size, err);
	if (status)
		return status;
	head_sums_path(heads->dir, which->name, path, sizeof(path));
	status = sized_open(path, O_RDWR, &head->sums_fd, sums_bytes(heads->spec, disk), any_size,
			    err);
	if (status)
		return status;
	ring_register_file(heads->ring, head->fd);
	ring_register_file(heads->ring, head->sums_fd);
	return 0;
}

int heads_empty(struct heads *heads, uint64_t disks, struct errinfo *err)
{
	const struct store_spec *spec = heads->spec;

	for (unsigned i = 0; i < spec->disk_count; i++) {
		int status;

		if (!(disks >> i & 1))
			continue;
		status = file_blank(heads->head[i].fd, spec->disks[i].size);
		if (!status)
			status = file_blank(heads->head[i].sums_fd, sums_bytes(spec, i));
		if (status)
			return err_set(err, status, "%s/disks/%s: cannot empty this head: %s",
				       heads->dir, spec->disks[i].name, strerror(-status));
		heads->head[i].dirty = false;
	}
	return 0;
}

int heads_open(struct heads *heads, struct ring *ring, const char *dir,
	       const struct store_spec *spec, const struct record_shape *shape, bool any_size,
	       struct errinfo *err)
{
	int status = 0;

	memset(heads, 0, sizeof(*heads));
	heads->ring = ring;
	heads->dir = dir;
	heads->spec = spec;
	heads->shape = shape;
	for (unsigned i = 0; i < spec->disk_count; i++) {
		heads->head[i].heads = heads;
		heads->head[i].fd = heads->head[i].tail_fd = heads->head[i].sums_fd = -1;
	}
	for (unsigned i = 0; i < spec->disk_count && !status; i++)
		status = head_open(heads, i, any_size, err);
	if (status)
		heads_close(heads);
	return status;
}

void heads_close(struct heads *heads)
{
	for (unsigned i = 0; heads->spec && i < heads->spec->disk_count; i++) {
		struct head *head = &heads->head[i];

		if (head->fd >= 0)
			ring_unregister_file(heads->ring, head->fd);
		if (head->sums_fd >= 0)
			ring_unregister_file(heads->ring, head->sums_fd);
		file_close(head->fd);
		file_close(head->tail_fd);
		file_close(head->sums_fd);
		head->fd = head->tail_fd = head->sums_fd = -1;
	}
}
