/* SPDX-License-Identifier: Apache-2.0
 *
 * May the guest be rolled back to a point?  Changes nothing; each refusal is a
 * sentence.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "file.h"
#include "rollback_check.h"
#include "rollback_copy.h"
#include "sidecar.h"

int rollback_check_state(const struct sidecar *sidecar, struct errinfo *err)
{
	int rc = sidecar_covered(sidecar, err);

	if (rc)
		return rc;
	if (sidecar->state != SIDECAR_PROTECTED && sidecar->state != SIDECAR_DEGRADED)
		return err_set(err, -EROFS, "the state is %s; a roll back needs a guest that is "
			       "protected", sidecar_state_name(sidecar->state));
	if (sidecar->fault.kind != FAULT_NONE)
		return err_set(err, -EAGAIN, "disk %s failed just now (%s), which comes first",
			       sidecar->guest.disks[sidecar->fault.disk].name,
			       sidecar->fault.detail);
	return 0;
}

static const struct store_disk *point_disk(const struct point_info *point, const char *name)
{
	for (unsigned i = 0; i < point->disk_count; i++) {
		if (!strcmp(point->disks[i].name, name))
			return &point->disks[i];
	}
	return NULL;
}

/* The disk would be called after its new node. */
static bool named_by_node(const struct guest_disk *disk)
{
	static const char peripheral[] = "/machine/peripheral/";

	return strncmp(disk->qom, peripheral, strlen(peripheral)) &&
	       !strcmp(disk->name, disk->node);
}

int rollback_check_disks(const struct sidecar *sidecar, const struct point_info *point,
			 struct errinfo *err)
{
	const struct guest *guest = &sidecar->guest;

	for (unsigned i = 0; i < guest->disk_count; i++) {
		const struct guest_disk *disk = &guest->disks[i];
		const struct store_disk *old = point_disk(point, disk->name);

		if (named_by_node(disk))
			return err_set(err, -EPERM, "the device of disk %s has no id, and the "
				       "disk's name would change with its node: start the guest "
				       "with id= in its -device", disk->name);
		if (!old)
			return err_set(err, -ENOENT, "point %s has no disk %s: the guest had "
				       "other disks then; qheal restore gives single ones",
				       point->name, disk->name);
		if (old->size != disk->size)
			return err_set(err, -EFBIG, "disk %s has %llu bytes now and %llu at point "
				       "%s; qheal restore gives it as it was", disk->name,
				       (unsigned long long)disk->size,
				       (unsigned long long)old->size, point->name);
	}
	if (point->disk_count != guest->disk_count)
		return err_set(err, -ENOENT, "point %s has %u disks, the guest %u: qheal restore "
			       "gives single ones", point->name, point->disk_count,
			       guest->disk_count);
	return 0;
}

const struct point_info *rollback_find_point(const struct sidecar *sidecar, const char *what,
					     struct errinfo *err)
{
	unsigned count;
	const struct point_info *points = store_points(sidecar->store, &count);
	const struct point_info *point = point_find(points, count, what);

	if (!point)
		err_set(err, -ENOENT, "%s has no point \"%.80s\"; `qheal points` lists them",
			store_dir(sidecar->store), what);
	return point;
}

/* A clone shares its blocks; the store's own generations need room as before. */
static bool shares(const struct sidecar *sidecar, const struct point_info *point, const char *dir)
{
	struct stat there, here;

	return point->kind == POINT_CLONE &&
	       (!dir || (!stat(dir, &there) && !stat(store_dir(sidecar->store), &here) &&
			 there.st_dev == here.st_dev));
}

int rollback_check_room(struct sidecar *sidecar, const struct point_info *point, const char *dir,
			struct errinfo *err)
{
	bool shared = shares(sidecar, point, dir);
	uint64_t need = 0, room, bytes;

	for (unsigned i = 0; i < point->disk_count && !shared; i++) {
		int rc = rollback_copy_measure(sidecar->loop.ring, store_dir(sidecar->store), point,
					       point->disks[i].name, &bytes, err);

		if (rc)
			return rc;
		need += bytes;
	}
	dir = dir ?: store_dir(sidecar->store);
	if (file_room(dir, &room) || room >= need)
		return 0; /* who cannot be asked refuses the writes */
	return err_set(err, -ENOSPC, "%s has room for %llu bytes, %llu too few for the %llu of "
		       "point %s", dir, (unsigned long long)room,
		       (unsigned long long)(need - room), (unsigned long long)need, point->name);
}
