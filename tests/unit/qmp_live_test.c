/* SPDX-License-Identifier: Apache-2.0
 *
 * libqmp against real processes: QEMU (the one named by $QHEAL_QEMU, else the
 * installed one), qemu-storage-daemon and, where it is installed, the guest
 * agent.  No guest is booted.
 */
#include <netinet/in.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

#include "qmp_fixture.h"

#define WAIT_MS 20000 /* of a step that takes milliseconds: the machine may be busy */

static char directory[64];

struct live {
	struct fixture f;
	pid_t pid;
	char socket[108];
};

/* The last reply of a command whose result matters. */
struct result {
	unsigned calls;
	int status;
	json_t *value;
	char text[512];
};

static void result_reply(void *arg, const struct qmp_reply *reply)
{
	struct result *result = arg;

	result->calls++;
	result->status = reply->status;
	json_decref(result->value);
	result->value = json_incref(reply->result);
	snprintf(result->text, sizeof(result->text), "%s",
		 reply->error_text ? reply->error_text : "");
}

/* The loop of a caller: until *FLAG is WANTED, the end of the connection, or the
 * end of patience. */
static bool live_wait(struct live *live, const unsigned *flag, unsigned wanted)
{
	int64_t end_ms = now_ms() + WAIT_MS;
	struct qmp *qmp = live->f.qmp;

	while (*flag < wanted && qmp_state(qmp) != QMP_CLOSED && now_ms() < end_ms) {
		struct pollfd poll_fd = {qmp_fd(qmp), qmp_events(qmp), 0};
		int64_t deadline_ns = qmp_deadline(qmp);

		poll(&poll_fd, 1, deadline_ns ? 100 : 0);
		qmp_process(qmp, poll_fd.revents);
	}
	return *flag >= wanted;
}

static bool live_connect(struct live *live, const char *address, enum qmp_peer peer)
{
	static const struct qmp_callbacks callbacks = {fixture_ready, fixture_event,
						       fixture_closed};
	int64_t end_ms = now_ms() + WAIT_MS;
	char text[512] = "";

	memset(&live->f, 0, sizeof(live->f));
	live->f.peer = -1;
	do {
		live->f.qmp = qmp_connect(address, peer, &callbacks, &live->f, WAIT_MS, text,
					  sizeof(text));
		/* Over TCP the refusal comes later. */
		if (live->f.qmp && live_wait(live, &live->f.ready, 1))
			return true;
		qmp_free(live->f.qmp);
		usleep(20000);
	} while (now_ms() < end_ms);
	fprintf(stderr, "\n  %s: no connection: %s\n", address, text);
	return false;
}

static pid_t spawn(const char *const *argv)
{
	pid_t parent = getpid(), pid = fork();

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(126);
	execvp(argv[0], (char *const *)argv);
	_exit(127);
}

static const char *qemu_program(void)
{
	return getenv("QHEAL_QEMU") ? getenv("QHEAL_QEMU") : "qemu-system-x86_64";
}

static bool installed(const char *program)
{
	char command[256];

	snprintf(command, sizeof(command), "command -v %s >/dev/null", program);
	return !system(command);
}

/* Start QEMU with a monitor by OPTION and connect to it at ADDRESS. */
static void qemu_start_at(struct live *live, const char *option, const char *address)
{
	const char *argv[] = {qemu_program(), "-M",	"none", "-nodefaults", "-S",   "-display",
			      "none",	      "-accel", "tcg",	"-qmp",	       option, NULL};

	live->pid = spawn(argv);
	CU_ASSERT_FATAL(live->pid > 0);
	CU_ASSERT_FATAL(live_connect(live, address, QMP_PEER_QEMU));
}

static void qemu_start(struct live *live)
{
	char option[160];

	snprintf(live->socket, sizeof(live->socket), "%s/qmp.sock", directory);
	unlink(live->socket);
	snprintf(option, sizeof(option), "unix:%s,server=on,wait=off", live->socket);
	qemu_start_at(live, option, live->socket);
}

static void live_stop(struct live *live)
{
	qmp_free(live->f.qmp);
	kill(live->pid, SIGKILL);
	waitpid(live->pid, NULL, 0);
}

/* Execute and wait; the result is released with the next use of RESULT. */
static bool live_execute(struct live *live, const char *command, json_t *arguments,
			 struct result *result)
{
	result->calls = 0;
	if (qmp_execute(live->f.qmp, command, arguments, WAIT_MS, result_reply, result) < 0)
		return false;
	if (!live_wait(live, &result->calls, 1) || result->status) {
		fprintf(stderr, "\n  %s: %s\n", command, result->text);
		return false;
	}
	return true;
}

static void result_release(struct result *result)
{
	json_decref(result->value);
	result->value = NULL;
}

static bool version_is(const struct live *live, int major, int minor)
{
	const struct qmp_version *version = qmp_version(live->f.qmp);

	return version->major > major || (version->major == major && version->minor >= minor);
}

static void qemu_greets_and_answers(void)
{
	struct live live;
	struct result r = {0};

	qemu_start(&live);
	CU_ASSERT(qmp_state(live.f.qmp) == QMP_READY);
	CU_ASSERT(version_is(&live, 7, 2));
	CU_ASSERT(qmp_has_oob(live.f.qmp));
	CU_ASSERT_FATAL(live_execute(&live, "query-status", NULL, &r));
	CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(r.value, "status")), "prelaunch");
	CU_ASSERT(!live_execute(&live, "no-such-command", NULL, &r) && r.status == -EREMOTEIO);
	ASSERT_TEXT(r.text, "no-such-command");
	result_release(&r);
	live_stop(&live);
}

static void qemu_over_tcp_greets_and_answers(void)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(in);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char option[96], address[64];
	struct live live;
	struct result r = {0};

	CU_ASSERT_FATAL(!bind(fd, (struct sockaddr *)&in, size));
	getsockname(fd, (struct sockaddr *)&in, &size);
	close(fd);
	snprintf(address, sizeof(address), "tcp:localhost:%u", ntohs(in.sin_port));
	snprintf(option, sizeof(option), "tcp:127.0.0.1:%u,server=on,wait=off", ntohs(in.sin_port));
	qemu_start_at(&live, option, address);
	CU_ASSERT(live_execute(&live, "query-status", NULL, &r));
	CU_ASSERT(qmp_execute_fd(live.f.qmp, "getfd", NULL, 0, WAIT_MS, NULL, NULL) == -ENOTSUP);
	result_release(&r);
	live_stop(&live);
}

static void qemu_tells_its_abilities_by_its_schema(void)
{
	static const struct {
		const char *path;
		int major, minor; /* since; 0: always, 99: never */
	} paths[] = {
		{"blockdev-backup", 0, 0},
		{"blockdev-backup/sync/bitmap", 0, 0},
		{"blockdev-backup/on-cbw-error", 10, 1},
		{"blockdev-add/copy-before-write", 0, 0},
		{"blockdev-add/copy-before-write/on-cbw-error/break-snapshot", 7, 1},
		{"blockdev-add/copy-before-write/node-name", 0, 0},
		{"blockdev-add/copy-before-write/min-cluster-size", 9, 2},
		{"blockdev-add/qcow2/file/nbd/server/inet/host", 0, 0},
		{"blockdev-mirror/copy-mode/write-blocking", 0, 0},
		{"block-job-change", 8, 2},
		{"block-export-add/nbd/bitmaps/node", 7, 1},
		{"migrate/uri", 0, 0},
		{"migrate/channels/addr", 8, 2},
		{"transaction/actions/blockdev-backup/data/device", 0, 0},
		{"transaction/actions/block-dirty-bitmap-add", 0, 0},
		{"BLOCK_IO_ERROR/nospace", 0, 0},
		{"BLOCK_IO_ERROR/action/stop", 0, 0},
		{"BLOCK_IO_ERROR/qom-path", 9, 2},
		{"blockdev-replace", 99, 0},
		{"blockdev-add/raw/on-cbw-error", 99, 0},
		{"BLOCK_IO_ERROR/offset", 99, 0},
	};
	struct live live;
	struct result r = {0};
	struct qmp_schema *schema;

	qemu_start(&live);
	CU_ASSERT_FATAL(live_execute(&live, "query-qmp-schema", NULL, &r));
	schema = qmp_schema_new(r.value);
	CU_ASSERT_PTR_NOT_NULL_FATAL(schema);
	for (unsigned i = 0; i < sizeof(paths) / sizeof(*paths); i++) {
		bool wanted = version_is(&live, paths[i].major, paths[i].minor);

		if (qmp_schema_has(schema, paths[i].path) != wanted)
			fprintf(stderr, "\n  wrong: %s\n", paths[i].path);
		CU_ASSERT(qmp_schema_has(schema, paths[i].path) == wanted);
	}
	qmp_schema_free(schema);
	result_release(&r);
	live_stop(&live);
}

/* More than the eight requests that QEMU queues. */
static void qemu_answers_a_full_batch(void)
{
	struct live live;
	struct record records[QMP_PENDING_MAX] = {0};
	unsigned answered = 0;

	qemu_start(&live);
	qmp_cork(live.f.qmp);
	for (unsigned i = 0; i < QMP_PENDING_MAX; i++)
		CU_ASSERT(execute(&live.f, "query-name", WAIT_MS, &records[i]) > 0);
	qmp_uncork(live.f.qmp);
	CU_ASSERT(live_wait(&live, &records[QMP_PENDING_MAX - 1].calls, 1));
	for (unsigned i = 0; i < QMP_PENDING_MAX; i++)
		answered += records[i].calls == 1 && !records[i].status;
	CU_ASSERT(answered == QMP_PENDING_MAX);
	live_stop(&live);
}

static bool yank_lists(const struct result *list, const char *node)
{
	const json_t *instance;
	size_t i;

	json_array_foreach(list->value, i, instance) {
		const char *name = json_string_value(json_object_get(instance, "node-name"));

		if (name && !strcmp(name, node))
			return true;
	}
	return false;
}

/* An NBD server that says nothing holds up blockdev-add, and with it every
 * command in band. */
static void out_of_band_command_passes_a_stuck_monitor(void)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	struct live live;
	struct record stuck = {0}, behind = {0};
	struct result list = {0};
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(un.sun_path, sizeof(un.sun_path), "%s/nbd.sock", directory);
	CU_ASSERT_FATAL(!bind(listener, (struct sockaddr *)&un, sizeof(un)));
	CU_ASSERT_FATAL(!listen(listener, 4));
	qemu_start(&live);
	qmp_execute(live.f.qmp, "blockdev-add",
		    json_pack("{s:s, s:s, s:{s:s, s:s}}", "driver", "nbd", "node-name", "stuck",
			      "server", "type", "unix", "path", un.sun_path),
		    WAIT_MS, record_reply, &stuck);
	execute(&live.f, "query-status", WAIT_MS, &behind);
	for (unsigned i = 0; i < 100 && !yank_lists(&list, "stuck"); i++) {
		list.calls = 0;
		usleep(10000);
		qmp_execute_oob(live.f.qmp, "query-yank", NULL, WAIT_MS, result_reply, &list);
		CU_ASSERT(live_wait(&live, &list.calls, 1) && !list.status);
	}
	CU_ASSERT(yank_lists(&list, "stuck"));
	CU_ASSERT(!stuck.calls && !behind.calls);
	close(listener);
	CU_ASSERT(live_wait(&live, &stuck.calls, 1) && stuck.status == -EREMOTEIO);
	CU_ASSERT(live_wait(&live, &behind.calls, 1) && !behind.status);
	result_release(&list);
	live_stop(&live);
	unlink(un.sun_path);
}

static int memory_file(off_t size)
{
	int fd = memfd_create("qmp-test", MFD_CLOEXEC);

	CU_ASSERT_FATAL(fd >= 0 && !ftruncate(fd, size));
	return fd;
}

/* Two descriptors in one batch: QEMU, which reads ahead, must not mix them up.
 * The lengths of the files tell. */
static void qemu_receives_each_descriptor_with_its_command(void)
{
	static const json_int_t sizes[] = {1 << 20, 2 << 20, 3 << 20};
	struct live live;
	struct result r[3] = {0}, nodes = {0};
	char name[32], file[32];

	qemu_start(&live);
	for (unsigned round = 0; round < 20; round++) {
		int fds[3];

		qmp_cork(live.f.qmp);
		for (unsigned i = 0; i < 3; i++) {
			fds[i] = memory_file(sizes[i]);
			r[i].calls = 0;
			execute(&live.f, "query-name", WAIT_MS, NULL);
			CU_ASSERT(qmp_execute_fd(live.f.qmp, "add-fd",
						 json_pack("{s:i}", "fdset-id", 10 * round + i),
						 fds[i], WAIT_MS, result_reply, &r[i]) > 0);
		}
		qmp_uncork(live.f.qmp);
		for (unsigned i = 0; i < 3; i++) {
			CU_ASSERT(live_wait(&live, &r[i].calls, 1) && !r[i].status);
			close(fds[i]);
			snprintf(file, sizeof(file), "/dev/fdset/%u", 10 * round + i);
			snprintf(name, sizeof(name), "n%u-%u", round, i);
			CU_ASSERT(live_execute(&live, "blockdev-add",
					       json_pack("{s:s, s:s, s:s}", "driver", "file",
							 "filename", file, "node-name", name),
					       &nodes));
		}
	}
	CU_ASSERT_FATAL(live_execute(&live, "query-named-block-nodes",
				     json_pack("{s:b}", "flat", 1), &nodes));
	CU_ASSERT(json_array_size(nodes.value) == 60);
	for (size_t n = 0; n < json_array_size(nodes.value); n++) {
		const json_t *node = json_array_get(nodes.value, n);
		const char *dash =
			strchr(json_string_value(json_object_get(node, "node-name")), '-');
		const json_t *image = json_object_get(node, "image");

		CU_ASSERT(json_integer_value(json_object_get(image, "virtual-size")) ==
			  sizes[dash[1] - '0']);
	}
	CU_ASSERT(live_execute(&live, "query-fdsets", NULL, &nodes));
	CU_ASSERT(json_array_size(nodes.value) == 60);
	for (unsigned i = 0; i < 3; i++)
		result_release(&r[i]);
	result_release(&nodes);
	live_stop(&live);
}

static void qemu_takes_a_named_descriptor(void)
{
	struct live live;
	struct result r = {0};
	int fd = memory_file(4096);

	qemu_start(&live);
	CU_ASSERT(qmp_execute_fd(live.f.qmp, "getfd", json_pack("{s:s}", "fdname", "mine"), fd,
				 WAIT_MS, result_reply, &r) > 0);
	CU_ASSERT(live_wait(&live, &r.calls, 1) && !r.status);
	close(fd);
	CU_ASSERT(live_execute(&live, "closefd", json_pack("{s:s}", "fdname", "mine"), &r));
	CU_ASSERT(!live_execute(&live, "closefd", json_pack("{s:s}", "fdname", "mine"), &r));
	result_release(&r);
	live_stop(&live);
}

static void qemu_tells_events_and_its_end(void)
{
	struct live live;
	struct result r = {0};

	qemu_start(&live);
	CU_ASSERT(live_execute(&live, "cont", NULL, &r));
	CU_ASSERT(live_execute(&live, "stop", NULL, &r));
	CU_ASSERT_STRING_EQUAL(live.f.events, "RESUME STOP ");
	CU_ASSERT(live.f.event_time_us > INT64_C(1500000000) * 1000000);
	CU_ASSERT(live_execute(&live, "quit", NULL, &r));
	CU_ASSERT(live_wait(&live, &live.f.closed, 1));
	CU_ASSERT_STRING_EQUAL(live.f.events, "RESUME STOP SHUTDOWN ");
	CU_ASSERT(live.f.closed_status == -ECONNRESET);
	ASSERT_TEXT(qmp_error(live.f.qmp), "qmp.sock closed the connection");
	result_release(&r);
	live_stop(&live);
}

static void killed_qemu_ends_its_commands(void)
{
	struct live live;
	struct record records[20] = {0};

	qemu_start(&live);
	kill(live.pid, SIGSTOP);
	for (unsigned i = 0; i < 20; i++)
		execute(&live.f, "query-block", QMP_TIMEOUT_NONE, &records[i]);
	kill(live.pid, SIGKILL);
	CU_ASSERT(live_wait(&live, &live.f.closed, 1));
	for (unsigned i = 0; i < 20; i++)
		CU_ASSERT(records[i].calls == 1 && records[i].status == -ECONNRESET);
	live_stop(&live);
}

static void second_client_is_told_that_it_waits(void)
{
	struct live live;
	struct qmp *second;
	int status = 0;

	qemu_start(&live);
	second = qmp_connect(live.socket, QMP_PEER_QEMU, NULL, NULL, 100, NULL, 0);
	CU_ASSERT_PTR_NOT_NULL_FATAL(second);
	for (unsigned i = 0; i < 50 && !status; i++) {
		struct pollfd poll_fd = {qmp_fd(second), qmp_events(second), 0};

		poll(&poll_fd, 1, 20);
		status = qmp_process(second, poll_fd.revents);
	}
	CU_ASSERT(status == -ETIMEDOUT);
	ASSERT_TEXT(qmp_error(second), "qmp.sock: no greeting within 100 ms; a monitor serves one");
	qmp_free(second);
	live_stop(&live);
}

static void storage_daemon_speaks_the_same(void)
{
	char chardev[160];
	const char *argv[] = {"qemu-storage-daemon", "--chardev", chardev,
			      "--monitor",	     "chardev=c", NULL};
	struct live live;
	struct result r = {0};
	struct qmp_schema *schema;

	snprintf(live.socket, sizeof(live.socket), "%s/qsd.sock", directory);
	snprintf(chardev, sizeof(chardev), "socket,id=c,path=%s,server=on,wait=off", live.socket);
	live.pid = spawn(argv);
	CU_ASSERT_FATAL(live_connect(&live, live.socket, QMP_PEER_QEMU));
	CU_ASSERT(live_execute(&live, "blockdev-add",
			       json_pack("{s:s, s:s, s:i}", "driver", "null-co", "node-name", "n",
					 "size", 1 << 20),
			       &r));
	CU_ASSERT_FATAL(live_execute(&live, "query-qmp-schema", NULL, &r));
	schema = qmp_schema_new(r.value);
	CU_ASSERT(qmp_schema_has(schema, "block-export-add/nbd/writable"));
	CU_ASSERT(!qmp_schema_has(schema, "device_add"));
	qmp_schema_free(schema);
	CU_ASSERT(live_execute(&live, "quit", NULL, &r));
	CU_ASSERT(live_wait(&live, &live.f.closed, 1));
	result_release(&r);
	live_stop(&live);
}

/* The agent runs on this host here: the protocol is the same. */
static void agent_is_synchronised_and_answers(void)
{
	struct live live;
	const char *argv[] = {"qemu-ga",   "-m", "unix-listen", "-p",
			      live.socket, "-t", directory,	NULL};
	struct result r = {0};

	if (!installed("qemu-ga")) {
		fprintf(stderr, "\n  qemu-ga is not installed: skipped\n");
		return;
	}
	for (unsigned round = 0; round < 2; round++) {
		snprintf(live.socket, sizeof(live.socket), "%s/ga.sock", directory);
		unlink(live.socket);
		live.pid = spawn(argv);
		CU_ASSERT_FATAL(live_connect(&live, live.socket, QMP_PEER_AGENT));
		CU_ASSERT(live_execute(&live, "guest-ping", NULL, &r));
		CU_ASSERT(live_execute(&live, "guest-info", NULL, &r));
		CU_ASSERT(json_is_string(json_object_get(r.value, "version")));
		CU_ASSERT(!live_execute(&live, "no-such", NULL, &r) && r.status == -EREMOTEIO);
		live_stop(&live);
	}
	result_release(&r);
}

int main(void)
{
	static const struct cunit_case cases[] = {
		CASE(qemu_greets_and_answers),
		CASE(qemu_over_tcp_greets_and_answers),
		CASE(qemu_tells_its_abilities_by_its_schema),
		CASE(qemu_answers_a_full_batch),
		CASE(out_of_band_command_passes_a_stuck_monitor),
		CASE(qemu_receives_each_descriptor_with_its_command),
		CASE(qemu_takes_a_named_descriptor),
		CASE(qemu_tells_events_and_its_end),
		CASE(killed_qemu_ends_its_commands),
		CASE(second_client_is_told_that_it_waits),
		CASE(storage_daemon_speaks_the_same),
		CASE(agent_is_synchronised_and_answers),
	};
	char command[128];
	int status;

	snprintf(directory, sizeof(directory), "/tmp/qmp-live-XXXXXX");
	if (!mkdtemp(directory)) {
		perror(directory);
		return 1;
	}
	status = cunit_run("qmp live", cases, sizeof(cases) / sizeof(*cases));
	snprintf(command, sizeof(command), "rm -rf %s", directory);
	if (system(command))
		perror(command);
	return status;
}
