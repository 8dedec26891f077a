/* SPDX-License-Identifier: Apache-2.0 */
#include "points.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "report.h"

int points_check_name(const char *name, struct errinfo *err)
{
	static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				      "0123456789._:#-";
	size_t length = strlen(name);

	if (!length || length > POINT_NAME_MAX || strspn(name, allowed) != length || name[0] == '.')
		return err_set(err, -EINVAL, "\"%.80s\" is no name for a point: 1 to %d of the "
			       "characters A-Z a-z 0-9 . _ : # -, no dot first", name,
			       POINT_NAME_MAX);
	if (strspn(name, "0123456789") == length)
		return err_set(err, -EINVAL, "%s is no name for a point: digits alone are an id",
			       name);
	if (!strcmp(name, "latest"))
		return err_set(err, -EINVAL, "latest is no name for a point: it stands for the "
			       "newest generation");
	return 0;
}

void points_name_of_time(int64_t time_us, unsigned try, char name[POINT_NAME_MAX + 1])
{
	time_t seconds = (time_t)(time_us / 1000000);
	size_t length;
	struct tm tm;

	gmtime_r(&seconds, &tm);
	length = strftime(name, POINT_NAME_MAX + 1, "%Y-%m-%dT%H:%M:%SZ", &tm);
	if (try > 1)
		snprintf(name + length, POINT_NAME_MAX + 1 - length, ".%u", try);
}

void points_tell_damaged(const struct store *store, unsigned *told)
{
	unsigned count, damaged = 0;
	const struct point_info *points = store_points(store, &count);

	for (unsigned i = 0; i < count; i++)
		damaged += points[i].damaged;
	for (unsigned i = 0; i < count && damaged > *told; i++) {
		if (points[i].damaged)
			log_warn("%s: point %s (%u) is damaged, or one that it is read through, "
				 "and is left alone; delete it to have its room", store_dir(store),
				 points[i].name, points[i].id);
	}
	*told = damaged;
}

json_t *points_item(const struct point_info *point)
{
	json_t *disks = json_array();
	char time[40];

	for (unsigned i = 0; i < point->disk_count; i++)
		json_array_append_new(disks, json_pack("{s:s,s:I}", "name", point->disks[i].name,
						       "size", (json_int_t)point->disks[i].size));
	report_time(point->time_us, time);
	return json_pack("{s:I,s:s,s:s,s:I,s:s,s:b,s:b,s:b,s:b,s:o}", "id", (json_int_t)point->id,
			 "name", point->name, "time", time, "generation",
			 (json_int_t)point->generation, "kind",
			 point->kind == POINT_CLONE ? "clone" : "kept", "automatic",
			 point->automatic, "temporary", point->temporary, "quiesced",
			 point->quiesced, "damaged", point->damaged, "disks", disks);
}
