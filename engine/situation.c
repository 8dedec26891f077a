/* SPDX-License-Identifier: Apache-2.0
 *
 * situation: see situation.h.
 */
#include "situation.h"

#include <limits.h>
#include <string.h>

#include "file.h"
#include "mind.h"
#include "promote.h"
#include "response.h"
#include "rollback_check.h"
#include "restart.h"
#include "sidecar.h"
#include "takeover.h"

#define AT_WORK_NS (10000 * NS_PER_MS) /* a guest that lives writes something now and then */

static void gather_qemu(const struct sidecar *sidecar, struct policy_facts *facts)
{
	const struct detect_facts *seen = &sidecar->sense.facts;

	facts->qemu_alive = !seen->process_ended && !sidecar->monitor.closed;
	facts->qemu_answers = facts->qemu_alive && facts->fault.kind != FAULT_QEMU_HANG;
	facts->running = facts->qemu_alive && !sidecar->stopped;
	facts->paused_by_owner = seen->run == RUN_PAUSED && !sidecar->sense.stopped_again &&
				 !sidecar->paused_by_us;
	facts->guest_progress = sense_disks_at_work(sidecar, ring_now_ns() - AT_WORK_NS);
}

/* Between a generation and the next look QEMU has not told of the new bitmap: as much as usual. */
uint64_t situation_dirty(const struct sidecar *sidecar, uint64_t members)
{
	const struct guest *guest = &sidecar->guest;
	uint64_t bytes = 0, some;

	for (unsigned i = 0; i < guest->disk_count; i++) {
		if (!(members >> i & 1))
			continue;
		if (!guest_dirty_bytes(guest, UINT64_C(1) << i, sidecar->checkpoint.last, &some,
				       NULL))
			bytes += some;
		else if (sidecar->uncovered || promote_is_ours(sidecar, &guest->disks[i]))
			bytes += guest->disks[i].size;
		else
			bytes += sidecar->figures.usual_bytes + 1;
	}
	return bytes;
}

static bool yankable(const struct sidecar *sidecar, unsigned index)
{
	const struct sense_disks *disks = &sidecar->sense.disks;
	const struct sense_disk *disk = &disks->disks[index];

	return disk->connection[0] && !strcmp(disk->node, sidecar->guest.disks[index].node) &&
	       !(disks->unable && !strcmp(disk->connection, disks->given_up));
}

static void gather_replica(const struct sidecar *sidecar, struct policy_facts *facts)
{
	const struct store_info *info = store_info(sidecar->store);
	const struct guest *guest = &sidecar->guest;
	const uint64_t all = (UINT64_C(1) << guest->disk_count) - 1;
	int index = facts->fault.index;
	const struct guest_disk *disk =
		index >= 0 && (unsigned)index < guest->disk_count ? &guest->disks[index] : NULL;

	facts->replica_ready = info->state == STORE_READY && info->generation;
	facts->head_intact = fault_of_guest(facts->fault.kind) || /* a point is verified */
			     damage_none(&sidecar->damage, disk ? UINT64_C(1) << index : all, false);
	facts->covered = !sidecar->uncovered;
	facts->on_replica = disk ? promote_is_ours(sidecar, disk) : info->promoted;
	facts->swappable = true; /* suitable.c has seen to that */
	facts->all_dirty_bytes = situation_dirty(sidecar, all);
	if (disk) {
		facts->yankable = yankable(sidecar, (unsigned)index);
		facts->disk_bytes = disk->size;
		facts->dirty_bytes = situation_dirty(sidecar, UINT64_C(1) << index);
	}
	store_points(sidecar->store, &facts->points);
}

const struct point_info *situation_point(const struct sidecar *sidecar, unsigned *count)
{
	const struct mind *mind = sidecar->config->mind;
	unsigned skip = mind_count(mind, STRATEGY_ROLLBACK, ring_now_ns()), total;
	const struct point_info *points = store_points(sidecar->store, &total), *found = NULL;
	int64_t before_us = mind_first_us(mind, ring_now_ns(), loop_realtime_us());

	*count = 0;
	for (unsigned i = total; i-- > 0;) {
		if (points[i].damaged || points[i].temporary || points[i].time_us >= before_us)
			continue;
		if (skip) {
			skip--;
			continue;
		}
		found = found ? found : &points[i];
		(*count)++;
	}
	return found;
}

const struct point_info *situation_newest(const struct sidecar *sidecar, uint32_t before,
					  unsigned *count)
{
	unsigned total;
	const struct point_info *points = store_points(sidecar->store, &total), *found = NULL;
	struct errinfo ignored = {0};

	*count = 0;
	for (unsigned i = total; i-- > 0;) {
		if (points[i].damaged || points[i].temporary || points[i].id >= before ||
		    rollback_check_disks(sidecar, &points[i], &ignored))
			continue;
		found = found ? found : &points[i];
		(*count)++;
	}
	return found;
}

/* Nobody has counted: of what was written since it came here. */
uint64_t situation_since(const struct sidecar *sidecar, const struct point_info *point,
			 uint64_t dirty_bytes)
{
	uint64_t written = sidecar->figures.bytes + dirty_bytes, all = 0;

	for (unsigned i = 0; i < sidecar->guest.disk_count; i++)
		all += sidecar->guest.disks[i].size;
	if (point->taken_us < sidecar->figures.attached_us || written > all)
		return all;
	return written ? written : 1;
}

/* A head's data is about what a point's is. */
uint64_t situation_used_bytes(const struct sidecar *sidecar)
{
	uint64_t bytes = 0;

	for (unsigned i = 0; i < sidecar->guest.disk_count; i++) {
		char head[PATH_MAX];
		int64_t used;

		store_head_path(store_dir(sidecar->store), sidecar->guest.disks[i].name, head,
				sizeof(head));
		used = file_used(head);
		bytes += used > 0 ? (uint64_t)used : 0;
	}
	return bytes;
}

static void gather_guest(const struct sidecar *sidecar, struct policy_facts *facts)
{
	const struct point_info *point = situation_point(sidecar, &facts->points);

	facts->point_bytes = situation_used_bytes(sidecar);
	if (point)
		facts->point_loss_bytes = situation_since(sidecar, point, facts->all_dirty_bytes);
}

void situation_of_failed(const struct sidecar *sidecar, uint64_t members,
			 struct policy_facts *facts)
{
	const uint64_t all = (UINT64_C(1) << sidecar->guest.disk_count) - 1;
	bool gone = facts->source == SOURCE_UNREADABLE;
	const struct point_info *point =
		situation_newest(sidecar, UINT32_MAX, &facts->points);

	/* Bad blocks that are listed are read from a disk that can be read; else all go back. */
	facts->head_intact = damage_none(&sidecar->damage, gone ? all : members, !gone);
	facts->spare = sidecar->config->spare && !store_info(sidecar->store)->promoted;
	facts->point_bytes = situation_used_bytes(sidecar);
	if (point)
		facts->point_loss_bytes = situation_since(sidecar, point, facts->all_dirty_bytes);
}

void situation_gather(const struct sidecar *sidecar, const struct detect_fault *fault,
		      struct policy_facts *facts)
{
	const struct mind *mind = sidecar->config->mind;

	*facts = (struct policy_facts){.fault = *fault, .able = strategies_able()};
	/* It is recover.c's, for a guest that stands still; a warning rules it out anyway. */
	if (!fault->warning && fault->kind != FAULT_DISK_WRITE && fault->kind != FAULT_DISK_READ)
		facts->able &= ~STRATEGY_BIT(STRATEGY_RESTORE);
	/* A guest on an overlay moves there anyway. */
	facts->spare = sidecar->config->spare && !store_info(sidecar->store)->promoted;
	gather_qemu(sidecar, facts);
	gather_replica(sidecar, facts);
	if (fault_of_guest(fault->kind))
		gather_guest(sidecar, facts);
	if (fault->kind == FAULT_REPLICA)
		facts->hold_why = successor_outlook(sidecar);
	if (fault->kind == FAULT_NIC)
		facts->nic_replaceable = nics_replaceable(sidecar, fault->index);
	facts->standby = sidecar->config->standby.qmp[0];
	facts->restart_why = restart_lacks(sidecar);
	if (fault->kind == FAULT_DISK_HANG && store_info(sidecar->store)->promoted)
		facts->restart_why = "a disk of the guest runs on its replica already";
	if (fault->kind == FAULT_HOST) { /* `plan` only: who is gone does not answer */
		facts->standby_boots = takeover_waits(store_dir(sidecar->store));
		facts->standby = facts->standby_boots;
		facts->restart_why = restart_not_recorded(sidecar);
	}
	facts->restart_known = !facts->restart_why;
	facts->resets = mind_count(mind, STRATEGY_RESET, ring_now_ns());
}
