/* SPDX-License-Identifier: Apache-2.0
 *
 * Blocks of zeros in a kept point: their marks survive every copy of a store, and what
 * has lost one, or its entry, or never was zeros, is said to be damaged.
 */
#include "store_fixture.h"

#include "cunit_main.h"
#include "image.h"
#include "keep_files.h"
#include "member.h"

#define BLOCKS 8u
#define SIZE (BLOCKS * (uint64_t)FIXTURE_BLOCK + 1536)
#define ZEROS 3u /* a block of zeros that the point keeps; BLOCKS, a short one, is another */
#define NONE (BLOCKS + 1) /* no block is bad */

static uint32_t take(struct fixture *f, const char *name)
{
	struct point_request request = {.automatic = true};
	const struct point_info *points;
	unsigned count;

	snprintf(request.name, sizeof(request.name), "%s", name);
	store_point_take(f->store, &request, fixture_done, f);
	CU_ASSERT_EQUAL_FATAL(fixture_wait(f), 0);
	points = store_points(f->store, &count);
	return points[count - 1].id;
}

static void generation(struct fixture *f, unsigned block, uint64_t fill)
{
	fixture_begin(f);
	fixture_put(f, store_sink(f->store), 0, (uint64_t)block * FIXTURE_BLOCK,
		    block == BLOCKS ? 1536 : FIXTURE_BLOCK, fill);
	CU_ASSERT_EQUAL_FATAL(fixture_commit(f, 1000 + (int64_t)fill), 0);
}

static void zeros_generation(struct fixture *f, unsigned block)
{
	struct copy_sink *sink = store_sink(f->store);

	fixture_begin(f);
	sink->zero(sink, 0, (uint64_t)block * FIXTURE_BLOCK, block == BLOCKS ? 1536 : FIXTURE_BLOCK,
		   NULL);
	CU_ASSERT_EQUAL_FATAL(fixture_commit(f, 2000), 0);
}

/* A point that has content in block 0 only; all others have some now. */
static uint32_t ready(struct fixture *f)
{
	uint32_t id;

	fixture_init(f);
	fixture_create(f, SIZE, 0);
	fixture_fill(f, 7);
	generation(f, 0, 11);
	id = take(f, "first");
	for (unsigned block = 0; block <= BLOCKS; block++)
		generation(f, block, 60 + block);
	CU_ASSERT_EQUAL_FATAL(fixture_settle(f), 0);
	return id;
}

struct collect {
	struct copy_sink sink;
	struct pool *pool;
	unsigned good, bad;
	uint64_t bad_offset;
};

static int collect_data(struct copy_sink *sink, unsigned disk, uint64_t offset, uint32_t length,
			struct buf *buf, struct errinfo *err)
{
	struct collect *collect = member_of(sink, struct collect, sink);
	uint8_t *wanted = malloc(FIXTURE_BLOCK);

	fixture_pattern(wanted, 0, FIXTURE_BLOCK, 11);
	collect->good +=
	    offset == 0 && length == FIXTURE_BLOCK && memcmp(buf->data, wanted, length) == 0;
	free(wanted);
	pool_put(collect->pool, buf);
	return 0;
}

static int collect_bad(struct copy_sink *sink, unsigned disk, uint64_t offset, uint32_t length,
		       int status)
{
	struct collect *collect = member_of(sink, struct collect, sink);

	CU_ASSERT_EQUAL(status, -EUCLEAN);
	collect->bad++;
	collect->bad_offset = offset;
	return 0;
}

/* Point ID of the store DIR is what it was, but for block BAD. */
static void point_check(struct fixture *f, const char *dir, uint32_t id, unsigned bad)
{
	struct collect collect = {{.data = collect_data, .bad = collect_bad}, f->pool, 0, 0, 0};
	struct point_info *points;
	struct imagecopy *copy;
	struct image *image;
	unsigned count;
	char what[16];

	snprintf(what, sizeof(what), "%u", id);
	CU_ASSERT_EQUAL_FATAL(points_list(dir, &points, &count, &f->err), 0);
	CU_ASSERT_EQUAL_FATAL(
	    image_open(&image, f->ring, dir, point_find(points, count, what), "vda", &f->err), 0);
	CU_ASSERT_EQUAL_FATAL(
	    imagecopy_start(&copy, image, f->pool, 0, 4, &collect.sink, fixture_done, f, &f->err),
	    0);
	CU_ASSERT_EQUAL(fixture_wait(f), 0);
	CU_ASSERT_EQUAL(collect.good, 1);
	CU_ASSERT_EQUAL(collect.bad, bad <= BLOCKS);
	if (collect.bad)
		CU_ASSERT_EQUAL(collect.bad_offset, (uint64_t)bad * FIXTURE_BLOCK);
	imagecopy_free(copy);
	image_close(image);
	free(points);
}

static void file_put(const char *path, const void *data, size_t length, uint64_t offset)
{
	int fd = open(path, O_WRONLY);

	CU_ASSERT_EQUAL_FATAL(pwrite(fd, data, length, (off_t)offset), (ssize_t)length);
	close(fd);
}

static void copies_keep_the_marks(void)
{
	static const char *const ways[] = {"always", "auto", "never"};
	char copy[512], command[1200], path[600];
	const uint64_t none = KEEP_NOT;
	struct fixture f;
	uint32_t id = ready(&f);

	point_check(&f, f.dir, id, NONE);
	for (unsigned i = 0; i < 3; i++) {
		snprintf(copy, sizeof(copy), "%s/copy", f.dir);
		snprintf(command, sizeof(command),
			 "mkdir '%s' && cd '%s' && cp -r --sparse=%s store.json disks points copy",
			 copy, f.dir, ways[i]);
		CU_ASSERT_EQUAL_FATAL(system(command), 0);
		point_check(&f, copy, id, NONE);
		point_entries_path(copy, id, "vda", path, sizeof(path));
		file_put(path, &none, sizeof(none), 8 * ZEROS);
		point_check(&f, copy, id, ZEROS);
		fixture_remove(f.dir, "copy");
	}
	fixture_release(&f);
}

/* What is in kept.raw instead of the mark: nothing, a part of it, more than it. */
static void a_lost_mark_is_damage(void)
{
	static const unsigned blocks[] = {ZEROS, BLOCKS};
	static const struct {
		uint64_t word, offset;
	} damages[] = {{0, 0}, {1, 0}, {1, 8}, {1, 1528}};

	for (unsigned i = 0; i < 8; i++) {
		struct fixture f;
		uint32_t id = ready(&f);
		char path[512];

		point_kept_path(f.dir, id, "vda", path, sizeof(path));
		file_put(path, &damages[i / 2].word, 8,
			 (uint64_t)blocks[i % 2] * FIXTURE_BLOCK + damages[i / 2].offset);
		point_check(&f, f.dir, id, blocks[i % 2]);
		fixture_release(&f);
	}
}

static void a_lost_entry_is_damage(void)
{
	static const unsigned blocks[] = {ZEROS, BLOCKS};
	const uint64_t none = KEEP_NOT;

	for (unsigned i = 0; i < 2; i++) {
		struct fixture f;
		uint32_t id = ready(&f);
		char path[512];

		point_entries_path(f.dir, id, "vda", path, sizeof(path));
		file_put(path, &none, sizeof(none), 8 * blocks[i]);
		point_check(&f, f.dir, id, blocks[i]);
		fixture_release(&f);
	}
}

/* Its entry is not written yet, and the head is what it was. */
static void a_mark_without_its_entry_is_zeros(void)
{
	const uint64_t none = KEEP_NOT, zero = SUM_ZERO;
	uint8_t *zeros = calloc(1, FIXTURE_BLOCK);
	struct fixture f;
	uint32_t id = ready(&f);
	char path[512];

	point_entries_path(f.dir, id, "vda", path, sizeof(path));
	file_put(path, &none, sizeof(none), 8 * ZEROS);
	store_head_path(f.dir, "vda", path, sizeof(path));
	file_put(path, zeros, FIXTURE_BLOCK, ZEROS * (uint64_t)FIXTURE_BLOCK);
	snprintf(path, sizeof(path), "%s/disks/vda/sums", f.dir);
	file_put(path, &zero, sizeof(zero), 8 * ZEROS);
	point_check(&f, f.dir, id, NONE);
	free(zeros);
	fixture_release(&f);
}

/* A guest may have a store of its own on its disk. */
static void content_that_looks_like_a_mark_is_content(void)
{
	uint8_t *data = calloc(1, FIXTURE_BLOCK);
	const uint64_t offset = ZEROS * (uint64_t)FIXTURE_BLOCK;
	struct fixture f;
	uint32_t id = ready(&f);
	uint64_t sum;
	char path[512];

	memcpy(data, keep_mark, KEEP_MARK_BYTES);
	sum = block_sum(data, FIXTURE_BLOCK, offset);
	point_entries_path(f.dir, id, "vda", path, sizeof(path));
	for (unsigned kept = 0; kept < 2; kept++) {
		uint64_t entry = kept ? keep_entry(sum) : KEEP_NOT;

		file_put(path, &entry, sizeof(entry), 8 * ZEROS);
		if (!kept) {
			store_head_path(f.dir, "vda", path, sizeof(path));
			file_put(path, data, FIXTURE_BLOCK, offset);
			snprintf(path, sizeof(path), "%s/disks/vda/sums", f.dir);
			file_put(path, &sum, sizeof(sum), 8 * ZEROS);
			point_entries_path(f.dir, id, "vda", path, sizeof(path));
		}
		point_check(&f, f.dir, id, NONE);
	}
	free(data);
	fixture_release(&f);
}

/* When the point that has it is deleted, it does not get a mark that it had lost. */
static void a_lost_mark_stays_lost(void)
{
	static const uint64_t zero;
	struct fixture f;
	uint32_t first, second;
	char path[512];

	fixture_init(&f);
	fixture_create(&f, SIZE, 0);
	fixture_fill(&f, 7);
	generation(&f, 0, 11);
	first = take(&f, "first");
	generation(&f, 1, 61);
	second = take(&f, "second");
	for (unsigned block = 0; block <= BLOCKS; block++)
		generation(&f, block, 70 + block);
	CU_ASSERT_EQUAL_FATAL(fixture_settle(&f), 0);
	point_kept_path(f.dir, second, "vda", path, sizeof(path));
	file_put(path, &zero, sizeof(zero), ZEROS * (uint64_t)FIXTURE_BLOCK);
	store_point_delete(f.store, second, fixture_done, &f);
	CU_ASSERT_EQUAL(fixture_wait(&f), 0);
	point_check(&f, f.dir, first, ZEROS);
	fixture_release(&f);
}

/* --- sums that were lost --- */

/* ALL: a hole, as after a repair of the file system. */
static void sum_lose(struct fixture *f, unsigned block, bool all)
{
	static const uint64_t zero;
	char path[512];

	snprintf(path, sizeof(path), "%s/disks/vda/sums", f->dir);
	if (all) {
		CU_ASSERT_EQUAL(truncate(path, 0) | truncate(path, 8 * (BLOCKS + 1)), 0);
	} else {
		file_put(path, &zero, sizeof(zero), 8 * block);
	}
}

/* Zeros or content above content whose sum is zero now: the point does not get zeros. */
static void content_without_its_sum_is_damage(void)
{
	for (unsigned i = 0; i < 12; i++) {
		const unsigned block = i % 2 ? BLOCKS : ZEROS;
		struct fixture f;
		uint32_t id;

		fixture_init(&f);
		fixture_create(&f, SIZE, 0);
		fixture_fill(&f, 11);
		generation(&f, block, 33);
		id = take(&f, "first");
		generation(&f, 0, 12);
		CU_ASSERT_EQUAL_FATAL(fixture_settle(&f), 0);
		sum_lose(&f, block, i / 2 % 2);
		if (i < 4)
			zeros_generation(&f, block);
		else
			generation(&f, block, i < 8 ? 0 : 34);
		CU_ASSERT_EQUAL_FATAL(fixture_settle(&f), 0);
		point_check(&f, f.dir, id, block);
		fixture_release(&f);
	}
}

/* A file system may keep zeros as data. */
static void zeros_above_zeros_are_not_kept(void)
{
	uint8_t *zeros = calloc(1, FIXTURE_BLOCK);
	uint64_t entry = KEEP_ZERO;
	struct fixture f;
	uint32_t id;
	char path[512];
	int fd;

	fixture_init(&f);
	fixture_create(&f, SIZE, 0);
	fixture_fill(&f, 11);
	generation(&f, 1, 0);
	id = take(&f, "first");
	CU_ASSERT_EQUAL_FATAL(fixture_settle(&f), 0);
	store_head_path(f.dir, "vda", path, sizeof(path));
	file_put(path, zeros, FIXTURE_BLOCK, ZEROS * (uint64_t)FIXTURE_BLOCK);
	zeros_generation(&f, ZEROS);
	CU_ASSERT_EQUAL_FATAL(fixture_settle(&f), 0);
	point_entries_path(f.dir, id, "vda", path, sizeof(path));
	fd = open(path, O_RDONLY);
	CU_ASSERT_EQUAL(pread(fd, &entry, 8, 8 * ZEROS), 8);
	close(fd);
	CU_ASSERT_EQUAL(entry, KEEP_NOT);
	point_check(&f, f.dir, id, NONE);
	free(zeros);
	fixture_release(&f);
}

int main(void)
{
	static const struct cunit_case cases[] = {
	    {"copies_keep_the_marks", copies_keep_the_marks},
	    {"a_lost_mark_is_damage", a_lost_mark_is_damage},
	    {"a_lost_entry_is_damage", a_lost_entry_is_damage},
	    {"a_mark_without_its_entry_is_zeros", a_mark_without_its_entry_is_zeros},
	    {"content_that_looks_like_a_mark_is_content",
	     content_that_looks_like_a_mark_is_content},
	    {"a_lost_mark_stays_lost", a_lost_mark_stays_lost},
	    {"content_without_its_sum_is_damage", content_without_its_sum_is_damage},
	    {"zeros_above_zeros_are_not_kept", zeros_above_zeros_are_not_kept},
	};

	return cunit_run("keep_mark", cases, sizeof(cases) / sizeof(cases[0]));
}
