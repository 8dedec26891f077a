/* SPDX-License-Identifier: Apache-2.0
 *
 * A string member of a JSON object, "" when it is missing or no string: what
 * QEMU sends is not trusted to be what its schema says.
 */
#ifndef ENGINE_JSONTEXT_H
#define ENGINE_JSONTEXT_H

#include <jansson.h>

static inline const char *json_text(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

#endif
