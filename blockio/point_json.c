/* SPDX-License-Identifier: Apache-2.0
 *
 * point_json: see point_json.h.  What is read is not trusted, and a digit that
 * changed must not give another point in time: the text carries a checksum.
 */
#include "point_json.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "json_sum.h"
#include "store_json.h"

static const char *const kind_names[] = {"clone", "kept"};

int point_name_check(const char *name, struct errinfo *err)
{
	const size_t length = strlen(name);

	if (store_name_check(name, NULL) || strspn(name, "0123456789") == length)
		return err_set(err, -EINVAL,
			       "'%.64s' cannot be the name of a point: 1 to %d of letters, digits and "
			       ". _ : # -, not beginning with a dot and not only digits",
			       name, POINT_NAME_MAX);
	return 0;
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

static bool truth_get(const json_t *object, const char *key, bool *truth)
{
	const json_t *value = json_object_get(object, key);

	*truth = json_is_true(value);
	return json_is_boolean(value);
}

static bool kind_get(const json_t *object, enum point_kind *kind)
{
	char name[16];

	if (!string_get(object, "kind", name, sizeof(name)))
		return false;
	for (unsigned i = 0; i < sizeof(kind_names) / sizeof(kind_names[0]); i++) {
		if (strcmp(name, kind_names[i]) == 0) {
			*kind = (enum point_kind)i;
			return true;
		}
	}
	return false;
}

static bool disk_get(const json_t *object, struct point_info *info)
{
	struct store_disk *disk = &info->disks[info->disk_count];

	if (!string_get(object, "name", disk->name, sizeof(disk->name)) ||
	    !number_get(object, "size", STORE_DISK_BYTES_MAX, &disk->size) || disk->size == 0 ||
	    disk->size % 512 || store_name_check(disk->name, NULL))
		return false;
	for (unsigned i = 0; i < info->disk_count; i++)
		if (strcmp(info->disks[i].name, disk->name) == 0)
			return false;
	info->disk_count++;
	return true;
}

static bool disks_get(const json_t *object, struct point_info *info)
{
	const json_t *disks = json_object_get(object, "disks");
	size_t count = json_array_size(disks); /* 0 when it is no array */

	if (count == 0 || count > STORE_DISKS_MAX)
		return false;
	for (size_t i = 0; i < count; i++)
		if (!disk_get(json_array_get(disks, i), info))
			return false;
	return true;
}

static bool fields_get(const json_t *object, struct point_info *info)
{
	uint64_t id, time_us, taken_us;

	if (!number_get(object, "id", UINT32_MAX, &id) || id == 0 ||
	    !string_get(object, "name", info->name, sizeof(info->name)) ||
	    point_name_check(info->name, NULL) || !kind_get(object, &info->kind) ||
	    !truth_get(object, "automatic", &info->automatic) ||
	    !truth_get(object, "temporary", &info->temporary) ||
	    !truth_get(object, "quiesced", &info->quiesced) ||
	    !number_get(object, "generation", INT64_MAX, &info->generation) ||
	    !number_get(object, "time_us", INT64_MAX, &time_us) ||
	    !number_get(object, "taken_us", INT64_MAX, &taken_us) || info->generation == 0)
		return false;
	info->id = (uint32_t)id;
	info->time_us = (int64_t)time_us;
	info->taken_us = (int64_t)taken_us;
	return disks_get(object, info);
}

static int object_parse(json_t *object, const char *where, struct point_info *info,
			struct errinfo *err)
{
	uint64_t format;

	if (!number_get(object, "format", INT32_MAX, &format) || format == 0)
		return err_set(err, -EUCLEAN, "%s: no format number; is this a point?", where);
	if (format > POINT_JSON_FORMAT)
		return err_set(err, -ENOTSUP,
			       "%s: the point has format %llu, this version knows up to %d; use a "
			       "newer qheal",
			       where, (unsigned long long)format, POINT_JSON_FORMAT);
	if (!json_sum_take(object))
		return err_set(err, -EUCLEAN,
			       "%s: it differs from its checksum: damaged or edited", where);
	if (!fields_get(object, info))
		return err_set(err, -EUCLEAN, "%s: a field is missing or not what it must be",
			       where);
	return 0;
}

int point_json_parse(const char *text, size_t length, const char *where, struct point_info *info,
		     struct errinfo *err)
{
	json_error_t error;
	json_t *object;
	int status;

	memset(info, 0, sizeof(*info));
	object = json_loadb(text, length, JSON_REJECT_DUPLICATES, &error);
	if (!object)
		return err_set(err, -EUCLEAN, "%s is not JSON (line %d: %s): damaged or edited",
			       where, error.line, error.text);
	status = object_parse(object, where, info, err);
	json_decref(object);
	return status;
}

/* --- writing --- */

static json_t *disks_format(const struct point_info *info)
{
	json_t *disks = json_array();

	for (unsigned i = 0; i < info->disk_count; i++)
		json_array_append_new(disks, json_pack("{s:s, s:I}", "name", info->disks[i].name,
						       "size", (json_int_t)info->disks[i].size));
	return disks;
}

char *point_json_format(const struct point_info *info)
{
	char *text = NULL;
	json_t *object = json_pack(
		"{s:i, s:I, s:s, s:s, s:b, s:b, s:b, s:I, s:I, s:I, s:o}", "format",
		POINT_JSON_FORMAT, "id", (json_int_t)info->id, "name", info->name, "kind",
		kind_names[info->kind], "automatic", info->automatic, "temporary", info->temporary,
		"quiesced", info->quiesced, "generation", (json_int_t)info->generation, "time_us",
		(json_int_t)info->time_us, "taken_us", (json_int_t)info->taken_us, "disks",
		disks_format(info));

	if (object && json_sum_add(object))
		text = json_dumps(object, JSON_INDENT(2));
	json_decref(object);
	return text;
}
