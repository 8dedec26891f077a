/* SPDX-License-Identifier: Apache-2.0
 *
 * head: runs of content and zeros, tails of every size, failing files.
 */
#include "store_fixture.h"

#include "cunit_main.h"
#include "head.h"

#define BLOCKS 16u

struct heads_fixture {
	struct fixture f;
	struct store_spec spec;
	struct record_shape shape;
	struct heads heads;
	struct head_write write;
	uint8_t *data;
	uint64_t sums[BLOCKS];
	int status;
	bool done;
};

static void make_dirs(struct fixture *f)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/disks", f->dir);
	mkdir(path, 0700);
}

static void heads_init(struct heads_fixture *h, uint64_t size)
{
	memset(h, 0, sizeof(*h));
	fixture_init(&h->f);
	make_dirs(&h->f);
	h->spec = fixture_spec(size, 0);
	h->shape.block_bytes = FIXTURE_BLOCK;
	h->shape.disk_count = 1;
	h->shape.disk_bytes[0] = size;
	h->data = aligned_alloc(4096, (size_t)BLOCKS * FIXTURE_BLOCK);
	CU_ASSERT_EQUAL_FATAL(head_create(h->f.dir, &h->spec, 0, &h->f.err), 0);
	CU_ASSERT_EQUAL_FATAL(heads_open(&h->heads, h->f.ring, h->f.dir, &h->spec, &h->shape,
					 false, &h->f.err), 0);
}

static void heads_release(struct heads_fixture *h)
{
	heads_close(&h->heads);
	free(h->data);
	fixture_release(&h->f);
}

static void written(struct head_write *write, int status)
{
	struct heads_fixture *h = (struct heads_fixture *)(void *)((char *)write -
						offsetof(struct heads_fixture, write));

	h->done = true;
	h->status = status;
}

/* Blocks whose bit in MASK is set get content, the others are zeros. */
static int write_blocks(struct heads_fixture *h, uint64_t block, uint32_t count, unsigned mask)
{
	for (uint32_t i = 0; i < count; i++) {
		uint64_t offset = (block + i) * FIXTURE_BLOCK;
		uint32_t length = (uint32_t)record_blocks_bytes(&h->shape, 0, block + i, 1);
		uint8_t *data = h->data + (size_t)i * FIXTURE_BLOCK;

		fixture_pattern(data, offset, length, mask >> i & 1 ? 77 : 0);
		h->sums[i] = block_sum(data, length, offset);
	}
	h->write = (struct head_write){.heads = &h->heads, .block = block, .count = count,
				       .data = h->data, .sums = h->sums, .done = written};
	h->done = false;
	head_write_start(&h->write);
	while (!h->done)
		ring_run(h->f.ring);
	return h->status;
}

static void runs_of_content_and_zeros_land_where_they_belong(void)
{
	static const unsigned masks[] = {0xffff, 0, 0xaaaa, 0x5555, 0x0ff0, 0x8001, 0x7ffe};

	for (unsigned m = 0; m < sizeof(masks) / sizeof(masks[0]); m++) {
		struct heads_fixture h;

		heads_init(&h, BLOCKS * FIXTURE_BLOCK);
		CU_ASSERT_EQUAL(write_blocks(&h, 0, BLOCKS, 0xffff), 0);
		CU_ASSERT_EQUAL(write_blocks(&h, 0, BLOCKS, masks[m]), 0);
		for (unsigned i = 0; i < BLOCKS; i++)
			CU_ASSERT_TRUE(fixture_head_is(&h.f, "vda", (uint64_t)i * FIXTURE_BLOCK,
						       FIXTURE_BLOCK, masks[m] >> i & 1 ? 77 : 0));
		heads_release(&h);
	}
}

static void disk_of_any_sectors_keeps_its_tail(void)
{
	for (uint64_t sectors = 1; sectors <= 128; sectors += sectors < 10 ? 1 : 9) {
		const uint64_t tail = sectors * 512, size = 2 * FIXTURE_BLOCK + tail;
		struct heads_fixture h;
		struct stat status;
		char path[512];

		heads_init(&h, size);
		CU_ASSERT_EQUAL(write_blocks(&h, 1, 2, 3), 0);
		CU_ASSERT_TRUE(fixture_head_is(&h.f, "vda", FIXTURE_BLOCK, FIXTURE_BLOCK, 77));
		CU_ASSERT_TRUE(fixture_head_is(&h.f, "vda", 2 * FIXTURE_BLOCK, (uint32_t)tail, 77));
		CU_ASSERT_EQUAL(write_blocks(&h, 2, 1, 0), 0);
		CU_ASSERT_TRUE(fixture_head_is(&h.f, "vda", 2 * FIXTURE_BLOCK, (uint32_t)tail, 0));
		store_head_path(h.f.dir, "vda", path, sizeof(path));
		CU_ASSERT_EQUAL(stat(path, &status), 0);
		CU_ASSERT_EQUAL((uint64_t)status.st_size, size);
		heads_release(&h);
	}
}

static void failed_write_names_file_and_place(void)
{
	struct heads_fixture h;
	int fd;

	heads_init(&h, BLOCKS * FIXTURE_BLOCK);
	fd = h.heads.head[0].fd;
	h.heads.head[0].fd = open("/dev/full", O_WRONLY);
	CU_ASSERT_EQUAL(write_blocks(&h, 3, 2, 3), -ENOSPC);
	CU_ASSERT_PTR_NOT_NULL(strstr(h.write.error.text, "disks/vda"));
	CU_ASSERT_PTR_NOT_NULL(strstr(h.write.error.text, "block 3"));
	CU_ASSERT_PTR_NOT_NULL(strstr(h.write.error.text, "make room"));
	close(h.heads.head[0].fd);
	h.heads.head[0].fd = fd;
	CU_ASSERT_EQUAL(write_blocks(&h, 3, 2, 3), 0);
	heads_release(&h);
}

static void flush_covers_what_was_written(void)
{
	struct heads_fixture h;

	heads_init(&h, BLOCKS * FIXTURE_BLOCK);
	heads_flush(&h.heads, fixture_done, &h.f); /* nothing to do */
	CU_ASSERT_EQUAL(fixture_wait(&h.f), 0);
	CU_ASSERT_EQUAL(write_blocks(&h, 0, 1, 1), 0);
	CU_ASSERT_TRUE(h.heads.head[0].dirty);
	heads_flush(&h.heads, fixture_done, &h.f);
	CU_ASSERT_EQUAL(fixture_wait(&h.f), 0);
	CU_ASSERT_FALSE(h.heads.head[0].dirty);
	heads_release(&h);
}

int main(void)
{
	static const struct cunit_case cases[] = {
		{"runs_of_content_and_zeros_land_where_they_belong",
		 runs_of_content_and_zeros_land_where_they_belong},
		{"disk_of_any_sectors_keeps_its_tail", disk_of_any_sectors_keeps_its_tail},
		{"failed_write_names_file_and_place", failed_write_names_file_and_place},
		{"flush_covers_what_was_written", flush_covers_what_was_written},
	};

	return cunit_run("head", cases, sizeof(cases) / sizeof(cases[0]));
}
