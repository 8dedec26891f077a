/* SPDX-License-Identifier: Apache-2.0
 *
 * What is wrong with a head is seen block by block, and a good block heals it.
 */
#include "store_fixture.h"

#include "cunit_main.h"
#include "repair.h"

#define MIB (UINT64_C(1) << 20)
#define SIZE (4 * MIB + 1536) /* a tail that is no block */
#define BLOCK FIXTURE_BLOCK
#define BLOCKS 65
#define TAIL 64

static struct repair repair;
static struct repair_block blocks[BLOCKS];

/* Generation 1: block 0 is FILL 1, blocks 2 to 5 FILL 2, the tail FILL 3; zeros else. */
static void begin(struct fixture *f)
{
	fixture_init(f);
	fixture_create(f, SIZE, 0);
	fixture_fill(f, 1);
	fixture_begin(f);
	fixture_put(f, store_sink(f->store), 0, 2 * BLOCK, 4 * BLOCK, 2);
	fixture_put(f, store_sink(f->store), 0, 4 * MIB, 1536, 3);
	CU_ASSERT_EQUAL_FATAL(fixture_commit(f, 1), 0);
	CU_ASSERT_EQUAL_FATAL(fixture_settle(f), 0);
}

static void harm(struct fixture *f, const char *file, uint64_t offset, const char *text)
{
	char path[512];
	int fd;

	snprintf(path, sizeof(path), "%s/disks/vda/%s", f->dir, file);
	fd = open(path, O_WRONLY);
	CU_ASSERT_EQUAL(pwrite(fd, text, strlen(text), (off_t)offset), (ssize_t)strlen(text));
	fsync(fd);
	close(fd);
}

static int inspect(struct fixture *f, uint64_t block, uint32_t count)
{
	struct buf *buf = pool_get(f->pool);
	int status;

	f->done = false;
	repair_inspect(&repair, f->store, 0, block, count, blocks, buf, fixture_done, f);
	status = fixture_wait(f);
	pool_put(f->pool, buf);
	return status;
}

/* FILL as fixture_put() would have put it. */
static int heal(struct fixture *f, uint64_t block, uint32_t length, uint64_t fill)
{
	struct buf *buf = pool_get(f->pool);
	int status;

	if (fill)
		fixture_pattern(buf->data, block * BLOCK, length, fill);
	else
		memset(buf->data, 0, length);
	buf->sums[0] = block_sum(buf->data, length, block * BLOCK);
	f->done = false;
	repair_write(&repair, f->store, 0, block, buf, fixture_done, f);
	status = fixture_wait(f);
	pool_put(f->pool, buf);
	return status;
}

static unsigned wrong(uint64_t *where)
{
	unsigned count = 0;

	for (unsigned i = 0; i < BLOCKS; i++) {
		if (!blocks[i].status && blocks[i].own == blocks[i].stored)
			continue;
		count++;
		*where = i;
	}
	return count;
}

static void a_good_head_verifies_to_its_last_block(void)
{
	struct fixture f;
	uint64_t where;

	begin(&f);
	CU_ASSERT_EQUAL(inspect(&f, 0, BLOCKS), 0);
	CU_ASSERT_EQUAL(wrong(&where), 0);
	CU_ASSERT_NOT_EQUAL(blocks[TAIL].stored, SUM_ZERO);
	fixture_release(&f);
}

static void a_changed_byte_is_found_and_healed(void)
{
	const struct { uint64_t block, fill; uint32_t length; } cases[] = {
		{0, 1, BLOCK}, {5, 2, BLOCK}, {9, 0, BLOCK}, {TAIL, 3, 1536}};
	struct fixture f;
	uint64_t where = 0;

	begin(&f);
	for (unsigned i = 0; i < 4; i++) {
		harm(&f, "head.raw", cases[i].block * BLOCK + 777, "harm");
		CU_ASSERT_EQUAL(inspect(&f, 0, BLOCKS), 0);
		CU_ASSERT_EQUAL(wrong(&where), 1);
		CU_ASSERT_EQUAL(where, cases[i].block);
		CU_ASSERT_EQUAL(heal(&f, cases[i].block, cases[i].length, cases[i].fill), 0);
		CU_ASSERT_EQUAL(inspect(&f, 0, BLOCKS), 0);
		CU_ASSERT_EQUAL(wrong(&where), 0);
	}
	CU_ASSERT_TRUE(fixture_head_is(&f, "vda", 4 * MIB, 1536, 3));
	fixture_release(&f);
}

static void a_changed_sum_is_found_and_healed(void)
{
	struct fixture f;
	uint64_t where = 0;

	begin(&f);
	harm(&f, "sums", 3 * 8, "harmharm");
	CU_ASSERT_EQUAL(inspect(&f, 0, BLOCKS), 0);
	CU_ASSERT_EQUAL(wrong(&where), 1);
	CU_ASSERT_EQUAL(where, 3);
	CU_ASSERT_EQUAL(heal(&f, 3, BLOCK, 2), 0);
	CU_ASSERT_EQUAL(inspect(&f, 0, BLOCKS), 0);
	CU_ASSERT_EQUAL(wrong(&where), 0);
	fixture_release(&f);
}

/* A head that somebody cut: its blocks cannot be read, the others can. */
static void a_short_head_is_no_error_of_the_others(void)
{
	struct fixture f;
	char path[512];

	begin(&f);
	snprintf(path, sizeof(path), "%s/disks/vda/head.raw", f.dir);
	CU_ASSERT_EQUAL(truncate(path, 4 * BLOCK), 0);
	CU_ASSERT_EQUAL(inspect(&f, 0, BLOCKS), 0);
	for (unsigned i = 0; i < BLOCKS; i++)
		CU_ASSERT_EQUAL(blocks[i].status, i < 4 ? 0 : -ENODATA);
	fixture_release(&f);
}

static void short_sums_are_an_error(void)
{
	struct fixture f;
	char path[512];

	begin(&f);
	snprintf(path, sizeof(path), "%s/disks/vda/sums", f.dir);
	CU_ASSERT_EQUAL(truncate(path, 16), 0);
	CU_ASSERT_EQUAL(inspect(&f, 0, BLOCKS), -EUCLEAN);
	CU_ASSERT_PTR_NOT_NULL(strstr(f.error.text, "too short"));
	fixture_release(&f);
}

static const struct cunit_case cases[] = {
	{"a_good_head_verifies_to_its_last_block", a_good_head_verifies_to_its_last_block},
	{"a_changed_byte_is_found_and_healed", a_changed_byte_is_found_and_healed},
	{"a_changed_sum_is_found_and_healed", a_changed_sum_is_found_and_healed},
	{"a_short_head_is_no_error_of_the_others", a_short_head_is_no_error_of_the_others},
	{"short_sums_are_an_error", short_sums_are_an_error},
};

int main(void)
{
	return cunit_run("repair", cases, sizeof(cases) / sizeof(cases[0]));
}
