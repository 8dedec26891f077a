/* SPDX-License-Identifier: Apache-2.0
 *
 * The copy against a server of ours, which knows by a seed what every sector of
 * its disk is (data, zeros, hole, dirty, bad), so that the test knows it too;
 * and against qemu-nbd with a real dirty bitmap.
 */
#include <CUnit/CUnit.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "alloc_fail.h"
#include "copy.h"
#include "cunit_main.h"
#include "member.h"
#include "nbd_server.h"
#include "sum.h"

#define SECTOR 512
#define BLOCK 4096
#define BUFFER (8 * BLOCK)
#define BUFFERS 20
#define DIRTY "qemu:dirty-bitmap:b0"
#define ALLOCATION "base:allocation"

/* --- the disk, computed alike in the server and in the test --- */

struct disk {
	uint64_t size;
	uint32_t seed;
	uint32_t wanted_percent; /* of the extents */
	uint32_t zero_percent;	 /* of the blocks' content */
	uint32_t run_sectors;	 /* extents are about so long, not block aligned */
	uint32_t cut;		 /* at most so many extents a reply */
	uint32_t bad_percent;	 /* of the sectors */
	uint64_t hang_up_at;	 /* a read that covers this offset ends the connection */
	bool holes_not_zero;	 /* unwanted are flagged 3, wanted 0 or 1 */
};

static uint32_t mix(uint32_t seed, uint64_t value)
{
	uint64_t x =
	    (value + 1) * UINT64_C(0x9e3779b97f4a7c15) ^ seed * UINT64_C(0xbf58476d1ce4e5b9);

	x ^= x >> 29;
	x *= UINT64_C(0x94d049bb133111eb);
	return (uint32_t)(x >> 32);
}

static bool sector_wanted(const struct disk *disk, uint64_t sector)
{
	return mix(disk->seed, sector / disk->run_sectors) % 100 < disk->wanted_percent;
}

static bool sector_bad(const struct disk *disk, uint64_t sector)
{
	return mix(disk->seed + 1, sector) % 100 < disk->bad_percent;
}

static void block_content(const struct disk *disk, uint64_t block, uint8_t *data)
{
	uint32_t word = mix(disk->seed + 2, block);

	if (word % 100 < disk->zero_percent)
		word = 0;
	for (unsigned i = 0; i < BLOCK; i += sizeof(word))
		memcpy(data + i, &word, sizeof(word));
}

static bool serve_read(const struct fake_request *request, const struct disk *disk)
{
	uint8_t *data = malloc(request->length + BLOCK);
	bool sent;

	for (uint64_t at = 0; at < request->length; at += BLOCK)
		block_content(disk, (request->offset + at) / BLOCK, data + at);
	sent = fake_data(request, data, request->length);
	free(data);
	return sent;
}

static unsigned status_runs(const struct fake_request *request, const struct disk *disk,
			    uint32_t *runs)
{
	unsigned count = 0;
	uint32_t at = 0;

	while (at < request->length && count < disk->cut) {
		uint64_t sector = (request->offset + at) / SECTOR;
		uint64_t next = (sector / disk->run_sectors + 1) * disk->run_sectors * SECTOR;
		bool wanted = sector_wanted(disk, sector);

		runs[2 * count] = (uint32_t)(next - request->offset - at);
		if (disk->holes_not_zero)
			runs[2 * count + 1] = wanted ? sector & 1 : 3;
		else
			runs[2 * count + 1] = wanted;
		at += runs[2 * count++];
	}
	return count;
}

static bool serve_disk(const struct fake_request *request, void *arg)
{
	static uint32_t runs[2 * 5000];
	const struct disk *disk = arg;

	if (request->type == 7)
		return fake_status(request, runs, status_runs(request, disk, runs),
				   FAKE_CONTEXT_ID);
	if (disk->hang_up_at >= request->offset &&
	    disk->hang_up_at < request->offset + request->length)
		return false;
	for (uint32_t at = 0; at < request->length; at += SECTOR) {
		if (sector_bad(disk, (request->offset + at) / SECTOR))
			return fake_error(request, 5);
	}
	return serve_read(request, disk);
}

/* --- the sink: notes what became of every block --- */

enum fate { UNTOUCHED, DATA, ZEROS, BAD };

struct sink {
	struct copy_sink sink;
	uint8_t *fates;
	uint64_t blocks;
	unsigned calls;
	unsigned zero_calls;
	unsigned fail_call; /* this one fails, 0: none */
	unsigned cancel_call;
	bool later; /* buffers go back one ring round later */
	struct buf *held;
	struct ring_op give_back;
};

static char dir[64];
static char path[96];
static struct ring *ring;
static struct pool *pool;
static struct nbd_source *source;
static struct copy *copy;
static struct disk disk;
static struct sink sink;
static pid_t server;
static unsigned done_runs;
static int done_status;
static char done_text[ERRINFO_TEXT_MAX];

static void block_fate(uint64_t offset, uint64_t length, enum fate fate)
{
	CU_ASSERT_FATAL(offset % BLOCK == 0 && length);
	CU_ASSERT_FATAL(length % BLOCK == 0 || offset + length == disk.size);
	CU_ASSERT_FATAL(offset + length <= disk.size);
	for (uint64_t at = offset; at < offset + length; at += BLOCK) {
		CU_ASSERT(sink.fates[at / BLOCK] == UNTOUCHED);
		sink.fates[at / BLOCK] = fate;
	}
}

static int sink_call(void)
{
	sink.calls++;
	if (sink.calls == sink.cancel_call)
		copy_cancel(copy);
	return sink.calls == sink.fail_call ? -ENOSPC : 0;
}

static void held_put(struct ring_op *op, int result)
{
	struct buf *buf = sink.held;

	sink.held = NULL;
	while (buf) {
		struct buf *next = buf->next;

		pool_put(pool, buf);
		buf = next;
	}
}

static void buffer_put(struct buf *buf)
{
	if (!sink.later) {
		pool_put(pool, buf);
		return;
	}
	buf->next = sink.held;
	sink.held = buf;
	if (!sink.give_back.pending)
		ring_timer(ring, &sink.give_back, 0);
}

static int sink_data(struct copy_sink *self, unsigned number, uint64_t offset, uint32_t length,
		     struct buf *buf, struct errinfo *err)
{
	uint32_t blocks = (length + BLOCK - 1) / BLOCK;
	uint8_t expected[BLOCK];

	CU_ASSERT_EQUAL(number, 3);
	CU_ASSERT_FATAL(length <= BUFFER);
	CU_ASSERT(buf->sums[blocks - 1] != SUM_ZERO);
	for (uint32_t i = 0; i < blocks; i++) {
		uint32_t bytes = length - i * BLOCK < BLOCK ? length - i * BLOCK : BLOCK;

		block_content(&disk, offset / BLOCK + i, expected);
		CU_ASSERT(memcmp(buf->data + i * BLOCK, expected, bytes) == 0);
		CU_ASSERT(buf->sums[i] == block_sum(expected, bytes, offset + i * BLOCK));
	}
	block_fate(offset, length, DATA);
	buffer_put(buf);
	return sink_call();
}

static int sink_zero(struct copy_sink *self, unsigned number, uint64_t offset, uint64_t length,
		     struct errinfo *err)
{
	uint8_t expected[BLOCK];

	for (uint64_t at = 0; at < length; at += BLOCK) {
		block_content(&disk, (offset + at) / BLOCK, expected);
		CU_ASSERT(block_is_zero(expected, BLOCK));
	}
	block_fate(offset, length, ZEROS);
	sink.zero_calls++;
	return sink_call();
}

static int sink_bad(struct copy_sink *self, unsigned number, uint64_t offset, uint32_t length,
		    int status)
{
	CU_ASSERT_EQUAL(status, -EIO);
	CU_ASSERT(length <= BLOCK);
	block_fate(offset, length, BAD);
	return sink_call();
}

static void copy_done(void *arg, int status, const struct errinfo *error)
{
	done_runs++;
	done_status = status;
	CU_ASSERT_EQUAL(status, error->code);
	strcpy(done_text, error->text);
}

static void connected(void *arg, int status, const struct errinfo *error)
{
	CU_ASSERT_EQUAL(status, 0);
	*(bool *)arg = true;
}

static void source_open(const char *context)
{
	struct errinfo err = {0};
	bool ready = false;

	CU_ASSERT_EQUAL_FATAL(
	    nbd_source_open(&source, ring, path, "", context, connected, &ready, &err), 0);
	while (!ready)
		CU_ASSERT_FATAL(ring_run(ring) > 0);
}

static void sink_init(void)
{
	free(sink.fates);
	memset(&sink, 0, sizeof(sink));
	sink.sink.data = sink_data;
	sink.sink.zero = sink_zero;
	sink.sink.bad = sink_bad;
	sink.give_back.done = held_put;
	sink.blocks = (disk.size + BLOCK - 1) / BLOCK;
	sink.fates = calloc(sink.blocks + 1, 1);
}

static void setup_pool(unsigned buffers)
{
	struct errinfo err = {0};

	done_runs = 0;
	strcpy(dir, "/tmp/copy_test.XXXXXX");
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/sock", dir);
	CU_ASSERT_EQUAL_FATAL(ring_new(&ring, 64, &err), 0);
	CU_ASSERT_EQUAL_FATAL(pool_new(&pool, ring, buffers, BUFFER, BLOCK, &err), 0);
	sink_init();
}

static void setup(const char *context, unsigned buffers)
{
	struct fake_nbd fake = {
	    .size = disk.size, .context = context, .serve = serve_disk, .arg = &disk};

	setup_pool(buffers);
	server = fake_nbd_start(path, &fake);
	CU_ASSERT_FATAL(server > 0);
	source_open(context);
}

static void teardown(void)
{
	nbd_source_close(source);
	pool_free(pool); /* asserts that every buffer is back */
	ring_free(ring);
	nbd_server_kill(server);
	unlink(path);
	CU_ASSERT_EQUAL(rmdir(dir), 0);
	free(sink.fates);
	sink.fates = NULL;
}

static void start(enum copy_want want, unsigned depth)
{
	struct errinfo err = {0};

	done_runs = 0;
	CU_ASSERT_EQUAL_FATAL(
	    copy_start(&copy, source, pool, 3, want, depth, &sink.sink, copy_done, NULL, &err), 0);
}

static void finish(void)
{
	while (!done_runs || sink.give_back.pending)
		CU_ASSERT_FATAL(ring_run(ring) > 0);
	CU_ASSERT_EQUAL(done_runs, 1);
}

/* What must have become of a block. */
static enum fate block_expected(uint64_t block, enum copy_want want)
{
	uint64_t sectors = (disk.size + SECTOR - 1) / SECTOR;
	bool wanted = want == COPY_ALL;
	uint8_t content[BLOCK];
	bool bad = false;

	for (uint64_t i = 0; i < BLOCK / SECTOR; i++) {
		uint64_t sector = block * (BLOCK / SECTOR) + i;

		if (sector >= sectors)
			break;
		wanted |= sector_wanted(&disk, sector);
		bad |= sector_bad(&disk, sector);
	}
	if (!wanted)
		return UNTOUCHED;
	if (bad)
		return BAD;
	block_content(&disk, block, content);
	return block_is_zero(content, BLOCK) ? ZEROS : DATA;
}

/* Zeros inside a buffer come as data with SUM_ZERO; those not handed on are
 * untouched where zeros are not wanted. */
static bool fate_right(enum fate fate, enum fate expected, enum copy_want want)
{
	if (expected != ZEROS)
		return fate == expected;
	return fate == DATA || fate == (want == COPY_DIRTY ? ZEROS : UNTOUCHED);
}

static void check_fates(enum copy_want want)
{
	uint64_t counts[4] = {0};
	unsigned wrong = 0;

	for (uint64_t block = 0; block < sink.blocks; block++) {
		counts[sink.fates[block]]++;
		wrong += !fate_right(sink.fates[block], block_expected(block, want), want);
	}
	CU_ASSERT_EQUAL(wrong, 0);
	if (disk.size % BLOCK == 0) {
		const struct copy_progress *progress = copy_progress(copy);

		CU_ASSERT_EQUAL(progress->data_bytes, counts[DATA] * BLOCK);
		CU_ASSERT_EQUAL(progress->bytes, (counts[DATA] + counts[ZEROS]) * BLOCK);
		CU_ASSERT_EQUAL(progress->bad_bytes, counts[BAD] * BLOCK);
	}
	CU_ASSERT_EQUAL(copy_progress(copy)->scanned, disk.size);
}

static void copy_once(const char *context, enum copy_want want, unsigned depth, unsigned buffers,
		      bool later)
{
	setup(context, buffers);
	sink.later = later;
	start(want, depth);
	finish();
	CU_ASSERT_EQUAL(done_status, 0);
	if (done_status)
		printf("%s\n", done_text);
	check_fates(want);
	copy_free(copy);
	teardown();
}

static struct disk disk_default(void)
{
	return (struct disk){
	    .size = 16 * 1024 * 1024,
	    .seed = 1,
	    .wanted_percent = 50,
	    .zero_percent = 30,
	    .run_sectors = 13,
	    .cut = 700,
	    .hang_up_at = UINT64_MAX,
	};
}

static void every_wanted_block_arrives_once_whatever_the_extents(void)
{
	for (uint32_t seed = 0; seed < 24; seed++) {
		disk = disk_default();
		disk.seed = seed * 100;
		disk.size += (seed % 3) * SECTOR * 3;
		disk.wanted_percent = (seed % 5) * 25;
		disk.zero_percent = (seed % 4) * 33;
		disk.run_sectors = 1 + seed * seed % 97;
		disk.cut = seed % 2 ? 3 + seed : 5000;
		copy_once(DIRTY, COPY_DIRTY, 1 + seed % 16, 1 + seed % BUFFERS, seed & 1);
	}
}

static void every_byte_that_is_not_zero_arrives(void)
{
	for (uint32_t seed = 0; seed < 8; seed++) {
		disk = disk_default();
		disk.seed = seed * 100;
		disk.size += (seed % 3) * SECTOR * 3;
		disk.holes_not_zero = true;
		copy_once(ALLOCATION, COPY_ALLOCATED, 16, BUFFERS, seed & 1);
		copy_once(NULL, COPY_ALL, 16, BUFFERS, seed & 1);
	}
}

static void an_empty_or_tiny_disk_is_copied(void)
{
	static const uint64_t sizes[] = {0, SECTOR, BLOCK - SECTOR, BLOCK, BLOCK + SECTOR};

	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		disk = disk_default();
		disk.size = sizes[i];
		disk.wanted_percent = 100;
		copy_once(DIRTY, COPY_DIRTY, 16, BUFFERS, false);
		copy_once(NULL, COPY_ALL, 16, BUFFERS, false);
	}
}

static void dirty_zeros_come_in_one_run(void)
{
	disk = disk_default();
	disk.zero_percent = 100;
	disk.wanted_percent = 100;
	setup(DIRTY, BUFFERS);
	start(COPY_DIRTY, 1); /* one read a time: in order */
	finish();
	CU_ASSERT_EQUAL(done_status, 0);
	CU_ASSERT_EQUAL(sink.zero_calls, 1);
	check_fates(COPY_DIRTY);
	copy_free(copy);
	teardown();
}

static void exactly_the_bad_blocks_are_reported(void)
{
	for (uint32_t seed = 0; seed < 6; seed++) {
		disk = disk_default();
		disk.size = 4 * 1024 * 1024 + 3 * SECTOR;
		disk.seed = seed;
		disk.bad_percent = 1 + seed;
		copy_once(DIRTY, COPY_DIRTY, 1 + seed * 3, 1 + seed, seed & 1);
	}
	disk.bad_percent = 100;
	copy_once(NULL, COPY_ALL, 16, BUFFERS, false);
}

static void without_bad_the_first_failed_read_ends_the_copy(void)
{
	disk = disk_default();
	disk.bad_percent = 1;
	setup(DIRTY, BUFFERS);
	sink.sink.bad = NULL;
	start(COPY_DIRTY, 16);
	finish();
	CU_ASSERT_EQUAL(done_status, -EIO);
	CU_ASSERT_PTR_NOT_NULL(strstr(done_text, path));
	copy_free(copy);
	teardown();
}

static void a_sink_that_fails_ends_the_copy_at_every_call(void)
{
	disk = disk_default();
	disk.size = 1024 * 1024;
	disk.bad_percent = 1;
	for (unsigned call = 1;; call++) {
		unsigned calls;

		setup(DIRTY, 3);
		sink.fail_call = call;
		sink.later = call & 1;
		start(COPY_DIRTY, 4);
		finish();
		calls = sink.calls;
		CU_ASSERT_EQUAL(done_status, calls >= call ? -ENOSPC : 0);
		copy_free(copy);
		teardown();
		if (calls < call)
			break;
	}
}

static void a_cancelled_copy_ends_once_at_every_moment(void)
{
	disk = disk_default();
	disk.size = 1024 * 1024;
	for (unsigned call = 0; call < 40; call++) {
		setup(DIRTY, 3);
		sink.cancel_call = call;
		sink.later = call & 1;
		start(COPY_DIRTY, 4);
		if (!call)
			copy_cancel(copy); /* before anything ran */
		finish();
		CU_ASSERT_EQUAL(done_status, -ECANCELED);
		copy_cancel(copy); /* too late: nothing */
		CU_ASSERT_EQUAL(done_runs, 1);
		copy_free(copy);
		teardown();
	}
}

static void a_copy_waiting_for_buffers_can_be_cancelled(void)
{
	struct buf *buf;

	disk = disk_default();
	setup(NULL, 1);
	buf = pool_get(pool);
	start(COPY_ALL, 4);
	copy_cancel(copy);
	finish();
	CU_ASSERT_EQUAL(done_status, -ECANCELED);
	CU_ASSERT_EQUAL(sink.calls, 0);
	copy_free(copy);
	pool_put(pool, buf); /* must not wake what is gone */
	teardown();
}

static void a_lost_connection_ends_the_copy(void)
{
	for (unsigned percent = 0; percent < 100; percent += 20) {
		disk = disk_default();
		disk.hang_up_at = disk.size / 100 * percent;
		setup(NULL, BUFFERS);
		start(COPY_ALL, 16);
		finish();
		CU_ASSERT_EQUAL(done_status, -ENOTCONN);
		copy_free(copy);
		teardown();
	}
}

static void close_when_done(void *arg, int status, const struct errinfo *error)
{
	copy_done(arg, status, error);
	copy_free(copy);
	nbd_source_close(source);
	source = NULL;
}

static void done_may_free_the_copy_and_close_the_source(void)
{
	struct errinfo err = {0};

	disk = disk_default();
	for (int cancel = 0; cancel < 2; cancel++) {
		setup(DIRTY, BUFFERS);
		done_runs = 0;
		CU_ASSERT_EQUAL(copy_start(&copy, source, pool, 3, COPY_DIRTY, 16, &sink.sink,
					   close_when_done, NULL, &err),
				0);
		sink.cancel_call = cancel ? 5 : 0;
		finish();
		CU_ASSERT_EQUAL(done_status, cancel ? -ECANCELED : 0);
		teardown();
	}
}

static void two_copies_share_a_small_pool(void)
{
	char *argv[] = {"nbdkit", "-f", "-U", path, "memory", "8M", NULL};
	struct nbd_source *sources[2];
	struct copy *copies[2];

	disk = disk_default();
	disk.size = 8 * 1024 * 1024;
	setup_pool(2);
	server = nbd_server_start(path, argv);
	CU_ASSERT_FATAL(server > 0);
	for (unsigned i = 0; i < 2; i++) {
		source_open(NULL);
		sources[i] = source;
		start(COPY_ALL, 16);
		copies[i] = copy;
	}
	while (done_runs < 2)
		CU_ASSERT_FATAL(ring_run(ring) > 0);
	for (unsigned i = 0; i < 2; i++) {
		CU_ASSERT_EQUAL(copy_progress(copies[i])->scanned, disk.size);
		CU_ASSERT_EQUAL(done_status, 0);
		copy_free(copies[i]);
		nbd_source_close(sources[i]);
	}
	source = NULL;
	teardown();
}

static void failed_allocations_are_reported(void)
{
	struct errinfo err = {0};

	disk = disk_default();
	setup(NULL, 2);
	alloc_fail_at(1);
	CU_ASSERT_EQUAL(
	    copy_start(&copy, source, pool, 3, COPY_ALL, 4, &sink.sink, copy_done, NULL, &err),
	    -ENOMEM);
	CU_ASSERT(alloc_fail_off());
	CU_ASSERT_PTR_NULL(copy);
	CU_ASSERT_EQUAL(err.code, -ENOMEM);
	copy_free(NULL);
	teardown();
}

/* --- a real bitmap --- */

static int real_data(struct copy_sink *self, unsigned number, uint64_t offset, uint32_t length,
		     struct buf *buf, struct errinfo *err)
{
	block_fate(offset, length, DATA);
	for (uint32_t i = 0; i < length; i += BLOCK)
		CU_ASSERT(buf->data[i] == 0x5a || buf->sums[i / BLOCK] == SUM_ZERO);
	pool_put(pool, buf);
	return 0;
}

static int real_zero(struct copy_sink *self, unsigned number, uint64_t offset, uint64_t length,
		     struct errinfo *err)
{
	block_fate(offset, length, ZEROS);
	return 0;
}

static void the_dirty_blocks_of_a_real_bitmap_arrive(void)
{
	const uint64_t dirty[] = {0, 640, (UINT64_C(5) << 30) / BLOCK,
				  (UINT64_C(64) << 30) / BLOCK - 16};
	char image[128], command[1024];

	disk = disk_default();
	disk.size = UINT64_C(64) << 30;
	setup_pool(BUFFERS);
	snprintf(image, sizeof(image), "%s/image.qcow2", dir);
	snprintf(command, sizeof(command),
		 "qemu-img create -q -f qcow2 %s 64G && qemu-img bitmap --add %s b0 && "
		 "qemu-io -f qcow2 -c 'write -P 0x5a 0 64k' -c 'write -z 2560k 64k' "
		 "-c 'write -P 0x5a 5G 64k' -c 'write -P 0x5a 68719411200 64k' %s >/dev/null",
		 image, image, image);
	CU_ASSERT_EQUAL_FATAL(system(command), 0);
	{
		char *argv[] = {"qemu-nbd", "-f", "qcow2", "-t", "-r",	"-x", "",
				"-B",	    "b0", "-k",	   path, image, NULL};

		server = nbd_server_start(path, argv);
	}
	CU_ASSERT_FATAL(server > 0);
	source_open(DIRTY);
	sink.sink.data = real_data;
	sink.sink.zero = real_zero;
	start(COPY_DIRTY, 16);
	finish();
	CU_ASSERT_EQUAL(done_status, 0);
	CU_ASSERT_EQUAL(copy_progress(copy)->extents, 4);
	CU_ASSERT_EQUAL(copy_progress(copy)->bytes, 4 * 65536);
	CU_ASSERT_EQUAL(copy_progress(copy)->data_bytes, 3 * 65536);
	for (unsigned i = 0; i < 4; i++)
		CU_ASSERT_EQUAL(sink.fates[dirty[i]], i == 1 ? ZEROS : DATA);
	copy_free(copy);
	nbd_source_close(source);
	source = NULL;
	unlink(image);
	teardown();
}

/* Clean as a whole, and inside the part. */
static bool block_clean(uint64_t block, uint64_t first, uint64_t end)
{
	for (uint64_t i = 0; i < BLOCK / SECTOR; i++) {
		uint64_t sector = block * (BLOCK / SECTOR) + i;

		if (sector < (disk.size + SECTOR - 1) / SECTOR && sector_wanted(&disk, sector))
			return false;
	}
	return block >= first && block < end;
}

static void exactly_the_clean_blocks_of_a_part_arrive(void)
{
	const uint64_t parts[][2] = {{0, 5}, {7, 900}, {4000, 97}, {4090, 100}};
	struct errinfo err = {0};

	for (unsigned part = 0; part < 4; part++) {
		disk = disk_default();
		disk.size += 3 * SECTOR;
		disk.run_sectors = part % 2 ? 8 : 29;
		disk.cut = 5000;
		setup(DIRTY, BUFFERS);
		done_runs = 0;
		CU_ASSERT_EQUAL_FATAL(copy_start_range(&copy, source, pool, 3, COPY_CLEAN, 16,
						       parts[part][0] * BLOCK,
						       parts[part][1] * BLOCK, &sink.sink,
						       copy_done, NULL, &err), 0);
		finish();
		CU_ASSERT_EQUAL(done_status, 0);
		for (uint64_t block = 0; block < sink.blocks; block++)
			CU_ASSERT_EQUAL(sink.fates[block] != UNTOUCHED,
					block_clean(block, parts[part][0],
						    parts[part][0] + parts[part][1]));
		copy_free(copy);
		teardown();
	}
}

static const struct cunit_case cases[] = {
    {"every_wanted_block_arrives_once_whatever_the_extents",
     every_wanted_block_arrives_once_whatever_the_extents},
    {"every_byte_that_is_not_zero_arrives", every_byte_that_is_not_zero_arrives},
    {"an_empty_or_tiny_disk_is_copied", an_empty_or_tiny_disk_is_copied},
    {"dirty_zeros_come_in_one_run", dirty_zeros_come_in_one_run},
    {"exactly_the_bad_blocks_are_reported", exactly_the_bad_blocks_are_reported},
    {"without_bad_the_first_failed_read_ends_the_copy",
     without_bad_the_first_failed_read_ends_the_copy},
    {"a_sink_that_fails_ends_the_copy_at_every_call",
     a_sink_that_fails_ends_the_copy_at_every_call},
    {"a_cancelled_copy_ends_once_at_every_moment", a_cancelled_copy_ends_once_at_every_moment},
    {"a_copy_waiting_for_buffers_can_be_cancelled", a_copy_waiting_for_buffers_can_be_cancelled},
    {"a_lost_connection_ends_the_copy", a_lost_connection_ends_the_copy},
    {"done_may_free_the_copy_and_close_the_source", done_may_free_the_copy_and_close_the_source},
    {"two_copies_share_a_small_pool", two_copies_share_a_small_pool},
    {"failed_allocations_are_reported", failed_allocations_are_reported},
    {"exactly_the_clean_blocks_of_a_part_arrive", exactly_the_clean_blocks_of_a_part_arrive},
    {"the_dirty_blocks_of_a_real_bitmap_arrive", the_dirty_blocks_of_a_real_bitmap_arrive},
};

int main(void)
{
	return cunit_run("copy", cases, sizeof(cases) / sizeof(cases[0]));
}
