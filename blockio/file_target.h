/* SPDX-License-Identifier: Apache-2.0
 *
 * file_target: what file.h does not have and a restore needs of the file or
 * device that it writes.  Every call returns 0 or a negative errno.
 */
#ifndef BLOCKIO_FILE_TARGET_H
#define BLOCKIO_FILE_TARGET_H

#include <stdint.h>

enum file_kind { FILE_REGULAR, FILE_BLOCK_DEVICE, FILE_DIRECTORY, FILE_OTHER };
struct file_identity {
	enum file_kind kind;
	uint64_t device, inode; /* the same for the same file, whatever its name */
	uint64_t size;		/* of block devices too; FD has to be open for that */
	uint64_t allocated;	/* bytes that it takes on its file system */
};
int file_identify(int fd, struct file_identity *identity);
int file_identify_path(const char *path, struct file_identity *identity); /* links are followed */
/* When the file was made, in microseconds; 0: its file system does not say.  An inode's number is
 * soon that of another file. */
int64_t file_born_us(const char *path);
/* The first byte from OFFSET on that is not in a hole; -ENXIO: there is none. */
int64_t file_next_data(int fd, uint64_t offset);
/* As QEMU locks its images: nobody may read or write it until it is unlocked.  -EBUSY:
 * a QEMU, or another restore, has it open. */
int file_lock_image(int fd);
int file_check_image(int fd); /* the same question, without a lock of ours */
/* Before FD is closed: where a ring had it registered, the kernel may keep the open
 * file, and with it the lock, for some moments more. */
void file_unlock_image(int fd);

#endif
