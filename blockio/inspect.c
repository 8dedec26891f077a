/* SPDX-License-Identifier: Apache-2.0
 *
 * inspect: what a store is and at which generation, from outside, while its
 * sidecar may be writing to it.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "member.h"
#include "file.h"
#include "journal.h"
#include "store_private.h"

/* store.json and both areas are read one after the other; a generation committed in between,
 * or a list of disks that changes, can look like damage, so the verdict has to stand a few times,
 * each longer than a commit takes. */
#define INSPECT_TRIES 5
#define INSPECT_PAUSE_MS 20

struct inspect_reader {
	struct journal_reader reader;
	int fd;
};

static int64_t inspect_read(struct journal_reader *reader, void *buffer, uint32_t length,
			    uint64_t offset)
{
	return file_read(member_of(reader, struct inspect_reader, reader)->fd, buffer, length,
			 offset);
}

static int area_inspect(const char *dir, unsigned area, const struct record_shape *shape,
			struct journal_found *found, struct errinfo *err)
{
	struct inspect_reader reader = {{inspect_read}, -1};
	uint8_t page[RECORD_PAGE];
	char path[FILE_PATH_MAX];

	journal_path(dir, area, path, sizeof(path));
	reader.fd = file_open(path, O_RDONLY);
	if (reader.fd < 0)
		return err_set(err, reader.fd, "cannot read %s: %s", path, strerror(-reader.fd));
	journal_scan(&reader.reader, shape, area, JOURNAL_PAGES, page, sizeof(page), found);
	file_close(reader.fd);
	return 0;
}

static int journal_inspect(const char *dir, const struct store_json *json,
			   struct store_info *info, struct errinfo *err)
{
	struct record_shape shape;
	struct journal_found found[2];
	struct journal_plan plan = {0};
	struct journal_base base;
	struct errinfo failure = {0};
	int status;

	store_shape(json, &shape);
	store_base(json, &base);
	status = area_inspect(dir, 0, &shape, &found[0], &failure);
	if (!status)
		status = area_inspect(dir, 1, &shape, &found[1], &failure);
	if (!status)
		status = journal_decide(found, &base, &plan, &failure);
	if (status)
		return err_set(err, status, "%s: %s", dir, failure.text);
	if (plan.count)
		info->state = STORE_READY;
	info->generation = plan.generation;
	info->generation_time_us = plan.time_us;
	info->incomplete = store_incomplete(json, plan.generation);
	return 0;
}

static int look(const char *dir, struct store_json *json, struct store_info *info,
		struct errinfo *err)
{
	int status = store_json_read(dir, json, err);

	memset(info, 0, sizeof(*info));
	if (status)
		return status;
	info->spec = json->spec;
	memcpy(info->uuid, json->uuid, sizeof(info->uuid));
	info->state = json->state;
	info->promoted = store_frozen(json, &info->generation, &info->generation_time_us);
	for (unsigned i = 0; i < json->spec.disk_count; i++)
		info->placed |= (uint64_t)(json->promoted[i].image[0] != '\0') << i;
	if (info->promoted || json->state < STORE_FILLED)
		return 0;
	return journal_inspect(dir, json, info, err);
}

int store_inspect(const char *dir, struct store_info *info, struct errinfo *err)
{
	struct store_json *json = malloc(sizeof(*json));
	struct errinfo failure;
	int status = -EUCLEAN;

	memset(info, 0, sizeof(*info));
	if (!json)
		return err_set(err, -ENOMEM, "no memory to look at %s", dir);
	for (unsigned i = 0; i < INSPECT_TRIES && status == -EUCLEAN; i++) {
		if (i)
			poll(NULL, 0, INSPECT_PAUSE_MS);
		err_clear(&failure);
		status = look(dir, json, info, &failure);
	}
	free(json);
	return status ? err_set(err, status, "%s", failure.text) : 0;
}
