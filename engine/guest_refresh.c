/* SPDX-License-Identifier: Apache-2.0
 *
 * guest_refresh: roots and sizes may have been changed by others (snapshot,
 * commit, resize) since attach: what we hold bitmaps on must still be what the
 * guest writes to.
 */
#include "guest.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define OUR_NODES "qheal-"

static int compare(const struct guest_disk *was, const struct guest_disk *is, struct errinfo *err)
{
	if (!is)
		return err_set(err, -ESTALE, "disk %s is no longer attached to the guest",
			       was->name);
	if (strcmp(is->node, was->node))
		return err_set(err, -ESTALE, "somebody else put node %s on top of disk %s (it was "
			       "%s): end that snapshot or job, then start protect again", is->node,
			       was->name, was->node);
	if (is->size != was->size)
		return err_set(err, -ESTALE, "disk %s was resized from %llu to %llu bytes%s", was->name,
			       (unsigned long long)was->size, (unsigned long long)is->size,
			       is->size < was->size ? ": start protect again, which copies it anew"
						    : "");
	return 0;
}

/* By the device: names may be shared until guest_select() has looked. */
static const struct guest_disk *same_device(const struct guest *guest, const char *qom)
{
	for (unsigned i = 0; i < guest->disk_count; i++) {
		if (!strcmp(guest->disks[i].qom, qom))
			return &guest->disks[i];
	}
	return NULL;
}

/* Also when the rest is in no order.  A filter has the file of what is below it, or words of its
 * own (throttle); a node of ours is known to the store. */
static void note_covered(struct guest *guest, const struct guest *now)
{
	for (unsigned i = 0; i < guest->disk_count; i++) {
		struct guest_disk *disk = &guest->disks[i];
		const struct guest_disk *fresh = same_device(now, disk->qom);

		if (fresh)
			disk->covered_over = strcmp(fresh->node, disk->node) &&
					     strcmp(fresh->file, disk->file) &&
					     !(fresh->driver[0] && guest_is_filter(fresh->driver)) &&
					     strncmp(fresh->node, OUR_NODES, strlen(OUR_NODES));
	}
}

int guest_refresh(struct guest *guest, const json_t *reply, struct errinfo *err)
{
	static struct guest now; /* large; one flow of control */
	int rc;

	memset(&now, 0, sizeof(now));
	rc = guest_parse_block(&now, reply, err);
	if (!rc)
		note_covered(guest, &now);
	for (unsigned i = 0; !rc && i < guest->disk_count; i++) {
		struct guest_disk *disk = &guest->disks[i];
		const struct guest_disk *fresh = same_device(&now, disk->qom);

		rc = compare(disk, fresh, err);
		if (rc)
			break;
		memcpy(disk->bitmaps, fresh->bitmaps, sizeof(disk->bitmaps));
		disk->bitmap_count = fresh->bitmap_count;
		disk->io_failed = fresh->io_failed;
	}
	return rc;
}

static bool same_file(const char *one, const char *other)
{
	char a[PATH_MAX], b[PATH_MAX];

	if (!strcmp(one, other))
		return true;
	return realpath(one, a) && realpath(other, b) && !strcmp(a, b);
}

int guest_same_images(const struct guest *here, const struct guest *there, struct errinfo *err)
{
	for (unsigned i = 0; i < here->disk_count; i++) {
		const struct guest_disk *disk = &here->disks[i];
		const struct guest_disk *other = same_device(there, disk->qom);

		if (!other)
			return err_set(err, -EINVAL, "the standby has no disk %s", disk->name);
		if (!same_file(disk->file, other->file))
			return err_set(err, -EINVAL, "disk %s of the guest is on %.200s, and the "
				       "standby's is on %.200s: start the standby with the images "
				       "that the guest has now", disk->name, disk->file, other->file);
	}
	return 0;
}

int guest_dirty_bytes(const struct guest *guest, uint64_t members, const char *name,
		      uint64_t *bytes, struct errinfo *err)
{
	*bytes = 0;
	for (unsigned i = 0; i < guest->disk_count; i++) {
		const struct guest_bitmap *bitmap = guest_bitmap_find(&guest->disks[i], name);

		if (!(members >> i & 1))
			continue;
		if (!bitmap || bitmap->inconsistent)
			return err_set(err, -ENODATA, "the bitmap %s of disk %s is gone: somebody "
				       "removed it; start protect again", name,
				       guest->disks[i].name);
		*bytes += bitmap->dirty_bytes;
	}
	return 0;
}

int guest_recording(const struct guest *guest, const char *name, struct errinfo *err)
{
	for (unsigned i = 0; i < guest->disk_count; i++) {
		const struct guest_bitmap *bitmap = guest_bitmap_find(&guest->disks[i], name);

		if (!bitmap || !bitmap->recording)
			return err_set(err, -ENODATA, "the bitmap %s of disk %s does not record "
				       "what the guest writes", name, guest->disks[i].name);
	}
	return 0;
}
