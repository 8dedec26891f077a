/* SPDX-License-Identifier: Apache-2.0
 *
 * detect: see detect.h.  One function a row of the table in the contract.
 */
#include "detect_private.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define NS_PER_S INT64_C(1000000000)
#define SLOW_PROBE_NS (2 * NS_PER_S) /* a read takes milliseconds */
#define DEAD_PROBES 2 /* places that must fail: one is a bad sector */

const struct detect_limits detect_limits_default = {
	.hang_ns = 15 * NS_PER_S, /* a disk's own retries end after some 7 s, with TLER */
	.answer_ns = 10 * NS_PER_S, /* a drain of a busy disk takes a second or two */
	.agent_ns = 60 * NS_PER_S,  /* a guest that swaps answers late */
	.dump_ns = 600 * NS_PER_S,  /* some GiB to a slow disk */
	.heartbeat_ns = 5 * NS_PER_S,
	.history_ns = 3600 * NS_PER_S,
	.errors_warn = 3, /* as SMART's users count: once is chance, thrice is not */
	.full_percent = 95,
	.corrected_warn = 10, /* between two looks; single ones are cosmic rays */
};

/* --- the list --- */

struct detect_fault *
detect_add(struct detect_verdict *verdict, enum fault_kind kind, enum detect_cause cause, int index,
	   const char *format, ...)
{
	struct detect_fault *fault = &verdict->faults[verdict->count];
	va_list args;

	assert(verdict->count < DETECT_FAULTS_MAX);
	verdict->count++;
	*fault = (struct detect_fault){.kind = kind, .cause = cause, .index = index};
	va_start(args, format);
	vsnprintf(fault->evidence, sizeof(fault->evidence), format, args);
	va_end(args);
	return fault;
}

static const char *errno_text(int error)
{
	const char *text = error ? strerrordesc_np(error) : NULL;

	return text ? text : "an error";
}

double detect_seconds(int64_t ns)
{
	return (double)ns / (double)NS_PER_S;
}

/* --- disks --- */

struct errors {
	unsigned count, reads, writes;
	unsigned times; /* those within a second are one: requests that were under way together */
	bool nospace, stops, gone, path;
	const struct detect_error *last;
};

static bool is_path_errno(int error)
{
	switch (error) {
	case ENOTCONN: case ECONNRESET: case ECONNREFUSED: case ECONNABORTED: case EPIPE:
	case ESHUTDOWN: case EHOSTDOWN: case EHOSTUNREACH: case ENETDOWN: case ENETUNREACH:
	case ENOLINK: case ESTALE: case EREMOTEIO:
		return true;
	default:
		return false;
	}
}

static struct errors errors_since(const struct detect_disk *disk, int64_t since_ns)
{
	struct errors errors = {0};

	for (unsigned i = 0; i < disk->error_count; i++) {
		const struct detect_error *error = &disk->errors[i];

		if (error->time_ns < since_ns)
			continue;
		errors.times += !errors.last || error->time_ns - errors.last->time_ns >= NS_PER_S;
		errors.count++;
		errors.reads += !error->write;
		errors.writes += error->write;
		errors.nospace = error->nospace || error->error == ENOSPC || error->error == EDQUOT;
		errors.stops |= error->stops;
		errors.gone |= error->error == ENXIO || error->error == ENODEV ||
			       error->error == ENOMEDIUM;
		errors.path |= is_path_errno(error->error);
		errors.last = error;
	}
	return errors;
}

struct probes {
	unsigned good, failed, failed_elsewhere, timeouts;
	bool good_at_error, failed_at_error;
};

/* Of each place the newest; only those after SINCE_NS, when the error was. */
static struct probes probes_since(const struct detect_disk *disk, int64_t since_ns)
{
	struct probes probes = {0};

	for (unsigned i = 0; i < disk->probe_count; i++) {
		const struct detect_probe *probe = &disk->probes[i];
		bool newer = false;

		for (unsigned j = i + 1; j < disk->probe_count; j++)
			newer |= disk->probes[j].offset == probe->offset;
		if (newer || probe->time_ns < since_ns)
			continue;
		probes.good += probe->result == PROBE_GOOD;
		probes.timeouts += probe->result == PROBE_TIMEOUT;
		probes.failed += probe->result == PROBE_ERROR;
		probes.failed_elsewhere += probe->result == PROBE_ERROR && !probe->at_error;
		if (probe->at_error) {
			probes.good_at_error |= probe->result == PROBE_GOOD;
			probes.failed_at_error |= probe->result == PROBE_ERROR;
		}
	}
	return probes;
}

/* Requests that ended well since the last error. */
static bool goes_on(const struct detect_disk *disk, const struct errors *errors)
{
	return disk->good_ns && disk->good_ns >= errors->last->time_ns;
}

/* The order matters: what explains everything comes first. */
static enum detect_cause cause_of_errors(const struct detect_disk *disk,
					 const struct errors *errors, const struct probes *probes)
{
	if (errors->nospace)
		return CAUSE_FULL;
	if (disk->disconnected || errors->path || (disk->remote && errors->last->error == ETIMEDOUT))
		return CAUSE_PATH;
	if (errors->gone)
		return CAUSE_DEAD;
	if (probes->failed >= DEAD_PROBES && !probes->good)
		return CAUSE_DEAD;
	if (probes->failed_at_error && probes->good)
		return CAUSE_BAD_SECTOR;
	if (probes->good_at_error && !probes->failed_elsewhere && errors->count == 1)
		return CAUSE_TRANSIENT;
	if (goes_on(disk, errors) && !probes->failed)
		return CAUSE_TRANSIENT;
	if (probes->good && !probes->failed && errors->reads && !errors->writes &&
	    errors->count > 1)
		return CAUSE_BAD_SECTOR;
	if (probes->good && !probes->failed && errors->writes && !errors->reads)
		return CAUSE_NO_WRITES;
	return CAUSE_UNKNOWN;
}

/* A guest that does not stand still because of an error is not in need: those it
 * got through, or that QEMU could try again, are history. */
static int64_t incident_start(const struct detect_facts *facts, const struct detect_disk *disk,
			      const struct detect_limits *limits, int64_t now_ns)
{
	int64_t since_ns = now_ns - limits->history_ns;

	if (facts->run == RUN_IO_ERROR)
		return since_ns;
	/* It runs: an error is news until requests went well after it. */
	return disk->good_ns > since_ns ? disk->good_ns : since_ns;
}

static void detect_errors(const struct detect_facts *facts, const struct detect_limits *limits,
			  int64_t now_ns, unsigned index, struct detect_verdict *verdict)
{
	const struct detect_disk *disk = &facts->disks[index];
	struct errors errors =
		errors_since(disk, incident_start(facts, disk, limits, now_ns));
	enum detect_cause cause;
	struct probes probes;
	enum fault_kind kind;

	if (!errors.count)
		return;
	probes = probes_since(disk, errors.last->time_ns);
	cause = cause_of_errors(disk, &errors, &probes);
	kind = cause == CAUSE_FULL ? FAULT_DISK_FULL
	       : errors.last->write ? FAULT_DISK_WRITE : FAULT_DISK_READ;
	detect_add(verdict, kind, cause, (int)index,
	    "%s failed: %s; %u read and %u write errors, probes after it: %u good, %u failed, %u "
	    "without answer%s", errors.last->write ? "write" : "read",
	    errno_text(errors.last->error), errors.reads, errors.writes, probes.good, probes.failed,
	    probes.timeouts,
	    disk->disconnected ? "; its server is not connected" : "");
}

static void detect_hang(const struct detect_facts *facts, const struct detect_limits *limits,
			int64_t now_ns, unsigned index, struct detect_verdict *verdict)
{
	const struct detect_disk *disk = &facts->disks[index];
	/* A request that failed has ended, too. */
	int64_t failed_ns = disk->error_count ? disk->errors[disk->error_count - 1].time_ns : 0;
	int64_t ended_ns = failed_ns > disk->progress_ns ? failed_ns : disk->progress_ns;
	int64_t still_ns = now_ns - ended_ns;
	struct probes probes = probes_since(disk, ended_ns);

	if (still_ns < limits->hang_ns)
		return;
	if (disk->in_flight && disk->progress_ns)
		detect_add(verdict, FAULT_DISK_HANG, disk->disconnected ? CAUSE_PATH : CAUSE_HUNG,
		    (int)index, "%u requests wait, none ended for %.1f s", disk->in_flight,
		    detect_seconds(still_ns));
	else if (probes.timeouts && !probes.good)
		detect_add(verdict, FAULT_DISK_HANG, disk->disconnected ? CAUSE_PATH : CAUSE_HUNG,
		    (int)index, "%u probe reads were not answered, and nothing else ended since",
		    probes.timeouts)->warning = disk->in_flight_known && !disk->in_flight;
}

static void detect_room(const struct detect_facts *facts, const struct detect_limits *limits,
			int64_t now_ns, unsigned index, struct detect_verdict *verdict)
{
	const struct detect_disk *disk = &facts->disks[index];
	uint64_t used = 0;

	if (disk->grows && disk->room_bytes <= disk->room_total)
		used = (disk->room_total - disk->room_bytes) / (disk->room_total / 100 + 1);
	if (used >= limits->full_percent)
		detect_add(verdict, FAULT_DISK_FULL, CAUSE_FULL, (int)index,
		    "%llu MiB are left where the image lies, %llu%% are used",
		    (unsigned long long)disk->room_bytes >> 20, (unsigned long long)used)
			->warning = true;
	else if (disk->write_threshold_ns && now_ns - disk->write_threshold_ns < limits->history_ns)
		detect_add(verdict, FAULT_DISK_FULL, CAUSE_FULL, (int)index,
		    "the guest wrote behind the threshold of its image")->warning = true;
}

static void detect_degrading(const struct detect_facts *facts, const struct detect_limits *limits,
			     int64_t now_ns, unsigned index, struct detect_verdict *verdict)
{
	const struct detect_disk *disk = &facts->disks[index];
	unsigned errors = errors_since(disk, now_ns - limits->history_ns).times;

	if (disk->slower)
		detect_add(verdict, FAULT_DISK_DEGRADING, CAUSE_SLOWER, (int)index, "%s",
		    disk->slower_detail)->warning = true;
	/* Also in a short pause of ours: else it would be news after each. */
	else if (errors >= limits->errors_warn && facts->run != RUN_IO_ERROR)
		detect_add(verdict, FAULT_DISK_DEGRADING, CAUSE_MORE_ERRORS, (int)index,
		    "errors at %u times in %.0f s, all of them got over", errors,
		    detect_seconds(limits->history_ns))->warning = true;
}

static void detect_disk(const struct detect_facts *facts, const struct detect_limits *limits,
			int64_t now_ns, unsigned index, struct detect_verdict *verdict)
{
	const struct detect_disk *disk = &facts->disks[index];
	unsigned before = verdict->count;

	detect_errors(facts, limits, now_ns, index, verdict);
	/* An error does not explain why nothing ended since: a guest that runs may hang. */
	if (verdict->count == before || facts->run == RUN_RUNNING)
		detect_hang(facts, limits, now_ns, index, verdict);
	if (disk->corrupt_blocks)
		detect_add(verdict, FAULT_DISK_CORRUPT, CAUSE_BAD_SECTOR, (int)index,
		    "%llu blocks are unreadable or not what was written",
		    (unsigned long long)disk->corrupt_blocks);
	/* What is broken needs no warning. */
	if (verdict->count != before)
		return;
	detect_room(facts, limits, now_ns, index, verdict);
	detect_degrading(facts, limits, now_ns, index, verdict);
}

/* --- the rest --- */

/* QEMU waits in a drain: the only disk behind a connection is more probably what it waits
 * for than anything else.  -1: none, or several. */
static int suspect(const struct detect_facts *facts)
{
	int found = -1;

	for (unsigned i = 0; facts->draining && i < facts->disk_count; i++) {
		if (!facts->disks[i].remote)
			continue;
		if (found >= 0)
			return -1;
		found = (int)i;
	}
	return found;
}

/* QEMU does not answer, and a disk answers no probe: what is started again on that disk would
 * hang, too.  -1: none. */
static int hung(const struct detect_facts *facts)
{
	for (unsigned i = 0; i < facts->disk_count; i++) {
		struct probes probes = probes_since(&facts->disks[i], facts->disks[i].progress_ns);

		if (probes.timeouts && !probes.good)
			return (int)i;
	}
	return -1;
}

/* A probe that is late yet may tell what it is; it is given up after hang_ns. */
static bool will_be_known(const struct detect_facts *facts, const struct detect_limits *limits,
			  int64_t now_ns)
{
	for (unsigned i = 0; i < facts->disk_count; i++) {
		int64_t since_ns = facts->disks[i].probe_since_ns;

		if (since_ns && now_ns - since_ns >= SLOW_PROBE_NS &&
		    now_ns - since_ns < limits->hang_ns + SLOW_PROBE_NS)
			return true;
	}
	return false;
}

/* savevm, snapshot-save and dump-guest-memory stop the guest and answer nothing until
 * they are done, which may take minutes.  In a pause of ours there is nothing for them to
 * stop: it is their writing that tells. */
static bool at_work_for_others(const struct detect_facts *facts,
			       const struct detect_limits *limits, int64_t now_ns)
{
	bool writes = facts->writes_since_ns >= facts->asked_ns &&
		      now_ns - facts->writes_since_ns < limits->hang_ns;

	return detect_on_its_way(facts->run) && now_ns - facts->asked_ns < limits->dump_ns &&
	       (facts->stopped_by_other || writes);
}

/* Returns true when it is a disk's fault. */
static bool detect_silence(const struct detect_facts *facts, const struct detect_limits *limits,
			   int64_t now_ns, struct detect_verdict *verdict)
{
	int disk = suspect(facts);
	bool drained = disk >= 0;

	disk = drained ? disk : hung(facts);
	if (at_work_for_others(facts, limits, now_ns)) {
		detect_add(verdict, FAULT_QEMU_HANG, CAUSE_UNKNOWN, -1,
		    "%s, for a snapshot or a dump perhaps, and QEMU has not answered for %.1f s",
		    facts->stopped_by_other ? "somebody stopped the guest"
					    : "QEMU writes while the guest stands still",
		    detect_seconds(now_ns - facts->asked_ns))->warning = true;
		return false;
	}
	if (disk < 0 && will_be_known(facts, limits, now_ns))
		return false;
	if (disk < 0) {
		detect_add(verdict, FAULT_QEMU_HANG, CAUSE_HUNG, -1,
		    "QEMU has not answered for %.1f s", detect_seconds(now_ns - facts->asked_ns));
		return false;
	}
	detect_add(verdict, FAULT_DISK_HANG, CAUSE_HUNG, disk,
	    drained ? "QEMU waits for the disk's requests to end and has not answered for %.1f s"
		    : "a probe read was not answered, and QEMU has not answered for %.1f s",
	    detect_seconds(now_ns - facts->asked_ns));
	return true;
}

/* Returns true when nothing else can be said about the guest. */
static bool detect_qemu(const struct detect_facts *facts, const struct detect_limits *limits,
			int64_t now_ns, struct detect_verdict *verdict)
{
	if (facts->process_ended) {
		if (facts->shutdown == SHUTDOWN_WANTED || facts->run == RUN_MIGRATED)
			return true; /* somebody wanted it */
		if (facts->shutdown == SHUTDOWN_PANIC)
			detect_add(verdict, FAULT_GUEST_PANIC, CAUSE_PANIC, -1,
			    "the guest panicked and QEMU ended, as -action panic says");
		else
			detect_add(verdict, FAULT_QEMU_EXIT,
			    facts->shutdown == SHUTDOWN_ERROR ? CAUSE_EXIT : CAUSE_CRASH, -1,
			    "QEMU ended%s", facts->shutdown == SHUTDOWN_ERROR
						    ? ": it told of an error of the host"
						    : " without telling of a shutdown");
		return true;
	}
	if (facts->shutdown == SHUTDOWN_WANTED || facts->run == RUN_SHUTDOWN ||
	    facts->run == RUN_MIGRATED)
		return facts->shutdown != SHUTDOWN_PANIC;
	if (facts->run == RUN_INTERNAL_ERROR)
		detect_add(verdict, FAULT_QEMU_EXIT, CAUSE_EXIT, -1,
		    "QEMU stands in state internal-error, out of which only a reset leads");
	if (facts->asked_ns && now_ns - facts->asked_ns >= limits->answer_ns)
		return detect_silence(facts, limits, now_ns, verdict);
	if (facts->monitor_ended)
		detect_add(verdict, FAULT_QEMU_HANG, CAUSE_UNKNOWN, -1,
		    "QEMU closed its monitor, and its process lives");
	return false;
}

static void detect_store(const struct detect_facts *facts, const struct detect_limits *limits,
			 struct detect_verdict *verdict)
{
	if (facts->store_error)
		detect_add(verdict, FAULT_REPLICA,
		    facts->store_error == ENOSPC || facts->store_error == EDQUOT ? CAUSE_FULL
										  : CAUSE_DEAD,
		    -1, "the store cannot be written: %s", errno_text(facts->store_error));
	else if (facts->store_stalled_ns >= limits->hang_ns)
		detect_add(verdict, FAULT_REPLICA, CAUSE_HUNG, -1, "the store has done nothing of what it "
		    "was told for %.0f s", detect_seconds(facts->store_stalled_ns));
	else if (facts->store_room_total && facts->store_room_bytes < facts->store_need_bytes)
		detect_add(verdict, FAULT_REPLICA, CAUSE_FULL, -1,
		    "%llu MiB are left for the store, the next generation needs %llu",
		    (unsigned long long)facts->store_room_bytes >> 20,
		    (unsigned long long)facts->store_need_bytes >> 20)->warning = true;
}

static void detect_nics(const struct detect_facts *facts, struct detect_verdict *verdict)
{
	for (unsigned i = 0; i < facts->nic_count; i++) {
		const struct detect_nic *nic = &facts->nics[i];

		if (nic->backend_lost)
			detect_add(verdict, FAULT_NIC, CAUSE_PATH, (int)i, "the backend of %s is gone",
			    nic->name);
		else if (nic->link_down && !nic->link_down_by_owner)
			detect_add(verdict, FAULT_NIC, CAUSE_UNKNOWN, (int)i,
			    "the link of %s is down, and nobody asked for that", nic->name);
	}
}

void detect_run(const struct detect_facts *facts, const struct detect_limits *limits,
		int64_t now_ns, struct detect_verdict *verdict)
{
	assert(facts->disk_count <= BOUND_DISKS && facts->nic_count <= DETECT_NICS_MAX);
	verdict->count = 0;
	if (facts->host_heartbeat_ns && now_ns - facts->host_heartbeat_ns >= limits->heartbeat_ns)
		detect_add(verdict, FAULT_HOST, CAUSE_UNKNOWN, -1, "no heartbeat for %.1f s",
		    detect_seconds(now_ns - facts->host_heartbeat_ns));
	if (!detect_qemu(facts, limits, now_ns, verdict)) {
		detect_memory(facts, limits, now_ns, verdict);
		for (unsigned i = 0; i < facts->disk_count; i++)
			detect_disk(facts, limits, now_ns, i, verdict);
		detect_guest(facts, limits, now_ns, verdict);
		detect_nics(facts, verdict);
	}
	detect_store(facts, limits, verdict);
}
