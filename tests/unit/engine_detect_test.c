/* SPDX-License-Identifier: Apache-2.0
 *
 * Facts in, faults out: tables.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <CUnit/CUnit.h>

#include "cunit_main.h"
#include "detect.h"

#define S INT64_C(1000000000)
#define NOW (100000 * S)

static struct detect_facts facts;
static struct detect_verdict verdict;

/* A guest that is well: two disks, a NIC, everything answers. */
static void begin(void)
{
	memset(&facts, 0, sizeof(facts));
	facts.run = RUN_RUNNING;
	facts.disk_count = 2;
	for (unsigned i = 0; i < 2; i++) {
		struct detect_disk *disk = &facts.disks[i];

		snprintf(disk->name, sizeof(disk->name), "vd%c", 'a' + i);
		disk->progress_ns = NOW - S;
		disk->before = (struct detect_stats){.time_ns = NOW - S, .operations = 100};
		disk->now = (struct detect_stats){.time_ns = NOW, .operations = 200};
	}
	facts.nic_count = 1;
	snprintf(facts.nics[0].name, sizeof(facts.nics[0].name), "net0");
}

static void error_at(int64_t time_ns, bool write, int error)
{
	struct detect_disk *disk = &facts.disks[0];

	disk->errors[disk->error_count++] = (struct detect_error){
		.time_ns = time_ns, .write = write, .stops = true, .error = error,
		.nospace = error == ENOSPC};
	facts.run = RUN_IO_ERROR;
	disk->now.operations = disk->before.operations;
	disk->progress_ns = time_ns;
}

static void probe(uint64_t offset, enum detect_probe_result result, bool at_error)
{
	struct detect_disk *disk = &facts.disks[0];

	disk->probes[disk->probe_count] = (struct detect_probe){
		.time_ns = NOW - S + disk->probe_count, .offset = offset, .result = result,
		.at_error = at_error};
	disk->probe_count++;
}

/* "kind/cause" of all faults, a ! behind warnings. */
static const char *seen(void)
{
	static char text[1024];
	size_t at = 0;

	text[0] = '\0';
	detect_run(&facts, &detect_limits_default, NOW, &verdict);
	for (unsigned i = 0; i < verdict.count; i++) {
		const struct detect_fault *fault = &verdict.faults[i];

		CU_ASSERT(strlen(fault->evidence) > 10);
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%s/%s%s", i ? " " : "",
				       fault_name(fault->kind), detect_cause_name(fault->cause),
				       fault->warning ? "!" : "");
	}
	return text;
}

#define SEES(words) CU_ASSERT_STRING_EQUAL(seen(), words)

static void a_healthy_guest_has_no_fault(void)
{
	begin();
	SEES("");
	facts.run = RUN_PAUSED; /* by its owner; its disks stand still then */
	facts.disks[0].progress_ns = NOW - 3000 * S;
	SEES("");
	facts.run = RUN_OTHER;
	SEES("");
}

static void errors_of_a_disk_are_told_apart(void)
{
	begin();
	error_at(NOW - 2 * S, true, EIO);
	SEES("disk-write-error/unknown"); /* nobody looked yet */
	probe(0, PROBE_GOOD, false);
	SEES("disk-write-error/no-writes");
	probe(1 << 20, PROBE_ERROR, true);
	SEES("disk-write-error/bad-sector");
	facts.disks[0].probe_count = 0;
	probe(1 << 20, PROBE_GOOD, true);
	SEES("disk-write-error/transient");
	error_at(NOW - S, true, EIO); /* again: not transient */
	SEES("disk-write-error/no-writes");

	begin();
	error_at(NOW - 2 * S, false, EIO);
	probe(0, PROBE_ERROR, false);
	SEES("disk-read-error/unknown"); /* one place: may be its bad sector */
	probe(0, PROBE_ERROR, false);	 /* the same place does not count twice */
	SEES("disk-read-error/unknown");
	probe(4096, PROBE_ERROR, false);
	SEES("disk-read-error/dead");
	probe(4096, PROBE_GOOD, false); /* the newest of a place counts */
	SEES("disk-read-error/unknown");

	begin();
	error_at(NOW - 3 * S, false, EIO);
	error_at(NOW - 2 * S, false, EIO);
	probe(0, PROBE_GOOD, false);
	SEES("disk-read-error/bad-sector");
}

static void the_error_number_tells_path_device_and_space(void)
{
	static const struct {
		int error;
		const char *seen;
	} table[] = {
		{ENOSPC, "disk-full/full"},	     {EDQUOT, "disk-full/full"},
		{ENXIO, "disk-write-error/dead"},    {ENODEV, "disk-write-error/dead"},
		{ENOTCONN, "disk-write-error/path"}, {ESTALE, "disk-write-error/path"},
		{ECONNRESET, "disk-write-error/path"}, {EIO, "disk-write-error/unknown"},
		{ETIMEDOUT, "disk-write-error/unknown"}, {0, "disk-write-error/unknown"},
	};

	for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		begin();
		error_at(NOW - S, true, table[i].error);
		SEES(table[i].seen);
	}
	begin();
	error_at(NOW - S, true, ETIMEDOUT);
	facts.disks[0].remote = true;
	SEES("disk-write-error/path");
	begin();
	error_at(NOW - S, true, EIO);
	facts.disks[0].disconnected = true;
	SEES("disk-write-error/path");
	begin(); /* a full disk that somebody made room on fails otherwise now */
	error_at(NOW - 3 * S, true, ENOSPC);
	error_at(NOW - S, true, EIO);
	SEES("disk-write-error/unknown");
}

static void errors_that_were_got_over_are_history_then_a_warning(void)
{
	begin();
	error_at(NOW - 100 * S, true, EIO);
	facts.run = RUN_RUNNING;
	SEES("disk-write-error/unknown"); /* nothing went well since */
	facts.disks[0].good_ns = NOW - 99 * S;
	SEES("");
	for (int i = 0; i < 2; i++)
		error_at(NOW - (50 - i) * S, true, EIO);
	facts.run = RUN_RUNNING;
	facts.disks[0].good_ns = NOW - 40 * S; /* and then it was idle */
	SEES("disk-degrading/more-errors!");
	facts.run = RUN_OTHER; /* a pause of ours: still the same */
	SEES("disk-degrading/more-errors!");
	facts.run = RUN_RUNNING;
	facts.disks[0].errors[2].time_ns = facts.disks[0].errors[1].time_ns + S / 2;
	SEES(""); /* under way together: one misfortune */
	for (int i = 0; i < 3; i++)
		facts.disks[0].errors[i].time_ns = NOW - 3601 * S;
	SEES("");
	facts.disks[0].slower = true;
	snprintf(facts.disks[0].slower_detail, sizeof(facts.disks[0].slower_detail),
		 "latency 3 times what it was");
	SEES("disk-degrading/slower!");
	error_at(NOW - S, true, EIO);
	SEES("disk-write-error/unknown"); /* what is broken needs no warning */
}

static void errors_of_before_hide_no_hang(void)
{
	begin();
	error_at(NOW - 2400 * S, true, EIO);
	facts.run = RUN_RUNNING;
	facts.disks[0].in_flight = 3;
	SEES("disk-write-error/unknown disk-hang/hung");
	facts.disks[0].good_ns = NOW - 2000 * S;
	facts.disks[0].progress_ns = NOW - 20 * S;
	SEES("disk-hang/hung");
	error_at(NOW - 10 * S, true, EIO); /* one that fails has ended, too */
	facts.run = RUN_RUNNING;
	facts.disks[0].progress_ns = NOW - 20 * S;
	SEES("disk-write-error/unknown");
}

/* The first block may be slow, or the prober be: the guest's own requests count. */
static void a_late_probe_is_no_hang_while_requests_end(void)
{
	begin();
	probe(0, PROBE_TIMEOUT, false);
	SEES("");
	facts.disks[0].progress_ns = NOW - 15 * S + 1;
	SEES("");
	facts.disks[0].progress_ns--; /* also of an idle guest */
	SEES("disk-hang/hung");
}

static void a_hang_is_no_progress_of_requests_that_wait(void)
{
	begin();
	facts.disks[0].in_flight = 3;
	facts.disks[0].progress_ns = NOW - 15 * S + 1;
	SEES("");
	facts.disks[0].progress_ns--;
	SEES("disk-hang/hung");
	facts.disks[0].disconnected = true;
	SEES("disk-hang/path");
	facts.disks[0].in_flight = 0; /* nothing asked: idle */
	facts.disks[0].disconnected = false;
	SEES("");
	facts.disks[0].progress_ns = NOW - 20 * S;
	probe(0, PROBE_TIMEOUT, false);
	SEES("disk-hang/hung");
	facts.disks[0].in_flight_known = true; /* the guest wants nothing of it now */
	SEES("disk-hang/hung!");
	probe(4096, PROBE_GOOD, false);
	SEES("");
}

static void room_corruption_and_store_are_watched(void)
{
	struct detect_disk *disk = &facts.disks[1];

	begin();
	disk->room_total = 1000 << 20;
	disk->room_bytes = 10 << 20;
	SEES(""); /* the image has all its blocks */
	disk->grows = true;
	SEES("disk-full/full!");
	CU_ASSERT_EQUAL(verdict.faults[0].index, 1);
	disk->room_bytes = 60 << 20;
	SEES("");
	disk->room_bytes = UINT64_MAX; /* nonsense of a file system */
	SEES("");
	disk->write_threshold_ns = NOW - 3600 * S;
	SEES("");
	disk->write_threshold_ns++;
	SEES("disk-full/full!");
	disk->corrupt_blocks = 2;
	SEES("disk-corrupt/bad-sector");
	begin();
	facts.store_room_total = 100;
	facts.store_room_bytes = 10;
	facts.store_need_bytes = 10;
	SEES("");
	facts.store_need_bytes = 11;
	SEES("replica-error/full!");
	facts.store_stalled_ns = detect_limits_default.hang_ns - 1;
	SEES("replica-error/full!");
	facts.store_stalled_ns++;
	SEES("replica-error/hung");
	facts.store_error = EIO;
	SEES("replica-error/dead");
	facts.store_error = ENOSPC;
	SEES("replica-error/full");
}

static void an_end_on_purpose_is_no_crash(void)
{
	static const struct {
		const char *reason;
		enum detect_run run;
		const char *seen;
	} table[] = {
		{NULL, RUN_RUNNING, "qemu-exit/crash"},
		{NULL, RUN_MIGRATED, ""},
		{"guest-shutdown", RUN_RUNNING, ""},
		{"host-qmp-quit", RUN_RUNNING, ""},
		{"host-signal", RUN_RUNNING, ""},
		{"host-ui", RUN_PAUSED, ""},
		{"host-error", RUN_RUNNING, "qemu-exit/exit"},
		{"guest-panic", RUN_RUNNING, "guest-panic/panic"},
	};

	for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		begin();
		facts.process_ended = facts.monitor_ended = true;
		facts.asked_ns = NOW - 99 * S;
		facts.run = table[i].run;
		facts.shutdown = detect_shutdown_of(table[i].reason);
		SEES(table[i].seen);
	}
	begin(); /* it powers off and QEMU stays (-no-shutdown): nothing hangs */
	facts.run = RUN_SHUTDOWN;
	facts.shutdown = SHUTDOWN_WANTED;
	facts.agent_ns = NOW - 999 * S;
	facts.agent_asked_ns = NOW - 999 * S;
	SEES("");
}

static void qemu_that_does_not_answer_hangs(void)
{
	begin();
	facts.asked_ns = NOW - 10 * S + 1;
	SEES("");
	facts.asked_ns--;
	SEES("qemu-hang/hung");
	facts.asked_ns = 0;
	facts.monitor_ended = true;
	SEES("qemu-hang/unknown");
	begin();
	facts.run = RUN_INTERNAL_ERROR;
	SEES("qemu-exit/exit");
}

/* To start it again on that disk would be of no use. */
static void qemu_that_hangs_with_its_disk_is_the_disk_s_fault(void)
{
	begin();
	facts.disks[0].progress_ns = NOW - 30 * S;
	facts.asked_ns = NOW - 10 * S;
	SEES("qemu-hang/hung");
	facts.disks[0].probe_since_ns = NOW - S; /* it may have come just now */
	SEES("qemu-hang/hung");
	facts.disks[0].probe_since_ns = NOW - 3 * S; /* it is waited for */
	SEES("");
	facts.disks[0].probe_since_ns = NOW - 17 * S; /* not for ever */
	SEES("qemu-hang/hung");
	probe(0, PROBE_TIMEOUT, false);
	SEES("disk-hang/hung");
	probe(0, PROBE_GOOD, false);
	facts.disks[0].probe_since_ns = 0;
	SEES("qemu-hang/hung");
}

/* Its owner's snapshot or dump: it is waited for, and not for ever. */
static void qemu_that_was_stopped_by_others_may_be_at_work_for_them(void)
{
	begin();
	facts.run = RUN_OTHER;
	facts.stopped_by_other = true;
	facts.asked_ns = NOW - 599 * S;
	SEES("qemu-hang/unknown!");
	facts.asked_ns = NOW - 600 * S;
	SEES("qemu-hang/hung");
	facts.asked_ns = NOW - 11 * S;
	facts.run = RUN_RUNNING; /* it goes on, and then does not answer */
	SEES("qemu-hang/hung");
}

/* The same begun in a pause of ours. */
static void qemu_that_writes_while_the_guest_stands_still_is_at_work(void)
{
	begin();
	facts.run = RUN_OTHER;
	facts.asked_ns = NOW - 20 * S;
	SEES("qemu-hang/hung");
	facts.writes_since_ns = facts.asked_ns - 1;
	SEES("qemu-hang/hung");
	facts.asked_ns = NOW - 12 * S;
	facts.writes_since_ns = facts.asked_ns;
	SEES("qemu-hang/unknown!");
	facts.asked_ns = NOW - 599 * S;
	SEES("qemu-hang/unknown!");
	facts.writes_since_ns = NOW - 15 * S; /* it stopped writing */
	SEES("qemu-hang/hung");
	facts.writes_since_ns = NOW - 1 * S;
	facts.asked_ns = NOW - 600 * S;
	SEES("qemu-hang/hung");
	facts.asked_ns = NOW - 12 * S;
	facts.run = RUN_RUNNING; /* it is the guest that writes */
	SEES("qemu-hang/hung");
}

static void a_panic_with_kdump_is_let_finish(void)
{
	begin();
	facts.panicked_ns = NOW - 10 * S;
	facts.run = RUN_PANICKED;
	SEES("guest-panic/panic");
	facts.run = RUN_RUNNING;
	facts.panic_action = PANIC_RUN;
	SEES("guest-panic/panic");
	facts.crashloaded_ns = NOW - 10 * S;
	SEES("guest-panic/panic-dumping");
	facts.crashloaded_ns = NOW - 600 * S;
	SEES("guest-panic/panic"); /* it never came back */
}

static void watchdog_agent_memory_nic_and_host(void)
{
	begin();
	facts.watchdog_ns = NOW - S;
	facts.watchdog = WATCHDOG_ACTS;
	SEES("");
	facts.watchdog = WATCHDOG_PAUSES;
	SEES("guest-watchdog/unknown");
	facts.watchdog = WATCHDOG_NMI;
	SEES("guest-watchdog/panic-dumping");
	facts.watchdog_ns = NOW - 600 * S;
	SEES("guest-watchdog/unknown");
	begin();
	facts.watchdog_ignored_ns = NOW - 3599 * S;
	facts.agent_asked_ns = NOW - 60 * S;
	SEES("guest-watchdog/unknown!"); /* there never was an agent */
	facts.watchdog_ignored_ns = NOW - 3600 * S;
	SEES("");
	facts.agent_ns = NOW - 90 * S;
	SEES("guest-agent-silent/unknown");
	facts.agent_asked_ns++; /* it was not asked before */
	SEES("");
	facts.agent_asked_ns--;
	facts.run = RUN_PAUSED;
	SEES("");
	begin();
	facts.corrected_errors = 9;
	SEES("");
	facts.corrected_errors = 10;
	SEES("memory-failure/more-errors!");
	facts.corrected_errors = 0;
	facts.memory_spared_ns = NOW - 3600 * S; /* beside the guest's memory */
	SEES("");
	facts.memory_spared_ns = NOW;
	SEES("memory-failure/more-errors!");
	facts.memory_failure_ns = NOW;
	SEES("memory-failure/bad-sector");
	facts.memory_fatal = true;
	SEES("memory-failure/dead");
	begin();
	facts.nics[0].link_down = facts.nics[0].link_down_by_owner = true;
	SEES("");
	facts.nics[0].link_down_by_owner = false;
	SEES("nic-down/unknown");
	facts.nics[0].backend_lost = true;
	SEES("nic-down/path");
	begin();
	facts.host_heartbeat_ns = NOW - 5 * S;
	SEES("host-down/unknown");
}

static void words_of_qemu_are_known(void)
{
	CU_ASSERT_EQUAL(detect_errno_of("Input/output error"), EIO);
	CU_ASSERT_EQUAL(detect_errno_of("No space left on device"), ENOSPC);
	CU_ASSERT_EQUAL(detect_errno_of("Success"), 0);
	CU_ASSERT_EQUAL(detect_errno_of(""), 0);
	CU_ASSERT_EQUAL(detect_run_of("io-error"), RUN_IO_ERROR);
	CU_ASSERT_EQUAL(detect_run_of("guest-panicked"), RUN_PANICKED);
	CU_ASSERT_EQUAL(detect_run_of("a new word"), RUN_OTHER);
	CU_ASSERT(detect_on_its_way(detect_run_of("prelaunch")));
	CU_ASSERT(detect_on_its_way(detect_run_of("inmigrate")));
	CU_ASSERT(!detect_on_its_way(detect_run_of("paused")));
}

/* Whatever the facts: no write behind the list, the same list again. */
static void any_facts_give_the_same_list_twice(void)
{
	static struct detect_verdict again;
	unsigned seed = 20261124;

	printf("seed %u ", seed);
	srand(seed);
	for (unsigned round = 0; round < 2000; round++) {
		uint8_t *bytes = (uint8_t *)&facts;

		for (size_t i = 0; i < sizeof(facts); i += 1 + (size_t)(rand() % 64))
			bytes[i] = (uint8_t)(rand() % 2);
		facts.disk_count = BOUND_DISKS;
		facts.nic_count = DETECT_NICS_MAX;
		for (unsigned i = 0; i < BOUND_DISKS; i++) {
			struct detect_disk *disk = &facts.disks[i];

			disk->error_count = (unsigned)rand() % (DETECT_ERRORS_MAX + 1);
			disk->probe_count = (unsigned)rand() % (DETECT_PROBES_MAX + 1);
			for (unsigned j = 0; j < DETECT_ERRORS_MAX; j++)
				disk->errors[j].error = rand() % 140;
			for (unsigned j = 0; j < DETECT_PROBES_MAX; j++)
				disk->probes[j].result = (enum detect_probe_result)(rand() % 3);
			snprintf(disk->slower_detail, sizeof(disk->slower_detail), "slower");
		}
		facts.store_error = rand() % 140;
		facts.run = (enum detect_run)(rand() % (RUN_OTHER + 1));
		facts.shutdown = (enum detect_shutdown)(rand() % 4);
		facts.panic_action = (enum detect_panic_action)(rand() % 3);
		memset(&verdict, 0, sizeof(verdict));
		memset(&again, 0, sizeof(again));
		detect_run(&facts, &detect_limits_default, NOW, &verdict);
		detect_run(&facts, &detect_limits_default, NOW, &again);
		CU_ASSERT_FATAL(verdict.count <= DETECT_FAULTS_MAX);
		CU_ASSERT_FATAL(!memcmp(&verdict, &again, sizeof(again)));
	}
}

int main(void)
{
#define CASE(fn) {#fn, fn}
	static const struct cunit_case cases[] = {
		CASE(a_healthy_guest_has_no_fault),
		CASE(errors_of_a_disk_are_told_apart),
		CASE(the_error_number_tells_path_device_and_space),
		CASE(errors_that_were_got_over_are_history_then_a_warning),
		CASE(errors_of_before_hide_no_hang),
		CASE(a_late_probe_is_no_hang_while_requests_end),
		CASE(a_hang_is_no_progress_of_requests_that_wait),
		CASE(room_corruption_and_store_are_watched),
		CASE(an_end_on_purpose_is_no_crash),
		CASE(qemu_that_does_not_answer_hangs),
		CASE(qemu_that_hangs_with_its_disk_is_the_disk_s_fault),
		CASE(qemu_that_was_stopped_by_others_may_be_at_work_for_them),
		CASE(qemu_that_writes_while_the_guest_stands_still_is_at_work),
		CASE(a_panic_with_kdump_is_let_finish),
		CASE(watchdog_agent_memory_nic_and_host),
		CASE(words_of_qemu_are_known),
		CASE(any_facts_give_the_same_list_twice),
	};

	return cunit_run("detect", cases, sizeof(cases) / sizeof(cases[0]));
}
