/* SPDX-License-Identifier: Apache-2.0
 *
 * text: names and messages of others: QEMU, its guest, other processes.
 */
#ifndef ENGINE_TEXT_H
#define ENGINE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* False: it did not fit, and only whole characters (UTF-8) of it were copied. */
bool text_copy(char *to, size_t size, const char *from);

/* In place: what a terminal or a log takes for more than text (control characters, and what is
 * no UTF-8) becomes '?'.  Line feeds stay with LINES, else they are blanks, as tabs are. */
void text_tame(char *text, bool lines);

/* As fprintf, tamed; line feeds stay. */
__attribute__((format(printf, 2, 3))) void text_print(FILE *out, const char *format, ...);

#endif
