/* SPDX-License-Identifier: Apache-2.0
 *
 * status_watch: a text that is shown again and again in the same place of a terminal,
 * until SIGINT, SIGTERM or the key q.
 */
#ifndef ENGINE_STATUS_WATCH_H
#define ENGINE_STATUS_WATCH_H

#include <stdbool.h>
#include <stddef.h>

/* Signals from now on only end status_watch_wait(). */
void status_watch_begin(bool terminal);
/* TEXT in place of what was there: each line cut to the terminal's width, and no more
 * lines than it has. */
void status_watch_draw(const char *text);
/* False: it is to end. */
bool status_watch_wait(int ms);
/* The terminal as it was, below what was drawn last. */
void status_watch_end(void);

/* Pure: the bytes of TEXT's first line, without its end, that fit into COLUMNS; UTF-8
 * is not cut inside a character. */
size_t status_watch_fit(const char *text, unsigned columns);

#endif
