/* SPDX-License-Identifier: Apache-2.0 */
#include "verify_before.h"

#include <stdio.h>
#include <string.h>

#include "file.h"

struct verify_before *verify_before_find(struct verify_before *all, const char *disk)
{
	for (unsigned i = 0; i < STORE_DISKS_MAX; i++)
		if (all[i].image && !strcmp(all[i].disk, disk))
			return &all[i];
	for (unsigned i = 0; i < STORE_DISKS_MAX; i++)
		if (!all[i].image)
			return &all[i];
	return NULL;
}

void verify_before_keep(struct verify_before *before, const char *disk, struct image *image,
			int hold_fd)
{
	before->image = image;
	before->hold_fd = file_duplicate(hold_fd);
	snprintf(before->disk, sizeof(before->disk), "%s", disk);
}

void verify_before_close(struct verify_before *before)
{
	if (!before->image)
		return;
	image_close(before->image);
	file_close(before->hold_fd);
	before->image = NULL;
}
