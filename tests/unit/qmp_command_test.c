/* SPDX-License-Identifier: Apache-2.0
 *
 * Commands: ids, order, errors, deadlines, bounds, batches, descriptors.
 */
#include <sys/stat.h>

#include "qmp_fixture.h"

static void replies_find_their_command_in_any_order(void)
{
	struct fixture f;
	struct record records[8] = {0};
	int64_t ids[8];
	char what[32];

	fixture_init(&f, true);
	for (unsigned i = 0; i < 8; i++)
		ids[i] = execute(&f, "query-x", QMP_TIMEOUT_NONE, &records[i]);
	for (unsigned i = 0; i < 8; i++) {
		unsigned n = (i * 5 + 3) % 8;

		snprintf(what, sizeof(what), "\"return\": %u", 100 + n);
		CU_ASSERT(!peer_reply(&f, ids[n], what));
		CU_ASSERT(records[n].calls == 1 && records[n].result == 100 + n);
	}
	for (unsigned i = 0; i < 8; i++)
		CU_ASSERT(records[i].calls == 1 && records[i].status == 0);
	fixture_release(&f);
}

static void unknown_and_repeated_ids_are_dropped(void)
{
	struct fixture f;
	struct record a = {0};
	int64_t id;

	fixture_init(&f, false);
	id = execute(&f, "query-x", QMP_TIMEOUT_NONE, &a);
	CU_ASSERT(!peer_reply(&f, id + 1, "\"return\": 1"));
	CU_ASSERT(!peer_reply(&f, 0, "\"return\": 1"));
	CU_ASSERT(!peer_reply(&f, -1, "\"return\": 1"));
	CU_ASSERT(!peer_say(&f, "{\"return\": 1, \"id\": \"7\"}{\"return\": 1, \"id\": {}}"));
	CU_ASSERT(!peer_say(&f, "{\"return\": 1}"));
	CU_ASSERT(!a.calls);
	CU_ASSERT(!peer_reply(&f, id, "\"return\": 2"));
	CU_ASSERT(!peer_reply(&f, id, "\"return\": 3"));
	CU_ASSERT(a.calls == 1 && a.result == 2);
	fixture_release(&f);
}

/* Two connections to one monitor: the second must not take the first's reply. */
static void ids_differ_between_connections(void)
{
	struct fixture f, g;
	int64_t first, second;

	fixture_init(&f, false);
	fixture_init(&g, false);
	first = execute(&f, "stop", QMP_TIMEOUT_NONE, NULL);
	second = execute(&g, "stop", QMP_TIMEOUT_NONE, NULL);
	CU_ASSERT(first > 0 && second > 0 && first != second);
	fixture_release(&f);
	fixture_release(&g);
}

static void command_is_written_as_the_protocol_wants(void)
{
	struct fixture f;
	json_t *message;

	fixture_init(&f, false);
	qmp_execute(f.qmp, "device_add", json_pack("{s:s}", "driver", "\xc3\xa4\"\\"), 1000, NULL,
		    NULL);
	message = json_loads(peer_hear(&f), 0, NULL);
	CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(message, "execute")),
			       "device_add");
	CU_ASSERT_STRING_EQUAL(
		json_string_value(json_object_get(json_object_get(message, "arguments"), "driver")),
		"\xc3\xa4\"\\");
	CU_ASSERT(json_is_integer(json_object_get(message, "id")));
	CU_ASSERT(json_object_size(message) == 3);
	json_decref(message);
	fixture_release(&f);
}

static void error_reply_brings_class_and_text(void)
{
	struct fixture f;
	struct record a = {0}, b = {0};
	int64_t id;

	fixture_init(&f, false);
	id = execute(&f, "stop", QMP_TIMEOUT_NONE, &a);
	peer_reply(&f, id, "\"error\": {\"class\": \"CommandNotFound\", \"desc\": \"no stop\"}");
	CU_ASSERT(a.calls == 1 && a.status == -EREMOTEIO);
	CU_ASSERT_STRING_EQUAL(a.text, "no stop");
	CU_ASSERT_STRING_EQUAL(a.class, "CommandNotFound");
	ASSERT_TEXT(qmp_error(f.qmp), ": stop: no stop");
	id = execute(&f, "stop", QMP_TIMEOUT_NONE, &b);
	peer_reply(&f, id, "\"error\": 7");
	CU_ASSERT(b.status == -EREMOTEIO);
	ASSERT_TEXT(b.text, "without a description");
	fixture_release(&f);
}

/* QEMU found the error before it saw the id: it is the oldest command's. */
static void error_without_id_ends_the_oldest_command(void)
{
	struct fixture f;
	struct record a = {0}, b = {0}, oob = {0};
	static const char error[] =
		"{\"error\": {\"class\": \"GenericError\", \"desc\": \"parse\"}}";

	fixture_init(&f, true);
	CU_ASSERT(!peer_say(&f, error));
	qmp_execute_oob(f.qmp, "yank", NULL, QMP_TIMEOUT_NONE, record_reply, &oob);
	execute(&f, "first", QMP_TIMEOUT_NONE, &a);
	execute(&f, "second", QMP_TIMEOUT_NONE, &b);
	CU_ASSERT(!peer_say(&f, error));
	CU_ASSERT(a.calls == 1 && a.status == -EREMOTEIO && !b.calls && !oob.calls);
	CU_ASSERT_STRING_EQUAL(a.text, "parse");
	fixture_release(&f);
}

/* The one given up is still the oldest, and its answer must not hit another. */
static void error_without_id_may_be_a_forgotten_commands(void)
{
	struct fixture f;
	struct record a = {0}, b = {0};
	int64_t id;

	fixture_init(&f, false);
	id = execute(&f, "first", QMP_TIMEOUT_NONE, &a);
	execute(&f, "second", QMP_TIMEOUT_NONE, &b);
	qmp_cancel(f.qmp, id);
	CU_ASSERT(!peer_say(&f, "{\"error\": {\"desc\": \"parse\"}}"));
	CU_ASSERT(a.calls == 1 && a.status == -ECANCELED && !b.calls);
	CU_ASSERT(!peer_say(&f, "{\"error\": {\"desc\": \"parse\"}}"));
	CU_ASSERT(b.calls == 1);
	fixture_release(&f);
}

/* QEMU answers in order: after a later reply none will come for the forgotten. */
static void forgotten_command_is_over_with_a_later_reply(void)
{
	struct fixture f;
	struct record a = {0}, b = {0}, c = {0};
	int64_t first, second;

	fixture_init(&f, false);
	first = execute(&f, "first", QMP_TIMEOUT_NONE, &a);
	second = execute(&f, "second", QMP_TIMEOUT_NONE, &b);
	execute(&f, "third", QMP_TIMEOUT_NONE, &c);
	qmp_cancel(f.qmp, first);
	CU_ASSERT(!peer_reply(&f, second, "\"return\": 1"));
	CU_ASSERT(!peer_say(&f, "{\"error\": {\"desc\": \"parse\"}}"));
	CU_ASSERT(b.calls == 1 && c.calls == 1 && c.status == -EREMOTEIO);
	fixture_release(&f);
}

static void deadline_ends_a_command_and_drops_its_late_reply(void)
{
	struct fixture f;
	struct record a = {0}, b = {0};
	int64_t first, second, start_ms;

	fixture_init(&f, false);
	start_ms = now_ms();
	first = execute(&f, "slow", 500, &a);
	second = execute(&f, "slower", 60000, &b);
	CU_ASSERT(qmp_deadline(f.qmp) < INT64_MAX);
	CU_ASSERT(!qmp_process(f.qmp, 0));
	CU_ASSERT(!a.calls || now_ms() - start_ms >= 500); /* a machine that stood still */
	usleep(510000);
	CU_ASSERT(!qmp_process(f.qmp, 0));
	CU_ASSERT(a.calls == 1 && a.status == -ETIMEDOUT && !b.calls);
	ASSERT_TEXT(a.text, "no reply to slow within 500 ms");
	CU_ASSERT_STRING_EQUAL(a.text, qmp_error(f.qmp));
	CU_ASSERT(!peer_reply(&f, first, "\"return\": 1") && a.calls == 1);
	CU_ASSERT(!peer_reply(&f, second, "\"return\": 1") && b.calls == 1 && !b.status);
	CU_ASSERT(qmp_deadline(f.qmp) == INT64_MAX);
	fixture_release(&f);
}

/* What arrived in time counts, even if the caller comes too late to see it. */
static void reply_in_the_socket_beats_the_deadline(void)
{
	struct fixture f;
	struct record a = {0};
	int64_t id;

	fixture_init(&f, false);
	id = execute(&f, "query-x", 5, &a);
	dprintf(f.peer, "{\"return\": 4, \"id\": %lld}", (long long)id);
	usleep(7000);
	CU_ASSERT(!qmp_process(f.qmp, POLLIN));
	CU_ASSERT(a.calls == 1 && a.status == 0 && a.result == 4);
	fixture_release(&f);
}

static void absurd_timeouts_do_not_overflow(void)
{
	struct fixture f;
	struct record a = {0}, b = {0};

	fixture_init(&f, false);
	execute(&f, "x", INT64_MAX - 1, &a);
	execute(&f, "x", INT64_MIN, &b);
	CU_ASSERT(!qmp_process(f.qmp, 0));
	CU_ASSERT(!a.calls && b.calls == 1 && b.status == -ETIMEDOUT);
	fixture_release(&f);
	CU_ASSERT(a.calls == 1 && a.status == -ECANCELED);
}

static void cancel_runs_the_reply_at_once_and_only_once(void)
{
	struct fixture f;
	struct record a = {0};
	int64_t id;

	fixture_init(&f, false);
	id = execute(&f, "x", QMP_TIMEOUT_NONE, &a);
	qmp_cancel(f.qmp, id);
	CU_ASSERT(a.calls == 1 && a.status == -ECANCELED);
	qmp_cancel(f.qmp, id);
	qmp_cancel(f.qmp, 0);
	qmp_cancel(f.qmp, -5);
	CU_ASSERT(!peer_reply(&f, id, "\"return\": 1"));
	fixture_release(&f);
	CU_ASSERT(a.calls == 1);
}

static void cancelled_before_sending_is_never_sent(void)
{
	struct fixture f;
	struct record a = {0}, b = {0};
	int64_t id;

	fixture_init(&f, false);
	peer_hear(&f);
	qmp_cork(f.qmp);
	id = execute(&f, "unwanted", QMP_TIMEOUT_NONE, &a);
	execute(&f, "wanted", QMP_TIMEOUT_NONE, &b);
	qmp_cancel(f.qmp, id);
	qmp_uncork(f.qmp);
	CU_ASSERT(a.calls == 1 && a.status == -ECANCELED);
	peer_hear(&f);
	ASSERT_TEXT(f.sent, "\"wanted\"");
	CU_ASSERT(!strstr(f.sent, "unwanted"));
	fixture_release(&f);
}

static void bad_commands_are_refused(void)
{
	struct fixture f;
	struct record a = {0};
	json_t *deep = json_object(), *args = json_pack("{s:O}", "a", deep);

	fixture_init(&f, false);
	CU_ASSERT(execute(&f, NULL, 1000, &a) == -EINVAL);
	CU_ASSERT(execute(&f, "", 1000, &a) == -EINVAL);
	CU_ASSERT(execute(&f, "a\"b", 1000, &a) == -EINVAL);
	CU_ASSERT(qmp_execute(f.qmp, "x", json_array(), 1000, record_reply, &a) == -EINVAL);
	ASSERT_TEXT(qmp_error(f.qmp), "x not sent: the arguments are no JSON object");
	/* A circle cannot be written. */
	json_object_set(deep, "back", args);
	CU_ASSERT(qmp_execute(f.qmp, "x", json_incref(args), 1000, record_reply, &a) == -EINVAL);
	json_object_clear(deep);
	json_decref(deep);
	json_decref(args);
	CU_ASSERT(qmp_execute_oob(f.qmp, "x", json_object(), 1000, NULL, NULL) == -ENOTSUP);
	ASSERT_TEXT(qmp_error(f.qmp), "takes no out-of-band commands");
	CU_ASSERT(qmp_execute_fd(f.qmp, "x", json_object(), -1, 1000, NULL, NULL) == -EINVAL);
	CU_ASSERT(!a.calls && qmp_state(f.qmp) == QMP_READY);
	fixture_release(&f);
	fixture_attach(&f, QMP_PEER_QEMU, 1000);
	CU_ASSERT(qmp_execute(f.qmp, "x", json_object(), 1000, NULL, NULL) == -ENOTCONN);
	fixture_release(&f);
}

static void pending_commands_are_bounded(void)
{
	struct fixture f;
	struct record a = {0};
	int64_t id = 0;

	fixture_init(&f, false);
	for (unsigned i = 0; i < QMP_PENDING_MAX; i++)
		CU_ASSERT((id = execute(&f, "x", QMP_TIMEOUT_NONE, &a)) > 0);
	CU_ASSERT(execute(&f, "x", QMP_TIMEOUT_NONE, &a) == -ENOBUFS);
	ASSERT_TEXT(qmp_error(f.qmp), "256 commands wait for a reply (at most 256)");
	/* The forgotten make room, however many they are. */
	for (unsigned i = 0; i < 2 * QMP_PENDING_MAX; i++) {
		qmp_cancel(f.qmp, id);
		id = execute(&f, "x", QMP_TIMEOUT_NONE, &a);
		CU_ASSERT(id > 0);
	}
	CU_ASSERT(a.calls == 2 * QMP_PENDING_MAX);
	fixture_release(&f);
	CU_ASSERT(a.calls == 3 * QMP_PENDING_MAX);
}

static json_t *arguments_of(size_t size)
{
	char *text = malloc(size + 1);
	json_t *arguments;

	memset(text, 'a', size);
	text[size] = '\0';
	arguments = json_pack("{s:s}", "x", text);
	free(text);
	return arguments;
}

static void queued_output_is_bounded_and_arrives_whole(void)
{
	struct fixture f;
	size_t heard = 0, commands = 0, size;

	fixture_init(&f, false);
	CU_ASSERT(qmp_execute(f.qmp, "x", arguments_of(QMP_OUTPUT_MAX + 1), 1000, NULL, NULL) ==
		  -ENOBUFS);
	while (qmp_execute(f.qmp, "x", arguments_of(60000), QMP_TIMEOUT_NONE, NULL, NULL) > 0)
		commands++;
	ASSERT_TEXT(qmp_error(f.qmp), "bytes to be taken (at most 1048576)");
	CU_ASSERT(commands > 10 && commands < 40);
	CU_ASSERT(qmp_events(f.qmp) == (POLLIN | POLLOUT));
	do {
		size = strlen(peer_hear(&f));
		heard += size;
		for (const char *p = f.sent; (p = strchr(p, '\n')); p++)
			commands--;
		CU_ASSERT(!fixture_pump(&f));
	} while (size);
	CU_ASSERT(heard > 1 << 20 && commands == 0);
	CU_ASSERT(qmp_events(f.qmp) == POLLIN);
	fixture_release(&f);
}

/* A seqpacket pair shows how many sends there were. */
static void corked_batch_goes_in_one_send(void)
{
	struct fixture f = {0};
	struct record a = {0};
	int pair[2];

	CU_ASSERT_FATAL(!socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair));
	f.peer = pair[1];
	f.qmp = qmp_attach(pair[0], QMP_PEER_QEMU, NULL, NULL, 5000);
	CU_ASSERT_PTR_NOT_NULL_FATAL(f.qmp);
	peer_say(&f, GREETING_OOB);
	peer_reply(&f, id_in(peer_hear(&f)), "\"return\": {}");
	qmp_cork(f.qmp);
	qmp_cork(f.qmp);
	for (unsigned i = 0; i < 200; i++)
		CU_ASSERT(execute(&f, "query-x", QMP_TIMEOUT_NONE, &a) > 0);
	qmp_execute_oob(f.qmp, "yank", NULL, QMP_TIMEOUT_NONE, record_reply, &a);
	qmp_uncork(f.qmp);
	CU_ASSERT(!fixture_pump(&f));
	CU_ASSERT(qmp_events(f.qmp) == POLLIN && !peer_hear(&f)[0]);
	qmp_uncork(f.qmp);
	peer_hear(&f);
	for (const char *p = f.sent; (p = strchr(p, '\n')); p++)
		a.calls++;
	CU_ASSERT(a.calls == 201);
	ASSERT_TEXT(strrchr(f.sent, '{'), "exec-oob"); /* a batch keeps its order */
	CU_ASSERT(!peer_hear(&f)[0]);
	qmp_uncork(f.qmp); /* one too many is harmless */
	CU_ASSERT(execute(&f, "query-x", QMP_TIMEOUT_NONE, NULL) > 0 && peer_hear(&f)[0]);
	fixture_release(&f);
}

static void out_of_band_overtakes_what_waits(void)
{
	struct fixture f;
	const char *yank = NULL;
	size_t before = 0;

	fixture_init(&f, true);
	while (!(qmp_events(f.qmp) & POLLOUT))
		qmp_execute(f.qmp, "slow", arguments_of(30000), QMP_TIMEOUT_NONE, NULL, NULL);
	for (unsigned i = 0; i < 10; i++)
		execute(&f, "after", QMP_TIMEOUT_NONE, NULL);
	qmp_execute_oob(f.qmp, "yank-1", NULL, QMP_TIMEOUT_NONE, NULL, NULL);
	qmp_execute_oob(f.qmp, "yank-2", NULL, QMP_TIMEOUT_NONE, NULL, NULL);
	while (!yank && peer_hear(&f)[0]) {
		yank = strstr(f.sent, "yank-1");
		before += strstr(f.sent, "after") && (!yank || strstr(f.sent, "after") < yank);
		CU_ASSERT(!fixture_pump(&f));
	}
	CU_ASSERT_PTR_NOT_NULL_FATAL(yank);
	CU_ASSERT(!before);
	CU_ASSERT(strstr(yank, "yank-2") && strstr(yank, "yank-2") < strstr(yank, "after"));
	fixture_release(&f);
}

static bool same_file(int a, int b)
{
	struct stat x, y;

	return a >= 0 && !fstat(a, &x) && !fstat(b, &y) && x.st_ino == y.st_ino &&
	       x.st_dev == y.st_dev;
}

static void descriptor_arrives_with_its_command(void)
{
	struct fixture f;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), got;

	fixture_init(&f, true);
	qmp_execute_fd(f.qmp, "getfd", json_pack("{s:s}", "fdname", "a"), null, 1000, NULL, NULL);
	peer_hear_fd(&f, &got);
	ASSERT_TEXT(f.sent, "getfd");
	CU_ASSERT(got != null && same_file(got, null));
	close(got);
	close(null);
	fixture_release(&f);
}

static void descriptor_arrives_with_a_batch(void)
{
	struct fixture f;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), got;

	fixture_init(&f, true);
	peer_hear(&f);
	qmp_cork(f.qmp);
	execute(&f, "stop", QMP_TIMEOUT_NONE, NULL);
	qmp_execute_fd(f.qmp, "add-fd", NULL, null, 1000, NULL, NULL);
	execute(&f, "cont", QMP_TIMEOUT_NONE, NULL);
	qmp_uncork(f.qmp);
	peer_hear_fd(&f, &got);
	ASSERT_TEXT(f.sent, "stop");
	ASSERT_TEXT(f.sent, "add-fd");
	ASSERT_TEXT(f.sent, "cont");
	CU_ASSERT(same_file(got, null));
	close(got);
	close(null);
	fixture_release(&f);
}

/* The batch does not fit the socket: the descriptor went with its first byte and
 * must neither come again nor hold up its own command. */
static void descriptor_arrives_once_with_a_batch_in_parts(void)
{
	struct fixture f;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), got;
	unsigned descriptors = 0, commands = 0;

	fixture_init(&f, true);
	qmp_cork(f.qmp);
	for (unsigned i = 0; i < 16; i++)
		qmp_execute(f.qmp, "x", arguments_of(60000), QMP_TIMEOUT_NONE, NULL, NULL);
	qmp_execute_fd(f.qmp, "add-fd", NULL, null, QMP_TIMEOUT_NONE, NULL, NULL);
	qmp_uncork(f.qmp);
	CU_ASSERT(qmp_events(f.qmp) & POLLOUT);
	while (peer_hear_fd(&f, &got)[0]) {
		commands += strstr(f.sent, "add-fd") != NULL;
		descriptors += got >= 0;
		CU_ASSERT(got < 0 || same_file(got, null));
		if (got >= 0)
			close(got);
		CU_ASSERT(!fixture_pump(&f));
	}
	CU_ASSERT(descriptors == 1 && commands == 1);
	close(null);
	fixture_release(&f);
}

/* QEMU keeps only the newest descriptor until a command takes it. */
static void next_descriptor_waits_for_the_reply_to_the_last(void)
{
	struct fixture f;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), zero = open("/dev/zero", O_RDONLY), got;
	int64_t id;

	fixture_init(&f, true);
	id = qmp_execute_fd(f.qmp, "getfd-1", NULL, null, QMP_TIMEOUT_NONE, NULL, NULL);
	qmp_execute_fd(f.qmp, "getfd-2", NULL, zero, QMP_TIMEOUT_NONE, NULL, NULL);
	execute(&f, "behind", QMP_TIMEOUT_NONE, NULL);
	qmp_execute_oob(f.qmp, "yank", NULL, QMP_TIMEOUT_NONE, NULL, NULL);
	peer_hear_fd(&f, &got);
	ASSERT_TEXT(f.sent, "getfd-1");
	CU_ASSERT(same_file(got, null) && !strstr(f.sent, "getfd-2"));
	close(got);
	/* A kernel may or may not join it to the piece before. */
	if (!strstr(f.sent, "yank"))
		peer_hear(&f);
	ASSERT_TEXT(f.sent, "yank");
	CU_ASSERT(!strstr(f.sent, "behind") && !peer_hear(&f)[0]);
	CU_ASSERT(qmp_events(f.qmp) == POLLIN);
	peer_reply(&f, id, "\"return\": {}");
	peer_hear_fd(&f, &got);
	ASSERT_TEXT(f.sent, "getfd-2");
	ASSERT_TEXT(f.sent, "behind");
	CU_ASSERT(same_file(got, zero));
	close(got);
	close(zero);
	close(null);
	fixture_release(&f);
}

static void unsigned_numbers_keep_their_bits(void)
{
	struct fixture f;
	struct record a = {0};
	char what[128];
	static const uint64_t values[] = {UINT64_MAX, (uint64_t)INT64_MAX + 1, 9999999999999999999u,
					  INT64_MAX, 1};

	fixture_init(&f, false);
	for (unsigned i = 0; i < sizeof(values) / sizeof(*values); i++) {
		int64_t id = execute(&f, "x", QMP_TIMEOUT_NONE, &a);

		snprintf(what, sizeof(what),
			 "\"a\\\"18446744073709551615\": [%llu], \"return\": %llu",
			 (unsigned long long)values[i], (unsigned long long)values[i]);
		CU_ASSERT(!peer_reply(&f, id, what));
		CU_ASSERT(a.calls == i + 1 && (uint64_t)a.result == values[i]);
	}
	CU_ASSERT(peer_say(&f, "{\"return\": 18446744073709551616}") == -EPROTO);
	fixture_release(&f);
}

CASES("qmp command", CASE(replies_find_their_command_in_any_order),
      CASE(unknown_and_repeated_ids_are_dropped), CASE(ids_differ_between_connections),
      CASE(command_is_written_as_the_protocol_wants), CASE(error_reply_brings_class_and_text),
      CASE(error_without_id_ends_the_oldest_command),
      CASE(error_without_id_may_be_a_forgotten_commands),
      CASE(forgotten_command_is_over_with_a_later_reply),
      CASE(deadline_ends_a_command_and_drops_its_late_reply),
      CASE(reply_in_the_socket_beats_the_deadline), CASE(absurd_timeouts_do_not_overflow),
      CASE(cancel_runs_the_reply_at_once_and_only_once),
      CASE(cancelled_before_sending_is_never_sent), CASE(bad_commands_are_refused),
      CASE(pending_commands_are_bounded), CASE(queued_output_is_bounded_and_arrives_whole),
      CASE(corked_batch_goes_in_one_send), CASE(out_of_band_overtakes_what_waits),
      CASE(descriptor_arrives_with_its_command), CASE(descriptor_arrives_with_a_batch),
      CASE(descriptor_arrives_once_with_a_batch_in_parts),
      CASE(next_descriptor_waits_for_the_reply_to_the_last), CASE(unsigned_numbers_keep_their_bits))
