/* SPDX-License-Identifier: Apache-2.0
 *
 * A store on real files in a directory of its own, and waiting for its calls.
 */
#ifndef STORE_FIXTURE_H
#define STORE_FIXTURE_H

#include <CUnit/CUnit.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pool.h"
#include "ring.h"
#include "store.h"
#include "sum.h"

#define FIXTURE_BLOCK 65536u
#define FIXTURE_BUFFER (4 * FIXTURE_BLOCK)

struct fixture {
	char dir[256];
	struct ring *ring;
	struct pool *pool;
	struct store *store;
	struct errinfo err;
	bool done;
	int status;
	struct errinfo error; /* of the last done() */
};

static inline void fixture_remove(const char *dir, const char *name)
{
	char command[512];

	snprintf(command, sizeof(command), "rm -rf '%s/%s'", dir, name);
	CU_ASSERT_EQUAL(system(command), 0);
}

/* On a file system with O_DIRECT where there is one: /var/tmp rather than /tmp. */
static inline void fixture_init(struct fixture *f)
{
	const char *base = getenv("TMPDIR");

	memset(f, 0, sizeof(*f));
	snprintf(f->dir, sizeof(f->dir), "%s/qheal-store-XXXXXX", base ? base : "/var/tmp");
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(f->dir));
	CU_ASSERT_EQUAL_FATAL(ring_new(&f->ring, 64, &f->err), 0);
	CU_ASSERT_EQUAL_FATAL(
		pool_new(&f->pool, f->ring, 12, FIXTURE_BUFFER, FIXTURE_BLOCK, &f->err), 0);
}

static inline void fixture_release(struct fixture *f)
{
	store_close(f->store);
	pool_free(f->pool);
	ring_free(f->ring);
	fixture_remove(f->dir, "");
}

static inline struct store_spec fixture_spec(uint64_t vda, uint64_t vdb)
{
	struct store_spec spec = {.vm = "guest", .block_bytes = FIXTURE_BLOCK, .disk_count = 1};

	strcpy(spec.vm_uuid, "12345678-9abc-4def-8123-456789abcdef");
	strcpy(spec.disks[0].name, "vda");
	spec.disks[0].size = vda;
	if (vdb) {
		spec.disk_count = 2;
		strcpy(spec.disks[1].name, "vdb");
		spec.disks[1].size = vdb;
	}
	return spec;
}

static inline int fixture_open(struct fixture *f)
{
	err_clear(&f->err);
	return store_open(&f->store, f->ring, f->pool, f->dir, &f->err);
}

static inline int fixture_reopen(struct fixture *f)
{
	store_close(f->store);
	return fixture_open(f);
}

static inline void fixture_create(struct fixture *f, uint64_t vda, uint64_t vdb)
{
	struct store_spec spec = fixture_spec(vda, vdb);

	CU_ASSERT_EQUAL_FATAL(store_create(f->dir, &spec, 0, &f->err), 0);
	CU_ASSERT_EQUAL_FATAL(fixture_open(f), 0);
}

static inline void fixture_done(void *arg, int status, const struct errinfo *error)
{
	struct fixture *f = arg;

	f->done = true;
	f->status = status;
	f->error = *error;
}

static inline int fixture_wait(struct fixture *f)
{
	while (!f->done)
		CU_ASSERT_TRUE_FATAL(ring_run(f->ring) >= 0);
	f->done = false;
	return f->status;
}

/* LENGTH bytes of FILL, each 8 bytes with their offset mixed in; 0: zeros. */
static inline void fixture_pattern(uint8_t *data, uint64_t offset, uint32_t length, uint64_t fill)
{
	for (uint32_t i = 0; i < length; i += 8) {
		uint64_t word = fill ? fill * UINT64_C(0x9e3779b97f4a7c15) + offset + i : 0;

		memcpy(data + i, &word, 8);
	}
}

static inline int fixture_put(struct fixture *f, struct copy_sink *sink, unsigned disk,
			      uint64_t offset, uint32_t length, uint64_t fill)
{
	struct buf *buf;

	while (!(buf = pool_get(f->pool)))
		CU_ASSERT_TRUE_FATAL(ring_run(f->ring) >= 0);
	fixture_pattern(buf->data, offset, length, fill);
	for (uint32_t at = 0, i = 0; at < length; at += FIXTURE_BLOCK, i++)
		buf->sums[i] = block_sum(buf->data + at,
					 length - at < FIXTURE_BLOCK ? length - at : FIXTURE_BLOCK,
					 offset + at);
	return sink->data(sink, disk, offset, length, buf, &f->err);
}

static inline int fixture_commit(struct fixture *f, int64_t time_us)
{
	store_commit(f->store, time_us, fixture_done, f);
	return fixture_wait(f);
}

static inline int fixture_settle(struct fixture *f)
{
	store_settle(f->store, fixture_done, f);
	return fixture_wait(f);
}

static inline void fixture_begin(struct fixture *f)
{
	while (!store_can_begin(f->store))
		CU_ASSERT_TRUE_FATAL(ring_run(f->ring) >= 0);
	CU_ASSERT_EQUAL_FATAL(store_begin(f->store, &f->err), 0);
}

/* The first copy: block 0 of every disk with content FILL; no generation yet. */
static inline void fixture_fill(struct fixture *f, uint64_t fill)
{
	const struct store_spec *spec = &store_info(f->store)->spec;

	CU_ASSERT_EQUAL_FATAL(store_fill_begin(f->store, &f->err), 0);
	for (unsigned i = 0; i < spec->disk_count; i++) {
		uint64_t size = spec->disks[i].size;

		fixture_put(f, store_fill_sink(f->store), i, 0,
			    size < FIXTURE_BLOCK ? (uint32_t)size : FIXTURE_BLOCK, fill);
	}
	store_fill_end(f->store, fixture_done, f);
	CU_ASSERT_EQUAL_FATAL(fixture_wait(f), 0);
}

/* LENGTH bytes at OFFSET of the head are FILL, and their sums right. */
static inline bool fixture_head_is(struct fixture *f, const char *disk, uint64_t offset,
				   uint32_t length, uint64_t fill)
{
	uint8_t *found = malloc(length), *wanted = malloc(length);
	char path[512], sums_path[512];
	uint64_t sum = 0;
	bool right;
	int fd, sums;

	store_head_path(f->dir, disk, path, sizeof(path));
	snprintf(sums_path, sizeof(sums_path), "%s/disks/%s/sums", f->dir, disk);
	fd = open(path, O_RDONLY);
	sums = open(sums_path, O_RDONLY);
	fixture_pattern(wanted, offset, length, fill);
	right = pread(fd, found, length, (off_t)offset) == (ssize_t)length &&
		memcmp(found, wanted, length) == 0;
	for (uint32_t at = 0; at < length && right; at += FIXTURE_BLOCK) {
		uint32_t bytes = length - at < FIXTURE_BLOCK ? length - at : FIXTURE_BLOCK;

		right = pread(sums, &sum, 8, (off_t)((offset + at) / FIXTURE_BLOCK * 8)) == 8 &&
			sum == block_sum(wanted + at, bytes, offset + at);
	}
	close(fd);
	close(sums);
	free(found);
	free(wanted);
	return right;
}

#endif
