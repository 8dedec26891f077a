/* SPDX-License-Identifier: Apache-2.0
 *
 * file: the few blocking calls on files that the store makes at start-up and at
 * turns of its life.  Together with ring.h this is all through which the store
 * touches the world, so that tests can put a simulated disk in their place.
 *
 * Every call returns 0 (or what it says) or a negative errno; none prints.
 */
#ifndef BLOCKIO_FILE_H
#define BLOCKIO_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FILE_PATH_MAX 1280 /* a store's directory, and below it two names */

/* open(2) with O_CLOEXEC, mode 0600.  O_DIRECT is dropped where the file system
 * refuses it.  Returns the descriptor. */
int file_open(const char *path, int flags);
void file_close(int fd); /* -1 is allowed */
int file_duplicate(int fd); /* with its lock; -1: FD was, or there is none to be had */

int64_t file_size(int fd);
int file_truncate(int fd, uint64_t size);
int file_sync(int fd); /* data, size and, for a new file, the inode */

/* Whole transfers.  file_read() returns the bytes that exist, at most LENGTH. */
int64_t file_read(int fd, void *buffer, size_t length, uint64_t offset);
int file_write(int fd, const void *buffer, size_t length, uint64_t offset);

/* Names are durable only after file_sync_dir() of their directory. */
int file_rename(const char *from, const char *to);
int file_make_dir(const char *path); /* 0700; 0 when it is there already */
int file_sync_dir(const char *path);

int file_remove(const char *path);     /* a file */
int file_remove_dir(const char *path); /* an empty directory */
/* ENTRY(ARG, NAME) for every name in the directory but . and .., in no order, until
 * it gives something else than 0, which is returned.  It may remove what it is given. */
int file_list(const char *path, int (*entry)(void *arg, const char *name), void *arg);

int file_lock(int fd); /* -EBUSY when somebody else holds it; gone with the descriptor */
int file_lock_shared(int fd); /* -EBUSY when somebody has it for himself */

/* TO shares the blocks of FROM in this range (FICLONERANGE): multiples of the file
 * system's block, or up to the end of FROM; LENGTH 0: all from OFFSET on.
 * -EOPNOTSUPP, -EINVAL or -EXDEV where blocks cannot be shared. */
int file_clone(int to, int from, uint64_t offset, uint64_t length);
/* Where the first data at or behind OFFSET is; -ENXIO: there is none. */
int64_t file_data_next(int fd, uint64_t offset);
/* It has one, and the file system tells it: else file_data_next() takes all for data. */
bool file_tells_holes(int fd);

struct file_extent {
	uint64_t offset, length;
	uint64_t physical; /* on the disk below; 0: nobody can tell, or not written yet */
};

/* The extents (FIEMAP) that have any of LENGTH bytes from OFFSET on, at most MAX; returns
 * how many.  -EOPNOTSUPP where the file system does not tell. */
int file_extents(int fd, uint64_t offset, uint64_t length, struct file_extent *extents,
		 unsigned max);
int64_t file_used(const char *path); /* bytes that it occupies on its file system */
int64_t file_clock_us(void);	     /* CLOCK_REALTIME */
int file_room(const char *path, uint64_t *bytes); /* free to us on that file system */
int file_random(void *buffer, size_t length);

bool file_is_direct(int fd); /* opened with O_DIRECT, and it was not dropped */
/* The page cache need not keep this range; only what is clean leaves it. */
void file_forget(int fd, uint64_t offset, uint64_t length);

#endif
