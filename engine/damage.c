/* SPDX-License-Identifier: Apache-2.0 */
#include "damage.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jsontext.h"
#include "outcome.h"
#include "scrub_look.h"
#include "sidecar.h"
#include "statefile.h"

#define DAMAGE_NAME "damage.json"
#define DAMAGE_FORMAT 1
#define DAMAGE_FILE_MAX (64u << 10) /* 256 blocks, names of 63 bytes */

void damage_clear(struct damage *damage, unsigned disk, uint64_t block, uint64_t count)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < damage->count; i++) {
		if (damage->blocks[i].disk == disk && damage->blocks[i].block >= block &&
		    damage->blocks[i].block - block < count)
			continue;
		damage->blocks[kept++] = damage->blocks[i];
	}
	damage->changed |= kept != damage->count;
	damage->count = kept;
}

void damage_note(struct damage *damage, unsigned disk, uint64_t block)
{
	damage->changed = true;
	if (damage->count == DAMAGE_MAX) {
		damage->more = damage->pass_more = true;
		return;
	}
	damage->blocks[damage->count].disk = disk;
	damage->blocks[damage->count++].block = block;
}

void damage_pass_ends(struct damage *damage)
{
	damage->changed |= damage->more != damage->pass_more;
	damage->more = damage->pass_more;
	damage->pass_more = false;
}

bool damage_none(const struct damage *damage, uint64_t members, bool mendable)
{
	for (unsigned i = 0; i < damage->count && !mendable; i++) {
		if (members >> damage->blocks[i].disk & 1)
			return false;
	}
	return !damage->more;
}

/* --- the file --- */

static int disk_index(const struct store_spec *spec, const char *name)
{
	for (unsigned i = 0; i < spec->disk_count; i++) {
		if (!strcmp(spec->disks[i].name, name))
			return (int)i;
	}
	return -1;
}

static void take(struct damage *damage, const struct store_spec *spec, const json_t *json)
{
	const json_t *block;
	size_t i;

	damage->more = json_is_true(json_object_get(json, "more"));
	json_array_foreach(json_object_get(json, "blocks"), i, block) {
		const char *name = json_string_value(json_array_get(block, 0));
		uint64_t number = (uint64_t)json_integer_value(json_array_get(block, 1));
		int disk = name ? disk_index(spec, name) : -1;

		/* The file has no checksum, and the disk may have shrunk. */
		if (disk >= 0 && number < (spec->disks[disk].size - 1) / spec->block_bytes + 1)
			damage_note(damage, (unsigned)disk, number);
	}
}

void damage_read(struct damage *damage, const char *store, const struct store_spec *spec)
{
	char path[PATH_MAX], *text = NULL;
	struct errinfo err = {0};
	json_t *json = NULL;
	size_t length;
	int rc;

	memset(damage, 0, sizeof(*damage));
	damage->loaded = true;
	snprintf(path, sizeof(path), "%s/" DAMAGE_NAME, store);
	rc = statefile_read(path, DAMAGE_FILE_MAX, &text, &length, &err);
	if (!rc)
		json = json_loadb(text, length, 0, NULL);
	if (json && json_integer_value(json_object_get(json, "format")) == DAMAGE_FORMAT)
		take(damage, spec, json);
	else if (rc != -ENOENT)
		log_warn("%s is damaged, or of a newer qheal: the scrub has to find again what it "
			 "had found", path);
	json_decref(json);
	free(text);
	damage->changed = false;
}

void damage_load(struct sidecar *sidecar)
{
	if (!sidecar->damage.loaded)
		damage_read(&sidecar->damage, store_dir(sidecar->store),
			    &store_info(sidecar->store)->spec);
}

void damage_save(struct sidecar *sidecar)
{
	const struct store_spec *spec = &store_info(sidecar->store)->spec;
	struct damage *damage = &sidecar->damage;
	json_t *blocks, *json;
	struct errinfo err = {0};
	char *text;

	if (!damage->changed)
		return;
	damage->changed = false;
	blocks = json_array();
	for (unsigned i = 0; i < damage->count; i++) {
		if (damage->blocks[i].disk < spec->disk_count)
			json_array_append_new(blocks,
					      json_pack("[s,I]", spec->disks[damage->blocks[i].disk].name,
							(json_int_t)damage->blocks[i].block));
	}
	json = json_pack("{s:i,s:b,s:o}", "format", DAMAGE_FORMAT, "more", damage->more, "blocks",
			 blocks);
	text = json_dumps(json, REPORT_JSON);
	json_decref(json);
	if (!text || statefile_replace(store_dir(sidecar->store), DAMAGE_NAME, text, &err))
		log_warn("what the scrub found is not noted: %s", text ? err.text : "no memory");
	free(text);
}

/* --- at a recovery --- */

/* Also when there is no such block any more. */
static bool is_good(struct sidecar *sidecar, unsigned disk, uint64_t block, struct buf *buf)
{
	const struct store_spec *spec = &store_info(sidecar->store)->spec;
	struct scrub_look look = {.disk = disk, .block = block, .count = 1};
	struct repair_block found;
	struct errinfo ignored = {0};

	if (disk >= spec->disk_count || block * spec->block_bytes >= spec->disks[disk].size)
		return true;
	return !scrub_inspect(sidecar, &look, &found, buf, &ignored) && !found.status &&
	       found.own == found.stored;
}

void damage_look(struct sidecar *sidecar)
{
	struct damage *damage = &sidecar->damage;
	struct outcome settled = {0};
	struct errinfo err = {0};
	struct buf *buf;
	int rc;

	damage_load(sidecar);
	if (!damage->count)
		return;
	store_settle(sidecar->store, outcome_set, &settled);
	rc = outcome_wait(&settled, &sidecar->loop, &err);
	buf = rc ? NULL : pool_get(sidecar->pool);
	for (unsigned i = damage->count; buf && i-- > 0;) {
		if (is_good(sidecar, damage->blocks[i].disk, damage->blocks[i].block, buf))
			damage_clear(damage, damage->blocks[i].disk, damage->blocks[i].block, 1);
	}
	if (buf)
		pool_put(sidecar->pool, buf);
}

int damage_mend(struct sidecar *sidecar, struct transfer *transfer, struct errinfo *err)
{
	const struct damage *damage = &sidecar->damage;
	uint64_t block_bytes = store_info(sidecar->store)->spec.block_bytes;
	uint64_t members = transfer->members;
	int rc = 0;

	if (!damage_none(damage, members, true))
		return err_set(err, -EUCLEAN, "more than %u blocks of the replica are damaged",
			       DAMAGE_MAX);
	transfer->want = COPY_CLEAN;
	transfer->read_limit = sidecar->checkpoint.read_limit;
	for (unsigned i = 0; i < damage->count && !rc; i++) {
		transfer->members = UINT64_C(1) << damage->blocks[i].disk;
		transfer->offset = damage->blocks[i].block * block_bytes;
		transfer->length = block_bytes;
		if (members & transfer->members)
			rc = transfer_run(sidecar, transfer, err);
	}
	return rc;
}
