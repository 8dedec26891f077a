/* SPDX-License-Identifier: Apache-2.0
 *
 * watch: notes what QEMU tells.  Runs from the ring while the flow waits, so it
 * only writes down facts; the fault goes out at once, and what is decided about it.
 */
#include "sidecar.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "jsontext.h"
#include "promote.h"
#include "respond.h"

#define SEEN_ERROR_MS 1000 /* between two reports of errors that we cannot help */
#define LOOK_TRIES 8	   /* somebody lets it go and stops it all the time */

/* Only the stop was told of before; the error that was held back says what it was. */
static bool is_named_now(const struct sidecar *sidecar, const struct fault *fault)
{
	return sidecar->fault.unnamed && !fault->unnamed && sidecar->fault.disk == fault->disk &&
	       sidecar->fault.kind != fault->kind;
}

static void note_fault(struct sidecar *sidecar, const struct fault *fault)
{
	const struct guest_disk *disk = &sidecar->guest.disks[fault->disk];
	json_t *fields;

	sidecar->alert = true;
	sidecar->changes++;
	sidecar->faulted |= UINT64_C(1) << fault->disk;
	if (sidecar->fault.kind != FAULT_NONE && !is_named_now(sidecar, fault))
		return; /* one incident; a storm of errors is still one */
	sidecar->fault = *fault;
	sidecar->fault_ns = ring_now_ns();
	sidecar->foreseen_ns = 0;
	sidecar->fault_resumes = sidecar->resumes;
	recover_note_room(sidecar);
	fields = json_pack("{s:s,s:s,s:s}", "kind", fault_name(fault->kind), "resource",
			   disk->name, "detail", fault->detail);
	json_decref(sidecar->last_fault);
	sidecar->last_fault = json_incref(fields);
	log_warn("disk %s of %s: %s", disk->name, sidecar->guest.name, fault->detail);
	report_event(&sidecar->report, "fault", fields);
}

/* rerror or werror is not `stop`: the guest has the error already, perhaps
 * thousands of them a second. */
static void tell_seen_error(struct sidecar *sidecar, const struct fault *fault)
{
	const char *name = sidecar->guest.disks[fault->disk].name;
	int64_t now_ns = ring_now_ns();

	if (sidecar->seen_error_ns && now_ns - sidecar->seen_error_ns < SEEN_ERROR_MS * NS_PER_MS)
		return;
	sidecar->seen_error_ns = now_ns;
	log_warn("disk %s: %s: the guest saw this error; set rerror=stop,werror=stop on its "
		 "-device", name, fault->detail);
	report_event(&sidecar->report, "fault",
		     json_pack("{s:s,s:s,s:s}", "kind", fault_name(fault->kind), "resource", name,
			       "detail", fault->detail));
}

static void on_block_error(struct sidecar *sidecar, const json_t *data, int64_t time_us)
{
	struct fault fault = fault_of_block_error(&sidecar->guest, data, time_us);

	if (fault.kind == FAULT_NONE)
		return;
	if (fault.stops_guest) {
		note_fault(sidecar, &fault);
		return;
	}
	tell_seen_error(sidecar, &fault);
}

/* QEMU 9.2 and later holds an error back that comes within a second of another: the guest has
 * gone on since, and whether it stopped again its STOP tells. */
static bool is_over(const struct sidecar *sidecar, const char *name, const json_t *data,
		    int64_t time_us)
{
	return !strcmp(name, "BLOCK_IO_ERROR") && !strcmp(json_text(data, "action"), "stop") &&
	       time_us < sidecar->resume_us;
}

void sidecar_event(void *arg, const char *name, json_t *data, int64_t time_us)
{
	struct sidecar *sidecar = arg;

	if (is_over(sidecar, name, data, time_us))
		return;
	checkpoint_event(&sidecar->checkpoint, name, data);
	sense_event(sidecar, name, data, time_us);
	if (!strcmp(name, "BLOCK_IO_ERROR")) {
		on_block_error(sidecar, data, time_us);
	} else if (!strcmp(name, "STOP")) {
		sidecar->stopped = true;
		sidecar->alert = true;
		sidecar->changes++;
		snprintf(sidecar->guest.status, sizeof(sidecar->guest.status), "paused");
	} else if (!strcmp(name, "RESUME")) {
		sidecar->stopped = sidecar->paused_by_us = false;
		sidecar->resumes++;
		sidecar->changes++;
		/* Our own pauses need no second look; a guest that was held does. */
		sidecar->alert = sidecar->fault.kind != FAULT_NONE || sidecar->shutdown ||
				 sidecar->state == SIDECAR_HELD || respond_wants(sidecar);
		sidecar->shutdown = false; /* QEMU stayed, and its guest runs again */
		sidecar->resume_us = time_us;
		snprintf(sidecar->guest.status, sizeof(sidecar->guest.status), "running");
	} else if (!strcmp(name, "JOB_STATUS_CHANGE")) {
		sidecar->job_news |= !strncmp(json_text(data, "id"), GUEST_BITMAP_PREFIX,
					      strlen(GUEST_BITMAP_PREFIX));
	} else if (!strcmp(name, "RESET")) {
		sidecar->resets++;
	} else if (!strcmp(name, "SHUTDOWN")) {
		sidecar->shutdown = true;
		sidecar->alert = true;
	}
	recover_foresee(sidecar);
}

static int ask(struct sidecar *sidecar, struct errinfo *err)
{
	struct batch batch;
	int rc;

	batch_init(&batch, &sidecar->monitor);
	batch_add(&batch, "query-status", NULL);
	batch_add(&batch, "query-block", NULL);
	rc = batch_run(&batch, err);
	if (!rc)
		rc = guest_parse_status(&sidecar->guest, batch.entries[0].result);
	/* Whoever changed a disk: the recovery will say so, in words. */
	if (!rc)
		guest_refresh(&sidecar->guest, batch.entries[1].result, NULL);
	batch_release(&batch);
	return rc ? err_set(err, rc, "QEMU does not tell the guest's state: %s", strerror(-rc)) : 0;
}

/* The disks that events named.  QEMU merges the events of a busy disk (9.2 and
 * later): then the io-status, which a disk left by a pivot keeps for ever: of one
 * that was exchanged it counts only when there is no other. */
static uint64_t failed_disks(const struct sidecar *sidecar)
{
	uint64_t failed = 0, exchanged = 0;

	if (sidecar->faulted)
		return sidecar->faulted;
	for (unsigned i = 0; i < sidecar->guest.disk_count; i++) {
		const struct guest_disk *disk = &sidecar->guest.disks[i];

		if (!disk->io_failed)
			continue;
		if (promote_is_ours(sidecar, disk) || mirror_is_root(sidecar, disk))
			exchanged |= UINT64_C(1) << i;
		else
			failed |= UINT64_C(1) << i;
	}
	return failed ? failed : exchanged;
}

static void note_failed_disks(struct sidecar *sidecar)
{
	struct fault fault = {.kind = FAULT_DISK_WRITE, .time_us = loop_realtime_us(),
			      .stops_guest = true, .unnamed = true,
			      .detail = "the guest is paused by an I/O error"};
	uint64_t failed = failed_disks(sidecar);

	for (unsigned i = 0; i < sidecar->guest.disk_count; i++) {
		fault.disk = (int)i;
		if (failed >> i & 1)
			note_fault(sidecar, &fault);
	}
}

/* The error went away: the request was tried again (by the owner's `cont`, or by
 * that of a pause of ours) and succeeded. */
static void report_resumed(struct sidecar *sidecar)
{
	double downtime_ms = (double)(sidecar->resume_us - sidecar->fault.time_us) / 1e3;

	report_event(&sidecar->report, "recovered",
		     json_pack("{s:s,s:I,s:f,s:I,s:[]}", "strategy", "resume", "generation",
			       (json_int_t)store_info(sidecar->store)->generation, "downtime_ms",
			       downtime_ms > 0 ? downtime_ms : 0.0, "lost_bytes", (json_int_t)0,
			       "steps"));
}

static void conclude(struct sidecar *sidecar)
{
	if (!strcmp(sidecar->guest.status, "io-error")) {
		if (sidecar->fault.kind == FAULT_NONE)
			note_failed_disks(sidecar);
		return;
	}
	/* QEMU tells of the error first and stops the guest then. */
	if (!sidecar->stopped && sidecar->fault_resumes == sidecar->resumes)
		return;
	if (sidecar->fault.kind != FAULT_NONE && guest_running(&sidecar->guest))
		report_resumed(sidecar);
	/* It runs again, or its owner keeps it paused: then the request is tried
	 * again, and fails again, when it goes on. */
	sidecar->fault.kind = FAULT_NONE;
	sidecar->faulted = 0;
}

/* An answer counts only when no event came beside it: which of the two is newer
 * cannot be told. */
int sidecar_look(struct sidecar *sidecar, struct errinfo *err)
{
	unsigned changes;

	for (int i = 0; i < LOOK_TRIES; i++) {
		int rc;

		sidecar->alert = false;
		changes = sidecar->changes;
		rc = ask(sidecar, err);
		if (rc)
			return rc;
		sidecar->stopped = !guest_running(&sidecar->guest);
		if (changes != sidecar->changes)
			continue;
		conclude(sidecar);
		return 0;
	}
	sidecar->alert = true; /* it flutters: later */
	sidecar->fault.kind = FAULT_NONE;
	return 0;
}
