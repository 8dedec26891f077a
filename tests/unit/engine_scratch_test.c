/* SPDX-License-Identifier: Apache-2.0
 *
 * The scratch files, looked at through the descriptor that QEMU got.
 */
#include <CUnit/CUnit.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cunit_main.h"
#include "fake/fake_qemu.h"
#include "scratch.h"

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

static struct loop loop;
static struct fake_qemu fake;
static struct monitor monitor;
static struct scratch scratch;
static struct errinfo err;
static char removed[64]; /* sets, each with a space behind */
static const char *fdsets;

static json_t *answer(void *arg, const char *command, const json_t *arguments)
{
	static int set = 10;

	if (!strcmp(command, "add-fd"))
		return json_pack("{s:{s:i,s:i}}", "return", "fdset-id", set++, "fd", 77);
	if (!strcmp(command, "query-fdsets"))
		return json_pack("{s:o}", "return", json_loads(fdsets, JSON_DECODE_ANY, NULL));
	if (!strcmp(command, "remove-fd"))
		snprintf(removed + strlen(removed), sizeof(removed) - strlen(removed), "%lld ",
			 json_integer_value(json_object_get(arguments, "fdset-id")));
	return json_pack("{s:{}}", "return");
}

static void setup(void)
{
	err_clear(&err);
	removed[0] = '\0';
	CU_ASSERT_EQUAL_FATAL(loop_init(&loop, &err), 0);
	fake_start(&fake, &loop);
	fake_connect(&fake, &monitor);
	fake.answer = answer;
}

static void teardown(void)
{
	monitor_close(&monitor);
	fake_stop(&fake);
	loop_release(&loop);
}

/* Exit status of COMMAND; "%s" in it is the file FD. */
static int run_on(const char *command, int fd)
{
	char path[64], text[512];
	int open_fd = dup(fd), status; /* the child may have it */

	snprintf(path, sizeof(path), "/proc/self/fd/%d", open_fd);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	snprintf(text, sizeof(text), command, path);
#pragma GCC diagnostic pop
	status = system(text);
	close(open_fd);
	return status;
}

static long long blocks(int fd)
{
	struct stat status;

	return fstat(fd, &status) ? -1 : (long long)status.st_blocks;
}

static void the_file_cannot_outgrow_its_limit(void)
{
	uint64_t sizes[] = {GIB};
	struct stat status;

	setup();
	CU_ASSERT_EQUAL_FATAL(scratch_init(&scratch, &monitor, sizes, 1, 32 * MIB, &err), 0);
	CU_ASSERT_FATAL(fake.received_fd >= 0);
	CU_ASSERT(!fstat(fake.received_fd, &status) && status.st_size == 32 << 20);
	CU_ASSERT_EQUAL(fcntl(fake.received_fd, F_GET_SEALS),
			F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL);
	CU_ASSERT(ftruncate(fake.received_fd, 64 << 20) && errno == EPERM);
	CU_ASSERT(ftruncate(fake.received_fd, 4096) && errno == EPERM);
	CU_ASSERT(pwrite(fake.received_fd, "x", 1, 32 << 20) < 0 && errno == EPERM);
	scratch_release(&scratch, &monitor);
	teardown();
}

static void the_image_in_it_is_a_valid_one_of_the_disks_size(void)
{
	static const uint64_t sizes[] = {512, 65536 + 512, 10 * GIB, 2048 * GIB};

	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		char command[256];

		setup();
		CU_ASSERT_EQUAL_FATAL(scratch_init(&scratch, &monitor, &sizes[i], 1, 64 * MIB, &err),
				      0);
		CU_ASSERT_EQUAL(run_on("qemu-img check -q -f qcow2 %s", fake.received_fd), 0);
		snprintf(command, sizeof(command),
			 "qemu-img info -f qcow2 --output=json %%s | grep -q '\"virtual-size\": %llu'",
			 (unsigned long long)sizes[i]);
		CU_ASSERT_EQUAL(run_on(command, fake.received_fd), 0);
		scratch_release(&scratch, &monitor);
		teardown();
	}
}

static void a_reset_gives_the_memory_back(void)
{
	uint64_t sizes[] = {GIB};
	long long empty;
	int fd;

	setup();
	CU_ASSERT_EQUAL_FATAL(scratch_init(&scratch, &monitor, sizes, 1, 64 * MIB, &err), 0);
	fd = fake.received_fd;
	empty = blocks(fd);
	CU_ASSERT(empty * 512 < (long long)MIB);
	CU_ASSERT_EQUAL(run_on("qemu-io -f qcow2 -c 'write -P 7 0 16M' %s > /dev/null", fd), 0);
	CU_ASSERT(blocks(fd) * 512 >= 16 * (long long)MIB);
	CU_ASSERT_EQUAL(scratch_reset(&scratch, 0, &err), 0);
	CU_ASSERT_EQUAL(blocks(fd), empty);
	CU_ASSERT_EQUAL(run_on("qemu-img check -q -f qcow2 %s", fd), 0);
	CU_ASSERT_EQUAL(run_on("qemu-io -f qcow2 -r -c 'read -P 0 0 16M' %s > /dev/null", fd), 0);
	scratch_release(&scratch, &monitor);
	teardown();
}

/* The write that does not fit must fail, as QEMU then breaks the snapshot. */
static void a_full_file_refuses(void)
{
	uint64_t sizes[] = {GIB};

	setup();
	CU_ASSERT_EQUAL_FATAL(scratch_init(&scratch, &monitor, sizes, 1, 16 * MIB, &err), 0);
	CU_ASSERT(run_on("qemu-io -f qcow2 -c 'write -P 7 0 32M' %s > /dev/null 2>&1",
			 fake.received_fd) != 0);
	CU_ASSERT(blocks(fake.received_fd) * 512 <= 16 * (long long)MIB);
	CU_ASSERT_EQUAL(scratch_reset(&scratch, 0, &err), 0);
	CU_ASSERT_EQUAL(run_on("qemu-img check -q -f qcow2 %s", fake.received_fd), 0);
	scratch_release(&scratch, &monitor);
	teardown();
}

static void the_limit_is_of_all_disks_together(void)
{
	uint64_t sizes[BOUND_DISKS], sum = 0;
	struct stat status;

	for (unsigned i = 0; i < BOUND_DISKS; i++)
		sizes[i] = 2048 * GIB;
	setup();
	CU_ASSERT_EQUAL_FATAL(scratch_init(&scratch, &monitor, sizes, BOUND_DISKS,
					   BOUND_SCRATCH_MIN_MIB * MIB, &err), 0);
	for (unsigned i = 0; i < scratch.count; i++) {
		CU_ASSERT(!fstat(scratch.files[i].fd, &status));
		sum += (uint64_t)status.st_size;
		CU_ASSERT_EQUAL(scratch.files[i].set, scratch.files[0].set + (int)i);
	}
	CU_ASSERT(sum <= BOUND_SCRATCH_MIN_MIB * MIB);
	CU_ASSERT_EQUAL(scratch.count, BOUND_DISKS);
	scratch_release(&scratch, &monitor);
	CU_ASSERT_EQUAL(scratch.count, 0);
	teardown();
}

static void qemu_gives_its_descriptors_back_at_the_end(void)
{
	uint64_t sizes[] = {GIB, GIB};
	char sets[32];

	setup();
	CU_ASSERT_EQUAL_FATAL(scratch_init(&scratch, &monitor, sizes, 2, 64 * MIB, &err), 0);
	snprintf(sets, sizeof(sets), "%d %d ", scratch.files[0].set, scratch.files[1].set);
	CU_ASSERT(pwrite(scratch.files[1].fd, "x", 1, 8 << 20) == 1);
	scratch_release(&scratch, &monitor);
	CU_ASSERT_STRING_EQUAL(removed, sets);
	/* Whoever holds it still (a QEMU that refused) holds no more than an empty image. */
	CU_ASSERT(blocks(fake.received_fd) * 512 < (long long)MIB);
	teardown();
}

static void a_failing_hand_over_leaves_nothing_behind(void)
{
	uint64_t sizes[] = {GIB, GIB, GIB};
	int fd = dup(0), after;

	close(fd);
	for (unsigned n = 1; n <= 3; n++) {
		setup();
		fake.fail_at = n;
		CU_ASSERT_EQUAL(scratch_init(&scratch, &monitor, sizes, 3, 64 * MIB, &err),
				-EREMOTEIO);
		for (unsigned i = n; i < BOUND_DISKS; i++) /* never made, and not descriptor 0 */
			CU_ASSERT_EQUAL(scratch.files[i].fd, -1);
		CU_ASSERT_EQUAL(n < 3 ? scratch_reset(&scratch, n, NULL) : -EBADF, -EBADF);
		scratch_release(&scratch, &monitor);
		CU_ASSERT_EQUAL(strlen(removed), 3 * (n - 1)); /* "10 " */
		teardown();
	}
	after = dup(0);
	CU_ASSERT_EQUAL(after, fd); /* no descriptor was lost */
	close(after);
}

static void a_dead_qemu_does_not_hold_up_the_end(void)
{
	uint64_t sizes[] = {GIB};

	setup();
	CU_ASSERT_EQUAL_FATAL(scratch_init(&scratch, &monitor, sizes, 1, 64 * MIB, &err), 0);
	fake.hang_up_at = fake.commands + 1;
	CU_ASSERT(monitor_call(&monitor, "query-status", NULL, NULL, NULL) < 0);
	scratch_release(&scratch, &monitor);
	CU_ASSERT_EQUAL(scratch.count, 0);
	teardown();
}

static void sets_of_a_killed_sidecar_are_found_and_no_others(void)
{
	setup();
	fdsets = "[{\"fdset-id\": 1, \"fds\": [{\"fd\": 5, \"opaque\": \"qheal-scratch\"}]},"
		 "{\"fdset-id\": 2, \"fds\": [{\"fd\": 6}]}, {\"fdset-id\": 3, \"fds\": []},"
		 "{\"fdset-id\": 4, \"fds\": [{\"fd\": 7, \"opaque\": \"libvirt\"}]},"
		 "{\"fdset-id\": 9, \"fds\": [{\"fd\": 8, \"opaque\": \"qheal-scratch\"}]}]";
	CU_ASSERT_EQUAL(scratch_clean(&monitor, &err), 2);
	CU_ASSERT_STRING_EQUAL(removed, "1 9 ");
	removed[0] = '\0';
	fdsets = "[]";
	CU_ASSERT_EQUAL(scratch_clean(&monitor, &err), 0);
	fdsets = "{\"odd\": 1}";
	CU_ASSERT_EQUAL(scratch_clean(&monitor, &err), 0);
	CU_ASSERT_STRING_EQUAL(removed, "");
	teardown();
}

static void the_options_name_the_set_and_bound_the_image(void)
{
	uint64_t sizes[] = {GIB};
	json_t *options, *file;
	char path[32];

	setup();
	CU_ASSERT_EQUAL_FATAL(scratch_init(&scratch, &monitor, sizes, 1, 32 * MIB, &err), 0);
	options = scratch_options(&scratch, 0, "qheal-tmp0");
	file = json_object_get(options, "file");
	snprintf(path, sizeof(path), "/dev/fdset/%d", scratch.files[0].set);
	CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(options, "node-name")),
			       "qheal-tmp0");
	CU_ASSERT_EQUAL(json_integer_value(json_object_get(file, "size")), 32 << 20);
	CU_ASSERT_STRING_EQUAL(
		json_string_value(json_object_get(json_object_get(file, "file"), "filename")), path);
	json_decref(options);
	scratch_release(&scratch, &monitor);
	teardown();
}

int main(void)
{
#define CASE(fn) {#fn, fn}
	static const struct cunit_case cases[] = {
		CASE(the_file_cannot_outgrow_its_limit),
		CASE(the_image_in_it_is_a_valid_one_of_the_disks_size),
		CASE(a_reset_gives_the_memory_back),
		CASE(a_full_file_refuses),
		CASE(the_limit_is_of_all_disks_together),
		CASE(qemu_gives_its_descriptors_back_at_the_end),
		CASE(a_failing_hand_over_leaves_nothing_behind),
		CASE(a_dead_qemu_does_not_hold_up_the_end),
		CASE(sets_of_a_killed_sidecar_are_found_and_no_others),
		CASE(the_options_name_the_set_and_bound_the_image),
	};

	alarm(120);
	return cunit_run("scratch", cases, sizeof(cases) / sizeof(cases[0]));
}
