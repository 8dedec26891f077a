/* SPDX-License-Identifier: Apache-2.0 */
#include <CUnit/CUnit.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cunit_main.h"
#include "file.h"
#include "pace.h"

#define PAGE 4096u
#define FILE_BYTES (64u << 20)
#define DENSE_BYTES (8u << 20) /* of it; every second page is data */

/* Few large extents in the middle, many small ones at both ends. */
static int fragmented_file(void)
{
	char path[] = "/var/tmp/qheal-pace-XXXXXX";
	char page[PAGE];
	int fd = mkstemp(path);

	CU_ASSERT_FATAL(fd >= 0);
	unlink(path);
	memset(page, 1, sizeof(page));
	CU_ASSERT_FATAL(file_truncate(fd, FILE_BYTES) == 0);
	for (uint64_t at = 0; at < DENSE_BYTES; at += 2 * PAGE) {
		CU_ASSERT_FATAL(file_write(fd, page, PAGE, at) == 0);
		CU_ASSERT_FATAL(file_write(fd, page, PAGE, FILE_BYTES - DENSE_BYTES + at) == 0);
	}
	CU_ASSERT_FATAL(file_sync(fd) == 0);
	return fd;
}

static unsigned extents_in(int fd, uint64_t at, uint64_t bytes)
{
	struct file_extent extents[PACE_EXTENTS];
	int found = file_extents(fd, at, bytes, extents, PACE_EXTENTS);

	CU_ASSERT_FATAL(found >= 0);
	return (unsigned)found;
}

static void a_slice_has_few_extents_however_fast_it_was_before(void)
{
	int fd = fragmented_file();
	struct pace pace;
	uint64_t bytes;

	pace_init(&pace);
	pace.bytes = PACE_MAX_BYTES;
	bytes = pace_slice(&pace, fd, 0, FILE_BYTES, false);
	CU_ASSERT(bytes >= PACE_MIN_BYTES);
	CU_ASSERT(extents_in(fd, 0, bytes) < PACE_EXTENTS);
	pace.bytes = PACE_MAX_BYTES;
	bytes = pace_slice(&pace, fd, FILE_BYTES, FILE_BYTES, true);
	CU_ASSERT(bytes >= PACE_MIN_BYTES);
	CU_ASSERT(extents_in(fd, FILE_BYTES - bytes, bytes) < PACE_EXTENTS);
	file_close(fd);
}

static void a_slice_ends_with_the_file_and_grows_where_little_is(void)
{
	int fd = fragmented_file();
	struct pace pace;

	pace_init(&pace);
	CU_ASSERT_EQUAL(pace_slice(&pace, fd, DENSE_BYTES, 3 * PAGE, false), 3 * PAGE);
	CU_ASSERT_EQUAL(pace_slice(&pace, fd, DENSE_BYTES, FILE_BYTES, false), PACE_BYTES);
	pace_adapt(&pace, 0);
	CU_ASSERT_EQUAL(pace_slice(&pace, fd, DENSE_BYTES, FILE_BYTES, false), 2 * PACE_BYTES);
	pace_adapt(&pace, PACE_NS + 1);
	CU_ASSERT_EQUAL(pace_slice(&pace, fd, DENSE_BYTES, FILE_BYTES, false), PACE_BYTES);
	CU_ASSERT_EQUAL(pace.longest_ns, PACE_NS + 1);
	for (unsigned i = 0; i < 64; i++)
		pace_adapt(&pace, PACE_NS + 1);
	CU_ASSERT_EQUAL(pace.bytes, PACE_MIN_BYTES);
	for (unsigned i = 0; i < 64; i++)
		pace_adapt(&pace, 0);
	CU_ASSERT_EQUAL(pace.bytes, PACE_MAX_BYTES);
	file_close(fd);
}

static const struct cunit_case cases[] = {
    {"a_slice_has_few_extents_however_fast_it_was_before",
     a_slice_has_few_extents_however_fast_it_was_before},
    {"a_slice_ends_with_the_file_and_grows_where_little_is",
     a_slice_ends_with_the_file_and_grows_where_little_is},
};

int main(void)
{
	return cunit_run("pace", cases, sizeof(cases) / sizeof(cases[0]));
}
