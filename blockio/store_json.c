/* SPDX-License-Identifier: Apache-2.0
 *
 * store_json: see store_json.h.  What is read is not trusted: whoever can edit
 * the file must not be able to lead a sidecar out of the store's directory.
 */
#include "store_json.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "json_sum.h"
#include "record.h"

#define BLOCK_BYTES_MIN 4096u
#define BLOCK_BYTES_MAX (1u << 20)

static const char *const state_names[] = {"empty", "filling", "filled", "ready"};

/* --- what may be in a store --- */

static bool name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c && strchr("._:#-", c));
}

int store_name_check(const char *name, struct errinfo *err)
{
	size_t length = strlen(name);
	bool bad = length == 0 || length > STORE_NAME_MAX || name[0] == '.';

	for (size_t i = 0; i < length; i++)
		bad = bad || !name_char(name[i]);
	if (bad)
		return err_set(err, -EINVAL,
			       "disk name '%.64s' cannot be used in a store: 1 to %d of letters, "
			       "digits and . _ : # -, not beginning with a dot; give the device "
			       "another id=",
			       name, STORE_NAME_MAX);
	return 0;
}

int store_new_name_check(const char *name, struct errinfo *err)
{
	if (!strcmp(name, "point.json")) /* it has that place in a point */
		return err_set(err, -EINVAL,
			       "no disk of a store can be named '%s': give the device another id=",
			       name);
	return 0;
}

static int disk_check(const struct store_spec *spec, unsigned disk, struct errinfo *err)
{
	const struct store_disk *which = &spec->disks[disk];
	int status = store_name_check(which->name, err);

	if (status)
		return status;
	if (which->size == 0 || which->size % 512 || which->size > STORE_DISK_BYTES_MAX)
		return err_set(err, -EINVAL,
			       "disk %s has %llu bytes: a store takes multiples of 512 up to %llu",
			       which->name, (unsigned long long)which->size,
			       (unsigned long long)STORE_DISK_BYTES_MAX);
	for (unsigned i = 0; i < disk; i++)
		if (strcmp(spec->disks[i].name, which->name) == 0)
			return err_set(err, -EINVAL, "two disks are named %s", which->name);
	return 0;
}

int store_spec_check(const struct store_spec *spec, struct errinfo *err)
{
	uint8_t uuid[16];

	if (spec->block_bytes < BLOCK_BYTES_MIN || spec->block_bytes > BLOCK_BYTES_MAX ||
	    (spec->block_bytes & (spec->block_bytes - 1)))
		return err_set(err, -EINVAL,
			       "blocks of %u bytes: only powers of two from %u to %u are possible",
			       spec->block_bytes, BLOCK_BYTES_MIN, BLOCK_BYTES_MAX);
	if (spec->disk_count == 0 || spec->disk_count > STORE_DISKS_MAX)
		return err_set(err, -EINVAL, "%u disks: a store takes 1 to %d", spec->disk_count,
			       STORE_DISKS_MAX);
	if (spec->vm_uuid[0] && !uuid_parse(spec->vm_uuid, uuid))
		return err_set(err, -EINVAL, "'%.36s' is not the UUID of a guest", spec->vm_uuid);
	for (unsigned i = 0; i < spec->disk_count; i++) {
		int status = disk_check(spec, i, err);

		if (status)
			return status;
	}
	return 0;
}

static int hex(char c)
{
	const char *digits = "0123456789abcdef";
	const char *at;

	if (c >= 'A' && c <= 'F')
		c = (char)(c - 'A' + 'a');
	at = c ? strchr(digits, c) : NULL;
	return at ? (int)(at - digits) : -1;
}

bool uuid_parse(const char *text, uint8_t uuid[16])
{
	unsigned n = 0;

	if (strlen(text) != 36)
		return false;
	for (unsigned i = 0; i < 36; i++) {
		if (i == 8 || i == 13 || i == 18 || i == 23) {
			if (text[i] != '-')
				return false;
			continue;
		}
		if (hex(text[i]) < 0)
			return false;
		uuid[n / 2] = (uint8_t)(n % 2 ? uuid[n / 2] | hex(text[i]) : hex(text[i]) << 4);
		n++;
	}
	return true;
}

void uuid_format(const uint8_t uuid[16], char text[37])
{
	unsigned at = 0;

	for (unsigned i = 0; i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			text[at++] = '-';
		at += (unsigned)snprintf(text + at, 37 - at, "%02x", uuid[i]);
	}
}

/* --- reading --- */

static bool string_get(const json_t *object, const char *key, char *text, size_t size)
{
	const json_t *value = json_object_get(object, key);

	if (!json_is_string(value) || json_string_length(value) >= size)
		return false;
	memcpy(text, json_string_value(value), json_string_length(value) + 1);
	return true;
}

static bool number_get(const json_t *object, const char *key, uint64_t max, uint64_t *number)
{
	const json_t *value = json_object_get(object, key);

	if (!json_is_integer(value) || json_integer_value(value) < 0 ||
	    (uint64_t)json_integer_value(value) > max)
		return false;
	*number = (uint64_t)json_integer_value(value);
	return true;
}

static bool state_get(const json_t *object, enum store_state *state)
{
	char name[16];

	if (!string_get(object, "state", name, sizeof(name)))
		return false;
	for (unsigned i = 0; i < sizeof(state_names) / sizeof(state_names[0]); i++) {
		if (strcmp(name, state_names[i]) == 0) {
			*state = (enum store_state)i;
			return true;
		}
	}
	return false;
}

static bool number_optional(const json_t *object, const char *key, uint64_t max, uint64_t *number)
{
	*number = 0;
	return !json_object_get(object, key) || number_get(object, key, max, number);
}

static bool mark_get(const json_t *disk, uint64_t size, struct store_mark *mark)
{
	return number_optional(disk, "from", INT64_MAX, &mark->from) &&
	       number_optional(disk, "grown_from", size, &mark->grown_from) &&
	       (mark->from || !mark->grown_from) && mark->grown_from % 512 == 0;
}

static bool gone_get(const json_t *object, struct store_json *json)
{
	const json_t *gone = json_object_get(object, "gone");

	if (!gone)
		return true;
	if (!json_is_array(gone) || json_array_size(gone) > STORE_DISKS_MAX)
		return false;
	json->gone_count = (unsigned)json_array_size(gone);
	for (unsigned i = 0; i < json->gone_count; i++) {
		const json_t *disk = json_array_get(gone, i);

		if (!string_get(disk, "name", json->gone[i].name, STORE_NAME_MAX + 1) ||
		    store_name_check(json->gone[i].name, NULL) ||
		    !number_get(disk, "size", STORE_DISK_BYTES_MAX, &json->gone[i].size))
			return false;
		for (unsigned j = 0; j < json->spec.disk_count; j++)
			if (strcmp(json->spec.disks[j].name, json->gone[i].name) == 0)
				return false;
	}
	return true;
}

static bool settled_get(const json_t *object, struct store_json *json)
{
	const json_t *settled = json_object_get(object, "settled");
	const json_t *more = json_object_get(settled, "more");
	uint64_t time_us;

	if (!settled)
		return true;
	if (!number_get(settled, "generation", INT64_MAX, &json->settled.generation) ||
	    !number_get(settled, "time_us", INT64_MAX, &time_us) || !json_is_boolean(more))
		return false;
	json->settled.time_us = (int64_t)time_us;
	json->settled.more = json_is_true(more);
	return json->settled.generation > 0 && json->state == STORE_READY;
}

static bool disks_get(const json_t *object, struct store_json *json)
{
	struct store_spec *spec = &json->spec;
	const json_t *disks = json_object_get(object, "disks");

	if (!json_is_array(disks) || json_array_size(disks) > STORE_DISKS_MAX)
		return false;
	spec->disk_count = (unsigned)json_array_size(disks);
	for (unsigned i = 0; i < spec->disk_count; i++) {
		const json_t *disk = json_array_get(disks, i);

		if (!string_get(disk, "name", spec->disks[i].name, STORE_NAME_MAX + 1) ||
		    !number_get(disk, "size", STORE_DISK_BYTES_MAX, &spec->disks[i].size) ||
		    !mark_get(disk, spec->disks[i].size, &json->marks[i]))
			return false;
	}
	return true;
}

static bool promotion_get(const json_t *object, struct store_json *json)
{
	char name[STORE_NAME_MAX + 1];
	struct store_promotion *promotion = NULL;
	uint64_t time_us;

	if (!string_get(object, "disk", name, sizeof(name)))
		return false;
	for (unsigned i = 0; i < json->spec.disk_count; i++)
		if (strcmp(json->spec.disks[i].name, name) == 0)
			promotion = &json->promoted[i];
	if (!promotion || promotion->image[0] ||
	    !string_get(object, "image", promotion->image, sizeof(promotion->image)) ||
	    !number_get(object, "generation", INT64_MAX, &promotion->generation) ||
	    !number_get(object, "time_us", INT64_MAX, &time_us))
		return false;
	promotion->time_us = (int64_t)time_us;
	return promotion->image[0] && promotion->generation > 0;
}

static bool promoted_get(const json_t *object, struct store_json *json)
{
	const json_t *promoted = json_object_get(object, "promoted");

	if (!promoted)
		return true;
	if (!json_is_array(promoted) || json_array_size(promoted) > STORE_DISKS_MAX)
		return false;
	for (size_t i = 0; i < json_array_size(promoted); i++)
		if (!promotion_get(json_array_get(promoted, i), json))
			return false;
	return true;
}

static bool fields_get(const json_t *object, struct store_json *json)
{
	uint64_t block_bytes;

	if (!string_get(object, "uuid", json->uuid, sizeof(json->uuid)) ||
	    !uuid_parse(json->uuid, json->uuid_bytes) ||
	    !string_get(object, "vm", json->spec.vm, sizeof(json->spec.vm)) ||
	    !string_get(object, "vm_uuid", json->spec.vm_uuid, sizeof(json->spec.vm_uuid)) ||
	    !number_get(object, "block_bytes", BLOCK_BYTES_MAX, &block_bytes))
		return false;
	json->spec.block_bytes = (uint32_t)block_bytes;
	return state_get(object, &json->state) && disks_get(object, json) &&
	       promoted_get(object, json) && settled_get(object, json) && gone_get(object, json);
}

static int object_parse(json_t *object, const char *where, struct store_json *json,
			struct errinfo *err)
{
	struct errinfo why = {0};
	uint64_t format;

	if (!number_get(object, "format", INT32_MAX, &format) || format == 0)
		return err_set(err, -EUCLEAN, "%s: no format number; is this a store?", where);
	if (format > STORE_FORMAT)
		return err_set(err, -ENOTSUP,
			       "%s: the store has format %llu, this version knows up to %d; use a "
			       "newer qheal",
			       where, (unsigned long long)format, STORE_FORMAT);
	json->format = (unsigned)format;
	json->summed = json_object_get(object, "sum") != NULL;
	if (json->summed && !json_sum_take(object))
		return err_set(err, -EUCLEAN,
			       "%s: it differs from its checksum: damaged or edited (who edits it "
			       "takes \"sum\" out)",
			       where);
	if (!fields_get(object, json))
		return err_set(err, -EUCLEAN,
			       "%s: a field is missing or not what it must be; was it edited?", where);
	if (store_spec_check(&json->spec, &why))
		return err_set(err, -EUCLEAN, "%s: %s", where, why.text);
	return 0;
}

int store_json_parse(const char *text, size_t length, const char *where, struct store_json *json,
		     struct errinfo *err)
{
	json_error_t error;
	json_t *object;
	int status;

	memset(json, 0, sizeof(*json));
	object = json_loadb(text, length, JSON_REJECT_DUPLICATES, &error);
	if (!object)
		return err_set(err, -EUCLEAN, "%s is not JSON (line %d: %s); was it edited?", where,
			       error.line, error.text);
	status = object_parse(object, where, json, err);
	json_decref(object);
	return status;
}

int store_json_read(const char *dir, struct store_json *json, struct errinfo *err)
{
	char path[FILE_PATH_MAX];
	char *text = malloc(STORE_JSON_MAX);
	int64_t n = -ENOMEM;
	int fd = -1;

	snprintf(path, sizeof(path), "%s/store.json", dir);
	if (text) {
		fd = file_open(path, O_RDONLY);
		n = fd < 0 ? fd : file_read(fd, text, STORE_JSON_MAX, 0);
	}
	file_close(fd);
	if (n == -ENOENT)
		n = err_set(err, -ENOENT, "%s holds no store (no store.json in it)", dir);
	else if (n < 0)
		n = err_set(err, (int)n, "cannot read %s: %s", path, strerror((int)-n));
	else if (n == STORE_JSON_MAX)
		n = err_set(err, -EUCLEAN, "%s has more than %u bytes; was it edited?", path,
			    STORE_JSON_MAX);
	else
		n = store_json_parse(text, (size_t)n, path, json, err);
	free(text);
	return (int)n;
}

/* --- writing --- */

static json_t *disk_format(const struct store_disk *disk)
{
	return json_pack("{s:s, s:I}", "name", disk->name, "size", (json_int_t)disk->size);
}

static json_t *disks_format(const struct store_json *json)
{
	json_t *disks = json_array();

	for (unsigned i = 0; i < json->spec.disk_count; i++) {
		const struct store_mark *mark = &json->marks[i];
		json_t *disk = disk_format(&json->spec.disks[i]);

		if (mark->from)
			json_object_set_new(disk, "from", json_integer((json_int_t)mark->from));
		if (mark->grown_from)
			json_object_set_new(disk, "grown_from",
					    json_integer((json_int_t)mark->grown_from));
		json_array_append_new(disks, disk);
	}
	return disks;
}

static json_t *gone_format(const struct store_json *json)
{
	json_t *gone = json_array();

	for (unsigned i = 0; i < json->gone_count; i++)
		json_array_append_new(gone, disk_format(&json->gone[i]));
	return gone;
}

/* NULL, which json_pack() leaves out, when there is nothing to say. */
static json_t *settled_format(const struct store_json *json)
{
	if (!json->settled.generation)
		return NULL;
	return json_pack("{s:I, s:I, s:b}", "generation", (json_int_t)json->settled.generation,
			 "time_us", (json_int_t)json->settled.time_us, "more", json->settled.more);
}

static json_t *promoted_format(const struct store_json *json)
{
	json_t *promoted = json_array();

	for (unsigned i = 0; i < json->spec.disk_count; i++) {
		const struct store_promotion *promotion = &json->promoted[i];

		if (promotion->image[0])
			json_array_append_new(
				promoted,
				json_pack("{s:s, s:s, s:I, s:I}", "disk", json->spec.disks[i].name,
					  "image", promotion->image, "generation",
					  (json_int_t)promotion->generation, "time_us",
					  (json_int_t)promotion->time_us));
	}
	return promoted;
}

/* A string QEMU gave us that is not UTF-8, or no memory, gives NULL. */
char *store_json_format(const struct store_json *json)
{
	json_t *object = json_pack(
		"{s:i, s:s, s:s, s:s, s:i, s:s, s:o, s:o, s:o*, s:o*}", "format", STORE_FORMAT, "uuid",
		json->uuid, "vm", json->spec.vm, "vm_uuid", json->spec.vm_uuid, "block_bytes",
		(int)json->spec.block_bytes, "state", state_names[json->state], "disks",
		disks_format(json), "promoted", promoted_format(json),
		"settled", settled_format(json), "gone",
		json->gone_count ? gone_format(json) : NULL);
	char *text = object && json_sum_add(object) ? json_dumps(object, JSON_INDENT(2)) : NULL;

	json_decref(object);
	return text;
}

static int text_replace(const char *dir, const char *text)
{
	char path[FILE_PATH_MAX], temporary[FILE_PATH_MAX];
	int fd, status;

	snprintf(path, sizeof(path), "%s/store.json", dir);
	snprintf(temporary, sizeof(temporary), "%s/store.json.new", dir);
	fd = file_open(temporary, O_RDWR | O_CREAT | O_TRUNC);
	if (fd < 0)
		return fd;
	status = file_write(fd, text, strlen(text), 0);
	if (!status)
		status = file_sync(fd);
	file_close(fd);
	if (!status)
		status = file_rename(temporary, path);
	if (!status)
		status = file_sync_dir(dir);
	return status;
}

int store_json_write(const char *dir, const struct store_json *json, struct errinfo *err)
{
	char *text = store_json_format(json);
	int status;

	if (!text)
		return err_set(err, -EINVAL,
			       "cannot write %s/store.json: the name of the guest, a disk or an image "
			       "is not UTF-8",
			       dir);
	status = text_replace(dir, text);
	free(text);
	if (status)
		return err_set(err, status, "cannot write %s/store.json: %s%s", dir,
			       strerror(-status),
			       status == -ENOSPC ? "; make room on that file system" : "");
	return 0;
}
