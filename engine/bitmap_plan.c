/* SPDX-License-Identifier: Apache-2.0 */
#include "bitmap_plan.h"

#include <string.h>

static bool usable(const struct guest_bitmap *bitmap)
{
	return bitmap && !bitmap->inconsistent && !bitmap->busy;
}

static bool disk_covers(const struct guest_disk *disk, const char *since, const char *next)
{
	const struct guest_bitmap *kept = guest_bitmap_find(disk, since);
	const struct guest_bitmap *merged = guest_bitmap_find(disk, next);

	if (!usable(kept) || (merged && !usable(merged)))
		return false;
	/* One of them has to know the writes of this moment, or some are missed. */
	return kept->recording || (merged && merged->recording);
}

uint64_t bitmap_plan_covered(const struct guest *guest, const char *since, const char *next)
{
	uint64_t covered = 0;

	for (unsigned i = 0; i < guest->disk_count; i++) {
		if (disk_covers(&guest->disks[i], since, next))
			covered |= UINT64_C(1) << i;
	}
	return covered;
}

static int add_action(json_t *actions, const char *type, const struct guest_disk *disk,
		      const char *name)
{
	return json_array_append_new(actions, json_pack("{s:s,s:{s:s,s:s}}", "type", type, "data",
							"node", disk->node, "name", name));
}

json_t *bitmap_plan_merge(const char *node, const char *target, const char *source)
{
	return json_pack("{s:s,s:{s:s,s:s,s:[s]}}", "type", "block-dirty-bitmap-merge", "data",
			 "node", node, "target", target, "bitmaps", source);
}

json_t *bitmap_plan_exists(const char *node, const char *bitmap)
{
	return bitmap_plan_merge(node, bitmap, bitmap);
}

/* Recording first: a write between the two actions is in both bitmaps. */
static int add_merge(json_t *actions, const struct guest_disk *disk, const char *since,
		     const char *next)
{
	int failed = 0;

	if (!guest_bitmap_find(disk, since)->recording) {
		failed |= json_array_append_new(actions, bitmap_plan_exists(disk->node, since));
		failed |= add_action(actions, "block-dirty-bitmap-enable", disk, since);
	}
	if (guest_bitmap_find(disk, next))
		failed |= json_array_append_new(actions,
						bitmap_plan_merge(disk->node, since, next));
	return failed;
}

static int add_removals(json_t *actions, const struct guest_disk *disk, const char *but)
{
	int failed = 0;

	for (unsigned i = 0; i < disk->bitmap_count; i++) {
		if (strcmp(disk->bitmaps[i].name, but))
			failed |= add_action(actions, "block-dirty-bitmap-remove", disk,
					     disk->bitmaps[i].name);
	}
	return failed;
}

json_t *bitmap_plan_actions(const struct guest *guest, const char *since, const char *next,
			    uint64_t covered)
{
	json_t *actions = json_array();
	int failed = !actions;

	for (unsigned i = 0; i < guest->disk_count && !failed; i++) {
		const struct guest_disk *disk = &guest->disks[i];
		bool keep = covered >> i & 1;

		if (keep)
			failed |= add_merge(actions, disk, since, next);
		failed |= add_removals(actions, disk, keep ? since : "");
	}
	if (!failed)
		return actions;
	json_decref(actions);
	return NULL;
}
