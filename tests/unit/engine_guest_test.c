/* SPDX-License-Identifier: Apache-2.0
 *
 * What QEMU says of its disks: as QEMU 7.2 and 10.0 really said it
 * (tests/data), and as nobody should.
 *
 * The guest there has: vda virtio-blk, sda SCSI, hda IDE, vdq on qcow2, vdb from
 * -drive with cache=none, one of -drive if=virtio without an id, one without an
 * id on node "anon", a CD-ROM and a drive with no medium.
 */
#include <CUnit/CUnit.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "alloc_fail.h"
#include "cunit_main.h"
#include "fake/fake_qemu.h"
#include "guest.h"

#define QEMU_7 "tests/data/query-block-7.2.json"
#define QEMU_10 "tests/data/query-block-10.0.json"
#define MIB (UINT64_C(1) << 20)

static struct guest guest;
static struct errinfo err;

static json_t *load(const char *path)
{
	json_t *reply = json_load_file(path, 0, NULL);

	CU_ASSERT_PTR_NOT_NULL_FATAL(reply);
	return reply;
}

static int parse(json_t *reply)
{
	int rc;

	memset(&guest, 0, sizeof(guest));
	err_clear(&err);
	rc = guest_parse_block(&guest, reply, &err);
	json_decref(reply);
	return rc;
}

static int parse_text(const char *text)
{
	json_t *reply = json_loads(text, JSON_DECODE_ANY, NULL);

	CU_ASSERT_PTR_NOT_NULL_FATAL(reply);
	return parse(reply);
}

/* --- real answers --- */

static void check_disk(const char *name, const char *node, const char *qom, const char *driver,
		       uint64_t size)
{
	const struct guest_disk *disk = guest_find(&guest, name);

	CU_ASSERT_PTR_NOT_NULL_FATAL(disk);
	CU_ASSERT_STRING_EQUAL(disk->node, node);
	CU_ASSERT_STRING_EQUAL(disk->qom, qom);
	CU_ASSERT_STRING_EQUAL(disk->driver, driver);
	CU_ASSERT_EQUAL(disk->size, size);
	CU_ASSERT(!disk->io_failed);
	CU_ASSERT(!disk->cache_no_flush);
}

static void check_guest(const char *drive_node, const char *virtio_node)
{
	CU_ASSERT_EQUAL(guest.disk_count, 7);
	CU_ASSERT_EQUAL(guest.skipped, 0);
	check_disk("vda", "d0", "/machine/peripheral/vda/virtio-backend", "raw", 8 * MIB);
	check_disk("sda", "d1", "/machine/peripheral/sda", "raw", 8 * MIB);
	check_disk("hda", "d2", "/machine/peripheral/hda", "raw", 8 * MIB);
	check_disk("vdq", "dq", "/machine/peripheral/vdq/virtio-backend", "qcow2", 16 * MIB);
	check_disk("vdb", drive_node, "/machine/peripheral/vdb/virtio-backend", "raw", 8 * MIB);
	check_disk("virtio0", virtio_node, "/machine/peripheral-anon/device[1]/virtio-backend",
		   "raw", 8 * MIB);
	check_disk("anon", "anon", "/machine/peripheral-anon/device[0]/virtio-backend", "raw",
		   8 * MIB);
	CU_ASSERT_PTR_NULL(guest_find(&guest, "cd"));
	CU_ASSERT_PTR_NULL(guest_find(&guest, "nomedium"));
	CU_ASSERT(guest_find(&guest, "vdb")->cache_direct);
	CU_ASSERT(!guest_find(&guest, "vda")->cache_direct);
}

static void qemu_7_is_understood(void)
{
	CU_ASSERT_EQUAL(parse(load(QEMU_7)), 0);
	check_guest("#block344", "#block523");
}

static void qemu_10_is_understood(void)
{
	CU_ASSERT_EQUAL(parse(load(QEMU_10)), 0);
	check_guest("#block354", "#block505");
}

static void only_our_bitmaps_are_seen(void)
{
	const struct guest_disk *disk;
	const struct guest_bitmap *bitmap;

	CU_ASSERT_EQUAL(parse(load(QEMU_7)), 0);
	disk = guest_find(&guest, "vda");
	CU_ASSERT_EQUAL(disk->bitmap_count, 1);
	bitmap = guest_bitmap_find(disk, "qheal-1234abcd-7");
	CU_ASSERT_PTR_NOT_NULL_FATAL(bitmap);
	CU_ASSERT(bitmap->recording && !bitmap->busy && !bitmap->inconsistent);
	CU_ASSERT_EQUAL(bitmap->granularity, 65536);
	CU_ASSERT_EQUAL(bitmap->dirty_bytes, 0);
	CU_ASSERT_PTR_NULL(guest_bitmap_find(disk, "backup-x"));
	CU_ASSERT_EQUAL(guest_find(&guest, "hda")->bitmap_count, 0);
}

/* --- answers made up --- */

#define DISK(qdev, node, more)                                                                     \
	"{\"device\": \"\", \"io-status\": \"ok\", \"qdev\": \"" qdev "\", \"inserted\": "         \
	"{\"node-name\": \"" node "\", \"ro\": false, \"drv\": \"raw\", \"file\": \"f\", "         \
	"\"image\": {\"virtual-size\": 1048576}" more "}}"
#define BITMAP(name, more) "{\"name\": \"" name "\", \"count\": 131072" more "}"

static void an_io_error_is_seen(void)
{
	CU_ASSERT_EQUAL(parse_text("[" DISK("vda", "d0", "") ", {\"io-status\": \"failed\", "
				   "\"qdev\": \"vdb\", \"inserted\": {\"node-name\": \"d1\", "
				   "\"image\": {\"virtual-size\": 512}}}, {\"io-status\": "
				   "\"nospace\", \"qdev\": \"vdc\", \"inserted\": {\"node-name\": "
				   "\"d2\", \"image\": {\"virtual-size\": 512}}}, {\"qdev\": "
				   "\"vdd\", \"inserted\": {\"node-name\": \"d3\", \"image\": "
				   "{\"virtual-size\": 512}}}]"), 0);
	CU_ASSERT_EQUAL(guest.disk_count, 4);
	CU_ASSERT(!guest.disks[0].io_failed);
	CU_ASSERT(guest.disks[1].io_failed);
	CU_ASSERT(guest.disks[2].io_failed);
	CU_ASSERT(!guest.disks[3].io_failed); /* a device without an error policy */
}

static void what_is_no_list_is_refused(void)
{
	static const char *const texts[] = {"{}", "7", "null", "\"disks\"", "true"};

	for (unsigned i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		CU_ASSERT_EQUAL(parse_text(texts[i]), -EPROTO);
		CU_ASSERT(err.text[0] != '\0');
	}
	CU_ASSERT_EQUAL(guest_parse_block(&guest, NULL, &err), -EPROTO);
}

static void entries_of_wrong_types_are_no_disks(void)
{
	static const char *const entries[] = {
		"null", "7", "[]", "\"vda\"", "{}",
		"{\"qdev\": \"vda\"}",
		"{\"qdev\": \"vda\", \"inserted\": null}",
		"{\"qdev\": \"vda\", \"inserted\": []}",
		"{\"qdev\": 7, \"inserted\": {}}",
		"{\"qdev\": \"\", \"inserted\": {}}",
		"{\"inserted\": {\"node-name\": \"d\", \"image\": {\"virtual-size\": 512}}}",
		"{\"qdev\": \"vda\", \"inserted\": {\"ro\": true}}",
	};
	char text[512];

	for (unsigned i = 0; i < sizeof(entries) / sizeof(entries[0]); i++) {
		snprintf(text, sizeof(text), "[%s, %s]", entries[i], DISK("good", "d0", ""));
		CU_ASSERT_EQUAL(parse_text(text), 0);
		CU_ASSERT_PTR_NOT_NULL(guest_find(&guest, "good"));
		CU_ASSERT(guest.disk_count == 1);
	}
}

/* One odd device (a tape, an empty image, a passed-through scanner) must not
 * keep the others from being protected. */
static void a_disk_that_cannot_be_handled_is_left_out_and_told(void)
{
	static const char *const entries[] = {
		"{\"qdev\": \"odd\", \"inserted\": {}}",
		"{\"qdev\": \"odd\", \"inserted\": {\"node-name\": \"\", \"image\": "
		"{\"virtual-size\": 512}}}",
		"{\"qdev\": \"odd\", \"inserted\": {\"node-name\": 5, \"image\": "
		"{\"virtual-size\": 512}}}",
		"{\"qdev\": \"odd\", \"inserted\": {\"node-name\": \"d\"}}",
		"{\"qdev\": \"odd\", \"inserted\": {\"node-name\": \"d\", \"image\": "
		"{\"virtual-size\": 0}}}",
		"{\"qdev\": \"odd\", \"inserted\": {\"node-name\": \"d\", \"image\": "
		"{\"virtual-size\": 511}}}",
		"{\"qdev\": \"odd\", \"inserted\": {\"node-name\": \"d\", \"image\": "
		"{\"virtual-size\": -1048576}}}",
		"{\"qdev\": \"odd\", \"inserted\": {\"node-name\": \"d\", \"image\": "
		"{\"virtual-size\": \"1048576\"}}}",
		"{\"qdev\": \"odd\", \"inserted\": {\"node-name\": \"d\", \"image\": 7}}",
		"{\"qdev\": \"odd\", \"inserted\": {\"node-name\": \"d\", \"image\": "
		"{\"virtual-size\": 1e300}}}",
	};
	char text[512];

	for (unsigned i = 0; i < sizeof(entries) / sizeof(entries[0]); i++) {
		snprintf(text, sizeof(text), "[%s, %s]", entries[i], DISK("good", "d0", ""));
		CU_ASSERT_EQUAL(parse_text(text), 0);
		CU_ASSERT_EQUAL(guest.disk_count, 1);
		CU_ASSERT_PTR_NOT_NULL(guest_find(&guest, "good"));
		CU_ASSERT_EQUAL(guest.skipped, 1);
		CU_ASSERT(strstr(guest.skipped_why, "odd") != NULL);
	}
}

/* Half a node's name may be the name of another node. */
static void names_are_taken_whole_or_not_at_all(void)
{
	static const struct {
		unsigned qdev, node;
		bool handled;
	} lengths[] = {
		{3, 31, true}, {63, 63, true}, {3, 64, false}, {3, 5000, false},
		{64, 31, true}, /* called by its node then */
		{171, 3, true}, {172, 3, false}, {5000, 3, false},
	};

	for (unsigned i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		static char qdev[5001], node[5001];

		memset(qdev, 'q', sizeof(qdev));
		memset(node, 'n', sizeof(node));
		qdev[lengths[i].qdev] = node[lengths[i].node] = '\0';
		CU_ASSERT_EQUAL(parse(json_pack("[{s:s,s:{s:s,s:{s:i}}}]", "qdev", qdev, "inserted",
						"node-name", node, "image", "virtual-size", 512)),
				0);
		CU_ASSERT_EQUAL(guest.disk_count, lengths[i].handled);
		CU_ASSERT_EQUAL(guest.skipped, !lengths[i].handled);
		if (guest.disk_count) {
			CU_ASSERT_STRING_EQUAL(guest.disks[0].node, node);
			CU_ASSERT_STRING_EQUAL(guest.disks[0].name,
					       lengths[i].qdev < 64 ? qdev : node);
			CU_ASSERT_STRING_EQUAL(guest.disks[0].qom + strlen("/machine/peripheral/"),
					       qdev);
		}
	}
}

static json_t *many_disks(unsigned count)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < count; i++) {
		char qdev[16], node[16];

		snprintf(qdev, sizeof(qdev), "vd%u", i);
		snprintf(node, sizeof(node), "d%u", i);
		json_array_append_new(list, json_pack("{s:s,s:{s:s,s:{s:i}}}", "qdev", qdev,
						      "inserted", "node-name", node, "image",
						      "virtual-size", 512));
	}
	return list;
}

static void too_many_disks_are_refused(void)
{
	CU_ASSERT_EQUAL(parse(many_disks(BOUND_DISKS)), 0);
	CU_ASSERT_EQUAL(guest.disk_count, BOUND_DISKS);
	CU_ASSERT_EQUAL(parse(many_disks(BOUND_DISKS + 1)), -E2BIG);
	CU_ASSERT(strstr(err.text, "32") != NULL);
	CU_ASSERT_EQUAL(parse(many_disks(1000)), -E2BIG);
}

static void bitmaps_of_wrong_types_and_too_many_are_left_out(void)
{
	json_t *list = json_array(), *reply;

	CU_ASSERT_EQUAL(parse_text("[" DISK("vda", "d0", ", \"dirty-bitmaps\": [null, 7, {}, "
					    "{\"name\": 5}, " BITMAP("other", "") ", "
					    BITMAP("qheal-1", ", \"recording\": 1, \"busy\": true, "
						   "\"inconsistent\": true, \"granularity\": "
						   "\"x\"") "]") "]"), 0);
	CU_ASSERT_EQUAL(guest.disks[0].bitmap_count, 1);
	CU_ASSERT(!guest.disks[0].bitmaps[0].recording); /* 1 is not true */
	CU_ASSERT(guest.disks[0].bitmaps[0].busy && guest.disks[0].bitmaps[0].inconsistent);
	CU_ASSERT_EQUAL(parse_text("[" DISK("vda", "d0", ", \"dirty-bitmaps\": {\"a\": 1}") "]"),
			0);
	CU_ASSERT_EQUAL(guest.disks[0].bitmap_count, 0);
	for (int i = 0; i < 1000; i++) {
		char name[80];

		snprintf(name, sizeof(name), "qheal-%d%s", i,
			 i ? "" : "0123456789012345678901234567890123456789012345678901234567");
		json_array_append_new(list, json_pack("{s:s}", "name", name));
	}
	reply = json_pack("[{s:s,s:{s:s,s:{s:i},s:o}}]", "qdev", "vda", "inserted", "node-name",
			  "d0", "image", "virtual-size", 512, "dirty-bitmaps", list);
	CU_ASSERT_EQUAL(parse(reply), 0);
	CU_ASSERT_EQUAL(guest.disks[0].bitmap_count, GUEST_BITMAPS_MAX);
	CU_ASSERT_STRING_EQUAL(guest.disks[0].bitmaps[0].name, "qheal-1"); /* 0: too long */
}

static void a_guest_with_no_disks_is_one(void)
{
	CU_ASSERT_EQUAL(parse_text("[]"), 0);
	CU_ASSERT_EQUAL(guest.disk_count, 0);
}

static void a_status_is_text(void)
{
	json_t *good = json_pack("{s:s,s:b}", "status", "running", "running", 1);
	json_t *bad = json_pack("{s:i}", "status", 7);

	CU_ASSERT_EQUAL(guest_parse_status(&guest, good), 0);
	CU_ASSERT(guest_running(&guest));
	CU_ASSERT_EQUAL(guest_parse_status(&guest, bad), -EPROTO);
	CU_ASSERT(!guest_running(&guest));
	CU_ASSERT_EQUAL(guest_parse_status(&guest, NULL), -EPROTO);
	json_decref(good);
	json_decref(bad);
}

/* --- selection --- */

static int select_names(const char *first, const char *second)
{
	const char *names[] = {first, second};

	err_clear(&err);
	return guest_select(&guest, names, second ? 2 : 1, &err);
}

static void disks_are_chosen_by_name_or_node(void)
{
	CU_ASSERT_EQUAL(parse(load(QEMU_7)), 0);
	CU_ASSERT_EQUAL(select_names("dq", "vda"), 0);
	CU_ASSERT_EQUAL(guest.disk_count, 2);
	CU_ASSERT_STRING_EQUAL(guest.disks[0].name, "vda"); /* QEMU's order stays */
	CU_ASSERT_STRING_EQUAL(guest.disks[1].name, "vdq");
}

static void without_a_choice_all_stay(void)
{
	CU_ASSERT_EQUAL(parse(load(QEMU_7)), 0);
	CU_ASSERT_EQUAL(guest_select(&guest, NULL, 0, &err), 0);
	CU_ASSERT_EQUAL(guest.disk_count, 7);
}

static void an_unknown_disk_is_named_with_what_there_is(void)
{
	CU_ASSERT_EQUAL(parse(load(QEMU_7)), 0);
	CU_ASSERT_EQUAL(select_names("vda", "cd"), -ENOENT);
	CU_ASSERT(strstr(err.text, "no protectable disk cd") != NULL);
	CU_ASSERT(strstr(err.text, "vda") != NULL && strstr(err.text, "vdq") != NULL);
	CU_ASSERT_EQUAL(guest.disk_count, 7); /* as before the call */
	CU_ASSERT_EQUAL(parse_text("[]"), 0);
	CU_ASSERT_EQUAL(select_names("vda", NULL), -ENOENT);
	CU_ASSERT(strstr(err.text, "none") != NULL);
	CU_ASSERT_EQUAL(parse(many_disks(BOUND_DISKS)), 0);
	CU_ASSERT_EQUAL(select_names("a-name-so-long-that-nobody-would-ever-give-it-to-a-disk-or-"
				     "else-would-be-surprised", NULL), -ENOENT);
}

/* One may be called as the other's node is. */
static void a_devices_name_goes_before_a_nodes(void)
{
	CU_ASSERT_EQUAL(parse_text("[" DISK("a", "b", "") ", " DISK("b", "a", "") "]"), 0);
	CU_ASSERT_STRING_EQUAL(guest_find(&guest, "b")->node, "a");
	CU_ASSERT_STRING_EQUAL(guest_find(&guest, "a")->node, "b");
}

static void two_disks_of_one_name_are_refused(void)
{
	/* An id is the name, and so is the node of a disk without one. */
	static const char twins[] =
		"[" DISK("d1", "d0", "") ", "
		DISK("/machine/peripheral-anon/device[0]/virtio-backend", "d1", "") ", "
		DISK("c", "d2", "") "]";

	CU_ASSERT_EQUAL(parse_text(twins), 0);
	CU_ASSERT_EQUAL(guest_select(&guest, NULL, 0, &err), -EEXIST);
	CU_ASSERT(strstr(err.text, "d0") != NULL && strstr(err.text, "d1") != NULL);
	CU_ASSERT_EQUAL(parse_text(twins), 0);
	CU_ASSERT_EQUAL(select_names("c", NULL), 0); /* when both are not asked for */
}

/* --- asked from QEMU --- */

static const struct {
	const char *path, *property, *value;
} properties[] = {
	{"/machine/peripheral/vda/virtio-backend", "rerror", "stop"},
	{"/machine/peripheral/vda/virtio-backend", "werror", "stop"},
	{"/machine/peripheral/vda/virtio-backend", "iothread", "/objects/io0"},
	{"/machine/peripheral/sda", "rerror", "auto"},
	{"/machine/peripheral/sda", "werror", "auto"},
	{"/machine/peripheral/sda", "parent_bus", "/machine/peripheral/scsi0/virtio-backend/scsi.0"},
	{"/machine/peripheral/scsi0/virtio-backend", "iothread", "/objects/io1"},
	{"/machine/peripheral/hda", "rerror", "report"},
	{"/machine/peripheral/hda", "werror", "ignore"},
	{"/machine/peripheral/hda", "parent_bus", "no slash in it"},
	{"/machine/peripheral/vdq/virtio-backend", "rerror", "stop"}, /* and no werror */
};

static const char *asked_name, *asked_uuid;

static json_t *answer_query(void *arg, const char *command, const json_t *arguments)
{
	const char *path = json_string_value(json_object_get(arguments, "path"));
	const char *property = json_string_value(json_object_get(arguments, "property"));

	if (!strcmp(command, "query-uuid"))
		return json_pack("{s:{s:s}}", "return", "UUID", asked_uuid);
	if (!strcmp(command, "query-name"))
		return asked_name ? json_pack("{s:{s:s}}", "return", "name", asked_name)
				  : json_pack("{s:{}}", "return");
	if (!strcmp(command, "query-status"))
		return json_pack("{s:{s:s}}", "return", "status", "prelaunch");
	if (!strcmp(command, "query-block"))
		return json_pack("{s:o}", "return", load(QEMU_10));
	for (unsigned i = 0; path && property && i < sizeof(properties) / sizeof(properties[0]); i++) {
		if (!strcmp(properties[i].path, path) && !strcmp(properties[i].property, property))
			return json_pack("{s:s}", "return", properties[i].value);
	}
	return fake_error("Property '%s' not found", property ? property : "");
}

static struct loop loop;
static struct fake_qemu fake;
static struct monitor monitor;

static void query_setup(const char *name, const char *uuid)
{
	err_clear(&err);
	CU_ASSERT_EQUAL_FATAL(loop_init(&loop, &err), 0);
	fake_start(&fake, &loop);
	fake_connect(&fake, &monitor);
	fake.answer = answer_query;
	asked_name = name;
	asked_uuid = uuid;
}

static void query_teardown(void)
{
	monitor_close(&monitor);
	fake_stop(&fake);
	loop_release(&loop);
}

static void a_query_finds_policies_and_iothreads(void)
{
	query_setup("guest", "00000000-0000-0000-0000-000000000000");
	CU_ASSERT_EQUAL(guest_query(&guest, &monitor, &err), 0);
	CU_ASSERT_STRING_EQUAL(guest.name, "guest");
	CU_ASSERT_STRING_EQUAL(guest.uuid, "");
	CU_ASSERT_STRING_EQUAL(guest.status, "prelaunch");
	CU_ASSERT_EQUAL(guest.disk_count, 3);
	CU_ASSERT_EQUAL(guest.skipped, 4); /* vdq, vdb and two without an id have no policy */
	CU_ASSERT_STRING_EQUAL(guest_find(&guest, "vda")->rerror, "stop");
	CU_ASSERT_STRING_EQUAL(guest_find(&guest, "vda")->iothread, "/objects/io0");
	CU_ASSERT_STRING_EQUAL(guest_find(&guest, "sda")->rerror, "auto"); /* taken from -drive, not told */
	CU_ASSERT_STRING_EQUAL(guest_find(&guest, "sda")->werror, "auto");
	CU_ASSERT_STRING_EQUAL(guest_find(&guest, "sda")->iothread, "/objects/io1");
	CU_ASSERT_STRING_EQUAL(guest_find(&guest, "hda")->werror, "ignore");
	CU_ASSERT_STRING_EQUAL(guest_find(&guest, "hda")->iothread, "");
	query_teardown();
}

static void a_guest_without_a_name_is_called_by_its_uuid(void)
{
	query_setup(NULL, "11111111-2222-3333-4444-555555555555");
	CU_ASSERT_EQUAL(guest_query(&guest, &monitor, &err), 0);
	CU_ASSERT_STRING_EQUAL(guest.name, "11111111-2222-3333-4444-555555555555");
	CU_ASSERT_STRING_EQUAL(guest.uuid, "11111111-2222-3333-4444-555555555555");
	query_teardown();
	query_setup(NULL, "00000000-0000-0000-0000-000000000000");
	CU_ASSERT_EQUAL(guest_query(&guest, &monitor, &err), 0);
	CU_ASSERT_STRING_EQUAL(guest.name, "guest");
	query_teardown();
}

/* query-uuid, -name, -status, -block are needed; a property that is refused says
 * only that the device has none. */
static void each_failing_question_is_told_or_does_without(void)
{
	for (unsigned n = 1; n <= 20; n++) {
		int rc;

		query_setup("guest", "");
		fake.fail_at = n;
		rc = guest_query(&guest, &monitor, &err);
		CU_ASSERT_EQUAL(rc, n <= 4 ? -EREMOTEIO : 0);
		CU_ASSERT(rc == 0 || err.code == rc);
		query_teardown();
	}
	for (unsigned n = 1; n <= 4; n++) {
		query_setup("guest", "");
		fake.hang_up_at = n;
		CU_ASSERT_EQUAL(guest_query(&guest, &monitor, &err), -ENOTCONN);
		query_teardown();
	}
}

int main(void)
{
#define CASE(fn) {#fn, fn}
	static const struct cunit_case cases[] = {
		CASE(qemu_7_is_understood),
		CASE(qemu_10_is_understood),
		CASE(only_our_bitmaps_are_seen),
		CASE(an_io_error_is_seen),
		CASE(what_is_no_list_is_refused),
		CASE(entries_of_wrong_types_are_no_disks),
		CASE(a_disk_that_cannot_be_handled_is_left_out_and_told),
		CASE(names_are_taken_whole_or_not_at_all),
		CASE(too_many_disks_are_refused),
		CASE(bitmaps_of_wrong_types_and_too_many_are_left_out),
		CASE(a_guest_with_no_disks_is_one),
		CASE(a_status_is_text),
		CASE(disks_are_chosen_by_name_or_node),
		CASE(without_a_choice_all_stay),
		CASE(an_unknown_disk_is_named_with_what_there_is),
		CASE(a_devices_name_goes_before_a_nodes),
		CASE(two_disks_of_one_name_are_refused),
		CASE(a_query_finds_policies_and_iothreads),
		CASE(a_guest_without_a_name_is_called_by_its_uuid),
		CASE(each_failing_question_is_told_or_does_without),
	};

	alarm(60);
	return cunit_run("guest", cases, sizeof(cases) / sizeof(cases[0]));
}
