/* SPDX-License-Identifier: Apache-2.0
 *
 * progress: the line fits its terminal and tells share, rate and time left.
 */
#include <CUnit/CUnit.h>
#include <string.h>

#include "cunit_main.h"
#include "progress.h"

#define GIB (UINT64_C(1) << 30)

static void line_is(unsigned width, uint64_t done, uint64_t total, double rate, const char *wanted)
{
	char text[128];

	progress_line(text, sizeof(text), width, "restore", done, total, rate);
	CU_ASSERT_STRING_EQUAL(text, wanted);
	CU_ASSERT(strlen(text) <= width);
}

static void the_line_tells_share_rate_and_time(void)
{
	line_is(60, GIB, 4 * GIB, 512 << 20,
		"restore [###        ]  25 % of 4.0 GiB, 512 MiB/s, 0:06 left");
	line_is(60, 0, 4 * GIB, 0, "restore [                                 ]   0 % of 4.0 GiB");
	line_is(60, GIB, 4000 * GIB, 1 << 20,
		"restore [       ]   0 % of 3.9 TiB, 1.0 MiB/s, 99:59:59 left");
}

static void a_narrow_terminal_has_no_bar(void)
{
	line_is(30, GIB, 4 * GIB, 512 << 20, "restore  25 % of 4.0 GiB, 512 ");
}

static void nothing_to_do_is_all_done(void)
{
	line_is(40, 0, 0, 0, "restore [#################] 100 % of 0 B");
	line_is(40, 5, 4, 0, "restore [#################] 100 % of 4 B");
}

static void bytes_have_three_digits(void)
{
	char text[16];

	progress_bytes(text, 999);
	CU_ASSERT_STRING_EQUAL(text, "999 B");
	progress_bytes(text, 1000);
	CU_ASSERT_STRING_EQUAL(text, "1.0 KiB");
	progress_bytes(text, 150.0 * GIB);
	CU_ASSERT_STRING_EQUAL(text, "150 GiB");
}

int main(void)
{
	static const struct cunit_case cases[] = {
		{"the line tells share, rate and time", the_line_tells_share_rate_and_time},
		{"a narrow terminal has no bar", a_narrow_terminal_has_no_bar},
		{"nothing to do is all done", nothing_to_do_is_all_done},
		{"bytes have three digits", bytes_have_three_digits},
	};

	return cunit_run("engine_progress", cases, sizeof(cases) / sizeof(cases[0]));
}
