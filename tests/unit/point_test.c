/* SPDX-License-Identifier: Apache-2.0
 *
 * Points in time on a real file system: kept ones where TMPDIR cannot share blocks,
 * clones where it can (TMPDIR on XFS or btrfs).
 */
#include <CUnit/CUnit.h>

#include "cunit_main.h"
#include "image.h"
#include "keep_read.h"
#include "point_json.h"
#include "store_fixture.h"

#define BLOCKS 8u
#define SIZE (BLOCKS * FIXTURE_BLOCK + 1536)

static int take(struct fixture *f, const char *name)
{
	struct point_request request = {.automatic = true};

	snprintf(request.name, sizeof(request.name), "%s", name);
	store_point_take(f->store, &request, fixture_done, f);
	return fixture_wait(f);
}

static int delete(struct fixture *f, uint32_t id)
{
	store_point_delete(f->store, id, fixture_done, f);
	return fixture_wait(f);
}

static uint32_t newest(struct fixture *f)
{
	unsigned count;
	const struct point_info *points = store_points(f->store, &count);

	return count ? points[count - 1].id : 0;
}

/* Block BLOCK of both disks becomes FILL in the next generation. */
static void generation(struct fixture *f, unsigned block, uint64_t fill)
{
	const uint64_t offset = (uint64_t)block * FIXTURE_BLOCK;
	const uint32_t length = block == BLOCKS ? 1536 : FIXTURE_BLOCK;

	fixture_begin(f);
	for (unsigned disk = 0; disk < 2; disk++)
		if (fill)
			fixture_put(f, store_sink(f->store), disk, offset, length, fill);
		else
			store_sink(f->store)->zero(store_sink(f->store), disk, offset, length, NULL);
	CU_ASSERT_EQUAL_FATAL(fixture_commit(f, 1000 + (int64_t)fill), 0);
}

static void head_read(struct fixture *f, const char *path, const char *sums, unsigned block,
		      uint8_t *data, uint32_t length, uint64_t *sum)
{
	int fd = open(path, O_RDONLY), sums_fd = open(sums, O_RDONLY);

	CU_ASSERT_EQUAL(pread(fd, data, length, (off_t)block * FIXTURE_BLOCK), length);
	CU_ASSERT_EQUAL(pread(sums_fd, sum, 8, (off_t)block * 8), 8);
	close(fd);
	close(sums_fd);
}

/* As a reader in another process does it. */
static bool block_read(struct fixture *f, const struct point_info *point, const char *disk,
		       unsigned block, uint8_t *data, uint32_t length, uint64_t *sum)
{
	struct keep_chain *chain;
	struct keep_place place;
	char path[512], sums[512];

	store_head_path(f->dir, disk, path, sizeof(path));
	snprintf(sums, sizeof(sums), "%s/disks/%s/sums", f->dir, disk);
	if (point->kind == POINT_CLONE) {
		point_head_path(f->dir, point->id, disk, path, sizeof(path));
		point_sums_path(f->dir, point->id, disk, sums, sizeof(sums));
		head_read(f, path, sums, block, data, length, sum);
		return *sum == block_sum(data, length, (uint64_t)block * FIXTURE_BLOCK);
	}
	CU_ASSERT_EQUAL_FATAL(
		keep_chain_open(&chain, f->dir, point, disk, FIXTURE_BLOCK, &f->err), 0);
	CU_ASSERT_EQUAL(keep_chain_find(chain, block, 1, &place, &f->err), 0);
	if (place.entry == KEEP_NOT) {
		head_read(f, path, sums, block, data, length, sum);
		place.entry = keep_entry(*sum);
	} else {
		CU_ASSERT_EQUAL(pread(place.tail_fd, data, length, (off_t)block * FIXTURE_BLOCK),
				length);
	}
	*sum = block_sum(data, length, (uint64_t)block * FIXTURE_BLOCK);
	keep_chain_close(chain);
	return place.entry == keep_entry(*sum);
}

/* Block BLOCK of the point is FILL on both disks, and verifies. */
static bool point_is(struct fixture *f, uint32_t id, unsigned block, uint64_t fill)
{
	static const char *const disks[] = {"vda", "vdb"};
	const uint32_t length = block == BLOCKS ? 1536 : FIXTURE_BLOCK;
	uint8_t *found = malloc(length), *wanted = malloc(length);
	struct point_info *points;
	unsigned count;
	char what[16];
	const struct point_info *point;
	bool right = true;
	uint64_t sum;

	CU_ASSERT_EQUAL(points_list(f->dir, &points, &count, &f->err), 0);
	snprintf(what, sizeof(what), "%u", id);
	point = point_find(points, count, what);
	CU_ASSERT_PTR_NOT_NULL_FATAL(point);
	fixture_pattern(wanted, (uint64_t)block * FIXTURE_BLOCK, length, fill);
	for (unsigned i = 0; i < 2; i++)
		right = right && block_read(f, point, disks[i], block, found, length, &sum) &&
			memcmp(found, wanted, length) == 0;
	free(points);
	free(found);
	free(wanted);
	return right;
}

static void ready(struct fixture *f)
{
	fixture_init(f);
	fixture_create(f, SIZE, SIZE);
	fixture_fill(f, 7);
	generation(f, 1, 11);
}

struct collect {
	struct copy_sink sink;
	struct fixture *f;
	uint8_t *data;
};

static int collect_data(struct copy_sink *sink, unsigned disk, uint64_t offset, uint32_t length,
			struct buf *buf, struct errinfo *err)
{
	struct collect *collect = (struct collect *)(void *)sink;

	memcpy(collect->data + offset, buf->data, length);
	pool_put(collect->f->pool, buf);
	return 0;
}

static int collect_zero(struct copy_sink *sink, unsigned disk, uint64_t offset, uint64_t length,
			struct errinfo *err)
{
	return 0;
}

/* All of vda at the point, as a restore reads it. */
static uint8_t *image_content(struct fixture *f, const struct point_info *point)
{
	struct collect collect = {{.data = collect_data, .zero = collect_zero}, f, NULL};
	struct imagecopy *copy;
	struct image *image;

	collect.data = calloc(1, SIZE);
	CU_ASSERT_EQUAL_FATAL(image_open(&image, f->ring, f->dir, point, "vda", &f->err), 0);
	CU_ASSERT_EQUAL_FATAL(imagecopy_start(&copy, image, f->pool, 0, 4, &collect.sink,
					      fixture_done, f, &f->err), 0);
	CU_ASSERT_EQUAL(fixture_wait(f), 0);
	imagecopy_free(copy);
	image_close(image);
	return collect.data;
}

static void point_is_read_as_a_whole(void)
{
	struct fixture f;
	struct point_info *points;
	uint8_t *before, *after;
	unsigned count;

	ready(&f);
	CU_ASSERT_EQUAL_FATAL(take(&f, "one"), 0);
	CU_ASSERT_EQUAL(points_list(f.dir, &points, &count, &f.err), 0);
	before = image_content(&f, &points[0]);
	for (unsigned i = 0; i <= BLOCKS; i += 2)
		generation(&f, i, i % 4 ? 50 + i : 0);
	CU_ASSERT_EQUAL_FATAL(take(&f, "two"), 0);
	for (unsigned i = 1; i <= BLOCKS; i++)
		generation(&f, i, 70 + i);
	CU_ASSERT_EQUAL(fixture_settle(&f), 0);
	after = image_content(&f, &points[0]);
	CU_ASSERT_EQUAL(memcmp(before, after, SIZE), 0);
	free(before);
	free(after);
	free(points);
	fixture_release(&f);
}

static void every_point_keeps_its_generation(void)
{
	struct fixture f;
	uint32_t ids[6];

	ready(&f);
	for (unsigned i = 0; i < 6; i++) {
		char name[] = {'p', (char)('a' + i), 0};

		CU_ASSERT_EQUAL_FATAL(take(&f, name), 0);
		ids[i] = newest(&f);
		generation(&f, 1, 20 + i);
		generation(&f, BLOCKS, i % 2 ? 0 : 30 + i); /* the end, of an odd size */
		generation(&f, 2 + i % 3, 40 + i);
		if (i == 3) {
			CU_ASSERT_EQUAL_FATAL(fixture_reopen(&f), 0);
		}
	}
	CU_ASSERT_EQUAL(fixture_settle(&f), 0);
	for (unsigned i = 0; i < 6; i++) {
		CU_ASSERT_TRUE(point_is(&f, ids[i], 0, 7));
		CU_ASSERT_TRUE(point_is(&f, ids[i], 1, i ? 20 + i - 1 : 11));
		CU_ASSERT_TRUE(point_is(&f, ids[i], BLOCKS, i % 2 ? 30 + i - 1 : 0));
	}
	/* The oldest, one in the middle, the newest. */
	CU_ASSERT_EQUAL(delete(&f, ids[0]), 0);
	CU_ASSERT_EQUAL(delete(&f, ids[2]), 0);
	CU_ASSERT_EQUAL(delete(&f, ids[5]), 0);
	generation(&f, 1, 99);
	generation(&f, 0, 98);
	CU_ASSERT_EQUAL(fixture_settle(&f), 0);
	for (unsigned i = 1; i < 5; i++) {
		if (i == 2)
			continue;
		CU_ASSERT_TRUE(point_is(&f, ids[i], 0, 7));
		CU_ASSERT_TRUE(point_is(&f, ids[i], 1, 20 + i - 1));
		CU_ASSERT_TRUE(point_is(&f, ids[i], BLOCKS, i % 2 ? 30 + i - 1 : 0));
	}
	CU_ASSERT_EQUAL_FATAL(fixture_reopen(&f), 0);
	CU_ASSERT_EQUAL(take(&f, "again"), 0);
	CU_ASSERT_TRUE(newest(&f) > ids[5]); /* an id is not used twice */
	fixture_release(&f);
}

static void point_that_is_read_is_not_deleted(void)
{
	struct fixture f;
	int fd;

	ready(&f);
	CU_ASSERT_EQUAL_FATAL(take(&f, "held"), 0);
	fd = point_hold(f.dir, newest(&f), &f.err);
	CU_ASSERT_TRUE_FATAL(fd >= 0);
	CU_ASSERT_EQUAL(delete(&f, newest(&f)), -EBUSY);
	close(fd);
	CU_ASSERT_EQUAL(delete(&f, newest(&f)), 0);
	CU_ASSERT_EQUAL(delete(&f, 1), -ENOENT);
	CU_ASSERT_EQUAL(point_hold(f.dir, 1, NULL), -ENOENT);
	fixture_release(&f);
}

static void take_refuses_what_cannot_be(void)
{
	struct fixture f;

	fixture_init(&f);
	fixture_create(&f, SIZE, SIZE);
	CU_ASSERT_EQUAL(take(&f, "early"), -EINVAL);
	fixture_fill(&f, 7);
	CU_ASSERT_EQUAL(take(&f, "early"), -EINVAL);
	generation(&f, 1, 11);
	CU_ASSERT_EQUAL(take(&f, "../up"), -EINVAL);
	CU_ASSERT_EQUAL(take(&f, "123"), -EINVAL);
	CU_ASSERT_EQUAL(take(&f, "one"), 0);
	CU_ASSERT_EQUAL(take(&f, "one"), -EEXIST);
	CU_ASSERT_NOT_EQUAL(f.error.text[0], 0);
	fixture_release(&f);
}

static void damaged_point_json_is_refused(void)
{
	struct point_info info = {.id = 3, .name = "p", .kind = POINT_KEPT, .generation = 17,
				  .time_us = 5, .taken_us = 6, .disk_count = 1,
				  .disks = {{"vda", 1 << 20}}};
	struct point_info again;
	char *text = point_json_format(&info);
	const size_t length = strlen(text);
	unsigned accepted = 0;

	CU_ASSERT_EQUAL(point_json_parse(text, length, "x", &again, NULL), 0);
	CU_ASSERT_EQUAL(memcmp(&info, &again, sizeof(info)), 0);
	for (size_t i = 0; i < length * 8; i++) {
		text[i / 8] = (char)(text[i / 8] ^ (1 << i % 8));
		if (point_json_parse(text, length, "x", &again, NULL) == 0) {
			accepted++; /* white space that became another: says the same */
			CU_ASSERT_EQUAL(memcmp(&info, &again, sizeof(info)), 0);
		}
		text[i / 8] = (char)(text[i / 8] ^ (1 << i % 8));
		CU_ASSERT_TRUE(i % 8 || point_json_parse(text, i / 8, "x", &again, NULL) != 0);
	}
	CU_ASSERT_TRUE(accepted < length);
	free(text);
}

int main(void)
{
	static const struct cunit_case cases[] = {
		{"every_point_keeps_its_generation", every_point_keeps_its_generation},
		{"point_is_read_as_a_whole", point_is_read_as_a_whole},
		{"point_that_is_read_is_not_deleted", point_that_is_read_is_not_deleted},
		{"take_refuses_what_cannot_be", take_refuses_what_cannot_be},
		{"damaged_point_json_is_refused", damaged_point_json_is_refused},
	};

	return cunit_run("point", cases, sizeof(cases) / sizeof(cases[0]));
}
