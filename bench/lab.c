/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lab.h"

#define DEPTH_MAX 16 /* ours are five deep */

/* What names the element of a list, and what is no name at all. */
static const char *const element_keys[] = {"with",  "tool",	   "load", "pattern",  "way",
					   "disks", "interval_ms", "mib",  "count_of", "size_gib"};
static const char *const list_names[] = {"loads", "guests", "entries", "large", "one_block"};
/* Longer ones first: "rate_mb_s" is not "rate_mb" in s. */
static const char *const units[] = {"ms", "bytes", "mb_s", "per_s", "s", "kib", "percent"};

static bool word_of(const char *word, const char *const *list, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		if (!strcmp(word, list[i]))
			return true;
	}
	return false;
}
#define WORD_OF(word, list) word_of(word, list, sizeof(list) / sizeof((list)[0]))

static void name_append(char *name, const char *word)
{
	size_t at = strlen(name);

	if (at && at < SERIES_NAME_MAX)
		name[at++] = '.';
	for (; *word && at < SERIES_NAME_MAX; word++)
		name[at++] = isalnum((unsigned char)*word) ? *word : '-';
	name[at] = '\0';
}

static void element_name(char *name, const json_t *element)
{
	for (unsigned i = 0; i < sizeof(element_keys) / sizeof(element_keys[0]); i++) {
		const json_t *value = json_object_get(element, element_keys[i]);
		char text[64];

		if (json_is_string(value))
			name_append(name, json_string_value(value));
		if (json_is_integer(value)) {
			snprintf(text, sizeof(text), "%s-%lld", element_keys[i],
				 json_integer_value(value));
			name_append(name, text);
		}
	}
}

/* "lag_ms" is "lag" in ms; without a known unit at its end it is a ratio or a count. */
static const char *unit_split(char *key)
{
	for (unsigned i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		size_t length = strlen(key), unit = strlen(units[i]);

		if (!strcmp(key, units[i]))
			return units[i];
		if (length > unit + 1 && key[length - unit - 1] == '_' &&
		    !strcmp(key + length - unit, units[i])) {
			key[length - unit - 1] = '\0';
			return units[i];
		}
	}
	return strstr(key, "ratio") ? "ratio" : "count";
}

static enum series_better better_of(const char *unit)
{
	if (!strcmp(unit, "bytes") || !strcmp(unit, "count"))
		return SERIES_NEITHER;
	if (!strcmp(unit, "ratio") || !strcmp(unit, "mb_s") || !strcmp(unit, "per_s"))
		return SERIES_MORE;
	return SERIES_LESS;
}

static bool of_a_peer(const char *name)
{
	static const char *const words[] = {"blockdev-", "operator", "qemu-img", "nbdcopy",
					    ".bare."};

	for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (strstr(name, words[i]))
			return true;
	}
	return false;
}

static int samples_take(struct document *document, const char *path, const json_t *list)
{
	char name[SERIES_NAME_MAX + 1], *last;
	struct series *series;
	const char *unit;
	int rc = 0;

	snprintf(name, sizeof(name), "%s", path);
	last = strrchr(name, '.') ? strrchr(name, '.') + 1 : name;
	unit = unit_split(last);
	series = document_series(document, name, unit, better_of(unit));
	if (!series)
		return -ENOSPC;
	series->ours = series->better != SERIES_NEITHER && !of_a_peer(name);
	for (size_t i = 0; !rc && i < json_array_size(list); i++) {
		const json_t *value = json_array_get(list, i);

		rc = json_is_number(value) ? series_add(series, json_number_value(value)) : -EINVAL;
	}
	return rc;
}

static int tree_take(struct document *document, const char *path, json_t *value, unsigned depth)
{
	json_t *samples = json_object_get(value, "samples"), *child;
	char name[SERIES_NAME_MAX + 1], element[SERIES_NAME_MAX + 1];
	const char *key;
	int rc = 0;

	if (depth > DEPTH_MAX)
		return -EINVAL;
	if (json_is_array(samples))
		return samples_take(document, path, samples);
	json_object_foreach(value, key, child)
	{
		if (rc || !strcmp(key, "wanted"))
			continue;
		/* A key keeps its underscore: it divides off the unit. */
		snprintf(name, sizeof(name), "%s", path);
		if (!WORD_OF(key, list_names))
			snprintf(name, sizeof(name), "%.60s%s%.34s", path, path[0] ? "." : "", key);
		if (json_is_object(child))
			rc = tree_take(document, name, child, depth + 1);
		for (size_t i = 0; !rc && i < json_array_size(child); i++) {
			snprintf(element, sizeof(element), "%s", name);
			element_name(element, json_array_get(child, i));
			rc = tree_take(document, element, json_array_get(child, i), depth + 1);
		}
	}
	return rc;
}

int lab_take(struct document *document, json_t *report)
{
	return tree_take(document, "", report, 0);
}
