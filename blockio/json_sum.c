/* SPDX-License-Identifier: Apache-2.0 */
#include "json_sum.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sum.h"

#define SUM_TEXT 17

static bool object_sum(const json_t *object, char text[SUM_TEXT])
{
	char *plain = json_dumps(object, JSON_COMPACT | JSON_SORT_KEYS);

	if (!plain)
		return false;
	snprintf(text, SUM_TEXT, "%016llx",
		 (unsigned long long)block_sum(plain, strlen(plain), 0));
	free(plain);
	return true;
}

bool json_sum_add(json_t *object)
{
	char sum[SUM_TEXT];

	return object_sum(object, sum) &&
	       json_object_set_new(object, "sum", json_string(sum)) == 0;
}

bool json_sum_take(json_t *object)
{
	const char *text = json_string_value(json_object_get(object, "sum"));
	char written[SUM_TEXT], found[SUM_TEXT];

	if (!text || strlen(text) >= SUM_TEXT)
		return false;
	memcpy(written, text, strlen(text) + 1);
	return json_object_del(object, "sum") == 0 && object_sum(object, found) &&
	       strcmp(written, found) == 0;
}
