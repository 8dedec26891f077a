/* SPDX-License-Identifier: Apache-2.0 */
#include "checkpoint.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "bitmap_plan.h"
#include "jsontext.h"

void checkpoint_export_name(unsigned index, char name[32])
{
	snprintf(name, 32, "qheal-e%u", index);
}

void checkpoint_context(const struct checkpoint *checkpoint, char context[96])
{
	snprintf(context, 96, "qemu:dirty-bitmap:%s", checkpoint->last);
}

static json_t *bitmap_action(const char *type, const char *node, const char *name)
{
	return json_pack("{s:s,s:{s:s,s:s}}", "type", type, "data", "node", node, "name", name);
}

bool checkpoint_member(const struct checkpoint *checkpoint, unsigned index)
{
	return checkpoint->members >> index & 1;
}

/* Without memory for one action there is none of them: QEMU refuses a transaction
 * with no list, where half a list might drop a bitmap that was not merged. */
static void append(json_t **actions, json_t *action)
{
	if (json_array_append_new(*actions, action)) {
		json_decref(*actions);
		*actions = NULL;
	}
}

static void append_for_members(const struct checkpoint *checkpoint, json_t **actions,
			       const char *type, const char *bitmap)
{
	for (unsigned i = 0; i < checkpoint->guest->disk_count; i++) {
		if (checkpoint_member(checkpoint, i))
			append(actions, bitmap_action(type, checkpoint->guest->disks[i].node,
						      bitmap));
	}
}

static void append_merges(const struct checkpoint *checkpoint, json_t **actions,
			  const char *target, const char *source)
{
	for (unsigned i = 0; i < checkpoint->guest->disk_count; i++) {
		if (checkpoint_member(checkpoint, i))
			append(actions, bitmap_plan_merge(checkpoint->guest->disks[i].node, target,
							  source));
	}
}

static void append_adds(const struct checkpoint *checkpoint, json_t **actions)
{
	for (unsigned i = 0; i < checkpoint->guest->disk_count; i++) {
		const char *node = checkpoint->guest->disks[i].node;
		json_t *add;

		if (!checkpoint_member(checkpoint, i))
			continue;
		add = bitmap_action("block-dirty-bitmap-add", node, checkpoint->next);
		json_object_set_new(json_object_get(add, "data"), "granularity",
				    json_integer(checkpoint->granularity));
		append(actions, add);
	}
}

/* The new bitmaps record before the point and the old ones until after it: a
 * write between the two is in both. */
unsigned checkpoint_add_begin(struct checkpoint *checkpoint, struct batch *batch)
{
	json_t *actions = json_array();

	append_adds(checkpoint, &actions);
	return batch_add(batch, "transaction", json_pack("{s:o}", "actions", actions));
}

/* Nobody writes: one transaction, of which QEMU does all or nothing.  Each costs it a
 * millisecond. */
unsigned checkpoint_add_rotation(struct checkpoint *checkpoint, struct batch *batch)
{
	json_t *actions = json_array();

	append_adds(checkpoint, &actions);
	append_for_members(checkpoint, &actions, "block-dirty-bitmap-disable", checkpoint->last);
	return batch_add(batch, "transaction", json_pack("{s:o}", "actions", actions));
}

/* When the new bitmap is not there, the old one goes on: the merge into itself is refused
 * (bitmap_plan_exists()). */
void checkpoint_add_end(struct checkpoint *checkpoint, struct batch *batch)
{
	json_t *actions = json_array();

	append_merges(checkpoint, &actions, checkpoint->next, checkpoint->next);
	append_for_members(checkpoint, &actions, "block-dirty-bitmap-disable", checkpoint->last);
	batch_add(batch, "transaction", json_pack("{s:o}", "actions", actions));
}

unsigned checkpoint_add_exports(struct checkpoint *checkpoint, struct batch *batch,
				void (*node_name)(const struct checkpoint *, unsigned, char[64]))
{
	unsigned first = batch->count;

	for (unsigned i = 0; i < checkpoint->guest->disk_count; i++) {
		char name[32], node[64];

		if (!checkpoint_member(checkpoint, i))
			continue;
		checkpoint_export_name(i, name);
		node_name(checkpoint, i, node);
		batch_add(batch, "block-export-add",
			  json_pack("{s:s,s:s,s:s,s:s,s:[{s:s,s:s}]}", "type", "nbd", "id", name,
				    "node-name", node, "name", name, "bitmaps", "node",
				    checkpoint->guest->disks[i].node, "name", checkpoint->last));
	}
	return first;
}

void checkpoint_note_exports(struct checkpoint *checkpoint, const struct batch *batch,
			     unsigned first)
{
	for (unsigned i = 0; i < checkpoint->guest->disk_count; i++) {
		if (checkpoint_member(checkpoint, i))
			checkpoint->exported[i] = batch->entries[first++].status == 0;
	}
}

void checkpoint_event(struct checkpoint *checkpoint, const char *name, const json_t *data)
{
	const char *id;

	if (strcmp(name, "BLOCK_EXPORT_DELETED"))
		return;
	id = json_string_value(json_object_get(data, "id"));
	for (unsigned i = 0; id && i < BOUND_DISKS; i++) {
		char mine[32];

		checkpoint_export_name(i, mine);
		if (!strcmp(id, mine))
			checkpoint->exported[i] = false;
	}
}

static bool exports_gone(void *arg)
{
	const struct checkpoint *checkpoint = arg;

	for (unsigned i = 0; i < BOUND_DISKS; i++) {
		if (checkpoint->exported[i] && !checkpoint->monitor->closed)
			return false;
	}
	return true;
}

bool checkpoint_has_exports(struct checkpoint *checkpoint)
{
	return !exports_gone(checkpoint);
}

/* An export is gone, and its bitmap free, only with the event. */
int checkpoint_drop_exports(struct checkpoint *checkpoint, struct errinfo *err)
{
	struct batch batch;
	int rc;

	if (exports_gone(checkpoint))
		return 0;
	batch_init(&batch, checkpoint->monitor);
	for (unsigned i = 0; i < BOUND_DISKS; i++) {
		char name[32];

		if (!checkpoint->exported[i])
			continue;
		checkpoint_export_name(i, name);
		batch_add(&batch, "block-export-del",
			  json_pack("{s:s,s:s}", "id", name, "mode", "hard"));
	}
	rc = batch_run(&batch, err);
	batch_release(&batch);
	if (rc == -EREMOTEIO) {
		/* Somebody took them away already: nbd-server-stop by a backup tool. */
		memset(checkpoint->exported, 0, sizeof(checkpoint->exported));
		return rc;
	}
	if (!rc)
		rc = loop_until(checkpoint->monitor->loop, exports_gone, checkpoint,
				ring_now_ns() + MONITOR_TIMEOUT_MS * NS_PER_MS);
	return rc ? err_set(err, rc, "QEMU did not let go of the exports") : 0;
}

int checkpoint_freeze(struct checkpoint *checkpoint, const struct checkpoint_way *way,
		      uint64_t members, struct errinfo *err)
{
	assert(!checkpoint->way);
	checkpoint->way = way;
	checkpoint->members = members;
	checkpoint->rotated = false;
	checkpoint->filtered = 0;
	checkpoint->offered = false;
	checkpoint->halted = false;
	return way->freeze(checkpoint, err);
}

int checkpoint_written(struct checkpoint *checkpoint, const json_t *blocks, uint64_t members,
		       uint64_t *bytes, struct errinfo *err)
{
	int rc = guest_refresh(checkpoint->guest, blocks, err);

	*bytes = 0;
	if (!rc && checkpoint->rotated)
		rc = guest_dirty_bytes(checkpoint->guest, members, checkpoint->next, bytes, err);
	return rc;
}

int checkpoint_thaw(struct checkpoint *checkpoint, struct errinfo *err)
{
	int rc = checkpoint->way->thaw(checkpoint, err);

	checkpoint->way = NULL;
	return rc;
}

int checkpoint_refuse_jobs(const json_t *jobs, struct errinfo *err)
{
	const json_t *job = json_array_get(jobs, 0);

	if (!job)
		return 0;
	return err_set(err, -EAGAIN, "the job %s (%s) of somebody else works on the guest's disks; "
		       "protection waits for its end", json_text(job, "device"),
		       json_text(job, "type"));
}

static int run_actions(struct checkpoint *checkpoint, json_t *actions, struct errinfo *err)
{
	return monitor_call(checkpoint->monitor, "transaction",
			    json_pack("{s:o}", "actions", actions), NULL, err);
}

int checkpoint_keep(struct checkpoint *checkpoint, struct errinfo *err)
{
	json_t *actions = json_array();

	append_for_members(checkpoint, &actions, "block-dirty-bitmap-remove", checkpoint->last);
	memcpy(checkpoint->last, checkpoint->next, sizeof(checkpoint->last));
	checkpoint->rotated = false;
	return run_actions(checkpoint, actions, err);
}

/* The name of a bitmap says since which generation it counts, so the new one is
 * merged into the old one, which records again before the new one goes.  The merge
 * comes first: QEMU dies of the enabling of a bitmap that is not there
 * (bitmap_plan_exists()).  Refused (an export that does not go keeps `last` busy), it is left
 * to leftovers.c, like what was not answered. */
int checkpoint_revert(struct checkpoint *checkpoint, struct errinfo *err)
{
	json_t *actions;
	int rc;

	if (!checkpoint->rotated)
		return 0;
	actions = json_array();
	append_merges(checkpoint, &actions, checkpoint->last, checkpoint->next);
	append_for_members(checkpoint, &actions, "block-dirty-bitmap-enable", checkpoint->last);
	append_for_members(checkpoint, &actions, "block-dirty-bitmap-remove", checkpoint->next);
	checkpoint->rotated = false;
	rc = run_actions(checkpoint, actions, err);
	checkpoint->monitor->unanswered |= rc && rc != -ENOTCONN;
	return rc;
}

int checkpoint_forget(struct checkpoint *checkpoint, struct errinfo *err)
{
	json_t *actions = json_array();

	append_for_members(checkpoint, &actions, "block-dirty-bitmap-remove", checkpoint->last);
	if (checkpoint->rotated)
		append_for_members(checkpoint, &actions, "block-dirty-bitmap-remove",
				   checkpoint->next);
	checkpoint->rotated = false;
	return run_actions(checkpoint, actions, err);
}
