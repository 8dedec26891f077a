/* SPDX-License-Identifier: Apache-2.0
 *
 * strategy reset: the guest's reset button, after a panic, a watchdog or when
 * nothing in it moves.
 *
 *   reset    system_reset, and wait until QEMU did it
 *   resume   `cont`, when the guest stood still
 *
 * Nothing to undo: a guest that was not reset stands where it stood.
 */
#include "reset.h"
#include "response.h"
#include "sense.h"
#include "sidecar.h"

int strategy_reset(struct response *response, struct errinfo *err)
{
	struct sidecar *sidecar = response->sidecar;
	int rc = reset_guest(sidecar, sidecar->stopped, err);

	timeline_mark(&response->timeline, "reset");
	if (!rc)
		sense_forget(sidecar, response->fault.kind);
	return rc;
}
