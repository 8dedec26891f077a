/* SPDX-License-Identifier: Apache-2.0
 *
 * What the host tells of QEMU, its memory and the agent's port, and the prober.
 */
#include <CUnit/CUnit.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "cunit_main.h"
#include "prober.h"
#include "sense_agent.h"
#include "sense_host.h"
#include "sidecar.h"

static void cpu_and_memory_are_found_behind_any_name(void)
{
	int64_t ticks;
	uint64_t pages;

	CU_ASSERT_TRUE(sense_host_parse_stat(
		"12 (qemu) 9) S (x) S 1 2 3 0 -1 4194560 5 6 7 8 100 23 9 10 20 0 4 0 999 "
		"1073741824 4096 18446744073709551615 1 1\n", &ticks, &pages));
	CU_ASSERT_EQUAL(ticks, 123);
	CU_ASSERT_EQUAL(pages, 4096);
	CU_ASSERT_FALSE(sense_host_parse_stat("", &ticks, &pages));
	CU_ASSERT_FALSE(sense_host_parse_stat("12 (qemu", &ticks, &pages));
	CU_ASSERT_FALSE(sense_host_parse_stat("12 (qemu) S 1 2 3", &ticks, &pages));
}

static void what_it_wrote_is_found(void)
{
	uint64_t written;

	CU_ASSERT_TRUE(sense_host_parse_written("rchar: 1\nwchar: 18446744073709551615\nsyscr: 5\n",
						&written));
	CU_ASSERT_EQUAL(written, UINT64_MAX);
	CU_ASSERT_FALSE(sense_host_parse_written("", &written));
	CU_ASSERT_FALSE(sense_host_parse_written("rchar: 1\nwchar: -\n", &written));
}

static void pressure_is_the_share_of_the_last_ten_seconds(void)
{
	double percent = 7;

	CU_ASSERT_TRUE(sense_host_parse_pressure("some avg10=12.50 avg60=1.00 avg300=0.00 total=1\n"
						 "full avg10=0.00\n", &percent));
	CU_ASSERT_DOUBLE_EQUAL(percent, 12.5, 1e-9);
	CU_ASSERT_FALSE(sense_host_parse_pressure("", &percent));
	CU_ASSERT_FALSE(sense_host_parse_pressure("full avg10=1", &percent));
	CU_ASSERT_FALSE(sense_host_parse_pressure("some avg10=nan", &percent));
	CU_ASSERT_FALSE(sense_host_parse_pressure("some avg10=-1", &percent));
}

/* --- which comes first --- */

static void what_only_warns_waits_for_what_fails(void)
{
	static struct sidecar sidecar;
	struct sense_fault *faults = sidecar.sense.faults;

	CU_ASSERT_PTR_NULL(sense_next(&sidecar));
	sidecar.sense.fault_count = 4;
	faults[0].attended = true;
	faults[1].fault.warning = faults[2].fault.warning = true;
	CU_ASSERT_PTR_EQUAL(sense_next(&sidecar), &faults[3]);
	faults[3].attended = true;
	CU_ASSERT_PTR_EQUAL(sense_next(&sidecar), &faults[1]);
	faults[1].attended = true;
	CU_ASSERT_PTR_EQUAL(sense_next(&sidecar), &faults[2]);
}

/* --- files --- */

static char dir[64];

static void file(const char *name, const char *text)
{
	char path[300];
	FILE *stream;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	stream = fopen(path, "w");
	CU_ASSERT_PTR_NOT_NULL_FATAL(stream);
	fputs(text, stream);
	fclose(stream);
}

static void folder(const char *name)
{
	char path[300];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	CU_ASSERT_EQUAL_FATAL(mkdir(path, 0700), 0);
}

static void setup(void)
{
	strcpy(dir, "/var/tmp/qheal-sense-XXXXXX");
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(dir));
}

static void cleanup(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -r %s", dir);
	CU_ASSERT_EQUAL(system(command), 0);
}

static void corrected_errors_are_summed_over_the_controllers(void)
{
	uint64_t count = 7;

	setup();
	CU_ASSERT_FALSE(sense_host_corrected("/nowhere/at/all", &count));
	CU_ASSERT_FALSE(sense_host_corrected(dir, &count));
	CU_ASSERT_EQUAL(count, 0);
	folder("mc0");
	folder("mc1");
	folder("mc2");
	folder("power");
	file("mc0/ce_count", "40\n");
	file("mc1/ce_count", "2\n");
	file("mc2/ce_count", "none\n");
	file("power/ce_count", "1000\n");
	CU_ASSERT_TRUE(sense_host_corrected(dir, &count));
	CU_ASSERT_EQUAL(count, 42);
	cleanup();
}

/* --- the agent's port --- */

static enum agent_port port(const char *text, const char *path)
{
	json_t *reply = json_loads(text, 0, NULL);
	enum agent_port state = sense_agent_port(reply, path);

	json_decref(reply);
	return state;
}

#define CHARDEV(name, open) "{\"label\": \"a\", \"filename\": \"" name "\", \"frontend-open\": " open "}"

static void whose_turn_it_is_at_the_agent(void)
{
	static const struct {
		const char *text, *path;
		enum agent_port port;
	} table[] = {
		{"[" CHARDEV("disconnected:unix:/a.sock,server=on", "true") "]", "/a.sock",
		 AGENT_PORT_FREE},
		{"[" CHARDEV("disconnected:unix:/a.sock,server=on", "true") "]", "unix:/a.sock",
		 AGENT_PORT_FREE},
		{"[" CHARDEV("disconnected:unix:/a.sock,server=on", "false") "]", "/a.sock",
		 AGENT_PORT_SHUT},
		{"[" CHARDEV("unix:/a.sock,server=on", "true") "]", "/a.sock", AGENT_PORT_TAKEN},
		{"[" CHARDEV("unix:/b.sock,server=on", "true") "]", "/a.sock", AGENT_PORT_UNKNOWN},
		{"[" CHARDEV("file", "true") "," CHARDEV("disconnected:unix:/a.sock", "true") "]",
		 "/a.sock", AGENT_PORT_FREE},
		{"[" CHARDEV("disconnected:tcp:1.2.3.4:5,server=on", "true") "]", "tcp:1.2.3.4:5",
		 AGENT_PORT_UNKNOWN},
		{"[null, 7, {}]", "/a.sock", AGENT_PORT_UNKNOWN},
		{"{}", "/a.sock", AGENT_PORT_UNKNOWN},
	};

	for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		CU_ASSERT_EQUAL(port(table[i].text, table[i].path), table[i].port);
}

static void two_names_of_one_socket_are_one(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char text[300], link[128];
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	setup();
	snprintf(address.sun_path, sizeof(address.sun_path), "%.64s/agent", dir);
	CU_ASSERT_EQUAL_FATAL(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	snprintf(link, sizeof(link), "%s/other", dir);
	CU_ASSERT_EQUAL_FATAL(symlink(address.sun_path, link), 0);
	snprintf(text, sizeof(text), "[" CHARDEV("disconnected:unix:%s,server=on", "true") "]",
		 address.sun_path);
	CU_ASSERT_EQUAL(port(text, link), AGENT_PORT_FREE);
	close(fd);
	cleanup();
}

/* --- the prober --- */

static struct prober_answer ask(struct prober *prober, const char *name, bool read)
{
	struct pollfd pollfd = {.fd = prober->fd, .events = POLLIN};
	struct prober_answer answer = {.place = 99};
	char path[300];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	CU_ASSERT_EQUAL_FATAL(prober_ask(prober, 3, path, read), 0);
	CU_ASSERT_EQUAL_FATAL(poll(&pollfd, 1, 20000), 1);
	CU_ASSERT_TRUE_FATAL(prober_take(prober, &answer));
	CU_ASSERT_EQUAL(answer.place, 3);
	return answer;
}

static void a_probe_tells_of_the_disk_and_its_room(void)
{
	struct prober_answer answer;
	struct errinfo err = {0};
	struct prober prober;
	char path[300];

	setup();
	CU_ASSERT_EQUAL_FATAL(prober_start(&prober, &err), 0);
	CU_ASSERT_FALSE(prober_take(&prober, &answer));
	CU_ASSERT_EQUAL(ask(&prober, "nothing", true).open_error, ENOENT);
	file("image", "text");
	snprintf(path, sizeof(path), "%s/image", dir);
	CU_ASSERT_EQUAL(truncate(path, 1 << 20), 0);
	answer = ask(&prober, "image", true);
	CU_ASSERT_EQUAL(answer.open_error, 0);
	CU_ASSERT_EQUAL(answer.read_error, 0);
	CU_ASSERT_TRUE(answer.room_known && answer.room_bytes <= answer.room_total);
	CU_ASSERT_EQUAL(answer.file_bytes, 1 << 20);
	CU_ASSERT(answer.file_allocated < 1 << 20);
	CU_ASSERT_FALSE(ask(&prober, "image", false).read);
	answer = ask(&prober, ".", true); /* a folder cannot be read */
	CU_ASSERT(answer.read_error || answer.open_error || !answer.read);
	prober_stop(&prober);
	prober_stop(&prober);
	CU_ASSERT_EQUAL(prober_ask(&prober, 3, path, true), -ENOTCONN);
	cleanup();
}

/* A fifo without a writer: its open does not come back. */
static void one_that_hangs_keeps_no_other(void)
{
	struct prober_answer answer = {0};
	struct errinfo err = {0};
	struct prober prober;
	char path[300];

	setup();
	file("image", "text");
	snprintf(path, sizeof(path), "%s/hangs", dir);
	CU_ASSERT_EQUAL_FATAL(mkfifo(path, 0600), 0);
	CU_ASSERT_EQUAL_FATAL(prober_start(&prober, &err), 0);
	CU_ASSERT_EQUAL(prober_ask(&prober, 1, path, true), 0);
	answer = ask(&prober, "image", true);
	CU_ASSERT_EQUAL(answer.open_error, 0);
	CU_ASSERT_FALSE(prober_take(&prober, &answer));
	prober_stop(&prober);
	cleanup();
}

int main(void)
{
	static const struct cunit_case cases[] = {
		{"cpu_and_memory_are_found_behind_any_name", cpu_and_memory_are_found_behind_any_name},
		{"what_it_wrote_is_found", what_it_wrote_is_found},
		{"pressure_is_the_share_of_the_last_ten_seconds",
		 pressure_is_the_share_of_the_last_ten_seconds},
		{"corrected_errors_are_summed_over_the_controllers",
		 corrected_errors_are_summed_over_the_controllers},
		{"what_only_warns_waits_for_what_fails", what_only_warns_waits_for_what_fails},
		{"whose_turn_it_is_at_the_agent", whose_turn_it_is_at_the_agent},
		{"two_names_of_one_socket_are_one", two_names_of_one_socket_are_one},
		{"a_probe_tells_of_the_disk_and_its_room", a_probe_tells_of_the_disk_and_its_room},
		{"one_that_hangs_keeps_no_other", one_that_hangs_keeps_no_other},
	};

	return cunit_run("engine_sense", cases, sizeof(cases) / sizeof(cases[0]));
}
