/* SPDX-License-Identifier: Apache-2.0
 *
 * qemu_options: see qemu_options.h.
 */
#include "qemu_options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 16 /* of JSON; QEMU's own options have four */
#define KEY_MAX 256

bool qemu_options_is_json(const char *text)
{
	return text[0] == '{';
}

bool qemu_options_true(const json_t *value)
{
	const char *text = json_string_value(value);

	return json_is_true(value) || (text && (!strcmp(text, "on") || !strcmp(text, "yes") ||
						!strcmp(text, "true") || !strcmp(text, "y")));
}

/* --- JSON --- */

static bool flatten(json_t *flat, const char *prefix, json_t *value, int depth)
{
	char key[KEY_MAX];
	const char *name;
	json_t *member;
	size_t i;

	if (depth > DEPTH_MAX)
		return false;
	if (json_is_object(value)) {
		json_object_foreach(value, name, member) {
			if (snprintf(key, sizeof(key), "%s%s%s", prefix, prefix[0] ? "." : "",
				     name) >= KEY_MAX || !flatten(flat, key, member, depth + 1))
				return false;
		}
		return true;
	}
	if (json_is_array(value)) {
		json_array_foreach(value, i, member) {
			if (snprintf(key, sizeof(key), "%s.%zu", prefix, i) >= KEY_MAX ||
			    !flatten(flat, key, member, depth + 1))
				return false;
		}
		return true;
	}
	return !json_object_set(flat, prefix, value);
}

static json_t *parse_json(const char *text)
{
	json_t *nested = json_loads(text, 0, NULL), *flat = json_object();

	if (!nested || !flatten(flat, "", nested, 0)) {
		json_decref(flat);
		flat = NULL;
	}
	json_decref(nested);
	return flat;
}

/* The object in which KEY's last part stands; made where it is missing. */
static json_t *parent_of(json_t *nested, char *key, const char **last)
{
	char *dot;

	while ((dot = strchr(key, '.'))) {
		json_t *inner;

		*dot = '\0';
		inner = json_object_get(nested, key);
		if (!inner) {
			inner = json_object();
			json_object_set_new(nested, key, inner);
		}
		nested = inner;
		key = dot + 1;
	}
	*last = key;
	return nested;
}

static char *format_json(const json_t *flat)
{
	json_t *nested = json_object(), *value;
	const char *name;
	char *text;

	json_object_foreach((json_t *)flat, name, value) {
		char key[KEY_MAX];
		const char *last;
		json_t *parent;

		snprintf(key, sizeof(key), "%s", name);
		parent = parent_of(nested, key, &last);
		json_object_set(parent, last, value);
	}
	text = json_dumps(nested, JSON_COMPACT);
	json_decref(nested);
	return text;
}

/* --- key=value --- */

/* Up to a comma that is not doubled; *AT goes behind it. */
static char *next_word(const char **at)
{
	char *word = malloc(strlen(*at) + 1), *out = word;
	const char *from = *at;

	if (!word)
		return NULL;
	while (*from && (*from != ',' || from[1] == ',')) {
		from += *from == ',';
		*out++ = *from++;
	}
	*out = '\0';
	*at = *from ? from + 1 : from;
	return word;
}

static bool set_word(json_t *flat, char *word, const char *implied)
{
	char *equals = strchr(word, '=');

	if (equals)
		*equals = '\0';
	if (!equals && implied)
		return !json_object_set_new(flat, implied, json_string(word));
	return word[0] && !json_object_set_new(flat, word,
					       json_string(equals ? equals + 1 : "on"));
}

static json_t *parse_words(const char *text, const char *implied)
{
	json_t *flat = json_object();
	bool good = true;

	while (*text && good) {
		char *word = next_word(&text);

		good = word && set_word(flat, word, implied);
		free(word);
		implied = NULL;
	}
	if (good)
		return flat;
	json_decref(flat);
	return NULL;
}

static void put_value(FILE *out, const json_t *value)
{
	const char *text = json_string_value(value);

	if (json_is_boolean(value))
		text = json_is_true(value) ? "on" : "off";
	if (json_is_integer(value))
		fprintf(out, "%lld", (long long)json_integer_value(value));
	for (; text && *text; text++)
		fputs(*text == ',' ? ",," : (char[]){*text, '\0'}, out);
}

static char *format_words(const json_t *flat)
{
	const char *name, *comma = "";
	char *text = NULL;
	json_t *value;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	json_object_foreach((json_t *)flat, name, value) {
		fprintf(out, "%s%s=", comma, name);
		put_value(out, value);
		comma = ",";
	}
	return fclose(out) ? NULL : text;
}

json_t *qemu_options_parse(const char *text, const char *implied)
{
	return qemu_options_is_json(text) ? parse_json(text) : parse_words(text, implied);
}

char *qemu_options_format(const json_t *flat, bool as_json)
{
	return as_json ? format_json(flat) : format_words(flat);
}
