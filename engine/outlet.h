/* SPDX-License-Identifier: Apache-2.0
 *
 * outlet: lines to a descriptor whose reader may be slow, or stand still: who writes never
 * waits for it.  What it does not take is kept, up to a bound, and lines beyond are counted.
 */
#ifndef ENGINE_OUTLET_H
#define ENGINE_OUTLET_H

#include <stddef.h>

#define OUTLET_BYTES (256u << 10) /* kept for the reader */

struct outlet {
	int fd; /* -1: closed */
	char *text; /* waits for the reader; made when it is needed */
	size_t bytes;
	unsigned dropped; /* lines, since outlet_dropped() was asked */
};

/* Where FD goes to.  Of a pipe or a terminal, which others may have too, an open of our own that does
 * not wait, if we may have one.  0, or a negative errno. */
int outlet_open(struct outlet *outlet, int fd);
/* 0: written, or kept.  -ENOBUFS: dropped.  Else the errno of the write: no reader, no room. */
int outlet_put(struct outlet *outlet, const char *line, size_t length);
/* How many lines were dropped before the next one, now that the reader takes them again; 0: none,
 * or it does not yet. */
unsigned outlet_dropped(struct outlet *outlet);
/* Gives its reader a moment to take what was kept. */
void outlet_close(struct outlet *outlet);

#endif
