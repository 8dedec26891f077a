/* SPDX-License-Identifier: Apache-2.0
 *
 * Points in time on real file systems: that of TMPDIR, then an XFS on a loop device,
 * where files share blocks; that needs root.  QHEAL_SEED=N: other choices of the
 * reader's and the writer's.
 */
#include <CUnit/CUnit.h>
#include <poll.h>
#include <sys/wait.h>
#include <time.h>

#include "cunit_main.h"
#include "image.h"
#include "keep_read.h"
#include "point_json.h"
#include "store_fixture.h"
#include "xfs_fixture.h"

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
	if (place.entry == KEEP_ZERO && place.id) {
		CU_ASSERT_TRUE(keep_is_mark(data, length));
		memset(data, 0, length);
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

/* --- damage --- */

static void file_break(const char *path, const char *how)
{
	char command[640];

	snprintf(command, sizeof(command), "%s '%s'", how, path);
	CU_ASSERT_EQUAL(system(command), 0);
}

static unsigned damaged_count(struct fixture *f, unsigned *count)
{
	const struct point_info *points = store_points(f->store, count);
	unsigned damaged = 0;

	for (unsigned i = 0; i < *count; i++)
		damaged += points[i].damaged;
	return damaged;
}

/* Points 1 to 4, each with one block that only it keeps; then one of WHICH is broken. */
static void broken(struct fixture *f, unsigned which, const char *file, const char *how)
{
	char path[512];

	ready(f);
	for (unsigned i = 0; i < 4; i++) {
		char name[] = {'p', (char)('a' + i), 0};

		CU_ASSERT_EQUAL_FATAL(take(f, name), 0);
		generation(f, 1 + i, 20 + i);
	}
	CU_ASSERT_EQUAL(fixture_settle(f), 0);
	store_close(f->store);
	f->store = NULL;
	snprintf(path, sizeof(path), "%s/points/%08u/%s", f->dir, which, file);
	file_break(path, how);
	CU_ASSERT_EQUAL_FATAL(fixture_open(f), 0);
}

static void damaged_point_stops_only_those_read_through_it(void)
{
	static const char *const how[][2] = {
		{"point.json", "echo '{}' >"}, {"point.json", "rm"},
		{"vda/kept", "truncate -s 5"}, {"vdb/kept.raw", "rm"},
	};

	for (unsigned i = 0; i < 4; i++) {
		for (unsigned which = 2; which <= 4; which += 2) {
			struct fixture f;
			unsigned count;

			broken(&f, which, how[i][0], how[i][1]);
			CU_ASSERT_EQUAL(damaged_count(&f, &count), which);
			CU_ASSERT_EQUAL(count, 4);
			generation(&f, 0, 60);
			CU_ASSERT_EQUAL(take(&f, "next"), 0);
			generation(&f, 0, 61);
			generation(&f, BLOCKS, 62);
			CU_ASSERT_EQUAL(fixture_settle(&f), 0);
			CU_ASSERT_TRUE(point_is(&f, newest(&f), 0, 60));
			CU_ASSERT_TRUE(point_is(&f, newest(&f), BLOCKS, 0));
			if (which == 2) {
				CU_ASSERT_TRUE(point_is(&f, 3, 0, 7));
				CU_ASSERT_TRUE(point_is(&f, 3, 3, 0));
			}
			/* What is overwritten since is not kept for those before it: they stay
			 * damaged also when the cause is deleted. */
			CU_ASSERT_EQUAL(delete(&f, which), 0);
			CU_ASSERT_EQUAL_FATAL(fixture_reopen(&f), 0);
			CU_ASSERT_EQUAL(damaged_count(&f, &count), which - 1);
			CU_ASSERT_EQUAL(count, 4);
			CU_ASSERT_EQUAL(delete(&f, 1), 0);
			fixture_release(&f);
		}
	}
}

static void damaged_point_is_not_read(void)
{
	struct point_info *points;
	struct image *image;
	struct fixture f;
	unsigned count;

	broken(&f, 4, "point.json", "echo '{}' >");
	CU_ASSERT_EQUAL_FATAL(points_list(f.dir, &points, &count, &f.err), 0);
	for (unsigned i = 0; i < count; i++) {
		CU_ASSERT_TRUE(points[i].damaged);
		CU_ASSERT_TRUE(image_open(&image, f.ring, f.dir, &points[i], "vda", &f.err) < 0);
		CU_ASSERT_NOT_EQUAL(f.err.text[0], 0);
		err_clear(&f.err);
	}
	free(points);
	fixture_release(&f);
}

/* The sum that a reader wants of block BLOCK of vda in point ID. */
static uint64_t point_sum(struct fixture *f, uint32_t id, unsigned block)
{
	struct point_info *points;
	struct image *image;
	char what[16];
	uint64_t sum = 1;
	unsigned count;

	snprintf(what, sizeof(what), "%u", id);
	CU_ASSERT_EQUAL_FATAL(points_list(f->dir, &points, &count, &f->err), 0);
	CU_ASSERT_EQUAL_FATAL(image_open(&image, f->ring, f->dir, point_find(points, count, what),
					 "vda", &f->err), 0);
	CU_ASSERT_EQUAL(image_sums(image, block, 1, &sum, &f->err), 0);
	image_close(image);
	free(points);
	return sum;
}

/* The same after its entry was lost. */
static uint64_t sum_without_entry(struct fixture *f, uint32_t id, unsigned block)
{
	static const uint64_t lost;
	char path[512];
	int fd;

	point_entries_path(f->dir, id, "vda", path, sizeof(path));
	fd = open(path, O_WRONLY);
	CU_ASSERT_EQUAL_FATAL(pwrite(fd, &lost, sizeof(lost), 8 * block), sizeof(lost));
	close(fd);
	return point_sum(f, id, block);
}

static void a_lost_entry_of_zeros_does_not_give_the_head(void)
{
	static const unsigned blocks[] = {3, BLOCKS}; /* the last one is not whole */

	for (unsigned i = 0; i < 4; i++) {
		const unsigned block = blocks[i / 2];
		const bool moved = i % 2;
		struct fixture f;
		uint32_t first;

		ready(&f);
		CU_ASSERT_EQUAL_FATAL(take(&f, "first"), 0);
		first = newest(&f);
		generation(&f, 5, 1);
		if (moved)
			CU_ASSERT_EQUAL_FATAL(take(&f, "second"), 0);
		generation(&f, block, 60);
		CU_ASSERT_EQUAL(fixture_settle(&f), 0);
		if (moved)
			CU_ASSERT_EQUAL(delete(&f, newest(&f)), 0);
		CU_ASSERT_TRUE(point_is(&f, first, block, 0));
		CU_ASSERT_EQUAL(sum_without_entry(&f, first, block), SUM_ZERO);
		fixture_release(&f);
	}
}

/* LENGTH bytes of DATA to block BLOCK of vda in what the point ID keeps. */
static void kept_put(struct fixture *f, uint32_t id, unsigned block, const void *data,
		     size_t length)
{
	char path[512];
	int fd;

	point_kept_path(f->dir, id, "vda", path, sizeof(path));
	fd = open(path, O_WRONLY);
	CU_ASSERT_EQUAL_FATAL(pwrite(fd, data, length, (off_t)block * FIXTURE_BLOCK),
			      (ssize_t)length);
	close(fd);
}

/* The newer of two points lost an entry; the older is read through it, and has zeros there
 * that were a hole, as a copy makes them; then the newer is deleted. */
static void a_lost_entry_is_told_by_older_points(void)
{
	static const uint8_t zeros[FIXTURE_BLOCK];
	static const unsigned blocks[] = {1, BLOCKS};

	for (unsigned i = 0; i < 4; i++) {
		const unsigned block = blocks[i / 2];
		const uint32_t length = block == BLOCKS ? 1536 : FIXTURE_BLOCK;
		uint8_t *data = malloc(length);
		uint32_t older, newer;
		struct fixture f;
		uint64_t sum, other;

		ready(&f);
		generation(&f, block, 11);
		CU_ASSERT_EQUAL_FATAL(take(&f, "older"), 0);
		older = newest(&f);
		generation(&f, 5, 12);
		CU_ASSERT_EQUAL_FATAL(take(&f, "newer"), 0);
		newer = newest(&f);
		generation(&f, block, 60);
		CU_ASSERT_EQUAL(fixture_settle(&f), 0);
		fixture_pattern(data, (uint64_t)block * FIXTURE_BLOCK, length, 11);
		sum = block_sum(data, length, (uint64_t)block * FIXTURE_BLOCK);
		other = point_sum(&f, older, 5);
		if (i % 2)
			kept_put(&f, older, block, zeros, length);
		CU_ASSERT_EQUAL(keep_entry(point_sum(&f, older, block)), keep_entry(sum));
		CU_ASSERT_EQUAL(sum_without_entry(&f, newer, block), sum);
		CU_ASSERT_EQUAL(point_sum(&f, older, block), sum); /* which the head has not */
		generation(&f, block, 61 * (i < 2)); /* nobody writes over what tells of it */
		CU_ASSERT_EQUAL(fixture_settle(&f), 0);
		CU_ASSERT_EQUAL(point_sum(&f, newer, block), sum);
		CU_ASSERT_EQUAL(delete(&f, newer), 0);
		CU_ASSERT_EQUAL(point_sum(&f, older, block), sum);
		generation(&f, block, 62);
		CU_ASSERT_EQUAL(fixture_settle(&f), 0);
		CU_ASSERT_EQUAL(point_sum(&f, older, block), sum);
		CU_ASSERT_EQUAL(point_sum(&f, older, 5), other);
		free(data);
		fixture_release(&f);
	}
}

/* What the newer point has must not take the place of what the older one has: its entry lost,
 * or its content good while the newer's went bad. */
static void a_deletion_does_not_replace_what_is_better(void)
{
	static const uint8_t junk[FIXTURE_BLOCK] = {1, 2, 3};

	for (unsigned lost = 0; lost < 2; lost++) {
		uint8_t *data = malloc(FIXTURE_BLOCK);
		uint32_t older, newer;
		struct fixture f;
		uint64_t sum;

		ready(&f);
		CU_ASSERT_EQUAL_FATAL(take(&f, "older"), 0);
		older = newest(&f);
		generation(&f, 1, 12);
		if (!lost)
			generation(&f, 1, 11);
		CU_ASSERT_EQUAL_FATAL(take(&f, "newer"), 0);
		newer = newest(&f);
		generation(&f, 1, 13);
		CU_ASSERT_EQUAL(fixture_settle(&f), 0);
		fixture_pattern(data, FIXTURE_BLOCK, FIXTURE_BLOCK, 11);
		sum = block_sum(data, FIXTURE_BLOCK, FIXTURE_BLOCK);
		if (lost) {
			CU_ASSERT_EQUAL(sum_without_entry(&f, older, 1), sum);
		} else {
			kept_put(&f, newer, 1, junk, sizeof(junk));
		}
		CU_ASSERT_EQUAL(delete(&f, newer), 0);
		CU_ASSERT_EQUAL(point_sum(&f, older, 1), sum);
		CU_ASSERT(lost || point_is(&f, older, 1, 11));
		free(data);
		fixture_release(&f);
	}
}

/* --- a guest runs on the heads --- */

static void promoted_store_takes_and_deletes_points(void)
{
	const struct store_placement under_a_guest = {0, "/dev/null"};
	struct fixture f;
	uint32_t before, after;

	ready(&f);
	CU_ASSERT_EQUAL_FATAL(take(&f, "before"), 0);
	before = newest(&f);
	generation(&f, 1, 12);
	CU_ASSERT_EQUAL(fixture_settle(&f), 0);
	CU_ASSERT_EQUAL_FATAL(store_promote(f.store, &under_a_guest, 1, &f.err), 0);
	CU_ASSERT_EQUAL_FATAL(take(&f, "after"), 0);
	after = newest(&f);
	CU_ASSERT_EQUAL_FATAL(fixture_reopen(&f), 0);
	CU_ASSERT_EQUAL_FATAL(take(&f, "again"), 0);
	CU_ASSERT_TRUE(point_is(&f, before, 1, 11));
	CU_ASSERT_TRUE(point_is(&f, after, 1, 12));
	CU_ASSERT_EQUAL(delete(&f, after), 0);
	CU_ASSERT_TRUE(point_is(&f, before, 1, 11));
	fixture_release(&f);
}

/* --- a disk that grows, a disk that goes --- */

static void point_keeps_the_end_of_a_disk_that_grows(void)
{
	struct store_disk disks[] = {{"vda", SIZE + 4096}, {"vdb", SIZE}};
	struct fixture f;

	ready(&f);
	generation(&f, BLOCKS, 33);
	CU_ASSERT_EQUAL_FATAL(take(&f, "short"), 0);
	CU_ASSERT_EQUAL(fixture_settle(&f), 0);
	CU_ASSERT_EQUAL_FATAL(store_set_disks(f.store, disks, 2, &f.err), 0);
	CU_ASSERT_EQUAL_FATAL(fixture_reopen(&f), 0);
	CU_ASSERT_TRUE(point_is(&f, 1, BLOCKS, 33));
	fixture_begin(&f);
	fixture_put(&f, store_sink(f.store), 0, BLOCKS * FIXTURE_BLOCK, 1536 + 4096, 34);
	CU_ASSERT_EQUAL(fixture_commit(&f, 2000), 0);
	CU_ASSERT_EQUAL(fixture_settle(&f), 0);
	CU_ASSERT_TRUE(point_is(&f, 1, BLOCKS, 33));
	CU_ASSERT_TRUE(point_is(&f, 1, 1, 11));
	fixture_release(&f);
}

static bool head_there(struct fixture *f, const char *disk)
{
	char path[512];

	store_head_path(f->dir, disk, path, sizeof(path));
	return access(path, F_OK) == 0;
}

static void disk_that_went_stays_as_long_as_a_kept_point_needs_it(void)
{
	struct store_disk disks[] = {{"vda", SIZE}};
	const struct point_info *points;
	struct fixture f;
	unsigned count;

	ready(&f);
	CU_ASSERT_EQUAL_FATAL(take(&f, "both"), 0);
	CU_ASSERT_EQUAL(fixture_settle(&f), 0);
	points = store_points(f.store, &count);
	if (points[0].kind == POINT_KEPT) {
		CU_ASSERT_EQUAL_FATAL(store_set_disks(f.store, disks, 1, &f.err), 0);
		CU_ASSERT_EQUAL_FATAL(fixture_reopen(&f), 0);
		CU_ASSERT_TRUE(head_there(&f, "vdb"));
		CU_ASSERT_TRUE(point_is(&f, 1, 1, 11));
		CU_ASSERT_EQUAL(delete(&f, 1), 0);
		CU_ASSERT_EQUAL_FATAL(fixture_reopen(&f), 0);
		CU_ASSERT_FALSE(head_there(&f, "vdb"));
	} else {
		CU_ASSERT_EQUAL_FATAL(store_set_disks(f.store, disks, 1, &f.err), 0);
		CU_ASSERT_EQUAL_FATAL(fixture_reopen(&f), 0);
		CU_ASSERT_FALSE(head_there(&f, "vdb"));
		CU_ASSERT_TRUE(point_is(&f, 1, 1, 11));
	}
	fixture_release(&f);
}

/* --- a reader in another process --- */

#define READ_SECONDS 3

static uint64_t seed_get(void)
{
	const char *seed = getenv("QHEAL_SEED");

	return seed ? strtoull(seed, NULL, 0) : 1;
}

static uint64_t draw(uint64_t *state, uint64_t below)
{
	*state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (*state >> 33) % below;
}

/* In the reader: between the look for a block and its reading much may happen. */
static bool delayed;
static uint64_t delay_random;

void __real_ring_read(struct ring *ring, struct ring_op *op, int fd, void *buffer, uint32_t length,
		      uint64_t offset);
/* Reads of this file give EIO, as those of an unmapped page do. */
static ino_t broken_inode;
static int unreadable_fd;

static ino_t inode_of(int fd)
{
	struct stat status;

	return fstat(fd, &status) ? 0 : status.st_ino;
}

void __wrap_ring_read(struct ring *ring, struct ring_op *op, int fd, void *buffer, uint32_t length,
		      uint64_t offset);
void __wrap_ring_read(struct ring *ring, struct ring_op *op, int fd, void *buffer, uint32_t length,
		      uint64_t offset)
{
	if (delayed)
		usleep((useconds_t)draw(&delay_random, 20000));
	if (broken_inode && inode_of(fd) == broken_inode)
		fd = unreadable_fd;
	__real_ring_read(ring, op, fd, buffer, length, offset);
}

/* While the store is open: tried three times, then it goes on, and the point is damaged. */
static void a_point_that_fails_is_given_up_beside_the_generations(void)
{
	struct fixture f;
	unsigned count, tries = 0;
	char path[512];
	struct stat status;

	ready(&f);
	CU_ASSERT_EQUAL_FATAL(take(&f, "first"), 0);
	generation(&f, 1, 59);
	CU_ASSERT_EQUAL_FATAL(take(&f, "second"), 0);
	CU_ASSERT_EQUAL(fixture_settle(&f), 0);
	point_entries_path(f.dir, newest(&f), "vda", path, sizeof(path));
	CU_ASSERT_EQUAL_FATAL(stat(path, &status), 0);
	unreadable_fd = open("/proc/self/mem", O_RDONLY);
	broken_inode = status.st_ino;
	generation(&f, 0, 60);
	do {
		CU_ASSERT_EQUAL(damaged_count(&f, &count), 0);
		tries++;
	} while (fixture_settle(&f) == -EIO && tries < 4);
	CU_ASSERT_TRUE(tries == 2 || tries == 3); /* or the first was that of the commit */
	CU_ASSERT_EQUAL_FATAL(fixture_settle(&f), 0);
	CU_ASSERT_EQUAL(damaged_count(&f, &count), 2); /* the first is read through it */
	generation(&f, 0, 61);
	CU_ASSERT_EQUAL(fixture_settle(&f), 0);
	CU_ASSERT_EQUAL_FATAL(take(&f, "third"), 0);
	generation(&f, 0, 62);
	CU_ASSERT_EQUAL(fixture_settle(&f), 0);
	CU_ASSERT_TRUE(point_is(&f, newest(&f), 0, 61));
	broken_inode = 0;
	close(unreadable_fd);
	CU_ASSERT_EQUAL_FATAL(fixture_reopen(&f), 0);
	CU_ASSERT_EQUAL(damaged_count(&f, &count), 2); /* for ever: nothing was kept for them */
	CU_ASSERT_EQUAL(count, 3);
	fixture_release(&f);
}

static void a_point_that_cannot_be_read_does_not_stop_the_store(void)
{
	struct fixture f;
	char path[512];
	struct stat status;
	uint32_t first;
	unsigned count;

	ready(&f);
	CU_ASSERT_EQUAL_FATAL(take(&f, "first"), 0);
	first = newest(&f);
	CU_ASSERT_EQUAL(fixture_settle(&f), 0);
	point_entries_path(f.dir, first, "vda", path, sizeof(path));
	CU_ASSERT_EQUAL_FATAL(stat(path, &status), 0);
	unreadable_fd = open("/proc/self/mem", O_RDONLY);
	broken_inode = status.st_ino;
	generation(&f, 0, 60);
	CU_ASSERT_EQUAL(fixture_settle(&f), -EIO);
	err_clear(&f.err);
	CU_ASSERT_EQUAL_FATAL(fixture_reopen(&f), 0);
	CU_ASSERT_EQUAL(damaged_count(&f, &count), 1);
	CU_ASSERT_EQUAL(store_info(f.store)->generation, 2);
	CU_ASSERT_EQUAL_FATAL(take(&f, "second"), 0);
	generation(&f, 0, 61);
	CU_ASSERT_EQUAL(fixture_settle(&f), 0);
	CU_ASSERT_TRUE(point_is(&f, newest(&f), 0, 60));
	broken_inode = 0;
	close(unreadable_fd);
	CU_ASSERT_EQUAL_FATAL(fixture_reopen(&f), 0);
	CU_ASSERT_EQUAL(damaged_count(&f, &count), 1); /* for ever: nothing was kept for it */
	CU_ASSERT_EQUAL(delete(&f, first), 0);
	fixture_release(&f);
}

/* Exits with 0 if the point was right till the end, 1 if it was wrong and nobody said
 * so, 3 if it could not be read. */
static void reader(struct fixture *f, const struct point_info *point, const uint8_t *wanted,
		   int enough_fd)
{
	struct pollfd enough = {.fd = enough_fd, .events = POLLIN};
	const time_t end = time(NULL) + READ_SECONDS;
	unsigned reads = 0;
	bool right = true;

	delayed = true;
	delay_random = seed_get() + 1;
	if (ring_new(&f->ring, 64, &f->err) ||
	    pool_new(&f->pool, f->ring, 12, FIXTURE_BUFFER, FIXTURE_BLOCK, &f->err))
		_exit(2);
	while (right && (time(NULL) < end || reads < 20 || !poll(&enough, 1, 0))) {
		uint8_t *found = image_content(f, point);

		right = memcmp(found, wanted, SIZE) == 0;
		free(found);
		reads++;
	}
	if (!right)
		fprintf(stderr, "read %u: %s\n", reads,
			f->status ? f->error.text : "wrong content without an error");
	_exit(!right ? f->status ? 3 : 1 : 0);
}

/* Beside a writer that overwrites, takes points and deletes them. */
static void point_is_right_for_a_reader_beside_the_writer(void)
{
	uint64_t random = seed_get(), rounds = 0, fill = 1000;
	struct point_info held;
	struct fixture f;
	uint8_t *wanted;
	unsigned count;
	int status = 0, enough[2];
	pid_t child;

	ready(&f);
	for (unsigned i = 0; i < BLOCKS; i++)
		generation(&f, i, 100 + i);
	CU_ASSERT_EQUAL_FATAL(take(&f, "held"), 0);
	CU_ASSERT_EQUAL(fixture_settle(&f), 0);
	held = store_points(f.store, &count)[0];
	if (held.kind == POINT_CLONE) {
		fixture_release(&f); /* nothing of it moves */
		return;
	}
	wanted = image_content(&f, &held);
	CU_ASSERT_EQUAL_FATAL(pipe(enough), 0);
	child = fork();
	if (!child) {
		close(enough[1]);
		reader(&f, &held, wanted, enough[0]);
	}
	close(enough[0]);
	while (!waitpid(child, &status, WNOHANG)) {
		const struct point_info *points;
		char name[16];

		/* Another point takes the blocks; deleting one may move them to "held". */
		snprintf(name, sizeof(name), "n%llu", (unsigned long long)rounds++);
		CU_ASSERT_EQUAL(take(&f, name), 0);
		for (unsigned i = 0; i < 2; i++)
			generation(&f, (unsigned)draw(&random, BLOCKS), fill++);
		points = store_points(f.store, &count);
		if (count > 3)
			CU_ASSERT_EQUAL(delete(&f, points[1 + draw(&random, count - 1)].id), 0);
		if (rounds == 2) /* on a slow disk, too: the reader has seen some */
			close(enough[1]);
	}
	if (rounds < 2)
		close(enough[1]);
	CU_ASSERT_TRUE(WIFEXITED(status));
	CU_ASSERT_EQUAL(WEXITSTATUS(status), 0);
	CU_ASSERT_TRUE(rounds > 1);
	free(wanted);
	printf(" [seed %llu, %llu rounds] ", (unsigned long long)seed_get(),
	       (unsigned long long)rounds);
	fixture_release(&f);
}

/* --- XFS --- */

static void clones_keep_what_kept_points_keep(void)
{
	struct fixture f;
	unsigned count;

	if (!xfs_mount())
		return;
	ready(&f);
	CU_ASSERT_EQUAL(take(&f, "clone"), 0);
	CU_ASSERT_EQUAL(store_points(f.store, &count)[0].kind, POINT_CLONE);
	fixture_release(&f);
	every_point_keeps_its_generation();
	point_is_read_as_a_whole();
	point_that_is_read_is_not_deleted();
	promoted_store_takes_and_deletes_points();
	point_keeps_the_end_of_a_disk_that_grows();
	disk_that_went_stays_as_long_as_a_kept_point_needs_it();
	xfs_unmount();
}

int main(void)
{
	static const struct cunit_case cases[] = {
		{"every_point_keeps_its_generation", every_point_keeps_its_generation},
		{"point_is_read_as_a_whole", point_is_read_as_a_whole},
		{"point_that_is_read_is_not_deleted", point_that_is_read_is_not_deleted},
		{"take_refuses_what_cannot_be", take_refuses_what_cannot_be},
		{"damaged_point_json_is_refused", damaged_point_json_is_refused},
		{"damaged_point_stops_only_those_read_through_it",
		 damaged_point_stops_only_those_read_through_it},
		{"a_point_that_fails_is_given_up_beside_the_generations",
		 a_point_that_fails_is_given_up_beside_the_generations},
		{"a_point_that_cannot_be_read_does_not_stop_the_store",
		 a_point_that_cannot_be_read_does_not_stop_the_store},
		{"a_lost_entry_is_told_by_older_points", a_lost_entry_is_told_by_older_points},
		{"a_deletion_does_not_replace_what_is_better",
		 a_deletion_does_not_replace_what_is_better},
		{"a_lost_entry_of_zeros_does_not_give_the_head",
		 a_lost_entry_of_zeros_does_not_give_the_head},
		{"damaged_point_is_not_read", damaged_point_is_not_read},
		{"promoted_store_takes_and_deletes_points",
		 promoted_store_takes_and_deletes_points},
		{"point_keeps_the_end_of_a_disk_that_grows",
		 point_keeps_the_end_of_a_disk_that_grows},
		{"disk_that_went_stays_as_long_as_a_kept_point_needs_it",
		 disk_that_went_stays_as_long_as_a_kept_point_needs_it},
		{"point_is_right_for_a_reader_beside_the_writer",
		 point_is_right_for_a_reader_beside_the_writer},
		{"clones_keep_what_kept_points_keep", clones_keep_what_kept_points_keep},
	};

	return cunit_run("point", cases, sizeof(cases) / sizeof(cases[0]));
}
