/* SPDX-License-Identifier: Apache-2.0
 *
 * Events: order, filters, and subscriptions that change while one is delivered.
 */
#include "qmp_fixture.h"

struct listener {
	struct fixture *f;
	unsigned calls;
	char tag;
	void (*act)(struct listener *listener);
	struct listener *other;
};

static char heard[64]; /* the tags of the listeners in the order of their calls */

static void listen_event(void *arg, const char *name, json_t *data, int64_t time_us)
{
	struct listener *listener = arg;
	size_t used = strlen(heard);

	listener->calls++;
	snprintf(heard + used, sizeof(heard) - used, "%c", listener->tag);
	if (listener->act)
		listener->act(listener);
}

static void subscribe(struct listener *listener, const char *name)
{
	CU_ASSERT(!qmp_subscribe(listener->f->qmp, name, listen_event, listener));
}

static void unsubscribe_self(struct listener *listener)
{
	qmp_unsubscribe(listener->f->qmp, listen_event, listener);
}

static void unsubscribe_other(struct listener *listener)
{
	qmp_unsubscribe(listener->f->qmp, listen_event, listener->other);
}

static void subscribe_other(struct listener *listener)
{
	listener->act = NULL;
	subscribe(listener->other, NULL);
}

static void free_client(struct listener *listener)
{
	qmp_free(listener->f->qmp);
}

static void events_come_in_order_and_between_replies(void)
{
	struct fixture f;
	struct record a = {0};
	char text[512];

	fixture_init(&f, false);
	snprintf(text, sizeof(text),
		 "{\"event\": \"STOP\", \"timestamp\": {\"seconds\": 7, \"microseconds\": 9}}\n"
		 "{\"return\": 1, \"id\": %lld}\n{\"event\": \"RESUME\"}{\"event\": \"RESET\"}",
		 (long long)execute(&f, "x", 1000, &a));
	peer_send_bytes(&f, text, 70);
	CU_ASSERT(!fixture_pump(&f));
	CU_ASSERT_STRING_EQUAL(f.events, "STOP ");
	CU_ASSERT(f.event_time_us == 7000009);
	CU_ASSERT(!peer_say(&f, text + 70));
	CU_ASSERT_STRING_EQUAL(f.events, "STOP RESUME RESET ");
	CU_ASSERT(f.event_time_us == 0 && a.calls == 1);
	fixture_release(&f);
}

static void absurd_stamps_become_none(void)
{
	static const char *const stamps[] = {
		"{\"seconds\": 9223372036854775807, \"microseconds\": 1}",
		"{\"seconds\": 9223372036854, \"microseconds\": 9223372036854775807}",
		"{\"seconds\": -1, \"microseconds\": -1}", "7", "{\"seconds\": \"x\"}"};
	struct fixture f;
	char text[256];

	fixture_init(&f, false);
	for (unsigned i = 0; i < sizeof(stamps) / sizeof(*stamps); i++) {
		f.event_time_us = 1;
		snprintf(text, sizeof(text), "{\"event\": \"E\", \"timestamp\": %s}", stamps[i]);
		CU_ASSERT(!peer_say(&f, text));
		CU_ASSERT(f.event_time_us == 0);
	}
	fixture_release(&f);
}

static void subscribers_hear_their_event_in_order_of_subscription(void)
{
	struct fixture f;
	struct listener a = {.f = &f, .tag = 'a'}, b = {.f = &f, .tag = 'b'};
	struct listener c = {.f = &f, .tag = 'c'};

	heard[0] = '\0';
	fixture_init(&f, false);
	CU_ASSERT(qmp_subscribe(f.qmp, "STOP", NULL, NULL) == -EINVAL);
	subscribe(&a, "STOP");
	subscribe(&b, NULL);
	subscribe(&c, "STOP");
	peer_say(&f, "{\"event\": \"STOP\"}{\"event\": \"RESUME\"}{\"event\": \"STOPPED\"}");
	CU_ASSERT_STRING_EQUAL(heard, "abcbb");
	qmp_unsubscribe(f.qmp, listen_event, &b);
	qmp_unsubscribe(f.qmp, listen_event, &b);
	peer_say(&f, "{\"event\": \"STOP\"}");
	CU_ASSERT_STRING_EQUAL(heard, "abcbbac");
	fixture_release(&f);
}

static void subscriptions_may_change_during_a_delivery(void)
{
	struct fixture f;
	struct listener d = {.f = &f, .tag = 'd'};
	struct listener c = {.f = &f, .tag = 'c'};
	struct listener b = {.f = &f, .tag = 'b', .act = unsubscribe_other, .other = &c};
	struct listener a = {.f = &f, .tag = 'a', .act = unsubscribe_self};
	struct listener e = {.f = &f, .tag = 'e', .act = subscribe_other, .other = &d};

	heard[0] = '\0';
	fixture_init(&f, false);
	subscribe(&a, "E");
	subscribe(&b, "E");
	subscribe(&c, "E");
	subscribe(&e, "E");
	peer_say(&f, "{\"event\": \"E\"}");
	CU_ASSERT_STRING_EQUAL(heard, "abe");
	peer_say(&f, "{\"event\": \"E\"}");
	CU_ASSERT_STRING_EQUAL(heard, "abebed");
	fixture_release(&f);
}

static void client_may_be_freed_in_an_event(void)
{
	struct fixture f;
	struct listener a = {.f = &f, .tag = 'a', .act = free_client}, b = {.f = &f, .tag = 'b'};
	struct record r = {0};

	heard[0] = '\0';
	fixture_init(&f, false);
	execute(&f, "x", 1000, &r);
	subscribe(&a, "E");
	subscribe(&b, "E");
	peer_send_bytes(&f, "{\"event\": \"E\"}{\"event\": \"E\"}", 28);
	qmp_process(f.qmp, POLLIN);
	CU_ASSERT_STRING_EQUAL(heard, "a");
	CU_ASSERT(r.calls == 1 && r.status == -ECANCELED);
	close(f.peer);
}

static void free_when_ready(void *arg, struct qmp *qmp)
{
	qmp_free(qmp);
}

static void free_when_event(void *arg, const char *name, json_t *data, int64_t time_us)
{
	qmp_free(((struct fixture *)arg)->qmp);
}

static void free_when_closed(void *arg, int status)
{
	qmp_free(((struct fixture *)arg)->qmp);
}

static void client_may_be_freed_in_each_of_its_callbacks(void)
{
	static const struct qmp_callbacks all[] = {
		{.ready = free_when_ready},
		{.event = free_when_event},
		{.closed = free_when_closed},
	};

	for (unsigned i = 0; i < 3; i++) {
		struct fixture f = {0};
		struct listener a = {.f = &f};
		int pair[2];

		CU_ASSERT_FATAL(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
		f.peer = pair[1];
		f.qmp = qmp_attach(pair[0], QMP_PEER_QEMU, &all[i], &f, 1000);
		subscribe(&a, NULL);
		peer_say(&f, GREETING_OOB);
		dprintf(f.peer, "{\"return\": {}, \"id\": %lld}{\"event\": \"E\"}garbage",
			(long long)id_in(peer_hear(&f)));
		CU_ASSERT(qmp_process(f.qmp, POLLIN) < 0);
		CU_ASSERT(a.calls == (i == 2));
		close(f.peer);
	}
}

CASES("qmp event", CASE(events_come_in_order_and_between_replies), CASE(absurd_stamps_become_none),
      CASE(subscribers_hear_their_event_in_order_of_subscription),
      CASE(subscriptions_may_change_during_a_delivery), CASE(client_may_be_freed_in_an_event),
      CASE(client_may_be_freed_in_each_of_its_callbacks))
