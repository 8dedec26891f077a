/* SPDX-License-Identifier: Apache-2.0 */
#include <CUnit/CUnit.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cunit_main.h"
#include "qcow2.h"

#define KIB UINT64_C(1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)
#define TIB (1024 * GIB)

static char dir[64];
static char image[128];
static char raw[128];

static void setup(void)
{
	strcpy(dir, "/var/tmp/qcow2_test.XXXXXX");
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(dir));
	snprintf(image, sizeof(image), "%s/image.qcow2", dir);
	snprintf(raw, sizeof(raw), "%s/head.raw", dir);
}

static void teardown(void)
{
	unlink(image);
	unlink(raw);
	CU_ASSERT_EQUAL(rmdir(dir), 0);
}

static int open_new(const char *path, int flags)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | flags, 0600);

	CU_ASSERT_FATAL(fd >= 0);
	return fd;
}

/* Run a command; its output as JSON when it is some. 0: it succeeded. */
__attribute__((format(printf, 2, 3))) static int run(json_t **json, const char *format, ...)
{
	char command[1024];
	va_list args;
	FILE *pipe;

	va_start(args, format);
	vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	pipe = popen(command, "r");
	CU_ASSERT_PTR_NOT_NULL_FATAL(pipe);
	if (json)
		*json = json_loadf(pipe, 0, NULL);
	else
		while (fgets(command, sizeof(command), pipe))
			;
	return pclose(pipe);
}

static void format_image(uint64_t size, const char *backing, int flags)
{
	struct errinfo err = {0};
	int fd = open_new(image, flags);
	struct stat st;
	int64_t bytes = qcow2_format(fd, size, backing, &err);

	CU_ASSERT(bytes > 0);
	CU_ASSERT_EQUAL(err.code, 0);
	CU_ASSERT_EQUAL(fstat(fd, &st), 0);
	CU_ASSERT_EQUAL(st.st_size, bytes);
	close(fd);
}

static void check_clean(uint64_t size)
{
	json_t *check;
	int status = run(&check, "qemu-img check --output=json -f qcow2 %s 2>&1", image);

	CU_ASSERT_EQUAL(status, 0);
	CU_ASSERT_PTR_NOT_NULL_FATAL(check);
	CU_ASSERT_EQUAL(json_integer_value(json_object_get(check, "check-errors")), 0);
	CU_ASSERT_PTR_NULL(json_object_get(check, "corruptions"));
	CU_ASSERT_PTR_NULL(json_object_get(check, "leaks"));
	CU_ASSERT_EQUAL(json_integer_value(json_object_get(check, "total-clusters")),
			(json_int_t)((size + 65535) / 65536));
	CU_ASSERT_EQUAL(json_integer_value(json_object_get(check, "allocated-clusters")), 0);
	json_decref(check);
}

static void check_info(uint64_t size, const char *backing)
{
	const char *name, *format, *compat;
	int cluster, refcount_bits;
	json_t *info, *data;

	CU_ASSERT_EQUAL(run(&info, "qemu-img info --output=json %s", image), 0);
	CU_ASSERT_PTR_NOT_NULL_FATAL(info);
	CU_ASSERT_EQUAL(json_integer_value(json_object_get(info, "virtual-size")),
			(json_int_t)size);
	CU_ASSERT_EQUAL(json_unpack(info, "{s:s,s:i,s:{s:o}}", "format", &format, "cluster-size",
				    &cluster, "format-specific", "data", &data),
			0);
	CU_ASSERT_STRING_EQUAL(format, "qcow2");
	CU_ASSERT_EQUAL(cluster, 65536);
	CU_ASSERT_EQUAL(json_unpack(data, "{s:s,s:i,s:b}", "compat", &compat, "refcount-bits",
				    &refcount_bits, "corrupt", &cluster),
			0);
	CU_ASSERT_STRING_EQUAL(compat, "1.1");
	CU_ASSERT_EQUAL(refcount_bits, 16);
	CU_ASSERT_EQUAL(cluster, 0);
	if (!backing) {
		CU_ASSERT_PTR_NULL(json_object_get(info, "backing-filename"));
	} else {
		CU_ASSERT_EQUAL(json_unpack(info, "{s:s,s:s}", "backing-filename", &name,
					    "backing-filename-format", &format),
				0);
		CU_ASSERT_STRING_EQUAL(name, backing);
		CU_ASSERT_STRING_EQUAL(format, "raw");
	}
	json_decref(info);
}

static void qemu_finds_nothing_wrong_at_any_size(void)
{
	static const uint64_t sizes[] = {
	    512,      64 * KIB, 64 * KIB + 512, 512 * MIB - 512, 512 * MIB, 512 * MIB + 512,
	    10 * GIB, 4 * TIB,	4 * TIB + 512,	8 * TIB};

	setup();
	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		format_image(sizes[i], NULL, 0);
		check_clean(sizes[i]);
		check_info(sizes[i], NULL);
		close(open_new(raw, 0));
		CU_ASSERT_EQUAL_FATAL(truncate(raw, (off_t)sizes[i]), 0);
		format_image(sizes[i], raw, O_DIRECT);
		check_clean(sizes[i]);
		check_info(sizes[i], raw);
	}
	teardown();
}

static void the_largest_image_qemu_opens_opens(void)
{
	uint64_t largest = 2048 * TIB;
	struct errinfo err = {0};
	int fd;

	setup();
	format_image(largest, NULL, 0);
	check_info(largest, NULL);
	fd = open_new(image, 0);
	CU_ASSERT_EQUAL(qcow2_format(fd, largest + 512, NULL, &err), -EFBIG);
	close(fd);
	teardown();
}

static void the_overlay_takes_writes_and_shows_its_backing_file(void)
{
	uint64_t size = 3 * GIB + 512;
	char block[65536];
	int fd;

	setup();
	fd = open_new(raw, 0);
	memset(block, 0x11, sizeof(block));
	CU_ASSERT_EQUAL(ftruncate(fd, (off_t)size), 0);
	CU_ASSERT_EQUAL(pwrite(fd, block, sizeof(block), 0), (ssize_t)sizeof(block));
	CU_ASSERT_EQUAL(pwrite(fd, block, 512, (off_t)(size - 512)), 512);
	close(fd);
	format_image(size, raw, 0);
	CU_ASSERT_EQUAL(
	    run(NULL,
		"qemu-io -f qcow2 -c 'write -P 0x22 4096 4096' -c 'write -P 0x33 2G 1M' "
		"-c 'write -P 0x44 3221225472 512' %s 2>&1",
		image),
	    0);
	CU_ASSERT_EQUAL(run(NULL,
			    "qemu-io -f qcow2 -c 'read -P 0x11 0 4096' -c 'read -P 0x22 4096 4096' "
			    "-c 'read -P 0x11 8192 57344' -c 'read -P 0 65536 1M' "
			    "-c 'read -P 0x33 2G 1M' -c 'read -P 0x44 3221225472 512' %s 2>&1 | "
			    "grep -q -e failed -e error && exit 1 || exit 0",
			    image),
			0);
	CU_ASSERT_EQUAL(run(NULL, "qemu-img check -q -f qcow2 %s 2>&1", image), 0);
	/* The head below it was not touched. */
	CU_ASSERT_EQUAL(
	    run(NULL,
		"qemu-io -r -f raw -c 'read -P 0x11 0 65536' -c 'read -P 0 2G 1M' %s 2>&1 | "
		"grep -q -e failed -e error && exit 1 || exit 0",
		raw),
	    0);
	teardown();
}

static void what_qemu_would_refuse_is_refused(void)
{
	char name[1200];
	struct errinfo err = {0};
	struct stat st;
	int fd;

	setup();
	fd = open_new(image, 0);
	CU_ASSERT_EQUAL(qcow2_format(fd, 0, NULL, NULL), -EINVAL);
	CU_ASSERT_EQUAL(qcow2_format(fd, 1000, NULL, &err), -EINVAL);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "1000"));
	CU_ASSERT_EQUAL(qcow2_format(fd, UINT64_MAX - 511, NULL, NULL), -EFBIG);
	memset(name, 'a', sizeof(name));
	name[1024] = '\0';
	CU_ASSERT_EQUAL(qcow2_format(fd, MIB, name, NULL), -ENAMETOOLONG);
	CU_ASSERT_EQUAL(qcow2_format(fd, MIB, "", NULL), -ENAMETOOLONG);
	CU_ASSERT_EQUAL(fstat(fd, &st), 0);
	CU_ASSERT_EQUAL(st.st_size, 0); /* untouched */
	name[1023] = '\0';
	CU_ASSERT(qcow2_format(fd, MIB, name, NULL) > 0);
	close(fd);
	check_info(MIB, name);
	teardown();
}

static void a_file_that_cannot_be_written_is_an_error(void)
{
	struct errinfo err = {0};
	int fd = open("/dev/full", O_RDWR | O_CLOEXEC);

	CU_ASSERT_EQUAL(qcow2_format(fd, MIB, NULL, &err), -ENOSPC);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "cluster 1"));
	close(fd);
	CU_ASSERT_EQUAL(qcow2_format(-1, MIB, NULL, NULL), -EBADF);
}

static const struct cunit_case cases[] = {
    {"qemu_finds_nothing_wrong_at_any_size", qemu_finds_nothing_wrong_at_any_size},
    {"the_largest_image_qemu_opens_opens", the_largest_image_qemu_opens_opens},
    {"the_overlay_takes_writes_and_shows_its_backing_file",
     the_overlay_takes_writes_and_shows_its_backing_file},
    {"what_qemu_would_refuse_is_refused", what_qemu_would_refuse_is_refused},
    {"a_file_that_cannot_be_written_is_an_error", a_file_that_cannot_be_written_is_an_error},
};

int main(void)
{
	return cunit_run("qcow2", cases, sizeof(cases) / sizeof(cases[0]));
}
