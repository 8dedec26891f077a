/* SPDX-License-Identifier: Apache-2.0
 *
 * Paths in the peer's schema.
 *
 * A path begins with a command or an event and goes on through what its
 * arguments have below each other: members of objects, variants of unions by the
 * value of their tag, values of enumerations.  Arrays and alternates have no
 * part of their own in a path.
 */
#include "schema.h"

#include <string.h>

#include "qmp.h"

/* The schema comes from outside and may contain circles of arrays and
 * alternates; QEMU's own longest path takes some 50 steps with its dead ends. */
#define STEPS_MAX 4096

struct lookup {
	const struct qmp_schema *schema;
	unsigned steps;
};

static bool type_has(struct lookup *lookup, uint32_t index, const char *path, bool variants);

/* Does PATH begin with the part NAME?  Then *REST is what follows, "" at the
 * end. */
static bool part_is(const char *path, const char *name, const char **rest)
{
	size_t size = strlen(name);

	if (strncmp(path, name, size) || (path[size] && path[size] != '/'))
		return false;
	*rest = path + size + (path[size] == '/');
	/* A slash at the end promises a part that is not there. */
	return size && !(path[size] == '/' && !**rest);
}

static const struct qmp_schema_member *member_find(const struct qmp_schema *schema, uint32_t first,
						   uint32_t count, const char *path,
						   const char **rest)
{
	for (uint32_t i = first; i < first + count; i++) {
		const struct qmp_schema_member *member = &schema->members[i];

		if (part_is(path, schema->names + member->name, rest))
			return member;
	}
	return NULL;
}

/* Behind a variant come its own members and those of its union. */
static bool object_has(struct lookup *lookup, uint32_t index, const char *path, bool variants)
{
	const struct qmp_schema_type *type = &lookup->schema->types[index];
	const struct qmp_schema_member *member;
	const char *rest;

	member = member_find(lookup->schema, type->first, type->member_count, path, &rest);
	if (member && type_has(lookup, member->type, rest, true))
		return true;
	if (!variants)
		return false;
	member = member_find(lookup->schema, type->first + type->member_count, type->variant_count,
			     path, &rest);
	if (!member)
		return false;
	return type_has(lookup, member->type, rest, true) || type_has(lookup, index, rest, false);
}

static bool alternate_has(struct lookup *lookup, const struct qmp_schema_type *type,
			  const char *path)
{
	for (uint32_t i = type->first; i < type->first + type->member_count; i++) {
		if (type_has(lookup, lookup->schema->members[i].type, path, true))
			return true;
	}
	return false;
}

/* Is PATH to be found below the type INDEX?  The empty path is, everywhere. */
static bool type_has(struct lookup *lookup, uint32_t index, const char *path, bool variants)
{
	const struct qmp_schema_type *type = &lookup->schema->types[index];
	const char *rest;

	if (!*path)
		return true;
	if (++lookup->steps > STEPS_MAX)
		return false;
	switch (type->meta) {
	case QMP_SCHEMA_ENUM:
		return member_find(lookup->schema, type->first, type->member_count, path, &rest) &&
		       !*rest;
	case QMP_SCHEMA_ARRAY:
		return type_has(lookup, type->target, path, true);
	case QMP_SCHEMA_ALTERNATE:
		return alternate_has(lookup, type, path);
	case QMP_SCHEMA_OBJECT:
		return object_has(lookup, index, path, variants);
	default:
		return false;
	}
}

bool qmp_schema_has(const struct qmp_schema *schema, const char *path)
{
	struct lookup lookup = {.schema = schema};

	for (uint32_t i = 0; schema && i < schema->type_count; i++) {
		const struct qmp_schema_type *type = &schema->types[i];
		const char *rest;

		if (type->meta != QMP_SCHEMA_COMMAND && type->meta != QMP_SCHEMA_EVENT)
			continue;
		if (part_is(path, schema->names + type->name, &rest))
			return type_has(&lookup, type->target, rest, true);
	}
	return false;
}
