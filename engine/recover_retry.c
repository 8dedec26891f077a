/* SPDX-License-Identifier: Apache-2.0
 *
 * recover_retry: the guest goes on as it is, because what failed may work now: an
 * error that nobody has tried again, or a disk that was full and has room.  `cont`
 * sends the failed requests once more; when one fails again the guest stands as before.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>

#include "mind.h"
#include "recover_private.h"

#define WATCH_MS 200 /* a disk that fails at once has done so by then */
/* A disk that takes half a minute to fail a request looks as if it had got over it, each time. */
#define RETRIES 3 /* within the flap window */
#define AGAIN_NS (2000 * NS_PER_MS) /* an error so soon after a retry is the same */
#define ROOM_BYTES (16u << 20) /* so much more than when it was full: somebody made room */
#define LOOK_NS (500 * NS_PER_MS)

/* --- the same, tried again --- */

bool recovery_may_retry(const struct recovery *recovery)
{
	const struct mind *mind = recovery->sidecar->config->mind;
	int64_t now_ns = ring_now_ns();
	unsigned count = 0;

	for (unsigned i = mind->history_count; i-- > 0;) {
		if (mind->history[i].resource != recovery->fault.disk ||
		    mind->history[i].strategy != STRATEGY_RESUME)
			continue;
		if (now_ns - mind->history[i].time_ns <= AGAIN_NS)
			return false;
		count += now_ns - mind->history[i].time_ns < mind->settings.flap_window_ns;
	}
	return count < RETRIES;
}

static bool failed_or_gone(void *arg)
{
	const struct sidecar *sidecar = arg;

	/* QEMU tells of no more than one error a second (9.2), but of each stop. */
	return sidecar->fault.kind != FAULT_NONE || sidecar->stopped || sidecar->monitor.closed;
}

/* The first error is the one that counts for the downtime. */
static void put_back(struct recovery *recovery, int64_t fault_ns)
{
	recovery->members |= recovery->sidecar->faulted;
	recovery->sidecar->fault_ns = fault_ns;
}

int recovery_retry(struct recovery *recovery, struct errinfo *err)
{
	struct sidecar *sidecar = recovery->sidecar;
	int64_t fault_ns = sidecar->fault_ns;
	int rc = recovery_resume(recovery, false, err);

	if (rc) { /* it stands as before, with the same failed disks */
		sidecar->fault = recovery->fault;
		sidecar->faulted |= recovery->members;
		put_back(recovery, fault_ns);
		return rc;
	}
	loop_until(&sidecar->loop, failed_or_gone, sidecar, ring_now_ns() + WATCH_MS * NS_PER_MS);
	if (sidecar->monitor.closed)
		return err_set(err, -ENOTCONN, "QEMU closed the connection");
	if (sidecar->fault.kind == FAULT_NONE && sidecar->stopped)
		rc = sidecar_look(sidecar, err);
	if (rc || sidecar->fault.kind == FAULT_NONE)
		return rc;
	rc = err_set(err, -EIO, "disk %s: %s again",
		     sidecar->guest.disks[sidecar->fault.disk].name, sidecar->fault.detail);
	timeline_mark(&recovery->timeline, "retry");
	put_back(recovery, fault_ns);
	return rc;
}

/* --- not at once --- */

static bool running_or_leaving(void *arg)
{
	const struct recovery *recovery = arg;

	return recovery->sidecar->resumes != recovery->resumes ||
	       recovery->sidecar->monitor.closed || recovery->sidecar->loop.quit;
}

int recovery_back_off(struct recovery *recovery, int64_t until_ns, struct errinfo *err)
{
	struct sidecar *sidecar = recovery->sidecar;

	if (until_ns <= ring_now_ns())
		return 0;
	log_info("recovery of %s waits for %.1f s, as it is not the first", sidecar->guest.name,
		 (double)(until_ns - ring_now_ns()) / 1e9);
	recovery->resumes = sidecar->resumes;
	loop_until(&sidecar->loop, running_or_leaving, recovery, until_ns);
	timeline_mark(&recovery->timeline, "back-off");
	if (sidecar->monitor.closed)
		return err_set(err, -ENOTCONN, "QEMU closed the connection");
	if (sidecar->resumes != recovery->resumes)
		return err_set(err, -EAGAIN, "somebody let the guest go on");
	return 0;
}

int recovery_still_stands(const struct recovery *recovery, struct errinfo *err)
{
	if (recovery->sidecar->resumes == recovery->stood)
		return 0;
	return err_set(err, -EAGAIN, "somebody let the guest go on");
}

/* --- room --- */

/* 0: it is no file, or nobody knows. */
static uint64_t room_of(const struct sidecar *sidecar)
{
	const struct guest_disk *disk = &sidecar->guest.disks[sidecar->fault.disk];
	struct statvfs room;

	if (disk->file[0] != '/' || statvfs(disk->file, &room))
		return 0;
	return (uint64_t)room.f_bavail * room.f_frsize;
}

/* When it failed, not when it was held: somebody may be quick. */
void recover_note_room(struct sidecar *sidecar)
{
	sidecar->full.cleared = false;
	if (sidecar->fault.kind == FAULT_DISK_FULL)
		sidecar->full.room_bytes = room_of(sidecar);
}

int64_t recover_due_ns(const struct sidecar *sidecar)
{
	return sidecar->state == SIDECAR_HELD && sidecar->fault.kind == FAULT_DISK_FULL
		       ? sidecar->full.due_ns : INT64_MAX;
}

bool recover_has_room(struct sidecar *sidecar)
{
	uint64_t room_bytes;

	if (ring_now_ns() < recover_due_ns(sidecar))
		return false;
	sidecar->full.due_ns = ring_now_ns() + LOOK_NS;
	room_bytes = room_of(sidecar);
	if (room_bytes < sidecar->full.room_bytes) /* it got less meanwhile */
		sidecar->full.room_bytes = room_bytes;
	sidecar->full.cleared = room_bytes >= sidecar->full.room_bytes + ROOM_BYTES;
	return sidecar->full.cleared;
}
