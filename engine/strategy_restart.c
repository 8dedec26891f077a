/* SPDX-License-Identifier: Apache-2.0
 *
 * strategy restart: QEMU anew, by its recorded definition or by the operator's hook.
 *
 *   kill     a QEMU that hangs ends first: two of them never have the disks; not before
 *            all is seen to that can be: a new one can be started, on images that are made
 *   ...      the rest is boot.c's
 *
 * The sidecar's story begins anew with the new one: attach, and the replica follows by
 * checksum.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>

#include "boot.h"
#include "response.h"
#include "sidecar.h"

#define CONFIRM_WAIT_MS 1000

/* --- the old one --- */

static bool ended(void *arg)
{
	const struct sidecar *sidecar = arg;

	return (sidecar->sense.facts.process_ended && sidecar->monitor.closed) ||
	       sidecar->loop.quit;
}

static bool answers(void *arg)
{
	const struct response *response = arg;

	const struct sidecar *sidecar = response->sidecar;
	const struct sense *sense = &sidecar->sense;

	if (sidecar->loop.quit || (response->fault.kind == FAULT_QEMU_HANG && !sense->facts.asked_ns))
		return true;
	for (unsigned i = 0; i < sense->fault_count; i++) {
		const struct detect_fault *fault = &sense->faults[i].fault;

		/* Perhaps in other words: another disk of the same storage is seen first. */
		if (!fault->warning &&
		    (fault->kind == FAULT_QEMU_HANG || fault->kind == FAULT_DISK_HANG))
			return false;
	}
	return true;
}

/* The last chance: an answer that is there is read before anything is killed. */
static int confirm_hang(struct response *response, struct errinfo *err)
{
	bool disk = response->fault.kind == FAULT_DISK_HANG;

	if (response->fault.kind != FAULT_QEMU_HANG && !disk)
		return 0;
	sense_ask(response->sidecar);
	loop_until(&response->sidecar->loop, answers, response,
		   ring_now_ns() + CONFIRM_WAIT_MS * NS_PER_MS);
	return answers(response) ? err_set(err, -EAGAIN, disk ? "the disk works again"
							   : "QEMU answers again")
				 : 0;
}

static int kill_old(struct response *response, struct errinfo *err)
{
	struct sidecar *sidecar = response->sidecar;
	struct sense *sense = &sidecar->sense;
	int rc;

	if (sense->facts.process_ended)
		return 0;
	rc = confirm_hang(response, err);
	if (rc)
		return rc;
	if (sense->pidfd < 0)
		return err_set(err, -ESRCH, "QEMU's process is not known, and it may still run");
	log_warn("QEMU of %s (process %d) is killed: %s", sidecar->guest.name, (int)sense->pid,
		 response->fault.evidence);
	if (pidfd_send_signal(sense->pidfd, SIGKILL, NULL, 0) && errno != ESRCH)
		return err_set(err, -errno, "cannot kill QEMU (process %d): %s", (int)sense->pid,
			       strerror(errno));
	loop_until(&sidecar->loop, ended, sidecar, ring_now_ns() + BOOT_KILL_WAIT_MS * NS_PER_MS);
	timeline_mark(&response->timeline, "kill");
	if (!sense->facts.process_ended)
		return err_set(err, -EBUSY, "QEMU (process %d) was killed and does not end: the "
			       "kernel waits for one of its requests", (int)sense->pid);
	return 0;
}

/* Its owner's pause outlives QEMU, and so does a start that nobody gave yet; a pause of ours
 * does not. */
static bool stood_still(const struct sidecar *sidecar)
{
	enum detect_run run = sidecar->sense.facts.run;

	return (run == RUN_PAUSED || run == RUN_PRELAUNCH) && !sidecar->paused_by_us;
}

int strategy_restart(struct response *response, struct errinfo *err)
{
	struct sidecar *sidecar = response->sidecar;
	bool onto_replica = response->fault.kind == FAULT_DISK_HANG;
	int rc = boot_check_recorded(sidecar, onto_replica, err);

	if (!rc && onto_replica)
		rc = boot_make_replica(response, err);
	if (rc)
		return rc;
	rc = kill_old(response, err);
	if (rc && onto_replica)
		boot_abandon_replica(response);
	if (rc)
		return rc;
	if (onto_replica)
		rc = boot_onto_replica(response, err);
	else
		boot_drop_overlays(sidecar);
	return rc ? rc : boot_qemu(response, stood_still(sidecar), err);
}
