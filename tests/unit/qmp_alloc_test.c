/* SPDX-License-Identifier: Apache-2.0
 *
 * Each allocation of a whole conversation fails once.  Whatever happens, every
 * command is answered exactly once, nothing leaks and nothing crashes.
 */
#include "alloc_fail.h"
#include "qmp_fixture.h"

struct talk {
	struct fixture f;
	struct record a, b;
	bool a_queued, b_queued;
	unsigned heard;
};

static void talk_event(void *arg, const char *name, json_t *data, int64_t time_us)
{
	((struct talk *)arg)->heard++;
}

/* No CU_ASSERT_FATAL in here: CUnit allocates when an assertion fails. */
static void talk_commands(struct talk *talk)
{
	struct fixture *f = &talk->f;
	json_t *args = json_pack("{s:[{s:s}]}", "actions", "type", "abort");
	const char *id;

	qmp_subscribe(f->qmp, "STOP", talk_event, talk);
	qmp_cork(f->qmp);
	talk->a_queued = qmp_execute(f->qmp, "transaction", args, 60000, record_reply, &talk->a) > 0;
	talk->b_queued = execute(f, "query-x", 60000, &talk->b) > 0;
	qmp_uncork(f->qmp);
	peer_hear(f);
	for (id = f->sent; (id = strstr(id, "\"id\":")); id++)
		dprintf(f->peer, "{\"return\": 18446744073709551615, \"id\": %lld}\n",
			(long long)id_in(id));
	dprintf(f->peer, "{\"event\": \"STOP\", \"data\": {\"a\": [1, 2]}}\n");
	fixture_pump(f);
}

static void talk_run(struct talk *talk)
{
	struct fixture *f = &talk->f;

	fixture_attach(f, QMP_PEER_QEMU, 5000);
	if (!f->qmp) {
		close(f->peer);
		return;
	}
	peer_say(f, GREETING_OOB);
	if (qmp_state(f->qmp) == QMP_NEGOTIATING)
		peer_reply(f, id_in(peer_hear(f)), "\"return\": {}");
	if (qmp_state(f->qmp) == QMP_READY)
		talk_commands(talk);
	fixture_release(f);
}

static bool talk_is_whole(const struct talk *talk)
{
	return talk->a.calls == 1 && talk->b.calls == 1 && !talk->a.status && !talk->b.status &&
	       talk->heard == 1 && !talk->f.closed;
}

/* Returns the number of allocations, each of which has failed once. */
static unsigned talk_with_failures(bool jansson)
{
	unsigned n = 1, broken = 0;

	for (;; n++) {
		struct talk talk = {0};
		bool failed;

		alloc_fail_at(n);
		talk_run(&talk);
		failed = alloc_fail_off();
		if (!failed) {
			CU_ASSERT(talk_is_whole(&talk));
			break;
		}
		CU_ASSERT(talk.a.calls == talk.a_queued);
		CU_ASSERT(talk.b.calls == talk.b_queued);
		CU_ASSERT(talk.f.closed <= 1);
		/* jansson takes some of its failures for bad syntax. */
		CU_ASSERT(!talk.f.closed || talk.f.closed_status == -ENOMEM ||
			  (jansson && talk.f.closed_status == -EPROTO));
		broken += !talk_is_whole(&talk);
	}
	/* The failures were seen: a counter that misses them would prove nothing. */
	CU_ASSERT(broken > n / 2);
	return n - 1;
}

static void conversation_survives_each_failing_allocation(void)
{
	/* The client, its buffer, a subscriber, three commands, two repaired numbers. */
	CU_ASSERT(talk_with_failures(false) == 8);
}

static void conversation_survives_each_failing_allocation_of_jansson(void)
{
	alloc_fail_jansson();
	CU_ASSERT(talk_with_failures(true) > 60);
}

static void agent_survives_each_failing_allocation(void)
{
	bool failed = true;

	for (unsigned n = 1; failed && n < 1000; n++) {
		struct fixture f;

		alloc_fail_at(n);
		fixture_attach(&f, QMP_PEER_AGENT, 5000);
		if (f.qmp) {
			dprintf(f.peer, "\xff{\"return\": %lld}", (long long)id_in(peer_hear(&f)));
			fixture_pump(&f);
			failed = alloc_fail_off();
			CU_ASSERT(f.ready == !f.closed);
			CU_ASSERT(!f.closed || f.closed_status == -ENOMEM ||
				  f.closed_status == -EPROTO);
			fixture_release(&f);
		} else {
			CU_ASSERT(errno == ENOMEM);
			failed = alloc_fail_off();
			close(f.peer);
		}
	}
	CU_ASSERT(!failed);
}

static void connect_survives_each_failing_allocation(void)
{
	char text[256];
	bool failed = true;

	for (unsigned n = 1; failed; n++) {
		alloc_fail_at(n);
		CU_ASSERT(!qmp_connect("/nowhere/x", QMP_PEER_QEMU, NULL, NULL, 1, text,
				       sizeof(text)));
		failed = alloc_fail_off();
		CU_ASSERT(errno == (failed ? ENOMEM : ENOENT));
		ASSERT_TEXT(text, failed ? "/nowhere/x: out of memory" : "cannot connect");
	}
}

static void schema_survives_each_failing_allocation(void)
{
	json_t *json = json_pack("[{s:s, s:s, s:s}, {s:s, s:s, s:[{s:s, s:s}]}]", "name", "c",
				 "meta-type", "command", "arg-type", "1", "name", "1", "meta-type",
				 "object", "members", "name", "m", "type", "1");
	bool failed = true;
	unsigned refused = 0;

	for (unsigned n = 1; failed; n++) {
		struct qmp_schema *schema;

		alloc_fail_at(n);
		schema = qmp_schema_new(json);
		failed = alloc_fail_off();
		refused += !schema;
		CU_ASSERT(!schema || qmp_schema_has(schema, "c/m/m/m"));
		qmp_schema_free(schema);
	}
	CU_ASSERT(refused == 6); /* the seventh only gives memory back */
	json_decref(json);
}

/* In this order: jansson joins in with the second. */
CASES("qmp alloc", CASE(conversation_survives_each_failing_allocation),
      CASE(conversation_survives_each_failing_allocation_of_jansson),
      CASE(agent_survives_each_failing_allocation), CASE(connect_survives_each_failing_allocation),
      CASE(schema_survives_each_failing_allocation))
