/* SPDX-License-Identifier: Apache-2.0
 *
 * The lease, and the heartbeat that renews it in a directory.
 */
#include <CUnit/CUnit.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cunit_main.h"
#include "heartbeat.h"

static char dir[64];
static struct loop loop;

static int make_dir(void)
{
	struct errinfo err = {0};

	snprintf(dir, sizeof(dir), "/tmp/qheal-lease-XXXXXX");
	return !mkdtemp(dir) || loop_init(&loop, &err);
}

static int remove_dir(void)
{
	char path[96];

	loop_release(&loop);
	snprintf(path, sizeof(path), "%s/" LEASE_FILE, dir);
	unlink(path);
	return rmdir(dir);
}

static struct lease some_lease(void)
{
	return (struct lease){.host = "node1", .machine = "abc", .boot = "0123", .vm = "web1", .seconds = 10,
			      .count = 17, .dirty_bytes = 65536, .released = true};
}

static void what_is_written_is_read(void)
{
	struct lease lease = some_lease(), found;
	struct errinfo err = {0};
	char text[LEASE_BYTES];

	lease_format(&lease, text);
	CU_ASSERT_EQUAL(text[LEASE_BYTES - 1], '\n');
	CU_ASSERT_EQUAL_FATAL(lease_parse(&found, text, sizeof(text), &err), 0);
	CU_ASSERT_EQUAL(memcmp(&found, &lease, sizeof(lease)), 0);
	/* The longest names there are, each character of which takes six. */
	memset(lease.vm, 1, sizeof(lease.vm) - 1);
	lease_format(&lease, text);
	CU_ASSERT_EQUAL(lease_parse(&found, text, sizeof(text), &err), 0);
	CU_ASSERT_STRING_EQUAL(found.vm, lease.vm);
}

/* Nothing that somebody else writes there is taken for a lease by half. */
static void what_is_no_lease(void)
{
	static const char *const texts[] = {
		"", " ", "[]", "{}", "{\"format\":1}",
		"{\"format\":2,\"host\":\"a\",\"machine\":\"m\",\"boot\":\"b\",\"vm\":\"c\",\"seconds\":10,"
		"\"count\":1,\"dirty_bytes\":0,\"released\":false}",
		"{\"format\":1,\"host\":\"a\",\"machine\":\"m\",\"boot\":\"b\",\"vm\":\"c\",\"seconds\":1,"
		"\"count\":1,\"dirty_bytes\":0,\"released\":false}",
		"{\"format\":1,\"host\":\"a\",\"machine\":\"m\",\"boot\":\"b\",\"vm\":\"c\",\"seconds\":3601,"
		"\"count\":1,\"dirty_bytes\":0,\"released\":false}",
		"{\"format\":1,\"host\":\"a\",\"machine\":\"m\",\"boot\":\"b\",\"vm\":\"c\",\"seconds\":10,"
		"\"count\":-1,\"dirty_bytes\":0,\"released\":false}",
		"{\"format\":1,\"host\":\"a\",\"machine\":\"m\",\"boot\":\"b\",\"vm\":\"c\",\"seconds\":10,"
		"\"count\":1,\"dirty_bytes\":0,\"released\":0}",
		"{\"format\":1,\"host\":7,\"machine\":\"m\",\"boot\":\"b\",\"vm\":\"c\",\"seconds\":10,"
		"\"count\":1,\"dirty_bytes\":0,\"released\":false}",
	};
	struct errinfo err = {0};
	char text[LEASE_BYTES];
	struct lease found, lease = some_lease();

	for (unsigned i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		CU_ASSERT_EQUAL(lease_parse(&found, texts[i], strlen(texts[i]), &err), -EUCLEAN);
	lease_format(&lease, text);
	for (size_t cut = 0; cut < strcspn(text, "}") + 1; cut++)
		CU_ASSERT_EQUAL(lease_parse(&found, text, cut, &err), -EUCLEAN);
}

static void a_boot_is_another_host(void)
{
	struct lease a = some_lease(), b = a;

	b.count++;
	CU_ASSERT(lease_same_host(&a, &b));
	snprintf(b.boot, sizeof(b.boot), "other");
	CU_ASSERT(!lease_same_host(&a, &b));
}

static bool twice_renewed(void *arg)
{
	return ((struct heartbeat *)arg)->lease.count >= 3;
}

static uint64_t dirty(const void *arg)
{
	return 4711;
}

static void a_heartbeat_renews_and_releases(void)
{
	struct heartbeat heartbeat = {0};
	struct errinfo err = {0};
	struct lease lease, here = {0};
	struct stat stat_of;
	uint64_t before;
	char path[96];

	CU_ASSERT_EQUAL(lease_read(dir, &lease, &err), -ENOENT);
	CU_ASSERT_EQUAL_FATAL(heartbeat_start(&heartbeat, loop.ring, dir, "web1", LEASE_MIN_S,
					      &err), 0);
	heartbeat.dirty = dirty;
	snprintf(path, sizeof(path), "%s/" LEASE_FILE, dir);
	CU_ASSERT(!stat(path, &stat_of) && (stat_of.st_mode & 0777) == 0600);
	CU_ASSERT_EQUAL(lease_read(dir, &lease, &err), 0);
	lease_here(&here);
	CU_ASSERT(lease_same_host(&lease, &here));
	CU_ASSERT_EQUAL(lease.count, 1);
	CU_ASSERT(here.host[0] && here.boot[0]);
	CU_ASSERT_EQUAL(loop_until(&loop, twice_renewed, &heartbeat,
				   ring_now_ns() + 60000 * NS_PER_MS), 0);
	heartbeat_stop(&heartbeat, &loop, false);
	CU_ASSERT_EQUAL(lease_read(dir, &lease, &err), 0);
	CU_ASSERT(heartbeat.lease.count >= 3);
	CU_ASSERT_EQUAL(lease.count, heartbeat.lease.count);
	CU_ASSERT_EQUAL(lease.dirty_bytes, 4711);
	CU_ASSERT(!lease.released);
	/* The next one counts on: nobody may take its first for an old one. */
	before = lease.count;
	CU_ASSERT_EQUAL(heartbeat_start(&heartbeat, loop.ring, dir, "web1", LEASE_MIN_S, &err), 0);
	heartbeat_stop(&heartbeat, &loop, true);
	CU_ASSERT_EQUAL(lease_read(dir, &lease, &err), 0);
	CU_ASSERT_EQUAL(lease.count, before + 2);
	CU_ASSERT(lease.released);
	heartbeat_stop(&heartbeat, &loop, true); /* no effect */
}

static void put(const struct lease *lease)
{
	char path[96], text[LEASE_BYTES];
	int fd;

	lease_format(lease, text);
	snprintf(path, sizeof(path), "%s/" LEASE_FILE, dir);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	CU_ASSERT_EQUAL(write(fd, text, sizeof(text)), sizeof(text));
	close(fd);
}

static void who_may_have_the_store(void)
{
	struct lease lease = some_lease(), found;
	struct errinfo err = {0};
	int64_t began_ns;

	loop.quit = true; /* who waits comes back with -EINTR */
	put(&lease); /* released */
	CU_ASSERT_EQUAL(lease_refuse_other(&loop, dir, &err), 0);
	lease.released = false;
	lease_here(&lease);
	put(&lease); /* of this host, whose store has a lock */
	CU_ASSERT_EQUAL(lease_refuse_other(&loop, dir, &err), 0);
	lease = some_lease();
	lease.released = false;
	lease.seconds = LEASE_MIN_S;
	put(&lease); /* of one that says nothing any more */
	CU_ASSERT_EQUAL(lease_refuse_other(&loop, dir, &err), -EINTR);
	loop.quit = false;
	began_ns = ring_now_ns();
	CU_ASSERT_EQUAL(lease_refuse_other(&loop, dir, &err), 0);
	CU_ASSERT(ring_now_ns() - began_ns >= LEASE_MIN_S * 1000 * NS_PER_MS);
	lease_release(dir); /* who has the store now wants none */
	lease_here(&lease);
	CU_ASSERT(!lease_read(dir, &found, &err) && found.released);
	CU_ASSERT(lease_same_host(&found, &lease) && found.count == 18);
}

int main(void)
{
#define CASE(fn) {#fn, fn}
	static const struct cunit_case cases[] = {
		CASE(what_is_written_is_read),
		CASE(what_is_no_lease),
		CASE(a_boot_is_another_host),
		CASE(a_heartbeat_renews_and_releases),
		CASE(who_may_have_the_store),
	};
	int rc = make_dir() ? 1 : cunit_run("lease", cases, sizeof(cases) / sizeof(cases[0]));

	return remove_dir() ? 1 : rc;
}
