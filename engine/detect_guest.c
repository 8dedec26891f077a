/* SPDX-License-Identifier: Apache-2.0
 *
 * detect_guest: the guest itself, and its memory.  A part of detect.h.
 */
#include "detect_private.h"

/* Returns true when somebody has to act. */
static bool detect_watchdog(const struct detect_facts *facts, const struct detect_limits *limits,
			    int64_t now_ns, struct detect_verdict *verdict)
{
	bool bit = facts->watchdog_ns && facts->watchdog != WATCHDOG_ACTS;

	if (bit && facts->watchdog == WATCHDOG_NMI &&
	    now_ns - facts->watchdog_ns < limits->dump_ns) {
		detect_add(verdict, FAULT_GUEST_WATCHDOG, CAUSE_PANIC_DUMPING, -1,
		    "the guest did not serve its watchdog and got an NMI %.1f s ago, by which it "
		    "may write a dump", detect_seconds(now_ns - facts->watchdog_ns));
		return true;
	}
	if (bit || facts->run == RUN_WATCHDOG) {
		detect_add(verdict, FAULT_GUEST_WATCHDOG, CAUSE_UNKNOWN, -1,
		    "the guest did not serve its watchdog");
		return true;
	}
	if (facts->watchdog_ignored_ns &&
	    now_ns - facts->watchdog_ignored_ns < limits->history_ns)
		detect_add(verdict, FAULT_GUEST_WATCHDOG, CAUSE_UNKNOWN, -1, "the guest did not serve its "
		    "watchdog; nobody acts, as its owner told QEMU")->warning = true;
	return false;
}

void detect_guest(const struct detect_facts *facts, const struct detect_limits *limits,
		  int64_t now_ns, struct detect_verdict *verdict)
{
	bool dumping = facts->crashloaded_ns &&
		       now_ns - facts->crashloaded_ns < limits->dump_ns;

	if (dumping) {
		detect_add(verdict, FAULT_GUEST_PANIC, CAUSE_PANIC_DUMPING, -1,
		    "the guest panicked %.1f s ago and its crash kernel is at work",
		    detect_seconds(now_ns - facts->crashloaded_ns));
	} else if (facts->crashloaded_ns) {
		detect_add(verdict, FAULT_GUEST_PANIC, CAUSE_PANIC, -1,
		    "the guest panicked, and its crash kernel has not ended after %.0f s",
		    detect_seconds(now_ns - facts->crashloaded_ns));
	} else if (facts->panicked_ns || facts->run == RUN_PANICKED ||
		   facts->shutdown == SHUTDOWN_PANIC) {
		detect_add(verdict, FAULT_GUEST_PANIC, CAUSE_PANIC, -1, "the guest's kernel panicked%s",
		    facts->panic_action == PANIC_RUN ? " and runs on" : "");
	} else if (!detect_watchdog(facts, limits, now_ns, verdict) &&
		   facts->run == RUN_RUNNING && facts->agent_ns &&
		   facts->agent_asked_ns &&
		   now_ns - facts->agent_asked_ns >= limits->agent_ns) {
		detect_add(verdict, FAULT_GUEST_SILENT, CAUSE_UNKNOWN, -1,
		    "the guest agent has not answered for %.1f s",
		    detect_seconds(now_ns - facts->agent_asked_ns));
	}
}

void detect_memory(const struct detect_facts *facts, const struct detect_limits *limits,
		   int64_t now_ns, struct detect_verdict *verdict)
{
	bool spared = facts->memory_spared_ns &&
		      now_ns - facts->memory_spared_ns < limits->history_ns;

	/* Nothing beside it: a QEMU with poisoned memory dies of being migrated. */
	if (facts->memory_failure_ns)
		detect_add(verdict, FAULT_MEMORY, facts->memory_fatal ? CAUSE_DEAD : CAUSE_BAD_SECTOR, -1,
		    "QEMU told of memory that cannot be corrected%s",
		    facts->memory_fatal ? ", and that it is fatal" : "");
	else if (spared)
		detect_add(verdict, FAULT_MEMORY, CAUSE_MORE_ERRORS, -1, "QEMU told of memory that cannot "
		    "be corrected; the guest does not use it yet")->warning = true;
	else if (facts->corrected_errors >= limits->corrected_warn)
		detect_add(verdict, FAULT_MEMORY, CAUSE_MORE_ERRORS, -1,
		    "the host corrected %llu memory errors",
		    (unsigned long long)facts->corrected_errors)->warning = true;
}
