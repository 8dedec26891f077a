/* SPDX-License-Identifier: Apache-2.0
 *
 * Connecting, negotiating, and every way in which a connection ends.
 */
#include <netinet/in.h>
#include <sys/un.h>

#include "qmp_fixture.h"

static void greeting_leads_to_ready(void)
{
	struct fixture f;

	fixture_init(&f, false);
	CU_ASSERT(qmp_state(f.qmp) == QMP_READY);
	CU_ASSERT(qmp_version(f.qmp)->major == 7 && qmp_version(f.qmp)->minor == 2);
	CU_ASSERT(qmp_version(f.qmp)->micro == 22);
	CU_ASSERT_STRING_EQUAL(qmp_version(f.qmp)->package, "Debian");
	CU_ASSERT(!qmp_has_oob(f.qmp));
	CU_ASSERT(!strstr(f.sent, "enable"));
	CU_ASSERT(qmp_deadline(f.qmp) == INT64_MAX);
	CU_ASSERT(qmp_events(f.qmp) == POLLIN);
	fixture_release(&f);
	CU_ASSERT(!f.closed);
}

static void oob_is_enabled_where_offered(void)
{
	struct fixture f;

	fixture_init(&f, true);
	CU_ASSERT(qmp_has_oob(f.qmp));
	ASSERT_TEXT(f.sent, "\"enable\":[\"oob\"]");
	fixture_release(&f);
}

static void negotiation_works_byte_by_byte(void)
{
	struct fixture f;
	char reply[96];

	fixture_attach(&f, QMP_PEER_QEMU, 5000);
	for (const char *p = GREETING_OOB; *p; p++) {
		peer_send_bytes(&f, p, 1);
		CU_ASSERT(!fixture_pump(&f));
	}
	CU_ASSERT(qmp_state(f.qmp) == QMP_NEGOTIATING);
	snprintf(reply, sizeof(reply), "{\n \"return\": {\n },\n \"id\": %lld\n}\n",
		 (long long)id_in(peer_hear(&f)));
	for (const char *p = reply; *p; p++) {
		peer_send_bytes(&f, p, 1);
		CU_ASSERT(!fixture_pump(&f));
	}
	CU_ASSERT(f.ready == 1);
	fixture_release(&f);
}

/* What a peer says instead of a greeting, and what the sentence then quotes. */
static void other_protocols_are_named(void)
{
	static const struct {
		const char *said, *sentence;
	} cases[] = {
		{"SSH-2.0-OpenSSH_9.2p1\r\n", "it sent \"SSH-2.0-OpenSSH_9.2p1\" where a greeting"},
		{"RFB 003.008\n", "it sent \"RFB 003.008\" where a greeting was expected"},
		{"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
		 "it sent \"HTTP/1.1 400 Bad Request  Connection: close  Con...\" where"},
		{"\x01\xfe\n", "it sent \"\\x01\\xfe\" where"},
		{"{\"hello\": 1}", "it sent {\"hello\":1} where"},
		{"{\"return\": {}, \"id\": 7}", "it sent {\"return\":{},\"id\":7} where"},
		{"{\"QMP\": {\"version\": 8}}", "it sent {\"QMP\":{\"version\":8}} where"},
		{"{\"QMP\": }", "it sent \"{\"QMP\": }\" where"},
		{"{\"QMP\": \"\xc3\x28\"}", "where a greeting was expected (unable to decode byte"},
	};

	for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct fixture f;

		fixture_attach(&f, QMP_PEER_QEMU, 5000);
		CU_ASSERT(peer_say(&f, cases[i].said) == -EPROTO);
		CU_ASSERT(f.closed == 1 && f.closed_status == -EPROTO && !f.ready);
		ASSERT_TEXT(qmp_error(f.qmp), "socket ");
		ASSERT_TEXT(qmp_error(f.qmp), "does not speak QMP");
		ASSERT_TEXT(qmp_error(f.qmp), cases[i].sentence);
		CU_ASSERT(qmp_fd(f.qmp) == -1 && !qmp_events(f.qmp));
		CU_ASSERT(qmp_process(f.qmp, POLLIN) == -EPROTO && f.closed == 1);
		fixture_release(&f);
	}
}

static void refused_capabilities_end_the_connection(void)
{
	struct fixture f;

	fixture_attach(&f, QMP_PEER_QEMU, 5000);
	peer_say(&f, GREETING_OOB);
	peer_reply(&f, id_in(peer_hear(&f)), "\"error\": {\"class\": \"X\", \"desc\": \"no\"}");
	CU_ASSERT(f.closed_status == -EPROTO);
	ASSERT_TEXT(qmp_error(f.qmp), "refused to negotiate capabilities: no");
	fixture_release(&f);
}

static void silence_ends_at_the_deadline(void)
{
	static const struct {
		enum qmp_peer peer;
		const char *said, *sentence;
	} cases[] = {
		{QMP_PEER_QEMU, "", "no greeting within 500 ms; a monitor serves one client"},
		{QMP_PEER_QEMU, GREETING_OOB, "no reply to qmp_capabilities within 500 ms"},
		{QMP_PEER_AGENT, "", "no answer from the guest agent within 500 ms"},
	};

	for (unsigned i = 0; i < 3; i++) {
		int64_t start_ms = now_ms();
		struct fixture f;
		int status;

		fixture_attach(&f, cases[i].peer, 500);
		CU_ASSERT(qmp_deadline(f.qmp) < INT64_MAX);
		status = peer_say(&f, cases[i].said);
		CU_ASSERT(!status || now_ms() - start_ms >= 500); /* a machine that stood still */
		usleep(510000);
		CU_ASSERT(qmp_process(f.qmp, 0) == -ETIMEDOUT);
		CU_ASSERT(f.closed == 1 && f.closed_status == -ETIMEDOUT);
		ASSERT_TEXT(qmp_error(f.qmp), cases[i].sentence);
		fixture_release(&f);
	}
}

static void end_of_the_peer_ends_all_commands_first(void)
{
	struct fixture f;
	struct record a = {0}, b = {0};

	fixture_init(&f, false);
	execute(&f, "query-status", QMP_TIMEOUT_NONE, &a);
	execute(&f, "quit", QMP_TIMEOUT_NONE, &b);
	close(f.peer);
	f.peer = -1;
	CU_ASSERT(fixture_pump(&f) == -ECONNRESET);
	CU_ASSERT(a.calls == 1 && a.status == -ECONNRESET);
	CU_ASSERT(b.calls == 1 && b.status == -ECONNRESET);
	CU_ASSERT(f.closed == 1 && f.closed_status == -ECONNRESET);
	CU_ASSERT(execute(&f, "stop", 1000, &a) == -ENOTCONN);
	CU_ASSERT(a.calls == 1);
	fixture_release(&f);
}

/* QEMU's "quit": the reply and SHUTDOWN are in the socket, the peer is gone, and
 * the next command's write fails before they are read. */
static void last_words_are_heard_after_a_failed_write(void)
{
	struct fixture f;
	struct record a = {0}, b = {0};
	int64_t id;

	fixture_init(&f, false);
	id = execute(&f, "quit", QMP_TIMEOUT_NONE, &a);
	peer_hear(&f);
	dprintf(f.peer, "{\"return\": 5, \"id\": %lld}\n{\"event\": \"SHUTDOWN\"}\n",
		(long long)id);
	close(f.peer);
	f.peer = -1;
	CU_ASSERT(execute(&f, "query-status", QMP_TIMEOUT_NONE, &b) > 0);
	CU_ASSERT(!b.calls && !f.closed);
	CU_ASSERT(qmp_deadline(f.qmp) == 0);
	CU_ASSERT(qmp_process(f.qmp, 0) < 0);
	CU_ASSERT(a.calls == 1 && a.status == 0 && a.result == 5);
	CU_ASSERT_STRING_EQUAL(f.events, "SHUTDOWN ");
	CU_ASSERT(b.calls == 1 && b.status == -ECONNRESET);
	CU_ASSERT(f.closed == 1);
	fixture_release(&f);
}

static void end_inside_a_message_is_told(void)
{
	struct fixture f;

	fixture_init(&f, false);
	peer_say(&f, "{\"return\": [");
	shutdown(f.peer, SHUT_RDWR);
	CU_ASSERT(fixture_pump(&f) == -ECONNRESET);
	ASSERT_TEXT(qmp_error(f.qmp), "closed the connection in the middle of a message");
	fixture_release(&f);
}

/* Garbage after READY: each ends the connection with what was received. */
static void garbage_ends_the_connection(void)
{
	static const struct {
		const char *said, *sentence;
	} cases[] = {
		{"garbage", "sent \"garbage\", which is no QMP message"},
		{"{\"return\": 1,}", "which is no QMP message ("},
		{"{]", "sent \"{]\", which is no QMP message ("},
		{"{\"return\": \"\x80\"}", "which is no QMP message (unable to decode byte 0x80"},
		{"{\"return\": 1e999}", "which is no QMP message (real number overflow"},
		{"{\"greeting\": 1}", "sent a message that is no reply and no event"},
		{"{\"event\": 7}", "sent an event without a name"},
	};

	for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct fixture f;
		struct record a = {0};

		fixture_init(&f, false);
		execute(&f, "stop", QMP_TIMEOUT_NONE, &a);
		CU_ASSERT(peer_say(&f, cases[i].said) == -EPROTO);
		CU_ASSERT(f.closed == 1 && f.closed_status == -EPROTO);
		CU_ASSERT(a.calls == 1 && a.status == -ECONNRESET);
		ASSERT_TEXT(qmp_error(f.qmp), cases[i].sentence);
		ASSERT_TEXT(a.text, cases[i].sentence);
		fixture_release(&f);
	}
}

static void endless_and_deep_messages_end_the_connection(void)
{
	struct fixture f;
	char block[32768];
	size_t sent = 0;

	fixture_init(&f, false);
	memset(block, '[', sizeof(block));
	peer_send_bytes(&f, "{\"return\":", 10);
	peer_send_bytes(&f, block, 1000);
	CU_ASSERT(fixture_pump(&f) == -EPROTO);
	ASSERT_TEXT(qmp_error(f.qmp), "nested deeper than 128");
	fixture_release(&f);

	fixture_init(&f, false);
	memset(block, 'a', sizeof(block));
	peer_send_bytes(&f, "{\"return\":\"", 11);
	while (!fixture_pump(&f) && sent < 2 * QMP_MESSAGE_MAX) {
		peer_send_bytes(&f, block, sizeof(block));
		sent += sizeof(block);
	}
	CU_ASSERT(sent <= QMP_MESSAGE_MAX + 2 * sizeof(block));
	ASSERT_TEXT(qmp_error(f.qmp), "longer than 8388608 bytes");
	fixture_release(&f);
}

static void message_of_the_greatest_length_passes(void)
{
	struct fixture f;
	struct record a = {0};
	char block[32768], tail[64];
	size_t left;
	int n;

	fixture_init(&f, false);
	n = snprintf(tail, sizeof(tail), "\",\"return\":3,\"id\":%lld}",
		     (long long)execute(&f, "query-x", QMP_TIMEOUT_NONE, &a));
	memset(block, 'a', sizeof(block));
	peer_send_bytes(&f, "{\"pad\":\"", 8);
	for (left = QMP_MESSAGE_MAX - 8 - (size_t)n; left;) {
		size_t size = left < sizeof(block) ? left : sizeof(block);

		peer_send_bytes(&f, block, size);
		CU_ASSERT_FATAL(!fixture_pump(&f));
		left -= size;
	}
	CU_ASSERT(!peer_say(&f, tail));
	CU_ASSERT(a.calls == 1 && a.result == 3);
	fixture_release(&f);
}

/* An agent's stream: the end of an earlier client's reply, a whole one, half a
 * message, another client's sync; then ours. */
static void agent_is_synchronised_through_leftovers(void)
{
	struct fixture f;
	struct record a = {0};
	int64_t number;
	char text[64];

	fixture_attach(&f, QMP_PEER_AGENT, 5000);
	CU_ASSERT((unsigned char)peer_hear(&f)[0] == 0xff);
	ASSERT_TEXT(f.sent, "guest-sync-delimited");
	number = id_in(f.sent);
	CU_ASSERT(!peer_say(&f, "tail\"}]\n{\"return\": {}}\n{\"error\": {\"cla"));
	CU_ASSERT(!peer_say(&f, "garbage {\"ret\xff{\"return\": 12345}\n"));
	CU_ASSERT(!f.ready && qmp_state(f.qmp) == QMP_NEGOTIATING);
	snprintf(text, sizeof(text), "\xff{\"return\": %lld}\n", (long long)number);
	for (const char *p = text; *p; p++) {
		peer_send_bytes(&f, p, 1);
		fixture_pump(&f);
	}
	CU_ASSERT(f.ready == 1);
	/* A sentinel later on, and replies without ids, as old agents send them. */
	execute(&f, "guest-ping", QMP_TIMEOUT_NONE, &a);
	CU_ASSERT(!peer_say(&f, "\xff{\"return\": 9}\n"));
	CU_ASSERT(a.calls == 1 && a.result == 9);
	fixture_release(&f);
}

static void bad_addresses_are_refused_with_a_sentence(void)
{
	static const struct {
		const char *address;
		int error;
		const char *sentence;
	} cases[] = {
		{"/nowhere/qmp.sock", ENOENT, "/nowhere/qmp.sock: cannot connect: No such file"},
		{"unix:", EINVAL, "the address of the monitor is empty"},
		{"", EINVAL, "the address of the monitor is empty"},
		{"tcp:localhost", EINVAL, "tcp:localhost is no address: write tcp:HOST:PORT"},
		{"tcp:localhost:0", EINVAL, "is no address"},
		{"tcp:localhost:65536", EINVAL, "is no address"},
		{"tcp:localhost:4444x", EINVAL, "is no address"},
		{"tcp::4444", EINVAL, "is no address"},
		{"tcp:no-such-host.invalid:4444", ENOENT, "\"no-such-host.invalid\" is neither"},
	};
	char path[200], text[512];

	for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		CU_ASSERT(!qmp_connect(cases[i].address, QMP_PEER_QEMU, NULL, NULL, 1000, text,
				       sizeof(text)));
		CU_ASSERT(errno == cases[i].error);
		ASSERT_TEXT(text, cases[i].sentence);
	}
	memset(path, 'x', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	CU_ASSERT(!qmp_connect(path, QMP_PEER_QEMU, NULL, NULL, 1000, text, sizeof(text)));
	CU_ASSERT(errno == ENAMETOOLONG);
	ASSERT_TEXT(text, "at most 107 bytes, this one has 199");
	CU_ASSERT(!qmp_connect("", QMP_PEER_QEMU, NULL, NULL, 1000, NULL, 0));
}

static int listen_on(const struct sockaddr *address, socklen_t size, int backlog)
{
	int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	CU_ASSERT_FATAL(fd >= 0 && !bind(fd, address, size) && !listen(fd, backlog));
	return fd;
}

static int qmp_poll(struct qmp *qmp, int timeout_ms)
{
	struct pollfd poll_fd = {qmp_fd(qmp), qmp_events(qmp), 0};

	poll(&poll_fd, 1, timeout_ms);
	return qmp_process(qmp, poll_fd.revents);
}

static void tcp_connects_by_number_and_by_name(void)
{
	static const char *const hosts[] = {"127.0.0.1", "localhost", "[::ffff:127.0.0.1]"};
	static const struct qmp_callbacks callbacks = {fixture_ready, fixture_event,
						       fixture_closed};

	for (unsigned i = 0; i < 3; i++) {
		struct sockaddr_in in = {.sin_family = AF_INET,
					 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
		socklen_t size = sizeof(in);
		int listener = listen_on((struct sockaddr *)&in, sizeof(in), 1);
		struct fixture f = {0};
		char address[64];

		getsockname(listener, (struct sockaddr *)&in, &size);
		snprintf(address, sizeof(address), "tcp:%s:%u", hosts[i], ntohs(in.sin_port));
		f.qmp = qmp_connect(address, QMP_PEER_QEMU, &callbacks, &f, 5000, NULL, 0);
		CU_ASSERT_PTR_NOT_NULL_FATAL(f.qmp);
		f.peer = accept(listener, NULL, NULL);
		dprintf(f.peer, GREETING, "");
		for (unsigned n = 0; n < 10 && qmp_state(f.qmp) != QMP_NEGOTIATING; n++)
			CU_ASSERT(!qmp_poll(f.qmp, 1000));
		peer_reply(&f, id_in(peer_hear(&f)), "\"return\": {}");
		for (unsigned n = 0; n < 10 && !f.ready; n++)
			CU_ASSERT(!qmp_poll(f.qmp, 1000));
		CU_ASSERT(f.ready == 1);
		CU_ASSERT(qmp_execute_fd(f.qmp, "getfd", NULL, 0, 1000, NULL, NULL) == -ENOTSUP);
		ASSERT_TEXT(qmp_error(f.qmp), "over a unix socket only");
		fixture_release(&f);
		close(listener);
	}
}

static void refused_tcp_connection_is_told(void)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(in);
	int listener = listen_on((struct sockaddr *)&in, sizeof(in), 1);
	char address[64], text[256] = "";
	struct qmp *qmp;

	getsockname(listener, (struct sockaddr *)&in, &size);
	close(listener);
	snprintf(address, sizeof(address), "tcp:127.0.0.1:%u", ntohs(in.sin_port));
	qmp = qmp_connect(address, QMP_PEER_QEMU, NULL, NULL, 5000, text, sizeof(text));
	if (qmp) {
		CU_ASSERT(qmp_poll(qmp, 1000) == -ECONNREFUSED);
		snprintf(text, sizeof(text), "%s", qmp_error(qmp));
	}
	ASSERT_TEXT(text, "cannot connect: Connection refused");
	qmp_free(qmp);
}

static void monitor_with_others_waiting_is_busy(void)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	struct qmp *clients[8] = {0};
	char text[256] = "";
	int listener;
	unsigned n = 0;

	snprintf(un.sun_path, sizeof(un.sun_path), "/tmp/qmp-test-%d.sock", getpid());
	unlink(un.sun_path);
	listener = listen_on((struct sockaddr *)&un, sizeof(un), 0);
	do {
		clients[n] = qmp_connect(un.sun_path, QMP_PEER_QEMU, NULL, NULL, 1000, text,
					 sizeof(text));
	} while (clients[n] && ++n < 8);
	CU_ASSERT(n > 0 && n < 8);
	CU_ASSERT(errno == EBUSY);
	ASSERT_TEXT(text, "other clients wait for this monitor already");
	while (n)
		qmp_free(clients[--n]);
	close(listener);
	unlink(un.sun_path);
}

static void attach_refuses_what_is_no_socket(void)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	CU_ASSERT(!qmp_attach(fd, QMP_PEER_QEMU, NULL, NULL, 1000));
	CU_ASSERT(errno == ENOTSOCK);
	CU_ASSERT(fcntl(fd, F_GETFD) >= 0);
	close(fd);
	CU_ASSERT(!qmp_attach(-1, QMP_PEER_QEMU, NULL, NULL, 1000));
	qmp_free(NULL);
}

CASES("qmp connection", CASE(greeting_leads_to_ready), CASE(oob_is_enabled_where_offered),
      CASE(negotiation_works_byte_by_byte), CASE(other_protocols_are_named),
      CASE(refused_capabilities_end_the_connection), CASE(silence_ends_at_the_deadline),
      CASE(end_of_the_peer_ends_all_commands_first),
      CASE(last_words_are_heard_after_a_failed_write), CASE(end_inside_a_message_is_told),
      CASE(garbage_ends_the_connection), CASE(endless_and_deep_messages_end_the_connection),
      CASE(message_of_the_greatest_length_passes), CASE(agent_is_synchronised_through_leftovers),
      CASE(bad_addresses_are_refused_with_a_sentence), CASE(tcp_connects_by_number_and_by_name),
      CASE(refused_tcp_connection_is_told), CASE(monitor_with_others_waiting_is_busy),
      CASE(attach_refuses_what_is_no_socket))
