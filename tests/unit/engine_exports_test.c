/* SPDX-License-Identifier: Apache-2.0
 *
 * QEMU's one NBD server: whose it is, and when it may be taken.
 */
#include <CUnit/CUnit.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cunit_main.h"
#include "exports.h"
#include "fake/fake_qemu.h"

static struct loop loop;
static struct fake_qemu fake;
static struct monitor monitor;
static struct exports exports;
static struct errinfo err;
static char dir[64];
static bool running; /* QEMU's server, whose ever */
static const char *list;

static json_t *answer(void *arg, const char *command, const json_t *arguments)
{
	if (!strcmp(command, "query-block-exports"))
		return json_pack("{s:o}", "return", json_loads(list, JSON_DECODE_ANY, NULL));
	if (!strcmp(command, "nbd-server-stop"))
		running = false;
	if (!strcmp(command, "nbd-server-start") && running)
		return fake_error("NBD server already running");
	running |= !strcmp(command, "nbd-server-start");
	return json_pack("{s:{}}", "return");
}

static void setup(const char *exported)
{
	err_clear(&err);
	strcpy(dir, "/tmp/qheal-exports-XXXXXX");
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(dir));
	CU_ASSERT_EQUAL_FATAL(loop_init(&loop, &err), 0);
	fake_start(&fake, &loop);
	fake_connect(&fake, &monitor);
	fake.answer = answer;
	list = exported;
	running = true;
}

static void teardown(void)
{
	exports_close(&exports);
	monitor_close(&monitor);
	fake_stop(&fake);
	loop_release(&loop);
	CU_ASSERT_EQUAL(rmdir(dir), 0);
}

static int start(bool ours)
{
	return exports_start(&exports, &monitor, dir, ours, &err);
}

static void that_of_a_killed_sidecar_is_taken(void)
{
	static const char *const lists[] = {
		"[]", "[{\"id\": \"qheal-e0\", \"type\": \"nbd\"}]",
		"[{\"id\": \"fuse0\", \"type\": \"fuse\"}]",
	};

	for (unsigned i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		setup(lists[i]);
		CU_ASSERT_EQUAL(start(true), 0);
		CU_ASSERT(exports.running && strstr(fake.log, "nbd-server-stop"));
		teardown();
	}
}

/* A backup that began its server since reads by it. */
static void one_with_exports_of_others_is_not(void)
{
	setup("[{\"id\": \"qheal-e0\", \"type\": \"nbd\"}, {\"id\": \"vda\", \"type\": \"nbd\"}]");
	CU_ASSERT_EQUAL(start(true), -EBUSY);
	CU_ASSERT(!exports.running && !strstr(fake.log, "nbd-server-stop"));
	CU_ASSERT(running);
	teardown();
}

static void nor_is_one_behind_nobody(void)
{
	setup("[]");
	CU_ASSERT_EQUAL(start(false), -EBUSY);
	CU_ASSERT(running && !strstr(fake.log, "nbd-server-stop"));
	teardown();
}

static void what_is_left_keeps_its_socket_and_no_descriptor(void)
{
	int before = dup(0), after;
	char path[96];

	close(before);
	setup("[]");
	running = false;
	CU_ASSERT_EQUAL(start(false), 0);
	exports_leave(&exports);
	CU_ASSERT_EQUAL(exports.dir_fd, -1);
	CU_ASSERT(running && !strstr(fake.log, "nbd-server-stop"));
	snprintf(path, sizeof(path), "%s/nbd.sock", dir);
	CU_ASSERT_EQUAL(unlink(path), 0);
	teardown();
	after = dup(0);
	CU_ASSERT_EQUAL(after, before);
	close(after);
}

int main(void)
{
#define CASE(fn) {#fn, fn}
	static const struct cunit_case cases[] = {
		CASE(that_of_a_killed_sidecar_is_taken),
		CASE(one_with_exports_of_others_is_not),
		CASE(nor_is_one_behind_nobody),
		CASE(what_is_left_keeps_its_socket_and_no_descriptor),
	};

	alarm(60);
	return cunit_run("engine_exports", cases, sizeof(cases) / sizeof(cases[0]));
}
