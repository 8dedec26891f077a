/* SPDX-License-Identifier: Apache-2.0
 *
 * What others may do to a guest's disks between two cycles.
 */
#include <CUnit/CUnit.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cunit_main.h"
#include "guest.h"

#define ALL UINT64_MAX

static struct guest guest;
static struct errinfo err;

static json_t *disk(const char *qdev, const char *node, int size, const char *io_status,
		    json_t *bitmaps)
{
	return json_pack("{s:s,s:s,s:{s:s,s:{s:i},s:o}}", "qdev", qdev, "io-status", io_status,
			 "inserted", "node-name", node, "image", "virtual-size", size,
			 "dirty-bitmaps", bitmaps ? bitmaps : json_array());
}

static json_t *bitmap(const char *name, int count, bool inconsistent)
{
	return json_pack("[{s:s,s:i,s:b,s:b}]", "name", name, "count", count, "recording", 1,
			 "inconsistent", inconsistent);
}

/* Two disks, each with a bitmap. */
static void setup(void)
{
	json_t *reply = json_pack("[o,o]", disk("vda", "d0", 4096, "ok", bitmap("qheal-a-1", 512, 0)),
				  disk("vdb", "d1", 8192, "ok", bitmap("qheal-a-1", 1024, 0)));

	memset(&guest, 0, sizeof(guest));
	err_clear(&err);
	CU_ASSERT_EQUAL_FATAL(guest_parse_block(&guest, reply, &err), 0);
	strcpy(guest.disks[0].rerror, "stop");
	json_decref(reply);
}

static int refresh(json_t *first, json_t *second)
{
	json_t *reply = json_array();
	int rc;

	if (first)
		json_array_append_new(reply, first);
	if (second)
		json_array_append_new(reply, second);
	rc = guest_refresh(&guest, reply, &err);
	json_decref(reply);
	return rc;
}

static void bitmaps_and_io_status_are_taken_anew(void)
{
	uint64_t bytes;

	setup();
	CU_ASSERT_EQUAL(refresh(disk("vda", "d0", 4096, "failed", bitmap("qheal-a-2", 65536, 0)),
				disk("vdb", "d1", 8192, "ok", bitmap("qheal-a-2", 1, 0))), 0);
	CU_ASSERT(guest.disks[0].io_failed && !guest.disks[1].io_failed);
	CU_ASSERT_EQUAL(guest_dirty_bytes(&guest, ALL, "qheal-a-2", &bytes, &err), 0);
	CU_ASSERT_EQUAL(bytes, 65537);
	CU_ASSERT_PTR_NULL(guest_bitmap_find(&guest.disks[0], "qheal-a-1"));
	CU_ASSERT_STRING_EQUAL(guest.disks[0].rerror, "stop");
}

static void order_and_further_disks_do_not_matter(void)
{
	json_t *reply = json_pack("[o,o,o]", disk("new", "d2", 512, "ok", NULL),
				  disk("vdb", "d1", 8192, "ok", bitmap("qheal-a-1", 7, 0)),
				  disk("vda", "d0", 4096, "ok", NULL));

	setup();
	CU_ASSERT_EQUAL(guest_refresh(&guest, reply, &err), 0);
	CU_ASSERT_EQUAL(guest.disk_count, 2);
	CU_ASSERT_EQUAL(guest.disks[0].bitmap_count, 0);
	CU_ASSERT_EQUAL(guest.disks[1].bitmaps[0].dirty_bytes, 7);
	json_decref(reply);
}

static void a_snapshot_of_others_is_noticed(void)
{
	setup();
	CU_ASSERT_EQUAL(refresh(disk("vda", "d0", 4096, "ok", NULL),
				disk("vdb", "snap1", 8192, "ok", NULL)), -ESTALE);
	CU_ASSERT(strstr(err.text, "snap1") && strstr(err.text, "vdb") && strstr(err.text, "d1"));
}

static json_t *on_file(json_t *disk, const char *file)
{
	json_object_set_new(json_object_get(disk, "inserted"), "file", json_string(file));
	return disk;
}

/* What hides below it is not the guest's newest; a filter and a node of ours hide nothing. */
static void an_image_on_top_is_remembered_until_it_is_gone(void)
{
	static const struct {
		const char *node, *file;
		bool covered;
	} table[] = {
		{"#block77", "/snap", true},
		{"d1", "/b", false},
		{"snap", "/snap", true},
		{"filter", "/b", false},
		{"snap", "/snap", true},
		{"qheal-p1-7", "/s/promoted/b", false},
	};

	setup();
	strcpy(guest.disks[1].file, "/b");
	for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		/* The other disk has its own trouble. */
		refresh(disk("vda", "d0", 8192, "ok", NULL),
			on_file(disk("vdb", table[i].node, 8192, "ok", NULL), table[i].file));
		CU_ASSERT_EQUAL(guest.disks[1].covered_over, table[i].covered);
		CU_ASSERT(!guest.disks[0].covered_over);
	}
}

static void a_standby_has_to_have_the_same_images(void)
{
	static const struct {
		const char *qdev, *file;
		int rc;
	} table[] = {
		{"vdb", "/b", 0},
		{"vdb", "/old", -EINVAL},
		{"vdc", "/b", -EINVAL},
		{"vdb", "/../b", 0}, /* by another way */
	};
	char path[] = "/tmp/qheal-images-XXXXXX", other[sizeof(path) + 8];
	int fd = mkstemp(path);

	CU_ASSERT_FATAL(fd >= 0);
	close(fd);
	snprintf(other, sizeof(other), "/tmp/../%s", path);
	for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		bool way = i == 3;
		json_t *reply = json_pack("[o]", on_file(disk(table[i].qdev, "x", 8192, "ok", NULL),
							 way ? other : table[i].file));
		static struct guest there;

		setup();
		memmove(&guest.disks[0], &guest.disks[1], sizeof(guest.disks[0]));
		guest.disk_count = 1;
		strcpy(guest.disks[0].file, way ? path : "/b");
		memset(&there, 0, sizeof(there));
		CU_ASSERT_EQUAL(guest_parse_block(&there, reply, &err), 0);
		CU_ASSERT_EQUAL(guest_same_images(&guest, &there, &err), table[i].rc);
		CU_ASSERT_EQUAL(strstr(err.text, "vdb") != NULL, table[i].rc != 0);
		json_decref(reply);
	}
	unlink(path);
}

static void a_resize_is_noticed(void)
{
	setup();
	CU_ASSERT_EQUAL(refresh(disk("vda", "d0", 8192, "ok", NULL),
				disk("vdb", "d1", 8192, "ok", NULL)), -ESTALE);
	CU_ASSERT(strstr(err.text, "4096") && strstr(err.text, "8192") && strstr(err.text, "vda"));
}

static void a_disk_taken_out_is_noticed(void)
{
	setup();
	CU_ASSERT_EQUAL(refresh(disk("vda", "d0", 4096, "ok", NULL), NULL), -ESTALE);
	CU_ASSERT(strstr(err.text, "vdb") != NULL);
}

/* Medium out, read-only now, no size any more: not the disk we knew. */
static void a_disk_that_changed_its_nature_is_noticed(void)
{
	json_t *other = disk("vdb", "d1", 8192, "ok", NULL);

	setup();
	json_object_set_new(json_object_get(other, "inserted"), "ro", json_true());
	CU_ASSERT_EQUAL(refresh(disk("vda", "d0", 4096, "ok", NULL), other), -ESTALE);
	setup();
	CU_ASSERT_EQUAL(refresh(disk("vda", "d0", 4096, "ok", NULL),
				disk("vdb", "d1", -1, "ok", NULL)), -ESTALE);
	setup();
	CU_ASSERT_EQUAL(guest_refresh(&guest, NULL, &err), -EPROTO);
}

/* One disk's device is called as another's node. */
static void disks_are_told_apart_by_their_devices(void)
{
	json_t *reply = json_pack("[o,o]", disk("a", "b", 512, "ok", NULL),
				  disk("b", "a", 1024, "ok", NULL));

	setup();
	memset(&guest, 0, sizeof(guest));
	CU_ASSERT_EQUAL(guest_parse_block(&guest, reply, &err), 0);
	CU_ASSERT_EQUAL(guest_refresh(&guest, reply, &err), 0);
	json_decref(reply);
}

static void a_bitmap_that_is_gone_or_broken_is_no_proof_of_no_change(void)
{
	uint64_t bytes;

	setup();
	CU_ASSERT_EQUAL(guest_dirty_bytes(&guest, ALL, "qheal-a-1", &bytes, &err), 0);
	CU_ASSERT_EQUAL(bytes, 512 + 1024);
	CU_ASSERT_EQUAL(refresh(disk("vda", "d0", 4096, "ok", bitmap("qheal-a-1", 0, 0)),
				disk("vdb", "d1", 8192, "ok", NULL)), 0);
	CU_ASSERT_EQUAL(guest_dirty_bytes(&guest, ALL, "qheal-a-1", &bytes, &err), -ENODATA);
	CU_ASSERT(strstr(err.text, "vdb") && strstr(err.text, "qheal-a-1"));
	err_clear(&err);
	CU_ASSERT_EQUAL(refresh(disk("vda", "d0", 4096, "ok", bitmap("qheal-a-1", 0, 1)),
				disk("vdb", "d1", 8192, "ok", bitmap("qheal-a-1", 0, 0))), 0);
	CU_ASSERT_EQUAL(guest_dirty_bytes(&guest, ALL, "qheal-a-1", &bytes, &err), -ENODATA);
	CU_ASSERT(strstr(err.text, "vda") != NULL);
}

/* A disk that the guest has left is not asked. */
static void only_members_count(void)
{
	uint64_t bytes;

	setup();
	CU_ASSERT_EQUAL(guest_dirty_bytes(&guest, 2, "qheal-a-1", &bytes, &err), 0);
	CU_ASSERT_EQUAL(bytes, 1024);
	CU_ASSERT_EQUAL(refresh(disk("vda", "d0", 4096, "ok", NULL),
				disk("vdb", "d1", 8192, "ok", bitmap("qheal-a-1", 3, 0))), 0);
	CU_ASSERT_EQUAL(guest_dirty_bytes(&guest, 2, "qheal-a-1", &bytes, &err), 0);
	CU_ASSERT_EQUAL(bytes, 3);
	CU_ASSERT_EQUAL(guest_dirty_bytes(&guest, 0, "qheal-a-1", &bytes, &err), 0);
	CU_ASSERT_EQUAL(bytes, 0);
}

int main(void)
{
#define CASE(fn) {#fn, fn}
	static const struct cunit_case cases[] = {
		CASE(bitmaps_and_io_status_are_taken_anew),
		CASE(order_and_further_disks_do_not_matter),
		CASE(a_snapshot_of_others_is_noticed),
		CASE(an_image_on_top_is_remembered_until_it_is_gone),
		CASE(a_standby_has_to_have_the_same_images),
		CASE(a_resize_is_noticed),
		CASE(a_disk_taken_out_is_noticed),
		CASE(a_disk_that_changed_its_nature_is_noticed),
		CASE(disks_are_told_apart_by_their_devices),
		CASE(a_bitmap_that_is_gone_or_broken_is_no_proof_of_no_change),
		CASE(only_members_count),
	};

	return cunit_run("guest_refresh", cases, sizeof(cases) / sizeof(cases[0]));
}
