/* SPDX-License-Identifier: Apache-2.0
 *
 * mirror_files: the image that a mirror copies to, and its mark.
 */
#include "mirror_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "file.h"
#include "sidecar.h"

#define SERIALS 1000 /* images of one generation of one disk */

void mirror_mark_path(const char *image, char path[PATH_MAX + 16])
{
	snprintf(path, PATH_MAX + 16, "%s" MIRROR_MARK, image);
}

void mirror_files_remove(struct mirror *mirror)
{
	char mark[PATH_MAX + 16];

	mirror_mark_path(mirror->image, mark);
	file_remove(mirror->image);
	file_remove(mark);
	mirror->marked = false;
}

/* The mark is durable first. */
int mirror_files_make(const struct sidecar *sidecar, struct mirror *mirror, uint64_t size,
		      struct errinfo *err)
{
	char mark[PATH_MAX + 16];
	int fd, rc;

	mirror_mark_path(mirror->image, mark);
	fd = file_open(mark, O_WRONLY | O_CREAT | O_EXCL);
	if (fd < 0)
		return err_set(err, fd, "%s: %s", mark, strerror(-fd));
	rc = file_sync(fd);
	file_close(fd);
	if (!rc)
		rc = file_sync_dir(sidecar->config->spare);
	mirror->marked = true;
	fd = rc ? rc : file_open(mirror->image, O_RDWR | O_CREAT | O_EXCL);
	rc = fd < 0 ? fd : file_truncate(fd, size);
	if (!rc)
		rc = file_sync(fd);
	if (fd >= 0)
		file_close(fd);
	if (!rc)
		rc = file_sync_dir(sidecar->config->spare);
	if (rc)
		mirror_files_remove(mirror);
	return rc ? err_set(err, rc, "%s: cannot make it %llu bytes: %s", mirror->image,
			    (unsigned long long)size, strerror(-rc)) : 0;
}

int mirror_choose_names(const struct sidecar *sidecar, struct mirror *mirror, struct errinfo *err)
{
	const struct store_info *info = store_info(sidecar->store);
	const char *disk = sidecar->guest.disks[mirror->disk].name;
	unsigned long long generation = info->generation % 1000000000;

	snprintf(mirror->job, sizeof(mirror->job), MIRROR_JOB "%u", mirror->disk);
	for (unsigned serial = 1; serial < SERIALS; serial++) {
		int length = snprintf(mirror->image, sizeof(mirror->image), "%s/%s-%.8s-%llu-%u.raw",
				      sidecar->config->spare, disk, info->uuid, generation,
				      serial);

		if (length >= (int)sizeof(mirror->image) - (int)sizeof(MIRROR_MARK))
			return err_set(err, -ENAMETOOLONG, "%s: the path is too long",
				       sidecar->config->spare);
		snprintf(mirror->node, sizeof(mirror->node), MIRROR_NODE "%u-%.4s-%llu-%u",
			 mirror->disk, info->uuid, generation, serial);
		if (access(mirror->image, F_OK))
			return 0;
	}
	return err_set(err, -EEXIST, "%s holds too many images of disk %s",
		       sidecar->config->spare, disk);
}

bool mirror_is_image(const struct sidecar *sidecar, const struct guest_disk *disk)
{
	char spare[PATH_MAX], file[PATH_MAX], mark[PATH_MAX + 16], begin[sizeof(disk->name) + 16];
	size_t length;
	const char *name;

	if (!sidecar->config->spare || !realpath(sidecar->config->spare, spare) ||
	    !realpath(disk->file, file))
		return false;
	length = strlen(spare);
	if (strncmp(file, spare, length) || file[length] != '/')
		return false;
	name = file + length + 1;
	length = (size_t)snprintf(begin, sizeof(begin), "%s-%.8s-", disk->name,
				  store_info(sidecar->store)->uuid);
	mirror_mark_path(file, mark);
	return !strncmp(name, begin, length) && !strchr(name + length, '/') &&
	       strlen(name) > length + 4 && !strcmp(name + strlen(name) - 4, ".raw") &&
	       access(mark, F_OK);
}

/* What the head has is the least that the image will take. */
int mirror_check_room(const struct sidecar *sidecar, unsigned disk, struct errinfo *err)
{
	const char *name = sidecar->guest.disks[disk].name;
	char head[PATH_MAX];
	uint64_t room;
	int64_t used;

	store_head_path(store_dir(sidecar->store), name, head, sizeof(head));
	used = file_used(head);
	if (used <= 0 || file_room(sidecar->config->spare, &room) || (uint64_t)used <= room)
		return 0;
	return err_set(err, -ENOSPC, "%s has %llu MiB free, disk %s needs %lld at least",
		       sidecar->config->spare, (unsigned long long)room >> 20, name,
		       (long long)used >> 20);
}
