/* SPDX-License-Identifier: Apache-2.0
 *
 * QEMU's command line taken apart, and what the doctor says.
 */
#include <CUnit/CUnit.h>
#include <stdlib.h>
#include <string.h>

#include "cunit_main.h"
#include "doctor.h"
#include "jsontext.h"

static struct qemu_argv qemu;

/* WORDS end with NULL. */
static void parse(const char *const *words)
{
	char text[2048];
	size_t length = 0;

	for (; *words; words++) {
		memcpy(text + length, *words, strlen(*words) + 1);
		length += strlen(*words) + 1;
	}
	qemu_argv_parse(&qemu, text, length);
}

#define PARSE(...) parse((const char *const[]){__VA_ARGS__, NULL})

static void monitors_are_found_in_each_form(void)
{
	PARSE("/usr/bin/qemu-system-x86_64", "-name", "guest=web1,debug-threads=on", "-qmp",
	      "unix:/a.sock,server=on,wait=off", "-mon", "chardev=m1,mode=control", "-chardev",
	      "socket,id=m0,path=/no.sock", "-chardev", "socket,id=m1,path=/b,,c.sock,server=on",
	      "-mon", "chardev=m0,mode=readline", "-qmp", "tcp:localhost:4444,server=on");
	CU_ASSERT_TRUE(qemu.is_qemu);
	CU_ASSERT_STRING_EQUAL(qemu.name, "web1");
	CU_ASSERT_EQUAL(qemu.monitors, 3);
	CU_ASSERT_EQUAL_FATAL(qemu.paths, 2);
	CU_ASSERT_STRING_EQUAL(qemu.path[0], "/a.sock");
	CU_ASSERT_STRING_EQUAL(qemu.path[1], "/b,c.sock");
	PARSE("qemu-kvm", "-name", "web2", "--action", "panic=pause,watchdog=none");
	CU_ASSERT_STRING_EQUAL(qemu.name, "web2");
	CU_ASSERT_STRING_EQUAL(qemu.panic_action, "pause");
	CU_ASSERT_STRING_EQUAL(qemu.watchdog_action, "none");
	CU_ASSERT_EQUAL(qemu.monitors, 0);
}

static void what_is_no_qemu_or_cut_off_is_nothing(void)
{
	PARSE("/bin/sh", "-c", "qemu-system-x86_64 -qmp unix:/a");
	CU_ASSERT_FALSE(qemu.is_qemu);
	qemu_argv_parse(&qemu, "", 0);
	CU_ASSERT_FALSE(qemu.is_qemu);
	qemu_argv_parse(&qemu, "qemu-system-arm", 15); /* no end */
	CU_ASSERT_FALSE(qemu.is_qemu);
	PARSE("qemu-system-arm", "-qmp");
	CU_ASSERT_TRUE(qemu.is_qemu && !qemu.monitors);
	PARSE("qemu-system-arm", "-mon", "mode=control", "-qmp", "unix:", "-qmp", "unix:,server",
	      "-mon", ",,,,", "-action", "panic=far-too-long-for-any-action");
	CU_ASSERT_EQUAL(qemu.paths, 0);
	for (unsigned i = 0; i < 20000; i++) { /* any bytes */
		char text[64];

		memcpy(text, "qemu-system-x\0-mon\0", 19);
		for (unsigned j = 19; j < sizeof(text); j++)
			text[j] = ",=\0-abchardevmodecontrol"[rand() % 24];
		qemu_argv_parse(&qemu, text, sizeof(text));
	}
	PARSE("qemu-system-x", "-qmp", "unix:1", "-qmp", "unix:2", "-qmp", "unix:3", "-qmp",
	      "unix:4", "-qmp", "unix:5", "-qmp", "unix:6", "-qmp", "unix:7", "-qmp", "unix:8",
	      "-qmp", "unix:9");
	CU_ASSERT_EQUAL(qemu.paths, QEMU_ARGV_MONITORS_MAX);
	CU_ASSERT_EQUAL(qemu.monitors, 9);
}

/* --- the doctor --- */

static struct guest guest;
static struct doctor_facts facts;

static const char *state_of(const char *resource, const char *fault)
{
	static char state[32];
	json_t *lines = doctor_lines(&guest, &facts), *line;
	size_t i;

	state[0] = '\0';
	json_array_foreach(lines, i, line) {
		CU_ASSERT(strlen(json_text(line, "says")) > 5);
		if (!strcmp(json_text(line, "resource"), resource) &&
		    !strcmp(json_text(line, "fault"), fault))
			strcpy(state, json_text(line, "state"));
	}
	json_decref(lines);
	return state;
}

#define SAYS(resource, fault, state) CU_ASSERT_STRING_EQUAL(state_of(resource, fault), state)

static void begin(void)
{
	static struct qemu_argv argv;

	memset(&guest, 0, sizeof(guest));
	memset(&argv, 0, sizeof(argv));
	facts = (struct doctor_facts){.argv_known = true, .argv = &argv};
	guest.disk_count = 1;
	strcpy(guest.disks[0].name, "vda");
	strcpy(guest.disks[0].qom, "/machine/peripheral/vda/virtio-backend");
	strcpy(guest.disks[0].rerror, "stop");
	strcpy(guest.disks[0].werror, "stop");
}

static void each_line_follows_its_fact(void)
{
	static const char *const actions[] = {"reset", "pause", "inject-nmi",
					      "none", "debug", "poweroff", "shutdown"};

	begin();
	SAYS("vda", "read and write errors, full", "protected");
	SAYS("vda", "requests that hang", "protected");
	SAYS("guest", "panic", "unprotected");
	SAYS("guest", "a hung kernel", "unprotected");
	SAYS("guest", "a silent agent", "unprotected");
	SAYS("qemu", "killed, crashed, hung", "option");
	strcpy(guest.disks[0].werror, "report");
	strcpy(guest.disks[0].qom, "/machine/peripheral/vda");
	SAYS("vda", "read and write errors, full", "unprotected");
	SAYS("vda", "requests that hang", "unprotected");
	facts.pvpanic = facts.watchdog = facts.agent = true;
	SAYS("guest", "panic", "unprotected"); /* -action is still shutdown */
	strcpy(((struct qemu_argv *)facts.argv)->panic_action, "pause");
	SAYS("guest", "panic", "protected");
	SAYS("guest", "a hung kernel", "protected");
	for (unsigned i = 0; i < sizeof(actions) / sizeof(actions[0]); i++) {
		strcpy(((struct qemu_argv *)facts.argv)->watchdog_action, actions[i]);
		SAYS("guest", "a hung kernel", i < 3 ? "protected" : "unprotected");
	}
	SAYS("guest", "a silent agent", "option");
	facts.argv_known = false;
	SAYS("guest", "panic", "option");
	SAYS("qemu", "killed, crashed, hung", "unprotected");
}

static void devices_are_told_by_their_type(void)
{
	json_t *devices = json_loads("[[{\"name\": \"type\", \"type\": \"string\"}, "
				     "{\"name\": \"device[0]\", \"type\": \"child<pvpanic>\"}], "
				     "[{\"name\": \"w\", \"type\": \"child<i6300esb>\"}, 7, {}]]", 0,
				     NULL);

	facts = (struct doctor_facts){0};
	doctor_devices(devices, &facts);
	CU_ASSERT_TRUE(facts.pvpanic && facts.watchdog);
	facts = (struct doctor_facts){0};
	doctor_devices(json_array_get(devices, 7), &facts);
	CU_ASSERT_FALSE(facts.pvpanic || facts.watchdog);
	json_decref(devices);
}

int main(void)
{
#define CASE(fn) {#fn, fn}
	static const struct cunit_case cases[] = {
		CASE(monitors_are_found_in_each_form),
		CASE(what_is_no_qemu_or_cut_off_is_nothing),
		CASE(each_line_follows_its_fact),
		CASE(devices_are_told_by_their_type),
	};

	return cunit_run("engine_doctor", cases, sizeof(cases) / sizeof(cases[0]));
}
