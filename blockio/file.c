/* SPDX-License-Identifier: Apache-2.0
 *
 * file: see file.h.  Short transfers and EINTR are dealt with here, so that
 * nobody else has to.
 */
#include "file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

/* Where there is no O_DIRECT the file is there, empty, although the open failed: the next one
 * would find it.  So it is asked for afterwards. */
static int file_make(const char *path, int flags)
{
	int fd = open(path, (flags & ~O_DIRECT) | O_CLOEXEC, 0600);

	if (fd >= 0 && flags & O_DIRECT)
		fcntl(fd, F_SETFL, flags);
	return fd < 0 ? -errno : fd;
}

int file_open(const char *path, int flags)
{
	int fd;

	if (flags & O_CREAT && flags & O_EXCL)
		return file_make(path, flags);
	fd = open(path, flags | O_CLOEXEC, 0600);
	if (fd < 0 && errno == EINVAL && (flags & O_DIRECT))
		fd = open(path, (flags & ~O_DIRECT) | O_CLOEXEC, 0600);
	return fd < 0 ? -errno : fd;
}

int file_duplicate(int fd)
{
	return fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);
}

void file_close(int fd)
{
	if (fd >= 0)
		close(fd);
}

int64_t file_size(int fd)
{
	struct stat status;

	if (fstat(fd, &status) < 0)
		return -errno;
	return status.st_size;
}

int file_truncate(int fd, uint64_t size)
{
	return ftruncate(fd, (off_t)size) < 0 ? -errno : 0;
}

int file_sync(int fd)
{
	return fsync(fd) < 0 ? -errno : 0;
}

int64_t file_read(int fd, void *buffer, size_t length, uint64_t offset)
{
	size_t progress = 0;

	while (progress < length) {
		ssize_t n = pread(fd, (char *)buffer + progress, length - progress,
				  (off_t)(offset + progress));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		progress += (size_t)n;
		/* O_DIRECT at an unaligned end of file: going on would be EINVAL. */
		if (n % 512)
			break;
	}
	return (int64_t)progress;
}

int file_write(int fd, const void *buffer, size_t length, uint64_t offset)
{
	size_t progress = 0;

	while (progress < length) {
		ssize_t n = pwrite(fd, (const char *)buffer + progress, length - progress,
				   (off_t)(offset + progress));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -EIO;
		progress += (size_t)n;
	}
	return 0;
}

int file_rename(const char *from, const char *to)
{
	return rename(from, to) < 0 ? -errno : 0;
}

int file_make_dir(const char *path)
{
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return -errno;
	return 0;
}

int file_sync_dir(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int status;

	if (fd < 0)
		return -errno;
	status = file_sync(fd);
	close(fd);
	return status;
}

int file_lock(int fd)
{
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? -EBUSY : -errno;
	return 0;
}

int file_lock_shared(int fd)
{
	if (flock(fd, LOCK_SH | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? -EBUSY : -errno;
	return 0;
}

int file_remove(const char *path)
{
	return unlink(path) < 0 ? -errno : 0;
}

int file_remove_dir(const char *path)
{
	return rmdir(path) < 0 ? -errno : 0;
}

int file_list(const char *path, int (*entry)(void *arg, const char *name), void *arg)
{
	DIR *dir = opendir(path);
	struct dirent *found;
	int status = 0;

	if (!dir)
		return -errno;
	for (errno = 0; !status && (found = readdir(dir)); errno = 0)
		if (strcmp(found->d_name, ".") && strcmp(found->d_name, ".."))
			status = entry(arg, found->d_name);
	if (!status && errno)
		status = -errno;
	closedir(dir);
	return status;
}

int file_clone(int to, int from, uint64_t offset, uint64_t length)
{
	struct file_clone_range range = {.src_fd = from, .src_offset = offset,
					 .src_length = length, .dest_offset = offset};

	return ioctl(to, FICLONERANGE, &range) < 0 ? -errno : 0;
}

int64_t file_data_next(int fd, uint64_t offset)
{
	off_t found = lseek(fd, (off_t)offset, SEEK_DATA);

	return found < 0 ? -errno : found;
}

bool file_tells_holes(int fd)
{
	off_t hole = lseek(fd, 0, SEEK_HOLE);
	struct stat status;

	return hole >= 0 && fstat(fd, &status) == 0 && hole < status.st_size;
}

/* What is encoded, or shares its block with others, is not at one place. */
#define EXTENT_NOWHERE                                                                             \
	(FIEMAP_EXTENT_UNKNOWN | FIEMAP_EXTENT_DELALLOC | FIEMAP_EXTENT_ENCODED |                  \
	 FIEMAP_EXTENT_NOT_ALIGNED | FIEMAP_EXTENT_UNWRITTEN)
#define EXTENTS_MAX 64u /* at once: on the stack */

int file_extents(int fd, uint64_t offset, uint64_t length, struct file_extent *extents,
		 unsigned max)
{
	union {
		struct fiemap map;
		char room[sizeof(struct fiemap) + EXTENTS_MAX * sizeof(struct fiemap_extent)];
	} ask;
	unsigned count;

	memset(&ask, 0, sizeof(ask));
	ask.map.fm_start = offset;
	ask.map.fm_length = length;
	ask.map.fm_flags = FIEMAP_FLAG_SYNC;
	ask.map.fm_extent_count = max < EXTENTS_MAX ? max : EXTENTS_MAX;
	if (ioctl(fd, FS_IOC_FIEMAP, &ask.map) < 0)
		return errno == ENOTTY ? -EOPNOTSUPP : -errno;
	count = ask.map.fm_mapped_extents;
	for (unsigned i = 0; i < count; i++) {
		const struct fiemap_extent *found = &ask.map.fm_extents[i];

		extents[i] = (struct file_extent){found->fe_logical, found->fe_length,
						  found->fe_flags & EXTENT_NOWHERE
							  ? 0
							  : found->fe_physical};
	}
	return (int)count;
}

int64_t file_used(const char *path)
{
	struct stat status;

	if (stat(path, &status) < 0)
		return -errno;
	return (int64_t)status.st_blocks * 512;
}

int64_t file_clock_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int file_room(const char *path, uint64_t *bytes)
{
	struct statvfs fs;

	if (statvfs(path, &fs) < 0)
		return -errno;
	*bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
	return 0;
}

int file_random(void *buffer, size_t length)
{
	ssize_t n = getrandom(buffer, length, 0);

	if (n < 0)
		return -errno;
	return (size_t)n == length ? 0 : -EIO;
}

bool file_is_direct(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags >= 0 && flags & O_DIRECT;
}

void file_forget(int fd, uint64_t offset, uint64_t length)
{
	posix_fadvise(fd, (off_t)offset, (off_t)length, POSIX_FADV_DONTNEED);
}
