/* SPDX-License-Identifier: Apache-2.0
 *
 * The overlay against QEMU's own tools: whatever is put into it, in any order,
 * qemu-img finds no fault with the image and sees what a raw model holds.
 */
#include <CUnit/CUnit.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "alloc_fail.h"
#include "cunit_main.h"
#include "overlay.h"

#define KIB UINT64_C(1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)
#define TIB (1024 * GIB)

/* --- calls that fail --- */

static unsigned call_countdown; /* 0: none fails */
static int call_errno;
static bool call_failed;
static bool ring_sparse; /* data is not really written */
static bool no_model;

static bool call_must_fail(void)
{
	if (!call_countdown || --call_countdown)
		return false;
	call_failed = true;
	errno = call_errno;
	return true;
}

int __real_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);
ssize_t __real_pwrite64(int fd, const void *data, size_t length, off_t offset);
ssize_t __wrap_pwrite64(int fd, const void *data, size_t length, off_t offset);
int __real_ftruncate64(int fd, off_t length);
int __wrap_ftruncate64(int fd, off_t length);
void __real_ring_write(struct ring *ring, struct ring_op *op, int fd, const void *buffer,
		       uint32_t length, uint64_t offset);
void __wrap_ring_write(struct ring *ring, struct ring_op *op, int fd, const void *buffer,
		       uint32_t length, uint64_t offset);
void __real_ring_flush(struct ring *ring, struct ring_op *op, int fd);
void __wrap_ring_flush(struct ring *ring, struct ring_op *op, int fd);

int __wrap_open64(const char *path, int flags, ...)
{
	return call_must_fail() ? -1 : __real_open64(path, flags, 0600);
}

/* Short sometimes, as at the end of a full disk. */
ssize_t __wrap_pwrite64(int fd, const void *data, size_t length, off_t offset)
{
	return call_must_fail() ? -1 : __real_pwrite64(fd, data, length > 1 ? length - length / 2
									     : length, offset);
}

int __wrap_ftruncate64(int fd, off_t length)
{
	return call_must_fail() ? -1 : __real_ftruncate64(fd, length);
}

/* An fd that cannot be written stands for the failing disk. */
void __wrap_ring_write(struct ring *ring, struct ring_op *op, int fd, const void *buffer,
		       uint32_t length, uint64_t offset)
{
	static int bad_fd = -1;

	if (bad_fd < 0)
		bad_fd = __real_open64("/dev/null", O_RDONLY | O_CLOEXEC, 0);
	if (ring_sparse)
		ring_timer(ring, op, 0);
	else
		__real_ring_write(ring, op, call_must_fail() ? bad_fd : fd, buffer, length, offset);
}

void __wrap_ring_flush(struct ring *ring, struct ring_op *op, int fd)
{
	__real_ring_flush(ring, op, call_must_fail() ? -1 : fd);
}

/* --- the fixture --- */

static struct {
	char dir[64], image[128], head[128], model[128];
	struct ring *ring;
	struct pool *pool;
	struct overlay *overlay;
	struct errinfo err;
	int head_fd, model_fd;
	uint64_t size, random;
	uint32_t block, buffer;
	unsigned done;
	int status;
	struct errinfo error;
} f;

__attribute__((format(printf, 1, 2))) static int run(const char *format, ...)
{
	char command[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	return system(command);
}

static uint64_t dice(uint64_t below)
{
	f.random ^= f.random << 13;
	f.random ^= f.random >> 7;
	f.random ^= f.random << 17;
	return f.random % (below ? below : 1);
}

static int file_new(const char *path, uint64_t size)
{
	int fd = __real_open64(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	CU_ASSERT_FATAL(fd >= 0);
	CU_ASSERT_EQUAL_FATAL(__real_ftruncate64(fd, (off_t)size), 0);
	return fd;
}

static void setup(uint32_t block, unsigned buffers, uint64_t size)
{
	memset(&f, 0, sizeof(f));
	f.random = (size ^ block) * UINT64_C(0x9e3779b97f4a7c15) + 1;
	f.size = size;
	f.block = block;
	f.buffer = block < 256 * KIB ? 256 * KIB : block;
	strcpy(f.dir, "/var/tmp/qheal-overlay-XXXXXX");
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(f.dir));
	snprintf(f.image, sizeof(f.image), "%s/overlay.qcow2", f.dir);
	snprintf(f.head, sizeof(f.head), "%s/head.raw", f.dir);
	snprintf(f.model, sizeof(f.model), "%s/model.raw", f.dir);
	CU_ASSERT_EQUAL_FATAL(ring_new(&f.ring, 64, &f.err), 0);
	CU_ASSERT_EQUAL_FATAL(pool_new(&f.pool, f.ring, buffers, f.buffer, block, &f.err), 0);
	f.head_fd = file_new(f.head, size);
	f.model_fd = file_new(f.model, size);
}

static void teardown(void)
{
	overlay_free(f.overlay);
	pool_free(f.pool);
	ring_free(f.ring);
	close(f.head_fd);
	close(f.model_fd);
	CU_ASSERT_EQUAL(run("rm -rf %s", f.dir), 0);
}

static int overlay_make(void)
{
	err_clear(&f.err);
	return overlay_new(&f.overlay, f.ring, f.pool, f.image, f.size, "head.raw", &f.err);
}

static void done(void *arg, int status, const struct errinfo *error)
{
	f.done++;
	f.status = status;
	f.error = *error;
}

static int wait_done(void)
{
	while (!f.done)
		CU_ASSERT_FATAL(ring_run(f.ring) > 0);
	CU_ASSERT_EQUAL(f.done, 1);
	f.done = 0;
	return f.status;
}

static int finish(void)
{
	overlay_finish(f.overlay, done, &f);
	return wait_done();
}

static void give_up(void)
{
	overlay_abandon(f.overlay, done, &f);
	wait_done();
	CU_ASSERT_EQUAL(access(f.image, F_OK), -1);
}

static void scribble(uint8_t *data, uint32_t length)
{
	for (uint32_t i = 0; i < length; i += 8) {
		uint64_t word = dice(UINT64_MAX);

		memcpy(data + i, &word, 8);
	}
}

static void model_write(int fd, const void *data, uint32_t length, uint64_t offset)
{
	CU_ASSERT_EQUAL_FATAL(__real_pwrite64(fd, data, length, (off_t)offset), (ssize_t)length);
}

/* The page behind the data is not zeros: the overlay must see to that itself. */
static int put(uint64_t offset, uint32_t length)
{
	struct copy_sink *sink = overlay_sink(f.overlay);
	struct buf *buf;

	while (!(buf = pool_get(f.pool)))
		CU_ASSERT_FATAL(ring_run(f.ring) > 0);
	if (!ring_sparse) { /* nobody will see it */
		memset(buf->data, 0xee, f.buffer);
		scribble(buf->data, length);
	}
	if (!no_model)
		model_write(f.model_fd, buf->data, length, offset);
	return sink->data(sink, 0, offset, length, buf, &f.err);
}

static int zero(uint64_t offset, uint64_t length)
{
	struct copy_sink *sink = overlay_sink(f.overlay);

	CU_ASSERT_EQUAL(fallocate(f.model_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				  (off_t)offset, (off_t)length), 0);
	return sink->zero(sink, 0, offset, length, &f.err);
}

/* The head's old content at a place, so that it shows through, or must not. */
static void old_content(uint64_t offset, uint32_t length)
{
	static uint8_t data[2 * MIB];

	if (offset + length > f.size)
		length = (uint32_t)(f.size - offset);
	scribble(data, length);
	model_write(f.head_fd, data, length, offset);
	model_write(f.model_fd, data, length, offset);
}

static void image_is_right(void)
{
	CU_ASSERT_EQUAL(run("qemu-img check -q -f qcow2 %s", f.image), 0); /* leaks: 3 */
	CU_ASSERT_EQUAL(run("qemu-img compare -q -f qcow2 -F raw %s %s", f.image, f.model), 0);
	CU_ASSERT_EQUAL(run("qemu-img info %s | tr -d '\\n' | grep -q '(%llu bytes).*backing file: "
			    "head.raw'", f.image, (unsigned long long)f.size), 0);
}

/* --- what must hold --- */

struct extent {
	uint64_t offset, length;
	bool zero;
};

#define EXTENTS 40
#define ZERO_BLOCKS_MAX (1u << 20) /* many tables of every size, in seconds */

/* Ascending and apart, over the whole disk; the last one touches its end. */
static unsigned extents_make(struct extent extents[EXTENTS])
{
	uint64_t blocks = (f.size + f.block - 1) / f.block, at = 0;
	unsigned count = 0;

	while (at < blocks && count < EXTENTS) {
		bool last = count == EXTENTS - 1 || blocks - at < 4;
		struct extent *extent = &extents[count++];
		uint64_t many = 1 + dice(3 * f.buffer / f.block), end;

		extent->zero = dice(3) == 0;
		if (extent->zero && dice(2))
			many += dice(blocks / EXTENTS < ZERO_BLOCKS_MAX ? blocks / EXTENTS
									: ZERO_BLOCKS_MAX);
		if (last && at + many < blocks)
			at = blocks - many;
		end = at + many > blocks ? blocks : at + many;
		extent->offset = at * f.block;
		extent->length = (end == blocks ? f.size : end * f.block) - extent->offset;
		at = end + (dice(2) ? 0 : dice(2 * blocks / EXTENTS));
	}
	return count;
}

static void extent_put(const struct extent *extent)
{
	uint64_t offset = extent->offset, left = extent->length;

	if (extent->zero) {
		CU_ASSERT_EQUAL(zero(offset, left), 0);
		return;
	}
	while (left) {
		uint32_t length = left < f.buffer ? (uint32_t)left : f.buffer;

		CU_ASSERT_EQUAL(put(offset, length), 0);
		offset += length;
		left -= length;
	}
}

static void fill_and_compare(uint32_t block, uint64_t size)
{
	struct extent extents[EXTENTS];
	unsigned count;

	setup(block, 12, size);
	count = extents_make(extents);
	for (unsigned i = 0; i < count; i++) {
		uint64_t before = dice(f.block) & ~UINT64_C(511);

		if (dice(2)) /* under the extent and around it */
			old_content(extents[i].offset > before ? extents[i].offset - before : 0,
				    (uint32_t)(2 * f.block));
	}
	CU_ASSERT_EQUAL_FATAL(overlay_make(), 0);
	for (unsigned i = count; i > 1; i--) {
		unsigned other = (unsigned)dice(i);
		struct extent swap = extents[i - 1];

		extents[i - 1] = extents[other];
		extents[other] = swap;
	}
	for (unsigned i = 0; i < count; i++)
		extent_put(&extents[i]);
	CU_ASSERT_EQUAL(finish(), 0);
	CU_ASSERT_EQUAL(pool_available(f.pool), 12);
	image_is_right();
	teardown();
}

static const uint32_t blocks[] = {4 * KIB, 64 * KIB, 256 * KIB, MIB};

static void qemu_sees_what_was_put_at_any_size(void)
{
	static const uint64_t sizes[] = {
		512, 64 * KIB, 64 * KIB + 512, MIB - 512, 2 * MIB, 100 * MIB + 3584, 512 * MIB,
		3 * GIB + 512, 8 * TIB - 512, 8 * TIB};

	for (unsigned i = 0; i < sizeof(blocks) / sizeof(blocks[0]); i++) {
		for (unsigned j = 0; j < sizeof(sizes) / sizeof(sizes[0]); j++)
			fill_and_compare(blocks[i], sizes[j]);
	}
}

static void an_overlay_without_blocks_is_its_head(void)
{
	for (unsigned i = 0; i < sizeof(blocks) / sizeof(blocks[0]); i++) {
		setup(blocks[i], 2, 10 * MIB + 512);
		old_content(MIB, MIB);
		CU_ASSERT_EQUAL_FATAL(overlay_make(), 0);
		CU_ASSERT_EQUAL(finish(), 0);
		image_is_right();
		teardown();
	}
}

static void a_disk_all_zeros_hides_the_head(void)
{
	for (unsigned i = 0; i < sizeof(blocks) / sizeof(blocks[0]); i++) {
		setup(blocks[i], 2, 600 * MIB + 512);
		old_content(0, MIB);
		old_content(600 * MIB, MIB);
		CU_ASSERT_EQUAL_FATAL(overlay_make(), 0);
		CU_ASSERT_EQUAL(zero(0, f.size), 0);
		CU_ASSERT_EQUAL(finish(), 0);
		image_is_right();
		teardown();
	}
}

/* The guest goes on in it: QEMU must find free clusters behind what is there. */
static void the_guest_can_go_on_in_it(void)
{
	setup(64 * KIB, 4, 3 * GIB + 512);
	CU_ASSERT_EQUAL_FATAL(overlay_make(), 0);
	CU_ASSERT_EQUAL(put(0, (uint32_t)(256 * KIB)), 0);
	CU_ASSERT_EQUAL(put(3 * GIB, 512), 0);
	CU_ASSERT_EQUAL(zero(GIB, 64 * KIB), 0);
	CU_ASSERT_EQUAL(finish(), 0);
	image_is_right();
	for (unsigned i = 0; i < 2; i++) {
		const char *file = i ? f.model : f.image;

		CU_ASSERT_EQUAL(run("qemu-io -f %s -c 'write -P 0x22 4096 4096' "
				    "-c 'write -P 0x33 1G 4096' -c 'write -P 0x44 2G 8M' "
				    "-c 'discard 65536 65536' -c 'write -P 0x55 3221225472 512' %s "
				    "> /dev/null", i ? "raw" : "qcow2", file), 0);
	}
	image_is_right();
	CU_ASSERT_EQUAL(run("test $(stat -c %%b %s) = 0", f.head), 0); /* it was never written */
	teardown();
}

static void counts_are_right_over_many_refcount_blocks(uint32_t block, uint64_t bytes)
{
	setup(block, 12, 8 * TIB - 512);
	ring_sparse = no_model = true;
	CU_ASSERT_EQUAL_FATAL(overlay_make(), 0);
	for (uint64_t at = 0; at < bytes; at += f.buffer)
		CU_ASSERT_EQUAL(put(at, f.buffer), 0);
	CU_ASSERT_EQUAL(finish(), 0);
	ring_sparse = no_model = false;
	CU_ASSERT_EQUAL(run("qemu-img check -q -f qcow2 %s", f.image), 0);
	CU_ASSERT_EQUAL(run("qemu-img check --output=json -f qcow2 %s | "
			    "grep -q '\"allocated-clusters\": %llu,'", f.image,
			    (unsigned long long)(bytes / (block < 64 * KIB ? block : 64 * KIB))), 0);
	teardown();
}

/* 2 GiB a block of counts with large clusters, 8 MiB with small ones, of which
 * 4 GiB fill the first cluster of their table. */
static void counts_are_right_whatever_is_put(void)
{
	counts_are_right_over_many_refcount_blocks(64 * KIB, 9 * GIB);
	counts_are_right_over_many_refcount_blocks(MIB, 2 * GIB - 2 * MIB);
	counts_are_right_over_many_refcount_blocks(4 * KIB, 5 * GIB);
}

static void more_buffers_than_writes_wait_in_line(void)
{
	const unsigned count = 200;

	setup(64 * KIB, count, 64 * MIB);
	CU_ASSERT_EQUAL_FATAL(overlay_make(), 0);
	for (unsigned i = 0; i < count; i++)
		CU_ASSERT_EQUAL(put((uint64_t)i * f.buffer, f.buffer), 0);
	CU_ASSERT_EQUAL(pool_available(f.pool), 0);
	CU_ASSERT_EQUAL(finish(), 0);
	CU_ASSERT_EQUAL(pool_available(f.pool), count);
	image_is_right();
	teardown();
}

/* Who waits for a buffer puts it while the write that freed it is being ended. */
static void buffer_free(struct pool_waiter *waiter)
{
	CU_ASSERT_EQUAL(put(32 * MIB, f.buffer), 0);
}

static void a_buffer_given_back_may_be_put_at_once(void)
{
	struct pool_waiter waiter = {.ready = buffer_free};
	const unsigned count = 66;

	setup(64 * KIB, count, 64 * MIB);
	CU_ASSERT_EQUAL_FATAL(overlay_make(), 0);
	for (unsigned i = 0; i < count; i++)
		CU_ASSERT_EQUAL(put((uint64_t)i * f.buffer, f.buffer), 0);
	pool_wait(f.pool, &waiter);
	while (waiter.queued)
		CU_ASSERT_FATAL(ring_run(f.ring) > 0);
	CU_ASSERT_EQUAL(finish(), 0);
	image_is_right();
	teardown();
}

static void an_abandoned_overlay_is_gone(void)
{
	for (unsigned put_count = 0; put_count < 100; put_count += 33) {
		setup(64 * KIB, 100, 64 * MIB);
		CU_ASSERT_EQUAL_FATAL(overlay_make(), 0);
		for (unsigned i = 0; i < put_count; i++)
			CU_ASSERT_EQUAL(put((uint64_t)i * f.buffer, f.buffer), 0);
		give_up();
		CU_ASSERT_EQUAL(pool_available(f.pool), 100);
		teardown();
	}
}

static void an_unfinished_overlay_is_no_image(void)
{
	setup(64 * KIB, 4, 64 * MIB);
	CU_ASSERT_EQUAL_FATAL(overlay_make(), 0);
	for (unsigned i = 0; i < 20; i++)
		CU_ASSERT_EQUAL(put((uint64_t)i * f.buffer, f.buffer), 0);
	while (pool_available(f.pool) < 4)
		CU_ASSERT_FATAL(ring_run(f.ring) > 0);
	CU_ASSERT_NOT_EQUAL(run("qemu-img info -f qcow2 %s > /dev/null 2>&1", f.image), 0);
	CU_ASSERT_EQUAL(run("qemu-img info %s | grep -q 'file format: raw'", f.image), 0);
	CU_ASSERT_EQUAL(finish(), 0);
	image_is_right();
	teardown();
}

static void an_older_file_is_replaced(void)
{
	setup(64 * KIB, 4, 64 * MIB);
	close(file_new(f.image, 10 * MIB));
	CU_ASSERT_EQUAL(run("head -c 10M /dev/urandom > %s; chmod 644 %s", f.image, f.image), 0);
	CU_ASSERT_EQUAL_FATAL(overlay_make(), 0);
	CU_ASSERT_EQUAL(put(0, f.buffer), 0);
	CU_ASSERT_EQUAL(finish(), 0);
	image_is_right();
	teardown();
}

static void what_qcow2_cannot_hold_is_refused(void)
{
	char name[1100];
	struct errinfo err = {0};

	setup(4 * KIB, 2, 8 * TIB);
	f.size = 8 * TIB + 512;
	CU_ASSERT_EQUAL(overlay_make(), -E2BIG);
	CU_ASSERT_PTR_NULL(f.overlay);
	memset(name, 'a', sizeof(name));
	name[1024] = '\0';
	CU_ASSERT_EQUAL(overlay_new(&f.overlay, f.ring, f.pool, f.image, MIB, name, &err), -E2BIG);
	CU_ASSERT_EQUAL(access(f.image, F_OK), -1);
	strcpy(f.image, "/nowhere/overlay.qcow2");
	f.size = MIB;
	CU_ASSERT_EQUAL(overlay_make(), -ENOENT);
	CU_ASSERT_PTR_NOT_NULL(strstr(f.err.text, "/nowhere/overlay.qcow2"));
	teardown();
}

/* The whole life of an overlay; what fails in it must come out as an error, once,
 * with the file's name, or not matter at all. */
static void live_with_a_failure(void)
{
	int rc = overlay_make();

	if (rc) {
		CU_ASSERT_EQUAL(rc, f.err.code);
		CU_ASSERT_PTR_NOT_NULL(strstr(f.err.text, f.image));
		CU_ASSERT_EQUAL(access(f.image, F_OK), -1);
		return;
	}
	for (unsigned i = 0; i < 10 && !rc; i++) {
		rc = put(3 * i * f.buffer, i == 9 ? 512 : f.buffer);
		if (!rc && i % 3 == 0)
			rc = zero((3 * i + 1) * f.buffer, f.buffer);
		while (!rc && i == 5 && pool_available(f.pool) < 12)
			CU_ASSERT_FATAL(ring_run(f.ring) > 0);
	}
	if (rc) {
		CU_ASSERT_EQUAL(rc, f.err.code);
		CU_ASSERT_PTR_NOT_NULL(strstr(f.err.text, f.image));
		give_up();
	} else if (finish()) {
		CU_ASSERT_PTR_NOT_NULL(strstr(f.error.text, f.image));
		CU_ASSERT_EQUAL(f.error.code, f.status);
		CU_ASSERT_EQUAL(access(f.image, F_OK), -1);
	} else {
		image_is_right();
	}
	CU_ASSERT_EQUAL(pool_available(f.pool), 12);
}

static void any_call_may_fail(void)
{
	unsigned n = 0;
	bool more = true;

	while (more) {
		call_failed = false;
		setup(64 * KIB, 12, 64 * MIB);
		call_errno = n % 2 ? EIO : ENOSPC;
		call_countdown = ++n;
		live_with_a_failure();
		call_countdown = 0;
		more = call_failed;
		teardown();
	}
	CU_ASSERT_TRUE(n > 40);
}

static void any_allocation_may_fail(void)
{
	bool more = true;

	for (unsigned n = 1; more; n++) {
		int rc;

		setup(64 * KIB, 2, MIB);
		alloc_fail_at(n);
		rc = overlay_make();
		more = alloc_fail_off();
		CU_ASSERT_EQUAL(rc, more ? -ENOMEM : 0);
		CU_ASSERT_EQUAL(access(f.image, F_OK), more ? -1 : 0);
		if (!rc)
			give_up();
		teardown();
	}
}

/* A full disk, for real: the limit on the size of files stands for it. */
static void a_file_that_cannot_grow_is_an_error(void)
{
	struct rlimit before, small;
	int rc = 0;

	setup(64 * KIB, 12, 64 * MIB);
	signal(SIGXFSZ, SIG_IGN);
	CU_ASSERT_EQUAL_FATAL(getrlimit(RLIMIT_FSIZE, &before), 0);
	small = (struct rlimit){.rlim_cur = 2 * MIB, .rlim_max = before.rlim_max};
	CU_ASSERT_EQUAL_FATAL(setrlimit(RLIMIT_FSIZE, &small), 0);
	CU_ASSERT_EQUAL_FATAL(overlay_make(), 0);
	no_model = true;
	for (unsigned i = 0; i < 40 && !rc; i++)
		rc = put((uint64_t)i * f.buffer, f.buffer);
	no_model = false;
	CU_ASSERT_EQUAL(rc, -EFBIG);
	CU_ASSERT_PTR_NOT_NULL(strstr(f.err.text, "File too large"));
	give_up();
	CU_ASSERT_EQUAL(pool_available(f.pool), 12);
	CU_ASSERT_EQUAL(setrlimit(RLIMIT_FSIZE, &before), 0);
	teardown();
}

static const struct cunit_case cases[] = {
	{"qemu_sees_what_was_put_at_any_size", qemu_sees_what_was_put_at_any_size},
	{"an_overlay_without_blocks_is_its_head", an_overlay_without_blocks_is_its_head},
	{"a_disk_all_zeros_hides_the_head", a_disk_all_zeros_hides_the_head},
	{"the_guest_can_go_on_in_it", the_guest_can_go_on_in_it},
	{"counts_are_right_whatever_is_put", counts_are_right_whatever_is_put},
	{"more_buffers_than_writes_wait_in_line", more_buffers_than_writes_wait_in_line},
	{"a_buffer_given_back_may_be_put_at_once", a_buffer_given_back_may_be_put_at_once},
	{"an_abandoned_overlay_is_gone", an_abandoned_overlay_is_gone},
	{"an_unfinished_overlay_is_no_image", an_unfinished_overlay_is_no_image},
	{"an_older_file_is_replaced", an_older_file_is_replaced},
	{"what_qcow2_cannot_hold_is_refused", what_qcow2_cannot_hold_is_refused},
	{"any_call_may_fail", any_call_may_fail},
	{"any_allocation_may_fail", any_allocation_may_fail},
	{"a_file_that_cannot_grow_is_an_error", a_file_that_cannot_grow_is_an_error},
};

int main(void)
{
	return cunit_run("overlay", cases, sizeof(cases) / sizeof(cases[0]));
}
