/* SPDX-License-Identifier: Apache-2.0
 *
 * Replies that call back into the client, or free it.
 */
#include "qmp_fixture.h"

static void free_reply(void *arg, const struct qmp_reply *reply)
{
	struct record *record = arg;

	record_reply(arg, reply);
	if (reply->status != -ECANCELED)
		qmp_free(record->fixture->qmp);
	else
		CU_ASSERT(qmp_execute(record->fixture->qmp, "x", NULL, 1, free_reply, arg) ==
			  -ENOTCONN);
}

static void client_may_be_freed_in_a_reply(void)
{
	struct fixture f;
	struct record a = {.fixture = &f}, b = {.fixture = &f};
	char text[160];
	long long first;

	fixture_init(&f, false);
	first = qmp_execute(f.qmp, "a", NULL, QMP_TIMEOUT_NONE, free_reply, &a);
	qmp_execute(f.qmp, "b", NULL, QMP_TIMEOUT_NONE, free_reply, &b);
	/* A second reply is in the same buffer. */
	snprintf(text, sizeof(text), "{\"return\": 1, \"id\": %lld}{\"return\": 1, \"id\": %lld}",
		 first, first + 1);
	peer_send_bytes(&f, text, strlen(text));
	CU_ASSERT(qmp_process(f.qmp, POLLIN) == -ECANCELED);
	CU_ASSERT(a.calls == 1 && a.status == 0);
	CU_ASSERT(b.calls == 1 && b.status == -ECANCELED);
	CU_ASSERT(!f.closed);
	CU_ASSERT(recv(f.peer, text, sizeof(text), 0) > 0 && recv(f.peer, text, 1, 0) == 0);
	close(f.peer);
}

static void client_may_be_freed_by_a_deadline_and_by_its_end(void)
{
	struct fixture f;
	struct record a = {.fixture = &f}, b = {.fixture = &f};

	fixture_init(&f, false);
	qmp_execute(f.qmp, "a", NULL, 0, free_reply, &a);
	qmp_execute(f.qmp, "b", NULL, 0, free_reply, &b);
	qmp_process(f.qmp, 0);
	CU_ASSERT(a.status == -ETIMEDOUT && b.status == -ECANCELED);
	close(f.peer);

	fixture_init(&f, false);
	qmp_execute(f.qmp, "a", NULL, QMP_TIMEOUT_NONE, free_reply, &a);
	qmp_execute(f.qmp, "b", NULL, QMP_TIMEOUT_NONE, free_reply, &b);
	close(f.peer);
	qmp_process(f.qmp, POLLIN);
	CU_ASSERT(a.status == -ECONNRESET && b.status == -ECANCELED);
	CU_ASSERT(a.calls == 2 && b.calls == 2 && !f.closed);
}

static void free_in_cancel(void *arg, const struct qmp_reply *reply)
{
	struct fixture *f = arg;

	qmp_free(f->qmp);
}

static void client_may_be_freed_in_a_cancellation(void)
{
	struct fixture f;

	fixture_init(&f, false);
	qmp_cancel(f.qmp, qmp_execute(f.qmp, "a", NULL, 1000, free_in_cancel, &f));
	close(f.peer);
}

static void chain_reply(void *arg, const struct qmp_reply *reply)
{
	struct record *record = arg;

	record_reply(arg, reply);
	CU_ASSERT(!qmp_process(record->fixture->qmp, POLLIN)); /* does nothing in here */
	if (record->calls < 5)
		CU_ASSERT(qmp_execute(record->fixture->qmp, "next", NULL, 60000, chain_reply,
				      record) > 0);
}

static void reply_may_send_the_next_command(void)
{
	struct fixture f;
	struct record a = {.fixture = &f};

	fixture_init(&f, false);
	peer_hear(&f);
	qmp_execute(f.qmp, "first", NULL, 60000, chain_reply, &a);
	for (unsigned i = 1; i <= 5; i++) {
		CU_ASSERT(!peer_reply(&f, id_in(peer_hear(&f)), "\"return\": 1"));
		CU_ASSERT(a.calls == i);
	}
	fixture_release(&f);
}

struct cancel_all {
	struct fixture *f;
	int64_t ids[4];
	unsigned calls;
};

static void cancel_reply(void *arg, const struct qmp_reply *reply)
{
	struct cancel_all *all = arg;

	all->calls++;
	for (unsigned i = 0; i < 4; i++)
		qmp_cancel(all->f->qmp, all->ids[i]);
}

static void reply_may_cancel_the_others(void)
{
	struct fixture f;
	struct cancel_all all = {.f = &f};

	fixture_init(&f, false);
	for (unsigned i = 0; i < 4; i++)
		all.ids[i] = qmp_execute(f.qmp, "x", NULL, 1000, cancel_reply, &all);
	CU_ASSERT(!peer_reply(&f, all.ids[2], "\"return\": 1"));
	CU_ASSERT(all.calls == 4);
	fixture_release(&f);
	CU_ASSERT(all.calls == 4);
}

CASES("qmp reentry", CASE(client_may_be_freed_in_a_reply),
      CASE(client_may_be_freed_by_a_deadline_and_by_its_end),
      CASE(client_may_be_freed_in_a_cancellation), CASE(reply_may_send_the_next_command),
      CASE(reply_may_cancel_the_others))
