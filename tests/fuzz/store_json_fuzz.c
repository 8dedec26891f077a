/* SPDX-License-Identifier: Apache-2.0
 *
 * store.json as somebody else wrote it: refused with a reason, or something that is
 * written and read back the same.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "store_json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct store_json json, again;
	struct errinfo err = {0};
	char *text;

	memset(&json, 0, sizeof(json));
	memset(&again, 0, sizeof(again));
	if (store_json_parse((const char *)data, size, "fuzz", &json, &err)) {
		assert(err.code && err.text[0]);
		return 0;
	}
	assert(store_spec_check(&json.spec, NULL) == 0);
	text = store_json_format(&json);
	assert(text && store_json_parse(text, strlen(text), "fuzz", &again, NULL) == 0);
	again.format = json.format; /* written is always the present one, */
	again.summed = json.summed; /* with a checksum */
	assert(memcmp(&json, &again, sizeof(json)) == 0);
	free(text);
	return 0;
}
