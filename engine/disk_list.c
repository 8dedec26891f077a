/* SPDX-License-Identifier: Apache-2.0 */
#include "disk_list.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "outcome.h"

static const struct guest_disk *named(const struct guest *guest, const char *name)
{
	for (unsigned i = 0; i < guest->disk_count; i++) {
		if (!strcmp(guest->disks[i].name, name))
			return &guest->disks[i];
	}
	return NULL;
}

/* A store's disk that would lose its replica. */
static int check_dropped(const struct store_disk *disk, const struct guest *all, const char *dir,
			 struct errinfo *err)
{
	if (named(all, disk->name))
		return err_set(err, -EPERM, "%s holds a replica of disk %s, which is not among the "
			       "disks asked for: name it with --disk too, or say --drop-disks to drop "
			       "its replica", dir, disk->name);
	if (all->skipped)
		return err_set(err, -EPERM, "%s holds a replica of disk %s, which is not among the "
			       "disks that can be protected (left out: %s); say --drop-disks to drop "
			       "its replica", dir, disk->name, all->skipped_why);
	return 0;
}

static bool same_list(const struct store_spec *spec, const struct guest *guest)
{
	if (spec->disk_count != guest->disk_count)
		return false;
	for (unsigned i = 0; i < spec->disk_count; i++) {
		if (strcmp(spec->disks[i].name, guest->disks[i].name) ||
		    spec->disks[i].size != guest->disks[i].size)
			return false;
	}
	return true;
}

/* An earlier version wrote the first bytes of a long name. */
#define SHORT_NAME 63

bool disk_list_same_guest(const struct store_spec *spec, const struct guest *guest)
{
	if (strcmp(spec->vm_uuid, guest->uuid))
		return false;
	return !strcmp(spec->vm, guest->name) ||
	       (guest->uuid[0] && strlen(spec->vm) == SHORT_NAME &&
		!strncmp(spec->vm, guest->name, SHORT_NAME));
}

int disk_list_check(const struct store_info *info, const struct guest *selected,
		    const struct guest *all, bool drop, const char *dir, bool *changed,
		    struct errinfo *err)
{
	const struct store_spec *spec = &info->spec;
	unsigned common = 0;

	if (!disk_list_same_guest(spec, all))
		return err_set(err, -EPERM, "%s is the store of another guest (%s %s; this one is "
			       "%s %s)", dir, spec->vm, spec->vm_uuid, all->name, all->uuid);
	*changed = !same_list(spec, selected);
	if (*changed && info->promoted)
		return err_set(err, -EPERM, "the heads of %s were handed to a guest by a pivot, and its "
			       "disks are not those of this guest: use an empty store", dir);
	for (unsigned i = 0; i < spec->disk_count; i++) {
		int rc = 0;

		if (named(selected, spec->disks[i].name))
			common++;
		else if (!drop)
			rc = check_dropped(&spec->disks[i], all, dir, err);
		if (rc)
			return rc;
	}
	if (!common && !drop)
		return err_set(err, -EPERM, "%s holds disk %s and %u more, and the guest has none of "
			       "them: use an empty store, or say --drop-disks to drop their replicas",
			       dir, spec->disks[0].name, spec->disk_count - 1);
	return 0;
}

static void tell(const struct store_spec *spec, const struct guest *guest)
{
	for (unsigned i = 0; i < guest->disk_count; i++) {
		const struct guest_disk *disk = &guest->disks[i];
		uint64_t before = 0;

		for (unsigned j = 0; j < spec->disk_count; j++) {
			if (!strcmp(spec->disks[j].name, disk->name))
				before = spec->disks[j].size;
		}
		if (!before)
			log_info("disk %s is new in the store", disk->name);
		else if (before != disk->size)
			log_info("disk %s had %llu bytes and has %llu now: %s", disk->name,
				 (unsigned long long)before, (unsigned long long)disk->size,
				 before < disk->size ? "its replica is extended"
						     : "it is copied anew");
	}
	for (unsigned j = 0; j < spec->disk_count; j++) {
		if (!named(guest, spec->disks[j].name))
			log_info("disk %s is not protected any more: its replica goes, when no point "
				 "needs it", spec->disks[j].name);
	}
}

int disk_list_apply(struct sidecar *sidecar, struct errinfo *err)
{
	const struct guest *guest = &sidecar->guest;
	struct store_disk disks[BOUND_DISKS];
	struct outcome settled = {0};
	int rc;

	memset(disks, 0, sizeof(disks));
	for (unsigned i = 0; i < guest->disk_count; i++) {
		snprintf(disks[i].name, sizeof(disks[i].name), "%s", guest->disks[i].name);
		disks[i].size = guest->disks[i].size;
	}
	store_settle(sidecar->store, outcome_set, &settled);
	rc = outcome_wait(&settled, &sidecar->loop, err);
	if (!rc)
		rc = store_set_disks(sidecar->store, disks, guest->disk_count, err);
	if (rc)
		return rc;
	tell(&store_info(sidecar->store)->spec, guest);
	keeper_stop(sidecar); /* it works on the store */
	store_close(sidecar->store);
	sidecar->store = NULL;
	return store_open(&sidecar->store, sidecar->loop.ring, sidecar->pool,
			  sidecar->config->store, err);
}

/* -ESTALE: not only longer. */
static int take_sizes(struct guest *guest, const struct guest *now, uint64_t *sizes)
{
	bool grew = false;

	for (unsigned i = 0; i < guest->disk_count; i++) {
		const struct guest_disk *fresh = named(now, guest->disks[i].name);

		if (!fresh || strcmp(fresh->node, guest->disks[i].node) ||
		    fresh->size < guest->disks[i].size)
			return -ESTALE;
		grew |= fresh->size > guest->disks[i].size;
		sizes[i] = fresh->size;
	}
	for (unsigned i = 0; grew && i < guest->disk_count; i++)
		guest->disks[i].size = sizes[i];
	return grew ? 0 : -ESTALE;
}

/* Store and scratch files to the guest's new sizes. */
static int grow(struct sidecar *sidecar, struct errinfo *err)
{
	int rc;

	sidecar->uncovered = true;
	rc = disk_list_apply(sidecar, err);
	if (rc)
		return rc;
	scratch_release(&sidecar->scratch, &sidecar->monitor);
	return sidecar_make_scratch(sidecar, err);
}

int disk_list_follow(struct sidecar *sidecar, struct errinfo *err)
{
	static struct guest now; /* large; one flow of control */
	uint64_t sizes[BOUND_DISKS], before[BOUND_DISKS] = {0};
	json_t *reply = NULL;
	int rc = monitor_call(&sidecar->monitor, "query-block", NULL, &reply, err);

	memset(&now, 0, sizeof(now));
	if (!rc)
		rc = guest_parse_block(&now, reply, err);
	json_decref(reply);
	for (unsigned i = 0; i < sidecar->guest.disk_count; i++)
		before[i] = sidecar->guest.disks[i].size;
	if (!rc)
		rc = take_sizes(&sidecar->guest, &now, sizes);
	for (unsigned i = 0; !rc && i < sidecar->guest.disk_count; i++)
		rc = sidecar_size_check(&sidecar->guest.disks[i],
					sidecar->checkpoint.granularity, err);
	if (!rc)
		rc = grow(sidecar, err);
	for (unsigned i = 0; rc && i < sidecar->guest.disk_count; i++)
		sidecar->guest.disks[i].size = before[i]; /* seen again, and tried again */
	return rc;
}
