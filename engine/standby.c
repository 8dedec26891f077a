/* SPDX-License-Identifier: Apache-2.0
 *
 * standby: see standby.h.
 */
#include "standby.h"

#include <string.h>

#include "jsontext.h"
#include "qemu_options.h"

static bool copy_text(const json_t *options, const char *key, char text[PATH_MAX])
{
	const char *value = json_text(options, key);

	if (strlen(value) >= PATH_MAX)
		return false;
	strcpy(text, value);
	return true;
}

bool standby_parse(const char *text, struct standby *standby)
{
	json_t *options = qemu_options_is_json(text) ? NULL : qemu_options_parse(text, NULL);
	size_t ours = (json_object_get(options, "qmp") != NULL) +
		      (json_object_get(options, "uri") != NULL);
	bool known = options && json_object_size(options) == ours;

	memset(standby, 0, sizeof(*standby));
	known = known && copy_text(options, "qmp", standby->qmp) &&
		copy_text(options, "uri", standby->uri) && standby->qmp[0];
	if (!known)
		standby->qmp[0] = '\0';
	json_decref(options);
	return known;
}
