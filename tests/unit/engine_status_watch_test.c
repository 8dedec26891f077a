/* SPDX-License-Identifier: Apache-2.0
 *
 * What of a line fits on a terminal.
 */
#include <CUnit/CUnit.h>

#include "cunit_main.h"
#include "status_watch.h"

static void a_line_is_cut_at_the_terminals_width(void)
{
	CU_ASSERT_EQUAL(status_watch_fit("abc\ndef", 80), 3);
	CU_ASSERT_EQUAL(status_watch_fit("abcdef", 3), 3);
	CU_ASSERT_EQUAL(status_watch_fit("abc", 3), 3);
	CU_ASSERT_EQUAL(status_watch_fit("", 3), 0);
	CU_ASSERT_EQUAL(status_watch_fit("\nabc", 3), 0);
	CU_ASSERT_EQUAL(status_watch_fit("abc", 0), 0);
}

static void characters_are_not_cut_in_two(void)
{
	CU_ASSERT_EQUAL(status_watch_fit("a\xc3\xa4\xe2\x82\xacz", 2), 3);
	CU_ASSERT_EQUAL(status_watch_fit("a\xc3\xa4\xe2\x82\xacz", 3), 6);
	CU_ASSERT_EQUAL(status_watch_fit("a\xc3\xa4\xe2\x82\xacz", 4), 7);
}

int main(void)
{
	static const struct cunit_case cases[] = {
		{"a_line_is_cut_at_the_terminals_width", a_line_is_cut_at_the_terminals_width},
		{"characters_are_not_cut_in_two", characters_are_not_cut_in_two},
	};

	return cunit_run("engine_status_watch", cases, sizeof(cases) / sizeof(cases[0]));
}
