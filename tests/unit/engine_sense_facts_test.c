/* SPDX-License-Identifier: Apache-2.0
 *
 * What happens becomes facts, and news once: of a sidecar without a ring or a QEMU.
 */
#include <CUnit/CUnit.h>
#include <stdio.h>
#include <string.h>

#include "cunit_main.h"
#include "mind.h"
#include "nics.h"
#include "sense.h"
#include "sidecar.h"

#define S (1000 * NS_PER_MS)

static struct sidecar sidecar;
static struct config config;
static struct mind mind;
static struct sense *const sense = &sidecar.sense;
static struct detect_facts *const facts = &sidecar.sense.facts;

/* A guest with a disk, which runs, under a sidecar whose last tick was just now. */
static void begin(void)
{
	json_decref(sidecar.last_fault); /* of the case before */
	memset(&sidecar, 0, sizeof(sidecar));
	memset(&mind, 0, sizeof(mind));
	config = (struct config){.mind = &mind, .store = "/nowhere"};
	sidecar.config = &config;
	sidecar.prober.fd = -1;
	sidecar.guest.disk_count = facts->disk_count = 1;
	strcpy(sidecar.guest.disks[0].name, "vda");
	strcpy(sidecar.guest.disks[0].node, "d0");
	strcpy(sidecar.guest.disks[0].file, "/nowhere/vda");
	strcpy(sidecar.guest.disks[0].driver, "raw");
	facts->run = RUN_RUNNING;
	facts->disks[0].progress_ns = ring_now_ns();
	sense->tick_ns = ring_now_ns();
}

static void event(const char *name, const char *data)
{
	json_t *json = json_loads(data, 0, NULL);

	CU_ASSERT_PTR_NOT_NULL_FATAL(json);
	sense_event(&sidecar, name, json, 0);
	json_decref(json);
}

/* The newest fault that nobody attended to is of KIND; it is attended to. */
static bool news(enum fault_kind kind, bool warning)
{
	const struct sense_fault *next = sense_next(&sidecar);
	bool is_it = next && next->fault.kind == kind && next->fault.warning == warning;

	if (next)
		sense_attended(&sidecar, &next->fault);
	return is_it;
}

static void a_prober_that_ended_makes_no_disk_late(void)
{
	begin();
	sense->probe.places[0].asked_ns = ring_now_ns() - 60 * S;
	sense_probe_tick(&sidecar);
	CU_ASSERT_EQUAL(facts->disks[0].probe_count, 0);
	CU_ASSERT_EQUAL(sense->probe.places[0].asked_ns, 0);
	sidecar.prober.fd = 0; /* it lives, and has not answered */
	sense->probe.places[0].asked_ns = ring_now_ns() - 60 * S;
	sense_probe_tick(&sidecar);
	CU_ASSERT_EQUAL_FATAL(facts->disks[0].probe_count, 1);
	CU_ASSERT_EQUAL(facts->disks[0].probes[0].result, PROBE_TIMEOUT);
}

/* --- the agent --- */

static void silent(int64_t since_ns)
{
	begin();
	facts->agent_ns = facts->agent_asked_ns = since_ns;
	sidecar.quiesce.address = "/nowhere/agent";
	sense->agent.due_ns = INT64_MAX;
}

static void an_agent_that_nobody_could_ask_is_not_silent(void)
{
	int64_t long_ago_ns = ring_now_ns() - 70 * S;

	silent(long_ago_ns);
	sense_judge(&sidecar);
	CU_ASSERT_TRUE(news(FAULT_GUEST_SILENT, false));
	silent(long_ago_ns); /* we ourselves stood still */
	sense->tick_ns = long_ago_ns;
	sense_judge(&sidecar);
	CU_ASSERT_PTR_NULL(sense_next(&sidecar));
	sense->tick_ns = ring_now_ns();
	sense_judge(&sidecar);
	CU_ASSERT_PTR_NULL(sense_next(&sidecar));
	silent(long_ago_ns); /* QEMU did */
	facts->asked_ns = ring_now_ns() - 3 * S;
	sense_agent_tick(&sidecar);
	facts->asked_ns = 0;
	sense_judge(&sidecar);
	CU_ASSERT_PTR_NULL(sense_next(&sidecar));
	silent(long_ago_ns); /* it was asked late */
	facts->agent_asked_ns = ring_now_ns();
	sense_judge(&sidecar);
	CU_ASSERT_PTR_NULL(sense_next(&sidecar));
}

static void a_guest_that_freezes_after_it_thrashed_is_judged_again(void)
{
	silent(ring_now_ns() - 70 * S);
	sense->disks.disks[0].ended_ns = ring_now_ns() - 5 * S;
	sense_judge(&sidecar);
	CU_ASSERT_TRUE(news(FAULT_GUEST_SILENT, false));
	sense_agent_held(&sidecar);
	sense_agent_tick(&sidecar);
	CU_ASSERT_PTR_NULL(sense_next(&sidecar));
	sense->disks.disks[0].ended_ns = ring_now_ns() - 61 * S;
	sense_agent_tick(&sidecar);
	CU_ASSERT_TRUE(news(FAULT_GUEST_SILENT, false));
	sense_agent_tick(&sidecar); /* once */
	CU_ASSERT_PTR_NULL(sense_next(&sidecar));
}

/* --- events --- */

static void a_watchdog_does_what_its_owner_chose(void)
{
	static const struct {
		const char *data;
		bool fault, warning;
		enum detect_cause cause;
	} table[] = {
		{"{\"action\": \"pause\"}", true, false, CAUSE_UNKNOWN},
		{"{\"action\": \"inject-nmi\"}", true, false, CAUSE_PANIC_DUMPING},
		{"{\"action\": \"none\"}", true, true, CAUSE_UNKNOWN},
		{"{\"action\": \"debug\"}", true, true, CAUSE_UNKNOWN},
		{"{\"action\": \"reset\"}", false, false, CAUSE_UNKNOWN},
		{"{\"action\": \"shutdown\"}", false, false, CAUSE_UNKNOWN},
		{"{\"action\": \"poweroff\"}", false, false, CAUSE_UNKNOWN},
	};

	for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		const struct sense_fault *next;

		begin();
		event("WATCHDOG", table[i].data);
		next = sense_next(&sidecar);
		CU_ASSERT_EQUAL(next != NULL, table[i].fault);
		if (next)
			CU_ASSERT(next->fault.warning == table[i].warning &&
				  next->fault.cause == table[i].cause);
		event("RESET", "{}");
		CU_ASSERT_PTR_NULL(sense_next(&sidecar));
	}
	begin();
	event("WATCHDOG", "{\"action\": \"poweroff\"}"); /* QEMU ends without another word */
	facts->process_ended = true;
	sense_judge(&sidecar);
	CU_ASSERT_PTR_NULL(sense_next(&sidecar));
}

static void memory_that_fails_again_is_news_again(void)
{
	static const char struck[] = "{\"recipient\": \"guest\", \"action\": \"inject\"}";

	begin();
	event("MEMORY_FAILURE", struck);
	CU_ASSERT_TRUE(news(FAULT_MEMORY, false));
	event("MEMORY_FAILURE", struck); /* of the same moment */
	CU_ASSERT_PTR_NULL(sense_next(&sidecar));
	facts->memory_failure_ns -= 3 * S;
	event("MEMORY_FAILURE", struck);
	CU_ASSERT_TRUE(news(FAULT_MEMORY, false));
	event("RESET", "{}");
	CU_ASSERT_EQUAL(sense->fault_count, 0);
}

static void each_threshold_is_news(void)
{
	begin();
	event("BLOCK_WRITE_THRESHOLD", "{\"node-name\": \"d0\"}");
	CU_ASSERT_TRUE(news(FAULT_DISK_FULL, true));
	sense_judge(&sidecar);
	event("BLOCK_WRITE_THRESHOLD", "{\"node-name\": \"f0\"}"); /* of somebody else */
	CU_ASSERT_PTR_NULL(sense_next(&sidecar));
	strcpy(sense->disks.disks[0].below, "f0");
	event("BLOCK_WRITE_THRESHOLD", "{\"node-name\": \"f0\"}");
	CU_ASSERT_TRUE(news(FAULT_DISK_FULL, true));
}

static void a_card_that_its_owner_took_out_is_not_missed(void)
{
	struct nic *nic = &sidecar.nics.list[0];

	for (unsigned ours = 0; ours < 2; ours++) {
		begin();
		sidecar.nics.count = facts->nic_count = 1;
		*nic = (struct nic){.device = "net0", .netdev = "n0", .unplugging = ours,
				    .backend = json_object()};
		event("NETDEV_STREAM_DISCONNECTED", "{\"netdev-id\": \"n0\"}");
		CU_ASSERT_TRUE(news(FAULT_NIC, false));
		event("DEVICE_DELETED", "{\"device\": \"net0\", \"path\": \"/x\"}");
		CU_ASSERT_EQUAL(sense->fault_count, ours);
		CU_ASSERT_EQUAL(nics_replaceable(&sidecar, 0), ours);
		event("NETDEV_STREAM_DISCONNECTED", "{\"netdev-id\": \"n0\"}");
		CU_ASSERT_EQUAL(sense->fault_count, ours);
		json_decref(nic->backend);
	}
}

int main(void)
{
#define CASE(fn) {#fn, fn}
	static const struct cunit_case cases[] = {
		CASE(a_prober_that_ended_makes_no_disk_late),
		CASE(an_agent_that_nobody_could_ask_is_not_silent),
		CASE(a_guest_that_freezes_after_it_thrashed_is_judged_again),
		CASE(a_watchdog_does_what_its_owner_chose),
		CASE(memory_that_fails_again_is_news_again),
		CASE(each_threshold_is_news),
		CASE(a_card_that_its_owner_took_out_is_not_missed),
	};

	int status = cunit_run("engine_sense_facts", cases, sizeof(cases) / sizeof(cases[0]));

	json_decref(sidecar.last_fault);
	return status;
}
