/* SPDX-License-Identifier: Apache-2.0
 *
 * utf8: text that is cut goes into JSON, which takes whole characters only.
 */
#ifndef QHEAL_UTF8_H
#define QHEAL_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* Bytes of the character that FIRST begins; 0: it begins none. */
static inline size_t utf8_length(char first)
{
	unsigned char byte = (unsigned char)first;

	return byte < 0x80 ? 1 : byte < 0xc2 ? 0 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3
	       : byte < 0xf5 ? 4 : 0;
}

static inline bool utf8_goes_on(char byte)
{
	return ((unsigned char)byte & 0xc0) == 0x80;
}

/* Of the N bytes of TEXT those without half a character at the end. */
static inline size_t utf8_whole(const char *text, size_t n)
{
	size_t start = n;

	while (start && n - start < 3 && utf8_goes_on(text[start - 1]))
		start--;
	return start && utf8_length(text[start - 1]) > n - start + 1 ? start - 1 : n;
}

#endif
