/* SPDX-License-Identifier: Apache-2.0 */
#include "../../qmp/framer.h"

#include "qmp_fixture.h"

static enum qmp_frame scan(struct qmp_framer *framer, const char *text, size_t *used)
{
	return qmp_framer_scan(framer, text, strlen(text), used);
}

static void object_ends_at_its_last_brace(void)
{
	static const struct {
		const char *text;
		size_t used;
	} cases[] = {
		{"{}", 2},
		{" \r\n\t{}{}", 6},
		{"{\"a\":[{},{\"b\":[1,2]}]}x", 22},
		{"{\"a\":\"}\"}", 9},
		{"{\"a\":\"\\\"}\"}", 11},
		{"{\"a\":\"\\\\\"}}", 10},
		{"{\n  \"return\": {\n  }\n}\n{", 21},
	};

	for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct qmp_framer framer;
		size_t used = 0;

		qmp_framer_init(&framer, false);
		CU_ASSERT(scan(&framer, cases[i].text, &used) == QMP_FRAME_MESSAGE);
		CU_ASSERT(used == cases[i].used);
	}
}

static void end_is_found_however_the_bytes_are_cut(void)
{
	static const char text[] = "{\"a\":\"\\\"}{\\\\\",\n\"b\":[{}]} ";

	for (size_t cut = 0; cut < sizeof(text) - 2; cut++) {
		struct qmp_framer framer;
		size_t used;

		qmp_framer_init(&framer, false);
		CU_ASSERT(qmp_framer_scan(&framer, text, cut, &used) == QMP_FRAME_MORE);
		CU_ASSERT(used == cut);
		CU_ASSERT(scan(&framer, text + cut, &used) == QMP_FRAME_MESSAGE);
		CU_ASSERT(cut + used == sizeof(text) - 2);
	}
}

static void junk_between_objects_is_told(void)
{
	struct qmp_framer framer;
	size_t used = 99;

	qmp_framer_init(&framer, false);
	CU_ASSERT(scan(&framer, "  SSH-2.0", &used) == QMP_FRAME_JUNK);
	CU_ASSERT(used == 2);
	qmp_framer_init(&framer, false);
	CU_ASSERT(scan(&framer, "\xff{}", &used) == QMP_FRAME_JUNK);
	qmp_framer_init(&framer, false);
	CU_ASSERT(scan(&framer, "[1]", &used) == QMP_FRAME_JUNK);
}

static void sentinel_forgets_half_an_object(void)
{
	struct qmp_framer framer;
	size_t used;

	qmp_framer_init(&framer, true);
	CU_ASSERT(scan(&framer, "{\"a\":\"{{\xff{}", &used) == QMP_FRAME_SENTINEL);
	CU_ASSERT(used == 9);
	CU_ASSERT(scan(&framer, "{}", &used) == QMP_FRAME_MESSAGE);
	CU_ASSERT(used == 2);
}

static void depth_is_bounded(void)
{
	char text[2 * QMP_DEPTH_MAX + 2];
	struct qmp_framer framer;
	size_t used;

	memset(text, '[', QMP_DEPTH_MAX + 1);
	memset(text + QMP_DEPTH_MAX, ']', QMP_DEPTH_MAX);
	text[0] = '{';
	text[2 * QMP_DEPTH_MAX] = '\0';
	qmp_framer_init(&framer, false);
	CU_ASSERT(scan(&framer, text, &used) == QMP_FRAME_MESSAGE);
	text[QMP_DEPTH_MAX] = '[';
	qmp_framer_init(&framer, false);
	CU_ASSERT(scan(&framer, text, &used) == QMP_FRAME_DEEP);
	CU_ASSERT(used == QMP_DEPTH_MAX);
}

static void length_is_bounded(void)
{
	char *text = malloc(QMP_MESSAGE_MAX + 2);
	struct qmp_framer framer;
	size_t used;

	CU_ASSERT_PTR_NOT_NULL_FATAL(text);
	memset(text, ' ', QMP_MESSAGE_MAX + 1);
	text[0] = '{';
	text[QMP_MESSAGE_MAX - 1] = '}';
	qmp_framer_init(&framer, false);
	CU_ASSERT(qmp_framer_scan(&framer, text, QMP_MESSAGE_MAX, &used) == QMP_FRAME_MESSAGE);
	text[QMP_MESSAGE_MAX - 1] = ' ';
	text[QMP_MESSAGE_MAX] = '}';
	qmp_framer_init(&framer, false);
	CU_ASSERT(qmp_framer_scan(&framer, text, QMP_MESSAGE_MAX + 1, &used) == QMP_FRAME_LONG);
	/* White space between objects belongs to none. */
	memset(text, '\n', QMP_MESSAGE_MAX + 1);
	qmp_framer_init(&framer, false);
	CU_ASSERT(qmp_framer_scan(&framer, text, QMP_MESSAGE_MAX + 1, &used) == QMP_FRAME_MORE);
	free(text);
}

CASES("qmp framer", CASE(object_ends_at_its_last_brace),
      CASE(end_is_found_however_the_bytes_are_cut), CASE(junk_between_objects_is_told),
      CASE(sentinel_forgets_half_an_object), CASE(depth_is_bounded), CASE(length_is_bounded))
