/* SPDX-License-Identifier: Apache-2.0
 *
 * strategy rollback: a guest that fails again and again, whatever its reset button did,
 * goes back to a point from before the first of these faults.  What it leaves is a point,
 * too.  (A disk that cannot be saved has a way of its own: recover.c.)
 *
 *   copy     each disk as it was at the point becomes a raw image
 *   prepare  a generation, so that little is left
 *   stop, capture, point     what the guest leaves is kept
 *   swap, reset              the images take the disks' place, and it boots
 *
 * A step that fails takes everything back, or leaves the guest held (rollback.h).
 */
#include <errno.h>

#include "response.h"
#include "rollback.h"
#include "sense.h"
#include "sidecar.h"
#include "situation.h"

int strategy_rollback(struct response *response, struct errinfo *err)
{
	struct sidecar *sidecar = response->sidecar;
	uint64_t loss_bytes = response->facts.point_loss_bytes;
	unsigned count;
	const struct point_info *point = situation_point(sidecar, &count);
	int rc;

	if (!point)
		return err_set(err, -ENOENT, "there is no point to go back to");
	rc = rollback_now(sidecar, point, &response->timeline, &response->told, err);
	if (rc)
		return rc;
	response->lost_bytes = loss_bytes;
	sense_forget(sidecar, response->fault.kind);
	return 0;
}
