/* SPDX-License-Identifier: Apache-2.0
 *
 * A whole store of which one file was damaged: what still gives out a block without an
 * error gives out the right one.
 *
 * The store has generation 2 in its heads, generation 3 in its journal only, a kept
 * point of generation 2 and a clone of generation 1.  Input: file (1 byte), how (1), place
 * (4, little endian), then the bytes that are written there; "how" also cuts the file
 * or XORs one byte.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image.h"
#include "member.h"
#include "point_json.h"
#include "pool.h"
#include "ring.h"
#include "store.h"
#include "sum.h"

#define BLOCK 4096u
#define BLOCKS 12u
#define SIZE ((uint64_t)(BLOCKS - 1) * BLOCK + 1536)
#define AREA (128u << 10) /* what is left of an area: the generations are far smaller */
#define FILES (sizeof(names) / sizeof(names[0]))

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const names[] = {
	"store.json", "journal/a", "journal/b", "disks/vda/head.raw", "disks/vda/sums",
	"points/00000001/point.json", "points/00000001/vda/head.raw", "points/00000001/vda/sums",
	"points/00000002/point.json", "points/00000002/vda/kept.raw", "points/00000002/vda/kept",
	"points/serial",
};

static struct {
	uint8_t *data;
	size_t size;
	bool *hole; /* of each page */
} files[FILES];

static struct ring *ring;
static struct pool *pool;
static char dir[64];

struct wait {
	bool done;
	int status;
};

static void done(void *arg, int status, const struct errinfo *error)
{
	*(struct wait *)arg = (struct wait){true, status};
}

static int await(struct wait *wait)
{
	while (!wait->done)
		assert(ring_run(ring) >= 0);
	wait->done = false;
	return wait->status;
}

static void must(int status)
{
	assert(status == 0);
}

/* What block N is in GENERATION: each changes some, and makes some zeros. */
static uint64_t fill(unsigned generation, uint32_t n)
{
	static const uint64_t fills[4][BLOCKS] = {
		[1] = {1, 2, 3, 0, 5, 6, 7, 0, 9, 10, 11, 12},
		[2] = {1, 2, 30, 40, 0, 6, 7, 0, 9, 10, 11, 120},
		[3] = {1, 200, 300, 0, 0, 6, 0, 80, 9, 10, 11, 1200},
	};

	return fills[generation][n];
}

static uint32_t length_of(uint32_t n)
{
	return n == BLOCKS - 1 ? SIZE % BLOCK : BLOCK;
}

static void content(uint8_t *data, unsigned generation, uint32_t n)
{
	for (uint32_t at = 0; at < length_of(n); at += 8) {
		uint64_t word = fill(generation, n) * (UINT64_C(0x9e3779b97f4a7c15) + n + at);

		memcpy(data + at, &word, 8);
	}
}

/* --- the good store, made once --- */

static void put(struct copy_sink *sink, unsigned generation, uint32_t n)
{
	struct buf *buf;

	if (!fill(generation, n)) {
		assert(generation == 1 ||
		       sink->zero(sink, 0, n * (uint64_t)BLOCK, length_of(n), NULL) == 0);
		return;
	}
	while (!(buf = pool_get(pool)))
		assert(ring_run(ring) >= 0);
	content(buf->data, generation, n);
	buf->sums[0] = block_sum(buf->data, length_of(n), n * (uint64_t)BLOCK);
	assert(sink->data(sink, 0, n * (uint64_t)BLOCK, length_of(n), buf, NULL) == 0);
}

static void commit(struct store *store, unsigned generation)
{
	struct wait wait = {0};

	while (!store_can_begin(store))
		assert(ring_run(ring) >= 0);
	assert(store_begin(store, NULL) == 0);
	for (uint32_t n = 0; n < BLOCKS && generation > 1; n++)
		if (fill(generation, n) != fill(generation - 1, n))
			put(store_sink(store), generation, n);
	store_commit(store, generation, done, &wait);
	must(await(&wait));
}

static void settle(struct store *store)
{
	struct wait wait = {0};

	store_settle(store, done, &wait);
	must(await(&wait));
}

static void file_write_whole(const char *name, const void *data, size_t size)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	assert(fd >= 0 && pwrite(fd, data, size, 0) == (ssize_t)size);
	close(fd);
}

/* The heads, as a file system that shares blocks would have cloned them. */
static void clone_make(void)
{
	static struct point_info info = {.id = 1, .name = "one", .kind = POINT_CLONE,
					 .generation = 1, .time_us = 1, .disk_count = 1};
	uint64_t serial[2] = {1, 1};
	char command[512], *json;

	snprintf(command, sizeof(command),
		 "mkdir -p %s/points/00000001 && cp -r %s/disks/vda %s/points/00000001/", dir, dir,
		 dir);
	assert(system(command) == 0);
	strcpy(info.disks[0].name, "vda");
	info.disks[0].size = SIZE;
	json = point_json_format(&info);
	file_write_whole("points/00000001/point.json", json, strlen(json));
	file_write_whole("points/serial", serial, sizeof(serial));
	free(json);
}

static void store_fill_one(struct store *store)
{
	struct wait wait = {0};

	assert(store_fill_begin(store, NULL) == 0);
	for (uint32_t n = 0; n < BLOCKS; n++)
		put(store_fill_sink(store), 1, n);
	store_fill_end(store, done, &wait);
	must(await(&wait));
	commit(store, 1);
	settle(store);
}

static void holes_take(int fd, unsigned file)
{
	size_t pages = (files[file].size + BLOCK - 1) / BLOCK;

	files[file].hole = calloc(pages + 1, sizeof(bool));
	for (size_t i = 0; i < pages; i++) {
		off_t at = (off_t)(i * BLOCK), next = lseek(fd, at, SEEK_DATA);

		files[file].hole[i] = next < 0 || next >= at + (off_t)BLOCK;
	}
}

/* As it was taken, with its holes. */
static void file_put_back(unsigned file)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, names[file]);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	assert(fd >= 0 && ftruncate(fd, (off_t)files[file].size) == 0);
	for (size_t at = 0; at < files[file].size; at += BLOCK) {
		size_t left = files[file].size - at, length = left < BLOCK ? left : BLOCK;

		if (!files[file].hole[at / BLOCK])
			assert(pwrite(fd, files[file].data + at, length, (off_t)at) ==
			       (ssize_t)length);
	}
	close(fd);
}

/* Generation 3 is committed, and the process "killed": the files are taken as they are. */
static void files_take(void)
{
	for (unsigned i = 0; i < FILES; i++) {
		char path[256];
		struct stat status;
		int fd;

		snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		fd = open(path, O_RDONLY);
		assert(fd >= 0 && fstat(fd, &status) == 0);
		files[i].size = i == 1 || i == 2 ? AREA : (size_t)status.st_size;
		files[i].data = malloc(files[i].size);
		assert(pread(fd, files[i].data, files[i].size, 0) == (ssize_t)files[i].size);
		holes_take(fd, i);
		close(fd);
	}
}

static void remove_all(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf %s", dir);
	if (system(command))
		fprintf(stderr, "%s is left behind\n", dir);
}

static void make(void)
{
	struct store_spec spec = {.vm = "guest", .block_bytes = BLOCK, .disk_count = 1};
	struct point_request request = {.name = "two"};
	struct wait wait = {0};
	struct store *store;

	snprintf(dir, sizeof(dir), "/dev/shm/qheal-fuzz-XXXXXX");
	assert(mkdtemp(dir));
	atexit(remove_all);
	strcpy(spec.disks[0].name, "vda");
	spec.disks[0].size = SIZE;
	assert(ring_new(&ring, 64, NULL) == 0);
	assert(pool_new(&pool, ring, 12, 4 * BLOCK, BLOCK, NULL) == 0);
	assert(store_create(dir, &spec, 0, NULL) == 0);
	assert(store_open(&store, ring, pool, dir, NULL) == 0);
	store_fill_one(store);
	store_close(store);
	clone_make();
	assert(store_open(&store, ring, pool, dir, NULL) == 0);
	commit(store, 2);
	settle(store);
	store_point_take(store, &request, done, &wait);
	must(await(&wait));
	commit(store, 3);
	files_take();
	settle(store);
	store_close(store);
}

/* --- one run --- */

/* A store that is opened for writing puts damaged points aside. */
static void points_put_back(void)
{
	for (unsigned id = 1; id <= 2; id++) {
		char from[128], to[128];

		snprintf(to, sizeof(to), "%s/points/%08u", dir, id);
		snprintf(from, sizeof(from), "%s.damaged", to);
		if (rename(from, to) && errno != ENOENT)
			perror(from);
	}
}

/* What is handed on is what it was in GENERATION. */
struct truth {
	struct copy_sink sink;
	unsigned generation;
	bool seen[BLOCKS]; /* handed on, or said to be bad */
};

static int truth_data(struct copy_sink *sink, unsigned disk, uint64_t offset, uint32_t length,
		      struct buf *buf, struct errinfo *err)
{
	struct truth *truth = member_of(sink, struct truth, sink);

	assert(offset % BLOCK == 0 && offset + length <= SIZE);
	for (uint32_t at = 0; at < length; at += BLOCK) {
		uint32_t n = (uint32_t)((offset + at) / BLOCK);
		uint8_t right[BLOCK];

		content(right, truth->generation, n);
		if (!truth->seen[n])
			assert(memcmp(right, buf->data + at, length_of(n)) == 0);
		truth->seen[n] = true;
	}
	pool_put(pool, buf);
	return 0;
}

static int truth_bad(struct copy_sink *sink, unsigned disk, uint64_t offset, uint32_t length,
		     int status)
{
	member_of(sink, struct truth, sink)->seen[offset / BLOCK] = true;
	return 0;
}

static void image_check(const struct point_info *point, unsigned generation)
{
	struct truth truth = {{.data = truth_data, .bad = truth_bad}, generation, {false}};
	struct wait wait = {0};
	struct errinfo err = {0};
	struct imagecopy *copy;
	struct image *image;

	if (image_open(&image, ring, dir, point, "vda", &err)) {
		assert(err.code && err.text[0]);
		return;
	}
	assert(image_size(image) == SIZE && image_block_bytes(image) == BLOCK);
	assert(imagecopy_start(&copy, image, pool, 0, 4, &truth.sink, done, &wait, NULL) == 0);
	if (!await(&wait))
		for (uint32_t n = 0; n < BLOCKS; n++) /* the others are zeros */
			assert(truth.seen[n] || !fill(generation, n));
	imagecopy_free(copy);
	image_close(image);
}

static void all_check(void)
{
	struct errinfo err = {0};
	struct point_info *points = NULL;
	unsigned count = 0;
	struct store *store = NULL;

	if (store_open(&store, ring, pool, dir, &err)) {
		assert(err.code && err.text[0]);
	} else {
		struct wait wait = {0};

		store_settle(store, done, &wait);
		if (await(&wait) == 0) {
			uint64_t generation = store_info(store)->generation;

			/* What nobody was told of may be torn; what was sealed may not. */
			assert(generation == 2 || generation == 3);
			image_check(NULL, (unsigned)generation);
		}
	}
	if (points_list(dir, &points, &count, NULL))
		count = 0;
	for (unsigned i = 0; i < count; i++)
		if (!points[i].damaged)
			image_check(&points[i], (unsigned)points[i].generation);
	free(points);
	store_close(store);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint32_t place;
	size_t length, which;
	uint8_t *bytes;

	if (size < 7)
		return -1;
	if (!ring)
		make();
	memcpy(&place, data + 2, sizeof(place));
	which = data[0] % FILES;
	points_put_back();
	length = files[which].size;
	for (unsigned i = 0; i < FILES; i++)
		file_put_back(i);
	bytes = malloc(length);
	memcpy(bytes, files[which].data, length);
	place %= (uint32_t)length;
	if (data[1] % 4 == 0)
		length = place;
	else if (data[1] % 4 == 1)
		bytes[place] ^= data[6];
	else
		memcpy(bytes + place, data + 6, size - 6 < length - place ? size - 6 : length - place);
	file_write_whole(names[which], bytes, length);
	free(bytes);
	all_check();
	return 0;
}
