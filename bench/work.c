/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "work.h"

int work_make(struct work *work, const char *base, uint64_t need_bytes, struct errinfo *err)
{
	struct statvfs space;
	uint64_t free_bytes;

	work->path[0] = '\0';
	if (statvfs(base, &space))
		return err_set(err, -errno, "cannot work in %s: %s", base, strerror(errno));
	free_bytes = (uint64_t)space.f_bavail * space.f_frsize;
	if (free_bytes < need_bytes)
		return err_set(err, -ENOSPC,
			       "%s has %.1f GiB free, this run needs %.1f: free some, or give "
			       "--size or --directory",
			       base, (double)free_bytes / (1 << 30),
			       (double)need_bytes / (1 << 30));
	snprintf(work->path, sizeof(work->path), "%s/qheal-bench-XXXXXX", base);
	if (!mkdtemp(work->path)) {
		work->path[0] = '\0';
		return err_set(err, -errno, "cannot make a folder in %s: %s", base,
			       strerror(errno));
	}
	return 0;
}

static int remove_one(const char *path, const struct stat *stat, int type, struct FTW *at)
{
	if (remove(path))
		fprintf(stderr, "qheal-bench: cannot remove %s: %s\n", path, strerror(errno));
	return 0;
}

void tree_remove(const char *path)
{
	nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

static int forget_one(const char *path, const struct stat *stat, int type, struct FTW *at)
{
	int fd = type == FTW_F ? open(path, O_RDONLY | O_CLOEXEC) : -1;

	if (fd < 0)
		return type == FTW_F ? -1 : 0;
	posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	close(fd);
	return 0;
}

int tree_forget(const char *path, struct errinfo *err)
{
	if (nftw(path, forget_one, 16, FTW_PHYS | FTW_MOUNT))
		return err_set(err, -errno, "cannot read all of %s: %s", path, strerror(errno));
	return 0;
}

void work_remove(struct work *work)
{
	if (work->path[0])
		tree_remove(work->path);
	work->path[0] = '\0';
}

const char *work_path(const struct work *work, const char *name)
{
	static char paths[4][PATH_MAX];
	static unsigned next;
	char *path = paths[next++ % 4];

	snprintf(path, PATH_MAX, "%s/%s", work->path, name);
	return path;
}

int work_settle(const struct work *work, const char *path, struct errinfo *err)
{
	int fd = open(work->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc = fd < 0 || syncfs(fd) ? -errno : 0;

	if (fd >= 0)
		close(fd);
	if (rc)
		return err_set(err, rc, "cannot flush %s: %s", work->path, strerror(-rc));
	if (!path)
		return 0;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_set(err, -errno, "cannot open %s: %s", path, strerror(errno));
	posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	close(fd);
	return 0;
}

int file_flush(const char *path, struct errinfo *err)
{
	int fd = open(path, O_RDWR | O_CLOEXEC), rc = fd < 0 || fsync(fd) ? -errno : 0;

	if (fd >= 0)
		close(fd);
	return rc ? err_set(err, rc, "cannot flush %s: %s", path, strerror(-rc)) : 0;
}

int file_differ(const char *path, uint64_t step, struct errinfo *err)
{
	int fd = open(path, O_RDWR | O_CLOEXEC), rc = 0;
	struct stat stat;

	if (fd < 0 || fstat(fd, &stat))
		rc = -errno;
	for (uint64_t at = 0; !rc && at < (uint64_t)stat.st_size; at += step) {
		uint64_t word = 0;

		if (pread(fd, &word, sizeof(word), (off_t)at) < 0)
			rc = -errno;
		word = ~word;
		if (!rc && pwrite(fd, &word, sizeof(word), (off_t)at) != sizeof(word))
			rc = -EIO;
	}
	if (!rc && fsync(fd))
		rc = -errno;
	if (fd >= 0)
		close(fd);
	return rc ? err_set(err, rc, "cannot change %s: %s", path, strerror(-rc)) : 0;
}
