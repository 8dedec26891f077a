/* SPDX-License-Identifier: Apache-2.0
 *
 * journal: the recovery as a table of cases, every byte of a generation, and the
 * writing of generations larger than everything that is bounded.
 */
#include "store_fixture.h"

#include "cunit_main.h"
#include "file.h"
#include "journal.h"

#define BLOCK 4096u
#define AREA_BYTES (8 * BLOCK)

/* --- areas in memory --- */

struct area {
	struct journal_reader reader;
	uint8_t bytes[AREA_BYTES];
	uint64_t size;
	bool unread[AREA_BYTES / RECORD_PAGE]; /* pages that give EIO */
};

static int64_t area_read(struct journal_reader *reader, void *buffer, uint32_t length,
			 uint64_t offset)
{
	struct area *area = (struct area *)(void *)reader;

	if (offset >= area->size)
		return 0;
	if (length > area->size - offset)
		length = (uint32_t)(area->size - offset);
	for (uint64_t at = offset; at < offset + length; at += RECORD_PAGE)
		if (area->unread[at / RECORD_PAGE])
			return -EIO;
	memcpy(buffer, area->bytes + offset, length);
	return length;
}

static const struct record_shape shape = {
	.store = "sixteen bytes!!", .block_bytes = BLOCK, .disk_count = 1,
	.disk_bytes = {64 * BLOCK}};

static void area_page(struct area *area, struct record *record, uint64_t at)
{
	record->place = at;
	record_finish(record);
	memcpy(area->bytes + at, record, RECORD_PAGE);
}

/* What an area can look like. */
enum look {
	NOTHING,	/* zeros */
	TORN,		/* records, no commit */
	WHOLE,		/* committed */
	SEALED,		/* and acknowledged */
	SPOILED,	/* WHOLE, but a block of content is wrong */
	SEALED_SPOILED, /* SEALED, but a record is wrong */
	OVERWRITTEN,	/* the seal of its generation, records torn of the one after next */
	CHAINED_WRONG,	/* WHOLE, but a record is from another attempt */
};

/* Two data blocks in one record, one run of zeros, the commit. */
static void area_write(struct area *area, enum look look, uint64_t generation)
{
	const uint64_t attempt = generation * 1000;
	uint64_t at = RECORD_PAGE, chain = attempt, number = generation;
	struct record data, zeros, end;

	memset(area, 0, sizeof(*area));
	area->reader.read = area_read;
	area->size = AREA_BYTES;
	if (look == NOTHING)
		return;
	if (look == OVERWRITTEN)
		number += 2;
	record_init(&data, &shape, RECORD_DATA, number, attempt, 0);
	data.block = 5;
	data.count = 2;
	data.bytes = 2 * BLOCK;
	fixture_pattern(area->bytes + at + RECORD_PAGE, 5 * BLOCK, 2 * BLOCK, number);
	for (unsigned i = 0; i < 2; i++)
		data.sums[i] = block_sum(area->bytes + at + RECORD_PAGE + (size_t)i * BLOCK, BLOCK,
					 (5 + i) * (uint64_t)BLOCK);
	area_page(area, &data, at);
	chain = record_chain(chain, &data);
	at += record_length(&data);
	record_init(&zeros, &shape, RECORD_ZERO, number, attempt + (look == CHAINED_WRONG), 1);
	zeros.count = 1;
	zeros.runs[0] = (struct record_run){.block = 60, .count = 4};
	area_page(area, &zeros, at);
	chain = record_chain(chain, &zeros);
	at += RECORD_PAGE;
	record_init(&end, &shape, RECORD_COMMIT, number, attempt, 2);
	end.bytes = 2 * BLOCK;
	end.chain = chain;
	end.time_us = (int64_t)number * 10;
	if (look != TORN && look != OVERWRITTEN)
		area_page(area, &end, at);
	if (look == SEALED || look == SEALED_SPOILED || look == OVERWRITTEN) {
		record_init(&end, &shape, RECORD_SEAL, generation, attempt, 2);
		end.time_us = (int64_t)generation * 10;
		area_page(area, &end, 0);
	}
	if (look == SPOILED)
		area->bytes[3 * RECORD_PAGE + 17] ^= 1;
	if (look == SEALED_SPOILED)
		area->bytes[RECORD_PAGE + 200] ^= 1;
}

static struct journal_found area_scan(struct area *area, unsigned index)
{
	static uint8_t buffer[2 * BLOCK];
	struct journal_found found;

	journal_scan(&area->reader, &shape, index, JOURNAL_CONTENT, buffer, sizeof(buffer), &found);
	return found;
}

/* --- the table --- */

struct recovery_case {
	const char *name;
	enum look a;
	uint64_t a_generation; /* even */
	enum look b;
	uint64_t b_generation; /* odd */
	bool ready;
	int status;
	unsigned count;
	uint64_t generation;
};

static const struct recovery_case recoveries[] = {
	{"a store without generations", NOTHING, 0, NOTHING, 0, false, 0, 0, 0},
	{"power cut in the first generation", NOTHING, 0, TORN, 1, false, 0, 0, 0},
	{"first one never finished, its content neither", NOTHING, 0, SPOILED, 1, false, 0, 0, 0},
	{"first commit, store.json not yet", NOTHING, 0, WHOLE, 1, false, 0, 1, 1},
	{"first commit", NOTHING, 0, WHOLE, 1, true, 0, 1, 1},
	{"first one being applied", NOTHING, 0, SEALED, 1, true, 0, 1, 1},
	{"second one being received", TORN, 2, SEALED, 1, true, 0, 1, 1},
	{"second one's content did not arrive", SPOILED, 2, SEALED, 1, true, 0, 1, 1},
	{"second one committed while the first is applied", WHOLE, 2, SEALED, 1, true, 0, 2, 2},
	{"second one committed before the first is sealed", WHOLE, 2, WHOLE, 1, true, 0, 2, 2},
	{"second one sealed: the first is in the heads", SEALED, 2, SEALED, 1, true, 0, 1, 2},
	{"third one being received", SEALED, 2, TORN, 3, true, 0, 1, 2},
	{"third one over the seal of the first", SEALED, 2, OVERWRITTEN, 1, true, 0, 1, 2},
	{"third one begins, nothing of it is there", SEALED, 2, NOTHING, 0, true, 0, 1, 2},
	{"later, even current", SEALED, 8, WHOLE, 9, true, 0, 2, 9},
	{"later, odd current", WHOLE, 10, SEALED, 9, true, 0, 2, 10},
	{"records of two attempts", CHAINED_WRONG, 10, SEALED, 9, true, 0, 1, 9},

	{"ready, but no journal", NOTHING, 0, NOTHING, 0, true, -EUCLEAN, 0, 0},
	{"ready, but only torn ones", TORN, 2, TORN, 1, true, -EUCLEAN, 0, 0},
	{"acknowledged one damaged, nothing else", NOTHING, 0, SEALED_SPOILED, 1, true, -EUCLEAN, 0,
	 0},
	{"acknowledged one damaged, its predecessor whole", SEALED_SPOILED, 2, SEALED, 1, true,
	 -EUCLEAN, 0, 0},
	{"unsealed one without its predecessor", WHOLE, 2, NOTHING, 0, true, -EUCLEAN, 0, 0},
	{"unsealed one, predecessor damaged", WHOLE, 2, SEALED_SPOILED, 1, true, -EUCLEAN, 0, 0},
	{"unsealed one, another's predecessor", WHOLE, 4, SEALED, 1, true, -EUCLEAN, 0, 0},
	{"unsealed one, predecessor overwritten", WHOLE, 2, TORN, 3, true, -EUCLEAN, 0, 0},
	{"areas exchanged", WHOLE, 1, SEALED, 2, true, -EUCLEAN, 0, 0},
};

static void recovery_follows_the_table(void)
{
	for (unsigned i = 0; i < sizeof(recoveries) / sizeof(recoveries[0]); i++) {
		const struct recovery_case *c = &recoveries[i];
		struct journal_found found[2];
		struct journal_plan plan;
		struct area a, b;
		bool right;
		int status;

		area_write(&a, c->a, c->a_generation);
		area_write(&b, c->b, c->b_generation);
		found[0] = area_scan(&a, 0);
		found[1] = area_scan(&b, 1);
		status = journal_decide(found, &(struct journal_base){.more = c->ready}, &plan,
					NULL);
		right = status == c->status;
		if (!status)
			right = right && plan.count == c->count &&
				plan.generation == c->generation &&
				plan.time_us == (int64_t)c->generation * 10;
		if (plan.count)
			right = right && plan.area[plan.count - 1] == (c->generation & 1);
		if (!right)
			printf("%s: status %d, %u to apply, generation %llu\n", c->name, status,
			       plan.count, (unsigned long long)plan.generation);
		CU_ASSERT_TRUE(right);
	}
}

/* store.json knows that the heads hold generation 8, with another list of disks. */
static void what_the_base_covers_is_as_if_it_were_not_there(void)
{
	static const struct {
		enum look a;
		uint64_t a_generation;
		enum look b;
		uint64_t b_generation;
		bool more;
		int status;
		unsigned count;
		uint64_t generation;
	} table[] = {
		{NOTHING, 0, NOTHING, 0, false, 0, 0, 8},
		{SEALED, 8, SEALED, 7, false, 0, 0, 8},	       /* not erased yet */
		{SEALED_SPOILED, 8, OVERWRITTEN, 7, false, 0, 0, 8}, /* erased: the seals stay */
		{SEALED_SPOILED, 8, TORN, 9, false, 0, 0, 8},
		{SEALED_SPOILED, 8, WHOLE, 9, false, 0, 1, 9}, /* the power went before "more" */
		{NOTHING, 0, WHOLE, 9, true, 0, 1, 9},
		{NOTHING, 0, SEALED, 9, true, 0, 1, 9},
		{WHOLE, 10, SEALED, 9, true, 0, 2, 10},
		{SEALED, 8, SEALED_SPOILED, 9, true, -EUCLEAN, 0, 0},
		{SEALED, 8, NOTHING, 0, true, -EUCLEAN, 0, 0},
		{WHOLE, 10, NOTHING, 0, true, -EUCLEAN, 0, 0},
	};

	for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct journal_base base = {8, 80, table[i].more};
		struct journal_found found[2];
		struct journal_plan plan;
		struct area a, b;
		int status;

		area_write(&a, table[i].a, table[i].a_generation);
		area_write(&b, table[i].b, table[i].b_generation);
		found[0] = area_scan(&a, 0);
		found[1] = area_scan(&b, 1);
		status = journal_decide(found, &base, &plan, NULL);
		if (status != table[i].status)
			printf("case %u: %d\n", i, status);
		CU_ASSERT_EQUAL(status, table[i].status);
		if (status)
			continue;
		CU_ASSERT_EQUAL(plan.count, table[i].count);
		CU_ASSERT_EQUAL(plan.generation, table[i].generation);
		CU_ASSERT_EQUAL(plan.time_us, (int64_t)table[i].generation * 10);
	}
}

/* Every pair of looks has exactly one verdict, and never one that forgets what
 * was acknowledged. */
static void acknowledged_generation_is_never_passed_over(void)
{
	for (enum look a = NOTHING; a <= CHAINED_WRONG; a++) {
		for (enum look b = NOTHING; b <= CHAINED_WRONG; b++) {
			for (uint64_t older = 0; older < 2; older++) {
				struct area areas[2];
				struct journal_found found[2];
				struct journal_plan plan;
				uint64_t seal;

				area_write(&areas[0], a, 8);
				area_write(&areas[1], b, older ? 7 : 9);
				found[0] = area_scan(&areas[0], 0);
				found[1] = area_scan(&areas[1], 1);
				seal = found[0].seal > found[1].seal ? found[0].seal
								     : found[1].seal;
				if (journal_decide(found, &(struct journal_base){.more = true},
						   &plan, NULL) == 0)
					CU_ASSERT_TRUE(plan.generation >= seal && plan.count > 0);
			}
		}
	}
}

/* Pages of area_write(): 0 the seal, 1 data, 2 and 3 its content, 4 zeros, 5 the commit. */
enum { SEAL_PAGE, FIRST_PAGE, CONTENT_PAGE, ZERO_PAGE = 4, COMMIT_PAGE, WRITTEN_PAGES };

static void a_page_that_cannot_be_read_matters_if_anything_may_be_behind_it(void)
{
	static const struct {
		enum look a; /* generation 8 */
		enum look b;
		uint64_t b_generation;
		unsigned area, page;
		uint64_t base;
		int status;
		uint64_t generation;
	} table[] = {
		{SEALED, SEALED, 7, 1, SEAL_PAGE, 0, 0, 8},
		{SEALED, SEALED, 7, 1, ZERO_PAGE, 0, 0, 8},
		{SEALED, SEALED, 7, 1, COMMIT_PAGE, 0, 0, 8},
		{SEALED, SEALED, 7, 1, WRITTEN_PAGES, 0, 0, 8},
		{SEALED, SEALED, 7, 1, FIRST_PAGE, 0, -EIO, 0}, /* 9 may be there */
		{SEALED, NOTHING, 0, 1, FIRST_PAGE, 0, -EIO, 0},
		{SEALED, NOTHING, 0, 1, SEAL_PAGE, 0, -EIO, 0},
		{SEALED, TORN, 9, 1, COMMIT_PAGE, 0, -EIO, 0}, /* so may its commit */
		{SEALED, WHOLE, 9, 1, CONTENT_PAGE, 0, -EIO, 0},
		{SEALED, WHOLE, 9, 1, SEAL_PAGE, 0, -EIO, 0},
		{WHOLE, SEALED, 7, 1, ZERO_PAGE, 0, -EIO, 0}, /* 7 is needed */
		{SEALED, SEALED, 7, 0, ZERO_PAGE, 0, -EIO, 0},
		{SEALED, WHOLE, 9, 0, ZERO_PAGE, 8, 0, 9}, /* the base has 8 */
		{SEALED, WHOLE, 9, 0, ZERO_PAGE, 7, -EIO, 0},
	};

	for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct journal_base base = {table[i].base, 0, table[i].base == 0};
		struct journal_found found[2];
		struct journal_plan plan;
		struct area areas[2];
		int status;

		area_write(&areas[0], table[i].a, 8);
		area_write(&areas[1], table[i].b, table[i].b_generation);
		areas[table[i].area].unread[table[i].page] = true;
		found[0] = area_scan(&areas[0], 0);
		found[1] = area_scan(&areas[1], 1);
		status = journal_decide(found, &base, &plan, NULL);
		if (status != table[i].status || (!status && plan.generation != table[i].generation))
			printf("case %u: %d, generation %llu\n", i, status,
			       (unsigned long long)plan.generation);
		CU_ASSERT_EQUAL(status, table[i].status);
		if (!status)
			CU_ASSERT_EQUAL(plan.generation, table[i].generation);
	}
}

static int areas_decide(struct area areas[2], struct journal_plan *plan)
{
	struct journal_found found[2] = {area_scan(&areas[0], 0), area_scan(&areas[1], 1)};

	return journal_decide(found, &(struct journal_base){.more = true}, plan, NULL);
}

/* Whatever it is: the verdict is that without it, or none. */
static void a_page_that_cannot_be_read_never_changes_what_is_applied(void)
{
	unsigned same = 0;

	for (unsigned i = 0; i < 8 * 8 * 2 * 2 * WRITTEN_PAGES; i++) {
		enum look a = i % 8, b = i / 8 % 8;
		unsigned area = i / 128 % 2, page = i / 256;
		struct journal_plan whole, plan;
		struct area areas[2];
		int status;

		area_write(&areas[0], a, 8);
		area_write(&areas[1], b, i / 64 % 2 ? 7 : 9);
		status = areas_decide(areas, &whole);
		areas[area].unread[page] = true;
		if (areas_decide(areas, &plan))
			continue;
		CU_ASSERT_EQUAL(status, 0);
		CU_ASSERT_EQUAL(plan.count, whole.count);
		CU_ASSERT_EQUAL(plan.generation, whole.generation);
		same++;
	}
	CU_ASSERT_TRUE(same > 0);
}

static void any_flipped_bit_unmakes_a_generation(void)
{
	const uint64_t end = 6 * RECORD_PAGE; /* commit included */
	struct area area;

	area_write(&area, WHOLE, 1);
	CU_ASSERT_EQUAL(area_scan(&area, 1).state, JOURNAL_COMMITTED);
	CU_ASSERT_EQUAL(area_scan(&area, 1).end, end - RECORD_PAGE);
	for (uint64_t i = RECORD_PAGE; i < end; i++) {
		area.bytes[i] ^= (uint8_t)(1u << i % 8);
		CU_ASSERT_NOT_EQUAL(area_scan(&area, 1).state, JOURNAL_COMMITTED);
		area.bytes[i] ^= (uint8_t)(1u << i % 8);
	}
	for (area.size = 0; area.size < end; area.size += 512)
		CU_ASSERT_NOT_EQUAL(area_scan(&area, 1).state, JOURNAL_COMMITTED);
}

static void any_flipped_bit_unmakes_a_seal(void)
{
	struct area area;

	area_write(&area, SEALED, 2);
	CU_ASSERT_TRUE(area_scan(&area, 0).sealed);
	for (uint64_t i = 0; i < RECORD_PAGE; i++) {
		area.bytes[i] ^= (uint8_t)(1u << i % 8);
		CU_ASSERT_FALSE(area_scan(&area, 0).sealed);
		CU_ASSERT_EQUAL(area_scan(&area, 0).seal, 0);
		area.bytes[i] ^= (uint8_t)(1u << i % 8);
	}
}

static void records_that_point_outside_are_invalid(void)
{
	static const struct {
		uint32_t type, disk, count;
		uint64_t block, bytes;
	} records[] = {
		{RECORD_DATA, 1, 1, 0, BLOCK},	       /* no such disk */
		{RECORD_DATA, 0, 1, 64, BLOCK},	       /* behind its end */
		{RECORD_DATA, 0, 2, 63, 2 * BLOCK},
		{RECORD_DATA, 0, 0, 0, 0},
		{RECORD_DATA, 0, 2, 0, BLOCK},	       /* bytes that are not the blocks' */
		{RECORD_DATA, 0, 497, 0, 497 * BLOCK}, /* more than have sums */
		{RECORD_DATA, 0, 1, UINT64_MAX, BLOCK},
		{RECORD_ZERO, 0, 0, 0, 0},
		{RECORD_ZERO, 0, 166, 0, 0},
		{RECORD_ZERO, 0, 1, 0, 1},
		{0, 0, 0, 0, 0},
		{5, 0, 0, 0, 0},
	};

	for (unsigned i = 0; i < sizeof(records) / sizeof(records[0]); i++) {
		struct record record;

		record_init(&record, &shape, (enum record_type)records[i].type, 1, 1, 0);
		record.disk = records[i].disk;
		record.count = records[i].count;
		record.block = records[i].block;
		record.bytes = records[i].bytes;
		if (record.type == RECORD_ZERO)
			record.runs[0].count = 1;
		record_finish(&record);
		CU_ASSERT_FALSE(record_valid(&record, &shape));
	}
}

/* --- writing --- */

struct journal_fixture {
	struct fixture f;
	struct record_shape shape;
	struct journal journal;
};

static void journal_fixture_init(struct journal_fixture *j)
{
	char path[512];

	fixture_init(&j->f);
	snprintf(path, sizeof(path), "%s/journal", j->f.dir);
	mkdir(path, 0700);
	j->shape = (struct record_shape){.block_bytes = FIXTURE_BLOCK, .disk_count = 2,
					 .disk_bytes = {1 << 30, 1 << 30}};
	CU_ASSERT_EQUAL_FATAL(journal_create(j->f.dir, &j->f.err), 0);
	CU_ASSERT_EQUAL_FATAL(journal_open(&j->journal, j->f.ring, j->f.pool, j->f.dir, &j->shape,
					   &j->f.err), 0);
}

static void journal_fixture_release(struct journal_fixture *j)
{
	journal_close(&j->journal);
	fixture_release(&j->f);
}

static struct generation *receive(struct journal_fixture *j, uint64_t number, unsigned buffers)
{
	struct generation *generation = &j->journal.generation[number & 1];

	CU_ASSERT_EQUAL_FATAL(journal_begin(&j->journal, number, &j->f.err), 0);
	for (unsigned i = 0; i < buffers; i++) {
		uint64_t offset = (uint64_t)i * FIXTURE_BUFFER;
		struct buf *buf;

		while (!(buf = pool_get(j->f.pool)))
			ring_run(j->f.ring);
		fixture_pattern(buf->data, offset, FIXTURE_BUFFER, number);
		for (unsigned k = 0; k < 4; k++)
			buf->sums[k] = block_sum(buf->data + (size_t)k * FIXTURE_BLOCK,
						 FIXTURE_BLOCK, offset + k * FIXTURE_BLOCK);
		CU_ASSERT_EQUAL(journal_data(generation, 0, offset, FIXTURE_BUFFER, buf, NULL), 0);
	}
	return generation;
}

struct file_reader {
	struct journal_reader reader;
	int fd;
};

static int64_t fd_read(struct journal_reader *reader, void *buffer, uint32_t length,
		       uint64_t offset)
{
	return file_read(((struct file_reader *)(void *)reader)->fd, buffer, length, offset);
}

static struct journal_found file_scan(struct journal_fixture *j, unsigned area)
{
	struct file_reader reader = {{fd_read}, j->journal.fd[area]};
	struct buf *buf = pool_get(j->f.pool);
	struct journal_found found;

	journal_scan(&reader.reader, &j->shape, area, JOURNAL_CONTENT, buf->header,
		     4096 + FIXTURE_BUFFER, &found);
	CU_ASSERT_EQUAL(found.error, 0);
	pool_put(j->f.pool, buf);
	return found;
}

static void small_generation_stays_in_memory(void)
{
	struct journal_fixture j;
	struct generation *generation;

	journal_fixture_init(&j);
	generation = receive(&j, 1, 6); /* half of the pool */
	journal_commit(generation, 5, fixture_done, &j.f);
	CU_ASSERT_EQUAL(fixture_wait(&j.f), 0);
	CU_ASSERT_EQUAL(generation->state, GENERATION_COMMITTED);
	CU_ASSERT_EQUAL(j.journal.kept, 6);
	CU_ASSERT_EQUAL(file_scan(&j, 1).state, JOURNAL_COMMITTED);
	CU_ASSERT_FALSE(file_scan(&j, 1).sealed);
	journal_seal(generation, fixture_done, &j.f);
	CU_ASSERT_EQUAL(fixture_wait(&j.f), 0);
	CU_ASSERT_TRUE(file_scan(&j, 1).sealed);
	journal_release(generation);
	CU_ASSERT_EQUAL(pool_available(j.f.pool), 12);
	journal_fixture_release(&j);
}

static void large_generation_grows_its_area_and_gives_it_back(void)
{
	struct journal_fixture j;
	struct generation *generation;
	struct journal_found found;

	journal_fixture_init(&j);
	generation = receive(&j, 1, 400); /* 100 MiB */
	journal_commit(generation, 5, fixture_done, &j.f);
	CU_ASSERT_EQUAL(fixture_wait(&j.f), 0);
	CU_ASSERT_EQUAL(j.journal.kept, 0);
	found = file_scan(&j, 1);
	CU_ASSERT_EQUAL(found.state, JOURNAL_COMMITTED);
	CU_ASSERT_EQUAL(found.records, 400);
	CU_ASSERT_EQUAL(found.bytes, 400 * (uint64_t)FIXTURE_BUFFER);
	CU_ASSERT_EQUAL(found.end, generation->end);
	CU_ASSERT_TRUE(file_size(j.journal.fd[1]) > 100 << 20);
	journal_release(generation);
	generation = receive(&j, 3, 1);
	CU_ASSERT_EQUAL(file_size(j.journal.fd[1]), JOURNAL_AREA_KEEP_BYTES);
	journal_commit(generation, 5, fixture_done, &j.f);
	CU_ASSERT_EQUAL(fixture_wait(&j.f), 0);
	CU_ASSERT_EQUAL(file_scan(&j, 1).generation, 3);
	journal_release(generation);
	journal_fixture_release(&j);
}

static void zeros_are_merged_and_never_run_out_of_pages(void)
{
	struct journal_fixture j;
	struct generation *generation;

	journal_fixture_init(&j);
	generation = receive(&j, 1, 0);
	for (unsigned i = 0; i < 16384; i += 2) /* neighbours, in an odd order */
		for (unsigned k = 2; k-- > 0;)
			CU_ASSERT_EQUAL(journal_zero(generation, 0,
						     (uint64_t)(i + k) * FIXTURE_BLOCK,
						     FIXTURE_BLOCK, NULL), 0);
	CU_ASSERT_TRUE(generation->sequence == 0 && generation->zeros->count == 1);
	for (unsigned i = 0; i < 16384; i += 2) /* none of them neighbours */
		CU_ASSERT_EQUAL(journal_zero(generation, 1, (uint64_t)i * FIXTURE_BLOCK,
					     FIXTURE_BLOCK, NULL), 0);
	journal_commit(generation, 5, fixture_done, &j.f);
	CU_ASSERT_EQUAL(fixture_wait(&j.f), 0);
	CU_ASSERT_EQUAL(file_scan(&j, 1).state, JOURNAL_COMMITTED);
	CU_ASSERT_EQUAL(file_scan(&j, 1).records, generation->sequence);
	CU_ASSERT_TRUE(generation->sequence >= 8192 / RECORD_RUNS_MAX);
	CU_ASSERT_EQUAL(j.journal.free_page_count, JOURNAL_ZERO_PAGES);
	journal_release(generation);
	journal_fixture_release(&j);
}

static void failed_write_fails_the_commit_and_names_the_area(void)
{
	struct journal_fixture j;
	struct generation *generation;
	int fd;

	journal_fixture_init(&j);
	fd = j.journal.fd[1];
	j.journal.fd[1] = open("/dev/full", O_RDWR);
	generation = receive(&j, 1, 3);
	journal_commit(generation, 5, fixture_done, &j.f);
	CU_ASSERT_EQUAL(fixture_wait(&j.f), -ENOSPC);
	CU_ASSERT_PTR_NOT_NULL(strstr(j.f.error.text, "/journal/b"));
	CU_ASSERT_PTR_NOT_NULL(strstr(j.f.error.text, "generation 1"));
	CU_ASSERT_PTR_NOT_NULL(strstr(j.f.error.text, "make room"));
	CU_ASSERT_EQUAL(generation->state, GENERATION_FREE);
	CU_ASSERT_EQUAL(pool_available(j.f.pool), 12);
	close(j.journal.fd[1]);
	j.journal.fd[1] = fd;
	generation = receive(&j, 1, 3);
	journal_commit(generation, 5, fixture_done, &j.f);
	CU_ASSERT_EQUAL(fixture_wait(&j.f), 0);
	journal_release(generation);
	journal_fixture_release(&j);
}

int main(void)
{
	static const struct cunit_case cases[] = {
		{"recovery_follows_the_table", recovery_follows_the_table},
		{"what_the_base_covers_is_as_if_it_were_not_there",
		 what_the_base_covers_is_as_if_it_were_not_there},
		{"acknowledged_generation_is_never_passed_over",
		 acknowledged_generation_is_never_passed_over},
		{"a_page_that_cannot_be_read_matters_if_anything_may_be_behind_it",
		 a_page_that_cannot_be_read_matters_if_anything_may_be_behind_it},
		{"a_page_that_cannot_be_read_never_changes_what_is_applied",
		 a_page_that_cannot_be_read_never_changes_what_is_applied},
		{"any_flipped_bit_unmakes_a_generation", any_flipped_bit_unmakes_a_generation},
		{"any_flipped_bit_unmakes_a_seal", any_flipped_bit_unmakes_a_seal},
		{"records_that_point_outside_are_invalid", records_that_point_outside_are_invalid},
		{"small_generation_stays_in_memory", small_generation_stays_in_memory},
		{"large_generation_grows_its_area_and_gives_it_back",
		 large_generation_grows_its_area_and_gives_it_back},
		{"zeros_are_merged_and_never_run_out_of_pages",
		 zeros_are_merged_and_never_run_out_of_pages},
		{"failed_write_fails_the_commit_and_names_the_area",
		 failed_write_fails_the_commit_and_names_the_area},
	};

	return cunit_run("journal", cases, sizeof(cases) / sizeof(cases[0]));
}
