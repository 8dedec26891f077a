/* SPDX-License-Identifier: Apache-2.0
 *
 * What is refused, what is warned of, and whether the advice can be followed.
 */
#include <CUnit/CUnit.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cunit_main.h"
#include "fake/fake_qemu.h"
#include "suitable.h"

static struct errinfo err;

static struct guest *guest_with(const char *iothread)
{
	static struct guest guest;

	memset(&guest, 0, sizeof(guest));
	guest.disk_count = 2;
	strcpy(guest.disks[0].name, "vda");
	strcpy(guest.disks[1].name, "vdb");
	strcpy(guest.disks[1].iothread, iothread);
	return &guest;
}

static void a_disk_in_an_iothread_is_refused(void)
{
	static const struct {
		int major, minor;
		const char *iothread;
		bool fits;
	} cases[] = {
		{7, 2, "", true}, {7, 2, "/objects/io0", false}, {8, 2, "/objects/io0", false},
		{9, 0, "", true}, {9, 0, "/objects/io0", false}, {10, 0, "/objects/io0", false},
	};

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct qmp_version version = {.major = cases[i].major, .minor = cases[i].minor};

		err_clear(&err);
		CU_ASSERT_EQUAL(suitable_iothreads(guest_with(cases[i].iothread), &version, &err),
				cases[i].fits ? 0 : -ENOTSUP);
		CU_ASSERT(cases[i].fits || (strstr(err.text, "vdb") && strstr(err.text, "io0")));
	}
}

static void errors_are_hidden_only_when_both_stop(void)
{
	static const struct {
		const char *rerror, *werror;
		bool hidden;
	} cases[] = {
		{"stop", "stop", true},	   {"report", "stop", false}, {"stop", "enospc", false},
		{"ignore", "ignore", false}, {"stop", "report", false}, {"", "", false},
	};

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct guest *guest = guest_with("");
		char advice[256] = "";

		strcpy(guest->disks[0].rerror, cases[i].rerror);
		strcpy(guest->disks[0].werror, cases[i].werror);
		CU_ASSERT_EQUAL(suitable_policy(&guest->disks[0], advice, sizeof(advice)),
				cases[i].hidden);
		CU_ASSERT(cases[i].hidden || strstr(advice, "set rerror=stop,werror=stop"));
		CU_ASSERT(cases[i].hidden || strstr(advice, "vda"));
	}
}

static void advice_fits_its_space(void)
{
	struct guest *guest = guest_with("");
	char advice[20];

	memset(advice, '#', sizeof(advice));
	CU_ASSERT(!suitable_policy(&guest->disks[0], advice, 10));
	CU_ASSERT(strlen(advice) == 9 && advice[10] == '#');
}

/* --- the version and the schema, asked from QEMU --- */

/* As much of a schema as is looked at; without MISSING. */
static const char *missing;

static const char full_schema[] =
	"[{'name':'blockdev-add','meta-type':'command','arg-type':'1','ret-type':'0'},"
	"{'name':'1','meta-type':'object','members':[{'name':'driver','type':'2'}],'tag':'driver',"
	"'variants':[{'case':'copy-before-write','type':'3'},{'case':'snapshot-access','type':'4'}]},"
	"{'name':'2','meta-type':'enum','values':['copy-before-write','snapshot-access'],"
	"'members':[{'name':'copy-before-write'},{'name':'snapshot-access'}]},"
	"{'name':'3','meta-type':'object','members':[{'name':'on-cbw-error','type':'str'}]},"
	"{'name':'4','meta-type':'object','members':[]},"
	"{'name':'block-export-add','meta-type':'command','arg-type':'5','ret-type':'0'},"
	"{'name':'5','meta-type':'object','members':[{'name':'type','type':'6'}],'tag':'type',"
	"'variants':[{'case':'nbd','type':'7'}]},"
	"{'name':'6','meta-type':'enum','values':['nbd'],'members':[{'name':'nbd'}]},"
	"{'name':'7','meta-type':'object','members':[{'name':'bitmaps','type':'str'}]},"
	"{'name':'x-debug-query-block-graph','meta-type':'command','arg-type':'4','ret-type':'4'},"
	"{'name':'0','meta-type':'object','members':[]},"
	"{'name':'str','meta-type':'builtin','json-type':'string'}]";

static json_t *answer_schema(void *arg, const char *command, const json_t *arguments)
{
	char text[sizeof(full_schema)];
	char *at;

	strcpy(text, full_schema);
	for (at = text; (at = strchr(at, '\'')); at++)
		*at = '"';
	at = missing ? strstr(text, missing) : NULL;
	for (; at && (at = strstr(at, missing)); at++)
		*at = '#';
	return json_pack("{s:o}", "return", json_loads(text, 0, NULL));
}

static json_t *answer_no_schema(void *arg, const char *command, const json_t *arguments)
{
	return json_pack("{s:s}", "return", "no");
}

static int ask(json_t *(*answer)(void *, const char *, const json_t *), bool old)
{
	struct fake_qemu fake;
	struct monitor monitor;
	struct loop loop;
	int rc;

	err_clear(&err);
	CU_ASSERT_EQUAL_FATAL(loop_init(&loop, &err), 0);
	fake_start(&fake, &loop);
	fake.old = old;
	fake_connect(&fake, &monitor);
	fake.answer = answer;
	rc = suitable_qemu(&monitor, &err);
	monitor_close(&monitor);
	fake_stop(&fake);
	loop_release(&loop);
	return rc;
}

static void qemu_7_and_10_with_all_that_is_needed_are_taken(void)
{
	missing = NULL;
	CU_ASSERT_EQUAL(ask(answer_schema, true), 0);
	CU_ASSERT_EQUAL(ask(answer_schema, false), 0);
}

static void a_build_that_lacks_something_is_refused_by_its_name(void)
{
	static const char *const parts[] = {"on-cbw-error", "snapshot-access", "bitmaps",
					    "x-debug-query-block-graph"};

	for (unsigned i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		missing = parts[i];
		CU_ASSERT_EQUAL(ask(answer_schema, false), -ENOTSUP);
		CU_ASSERT(strstr(err.text, parts[i]) != NULL);
	}
	CU_ASSERT_EQUAL(ask(answer_no_schema, false), -EPROTO);
}

static void an_old_qemu_is_refused_with_both_versions(void)
{
	struct fake_qemu fake;
	struct monitor monitor;
	struct loop loop;

	err_clear(&err);
	CU_ASSERT_EQUAL_FATAL(loop_init(&loop, &err), 0);
	fake_start(&fake, &loop);
	fake.greeting = "{\"QMP\": {\"version\": {\"qemu\": {\"major\": 7, \"minor\": 1, \"micro\": "
			"5}, \"package\": \"\"}, \"capabilities\": []}}\r\n";
	fake_connect(&fake, &monitor);
	CU_ASSERT_EQUAL(suitable_qemu(&monitor, &err), -ENOTSUP);
	CU_ASSERT(strstr(err.text, "7.1.5") && strstr(err.text, "7.2"));
	CU_ASSERT_EQUAL(fake.commands, 0);
	monitor_close(&monitor);
	fake_stop(&fake);
	loop_release(&loop);
}

int main(void)
{
#define CASE(fn) {#fn, fn}
	static const struct cunit_case cases[] = {
		CASE(a_disk_in_an_iothread_is_refused),
		CASE(errors_are_hidden_only_when_both_stop),
		CASE(advice_fits_its_space),
		CASE(qemu_7_and_10_with_all_that_is_needed_are_taken),
		CASE(a_build_that_lacks_something_is_refused_by_its_name),
		CASE(an_old_qemu_is_refused_with_both_versions),
	};

	alarm(60);
	return cunit_run("suitable", cases, sizeof(cases) / sizeof(cases[0]));
}
