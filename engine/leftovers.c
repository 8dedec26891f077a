/* SPDX-License-Identifier: Apache-2.0
 *
 * leftovers: what an earlier sidecar, stopped anywhere, left in QEMU: exports,
 * snapshot nodes, filters (perhaps still above a disk), scratch nodes, bitmaps.
 * All carry the prefix; the order of removal matters; the root of a disk is never
 * deleted, only swapped back.
 */
#include "sidecar.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bitmap_plan.h"
#include "jsontext.h"
#include "promote.h"
#include "respond.h"

#define PREFIX GUEST_BITMAP_PREFIX

static bool ours(const char *name, const char *kind)
{
	return !strncmp(name, PREFIX, strlen(PREFIX)) &&
	       !strncmp(name + strlen(PREFIX), kind, strlen(kind));
}

void bitmap_name(const struct sidecar *sidecar, uint64_t generation, char name[64])
{
	snprintf(name, 64, PREFIX "%.8s-%llu", store_info(sidecar->store)->uuid,
		 (unsigned long long)generation);
}

static int drop_exports(struct sidecar *sidecar, struct errinfo *err)
{
	const json_t *item;
	json_t *list = NULL;
	size_t i;
	int rc = monitor_call(&sidecar->monitor, "query-block-exports", NULL, &list, err);

	json_array_foreach(list, i, item) {
		const char *id = json_text(item, "id");
		char *end;
		unsigned long index;

		if (!ours(id, "e"))
			continue;
		index = strtoul(id + strlen(PREFIX) + 1, &end, 10);
		if (!*end && index < BOUND_DISKS)
			sidecar->checkpoint.exported[index] = true;
	}
	json_decref(list);
	return rc ? rc : checkpoint_drop_exports(&sidecar->checkpoint, err);
}

/* The node below a filter, from QEMU's graph: no other query tells it. */
static const char *node_below(const json_t *graph, const char *filter)
{
	json_int_t filter_id = -1, child_id = -1;
	const json_t *item;
	size_t i;

	json_array_foreach(json_object_get(graph, "nodes"), i, item) {
		if (!strcmp(json_text(item, "name"), filter))
			filter_id = json_integer_value(json_object_get(item, "id"));
	}
	json_array_foreach(json_object_get(graph, "edges"), i, item) {
		if (json_integer_value(json_object_get(item, "parent")) == filter_id &&
		    !strcmp(json_text(item, "name"), "file"))
			child_id = json_integer_value(json_object_get(item, "child"));
	}
	json_array_foreach(json_object_get(graph, "nodes"), i, item) {
		if (json_integer_value(json_object_get(item, "id")) == child_id)
			return json_text(item, "name");
	}
	return "";
}

/* Every disk of the guest, also those not asked for this time. */
static unsigned add_root_swaps(const struct guest *now, const json_t *graph, struct batch *batch)
{
	unsigned before = batch->count;

	for (unsigned i = 0; i < now->disk_count; i++) {
		const struct guest_disk *disk = &now->disks[i];
		const char *below;

		if (!ours(disk->node, "cbw"))
			continue;
		below = node_below(graph, disk->node);
		if (!below[0])
			continue;
		log_info("disk %s: taking out the filter %s that was left there", disk->name,
			 disk->node);
		batch_add(batch, "qom-set", json_pack("{s:s,s:s,s:s}", "path", disk->qom,
						      "property", "drive", "value", below));
	}
	return batch->count - before;
}

static int swap_roots_back(struct sidecar *sidecar, struct errinfo *err)
{
	static struct guest now; /* large; one flow of control */
	struct batch queries, batch;
	unsigned swaps = 0, status = 0;
	bool running = false;
	int rc;

	memset(&now, 0, sizeof(now));
	batch_init(&queries, &sidecar->monitor);
	batch_add(&queries, "query-block", NULL);
	batch_add(&queries, "x-debug-query-block-graph", NULL);
	rc = batch_run(&queries, err);
	if (!rc)
		rc = guest_parse_block(&now, queries.entries[0].result, err);
	batch_init(&batch, &sidecar->monitor);
	if (!rc) {
		running = guest_running(&sidecar->guest);
		if (running) {
			status = batch_add(&batch, "query-status", NULL);
			batch_add(&batch, "stop", NULL);
		}
		swaps = add_root_swaps(&now, queries.entries[1].result, &batch);
		if (running)
			batch_add(&batch, "cont", NULL);
	}
	if (swaps)
		rc = batch_run(&batch, err);
	if (swaps && running)
		checkpoint_stop_again(&sidecar->checkpoint, batch.entries[status].result);
	batch_release(&batch);
	batch_release(&queries);
	return rc;
}

static int drop_nodes(struct sidecar *sidecar, const char *kind, struct errinfo *err)
{
	const json_t *item;
	json_t *list = NULL;
	struct batch batch;
	size_t i;
	int rc = guest_query_nodes(&sidecar->monitor, &list, err);

	if (rc)
		return rc;
	batch_init(&batch, &sidecar->monitor);
	json_array_foreach(list, i, item) {
		const char *name = json_text(item, "node-name");

		if (ours(name, kind) && batch.count < MONITOR_BATCH_MAX)
			batch_add(&batch, "blockdev-del", json_pack("{s:s}", "node-name", name));
	}
	rc = batch_run(&batch, err);
	batch_release(&batch);
	json_decref(list);
	return rc;
}

/* The bitmaps: those of a disk under a filter were hidden, exported ones busy. */
static int look_again(struct sidecar *sidecar, struct errinfo *err)
{
	json_t *reply = NULL;
	int rc = monitor_call(&sidecar->monitor, "query-block", NULL, &reply, err);

	if (!rc)
		rc = guest_refresh(&sidecar->guest, reply, err);
	json_decref(reply);
	return rc;
}

int leftovers_clean(struct sidecar *sidecar, struct errinfo *err)
{
	int rc = drop_exports(sidecar, err);

	if (!rc)
		rc = drop_nodes(sidecar, "snap", err);
	if (!rc)
		rc = swap_roots_back(sidecar, err);
	if (!rc)
		rc = drop_nodes(sidecar, "cbw", err);
	if (!rc)
		rc = drop_nodes(sidecar, "tmp", err);
	return rc;
}

int leftovers_late(struct sidecar *sidecar, struct errinfo *err)
{
	int rc = sidecar_look(sidecar, err);

	/* The look took the alert away. */
	sidecar->alert |= sidecar->fault.kind != FAULT_NONE || respond_wants(sidecar);
	if (!rc && sidecar->fault.kind != FAULT_NONE && sidecar->stopped)
		return err_set(err, -EAGAIN, "a disk of the guest has failed: that comes first");
	if (!rc)
		rc = leftovers_clean(sidecar, err);
	sidecar->monitor.unanswered &= rc != 0;
	return rc;
}

int leftovers_tidy(struct sidecar *sidecar, struct errinfo *err)
{
	const uint64_t all = (UINT64_C(1) << sidecar->guest.disk_count) - 1;
	uint64_t covered = 0;
	int rc = leftovers_clean(sidecar, err);

	if (!rc)
		rc = leftovers_bitmaps(sidecar, &covered, err);
	if (rc)
		return rc;
	sidecar->monitor.unanswered = false;
	sidecar->uncovered |= covered != all;
	bitmap_name(sidecar, store_info(sidecar->store)->generation, sidecar->checkpoint.last);
	return 0;
}

int leftovers_bitmaps(struct sidecar *sidecar, uint64_t *covered, struct errinfo *err)
{
	const struct store_info *info = store_info(sidecar->store);
	char since[64], next[64];
	json_t *actions;
	int rc = look_again(sidecar, err);

	if (rc)
		return rc;
	bitmap_name(sidecar, info->generation, since);
	bitmap_name(sidecar, info->generation + 1, next);
	*covered = 0;
	if (info->state == STORE_READY || info->state == STORE_FILLED)
		*covered = bitmap_plan_covered(&sidecar->guest, since, next) & ~info->incomplete;
	actions = bitmap_plan_actions(&sidecar->guest, since, next, *covered);
	if (!actions)
		return err_set(err, -ENOMEM, "the bitmaps of an earlier sidecar: no memory");
	if (json_array_size(actions))
		rc = monitor_call(&sidecar->monitor, "transaction",
				  json_pack("{s:O}", "actions", actions), NULL, err);
	json_decref(actions);
	return rc;
}
