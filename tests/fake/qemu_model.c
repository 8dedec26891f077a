/* SPDX-License-Identifier: Apache-2.0 */
#include "qemu_model.h"

#include <assert.h>
#include <CUnit/CUnit.h>
#include <stdio.h>
#include <string.h>

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

static json_t *done(void)
{
	return json_pack("{s:{}}", "return");
}

static struct model_disk *disk_of(struct qemu_model *model, const char *node)
{
	for (unsigned i = 0; i < model->disk_count; i++) {
		if (!strcmp(model->disks[i].node, node))
			return &model->disks[i];
	}
	return NULL;
}

static struct model_node *node_of(struct qemu_model *model, const char *name)
{
	for (unsigned i = 0; i < model->node_count; i++) {
		if (!strcmp(model->nodes[i].name, name))
			return &model->nodes[i];
	}
	return NULL;
}

const struct model_node *model_node(const struct qemu_model *model, const char *name)
{
	return node_of((struct qemu_model *)model, name);
}

static struct model_bitmap *bitmap_of(struct model_disk *disk, const char *name)
{
	for (unsigned i = 0; disk && i < disk->bitmap_count; i++) {
		if (!strcmp(disk->bitmaps[i].name, name))
			return &disk->bitmaps[i];
	}
	return NULL;
}

const struct model_bitmap *model_bitmap(const struct qemu_model *model, unsigned disk,
					const char *name)
{
	return bitmap_of((struct model_disk *)&model->disks[disk], name);
}

bool model_seen(const struct model_bitmap *bitmap, unsigned first, unsigned end)
{
	for (unsigned i = first; i < end; i++) {
		if (!(bitmap->seen.words[i / 64] >> i % 64 & 1))
			return false;
	}
	return true;
}

static bool is_busy(const struct qemu_model *model, const char *node, const char *bitmap)
{
	for (unsigned i = 0; i < model->export_count; i++) {
		if (!strcmp(model->exports[i].bitmap_node, node) &&
		    !strcmp(model->exports[i].bitmap, bitmap))
			return true;
	}
	return false;
}

/* --- the guest --- */

static void guest_writes(struct qemu_model *model)
{
	unsigned number = model->writes;

	if (!model->running || number == MODEL_WRITES_MAX)
		return;
	for (unsigned i = 0; i < model->disk_count; i++) {
		struct model_disk *disk = &model->disks[i];

		for (unsigned j = 0; j < disk->bitmap_count; j++) {
			if (disk->bitmaps[j].enabled)
				disk->bitmaps[j].seen.words[number / 64] |= UINT64_C(1)
									    << number % 64;
		}
	}
	model->writes++;
}

static json_t *stop_or_cont(struct qemu_model *model, bool run)
{
	if (model->running != run)
		fake_event(model->fake, run ? "RESUME" : "STOP", NULL);
	model->running = run;
	return done();
}

/* --- bitmaps --- */

static const char *bitmap_add(struct model_disk *disk, const json_t *data)
{
	struct model_bitmap *bitmap = &disk->bitmaps[disk->bitmap_count];

	if (bitmap_of(disk, text_of(data, "name")))
		return "Bitmap already exists";
	if (disk->bitmap_count == MODEL_BITMAPS_MAX)
		return "the model has no room for a bitmap";
	memset(bitmap, 0, sizeof(*bitmap));
	snprintf(bitmap->name, sizeof(bitmap->name), "%s", text_of(data, "name"));
	bitmap->enabled = true;
	disk->bitmap_count++;
	return NULL;
}

static void bitmap_remove(struct model_disk *disk, struct model_bitmap *bitmap)
{
	*bitmap = disk->bitmaps[--disk->bitmap_count];
}

static const char *bitmap_merge(struct qemu_model *model, struct model_disk *disk,
				const json_t *data)
{
	struct model_bitmap *target = bitmap_of(disk, text_of(data, "target"));
	const json_t *name;
	size_t i;

	if (!target || is_busy(model, disk->node, target->name))
		return "Bitmap to merge into is missing or busy";
	json_array_foreach(json_object_get(data, "bitmaps"), i, name) {
		const struct model_bitmap *from = bitmap_of(disk, json_string_value(name));

		if (!from)
			return "Bitmap to merge is missing";
		for (unsigned j = 0; j < MODEL_WRITES_MAX / 64; j++)
			target->seen.words[j] |= from->seen.words[j];
	}
	return NULL;
}

static const char *bitmap_action(struct qemu_model *model, const json_t *action)
{
	const json_t *data = json_object_get(action, "data");
	struct model_disk *disk = disk_of(model, text_of(data, "node"));
	struct model_bitmap *bitmap = bitmap_of(disk, text_of(data, "name"));
	const char *type = text_of(action, "type");

	/* QEMU dies of it. */
	assert((disk && bitmap) || strcmp(type, "block-dirty-bitmap-enable") != 0);
	if (!disk)
		return "Cannot find node";
	if (!strcmp(type, "block-dirty-bitmap-add"))
		return bitmap_add(disk, data);
	if (!strcmp(type, "block-dirty-bitmap-merge"))
		return bitmap_merge(model, disk, data);
	if (!bitmap)
		return "Dirty bitmap not found";
	if (is_busy(model, disk->node, bitmap->name))
		return "Bitmap is currently in use by another operation";
	if (!strcmp(type, "block-dirty-bitmap-enable"))
		bitmap->enabled = true;
	else if (!strcmp(type, "block-dirty-bitmap-disable"))
		bitmap->enabled = false;
	else if (!strcmp(type, "block-dirty-bitmap-remove"))
		bitmap_remove(disk, bitmap);
	else
		return "unknown action";
	return NULL;
}

/* All or nothing. */
static json_t *transaction(struct qemu_model *model, const json_t *arguments)
{
	static struct model_disk before[MODEL_DISKS_MAX];
	const json_t *action;
	size_t i;

	if (!json_is_array(json_object_get(arguments, "actions")))
		return fake_error("Parameter 'actions' is missing");
	memcpy(before, model->disks, sizeof(before));
	json_array_foreach(json_object_get(arguments, "actions"), i, action) {
		const char *why = bitmap_action(model, action);

		if (why) {
			memcpy(model->disks, before, sizeof(before));
			return fake_error("%s", why);
		}
	}
	return done();
}

/* --- nodes --- */

static bool exists(struct qemu_model *model, const char *name)
{
	return disk_of(model, name) || node_of(model, name);
}

static json_t *node_add(struct qemu_model *model, const json_t *arguments)
{
	const char *name = text_of(arguments, "node-name"), *driver = text_of(arguments, "driver");
	struct model_node *node = &model->nodes[model->node_count];
	static const char *const keys[] = {"file", "target"};

	if (exists(model, name))
		return fake_error("Duplicate nodes with node-name='%s'", name);
	memset(node, 0, sizeof(*node));
	for (unsigned i = 0; i < 2; i++) {
		const char *below = text_of(arguments, keys[i]);

		if (below[0] && !exists(model, below))
			return fake_error("Cannot find device='' nor node-name='%s'", below);
		snprintf(node->below[i], sizeof(node->below[i]), "%s", below);
	}
	snprintf(node->name, sizeof(node->name), "%s", name);
	snprintf(node->driver, sizeof(node->driver), "%s", driver);
	if (!strcmp(driver, "snapshot-access")) {
		const struct model_node *filter = node_of(model, node->below[0]);

		if (!filter || strcmp(filter->driver, "copy-before-write"))
			return fake_error("%s gives no access to a snapshot", node->below[0]);
	}
	model->node_count++;
	return done();
}

static bool node_in_use(const struct qemu_model *model, const char *name)
{
	for (unsigned i = 0; i < model->disk_count; i++) {
		if (!strcmp(model->disks[i].root, name))
			return true;
	}
	for (unsigned i = 0; i < model->node_count; i++) {
		if (!strcmp(model->nodes[i].below[0], name) ||
		    !strcmp(model->nodes[i].below[1], name))
			return true;
	}
	for (unsigned i = 0; i < model->export_count; i++) {
		if (!strcmp(model->exports[i].node, name))
			return true;
	}
	return false;
}

static json_t *node_del(struct qemu_model *model, const json_t *arguments)
{
	const char *name = text_of(arguments, "node-name");
	struct model_node *node = node_of(model, name);

	if (!node)
		return fake_error("Failed to find node with node-name='%s'", name);
	if (node_in_use(model, name))
		return fake_error("Block device %s is in use", name);
	*node = model->nodes[--model->node_count];
	return done();
}

static json_t *drive_set(struct qemu_model *model, const json_t *arguments)
{
	const char *value = text_of(arguments, "value");
	struct model_node *node = node_of(model, value);

	if (!exists(model, value))
		return fake_error("Cannot find device='%s' nor node-name='%s'", value, value);
	for (unsigned i = 0; i < model->disk_count; i++) {
		struct model_disk *disk = &model->disks[i];

		if (strcmp(disk->qom, text_of(arguments, "path")))
			continue;
		if (!strcmp(disk->root, value)) {
			/* Assertion `old_bs != new_bs' failed. */
			fprintf(stderr, "\n  model: QEMU aborts: %s is the root already\n", value);
			model->aborted = true;
		}
		snprintf(disk->root, sizeof(disk->root), "%s", value);
		if (node)
			node->frozen = model->writes;
		return done();
	}
	return fake_error("Device not found");
}

/* --- exports --- */

static json_t *export_add(struct qemu_model *model, const json_t *arguments)
{
	const json_t *name = json_array_get(json_object_get(arguments, "bitmaps"), 0);
	const struct model_bitmap *bitmap =
		bitmap_of(disk_of(model, text_of(name, "node")), text_of(name, "name"));
	struct model_export *item = &model->exports[model->export_count];

	if (!exists(model, text_of(arguments, "node-name")))
		return fake_error("Cannot find node");
	if (!bitmap)
		return fake_error("Bitmap is not found");
	if (bitmap->enabled)
		return fake_error("Enabled bitmap incompatible with readonly export");
	snprintf(item->id, sizeof(item->id), "%s", text_of(arguments, "id"));
	snprintf(item->node, sizeof(item->node), "%s", text_of(arguments, "node-name"));
	snprintf(item->bitmap_node, sizeof(item->bitmap_node), "%s", text_of(name, "node"));
	snprintf(item->bitmap, sizeof(item->bitmap), "%s", bitmap->name);
	model->export_count++;
	return done();
}

static json_t *export_del(struct qemu_model *model, const json_t *arguments)
{
	const char *id = text_of(arguments, "id");

	for (unsigned i = 0; i < model->export_count; i++) {
		if (strcmp(model->exports[i].id, id))
			continue;
		model->exports[i] = model->exports[--model->export_count];
		fake_event(model->fake, "BLOCK_EXPORT_DELETED", json_pack("{s:s}", "id", id));
		return done();
	}
	return fake_error("Export '%s' is not found", id);
}

/* --- questions --- */

static json_t *bitmaps_json(const struct qemu_model *model, const struct model_disk *disk)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < disk->bitmap_count; i++) {
		const struct model_bitmap *bitmap = &disk->bitmaps[i];

		json_array_append_new(
			list, json_pack("{s:s,s:b,s:b,s:i,s:i}", "name", bitmap->name, "recording",
					bitmap->enabled, "busy",
					is_busy(model, disk->node, bitmap->name), "count", 65536,
					"granularity", 65536));
	}
	return list;
}

/* The bitmaps of a disk under a filter are not shown. */
static json_t *query_block(const struct qemu_model *model)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < model->disk_count; i++) {
		const struct model_disk *disk = &model->disks[i];
		bool plain = !strcmp(disk->root, disk->node);

		json_array_append_new(
			list, json_pack("{s:s,s:s,s:s,s:{s:s,s:s,s:b,s:{s:i},s:o}}", "device", "",
					"io-status", "ok", "qdev", disk->qom, "inserted",
					"node-name", disk->root, "drv",
					plain ? "raw" : "copy-before-write", "ro", 0, "image",
					"virtual-size", 1 << 20, "dirty-bitmaps",
					plain ? bitmaps_json(model, disk) : json_array()));
	}
	return list;
}

static int graph_id(const struct qemu_model *model, const char *name)
{
	for (unsigned i = 0; i < model->disk_count; i++) {
		if (!strcmp(model->disks[i].node, name))
			return 1 + (int)i;
	}
	for (unsigned i = 0; i < model->node_count; i++) {
		if (!strcmp(model->nodes[i].name, name))
			return 1 + MODEL_DISKS_MAX + (int)i;
	}
	return 0;
}

static json_t *query_graph(const struct qemu_model *model)
{
	static const char *const names[] = {"file", "target"};
	json_t *nodes = json_array(), *edges = json_array();

	for (unsigned i = 0; i < model->disk_count; i++)
		json_array_append_new(nodes, json_pack("{s:i,s:s}", "id",
						       graph_id(model, model->disks[i].node), "name",
						       model->disks[i].node));
	for (unsigned i = 0; i < model->node_count; i++) {
		const struct model_node *node = &model->nodes[i];
		int id = graph_id(model, node->name);

		json_array_append_new(nodes, json_pack("{s:i,s:s}", "id", id, "name", node->name));
		for (unsigned j = 0; j < 2; j++) {
			if (node->below[j][0])
				json_array_append_new(
					edges, json_pack("{s:i,s:i,s:s}", "parent", id, "child",
							 graph_id(model, node->below[j]), "name",
							 names[j]));
		}
	}
	return json_pack("{s:o,s:o}", "nodes", nodes, "edges", edges);
}

static json_t *query_nodes(const struct qemu_model *model)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < model->disk_count; i++)
		json_array_append_new(list,
				      json_pack("{s:s}", "node-name", model->disks[i].node));
	for (unsigned i = 0; i < model->node_count; i++)
		json_array_append_new(list,
				      json_pack("{s:s}", "node-name", model->nodes[i].name));
	return list;
}

static json_t *query_exports(const struct qemu_model *model)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < model->export_count; i++)
		json_array_append_new(list, json_pack("{s:s}", "id", model->exports[i].id));
	return list;
}

static json_t *query(struct qemu_model *model, const char *command)
{
	if (model->owner_stops && !strcmp(command, "query-block-jobs"))
		json_decref(stop_or_cont(model, false));
	if (!strcmp(command, "query-status"))
		return json_pack("{s:s}", "status", model->running ? "running"
						    : model->stands ? model->stands : "paused");
	if (!strcmp(command, "query-block"))
		return query_block(model);
	if (!strcmp(command, "query-block-exports"))
		return query_exports(model);
	if (!strcmp(command, "query-block-jobs"))
		return model->job ? json_pack("[{s:s,s:s}]", "device", "job", "type", "mirror")
				  : json_array();
	if (!strcmp(command, "query-named-block-nodes"))
		return query_nodes(model);
	if (!strcmp(command, "x-debug-query-block-graph"))
		return query_graph(model);
	return NULL;
}

static json_t *model_answer(void *arg, const char *command, const json_t *arguments)
{
	static const struct {
		const char *name;
		json_t *(*execute)(struct qemu_model *, const json_t *);
	} commands[] = {
		{"transaction", transaction},	    {"blockdev-add", node_add},
		{"blockdev-del", node_del},	    {"qom-set", drive_set},
		{"block-export-add", export_add}, {"block-export-del", export_del},
	};
	struct qemu_model *model = arg;
	json_t *result;

	guest_writes(model);
	if (!strcmp(command, "stop") || !strcmp(command, "cont"))
		return stop_or_cont(model, command[0] == 'c');
	if (!strcmp(command, "add-fd"))
		return json_pack("{s:{s:i}}", "return", "fdset-id", (int)++model->fdsets);
	for (unsigned i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (!strcmp(command, commands[i].name))
			return commands[i].execute(model, arguments);
	}
	result = query(model, command);
	return result ? json_pack("{s:o}", "return", result)
		      : fake_error("The command %s has not been found", command);
}

void model_init(struct qemu_model *model, struct fake_qemu *fake, unsigned count, const char *last)
{
	memset(model, 0, sizeof(*model));
	model->fake = fake;
	model->running = true;
	model->disk_count = count;
	for (unsigned i = 0; i < count; i++) {
		struct model_disk *disk = &model->disks[i];

		snprintf(disk->qom, sizeof(disk->qom), "/machine/peripheral/vd%u/virtio-backend", i);
		snprintf(disk->node, sizeof(disk->node), "d%u", i);
		memcpy(disk->root, disk->node, sizeof(disk->root));
		snprintf(disk->bitmaps[0].name, sizeof(disk->bitmaps[0].name), "%s", last);
		disk->bitmaps[0].enabled = true;
		disk->bitmap_count = 1;
	}
	fake->answer = model_answer;
	fake->arg = model;
}

void model_guest(const struct qemu_model *model, struct guest *guest)
{
	struct errinfo err = {0};
	json_t *reply = query_block(model);

	memset(guest, 0, sizeof(*guest));
	CU_ASSERT_EQUAL(guest_parse_block(guest, reply, &err), 0);
	snprintf(guest->status, sizeof(guest->status), "%s", model->running ? "running" : "paused");
	json_decref(reply);
}

bool model_is_covered(const struct qemu_model *model, const char *last, const char *next)
{
	if (model->aborted)
		return false;
	for (unsigned i = 0; i < model->disk_count; i++) {
		const struct model_bitmap *a = model_bitmap(model, i, last);
		const struct model_bitmap *b = model_bitmap(model, i, next);
		struct model_bitmap sum = {0};

		for (unsigned j = 0; j < MODEL_WRITES_MAX / 64; j++)
			sum.seen.words[j] = (a ? a->seen.words[j] : 0) | (b ? b->seen.words[j] : 0);
		if (!(a && a->enabled) && !(b && b->enabled)) {
			fprintf(stderr, "\n  model: disk %u: nothing records\n", i);
			return false;
		}
		if (!model_seen(&sum, model->disks[i].since, model->writes)) {
			fprintf(stderr, "\n  model: disk %u: a write is lost\n", i);
			return false;
		}
	}
	return true;
}

static const char *untidy(const struct qemu_model *model, const struct model_disk *disk,
			  const char *only)
{
	if (strcmp(disk->root, disk->node))
		return "a filter is still its root";
	if (disk->bitmap_count != 1)
		return "it has not one bitmap";
	if (strcmp(disk->bitmaps[0].name, only))
		return "its bitmap is another";
	if (!disk->bitmaps[0].enabled)
		return "its bitmap does not record";
	if (!model_seen(&disk->bitmaps[0], disk->since, model->writes))
		return "its bitmap has missed a write";
	return NULL;
}

bool model_is_tidy(const struct qemu_model *model, const char *only)
{
	const char *why = NULL;
	const char *what = "";

	if (model->aborted) {
		why = "aborted";
	} else if (model->export_count) {
		why = "an export is left";
		what = model->exports[0].id;
	} else if (model->node_count) {
		why = "a node is left";
		what = model->nodes[0].name;
	}
	for (unsigned i = 0; i < model->disk_count && !why; i++) {
		why = untidy(model, &model->disks[i], only);
		what = model->disks[i].node;
	}
	if (why)
		fprintf(stderr, "\n  model: %s: %s\n", what, why);
	return !why;
}
