/* SPDX-License-Identifier: Apache-2.0 */
#include "rollback_record.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "jsontext.h"
#include "rollback.h"
#include "statefile.h"

#define RECORD_NAME "rollback.json"
#define RECORD_FORMAT 1
#define RECORD_MAX (64u << 10) /* 32 disks with names of 63 bytes, twice */

static void promoted_dir(const struct sidecar *sidecar, char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, "%s/promoted", store_dir(sidecar->store));
}

void rollback_path(const struct sidecar *sidecar, const char *dir, const char *file,
		   char path[PATH_MAX])
{
	if (dir[0])
		snprintf(path, PATH_MAX, "%s/%s", dir, file);
	else
		snprintf(path, PATH_MAX, "%s/promoted/%s", store_dir(sidecar->store), file);
}

/* Names are used as names of files. */
static bool disk_valid(const json_t *disk)
{
	const char *file = json_text(disk, "file");

	return json_text(disk, "disk")[0] && json_text(disk, "node")[0] &&
	       !strncmp(file, ROLLBACK_FILE, strlen(ROLLBACK_FILE)) && !strchr(file, '/');
}

static bool record_valid(const json_t *record)
{
	const json_t *disks = json_object_get(record, "disks"), *disk;
	const char *dir = json_text(record, "dir");
	size_t i;

	if ((dir[0] && dir[0] != '/') || strlen(dir) + STORE_NAME_MAX + 64 >= PATH_MAX ||
	    json_integer_value(json_object_get(record, "format")) != RECORD_FORMAT ||
	    !json_is_boolean(json_object_get(record, "done")) || !json_array_size(disks) ||
	    json_array_size(disks) > BOUND_DISKS)
		return false;
	json_array_foreach(disks, i, disk) {
		if (!disk_valid(disk))
			return false;
	}
	return true;
}

int rollback_record_read(const struct sidecar *sidecar, json_t **record, struct errinfo *err)
{
	const json_t *each;
	char path[PATH_MAX], *text;
	size_t length;
	int rc;

	*record = NULL;
	rollback_path(sidecar, "", RECORD_NAME, path);
	rc = statefile_read(path, RECORD_MAX, &text, &length, err);
	if (rc)
		return rc;
	*record = json_loadb(text, length, 0, NULL);
	free(text);
	for (each = *record; each && record_valid(each);)
		each = json_object_get(each, "previous");
	if (*record && !each)
		return 0;
	json_decref(*record);
	*record = NULL;
	return err_set(err, -EUCLEAN, "%s is damaged, or of a newer qheal: nothing below promoted/ "
		       "is touched; see on which images the guest runs and remove it", path);
}

/* Takes RECORD over. */
static int record_write(const struct sidecar *sidecar, json_t *record, struct errinfo *err)
{
	char *text = record ? json_dumps(record, REPORT_JSON) : NULL;
	char dir[PATH_MAX];
	int rc;

	json_decref(record);
	if (!text)
		return err_set(err, -ENOMEM, "no memory to note the roll back");
	promoted_dir(sidecar, dir);
	rc = statefile_replace(dir, RECORD_NAME, text, err);
	free(text);
	return rc;
}

static json_t *disks_json(const struct sidecar *sidecar, const struct promotion *promotions,
			  unsigned count)
{
	json_t *disks = json_array();

	for (unsigned i = 0; i < count; i++) {
		const struct guest_disk *disk = &sidecar->guest.disks[promotions[i].disk];

		json_array_append_new(disks,
				      json_pack("{s:s,s:s,s:s,s:s}", "disk", disk->name, "file",
						strrchr(promotions[i].image, '/') + 1, "node",
						promotions[i].node, "old", disk->node));
	}
	return disks;
}

int rollback_record_begin(const struct sidecar *sidecar, const struct rollback_note *note,
			  const struct promotion *promotions, unsigned count, struct errinfo *err)
{
	struct errinfo none = {0};
	json_t *previous, *record;
	int rc = rollback_record_read(sidecar, &previous, &none);

	if (rc && rc != -ENOENT)
		return err_set(err, rc, "%s", none.text);
	record = json_pack("{s:i,s:b,s:s,s:I,s:I,s:s,s:b,s:I,s:o,s:o*}", "format", RECORD_FORMAT,
			   "done", 0, "point", note->point->name, "id",
			   (json_int_t)note->point->id, "generation",
			   (json_int_t)note->point->generation, "before", note->before, "resume",
			   note->resume, "time_us", (json_int_t)note->time_us, "disks",
			   disks_json(sidecar, promotions, count), "previous", previous);
	if (note->dir[0])
		json_object_update_new(record, json_pack("{s:s,s:I}", "dir", note->dir,
							 "lost_bytes",
							 (json_int_t)note->lost_bytes));
	return record_write(sidecar, record, err);
}

int rollback_record_exchanged(const struct sidecar *sidecar, struct errinfo *err)
{
	json_t *record;
	int rc = rollback_record_read(sidecar, &record, err);

	if (rc)
		return rc;
	json_object_set_new(record, "exchanged", json_true());
	return record_write(sidecar, record, err);
}

int rollback_record_done(const struct sidecar *sidecar, struct errinfo *err)
{
	json_t *record;
	int rc = rollback_record_read(sidecar, &record, err);

	if (rc)
		return rc;
	json_object_set_new(record, "done", json_true());
	/* What a restore left behind has writes that nothing else has. */
	if (json_text(record, "dir")[0])
		json_object_del(json_object_get(record, "previous"), "previous");
	else
		json_object_del(record, "previous");
	return record_write(sidecar, record, err);
}

void rollback_note_end(struct sidecar *sidecar)
{
	struct errinfo err = {0};

	if (!sidecar->rollback_open)
		return;
	sidecar->rollback_open = rollback_record_done(sidecar, &err) != 0;
	if (err.code)
		log_warn("the end of the roll back is not noted yet: %s", err.text);
}

int rollback_record_undo(const struct sidecar *sidecar, struct errinfo *err)
{
	char path[PATH_MAX], dir[PATH_MAX];
	json_t *record, *previous;
	int rc = rollback_record_read(sidecar, &record, err);

	if (rc)
		return rc;
	previous = json_incref(json_object_get(record, "previous"));
	json_decref(record);
	if (previous)
		return record_write(sidecar, previous, err);
	rollback_path(sidecar, "", RECORD_NAME, path);
	promoted_dir(sidecar, dir);
	rc = file_remove(path);
	if (!rc)
		rc = file_sync_dir(dir);
	return rc ? err_set(err, rc, "%s: cannot remove: %s", path, strerror(-rc)) : 0;
}

static bool disks_have(const json_t *record, const char *key, const char *value)
{
	const json_t *disk;
	size_t i;

	json_array_foreach(json_object_get(record, "disks"), i, disk) {
		if (!strcmp(json_text(disk, key), value))
			return true;
	}
	return false;
}

/* It, or one of those before it. */
static bool record_has(const json_t *record, const char *key, const char *value)
{
	for (; record; record = json_object_get(record, "previous")) {
		if (disks_have(record, key, value))
			return true;
	}
	return false;
}

/* --- what is not needed any more --- */

/* QEMU refuses where anything still uses the node, a device above all. */
static void drop_nodes(struct sidecar *sidecar, const json_t *nodes, const json_t *record)
{
	const json_t *node;
	size_t i;

	json_array_foreach(nodes, i, node) {
		const char *name = json_text(node, "node-name");

		if (strncmp(name, ROLLBACK_NODE, strlen(ROLLBACK_NODE)) ||
		    record_has(record, "node", name))
			continue;
		monitor_call(&sidecar->monitor, "blockdev-del",
			     json_pack("{s:s}", "node-name", name), NULL, NULL);
	}
}

struct cleaning {
	struct sidecar *sidecar;
	const char *dir; /* "": promoted/ */
	const json_t *nodes, *record;
};

/* By name alone: QEMU may see the store at another path. */
static bool node_uses(const json_t *nodes, const char *file)
{
	const json_t *node;
	size_t i;

	json_array_foreach(nodes, i, node) {
		if (strstr(json_text(node, "file"), file))
			return true;
	}
	return false;
}

static int clean_file(void *arg, const char *name)
{
	const struct cleaning *cleaning = arg;
	char path[PATH_MAX], own[12];

	snprintf(own, sizeof(own), "-%.8s-", store_info(cleaning->sidecar->store)->uuid);
	if (strncmp(name, ROLLBACK_FILE, strlen(ROLLBACK_FILE)) ||
	    (cleaning->dir[0] && !strstr(name, own)) ||
	    record_has(cleaning->record, "file", name) || node_uses(cleaning->nodes, name))
		return 0;
	rollback_path(cleaning->sidecar, cleaning->dir, name, path);
	if (!file_remove(path))
		log_info("%s was of an earlier roll back and is removed", path);
	return 0;
}

void rollback_clean(struct sidecar *sidecar)
{
	struct cleaning cleaning = {.sidecar = sidecar};
	json_t *record = NULL, *nodes = NULL;
	struct errinfo err = {0};
	char dir[PATH_MAX];
	int rc = rollback_record_read(sidecar, &record, &err);

	if (rc && rc != -ENOENT) {
		log_warn("%s", err.text);
		return;
	}
	rc = guest_query_nodes(&sidecar->monitor, &nodes, NULL);
	if (!rc) {
		drop_nodes(sidecar, nodes, record);
		json_decref(nodes);
		nodes = NULL;
		rc = guest_query_nodes(&sidecar->monitor, &nodes, NULL);
	}
	if (!rc) {
		promoted_dir(sidecar, dir);
		cleaning.record = record;
		cleaning.nodes = nodes;
		cleaning.dir = "";
		file_list(dir, clean_file, &cleaning);
		cleaning.dir = sidecar->config->spare;
		if (cleaning.dir)
			file_list(cleaning.dir, clean_file, &cleaning);
	}
	json_decref(nodes);
	json_decref(record);
}
