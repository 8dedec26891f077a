/* SPDX-License-Identifier: Apache-2.0
 *
 * point.json as somebody else wrote it.  The fuzzer will not guess a checksum, so each
 * input is also tried as an object that carries the right one.
 */
#include <assert.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "point_json.h"
#include "sum.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void parse(const char *text, size_t size)
{
	static struct point_info info, again;
	struct errinfo err = {0};
	char *written;

	memset(&info, 0, sizeof(info));
	memset(&again, 0, sizeof(again));
	if (point_json_parse(text, size, "fuzz", &info, &err)) {
		assert(err.code && err.text[0]);
		return;
	}
	assert(point_name_check(info.name, NULL) == 0);
	assert(info.disk_count >= 1 && info.disk_count <= STORE_DISKS_MAX);
	written = point_json_format(&info);
	assert(written && point_json_parse(written, strlen(written), "fuzz", &again, NULL) == 0);
	assert(memcmp(&info, &again, sizeof(info)) == 0);
	free(written);
}

static void parse_summed(const uint8_t *data, size_t size)
{
	json_t *object = json_loadb((const char *)data, size, 0, NULL);
	char sum[17], *text;

	if (!json_is_object(object)) {
		json_decref(object);
		return;
	}
	json_object_del(object, "sum");
	text = json_dumps(object, JSON_COMPACT | JSON_SORT_KEYS);
	if (text) {
		snprintf(sum, sizeof(sum), "%016llx",
			 (unsigned long long)block_sum(text, strlen(text), 0));
		free(text);
		json_object_set_new(object, "sum", json_string(sum));
		text = json_dumps(object, 0);
		parse(text, strlen(text));
	}
	free(text);
	json_decref(object);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	parse((const char *)data, size);
	parse_summed(data, size);
	return 0;
}
