/* SPDX-License-Identifier: Apache-2.0
 *
 * The schema table, on a small schema of every kind of type and on broken ones.
 * A real QEMU's is in qmp_live_test.c.
 */
#include "qmp_fixture.h"

static const char small[] =
	"[{'name': 'blockdev-add', 'meta-type': 'command', 'arg-type': '1', 'ret-type': '0'},"
	" {'name': '0', 'meta-type': 'object', 'members': []},"
	" {'name': 'str', 'meta-type': 'builtin', 'json-type': 'string'},"
	" {'name': '1', 'meta-type': 'object', 'members': ["
	"   {'name': 'driver', 'type': '2'}, {'name': 'node-name', 'type': 'str', 'default': "
	"null}],"
	"  'tag': 'driver', 'variants': [{'case': 'cbw', 'type': '3'}, {'case': 'raw', 'type': "
	"'0'}]},"
	" {'name': '2', 'meta-type': 'enum', 'values': ['cbw', 'raw']},"
	" {'name': '3', 'meta-type': 'object', 'members': [{'name': 'on-error', 'type': '4'},"
	"   {'name': 'file', 'type': '5'}, {'name': 'maps', 'type': '[6]'}]},"
	" {'name': '4', 'meta-type': 'enum', 'members': [{'name': 'stop'}, {'name': 'go'}]},"
	" {'name': '5', 'meta-type': 'alternate', 'members': [{'type': 'str'}, {'type': '1'}]},"
	" {'name': '[6]', 'meta-type': 'array', 'element-type': '6'},"
	" {'name': '6', 'meta-type': 'object', 'members': [{'name': 'bitmap', 'type': 'str'}]},"
	" {'name': 'STOP', 'meta-type': 'event', 'arg-type': '0'},"
	" {'name': 'FAIL', 'meta-type': 'event', 'arg-type': '6'},"
	" {'name': '9', 'meta-type': 'something-new', 'x': 1}]";

/* JSON with single quotes, for the reader's sake. */
static json_t *json_of(const char *text)
{
	char *copy = strdup(text);
	json_t *json;

	for (char *p = copy; *p; p++)
		*p = *p == '\'' ? '"' : *p;
	json = json_loads(copy, JSON_DECODE_ANY, NULL);
	free(copy);
	CU_ASSERT_PTR_NOT_NULL_FATAL(json);
	return json;
}

static struct qmp_schema *schema_of(const char *text)
{
	json_t *json = json_of(text);
	struct qmp_schema *schema = qmp_schema_new(json);

	json_decref(json);
	return schema;
}

static void paths_are_found_through_every_kind_of_type(void)
{
	static const char *const there[] = {"blockdev-add",
					    "blockdev-add/driver",
					    "blockdev-add/driver/cbw",
					    "blockdev-add/cbw",
					    "blockdev-add/cbw/on-error",
					    "blockdev-add/cbw/on-error/go",
					    "blockdev-add/cbw/node-name",
					    "blockdev-add/raw/node-name",
					    "blockdev-add/cbw/file/driver",
					    "blockdev-add/cbw/file/cbw/maps/bitmap",
					    "blockdev-add/cbw/maps/bitmap",
					    "STOP",
					    "FAIL",
					    "FAIL/bitmap"};
	struct qmp_schema *schema = schema_of(small);

	CU_ASSERT_PTR_NOT_NULL_FATAL(schema);
	for (unsigned i = 0; i < sizeof(there) / sizeof(*there); i++) {
		if (!qmp_schema_has(schema, there[i]))
			fprintf(stderr, "\n  not there: %s\n", there[i]);
		CU_ASSERT(qmp_schema_has(schema, there[i]));
	}
	qmp_schema_free(schema);
}

static void paths_that_are_not_there_are_not_found(void)
{
	static const char *const absent[] = {"",
					     "/",
					     "blockdev",
					     "blockdev-add/",
					     "blockdev-addx",
					     "/blockdev-add",
					     "blockdev-add//driver",
					     "blockdev-add/on-error",
					     "blockdev-add/raw/on-error",
					     "blockdev-add/cbw/raw",
					     "blockdev-add/driver/nbd",
					     "blockdev-add/driver/cbw/x",
					     "blockdev-add/cbw/on-error/",
					     "blockdev-add/node-name/x",
					     "blockdev-add/cb",
					     "1",
					     "str",
					     "1/driver",
					     "9",
					     "STOP/x",
					     "blockdev-add/cbw/maps/x"};
	struct qmp_schema *schema = schema_of(small);

	CU_ASSERT_PTR_NOT_NULL_FATAL(schema);
	for (unsigned i = 0; i < sizeof(absent) / sizeof(*absent); i++) {
		if (qmp_schema_has(schema, absent[i]))
			fprintf(stderr, "\n  there: %s\n", absent[i]);
		CU_ASSERT(!qmp_schema_has(schema, absent[i]));
	}
	CU_ASSERT(!qmp_schema_has(NULL, "STOP"));
	qmp_schema_free(schema);
	qmp_schema_free(NULL);
}

static void what_is_no_schema_is_refused(void)
{
	static const char *const broken[] = {
		"{}",
		"[]",
		"7",
		"[7]",
		"[{}]",
		"[{'name': 'x'}]",
		"[{'meta-type': 'event'}]",
		"[{'name': 'x', 'meta-type': 'command'}]",
		"[{'name': 'x', 'meta-type': 'command', 'arg-type': 'y'}]",
		"[{'name': 'x', 'meta-type': 'array', 'element-type': 7}]",
		"[{'name': 'x', 'meta-type': 'object', 'members': 7}]",
		"[{'name': 'x', 'meta-type': 'object', 'members': [7]}]",
		"[{'name': 'x', 'meta-type': 'object', 'members': [{'name': 'a'}]}]",
		"[{'name': 'x', 'meta-type': 'object', 'members': [{'name': 'a', 'type': 'b'}]}]",
		"[{'name': 'x', 'meta-type': 'object', 'variants': [{'case': 7}]}]",
		"[{'name': 'x', 'meta-type': 'enum', 'values': [7]}]",
		"[{'name': 'x', 'meta-type': 'alternate', 'members': ['x']}]"};

	for (unsigned i = 0; i < sizeof(broken) / sizeof(*broken); i++) {
		struct qmp_schema *schema = schema_of(broken[i]);

		CU_ASSERT(!schema);
		qmp_schema_free(schema);
	}
	CU_ASSERT(!qmp_schema_new(NULL));
}

/* Arrays of themselves, alternates of themselves: the lookup must end. */
static void circles_end(void)
{
	struct qmp_schema *schema =
		schema_of("[{'name': 'c', 'meta-type': 'command', 'arg-type': 'a'},"
			  " {'name': 'a', 'meta-type': 'array', 'element-type': 'a'},"
			  " {'name': 'd', 'meta-type': 'command', 'arg-type': 'b'},"
			  " {'name': 'b', 'meta-type': 'alternate', 'members': [{'type': 'b'}, "
			  "{'type': 'b'}]}]");

	CU_ASSERT_PTR_NOT_NULL_FATAL(schema);
	CU_ASSERT(!qmp_schema_has(schema, "c/x"));
	CU_ASSERT(!qmp_schema_has(schema, "d/x"));
	qmp_schema_free(schema);
}

CASES("qmp schema", CASE(paths_are_found_through_every_kind_of_type),
      CASE(paths_that_are_not_there_are_not_found), CASE(what_is_no_schema_is_refused),
      CASE(circles_end))
