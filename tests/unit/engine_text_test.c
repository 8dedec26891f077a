/* SPDX-License-Identifier: Apache-2.0
 *
 * Text of others, before it comes to a terminal, a log or JSON.
 */
#include <CUnit/CUnit.h>
#include <jansson.h>
#include <string.h>

#include "cunit_main.h"
#include "errinfo.h"
#include "text.h"
#include "utf8.h"

static void what_is_cut_ends_with_a_whole_character(void)
{
	static const char text[] = "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80";
	static const size_t whole[] = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10};

	for (size_t n = 0; n < sizeof(text); n++)
		CU_ASSERT_EQUAL(utf8_whole(text, n), whole[n]);
	CU_ASSERT_EQUAL(utf8_whole("\x80\x80\x80\x80", 4), 4); /* no text at all: as it is */
}

static void a_copy_that_does_not_fit_says_so(void)
{
	char to[4] = "xxx";

	CU_ASSERT(text_copy(to, sizeof(to), "abc"));
	CU_ASSERT_STRING_EQUAL(to, "abc");
	CU_ASSERT(!text_copy(to, sizeof(to), "abcd"));
	CU_ASSERT_STRING_EQUAL(to, "abc");
	CU_ASSERT(!text_copy(to, sizeof(to), "ab\xe2\x82\xac"));
	CU_ASSERT_STRING_EQUAL(to, "ab");
}

static void tames(const char *text, bool lines, const char *wanted)
{
	char copy[64];

	strcpy(copy, text);
	text_tame(copy, lines);
	CU_ASSERT_STRING_EQUAL(copy, wanted);
}

static void what_a_terminal_obeys_is_no_text(void)
{
	tames("web1", false, "web1");
	tames("\x1b[2J\x07 b\x7f", false, "?[2J? b?");
	tames("a\tb\nqheal: forged", false, "a b qheal: forged");
	tames("a\nb\x1b\n", true, "a\nb?\n");
	tames("\xc2\x9b" "31m", false, "??31m"); /* CSI, of the C1 set */
	tames("caf\xc3\xa9 \xe2\x82\xac", false, "caf\xc3\xa9 \xe2\x82\xac");
	tames("caf\xe9", false, "caf?"); /* Latin-1 */
	tames("\xe2\x82", false, "??");
}

static void an_error_that_is_cut_goes_into_json(void)
{
	struct errinfo err = {0};
	char text[2 * ERRINFO_TEXT_MAX];

	for (unsigned shift = 0; shift < 4; shift++) {
		json_t *string;

		memset(text, 'x', shift);
		text[shift] = '\0';
		while (strlen(text) + 4 < sizeof(text))
			strcat(text, "\xe2\x82\xac");
		err_clear(&err);
		err_set(&err, -1, "%s", text);
		string = json_string(err.text);
		CU_ASSERT_PTR_NOT_NULL(string);
		json_decref(string);
	}
}

int main(void)
{
	static const struct cunit_case cases[] = {
		{"what_is_cut_ends_with_a_whole_character", what_is_cut_ends_with_a_whole_character},
		{"a_copy_that_does_not_fit_says_so", a_copy_that_does_not_fit_says_so},
		{"what_a_terminal_obeys_is_no_text", what_a_terminal_obeys_is_no_text},
		{"an_error_that_is_cut_goes_into_json", an_error_that_is_cut_goes_into_json},
	};

	return cunit_run("text", cases, sizeof(cases) / sizeof(cases[0]));
}
