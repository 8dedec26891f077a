/* SPDX-License-Identifier: Apache-2.0
 *
 * text: see text.h.
 */
#include "text.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "utf8.h"

bool text_copy(char *to, size_t size, const char *from)
{
	size_t length = strlen(from);
	bool fits = length < size;

	if (!fits)
		length = utf8_whole(from, size - 1);
	memcpy(to, from, length);
	to[length] = '\0';
	return fits;
}

/* Bytes of the character at TEXT; 0: there is none. */
static size_t character(const char *text)
{
	size_t length = utf8_length(text[0]), n = 1;

	while (n < length && utf8_goes_on(text[n]))
		n++;
	return n == length ? length : 0;
}

/* C0, DEL, and C1 (U+0080 to U+009F), which terminals obey too. */
static bool is_control(const char *text, size_t length)
{
	unsigned char first = (unsigned char)text[0];

	return length == 1 ? first < ' ' || first == 0x7f
			   : length == 2 && first == 0xc2 && (unsigned char)text[1] < 0xa0;
}

void text_tame(char *text, bool lines)
{
	while (*text) {
		size_t length = character(text);

		if (*text == '\t' || (*text == '\n' && !lines))
			*text = ' ';
		else if (*text != '\n' && (!length || is_control(text, length)))
			memset(text, '?', length ? length : 1);
		text += length ? length : 1;
	}
}

void text_print(FILE *out, const char *format, ...)
{
	va_list args;
	char *text;
	int n;

	va_start(args, format);
	n = vasprintf(&text, format, args);
	va_end(args);
	if (n < 0)
		return;
	text_tame(text, true);
	fputs(text, out);
	free(text);
}
