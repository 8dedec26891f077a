/* SPDX-License-Identifier: Apache-2.0
 *
 * QEMU's command line with a disk on another image: words in, words out.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <CUnit/CUnit.h>

#include "cunit_main.h"
#include "relocate.h"

#define WORDS_MAX 12

static json_t *argv_of(const char *const *words)
{
	json_t *argv = json_array();

	json_array_append_new(argv, json_string("qemu"));
	for (unsigned i = 0; words[i]; i++)
		json_array_append_new(argv, json_string(words[i]));
	return argv;
}

static const struct relocate_disk moved = {.name = "vda", .node = "qheal-p0", .format = "qcow2",
					   .file = "/s/promoted/vda-7.qcow2", .moved = true};

static void same(json_t *argv, const char *const *words)
{
	json_t *expected = argv_of(words);

	if (!json_equal(argv, expected)) {
		json_dumpf(argv, stdout, JSON_INDENT(1));
		CU_FAIL("not the words expected");
	}
	json_decref(expected);
}

static void a_disk_moves(void)
{
	static const struct {
		const char *before[WORDS_MAX], *after[WORDS_MAX];
	} table[] = {
		/* a raw node above a file; the file's node goes */
		{{"-blockdev", "node-name=f0,driver=file,filename=/a,cache.direct=on", "-blockdev",
		  "node-name=d0,driver=raw,file=f0,discard=unmap", "-device",
		  "virtio-blk-pci,id=vda,drive=d0"},
		 {"-blockdev",
		  "driver=qcow2,node-name=d0,discard=unmap,file.driver=file,"
		  "file.filename=/s/promoted/vda-7.qcow2,file.cache.direct=on",
		  "-device", "virtio-blk-pci,id=vda,drive=d0"}},
		/* three nodes, the root first, in the other spelling */
		{{"--blockdev", "qcow2,node-name=d0,file=m0,l2-cache-size=1M", "--blockdev",
		  "raw,node-name=m0,file=f0", "--blockdev",
		  "nbd,node-name=f0,server.type=unix,server.path=/b", "--device",
		  "scsi-hd,id=vda,drive=d0"},
		 {"--blockdev",
		  "driver=qcow2,node-name=d0,file.driver=file,file.filename=/s/promoted/vda-7.qcow2",
		  "--device", "scsi-hd,id=vda,drive=d0"}},
		/* as libvirt says it */
		{{"-blockdev",
		  "{\"driver\":\"file\",\"filename\":\"/a\",\"aio\":\"native\",\"node-name\":\"s\","
		  "\"cache\":{\"direct\":true}}",
		  "-blockdev",
		  "{\"node-name\":\"fmt\",\"read-only\":false,\"cache\":{\"direct\":true},"
		  "\"driver\":\"raw\",\"file\":\"s\"}",
		  "-device", "{\"driver\":\"virtio-blk-pci\",\"drive\":\"fmt\",\"id\":\"vda\"}"},
		 {"-blockdev",
		  "{\"driver\":\"qcow2\",\"node-name\":\"fmt\",\"read-only\":false,"
		  "\"cache\":{\"direct\":true},\"file\":{\"driver\":\"file\","
		  "\"filename\":\"/s/promoted/vda-7.qcow2\",\"cache\":{\"direct\":true},"
		  "\"aio\":\"native\"}}",
		  "-device", "{\"driver\":\"virtio-blk-pci\",\"drive\":\"fmt\",\"id\":\"vda\"}"}},
		/* all in one, with a backing file of its own */
		{{"-blockdev",
		  "driver=qcow2,node-name=d0,file.driver=file,file.filename=/a,,b,backing=base",
		  "-blockdev", "driver=file,node-name=base,filename=/base", "-device",
		  "ide-hd,drive=d0,id=vda"},
		 {"-blockdev",
		  "driver=qcow2,node-name=d0,file.driver=file,file.filename=/s/promoted/vda-7.qcow2",
		  "-device", "ide-hd,drive=d0,id=vda"}},
		{{"-drive", "if=none,id=d0,file=/a,format=raw,cache=none,werror=stop", "-device",
		  "virtio-blk-pci,id=vda,drive=d0"},
		 {"-drive",
		  "if=none,id=d0,cache=none,werror=stop,file=/s/promoted/vda-7.qcow2,format=qcow2",
		  "-device", "virtio-blk-pci,id=vda,drive=d0"}},
		/* a drive that makes its device */
		{{"-drive", "if=virtio,id=vda,file.driver=nbd,file.host=h,readonly=off"},
		 {"-drive",
		  "if=virtio,id=vda,readonly=off,file=/s/promoted/vda-7.qcow2,format=qcow2"}},
		/* a device without an id is called as its drive */
		{{"-drive", "if=none,id=vda,file=/a", "-device", "virtio-blk-pci,drive=vda"},
		 {"-drive", "if=none,id=vda,file=/s/promoted/vda-7.qcow2,format=qcow2", "-device",
		  "virtio-blk-pci,drive=vda"}},
	};

	for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		json_t *argv = argv_of(table[i].before);
		struct errinfo err = {0};

		CU_ASSERT_EQUAL(relocate_argv(argv, &moved, &err), 0);
		CU_ASSERT_STRING_EQUAL(err.text, "");
		same(argv, table[i].after);
		/* Again: nothing changes any more. */
		CU_ASSERT_EQUAL(relocate_argv(argv, &moved, &err), 0);
		same(argv, table[i].after);
		json_decref(argv);
	}
}

static void what_cannot_be_put_there_is_refused(void)
{
	static const struct {
		const char *words[WORDS_MAX], *says;
	} table[] = {
		{{"-hda", "/a"}, "not found"},
		{{"-drive", "if=none,id=d0,file=/a", "-device", "virtio-blk-pci,id=vdb,drive=d0"},
		 "not found"},
		{{"-drive", "if=none,id=d0,file=/a,snapshot=on", "-device",
		  "virtio-blk-pci,id=vda,drive=d0"}, "snapshot=on"},
		{{"-blockdev", "driver=throttle,node-name=d0,file=f0", "-blockdev",
		  "driver=file,node-name=f0,filename=/a", "-device",
		  "virtio-blk-pci,id=vda,drive=d0"}, "throttle"},
		{{"-blockdev", "driver=file,node-name=f0,filename=/a", "-blockdev",
		  "driver=raw,node-name=d0,file=f0", "-blockdev",
		  "driver=raw,node-name=d1,file=f0", "-device", "virtio-blk-pci,id=vda,drive=d0"},
		 "more than one"},
	};

	for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		json_t *argv = argv_of(table[i].words);
		struct errinfo err = {0};

		CU_ASSERT(relocate_argv(argv, &moved, &err) < 0);
		CU_ASSERT(strstr(err.text, table[i].says) != NULL);
		same(argv, table[i].words);
		json_decref(argv);
	}
}

/* Node and file as they are: nothing to do.  Another node: its owner moved it. */
static void a_disk_in_place_stays(void)
{
	static const char *const words[] = {
		"-blockdev", "driver=file,node-name=f0,filename=/a", "-blockdev",
		"driver=raw,node-name=d0,file=f0", "-device", "virtio-blk-pci,id=vda,drive=d0",
		"-drive", "if=none,id=d1,file=b", "-device", "virtio-blk-pci,id=vdb,drive=d1", NULL};
	struct relocate_disk disk = {.name = "vda", .node = "d0", .file = "/a", .format = "raw"};
	json_t *argv = argv_of(words);
	struct errinfo err = {0};

	CU_ASSERT_EQUAL(relocate_argv(argv, &disk, &err), 0);
	disk.file = "json:{}"; /* what is below was exchanged: the same root */
	CU_ASSERT_EQUAL(relocate_argv(argv, &disk, &err), 0);
	disk = (struct relocate_disk){.name = "vdb", .node = "#block123", .file = "b"};
	CU_ASSERT_EQUAL(relocate_argv(argv, &disk, &err), 0);
	same(argv, words);
	disk = (struct relocate_disk){.name = "vda", .node = "snap", .file = "nbd://h/x",
				      .format = "raw"};
	CU_ASSERT_EQUAL(relocate_argv(argv, &disk, &err), -ENOTSUP);
	disk.file = "/snap.qcow2";
	disk.format = "vmdk";
	err_clear(&err);
	CU_ASSERT_EQUAL(relocate_argv(argv, &disk, &err), -ENOTSUP);
	same(argv, words);
	disk.format = "qcow2";
	CU_ASSERT_EQUAL(relocate_argv(argv, &disk, &err), 0);
	CU_ASSERT_STRING_EQUAL(json_string_value(json_array_get(argv, 2)),
			       "driver=qcow2,node-name=d0,file.driver=file,file.filename=/snap.qcow2");
	json_decref(argv);
}

/* -drive: the names of its nodes tell nothing, its image does. */
static void a_drive_under_a_snapshot_is_moved_to_that(void)
{
	static const struct {
		const char *option, *file;
		int rc; /* 1: in place */
	} table[] = {
		{"file=/a", "/a", 1},
		{"file=/a", "file:/a", 1},
		{"file=b", "/w/b", 1},
		{"file=/a,offset=512", "json:{\"offset\":512,\"file\":{\"filename\":\"/a\"}}", 1},
		{"file.driver=file,file.filename=/a", "/a", 1},
		{"file=nbd:unix:/s", "nbd+unix://?socket=/s", 1},
		{"file=/a", "/snap", 0},
		{"file=b", "/a/b", 0},
		{"file=nbd:unix:/s", "/snap", 0},
		{"file.driver=nbd,file.host=h", "/snap", 0},
		{"file=/a", "nbd://h/x", -ENOTSUP},
		{"file=/a", "snap", -ENOTSUP},
		{"file=/a,snapshot=on", "/var/tmp/vl.x", -ENOTSUP},
	};

	for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		const struct relocate_disk disk = {.name = "vda", .node = "#block123", .cwd = "/w",
						   .file = table[i].file, .format = "qcow2"};
		const char *const words[] = {"-device", "ide-hd,id=vda,drive=d0", "-drive", NULL};
		struct errinfo err = {0};
		json_t *argv = argv_of(words);
		const char *now;
		char word[160];

		snprintf(word, sizeof(word), "if=none,id=d0,%s", table[i].option);
		json_array_append_new(argv, json_string(word));
		CU_ASSERT_EQUAL(relocate_argv(argv, &disk, &err), table[i].rc < 0 ? table[i].rc : 0);
		now = json_string_value(json_array_get(argv, 4));
		CU_ASSERT_EQUAL(!strcmp(now, word), table[i].rc != 0);
		CU_ASSERT_EQUAL(strstr(now, "file=/snap,format=qcow2") ||
				strstr(now, "file=/a/b,format=qcow2"), table[i].rc == 0);
		json_decref(argv);
	}
}

static void words_of_a_first_start_go(void)
{
	static const char *const words[] = {"-incoming", "tcp:0:1", "-daemonize", "-m", "1", NULL};
	static const char *const running[] = {"-m", "1", NULL};
	static const char *const stopped[] = {"-m", "1", "-S", NULL};
	json_t *argv = argv_of(words);

	json_array_insert_new(argv, 3, json_string("-S")); /* of who gave the first start */
	relocate_start_words(argv, false);
	same(argv, running);
	relocate_start_words(argv, true);
	same(argv, stopped);
	relocate_start_words(argv, true);
	same(argv, stopped);
	json_decref(argv);
}

static void what_cannot_be_started_again_is_told(void)
{
	static const struct {
		const char *words[WORDS_MAX], *says;
	} table[] = {
		{{"-qmp", "unix:/run/q.sock,server=on"}, NULL},
		{{"-chardev", "socket,id=q,path=/run/q.sock,server=on", "-append", "a,bfd=1"}, NULL},
		{{"-qmp", "unix:/run/other"}, "--qmp"},
		{{"-qmp", "unix:q.sock", "-snapshot"}, "-snapshot"},
		{{"-qmp", "unix:q.sock", "-loadvm", "x"}, "-loadvm"},
		{{"-qmp", "unix:q.sock", "-runas", "qemu"}, "-runas"},
		{{"-qmp", "unix:q.sock", "-run-with", "async-teardown=on,user=qemu"}, "-runas"},
		{{"-qmp", "unix:q.sock", "-run-with", "async-teardown=on"}, NULL},
		{{"-qmp", "unix:q.sock", "-netdev", "tap,id=n,fd=31"}, "descriptors"},
		{{"-qmp", "unix:q.sock", "-netdev", "{\"type\":\"tap\",\"fd\":\"31\"}"}, "descriptors"},
		{{"-qmp", "unix:q.sock", "-add-fd", "set=2,fd=3"}, "descriptors"},
		{{"-qmp", "unix:q.sock", "-drive", "file=/dev/fdset/2"}, "descriptors"},
	};

	for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		json_t *argv = argv_of(table[i].words);
		const char *lacks = relocate_lacks(argv, "/run/q.sock");

		CU_ASSERT_EQUAL(lacks != NULL, table[i].says != NULL);
		if (lacks && table[i].says)
			CU_ASSERT_PTR_NOT_NULL(strstr(lacks, table[i].says));
		json_decref(argv);
	}
}

#define CASE(name) {#name, name}

int main(void)
{
	static const struct cunit_case cases[] = {
		CASE(a_disk_moves),
		CASE(what_cannot_be_put_there_is_refused),
		CASE(a_disk_in_place_stays),
		CASE(a_drive_under_a_snapshot_is_moved_to_that),
		CASE(words_of_a_first_start_go),
		CASE(what_cannot_be_started_again_is_told),
	};

	return cunit_run("relocate", cases, sizeof(cases) / sizeof(cases[0]));
}
