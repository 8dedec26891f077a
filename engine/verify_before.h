/* SPDX-License-Identifier: Apache-2.0
 *
 * verify_before: the image of each disk that was read last.  What the next one shares with
 * it need not be read again.
 */
#ifndef ENGINE_VERIFY_BEFORE_H
#define ENGINE_VERIFY_BEFORE_H

#include "image.h"
#include "store.h"

struct verify_before {
	char disk[STORE_NAME_MAX + 1];
	struct image *image; /* NULL: free */
	int hold_fd; /* of its point, so that its blocks stay where they are; -1: none */
};

/* Of DISK, or a free place, out of STORE_DISKS_MAX; NULL: points of many other disks. */
struct verify_before *verify_before_find(struct verify_before *all, const char *disk);
/* Takes IMAGE over; HOLD_FD, of its point, or -1, stays the caller's. */
void verify_before_keep(struct verify_before *before, const char *disk, struct image *image,
			int hold_fd);
void verify_before_close(struct verify_before *before);

#endif
