/* SPDX-License-Identifier: Apache-2.0
 *
 * What a restore asks of the file or device that it writes: who it is, what of it
 * is a hole, and QEMU's image locks: byte 100 + i says that somebody uses
 * permission i of an image (0 read, 1 write, 2 write unchanged, 3 resize), byte
 * 200 + i that somebody does not share it.  The locks belong to the open file.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file_target.h"

#define LOCK_USED 100
#define LOCK_NOT_SHARED 200
#define LOCK_PERMISSIONS 4

#define STAT_UNIT 512 /* of st_blocks */

static void identity_fill(const struct stat *status, struct file_identity *identity)
{
	identity->kind = S_ISREG(status->st_mode)   ? FILE_REGULAR
			 : S_ISBLK(status->st_mode) ? FILE_BLOCK_DEVICE
			 : S_ISDIR(status->st_mode) ? FILE_DIRECTORY
						    : FILE_OTHER;
	identity->device = S_ISBLK(status->st_mode) ? status->st_rdev : status->st_dev;
	identity->inode = S_ISBLK(status->st_mode) ? 0 : status->st_ino;
	identity->size = (uint64_t)status->st_size;
	identity->allocated = (uint64_t)status->st_blocks * STAT_UNIT;
}

int file_identify(int fd, struct file_identity *identity)
{
	struct stat status;
	off_t end;

	if (fstat(fd, &status) < 0)
		return -errno;
	identity_fill(&status, identity);
	if (identity->kind != FILE_BLOCK_DEVICE)
		return 0;
	end = lseek(fd, 0, SEEK_END);
	if (end < 0)
		return -errno;
	identity->size = (uint64_t)end;
	return 0;
}

int file_identify_path(const char *path, struct file_identity *identity)
{
	struct stat status;

	if (stat(path, &status) < 0)
		return -errno;
	identity_fill(&status, identity);
	return 0;
}

int64_t file_born_us(const char *path)
{
	struct statx status;

	if (statx(AT_FDCWD, path, 0, STATX_BTIME, &status) || !(status.stx_mask & STATX_BTIME))
		return 0;
	return status.stx_btime.tv_sec * INT64_C(1000000) + status.stx_btime.tv_nsec / 1000;
}

int64_t file_next_data(int fd, uint64_t offset)
{
	off_t found = lseek(fd, (off_t)offset, SEEK_DATA);

	return found < 0 ? -errno : found;
}

static int lock_range(int fd, int command, short type, off_t start)
{
	struct flock lock = {
		.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = LOCK_PERMISSIONS};

	if (fcntl(fd, command, &lock) < 0)
		return errno == EAGAIN || errno == EACCES ? -EBUSY : -errno;
	return command == F_OFD_GETLK && lock.l_type != F_UNLCK ? -EBUSY : 0;
}

int file_check_image(int fd)
{
	int status = lock_range(fd, F_OFD_GETLK, F_WRLCK, LOCK_USED);

	return status ? status : lock_range(fd, F_OFD_GETLK, F_WRLCK, LOCK_NOT_SHARED);
}

/* First take, then look: of two that begin at once at least one sees the other. */
int file_lock_image(int fd)
{
	int status = lock_range(fd, F_OFD_SETLK, F_RDLCK, LOCK_USED);

	if (!status)
		status = lock_range(fd, F_OFD_SETLK, F_RDLCK, LOCK_NOT_SHARED);
	return status ? status : file_check_image(fd);
}

void file_unlock_image(int fd)
{
	lock_range(fd, F_OFD_SETLK, F_UNLCK, LOCK_USED);
	lock_range(fd, F_OFD_SETLK, F_UNLCK, LOCK_NOT_SHARED);
}
