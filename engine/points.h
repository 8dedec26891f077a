/* SPDX-License-Identifier: Apache-2.0
 *
 * points: points in time as the user has them: names, and JSON.
 */
#ifndef ENGINE_POINTS_H
#define ENGINE_POINTS_H

#include <jansson.h>

#include "errinfo.h"
#include "point.h"

/* 1 to 63 of the characters of disk names, no dot first, not all digits (that would
 * be an id), not "latest" (that is the newest generation).  -EINVAL. */
int points_check_name(const char *name, struct errinfo *err);
/* 2026-11-24T12:30:05Z; the TRY-th of this second has ".TRY" behind, from 2 on. */
void points_name_of_time(int64_t time_us, unsigned try, char name[POINT_NAME_MAX + 1]);
/* All that are damaged, when they are more than *TOLD. */
void points_tell_damaged(const struct store *store, unsigned *told);
/* {"id","name","time","generation","kind","automatic","temporary","quiesced","disks"} */
json_t *points_item(const struct point_info *point);

#endif
