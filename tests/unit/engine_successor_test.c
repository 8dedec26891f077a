/* SPDX-License-Identifier: Apache-2.0
 *
 * When a store is given up for one in the spare directory, and which of the two a start takes.
 */
#include <CUnit/CUnit.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cunit_main.h"
#include "sidecar.h"
#include "statefile.h"

#define S INT64_C(1000000000)
#define MIB (UINT64_C(1) << 20)

/* --- the decision --- */

static bool due(int error, unsigned failures, int64_t after_ns)
{
	struct successor successor = {.failures = failures, .since_ns = 100 * S};

	return successor_due(&successor, error, 100 * S + after_ns);
}

static void an_error_that_passes_moves_nothing(void)
{
	CU_ASSERT(!due(EIO, 1, 60 * S));
	CU_ASSERT(!due(EIO, 2, 60 * S));
	CU_ASSERT(!due(EIO, 40, 5 * S - 1));
	CU_ASSERT(!due(EROFS, 3, 0));
}

static void a_disk_that_fails_for_seconds_is_left(void)
{
	CU_ASSERT(due(EIO, 3, 5 * S));
	CU_ASSERT(due(EROFS, 4, 7 * S));
}

static void a_full_disk_has_longer(void)
{
	CU_ASSERT(!due(ENOSPC, 5, 30 * S - 1));
	CU_ASSERT(!due(EDQUOT, 5, 15 * S));
	CU_ASSERT(due(ENOSPC, 6, 30 * S));
	CU_ASSERT(due(EDQUOT, 6, 31 * S));
}

static const struct successor_facts good = {
	.spare = true, .room_bytes = 64 * MIB, .need_bytes = 64 * MIB};

static void all_that_stands_against_it_is_told(void)
{
	struct successor_facts facts = good;

	CU_ASSERT_PTR_NULL(successor_lacks(&facts));
#define LACKS(member, value, words)                                                               \
	facts = good;                                                                              \
	facts.member = value;                                                                      \
	CU_ASSERT_PTR_NOT_NULL_FATAL(successor_lacks(&facts));                                     \
	CU_ASSERT_PTR_NOT_NULL(strstr(successor_lacks(&facts), words))
	LACKS(spare, false, "no spare");
	LACKS(moved, true, "already");
	LACKS(inside, true, "image in the store");
	LACKS(same_disk, true, "file system");
	LACKS(taken, true, "another store");
	LACKS(room_bytes, 64 * MIB - 1, "no room");
}

/* --- which of the two --- */

static char dir[64];
static struct config config;
static struct sidecar sidecar;
static char store[96], spare[96];

static void setup(void)
{
	strcpy(dir, "/var/tmp/qheal-successor-XXXXXX");
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(dir));
	snprintf(store, sizeof(store), "%s/store", dir);
	snprintf(spare, sizeof(spare), "%s/spare", dir);
	mkdir(spare, 0700);
	config = (struct config){.store = store, .spare = spare};
	successor_name(&config);
	memset(&sidecar, 0, sizeof(sidecar));
	sidecar.config = &config;
	strcpy(sidecar.guest.name, "web1");
	strcpy(sidecar.guest.uuid, "12345678-9abc-4def-8123-456789abcdef");
	sidecar.guest.disk_count = 1;
	snprintf(sidecar.guest.disks[0].file, sizeof(sidecar.guest.disks[0].file),
		 "/vm/web1.raw");
}

static void teardown(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	CU_ASSERT_EQUAL(system(command), 0);
}

static void make_store(const char *path, const char *vm, const char *uuid)
{
	struct store_spec spec = {.block_bytes = 65536, .disk_count = 1};
	struct errinfo err = {0};

	snprintf(spec.vm, sizeof(spec.vm), "%s", vm);
	snprintf(spec.vm_uuid, sizeof(spec.vm_uuid), "%s", uuid);
	strcpy(spec.disks[0].name, "vda");
	spec.disks[0].size = MIB;
	CU_ASSERT_EQUAL_FATAL(store_create(path, &spec, 0, &err), 0);
}

static void say_origin(const char *of)
{
	struct errinfo err = {0};
	char text[256];

	snprintf(text, sizeof(text), "{\"store\":\"%s\"}", of);
	CU_ASSERT_EQUAL_FATAL(statefile_replace(config.successor, "origin", text, &err), 0);
}

static void say_left(const char *to)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/left", store);
	CU_ASSERT_EQUAL_FATAL(symlink(to, path), 0);
}

/* A store, and its successor that a sidecar made. */
static void make_both(void)
{
	make_store(store, sidecar.guest.name, sidecar.guest.uuid);
	make_store(config.successor, sidecar.guest.name, sidecar.guest.uuid);
	say_origin(store);
}

static void remove_store(void)
{
	char command[256];

	snprintf(command, sizeof(command), "rm -rf '%s'; mkdir '%s'", store, store);
	CU_ASSERT_EQUAL(system(command), 0);
}

static bool goes_first(void)
{
	bool goes = successor_goes_first(&sidecar);

	CU_ASSERT(sidecar.succeeded == goes && sidecar.rebirth == goes);
	sidecar.succeeded = sidecar.rebirth = false;
	return goes;
}

static void a_store_that_works_and_was_not_left_is_used(void)
{
	setup();
	CU_ASSERT(!goes_first()); /* there is nothing at all */
	make_both();
	CU_ASSERT(!goes_first());
	say_left("/elsewhere/replica");
	CU_ASSERT(!goes_first());
	teardown();
}

static void the_successor_of_a_store_that_was_left_is_used(void)
{
	setup();
	make_both();
	say_left(config.successor);
	CU_ASSERT(goes_first());
	config.origin = store; /* it is in use */
	CU_ASSERT(!goes_first());
	teardown();
}

static void the_successor_of_a_store_that_is_gone_is_used(void)
{
	setup();
	make_both();
	remove_store();
	CU_ASSERT(goes_first());
	teardown();
}

static void a_successor_that_was_claimed_only_is_made_then(void)
{
	setup();
	mkdir(config.successor, 0700);
	CU_ASSERT(!successor_steps_in(&sidecar, -EIO, "cannot read it"));
	say_origin(store);
	CU_ASSERT(successor_steps_in(&sidecar, -EIO, "cannot read it"));
	teardown();
}

static void a_guest_that_runs_on_the_successor_is_not_left_alone(void)
{
	setup();
	make_both();
	snprintf(sidecar.guest.disks[0].file, sizeof(sidecar.guest.disks[0].file),
		 "%s/replica/promoted/vda-7.qcow2", spare);
	CU_ASSERT(goes_first());
	snprintf(sidecar.guest.disks[0].file, sizeof(sidecar.guest.disks[0].file),
		 "%s/vda-12345678-1-1.raw", spare);
	CU_ASSERT(!goes_first());
	teardown();
}

static void what_another_made_there_is_never_taken(void)
{
	setup();
	make_both();
	remove_store();
	strcpy(sidecar.guest.name, "web2");
	CU_ASSERT(!goes_first());
	strcpy(sidecar.guest.name, "web1");
	sidecar.guest.uuid[0] = '2';
	CU_ASSERT(!goes_first());
	sidecar.guest.uuid[0] = '1';
	say_origin("/srv/qheal/other");
	CU_ASSERT(!goes_first());
	say_origin(store);
	CU_ASSERT(goes_first());
	teardown();
}

static void only_a_store_that_cannot_be_read_or_written_is_replaced(void)
{
	static const int not_bad[] = {EBUSY, EPERM, EINVAL, ENOTSUP, ENOMEM, EACCES, EFBIG};

	setup();
	make_both();
	for (unsigned i = 0; i < sizeof(not_bad) / sizeof(not_bad[0]); i++)
		CU_ASSERT(!successor_steps_in(&sidecar, -not_bad[i], "no"));
	CU_ASSERT(!sidecar.rebirth);
	CU_ASSERT(successor_steps_in(&sidecar, -EROFS, "cannot lock it"));
	CU_ASSERT(sidecar.rebirth && sidecar.succeeded);
	say_origin("/srv/qheal/other");
	CU_ASSERT(!successor_steps_in(&sidecar, -EIO, "cannot read it"));
	config.successor[0] = '\0';
	CU_ASSERT(!successor_steps_in(&sidecar, -EIO, "cannot read it"));
	teardown();
}

/* --- what the store that was left says --- */

static const char *left_by(const char *asked, const char *used)
{
	static char to[PATH_MAX];

	memset(&sidecar.successor, 0, sizeof(sidecar.successor));
	config.origin = strcmp(asked, used) ? asked : NULL;
	config.store = used;
	successor_mark(&sidecar);
	return successor_left(asked, to) ? to : "";
}

static void the_store_that_was_left_says_so_until_it_is_used_again(void)
{
	setup();
	make_both();
	CU_ASSERT_STRING_EQUAL(left_by(store, config.successor), config.successor);
	CU_ASSERT_STRING_EQUAL(left_by(store, config.successor), config.successor);
	config.origin = NULL;
	config.store = store;
	CU_ASSERT(goes_first());
	CU_ASSERT_STRING_EQUAL(left_by(store, store), "");
	CU_ASSERT(!goes_first());
	remove_store(); /* the mount point of a disk that is not there */
	CU_ASSERT_STRING_EQUAL(left_by(store, config.successor), "");
	teardown();
}

int main(void)
{
#define CASE(fn) {#fn, fn}
	static const struct cunit_case cases[] = {
		CASE(an_error_that_passes_moves_nothing),
		CASE(a_disk_that_fails_for_seconds_is_left),
		CASE(a_full_disk_has_longer),
		CASE(all_that_stands_against_it_is_told),
		CASE(a_store_that_works_and_was_not_left_is_used),
		CASE(the_successor_of_a_store_that_was_left_is_used),
		CASE(the_successor_of_a_store_that_is_gone_is_used),
		CASE(a_successor_that_was_claimed_only_is_made_then),
		CASE(a_guest_that_runs_on_the_successor_is_not_left_alone),
		CASE(what_another_made_there_is_never_taken),
		CASE(only_a_store_that_cannot_be_read_or_written_is_replaced),
		CASE(the_store_that_was_left_says_so_until_it_is_used_again),
	};

	return cunit_run("successor", cases, sizeof(cases) / sizeof(cases[0]));
}
