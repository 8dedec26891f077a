/* SPDX-License-Identifier: Apache-2.0 */
#include <CUnit/CUnit.h>
#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "alloc_fail.h"
#include "cunit_main.h"
#include "nbd.h"
#include "nbd_server.h"

#define BLOCK 65536
#define MIB (1024 * 1024)
#define DIRTY "qemu:dirty-bitmap:b0"
#define ALLOCATION "base:allocation"

static char dir[64];
static char path[96];
static struct ring *ring;
static struct nbd_source *source;
static pid_t server;

static void setup(void)
{
	struct errinfo err = {0};

	strcpy(dir, "/tmp/nbd_test.XXXXXX");
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/sock", dir);
	CU_ASSERT_EQUAL_FATAL(ring_new(&ring, 64, &err), 0);
	source = NULL;
	server = 0;
}

static void teardown(void)
{
	nbd_source_close(source);
	ring_free(ring);
	nbd_server_kill(server);
	unlink(path);
	CU_ASSERT_EQUAL(rmdir(dir), 0);
}

/* nbdkit with the words of WORDS behind its own options.  One thread: several of 1.32's run into
 * an assertion when a connection closes while one of them answers. */
static void nbdkit(char *words)
{
	char *argv[24] = {"nbdkit", "-f", "--exit-with-parent", "-t", "1", "-U", path};
	unsigned count = 7;

	for (char *word = strtok(words, " "); word && count < 23; word = strtok(NULL, " "))
		argv[count++] = word;
	server = nbd_server_start(path, argv);
	CU_ASSERT_FATAL(server > 0);
}

struct connection {
	int runs;
	int status;
	char text[ERRINFO_TEXT_MAX];
};

static void connected(void *arg, int status, const struct errinfo *error)
{
	struct connection *connection = arg;

	connection->runs++;
	connection->status = status;
	strcpy(connection->text, error->text);
}

/* Open and wait; what open itself says counts as the result. */
static struct connection open_source(const char *name, const char *context)
{
	struct connection connection = {0};
	struct errinfo err = {0};
	int ret = nbd_source_open(&source, ring, path, name, context, connected, &connection, &err);

	if (ret) {
		CU_ASSERT_PTR_NULL(source);
		connection.status = ret;
		strcpy(connection.text, err.text);
		return connection;
	}
	CU_ASSERT_EQUAL(connection.runs, 0);
	while (!connection.runs)
		CU_ASSERT_FATAL(ring_run(ring) > 0);
	return connection;
}

static void open_good(const char *context)
{
	struct connection connection = open_source("", context);

	CU_ASSERT_EQUAL(connection.status, 0);
	CU_ASSERT_EQUAL(connection.text[0], '\0');
	if (connection.status)
		printf("%s\n", connection.text);
}

struct answer {
	int runs;
	int status;
	unsigned count;
	uint64_t end;
	struct nbd_extent extents[NBD_SOURCE_EXTENTS_MAX];
};

static void read_answer(void *arg, int status)
{
	struct answer *answer = arg;

	answer->runs++;
	answer->status = status;
}

/* Keeps the extents, after seeing that they are contiguous. */
static void extents_answer(void *arg, int status, const struct nbd_extent *extents, unsigned count)
{
	struct answer *answer = arg;

	answer->runs++;
	answer->status = status;
	answer->count = count;
	CU_ASSERT_EQUAL(status == 0, count > 0);
	CU_ASSERT_FATAL(count <= NBD_SOURCE_EXTENTS_MAX);
	for (unsigned i = 0; i < count; i++) {
		CU_ASSERT(extents[i].length > 0);
		CU_ASSERT(!i || extents[i].offset == extents[i - 1].offset + extents[i - 1].length);
		CU_ASSERT(!i || extents[i].flags != extents[i - 1].flags);
		answer->extents[i] = extents[i];
		answer->end = extents[i].offset + extents[i].length;
	}
}

static void run_until_answered(const struct answer *answer)
{
	while (!answer->runs)
		CU_ASSERT_FATAL(ring_run(ring) > 0);
	CU_ASSERT_EQUAL(answer->runs, 1);
}

static int await_read(void *buffer, uint32_t length, uint64_t offset)
{
	struct answer answer = {0};
	int ret = nbd_source_read(source, buffer, length, offset, read_answer, &answer);

	if (ret)
		return ret;
	CU_ASSERT_EQUAL(answer.runs, 0);
	run_until_answered(&answer);
	return answer.status;
}

static int await_extents(struct answer *answer, uint64_t offset, uint64_t length)
{
	int ret;

	memset(answer, 0, sizeof(*answer));
	ret = nbd_source_extents(source, offset, length, extents_answer, answer);
	if (ret)
		return ret;
	CU_ASSERT_EQUAL(answer->runs, 0);
	run_until_answered(answer);
	CU_ASSERT(!answer->count || answer->extents[0].offset == offset);
	return answer->status;
}

static void reads_give_the_exports_bytes(void)
{
	char words[] = "pattern 67109376"; /* 64 MiB and a sector: offsets as data */
	uint64_t *buffer = malloc(32 * MIB);

	setup();
	nbdkit(words);
	for (int round = 0; round < 2; round++) {
		open_good(round ? ALLOCATION : NULL);
		CU_ASSERT_EQUAL(nbd_source_size(source), 64 * MIB + 512);
		CU_ASSERT_PTR_NOT_NULL(strstr(nbd_source_label(source), path));
		for (unsigned i = 0; i < 3; i++) {
			uint64_t offset = i * 16 * MIB + i * 256;

			memset(buffer, 0xff, 32 * MIB);
			CU_ASSERT_EQUAL(await_read(buffer, 32 * MIB, offset), 0);
			for (unsigned j = 0; j < 32 * MIB / 8; j += 61)
				CU_ASSERT_FATAL(be64toh(buffer[j]) == offset + j * 8);
		}
		CU_ASSERT_EQUAL(await_read(buffer, 512, 64 * MIB), 0);
		CU_ASSERT_EQUAL(be64toh(buffer[63]), 64 * MIB + 504);
		CU_ASSERT_EQUAL(await_read(buffer, 1024, 64 * MIB), -EINVAL);
		CU_ASSERT_EQUAL(await_read(buffer, 512, UINT64_MAX - 511), -EINVAL);
		CU_ASSERT_EQUAL(await_read(buffer, 0, 0), -EINVAL);
		nbd_source_close(source);
	}
	source = NULL;
	teardown();
	free(buffer);
}

static void who_is_not_there_is_named(void)
{
	struct connection connection;

	setup();
	connection = open_source("vda", NULL);
	CU_ASSERT_EQUAL(connection.status, -ENOENT);
	CU_ASSERT_PTR_NOT_NULL(strstr(connection.text, "'vda'"));
	CU_ASSERT_PTR_NOT_NULL(strstr(connection.text, path));
	CU_ASSERT_PTR_NOT_NULL(strstr(connection.text, "No such file"));
	teardown();
}

static void a_socket_nobody_listens_at_is_an_error(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	setup();
	strcpy(address.sun_path, path);
	CU_ASSERT_EQUAL(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	CU_ASSERT_EQUAL(open_source("", NULL).status, -ECONNREFUSED);
	close(fd);
	teardown();
}

static void an_unknown_export_is_refused(void)
{
	char words[] = "--filter=exportname memory 1M exportname=vda exportname-strict=true";
	struct connection connection;

	setup();
	nbdkit(words);
	connection = open_source("vdb", NULL);
	CU_ASSERT(connection.status < 0);
	CU_ASSERT_PTR_NOT_NULL(strstr(connection.text, "'vdb'"));
	CU_ASSERT_EQUAL(nbd_source_read(source, NULL, 512, 0, read_answer, NULL), -ENOTCONN);
	nbd_source_close(source);
	CU_ASSERT_EQUAL(open_source("vda", NULL).status, 0);
	teardown();
}

static void a_missing_context_is_not_supported(void)
{
	char words[] = "memory 1M";
	struct connection connection;

	setup();
	nbdkit(words);
	connection = open_source("", DIRTY);
	CU_ASSERT_EQUAL(connection.status, -ENOTSUP);
	CU_ASSERT_PTR_NOT_NULL(strstr(connection.text, DIRTY));
	teardown();
}

static void extents_without_context_are_refused(void)
{
	char words[] = "memory 1M";
	struct answer answer;

	setup();
	nbdkit(words);
	open_good(NULL);
	CU_ASSERT(await_extents(&answer, 0, MIB) < 0);
	CU_ASSERT_EQUAL(answer.runs, 0);
	teardown();
}

/* nbdkit keeps pages of 32 KiB; everything without data is a zero hole. */
static void extents_tell_data_from_holes(void)
{
	char words[] = "data 1@65536,2@1048576,3 size=1T";
	struct answer *answer = malloc(sizeof(*answer));

	setup();
	for (char *comma = words; (comma = strchr(comma, ','));)
		*comma = '\t'; /* blanks in the data, not between words */
	nbdkit(words);
	open_good(ALLOCATION);
	CU_ASSERT_EQUAL(nbd_source_size(source), UINT64_C(1) << 40);
	CU_ASSERT_EQUAL(await_extents(answer, 0, 2 * MIB), 0);
	CU_ASSERT_EQUAL(answer->end, 2 * MIB);
	CU_ASSERT_EQUAL(answer->count, 6);
	CU_ASSERT_EQUAL(answer->extents[0].flags, 0);
	CU_ASSERT_EQUAL(answer->extents[0].length, 32768);
	CU_ASSERT_EQUAL(answer->extents[1].flags, 3);
	CU_ASSERT_EQUAL(answer->extents[4].flags, 0);
	CU_ASSERT_EQUAL(answer->extents[4].offset, MIB);
	CU_ASSERT_EQUAL(await_extents(answer, MIB + 512, 512), 0);
	CU_ASSERT_EQUAL(answer->count, 1);
	CU_ASSERT_EQUAL(answer->end, MIB + 1024);
	/* More than 32 bits: cut, not refused. */
	CU_ASSERT_EQUAL(await_extents(answer, 0, UINT64_C(1) << 40), 0);
	CU_ASSERT_EQUAL(answer->end, NBD_SOURCE_STATUS_BYTES_MAX);
	CU_ASSERT_EQUAL(await_extents(answer, (UINT64_C(1) << 40) - 512, 512), 0);
	CU_ASSERT_EQUAL(await_extents(answer, (UINT64_C(1) << 40) - 512, 1024), -EINVAL);
	teardown();
	free(answer);
}

static void the_queue_has_a_bound(void)
{
	char words[] = "--filter=delay memory 16M delay-read=50ms delay-extents=50ms";
	struct answer *answers = calloc(NBD_SOURCE_IN_FLIGHT + 1, sizeof(*answers));
	uint8_t *buffer = malloc(NBD_SOURCE_IN_FLIGHT * 4096);
	const unsigned status = NBD_SOURCE_STATUS_IN_FLIGHT;

	setup();
	nbdkit(words);
	open_good(ALLOCATION);
	for (unsigned i = 0; i < status; i++)
		CU_ASSERT_EQUAL(nbd_source_extents(source, 0, MIB, extents_answer, &answers[i]), 0);
	CU_ASSERT_EQUAL(nbd_source_extents(source, 0, MIB, extents_answer, &answers[status]),
			-EBUSY);
	for (unsigned i = status; i < NBD_SOURCE_IN_FLIGHT; i++)
		CU_ASSERT_EQUAL(nbd_source_read(source, buffer + i * 4096, 4096, i * 4096,
						read_answer, &answers[i]),
				0);
	CU_ASSERT_EQUAL(nbd_source_read(source, buffer, 4096, 0, read_answer, &answers[16]),
			-EBUSY);
	for (unsigned i = 0; i < NBD_SOURCE_IN_FLIGHT; i++) {
		run_until_answered(&answers[i]);
		CU_ASSERT_EQUAL(answers[i].status, 0);
	}
	CU_ASSERT_EQUAL(answers[16].runs, 0);
	CU_ASSERT_EQUAL(await_read(buffer, 4096, 0), 0);
	teardown();
	free(answers);
	free(buffer);
}

static void a_killed_server_ends_every_request_once(void)
{
	char words[] = "--filter=delay memory 16M delay-read=60";
	struct answer *answers = calloc(NBD_SOURCE_IN_FLIGHT, sizeof(*answers));
	uint8_t *buffer = malloc(NBD_SOURCE_IN_FLIGHT * 4096);
	struct ring_wait wait;

	setup();
	nbdkit(words);
	open_good(ALLOCATION);
	for (unsigned i = 0; i < NBD_SOURCE_IN_FLIGHT; i++)
		CU_ASSERT_EQUAL(nbd_source_read(source, buffer + i * 4096, 4096, i * 4096,
						read_answer, &answers[i]),
				0);
	ring_wait_init(&wait);
	ring_timer(ring, &wait.op, ring_now_ns() + 20 * 1000 * 1000);
	CU_ASSERT_EQUAL(ring_await(ring, &wait), 0);
	nbd_server_kill(server);
	server = 0;
	for (unsigned i = 0; i < NBD_SOURCE_IN_FLIGHT; i++) {
		run_until_answered(&answers[i]);
		CU_ASSERT_EQUAL(answers[i].status, -ENOTCONN);
	}
	CU_ASSERT_EQUAL(nbd_source_read(source, buffer, 512, 0, read_answer, NULL), -ENOTCONN);
	/* A dead connection has nothing pending. */
	while (ring_run(ring) > 0)
		;
	teardown();
	free(answers);
	free(buffer);
}

static void closing_ends_every_request_before_it_returns(void)
{
	char words[] = "--filter=delay memory 16M delay-read=60 delay-extents=60";
	struct answer *answers = calloc(3, sizeof(*answers));
	uint8_t buffer[1024];

	setup();
	nbdkit(words);
	for (int run_first = 0; run_first < 2; run_first++) {
		struct ring_wait wait;

		memset(answers, 0, 3 * sizeof(*answers));
		open_good(ALLOCATION);
		nbd_source_read(source, buffer, 512, 0, read_answer, &answers[0]);
		nbd_source_read(source, buffer + 512, 512, 512, read_answer, &answers[1]);
		nbd_source_extents(source, 0, MIB, extents_answer, &answers[2]);
		ring_wait_init(&wait);
		ring_timer(ring, &wait.op, ring_now_ns() + 5 * 1000 * 1000);
		if (run_first)
			CU_ASSERT_EQUAL(ring_await(ring, &wait), 0);
		nbd_source_close(source);
		for (unsigned i = 0; i < 3; i++) {
			CU_ASSERT_EQUAL(answers[i].runs, 1);
			CU_ASSERT_EQUAL(answers[i].status, -ECANCELED);
		}
		if (!run_first)
			CU_ASSERT_EQUAL(ring_await(ring, &wait), 0);
		while (ring_run(ring) > 0)
			;
	}
	source = NULL;
	teardown();
	free(answers);
}

static void closing_while_connecting_is_quiet(void)
{
	struct connection connection = {0};
	struct errinfo err = {0};
	char words[] = "memory 1M";

	setup();
	nbdkit(words);
	CU_ASSERT_EQUAL(
	    nbd_source_open(&source, ring, path, "", NULL, connected, &connection, &err), 0);
	nbd_source_close(source);
	while (ring_run(ring) > 0)
		;
	source = NULL;
	CU_ASSERT_EQUAL(connection.runs, 0);
	nbd_source_close(NULL);
	teardown();
}

static void close_it(void *arg, int status)
{
	struct answer *answer = arg;
	struct nbd_source *closing = source;

	answer->runs++;
	source = NULL;
	nbd_source_close(closing);
}

static void close_at_extents(void *arg, int status, const struct nbd_extent *extents,
			     unsigned count)
{
	close_it(arg, status);
}

static void close_at_connected(void *arg, int status, const struct errinfo *error)
{
	close_it(arg, status);
}

static void closing_inside_a_callback_is_safe(void)
{
	struct answer *answers = calloc(4, sizeof(*answers));
	struct errinfo err = {0};
	char words[] = "memory 1M";
	uint8_t buffer[1024];

	setup();
	nbdkit(words);
	open_good(ALLOCATION);
	nbd_source_read(source, buffer, 512, 0, close_it, &answers[0]);
	nbd_source_read(source, buffer + 512, 512, 0, read_answer, &answers[1]);
	run_until_answered(&answers[0]);
	CU_ASSERT_EQUAL(answers[1].runs, 1);
	while (ring_run(ring) > 0)
		;
	open_good(ALLOCATION);
	nbd_source_extents(source, 0, MIB, close_at_extents, &answers[2]);
	run_until_answered(&answers[2]);
	while (ring_run(ring) > 0)
		;
	CU_ASSERT_EQUAL(
	    nbd_source_open(&source, ring, path, "", NULL, close_at_connected, &answers[3], &err),
	    0);
	run_until_answered(&answers[3]);
	while (ring_run(ring) > 0)
		;
	teardown();
	free(answers);
}

static bool is_idle(void)
{
	struct rusage before, after;
	struct ring_wait wait;
	int runs = 0;

	ring_wait_init(&wait);
	ring_timer(ring, &wait.op, ring_now_ns() + 100 * 1000 * 1000);
	getrusage(RUSAGE_SELF, &before);
	while (wait.op.pending) {
		CU_ASSERT_FATAL(ring_run(ring) > 0);
		runs++;
	}
	getrusage(RUSAGE_SELF, &after);
	return runs <= 2 && after.ru_nvcsw - before.ru_nvcsw <= 3;
}

static void an_idle_connection_uses_no_processor(void)
{
	char words[] = "memory 1M";
	bool idle = false;

	setup();
	nbdkit(words);
	open_good(ALLOCATION);
	/* One that polls never is; to wait for a page, as for the answer, is not polling. */
	for (int i = 0; i < 10 && !idle; i++)
		idle = is_idle();
	CU_ASSERT(idle);
	teardown();
}

static void a_failed_read_gives_the_servers_errno_and_goes_on(void)
{
	char words[] = "--filter=error memory 1M error-pread=ENOSPC error-pread-rate=100%";
	uint8_t buffer[512];

	setup();
	nbdkit(words);
	open_good(NULL);
	CU_ASSERT_EQUAL(await_read(buffer, 512, 0), -ENOSPC);
	CU_ASSERT_EQUAL(await_read(buffer, 512, 512), -ENOSPC);
	teardown();
}

/* --- servers that are not to be trusted --- */

enum nonsense {
	EMPTY_RUN,
	NO_RUNS,
	NO_CHUNK,
	OTHER_CONTEXT,
	TOO_LONG,
	MANY,
	EQUAL_NEIGHBOURS,
	ODD_ERROR,
	TWICE,
	HANG_UP,
	SHORT_DATA,
	LONG_DATA,
	NO_DATA,
};

static bool serve_nonsense(const struct fake_request *request, void *arg)
{
	static uint32_t runs[2 * 5000];
	static uint8_t data[8192];
	enum nonsense nonsense = *(enum nonsense *)arg;

	runs[0] = 65536;
	switch (nonsense) {
	case EMPTY_RUN:
		runs[2] = 0;
		return fake_status(request, runs, 2, FAKE_CONTEXT_ID);
	case NO_RUNS:
		return fake_status(request, runs, 0, FAKE_CONTEXT_ID);
	case NO_CHUNK:
	case NO_DATA:
		return fake_done(request);
	case OTHER_CONTEXT:
		return fake_status(request, runs, 1, FAKE_CONTEXT_ID + 1);
	case TOO_LONG:
		runs[2] = 0xffffffff;
		runs[3] = 1;
		runs[4] = 0xffffffff;
		return fake_status(request, runs, 3, FAKE_CONTEXT_ID);
	case MANY:
	case EQUAL_NEIGHBOURS:
		for (unsigned i = 0; i < 5000; i++) {
			runs[2 * i] = 512;
			runs[2 * i + 1] = nonsense == MANY ? i & 1 : 0x80;
		}
		return fake_status(request, runs, 5000, FAKE_CONTEXT_ID);
	case ODD_ERROR:
		return fake_error(request, 0xdeadbeef);
	case TWICE:
		return fake_status(request, runs, 1, FAKE_CONTEXT_ID) &&
		       fake_status(request, runs, 1, FAKE_CONTEXT_ID);
	case HANG_UP:
		return false;
	case SHORT_DATA:
		return fake_data(request, data, request->length / 2);
	case LONG_DATA:
		return fake_data(request, data, request->length * 2);
	}
	return false;
}

static void fake(enum nonsense *nonsense)
{
	struct fake_nbd fake = {.size = UINT64_C(1) << 40, .context = DIRTY};

	fake.serve = serve_nonsense;
	fake.arg = nonsense;
	setup();
	server = fake_nbd_start(path, &fake);
	CU_ASSERT_FATAL(server > 0);
	open_good(DIRTY);
}

static void nonsense_extents_are_errors(void)
{
	static const enum nonsense all[] = {EMPTY_RUN,	   NO_RUNS,   NO_CHUNK,
					    OTHER_CONTEXT, ODD_ERROR, HANG_UP};
	struct answer *answer = malloc(sizeof(*answer));

	for (unsigned i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		enum nonsense nonsense = all[i];

		fake(&nonsense);
		CU_ASSERT(await_extents(answer, MIB, 16 * MIB) < 0);
		CU_ASSERT_EQUAL(answer->count, 0);
		teardown();
	}
	free(answer);
}

static void extents_beyond_the_question_are_cut(void)
{
	struct answer *answer = malloc(sizeof(*answer));
	enum nonsense nonsense = TOO_LONG;

	fake(&nonsense);
	CU_ASSERT_EQUAL(await_extents(answer, MIB, 16 * MIB), 0);
	CU_ASSERT_EQUAL(answer->count, 2);
	CU_ASSERT_EQUAL(answer->end, 17 * MIB);
	CU_ASSERT_EQUAL(await_extents(answer, (UINT64_C(1) << 40) - MIB, MIB), 0);
	CU_ASSERT_EQUAL(answer->end, UINT64_C(1) << 40);
	CU_ASSERT_EQUAL(await_extents(answer, 0, 65536), 0);
	CU_ASSERT_EQUAL(answer->count, 1);
	teardown();
	free(answer);
}

static void more_extents_than_room_are_asked_for_again(void)
{
	struct answer *answer = malloc(sizeof(*answer));
	enum nonsense nonsense = MANY;

	fake(&nonsense);
	CU_ASSERT_EQUAL(await_extents(answer, MIB, 16 * MIB), 0);
	CU_ASSERT_EQUAL(answer->count, NBD_SOURCE_EXTENTS_MAX);
	CU_ASSERT_EQUAL(answer->end, MIB + NBD_SOURCE_EXTENTS_MAX * 512);
	teardown();
	nonsense = EQUAL_NEIGHBOURS;
	fake(&nonsense);
	CU_ASSERT_EQUAL(await_extents(answer, MIB, 16 * MIB), 0);
	CU_ASSERT_EQUAL(answer->count, 1);
	CU_ASSERT_EQUAL(answer->end, MIB + 5000 * 512);
	teardown();
	free(answer);
}

static void a_reply_nobody_asked_for_ends_the_connection(void)
{
	struct answer *answer = malloc(sizeof(*answer));
	enum nonsense nonsense = TWICE;
	int first;

	fake(&nonsense);
	first = await_extents(answer, 0, MIB);
	CU_ASSERT(first == 0 || first == -ENOTCONN || first == -EPROTO);
	CU_ASSERT(await_extents(answer, 0, MIB) < 0);
	/* Nothing holds the socket any more, though the server still does. */
	while (ring_run(ring) > 0)
		;
	teardown();
	free(answer);
}

static void data_that_does_not_fill_the_read_is_an_error(void)
{
	static const enum nonsense all[] = {SHORT_DATA, LONG_DATA, NO_DATA, ODD_ERROR, HANG_UP};
	uint8_t buffer[4096 + 16];

	for (unsigned i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		enum nonsense nonsense = all[i];

		fake(&nonsense);
		memset(buffer, 0x77, sizeof(buffer));
		CU_ASSERT(await_read(buffer, 4096, MIB) < 0);
		for (unsigned j = 4096; j < sizeof(buffer); j++)
			CU_ASSERT_EQUAL(buffer[j], 0x77);
		teardown();
	}
}

static void failed_allocations_leave_nothing_behind(void)
{
	struct connection connection = {0};
	struct errinfo err = {0};
	char words[] = "memory 1M";
	unsigned n = 1;
	bool failed;

	setup();
	nbdkit(words);
	do {
		int ret;

		err_clear(&err);
		alloc_fail_at(n++);
		ret = nbd_source_open(&source, ring, path, "", ALLOCATION, connected, &connection,
				      &err);
		failed = alloc_fail_off();
		CU_ASSERT(!failed || ret == -ENOMEM);
		CU_ASSERT_EQUAL(ret, err.code);
		CU_ASSERT_EQUAL(ret == 0, source != NULL);
		nbd_source_close(source);
		source = NULL;
	} while (failed);
	CU_ASSERT(n > 3);
	teardown();
}

/* Refuses what crosses a multiple of 64 KiB, and one 64 KiB altogether. */
#define REFUSED (8 * UINT64_C(65536))

static bool serve_clusters(const struct fake_request *request, void *arg)
{
	static uint64_t data[65536 / 8];
	uint64_t last = request->offset + request->length - 1;

	if (request->offset / 65536 != last / 65536 || request->offset / 65536 == REFUSED / 65536)
		return fake_error(request, EIO);
	for (uint32_t i = 0; i < request->length / 8; i++)
		data[i] = request->offset + i * 8;
	return fake_data(request, data, request->length);
}

static void a_limited_read_crosses_no_cluster(void)
{
	struct fake_nbd fake = {.size = MIB, .serve = serve_clusters};
	uint64_t *buffer = malloc(MIB);

	setup();
	server = fake_nbd_start(path, &fake);
	open_good(NULL);
	CU_ASSERT_EQUAL(await_read(buffer, 4 * 65536, 32768), -EIO);
	nbd_source_limit_reads(source, 65536);
	for (uint32_t offset = 0; offset < 2 * 65536; offset += 24576) {
		memset(buffer, 0, MIB);
		CU_ASSERT_EQUAL(await_read(buffer, 4 * 65536, offset), 0);
		for (unsigned i = 0; i < 4 * 65536 / 8; i++)
			CU_ASSERT_FATAL(buffer[i] == offset + i * 8);
	}
	/* One part that fails is the read that fails, once, when all parts have ended. */
	CU_ASSERT_EQUAL(await_read(buffer, 4 * 65536, REFUSED - 65536), -EIO);
	CU_ASSERT_EQUAL(await_read(buffer, 4 * 65536, 0), 0);
	teardown();
	free(buffer);
}

static const struct cunit_case cases[] = {
    {"reads_give_the_exports_bytes", reads_give_the_exports_bytes},
    {"a_limited_read_crosses_no_cluster", a_limited_read_crosses_no_cluster},
    {"who_is_not_there_is_named", who_is_not_there_is_named},
    {"a_socket_nobody_listens_at_is_an_error", a_socket_nobody_listens_at_is_an_error},
    {"an_unknown_export_is_refused", an_unknown_export_is_refused},
    {"a_missing_context_is_not_supported", a_missing_context_is_not_supported},
    {"extents_without_context_are_refused", extents_without_context_are_refused},
    {"extents_tell_data_from_holes", extents_tell_data_from_holes},
    {"the_queue_has_a_bound", the_queue_has_a_bound},
    {"a_killed_server_ends_every_request_once", a_killed_server_ends_every_request_once},
    {"closing_ends_every_request_before_it_returns", closing_ends_every_request_before_it_returns},
    {"closing_while_connecting_is_quiet", closing_while_connecting_is_quiet},
    {"closing_inside_a_callback_is_safe", closing_inside_a_callback_is_safe},
    {"an_idle_connection_uses_no_processor", an_idle_connection_uses_no_processor},
    {"a_failed_read_gives_the_servers_errno_and_goes_on",
     a_failed_read_gives_the_servers_errno_and_goes_on},
    {"nonsense_extents_are_errors", nonsense_extents_are_errors},
    {"extents_beyond_the_question_are_cut", extents_beyond_the_question_are_cut},
    {"more_extents_than_room_are_asked_for_again", more_extents_than_room_are_asked_for_again},
    {"a_reply_nobody_asked_for_ends_the_connection", a_reply_nobody_asked_for_ends_the_connection},
    {"data_that_does_not_fill_the_read_is_an_error", data_that_does_not_fill_the_read_is_an_error},
    {"failed_allocations_leave_nothing_behind", failed_allocations_leave_nothing_behind},
};

int main(void)
{
	return cunit_run("nbd", cases, sizeof(cases) / sizeof(cases[0]));
}
