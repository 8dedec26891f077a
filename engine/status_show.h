/* SPDX-License-Identifier: Apache-2.0
 *
 * status_show: a status, as the sidecar gives it, for people.  Lines of at most 80
 * columns, but for sentences and paths, which come last in their line.
 */
#ifndef ENGINE_STATUS_SHOW_H
#define ENGINE_STATUS_SHOW_H

#include <jansson.h>
#include <stdio.h>

void status_show(FILE *out, const json_t *status);
/* All that matters in one line, without its end. */
void status_show_line(FILE *out, const json_t *status);

#endif
