/* SPDX-License-Identifier: Apache-2.0
 *
 * holding: see holding.h.
 */
#include "holding.h"

#include "sidecar.h"

static bool wanted(const struct sidecar *sidecar)
{
	return sidecar->config->lease_s && !sidecar->config->once;
}

/* What a standby has to say that is lost, if this host is gone now.  In doubt all of it. */
static uint64_t dirty_bytes(const void *arg)
{
	const struct sidecar *sidecar = arg;
	uint64_t bytes = 0, all = 0;

	if (!sidecar->store)
		return sidecar->heartbeat.lease.dirty_bytes;
	if (store_info(sidecar->store)->promoted)
		return 0; /* it lives in the store */
	for (unsigned i = 0; i < sidecar->guest.disk_count; i++)
		all += sidecar->guest.disks[i].size;
	if (sidecar->uncovered ||
	    guest_dirty_bytes(&sidecar->guest, (UINT64_C(1) << sidecar->guest.disk_count) - 1,
			      sidecar->checkpoint.last, &bytes, NULL))
		return all;
	return bytes;
}

/* One that nobody released: a sidecar was killed here, or brought another QEMU.  To attach
 * may take longer than it has. */
int holding_begin(struct sidecar *sidecar, struct errinfo *err)
{
	const struct config *config = sidecar->config;
	struct lease lease, here = {0};
	struct errinfo ignored = {0};
	int rc = lease_refuse_other(&sidecar->loop, config->store, err);

	lease_here(&here);
	if (rc || !wanted(sidecar) || lease_read(config->store, &lease, &ignored) ||
	    lease.released || !lease_same_host(&lease, &here))
		return rc;
	return heartbeat_start(&sidecar->heartbeat, sidecar->loop.ring, config->store, lease.vm,
			       config->lease_s, err);
}

int holding_take(struct sidecar *sidecar, struct errinfo *err)
{
	const struct config *config = sidecar->config;
	int rc = 0;

	if (!wanted(sidecar))
		lease_release(config->store);
	else if (!heartbeat_runs(&sidecar->heartbeat))
		rc = heartbeat_start(&sidecar->heartbeat, sidecar->loop.ring, config->store,
				     sidecar->guest.name, config->lease_s, err);
	sidecar->held = !rc;
	sidecar->heartbeat.dirty = dirty_bytes;
	sidecar->heartbeat.arg = sidecar;
	return rc;
}
