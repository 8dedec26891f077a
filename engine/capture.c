/* SPDX-License-Identifier: Apache-2.0
 *
 * capture: see capture.h.
 */
#include "capture.h"

#include <errno.h>

#include "sidecar.h"

static int may_capture(const struct sidecar *sidecar, struct errinfo *err)
{
	int rc = sidecar_covered(sidecar, err);

	if (rc)
		return rc;
	if (sidecar->state == SIDECAR_PROTECTED || sidecar->state == SIDECAR_DEGRADED)
		return 0;
	return err_set(err, -EROFS, "there are no new generations while the sidecar is in state "
		       "%s", sidecar_state_name(sidecar->state));
}

/* The agent of a guest that stands still, or stood still just now, is silent. */
static bool agent_silent(void *arg)
{
	const struct sidecar *sidecar = arg;

	return sidecar->stopped || sidecar->loop.quit || sidecar->monitor.closed;
}

static int capture_quiesced(struct sidecar *sidecar, bool *quiesced, struct errinfo *err)
{
	struct quiesce *quiesce = &sidecar->quiesce;
	struct errinfo why = {0};
	int rc;

	sense_agent_yield(sidecar);
	quiesce->hopeless = agent_silent;
	quiesce->hopeless_arg = sidecar;
	rc = agent_silent(sidecar) ? err_set(&why, -EAGAIN, "the guest stands still, and so does its "
					     "agent")
				   : quiesce_begin(quiesce, &sidecar->loop, &why);
	if (!rc) {
		int ended;

		rc = cycle_run(sidecar, &why);
		ended = quiesce_end(quiesce, &why);
		rc = rc ? rc : ended;
	}
	if (rc)
		return err_set(err, rc, "no point was taken: %.480s", why.text);
	*quiesced = quiesce_count(quiesce) > 0;
	if (!*quiesced)
		log_warn("the guest agent found no file system to freeze: the point counts as not "
			 "quiesced");
	return 0;
}

int capture(struct sidecar *sidecar, bool quiesce, bool *quiesced, struct errinfo *err)
{
	int rc = may_capture(sidecar, err);

	if (rc || !quiesce)
		return rc ? rc : cycle_run(sidecar, err);
	if (!sidecar->quiesce.address)
		return err_set(err, -ENOTSUP, "no point was taken: protect was started without "
			       "--agent SOCKET, so nobody can freeze the guest's file systems");
	return capture_quiesced(sidecar, quiesced, err);
}
