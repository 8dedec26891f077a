/* SPDX-License-Identifier: Apache-2.0
 *
 * schema: the table that schema_build.c makes of the peer's introspection and
 * schema.c looks things up in.  Types are named by their index, names by their
 * offset in one pool where each stands once; QEMU 7.2's 207 KB of JSON become
 * 76 KB in three blocks.
 */
#ifndef QMP_SCHEMA_H
#define QMP_SCHEMA_H

#include <stdbool.h>
#include <stdint.h>

#define QMP_SCHEMA_NONE UINT32_MAX

enum qmp_schema_meta {
	QMP_SCHEMA_BUILTIN, /* also what a later QEMU may invent: nothing is below it */
	QMP_SCHEMA_ENUM,
	QMP_SCHEMA_ARRAY,
	QMP_SCHEMA_OBJECT,
	QMP_SCHEMA_ALTERNATE,
	QMP_SCHEMA_COMMAND,
	QMP_SCHEMA_EVENT,
};

struct qmp_schema_type {
	uint32_t name;
	uint32_t meta;
	uint32_t target; /* array: of its elements; command, event: of its arguments */
	uint32_t first;	 /* of its members, then its variants */
	uint32_t member_count;
	uint32_t variant_count;
};

/* A member of an object, a variant (NAME is the tag's value), an alternative
 * (no name) or a value of an enumeration (no type). */
struct qmp_schema_member {
	uint32_t name;
	uint32_t type;
};

struct qmp_schema {
	struct qmp_schema_type *types;
	struct qmp_schema_member *members;
	char *names;
	uint32_t type_count;
	uint32_t member_count;
	uint32_t name_bytes;
};

#endif
