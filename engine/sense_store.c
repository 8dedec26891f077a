/* SPDX-License-Identifier: Apache-2.0
 *
 * sense_store: does the store's disk do what it is told?  A write that fails is told by who
 * wrote; one that never ends only a clock sees.  Counted in ticks: time in which we
 * ourselves stood still (SIGSTOP, a suspended host) is none.
 */
#include "sense.h"

#include "sidecar.h"

void sense_store_tick(struct sidecar *sidecar)
{
	struct ring_files files = ring_files(sidecar->loop.ring);
	struct sense *sense = &sidecar->sense;
	bool stalled = files.pending && files.ended == sense->store_ended;

	sense->store_ended = files.ended;
	sense->facts.store_stalled_ns =
		stalled ? sense->facts.store_stalled_ns + SENSE_TICK_MS * NS_PER_MS : 0;
}

/* What waits for the store cannot be given up: that is told, and that the replica is behind. */
bool sense_store_hung(struct sidecar *sidecar, const struct detect_fault *fault)
{
	if (fault->kind != FAULT_REPLICA || fault->cause != CAUSE_HUNG)
		return false;
	if (sidecar->state == SIDECAR_PROTECTED)
		sidecar_degrade(sidecar, fault->evidence);
	return true;
}
