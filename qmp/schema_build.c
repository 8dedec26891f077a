/* SPDX-License-Identifier: Apache-2.0
 *
 * From the result of query-qmp-schema to the table of schema.h.
 *
 * Two passes: the first counts, so that every block is allocated once and at its
 * final size; the second fills in.  A type that is named and not defined, a name
 * or a list that is missing or of another kind: not a schema.
 */
#include "schema.h"

#include <stdlib.h>
#include <string.h>

#include "qmp.h"

struct builder {
	struct qmp_schema *schema;
	uint32_t *table; /* of names by hash: offset + 1, 0 empty */
	uint32_t *typed; /* of types by the hash of their name: index + 1 */
	uint32_t mask;
};

static const char *text_of(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

static const json_t *list_of(const json_t *object, const char *key)
{
	return json_object_get(object, key);
}

static enum qmp_schema_meta meta_of(const json_t *entry)
{
	static const char *const metas[] = {"builtin",	 "enum",    "array", "object",
					    "alternate", "command", "event"};
	const char *text = text_of(entry, "meta-type");

	for (unsigned i = 0; text && i < sizeof(metas) / sizeof(*metas); i++) {
		if (!strcmp(text, metas[i]))
			return i;
	}
	return QMP_SCHEMA_BUILTIN;
}

/* --- names --- */

static uint32_t name_hash(const char *name)
{
	uint32_t hash = 2166136261u; /* FNV-1a */

	for (; *name; name++)
		hash = (hash ^ (unsigned char)*name) * 16777619u;
	return hash;
}

/* The offset of NAME in the pool, where it is added if it is new. */
static uint32_t name_intern(struct builder *builder, const char *name)
{
	struct qmp_schema *schema = builder->schema;
	uint32_t slot = name_hash(name) & builder->mask;
	size_t size = strlen(name) + 1;

	for (; builder->table[slot]; slot = (slot + 1) & builder->mask) {
		if (!strcmp(schema->names + builder->table[slot] - 1, name))
			return builder->table[slot] - 1;
	}
	builder->table[slot] = schema->name_bytes + 1;
	memcpy(schema->names + schema->name_bytes, name, size);
	schema->name_bytes += (uint32_t)size;
	return builder->table[slot] - 1;
}

static void type_enter(struct builder *builder, uint32_t index)
{
	const struct qmp_schema *schema = builder->schema;
	const char *name = schema->names + schema->types[index].name;
	uint32_t slot = name_hash(name) & builder->mask;

	while (builder->typed[slot])
		slot = (slot + 1) & builder->mask;
	builder->typed[slot] = index + 1;
}

static uint32_t type_find(const struct builder *builder, const char *name)
{
	const struct qmp_schema *schema = builder->schema;
	uint32_t slot = name ? name_hash(name) & builder->mask : 0;

	for (; name && builder->typed[slot]; slot = (slot + 1) & builder->mask) {
		uint32_t index = builder->typed[slot] - 1;

		if (!strcmp(schema->names + schema->types[index].name, name))
			return index;
	}
	return QMP_SCHEMA_NONE;
}

/* --- counting --- */

/* Returns false when ENTRY is malformed.  Adds its names' bytes, its own and
 * those of the list KEY under FIELD (NULL: the items are the names). */
static bool list_count(const json_t *entry, const char *key, const char *field,
		       struct qmp_schema *schema)
{
	const json_t *list = list_of(entry, key), *item;
	size_t i;

	if (!list)
		return true;
	if (!json_is_array(list))
		return false;
	json_array_foreach(list, i, item) {
		const char *name = field ? text_of(item, field) : json_string_value(item);

		if (!name)
			return false;
		schema->name_bytes += (uint32_t)strlen(name) + 1;
	}
	schema->member_count += (uint32_t)json_array_size(list);
	return true;
}

static bool entry_count(const json_t *entry, struct qmp_schema *schema)
{
	const char *name = text_of(entry, "name");

	if (!name || !text_of(entry, "meta-type"))
		return false;
	schema->name_bytes += (uint32_t)strlen(name) + 1;
	switch (meta_of(entry)) {
	case QMP_SCHEMA_ENUM:
		return json_is_array(list_of(entry, "values"))
			       ? list_count(entry, "values", NULL, schema)
			       : list_count(entry, "members", "name", schema);
	case QMP_SCHEMA_OBJECT:
		return list_count(entry, "members", "name", schema) &&
		       list_count(entry, "variants", "case", schema);
	case QMP_SCHEMA_ALTERNATE:
		return list_count(entry, "members", "type", schema);
	default:
		return true;
	}
}

static bool schema_count(const json_t *json, struct qmp_schema *schema)
{
	const json_t *entry;
	size_t i;

	if (!json_is_array(json) || !json_array_size(json))
		return false;
	json_array_foreach(json, i, entry) {
		if (!entry_count(entry, schema))
			return false;
	}
	schema->type_count = (uint32_t)json_array_size(json);
	return true;
}

/* --- filling in --- */

/* Append the list KEY of ENTRY as members: names under FIELD, types under "type"
 * if TYPED.  Returns false for an unknown type. */
static bool list_fill(struct builder *builder, const json_t *entry, const char *key,
		      const char *field, bool typed)
{
	struct qmp_schema *schema = builder->schema;
	const json_t *item;
	size_t i;

	json_array_foreach(list_of(entry, key), i, item) {
		struct qmp_schema_member *member = &schema->members[schema->member_count++];
		const char *name =
			json_is_string(item) ? json_string_value(item) : text_of(item, field);

		member->name = name_intern(builder, name);
		member->type = QMP_SCHEMA_NONE;
		if (!typed)
			continue;
		member->type = type_find(builder, text_of(item, "type"));
		if (member->type == QMP_SCHEMA_NONE)
			return false;
	}
	return true;
}

static bool target_fill(struct builder *builder, const json_t *entry, const char *key,
			struct qmp_schema_type *type)
{
	type->target = type_find(builder, text_of(entry, key));
	return type->target != QMP_SCHEMA_NONE;
}

static bool entry_fill(struct builder *builder, const json_t *entry, struct qmp_schema_type *type)
{
	struct qmp_schema *schema = builder->schema;
	bool good = true;

	type->first = schema->member_count;
	switch (type->meta) {
	case QMP_SCHEMA_ENUM:
		if (json_is_array(list_of(entry, "values")))
			good = list_fill(builder, entry, "values", NULL, false);
		else
			good = list_fill(builder, entry, "members", "name", false);
		break;
	case QMP_SCHEMA_ARRAY:
		return target_fill(builder, entry, "element-type", type);
	case QMP_SCHEMA_COMMAND:
	case QMP_SCHEMA_EVENT:
		return target_fill(builder, entry, "arg-type", type);
	case QMP_SCHEMA_ALTERNATE:
		good = list_fill(builder, entry, "members", "type", true);
		break;
	case QMP_SCHEMA_OBJECT:
		good = list_fill(builder, entry, "members", "name", true);
		type->member_count = schema->member_count - type->first;
		good = good && list_fill(builder, entry, "variants", "case", true);
		type->variant_count = schema->member_count - type->first - type->member_count;
		return good;
	default:
		break;
	}
	type->member_count = schema->member_count - type->first;
	return good;
}

static bool schema_fill(struct builder *builder, const json_t *json)
{
	struct qmp_schema *schema = builder->schema;
	const json_t *entry;
	size_t i;

	/* All types first: they refer to each other in any order. */
	json_array_foreach(json, i, entry) {
		schema->types[i] = (struct qmp_schema_type){
			.name = name_intern(builder, text_of(entry, "name")),
			.meta = meta_of(entry),
			.target = QMP_SCHEMA_NONE,
		};
		type_enter(builder, (uint32_t)i);
	}
	json_array_foreach(json, i, entry) {
		if (!entry_fill(builder, entry, &schema->types[i]))
			return false;
	}
	return true;
}

static bool builder_init(struct builder *builder, struct qmp_schema *schema)
{
	uint32_t slots = 64;

	/* At most half full. */
	while (slots < 2 * (schema->type_count + schema->member_count))
		slots *= 2;
	builder->schema = schema;
	builder->mask = slots - 1;
	builder->table = calloc(slots, sizeof(*builder->table));
	builder->typed = calloc(slots, sizeof(*builder->typed));
	schema->types = calloc(schema->type_count, sizeof(*schema->types));
	schema->members = calloc(schema->member_count + 1, sizeof(*schema->members));
	schema->names = malloc(schema->name_bytes);
	return builder->table && builder->typed && schema->types && schema->members &&
	       schema->names;
}

struct qmp_schema *qmp_schema_new(const json_t *json)
{
	struct qmp_schema *schema = calloc(1, sizeof(*schema));
	struct builder builder = {0};
	bool good = schema && schema_count(json, schema) && builder_init(&builder, schema);
	char *names;

	if (good) {
		schema->member_count = schema->name_bytes = 0;
		good = schema_fill(&builder, json);
	}
	free(builder.table);
	free(builder.typed);
	if (!good) {
		qmp_schema_free(schema);
		return NULL;
	}
	/* Counted with repetitions: give back what they did not need. */
	names = realloc(schema->names, schema->name_bytes);
	if (names)
		schema->names = names;
	return schema;
}

void qmp_schema_free(struct qmp_schema *schema)
{
	if (!schema)
		return;
	free(schema->types);
	free(schema->members);
	free(schema->names);
	free(schema);
}
