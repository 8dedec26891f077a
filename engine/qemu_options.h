/* SPDX-License-Identifier: Apache-2.0
 *
 * qemu_options: the value of one option of QEMU's command line, in either form:
 *   driver=raw,node-name=d0,file.filename=/a,,b   or   {"driver":"raw","file":{...}}
 * Both are read as one flat object, key to value, nested keys joined by dots, in
 * their order.  Pure.
 */
#ifndef ENGINE_QEMU_OPTIONS_H
#define ENGINE_QEMU_OPTIONS_H

#include <jansson.h>
#include <stdbool.h>

/* IMPLIED is the key of a first word without one ("driver"), NULL: there is none, and
 * such a word means KEY=on.  A new reference; NULL: that is no option. */
json_t *qemu_options_parse(const char *text, const char *implied);
bool qemu_options_is_json(const char *text);
/* In the form AS_JSON says; malloc()ed, NULL: no memory. */
char *qemu_options_format(const json_t *flat, bool as_json);
/* on, yes, true, y, or a JSON true. */
bool qemu_options_true(const json_t *value);

#endif
