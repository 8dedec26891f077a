/* SPDX-License-Identifier: Apache-2.0
 *
 * sense_events: what QEMU tells of by itself, as facts.
 */
#include "sense.h"

#include <string.h>

#include "jsontext.h"
#include "nics.h"
#include "sidecar.h"

#define SAME_FAULT_NS (2000 * NS_PER_MS)

static void on_watchdog(struct detect_facts *facts, const json_t *data)
{
	const char *action = json_text(data, "action");

	facts->watchdog = detect_watchdog_of(action);
	if (facts->watchdog == WATCHDOG_NOTHING)
		facts->watchdog_ignored_ns = ring_now_ns();
	else
		facts->watchdog_ns = ring_now_ns();
	if (!strcmp(action, "poweroff")) /* QEMU ends without an event SHUTDOWN */
		facts->shutdown = SHUTDOWN_WANTED;
}

static void on_panic(struct detect_facts *facts, const json_t *data)
{
	facts->panicked_ns = ring_now_ns();
	facts->panic_action = detect_panic_of(json_text(data, "action"));
}

static void on_memory_failure(struct sidecar *sidecar, const json_t *data)
{
	struct detect_facts *facts = &sidecar->sense.facts;
	int64_t last_ns = facts->memory_failure_ns > facts->memory_spared_ns
				  ? facts->memory_failure_ns : facts->memory_spared_ns;

	if (ring_now_ns() - last_ns > SAME_FAULT_NS)
		sense_renew(sidecar, FAULT_MEMORY, -1);
	if (!strcmp(json_text(data, "action"), "ignore")) {
		facts->memory_spared_ns = ring_now_ns();
		return;
	}
	facts->memory_failure_ns = ring_now_ns();
	facts->memory_fatal = !strcmp(json_text(data, "action"), "fatal") ||
			      !strcmp(json_text(data, "recipient"), "hypervisor");
}

/* A STOP that neither a command of ours nor a fault explains. */
static bool is_of_somebody_else(const struct sidecar *sidecar)
{
	const struct detect_facts *facts = &sidecar->sense.facts;

	/* QEMU tells of the stop of a request that fails again, and not always of its error. */
	return !sidecar->monitor.stop_sent && sidecar->fault.kind == FAULT_NONE &&
	       sidecar->state != SIDECAR_RECOVERING &&
	       ring_now_ns() - sidecar->fault_ns > SAME_FAULT_NS && !facts->panicked_ns &&
	       ring_now_ns() - facts->watchdog_ns > SAME_FAULT_NS &&
	       facts->shutdown == SHUTDOWN_NOT;
}

static void note_event(struct sidecar *sidecar, const char *name, const json_t *data)
{
	struct detect_facts *facts = &sidecar->sense.facts;

	if (nics_event(sidecar, name, data)) {
		sense_judge(sidecar);
		return;
	}
	if (!strcmp(name, "SHUTDOWN")) {
		facts->shutdown = detect_shutdown_of(json_text(data, "reason"));
	} else if (!strcmp(name, "GUEST_PANICKED")) {
		on_panic(facts, data);
	} else if (!strcmp(name, "GUEST_CRASHLOADED")) {
		facts->crashloaded_ns = ring_now_ns();
	} else if (!strcmp(name, "WATCHDOG")) {
		on_watchdog(facts, data);
	} else if (!strcmp(name, "MEMORY_FAILURE")) {
		on_memory_failure(sidecar, data);
	} else if (!strcmp(name, "RESET")) {
		facts->panicked_ns = facts->crashloaded_ns = facts->watchdog_ns = 0;
		/* QEMU maps its bad pages anew. */
		facts->memory_failure_ns = facts->memory_spared_ns = facts->watchdog_ignored_ns = 0;
		facts->shutdown = SHUTDOWN_NOT; /* QEMU stayed (-no-shutdown), its guest begins anew */
		sense_agent_yield(sidecar); /* its answer, if any, would be of before */
		facts->agent_ns = 0;
	} else if (!strcmp(name, "STOP")) {
		facts->run = RUN_OTHER; /* why: the next answer tells */
		facts->stopped_by_other = is_of_somebody_else(sidecar);
	} else if (!strcmp(name, "RESUME")) {
		facts->run = RUN_RUNNING;
		facts->stopped_by_other = false;
		facts->shutdown = SHUTDOWN_NOT;
		sidecar->sense.stopped_again = false;
	} else if (!sense_disks_event(sidecar, name, data)) {
		return;
	}
	sense_judge(sidecar);
}

void sense_event(struct sidecar *sidecar, const char *name, const json_t *data, int64_t time_us)
{
	sidecar->sense.event_us = time_us;
	note_event(sidecar, name, data);
	sidecar->sense.event_us = 0;
}

/* Events come before the answer to our second `stop`.  A guest that was reset before it
 * (a kernel that reboots when it panics) is not to stand. */
void sense_pause_met(struct sidecar *sidecar)
{
	struct sense *sense = &sidecar->sense;

	if (!sidecar->checkpoint.stopped_again)
		return;
	sidecar->checkpoint.stopped_again = false;
	sense->stopped_again = sense->facts.panicked_ns || sense->facts.watchdog_ns;
	if (!sense->stopped_again)
		monitor_call(&sidecar->monitor, "cont", NULL, NULL, NULL);
}
