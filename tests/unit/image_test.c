/* SPDX-License-Identifier: Apache-2.0
 *
 * Images of heads and of clones: what imagecopy hands on, what it leaves out, and
 * what it says about blocks that are damaged or cannot be read.
 */
#include "store_fixture.h"

#include "cunit_main.h"
#include "file.h"
#include "image_private.h"
#include "keep_files.h"
#include "member.h"
#include "point_json.h"

#define BLOCK FIXTURE_BLOCK
#define BLOCKS 67u
#define TAIL 1536u /* of the last block: one direct page less than none */
#define SIZE ((uint64_t)(BLOCKS - 1) * BLOCK + TAIL)
#define POINT_ID 7u

/* --- reads that fail (ring_read is wrapped) --- */

static unsigned fail_read; /* this one from now on gives -EIO; 0: none */
static bool fail_rest;	   /* and all behind it */

void __real_ring_read(struct ring *ring, struct ring_op *op, int fd, void *buffer, uint32_t length,
		      uint64_t offset);
void __wrap_ring_read(struct ring *ring, struct ring_op *op, int fd, void *buffer, uint32_t length,
		      uint64_t offset);
void __wrap_ring_read(struct ring *ring, struct ring_op *op, int fd, void *buffer, uint32_t length,
		      uint64_t offset)
{
	static int dead_fd = -1;
	bool fail = fail_read == 1;

	if (fail_read > 1 || (fail_read && !fail_rest))
		fail_read--;
	if (dead_fd < 0)
		dead_fd = open("/proc/self/mem", O_RDONLY | O_CLOEXEC); /* page 0: -EIO */
	if (fail)
		fd = dead_fd;
	__real_ring_read(ring, op, fd, buffer, length, fail ? 0 : offset);
}

static int bad_fd = -1; /* nothing can be read from it */

int64_t __real_file_read(int fd, void *buffer, size_t length, uint64_t offset);
int64_t __wrap_file_read(int fd, void *buffer, size_t length, uint64_t offset);
int64_t __wrap_file_read(int fd, void *buffer, size_t length, uint64_t offset)
{
	return fd >= 0 && fd == bad_fd ? -EIO : __real_file_read(fd, buffer, length, offset);
}

/* --- a sink that notes --- */

struct noting_sink {
	struct copy_sink sink;
	struct pool *pool;
	unsigned got[BLOCKS];	/* how often each block came with content */
	bool right[BLOCKS];	/* and it was the pattern */
	unsigned bad_count;
	uint64_t bad_offset;
	uint32_t bad_length;
	int bad_status, bad_answer, data_answer;
};

static uint64_t block_fill(uint32_t block)
{
	return block % 5 == 3 ? 0 : block + 1; /* every fifth is zeros */
}

static uint32_t block_length(uint32_t block)
{
	return block == BLOCKS - 1 ? TAIL : BLOCK;
}

static int note_data(struct copy_sink *sink, unsigned disk, uint64_t offset, uint32_t length,
		     struct buf *buf, struct errinfo *err)
{
	struct noting_sink *s = member_of(sink, struct noting_sink, sink);
	static uint8_t wanted[BLOCK];

	CU_ASSERT_EQUAL(disk, 4);
	for (uint32_t at = 0; at < length; at += BLOCK) {
		uint32_t block = (uint32_t)((offset + at) / BLOCK);

		CU_ASSERT_FATAL(block < BLOCKS && offset + length <= SIZE);
		if (buf->sums[at / BLOCK] == SUM_ZERO) {
			CU_ASSERT_TRUE(block_is_zero(buf->data + at, block_length(block)));
			continue;
		}
		fixture_pattern(wanted, offset + at, block_length(block), block_fill(block));
		s->got[block]++;
		s->right[block] = !memcmp(buf->data + at, wanted, block_length(block));
	}
	pool_put(s->pool, buf);
	return s->data_answer ? err_set(err, s->data_answer, "the target is full") : 0;
}

static int note_bad(struct copy_sink *sink, unsigned disk, uint64_t offset, uint32_t length,
		    int status)
{
	struct noting_sink *s = member_of(sink, struct noting_sink, sink);

	s->bad_count++;
	s->bad_offset = offset;
	s->bad_length = length;
	s->bad_status = status;
	return s->bad_answer;
}

/* --- the fixture: a store of one generation, and a clone of it --- */

struct image_fixture {
	struct fixture f;
	struct noting_sink noting;
	struct image *image;
	struct point_info point;
	struct imagecopy *copy;
};

static void setup(struct image_fixture *t)
{
	memset(t, 0, sizeof(*t));
	fixture_init(&t->f);
	fixture_create(&t->f, SIZE, 0);
	CU_ASSERT_EQUAL_FATAL(store_fill_begin(t->f.store, &t->f.err), 0);
	for (uint32_t block = 0; block < BLOCKS; block++) {
		if (block_fill(block))
			fixture_put(&t->f, store_fill_sink(t->f.store), 0, block * (uint64_t)BLOCK,
				    block_length(block), block_fill(block));
	}
	store_fill_end(t->f.store, fixture_done, &t->f);
	CU_ASSERT_EQUAL_FATAL(fixture_wait(&t->f), 0);
	store_close(t->f.store);
	t->f.store = NULL;
	t->noting.sink.data = note_data;
	t->noting.pool = t->f.pool;
}

static void teardown(struct image_fixture *t)
{
	fail_read = 0;
	image_close(t->image);
	fixture_release(&t->f);
}

/* What a point on a file system that shares blocks looks like. */
static void clone_make(struct image_fixture *t)
{
	char command[1024];

	snprintf(command, sizeof(command),
		 "mkdir -p '%s/points/%08u' && cp -r '%s/disks/vda' '%s/points/%08u/vda'", t->f.dir,
		 POINT_ID, t->f.dir, t->f.dir, POINT_ID);
	CU_ASSERT_EQUAL_FATAL(system(command), 0);
	t->point.id = POINT_ID;
	strcpy(t->point.name, "before");
	t->point.kind = POINT_CLONE;
	t->point.disk_count = 1;
	strcpy(t->point.disks[0].name, "vda");
	t->point.disks[0].size = SIZE;
}

static void image_get(struct image_fixture *t, const struct point_info *point)
{
	CU_ASSERT_EQUAL_FATAL(
		image_open(&t->image, t->f.ring, t->f.dir, point, "vda", &t->f.err), 0);
	CU_ASSERT_EQUAL(image_size(t->image), SIZE);
	CU_ASSERT_EQUAL(image_block_bytes(t->image), BLOCK);
}

static int range_run(struct image_fixture *t, uint64_t first, uint64_t end, const uint8_t *wanted,
		     unsigned depth)
{
	struct imagecopy_range range = {first, end, wanted};

	CU_ASSERT_EQUAL_FATAL(imagecopy_start_range(&t->copy, t->image, t->f.pool, 4, depth, &range,
						    &t->noting.sink, fixture_done, &t->f,
						    &t->f.err),
			      0);
	return fixture_wait(&t->f);
}

static int copy_run(struct image_fixture *t, unsigned depth)
{
	return range_run(t, 0, BLOCKS, NULL, depth);
}

/* Every block from FROM on that is not zeros came once and right, but LOST. */
static void check_got(const struct image_fixture *t, uint32_t from, int lost)
{
	for (uint32_t block = 0; block < BLOCKS; block++) {
		bool wanted = block >= from && block_fill(block) && (int)block != lost;

		CU_ASSERT_EQUAL(t->noting.got[block], wanted ? 1 : 0);
		CU_ASSERT_EQUAL(t->noting.right[block], wanted);
	}
}

static void flip(struct image_fixture *t, const char *file, uint64_t offset)
{
	char path[512];
	uint8_t byte;
	int fd;

	snprintf(path, sizeof(path), "%s/disks/vda/%s", t->f.dir, file);
	fd = open(path, O_RDWR);
	CU_ASSERT_EQUAL_FATAL(pread(fd, &byte, 1, (off_t)offset), 1);
	byte ^= 0x10;
	CU_ASSERT_EQUAL_FATAL(pwrite(fd, &byte, 1, (off_t)offset), 1);
	close(fd);
}

/* --- the cases --- */

static void heads_arrive_whole(void)
{
	struct image_fixture t;

	setup(&t);
	image_get(&t, NULL);
	CU_ASSERT_PTR_NOT_NULL(strstr(image_label(t.image), "disk vda"));
	CU_ASSERT_EQUAL(copy_run(&t, 8), 0);
	check_got(&t, 0, -1);
	CU_ASSERT_EQUAL(imagecopy_progress(t.copy)->scanned, SIZE);
	CU_ASSERT_EQUAL(imagecopy_progress(t.copy)->bad_bytes, 0);
	imagecopy_free(t.copy);
	teardown(&t);
}

static void more_reads_than_buffers_wait_for_them(void)
{
	struct image_fixture t;

	setup(&t);
	image_get(&t, NULL);
	CU_ASSERT_EQUAL(copy_run(&t, IMAGECOPY_DEPTH_MAX), 0);
	check_got(&t, 0, -1);
	imagecopy_free(t.copy);
	teardown(&t);
}

static void a_part_of_the_blocks_can_be_copied(void)
{
	struct image_fixture t;
	uint8_t wanted[2] = {0xa4, 0x02}; /* blocks 42, 45, 47, 49 */

	setup(&t);
	image_get(&t, NULL);
	CU_ASSERT_EQUAL(range_run(&t, 40, 56, wanted, 3), 0);
	for (uint32_t block = 0; block < BLOCKS; block++)
		CU_ASSERT_EQUAL(t.noting.got[block],
				block == 42 || block == 45 || block == 47 || block == 49);
	CU_ASSERT_EQUAL(imagecopy_progress(t.copy)->scanned, 16 * BLOCK);
	imagecopy_free(t.copy);
	memset(t.noting.got, 0, sizeof(t.noting.got));
	memset(t.noting.right, 0, sizeof(t.noting.right));
	CU_ASSERT_EQUAL(range_run(&t, 40, BLOCKS, NULL, 3), 0);
	check_got(&t, 40, -1);
	imagecopy_free(t.copy);
	CU_ASSERT_EQUAL(range_run(&t, BLOCKS, BLOCKS, NULL, 3), 0); /* nothing */
	imagecopy_free(t.copy);
	teardown(&t);
}

static void a_clone_is_read_and_not_the_head(void)
{
	struct image_fixture t;

	setup(&t);
	clone_make(&t);
	flip(&t, "head.raw", 5);
	flip(&t, "sums", 8);
	image_get(&t, &t.point);
	CU_ASSERT_PTR_NOT_NULL(strstr(image_label(t.image), "point before"));
	CU_ASSERT_EQUAL(copy_run(&t, 4), 0);
	check_got(&t, 0, -1);
	imagecopy_free(t.copy);
	teardown(&t);
}

/* Without them nothing can be given out as good: all is listed, and no end of it. */
static void sums_that_cannot_be_read_are_salvaged(void)
{
	struct image_fixture t;

	setup(&t);
	image_get(&t, NULL);
	bad_fd = t.image->sums_fd;
	t.noting.sink.bad = note_bad;
	CU_ASSERT_EQUAL(copy_run(&t, 4), -EIO);
	imagecopy_free(t.copy);
	image_salvage(t.image);
	CU_ASSERT_EQUAL(copy_run(&t, 4), 0);
	bad_fd = -1;
	CU_ASSERT_EQUAL(t.noting.bad_count, BLOCKS);
	CU_ASSERT_EQUAL(imagecopy_progress(t.copy)->bad_bytes, SIZE);
	for (unsigned i = 0; i < BLOCKS; i++)
		CU_ASSERT_EQUAL(t.noting.got[i], 0);
	imagecopy_free(t.copy);
	teardown(&t);
}

static void one_flipped_bit(uint32_t block, uint32_t at)
{
	struct image_fixture t;
	char address[32];

	setup(&t);
	flip(&t, "head.raw", block * (uint64_t)BLOCK + at);
	image_get(&t, NULL);
	CU_ASSERT_EQUAL(copy_run(&t, 4), -EUCLEAN); /* without bad(): the end */
	snprintf(address, sizeof(address), "block %u ", block);
	CU_ASSERT_PTR_NOT_NULL(strstr(t.f.error.text, address));
	CU_ASSERT_PTR_NOT_NULL(strstr(t.f.error.text, "checksum"));
	imagecopy_free(t.copy);
	CU_ASSERT_FALSE(t.noting.right[block]);

	memset(t.noting.got, 0, sizeof(t.noting.got));
	memset(t.noting.right, 0, sizeof(t.noting.right));
	t.noting.sink.bad = note_bad;
	CU_ASSERT_EQUAL(copy_run(&t, 4), 0);
	check_got(&t, 0, (int)block);
	CU_ASSERT_EQUAL(t.noting.bad_count, 1);
	CU_ASSERT_EQUAL(t.noting.bad_status, -EUCLEAN);
	CU_ASSERT_EQUAL(t.noting.bad_offset, block * (uint64_t)BLOCK);
	CU_ASSERT_EQUAL(t.noting.bad_length, block_length(block));
	CU_ASSERT_EQUAL(imagecopy_progress(t.copy)->bad_bytes, block_length(block));
	imagecopy_free(t.copy);

	t.noting.bad_answer = -ENOTRECOVERABLE;
	CU_ASSERT_EQUAL(copy_run(&t, 4), -ENOTRECOVERABLE);
	imagecopy_free(t.copy);
	teardown(&t);
}

static void a_flipped_bit_is_found_wherever_it_is(void)
{
	one_flipped_bit(0, 0);
	one_flipped_bit(11, BLOCK - 1);
	one_flipped_bit(12, 4096);
	one_flipped_bit(14, 77);
	one_flipped_bit(BLOCKS - 1, TAIL - 1); /* in the tail that O_DIRECT cannot read */
}

static void a_flipped_sum_is_found(void)
{
	struct image_fixture t;

	setup(&t);
	flip(&t, "sums", 8 * 20 + 3);
	t.noting.sink.bad = note_bad;
	image_get(&t, NULL);
	CU_ASSERT_EQUAL(copy_run(&t, 4), 0);
	CU_ASSERT_EQUAL(t.noting.bad_count, 1);
	CU_ASSERT_EQUAL(t.noting.bad_offset, 20 * (uint64_t)BLOCK);
	check_got(&t, 0, 20);
	imagecopy_free(t.copy);
	teardown(&t);
}

static void zeros_that_should_be_content_are_found(void)
{
	struct image_fixture t;
	char path[512];
	int fd;

	setup(&t);
	store_head_path(t.f.dir, "vda", path, sizeof(path));
	fd = open(path, O_RDWR);
	CU_ASSERT_EQUAL(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 6 * BLOCK, BLOCK),
			0);
	close(fd);
	t.noting.sink.bad = note_bad;
	image_get(&t, NULL);
	CU_ASSERT_EQUAL(copy_run(&t, 4), 0);
	CU_ASSERT_EQUAL(t.noting.bad_offset, 6 * (uint64_t)BLOCK);
	check_got(&t, 0, 6);
	imagecopy_free(t.copy);
	teardown(&t);
}

static void file_put(struct image_fixture *t, const char *file, const void *data, size_t length,
		     uint64_t offset)
{
	char path[512];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", t->f.dir, file);
	fd = open(path, O_RDWR | O_CREAT, 0600);
	CU_ASSERT_EQUAL(pwrite(fd, data, length, (off_t)offset), (ssize_t)length);
	close(fd);
}

/* A sum that became zero says that the block is zeros; the head has data there. */
static void lost_sum(uint32_t block, const struct imagecopy_range *range)
{
	static const uint64_t zero;
	struct image_fixture t;
	char address[32];

	setup(&t);
	file_put(&t, "disks/vda/sums", &zero, 8, 8 * (uint64_t)block);
	image_get(&t, NULL);
	CU_ASSERT_EQUAL(range_run(&t, range->first, range->end, range->wanted, 4), -EUCLEAN);
	snprintf(address, sizeof(address), "block %u ", block);
	CU_ASSERT_PTR_NOT_NULL(strstr(t.f.error.text, address));
	imagecopy_free(t.copy);
	t.noting.sink.bad = note_bad;
	CU_ASSERT_EQUAL(range_run(&t, range->first, range->end, range->wanted, 4), 0);
	CU_ASSERT_EQUAL(t.noting.bad_count, 1);
	CU_ASSERT_EQUAL(t.noting.bad_offset, block * (uint64_t)BLOCK);
	CU_ASSERT_EQUAL(t.noting.bad_length, block_length(block));
	CU_ASSERT_EQUAL(t.noting.got[block], 0);
	imagecopy_free(t.copy);
	teardown(&t);
}

static void a_lost_sum_does_not_pass_for_zeros(void)
{
	static const uint8_t none[9];
	const struct imagecopy_range all = {0, BLOCKS, NULL}, unwanted = {0, BLOCKS, none};

	lost_sum(0, &all);
	lost_sum(22, &all); /* beside blocks that are zeros */
	lost_sum(24, &all);
	lost_sum(BLOCKS - 1, &all);
	lost_sum(25, &unwanted); /* a target that has zeros there */
}

static void zeros_that_occupy_room_are_zeros(void)
{
	static const uint8_t zeros[2 * BLOCK];
	struct image_fixture t;

	setup(&t);
	CU_ASSERT_EQUAL(block_fill(8), 0);
	file_put(&t, "disks/vda/head.raw", zeros, BLOCK, 8 * BLOCK);
	image_get(&t, NULL);
	CU_ASSERT_EQUAL(copy_run(&t, 4), 0);
	check_got(&t, 0, -1);
	imagecopy_free(t.copy);
	teardown(&t);
}

/* --- a kept point --- */

#define KEPT 21u /* the block that it keeps, because the head has another one now */
#define KEPT_DIR "points/00000007/"

static void block_now(struct image_fixture *t, const char *file, uint32_t block, uint64_t fill)
{
	static uint8_t data[BLOCK];

	fixture_pattern(data, block * (uint64_t)BLOCK, block_length(block), fill);
	file_put(t, file, data, block_length(block), block * (uint64_t)BLOCK);
}

static uint64_t pattern_sum(uint32_t block, uint64_t fill)
{
	static uint8_t data[BLOCK];

	fixture_pattern(data, block * (uint64_t)BLOCK, block_length(block), fill);
	return block_sum(data, block_length(block), block * (uint64_t)BLOCK);
}

static void kept_make(struct image_fixture *t)
{
	uint64_t serial[2] = {1, POINT_ID}, entry = keep_entry(pattern_sum(KEPT, block_fill(KEPT)));
	uint64_t sum = pattern_sum(KEPT, 999);
	char path[512], *json;

	clone_make(t);
	t->point.kind = POINT_KEPT;
	t->point.generation = 1;
	json = point_json_format(&t->point);
	file_put(t, KEPT_DIR "point.json", json, strlen(json), 0);
	free(json);
	file_put(t, "points/serial", serial, sizeof(serial), 0);
	file_put(t, KEPT_DIR "vda/kept", &entry, 8, 8 * KEPT);
	snprintf(path, sizeof(path), "%s/" KEPT_DIR "vda/kept", t->f.dir);
	CU_ASSERT_EQUAL(truncate(path, 8 * BLOCKS), 0);
	block_now(t, KEPT_DIR "vda/kept.raw", KEPT, block_fill(KEPT));
	snprintf(path, sizeof(path), "%s/" KEPT_DIR "vda/kept.raw", t->f.dir);
	CU_ASSERT_EQUAL(truncate(path, SIZE), 0);
	block_now(t, "disks/vda/head.raw", KEPT, 999);
	file_put(t, "disks/vda/sums", &sum, 8, 8 * KEPT);
}

static void a_kept_block_is_not_that_of_the_head(void)
{
	struct image_fixture t;

	setup(&t);
	kept_make(&t);
	/* Content came before its entry, and the head did not change yet. */
	block_now(&t, KEPT_DIR "vda/kept.raw", 30, block_fill(30));
	image_get(&t, &t.point);
	CU_ASSERT_EQUAL(copy_run(&t, 4), 0);
	check_got(&t, 0, -1);
	imagecopy_free(t.copy);
	teardown(&t);
}

static void a_lost_entry_does_not_give_the_head(void)
{
	static const uint64_t zero;
	struct image_fixture t;

	setup(&t);
	kept_make(&t);
	file_put(&t, KEPT_DIR "vda/kept", &zero, 8, 8 * KEPT);
	image_get(&t, &t.point);
	t.noting.sink.bad = note_bad;
	CU_ASSERT_EQUAL(copy_run(&t, 4), 0);
	CU_ASSERT_EQUAL(t.noting.bad_count, 1);
	CU_ASSERT_EQUAL(t.noting.bad_offset, KEPT * (uint64_t)BLOCK);
	check_got(&t, 0, KEPT);
	imagecopy_free(t.copy);
	teardown(&t);
}

/* An entry that says zeros while the point has content. */
static void a_kept_zero_with_content_is_found(void)
{
	uint64_t entry = KEEP_ZERO;
	struct image_fixture t;

	setup(&t);
	kept_make(&t);
	file_put(&t, KEPT_DIR "vda/kept", &entry, 8, 8 * KEPT);
	image_get(&t, &t.point);
	t.noting.sink.bad = note_bad;
	CU_ASSERT_EQUAL(copy_run(&t, 4), 0);
	CU_ASSERT_EQUAL(t.noting.bad_count, 1);
	check_got(&t, 0, KEPT);
	imagecopy_free(t.copy);
	teardown(&t);
}

/* Nor one where the point has nothing at all, as a page of ones makes it. */
static void a_kept_zero_without_its_mark_is_found(void)
{
	const uint64_t entry = KEEP_ZERO, first = KEPT + 1;
	struct image_fixture t;

	setup(&t);
	kept_make(&t);
	file_put(&t, KEPT_DIR "vda/kept", &entry, 8, 8 * first);
	image_get(&t, &t.point);
	t.noting.sink.bad = note_bad;
	CU_ASSERT_EQUAL(copy_run(&t, 4), 0);
	CU_ASSERT_EQUAL(t.noting.bad_count, 1);
	CU_ASSERT_EQUAL(t.noting.bad_offset, first * BLOCK);
	check_got(&t, 0, (int)first);
	imagecopy_free(t.copy);
	teardown(&t);
}

/* A read that fails once is done again block by block, and nothing is lost. */
static void one_failed_read_loses_nothing(void)
{
	for (unsigned n = 1; n < 20; n++) {
		struct image_fixture t;

		setup(&t);
		image_get(&t, NULL);
		t.noting.sink.bad = note_bad;
		fail_read = n;
		fail_rest = false;
		CU_ASSERT_EQUAL(copy_run(&t, 3), 0);
		CU_ASSERT_EQUAL(t.noting.bad_count, 0);
		check_got(&t, 0, -1);
		imagecopy_free(t.copy);
		teardown(&t);
	}
}

static void a_dead_disk_ends_the_copy_with_the_address(void)
{
	struct image_fixture t;

	setup(&t);
	image_get(&t, NULL);
	fail_read = 3;
	fail_rest = true;
	CU_ASSERT_EQUAL(copy_run(&t, 3), -EIO);
	CU_ASSERT_PTR_NOT_NULL(strstr(t.f.error.text, "cannot be read: Input/output error"));
	imagecopy_free(t.copy);
	teardown(&t);
}

static void a_dead_disk_can_be_listed(void)
{
	struct image_fixture t;

	setup(&t);
	image_get(&t, NULL);
	t.noting.sink.bad = note_bad;
	fail_read = 1;
	fail_rest = true;
	CU_ASSERT_EQUAL(copy_run(&t, 3), 0);
	CU_ASSERT_EQUAL(t.noting.bad_status, -EIO);
	CU_ASSERT_EQUAL(t.noting.bad_count, BLOCKS - (BLOCKS + 1) / 5);
	imagecopy_free(t.copy);
	teardown(&t);
}

static void a_target_that_fails_ends_the_copy(void)
{
	struct image_fixture t;

	setup(&t);
	image_get(&t, NULL);
	t.noting.data_answer = -ENOSPC;
	CU_ASSERT_EQUAL(copy_run(&t, 5), -ENOSPC);
	CU_ASSERT_STRING_EQUAL(t.f.error.text, "the target is full");
	imagecopy_free(t.copy);
	teardown(&t);
}

static void a_cancelled_copy_ends(void)
{
	struct image_fixture t;

	setup(&t);
	image_get(&t, NULL);
	CU_ASSERT_EQUAL_FATAL(imagecopy_start(&t.copy, t.image, t.f.pool, 4, 3, &t.noting.sink,
					      fixture_done, &t.f, &t.f.err),
			      0);
	imagecopy_cancel(t.copy);
	CU_ASSERT_EQUAL(fixture_wait(&t.f), -ECANCELED);
	imagecopy_free(t.copy);
	teardown(&t);
}

static void files_of_another_size_are_refused(void)
{
	static const char *const files[] = {"head.raw", "sums"};

	for (unsigned i = 0; i < 2; i++) {
		struct image_fixture t;
		char path[512];

		setup(&t);
		snprintf(path, sizeof(path), "%s/disks/vda/%s", t.f.dir, files[i]);
		CU_ASSERT_EQUAL(truncate(path, 512), 0);
		CU_ASSERT_EQUAL(image_open(&t.image, t.f.ring, t.f.dir, NULL, "vda", &t.f.err),
				-EUCLEAN);
		CU_ASSERT_PTR_NOT_NULL(strstr(t.f.err.text, files[i]));
		CU_ASSERT_PTR_NULL(t.image);
		CU_ASSERT_EQUAL(unlink(path), 0);
		err_clear(&t.f.err);
		CU_ASSERT_EQUAL(image_open(&t.image, t.f.ring, t.f.dir, NULL, "vda", &t.f.err),
				-ENOENT);
		teardown(&t);
	}
}

static void a_head_cut_while_it_is_read_is_an_error(void)
{
	struct image_fixture t;
	char path[512];

	setup(&t);
	image_get(&t, NULL);
	store_head_path(t.f.dir, "vda", path, sizeof(path));
	CU_ASSERT_EQUAL(truncate(path, 20 * BLOCK), 0);
	CU_ASSERT_EQUAL(copy_run(&t, 4), -EUCLEAN);
	imagecopy_free(t.copy);
	snprintf(path, sizeof(path), "%s/disks/vda/sums", t.f.dir);
	CU_ASSERT_EQUAL(truncate(path, 8), 0);
	CU_ASSERT_EQUAL(copy_run(&t, 4), -EUCLEAN);
	CU_ASSERT_PTR_NOT_NULL(strstr(t.f.error.text, "sums end at block 1"));
	imagecopy_free(t.copy);
	teardown(&t);
}

static void an_unknown_disk_is_refused(void)
{
	struct image_fixture t;

	setup(&t);
	CU_ASSERT_EQUAL(image_open(&t.image, t.f.ring, t.f.dir, NULL, "vdz", &t.f.err), -ENOENT);
	CU_ASSERT_PTR_NOT_NULL(strstr(t.f.err.text, "has no disk vdz"));
	teardown(&t);
}

int main(void)
{
	static const struct cunit_case cases[] = {
		{"heads arrive whole", heads_arrive_whole},
		{"more reads than buffers wait for them", more_reads_than_buffers_wait_for_them},
		{"a part of the blocks can be copied", a_part_of_the_blocks_can_be_copied},
		{"a clone is read and not the head", a_clone_is_read_and_not_the_head},
		{"a flipped bit is found wherever it is", a_flipped_bit_is_found_wherever_it_is},
		{"a flipped sum is found", a_flipped_sum_is_found},
		{"zeros that should be content are found", zeros_that_should_be_content_are_found},
		{"a lost sum does not pass for zeros", a_lost_sum_does_not_pass_for_zeros},
		{"zeros that occupy room are zeros", zeros_that_occupy_room_are_zeros},
		{"a kept block is not that of the head", a_kept_block_is_not_that_of_the_head},
		{"a lost entry does not give the head", a_lost_entry_does_not_give_the_head},
		{"sums that cannot be read are salvaged", sums_that_cannot_be_read_are_salvaged},
		{"a kept zero with content is found", a_kept_zero_with_content_is_found},
		{"a kept zero without its mark is found", a_kept_zero_without_its_mark_is_found},
		{"one failed read loses nothing", one_failed_read_loses_nothing},
		{"a dead disk ends the copy with the address",
		 a_dead_disk_ends_the_copy_with_the_address},
		{"a dead disk can be listed", a_dead_disk_can_be_listed},
		{"a target that fails ends the copy", a_target_that_fails_ends_the_copy},
		{"a cancelled copy ends", a_cancelled_copy_ends},
		{"files of another size are refused", files_of_another_size_are_refused},
		{"a head cut while it is read is an error", a_head_cut_while_it_is_read_is_an_error},
		{"an unknown disk is refused", an_unknown_disk_is_refused},
	};

	return cunit_run("image", cases, sizeof(cases) / sizeof(cases[0]));
}
