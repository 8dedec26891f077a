/* SPDX-License-Identifier: Apache-2.0
 *
 * rollback_check: what stands against a roll back.
 */
#ifndef ENGINE_ROLLBACK_CHECK_H
#define ENGINE_ROLLBACK_CHECK_H

#include "errinfo.h"
#include "point.h"

struct sidecar;

int rollback_check_state(const struct sidecar *sidecar, struct errinfo *err);
/* The point has exactly the guest's disks, in the sizes they have. */
int rollback_check_disks(const struct sidecar *sidecar, const struct point_info *point,
			 struct errinfo *err);
/* DIR: for the images, NULL: promoted/. */
int rollback_check_room(struct sidecar *sidecar, const struct point_info *point, const char *dir,
			struct errinfo *err);
/* By name or id; NULL: ERR says so. */
const struct point_info *rollback_find_point(const struct sidecar *sidecar, const char *what,
					     struct errinfo *err);

#endif
