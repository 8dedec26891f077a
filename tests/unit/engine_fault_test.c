/* SPDX-License-Identifier: Apache-2.0
 *
 * What each kind of BLOCK_IO_ERROR means.  Device names of 7.2 and 10.0 were
 * taken from real guests: "" with -blockdev, the drive's id with -drive.
 */
#include <CUnit/CUnit.h>
#include <stdio.h>
#include <string.h>

#include "cunit_main.h"
#include "fault.h"

static struct guest guest;

static void add_disk(const char *name, const char *node, const char *qom)
{
	struct guest_disk *disk = &guest.disks[guest.disk_count++];

	memset(disk, 0, sizeof(*disk));
	strcpy(disk->name, name);
	strcpy(disk->node, node);
	strcpy(disk->qom, qom);
}

static void setup(void)
{
	memset(&guest, 0, sizeof(guest));
	add_disk("vda", "d0", "/machine/peripheral/vda/virtio-backend");
	add_disk("vdb", "#block344", "/machine/peripheral/vdb/virtio-backend");
	add_disk("virtio0", "#block523", "/machine/peripheral-anon/device[1]/virtio-backend");
	add_disk("sda", "d1", "/machine/peripheral/sda");
	strcpy(guest.disks[1].cover, "#block777"); /* of a job */
}

#define VDA "/machine/peripheral/vda/virtio-backend"

static const struct {
	const char *what, *device, *node, *path; /* NULL: the event has no such member */
	const char *operation, *action;
	int nospace; /* -1: no such member */
	/* verdict */
	int disk;
	enum fault_kind kind;
	bool stops;
} cases[] = {
	{"7.2, -blockdev", "", "d0", NULL, "write", "stop", 0, 0, FAULT_DISK_WRITE, true},
	{"7.2, read", "", "d1", NULL, "read", "stop", 0, 3, FAULT_DISK_READ, true},
	{"7.2, -drive", "drive0", "#block344", NULL, "write", "stop", 0, 1, FAULT_DISK_WRITE, true},
	{"7.2, -drive without an id", "virtio0", "#block523", NULL, "write", "stop", 0, 2,
	 FAULT_DISK_WRITE, true},
	{"by the device when the root is another's", "virtio0", "#block999", NULL, "write", "stop",
	 0, 2, FAULT_DISK_WRITE, true},
	{"9.2, by path", "", "d0", VDA, "write", "stop", 0, 0, FAULT_DISK_WRITE, true},
	{"9.2, path of SCSI", "", "d1", "/machine/peripheral/sda", "write", "stop", 0, 3,
	 FAULT_DISK_WRITE, true},
	{"9.2, the path decides over the node", "", "d1", VDA, "write", "stop", 0, 0,
	 FAULT_DISK_WRITE, true},
	{"9.2, root is our filter", "", "qheal-cbw0", VDA, "write", "stop", 0, 0, FAULT_DISK_WRITE,
	 true},
	{"9.2, a device that is not ours", "", "d9", "/machine/peripheral/cd", "read", "stop", 0,
	 -1, FAULT_NONE, false},
	{"7.2, our filter is the root", "", "qheal-cbw3", NULL, "read", "stop", 0, 3,
	 FAULT_DISK_READ, true},
	{"7.2, the filter of a job is the root", "", "#block777", NULL, "write", "stop", 0, 1,
	 FAULT_DISK_WRITE, true},
	{"a filter of no disk", "", "qheal-cbw4", NULL, "read", "stop", 0, -1, FAULT_NONE, false},
	{"not a filter's number", "", "qheal-cbw", NULL, "read", "stop", 0, -1, FAULT_NONE, false},
	{"not a filter's number", "", "qheal-cbw1x", NULL, "read", "stop", 0, -1, FAULT_NONE,
	 false},
	{"not a filter's number", "", "qheal-cbw-1", NULL, "read", "stop", 0, -1, FAULT_NONE,
	 false},
	{"not a filter's number", "", "qheal-cbw99999999999999999999", NULL, "read", "stop", 0, -1,
	 FAULT_NONE, false},
	{"our scratch node", "", "qheal-tmp0", NULL, "write", "stop", 0, -1, FAULT_NONE, false},
	{"unknown", "cd0", "cd", NULL, "read", "stop", 0, -1, FAULT_NONE, false},
	{"no names at all", NULL, NULL, NULL, "read", "stop", 0, -1, FAULT_NONE, false},
	{"an empty device is nobody's name", "", "other", NULL, "read", "stop", 0, -1, FAULT_NONE,
	 false},
	{"the guest sees it", "", "d0", NULL, "write", "report", 0, 0, FAULT_DISK_WRITE, false},
	{"nobody sees it", "", "d0", NULL, "write", "ignore", 0, 0, FAULT_NONE, false},
	{"full", "", "d0", NULL, "write", "stop", 1, 0, FAULT_DISK_FULL, true},
	{"full, told to the guest", "", "d0", NULL, "write", "report", 1, 0, FAULT_DISK_FULL, false},
	{"no word of space", "", "d0", NULL, "write", "stop", -1, 0, FAULT_DISK_WRITE, true},
};

static json_t *event_of(unsigned i)
{
	json_t *data = json_pack("{s:s*,s:s*,s:s*,s:s,s:s,s:s}", "device", cases[i].device,
				 "node-name", cases[i].node, "qom-path", cases[i].path, "operation",
				 cases[i].operation, "action", cases[i].action, "reason",
				 "Input/output error");

	if (cases[i].nospace >= 0)
		json_object_set_new(data, "nospace", json_boolean(cases[i].nospace));
	return data;
}

static void every_event_has_its_verdict(void)
{
	setup();
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		json_t *data = event_of(i);
		struct fault fault = fault_of_block_error(&guest, data, 77);

		CU_ASSERT_EQUAL(fault.disk, cases[i].disk);
		CU_ASSERT_EQUAL(fault.kind, cases[i].kind);
		CU_ASSERT_EQUAL(fault.stops_guest, cases[i].stops);
		CU_ASSERT_EQUAL(fault.time_us, 77);
		if (fault.disk != cases[i].disk || fault.kind != cases[i].kind ||
		    fault.stops_guest != cases[i].stops)
			fprintf(stderr, "\n  %s: disk %d, kind %d, stops %d\n", cases[i].what,
				fault.disk, fault.kind, fault.stops_guest);
		json_decref(data);
	}
}

static void the_detail_tells_operation_reason_and_action(void)
{
	struct fault fault;
	json_t *data = event_of(0);

	setup();
	fault = fault_of_block_error(&guest, data, 0);
	CU_ASSERT(strstr(fault.detail, "write") && strstr(fault.detail, "Input/output error") &&
		  strstr(fault.detail, "stop"));
	json_decref(data);
}

static void an_event_of_wrong_types_is_nothing(void)
{
	static const char *const texts[] = {"{}", "[]", "7", "{\"node-name\": [\"d0\"]}",
					    "{\"device\": null, \"qom-path\": 7}"};
	char reason[1000];
	struct fault fault;
	json_t *data;

	setup();
	CU_ASSERT_EQUAL(fault_of_block_error(&guest, NULL, 0).kind, FAULT_NONE);
	for (unsigned i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		data = json_loads(texts[i], JSON_DECODE_ANY, NULL);
		CU_ASSERT_EQUAL(fault_of_block_error(&guest, data, 0).kind, FAULT_NONE);
		json_decref(data);
	}
	memset(reason, 'r', sizeof(reason));
	data = json_pack("{s:s,s:s%,s:s}", "node-name", "d0", "reason", reason, sizeof(reason),
			 "action", "stop");
	fault = fault_of_block_error(&guest, data, 0);
	CU_ASSERT_EQUAL(fault.kind, FAULT_DISK_WRITE);
	CU_ASSERT_EQUAL(strlen(fault.detail), sizeof(fault.detail) - 1);
	json_decref(data);
}

static void names_are_those_of_the_contract(void)
{
	CU_ASSERT_STRING_EQUAL(fault_name(FAULT_DISK_WRITE), "disk-write-error");
	CU_ASSERT_STRING_EQUAL(fault_name(FAULT_DISK_READ), "disk-read-error");
	CU_ASSERT_STRING_EQUAL(fault_name(FAULT_DISK_FULL), "disk-full");
	CU_ASSERT_STRING_EQUAL(fault_name(FAULT_REPLICA), "replica-error");
	CU_ASSERT_STRING_EQUAL(fault_name(FAULT_QEMU_EXIT), "qemu-exit");
	CU_ASSERT_STRING_EQUAL(fault_name(FAULT_NONE), "none");
	for (unsigned kind = 0; kind < FAULT_KINDS; kind++)
		CU_ASSERT_EQUAL(fault_by_name(fault_name((enum fault_kind)kind)), kind);
	CU_ASSERT_EQUAL(fault_by_name("disk"), FAULT_NONE);
}

int main(void)
{
#define CASE(fn) {#fn, fn}
	static const struct cunit_case tests[] = {
		CASE(every_event_has_its_verdict),
		CASE(the_detail_tells_operation_reason_and_action),
		CASE(an_event_of_wrong_types_is_nothing),
		CASE(names_are_those_of_the_contract),
	};

	return cunit_run("fault", tests, sizeof(tests) / sizeof(tests[0]));
}
