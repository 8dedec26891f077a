/* SPDX-License-Identifier: Apache-2.0
 *
 * reset: see reset.h.
 */
#include "reset.h"

#include <errno.h>

#include "sidecar.h"

#define RESET_TIMEOUT_MS 30000 /* of a machine with many devices, on a busy host */
#define RESUME_TIMEOUT_MS 5000

static bool reset_or_gone(void *arg)
{
	const struct sidecar *sidecar = arg;

	return sidecar->resets != sidecar->resets_before || sidecar->monitor.closed ||
	       sidecar->shutdown;
}

static bool running_or_gone(void *arg)
{
	const struct sidecar *sidecar = arg;

	return !sidecar->stopped || sidecar->monitor.closed;
}

/* `cont` only behind RESET: the command itself only asks for it, and not an
 * instruction may run on the old memory above the new disks. */
int reset_guest(struct sidecar *sidecar, bool resume, struct errinfo *err)
{
	int rc;

	sidecar->resets_before = sidecar->resets;
	sidecar->shutdown = false; /* of before: QEMU may have stayed */
	rc = monitor_call(&sidecar->monitor, "system_reset", NULL, NULL, err);
	if (!rc)
		rc = loop_until(&sidecar->loop, reset_or_gone, sidecar,
				ring_now_ns() + RESET_TIMEOUT_MS * NS_PER_MS);
	if (!rc && sidecar->resets == sidecar->resets_before)
		rc = err_set(err, -ENOTCONN, "QEMU ends instead of a reset (-no-reboot?)");
	if (rc && !err->code)
		return err_set(err, rc, "QEMU does not reset the guest");
	return !rc && resume ? reset_resume(sidecar, err) : rc;
}

int reset_resume(struct sidecar *sidecar, struct errinfo *err)
{
	int rc = monitor_call(&sidecar->monitor, "cont", NULL, NULL, err);

	if (!rc)
		rc = loop_until(&sidecar->loop, running_or_gone, sidecar,
				ring_now_ns() + RESUME_TIMEOUT_MS * NS_PER_MS);
	return rc && !err->code ? err_set(err, rc, "QEMU does not let the guest go on") : rc;
}
