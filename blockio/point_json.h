/* SPDX-License-Identifier: Apache-2.0
 *
 * point_json: STORE/points/ID/point.json, what a point is.  Written once, before
 * the point has its name; never changed.
 */
#ifndef BLOCKIO_POINT_JSON_H
#define BLOCKIO_POINT_JSON_H

#include <stddef.h>

#include "point.h"

#define POINT_JSON_FORMAT 1
#define POINT_JSON_MAX (16u << 10) /* 32 disks with room */

/* Pure.  WHERE names the file in errors.  -ENOTSUP: a newer format; -EUCLEAN: not
 * what a point.json must be, or its checksum is wrong. */
int point_json_parse(const char *text, size_t length, const char *where, struct point_info *info,
		     struct errinfo *err);
char *point_json_format(const struct point_info *info); /* malloc()ed; NULL without memory */

#endif
