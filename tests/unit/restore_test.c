/* SPDX-License-Identifier: Apache-2.0
 *
 * Restores to files while the Nth write or the flush fails, the lock against
 * QEMU, and what a cancelled restore leaves.
 */
#include "store_fixture.h"

#include "cunit_main.h"
#include "restore.h"

#define BLOCK FIXTURE_BLOCK
#define BLOCKS 83u
#define TAIL 2560u
#define SIZE ((uint64_t)(BLOCKS - 1) * BLOCK + TAIL)

/* --- the Nth write or flush fails (both are wrapped) --- */

static unsigned fail_write; /* 1: the next; 0: none */
static bool fail_flush;
static unsigned writes;

void __real_ring_write(struct ring *ring, struct ring_op *op, int fd, const void *buffer,
		       uint32_t length, uint64_t offset);
void __wrap_ring_write(struct ring *ring, struct ring_op *op, int fd, const void *buffer,
		       uint32_t length, uint64_t offset);
void __wrap_ring_write(struct ring *ring, struct ring_op *op, int fd, const void *buffer,
		       uint32_t length, uint64_t offset)
{
	writes++;
	/* Descriptor -1 is no file: the write ends with -EBADF. */
	__real_ring_write(ring, op, fail_write && !--fail_write ? -1 : fd, buffer, length, offset);
}

void __real_ring_flush(struct ring *ring, struct ring_op *op, int fd);
void __wrap_ring_flush(struct ring *ring, struct ring_op *op, int fd);
void __wrap_ring_flush(struct ring *ring, struct ring_op *op, int fd)
{
	__real_ring_flush(ring, op, fail_flush ? -1 : fd);
}

/* As a file system without O_DIRECT has it: by then the file is made. */
static bool direct_fails;

int __real_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...)
{
	int fd = __real_open64(path, flags, 0600);

	if (fd < 0 || !direct_fails || !(flags & O_DIRECT))
		return fd;
	close(fd);
	errno = EINVAL;
	return -1;
}

/* --- a store of one generation, and a file to restore to --- */

struct restore_fixture {
	struct fixture f;
	struct image *image;
	struct target *target;
	struct restore *restore;
	char path[512];
};

static uint32_t block_length(uint32_t block)
{
	return block == BLOCKS - 1 ? TAIL : BLOCK;
}

static uint64_t block_fill(uint32_t block)
{
	return block % 6 == 2 ? 0 : block + 1;
}

static void setup(struct restore_fixture *t)
{
	memset(t, 0, sizeof(*t));
	fail_write = 0;
	fail_flush = false;
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
	CU_ASSERT_EQUAL_FATAL(image_open(&t->image, t->f.ring, t->f.dir, NULL, "vda", &t->f.err),
			      0);
	snprintf(t->path, sizeof(t->path), "%s/out", t->f.dir);
}

static void target_get(struct restore_fixture *t, enum target_begin begin, bool qcow2)
{
	int status;

	target_close(t->target);
	err_clear(&t->f.err);
	status = qcow2 ? target_open_qcow2(&t->target, t->f.ring, t->path, t->image, begin,
					   &t->f.err)
		       : target_open_raw(&t->target, t->f.ring, t->path, SIZE, begin, &t->f.err);
	CU_ASSERT_EQUAL_FATAL(status, 0);
}

static void teardown(struct restore_fixture *t)
{
	target_close(t->target);
	image_close(t->image);
	fixture_release(&t->f);
}

static void restore_begin(struct restore_fixture *t, bool compare)
{
	struct restore_request request = {.image = t->image,
					  .target = t->target,
					  .pool = t->f.pool,
					  .depth = 5,
					  .compare_depth = 3,
					  .compare = compare};

	CU_ASSERT_EQUAL_FATAL(restore_start(&t->restore, &request, fixture_done, &t->f, &t->f.err),
			      0);
}

static int restore_all(struct restore_fixture *t, bool compare)
{
	int status;

	restore_begin(t, compare);
	status = fixture_wait(&t->f);
	return status;
}

static bool file_is_right(const struct restore_fixture *t)
{
	static uint8_t found[BLOCK], wanted[BLOCK];
	int fd = open(t->path, O_RDONLY);
	bool right = fd >= 0;

	for (uint32_t block = 0; block < BLOCKS && right; block++) {
		uint32_t length = block_length(block);

		fixture_pattern(wanted, block * (uint64_t)BLOCK, length, block_fill(block));
		right = pread(fd, found, length, (off_t)block * BLOCK) == (ssize_t)length &&
			!memcmp(found, wanted, length);
	}
	close(fd);
	return right;
}

static void change(const struct restore_fixture *t, uint64_t offset)
{
	int fd = open(t->path, O_RDWR);

	CU_ASSERT_EQUAL(pwrite(fd, "changed", 7, (off_t)offset), 7);
	close(fd);
}

/* --- the cases --- */

static void a_new_file_is_the_image(void)
{
	struct restore_fixture t;
	struct target *second = NULL;
	uint64_t data_bytes;

	setup(&t);
	CU_ASSERT_EQUAL(restore_measure(t.image, &data_bytes, &t.f.err), 0);
	target_get(&t, TARGET_NEW, false);
	CU_ASSERT_EQUAL(restore_all(&t, false), 0);
	CU_ASSERT_TRUE(file_is_right(&t));
	CU_ASSERT_EQUAL(restore_progress(t.restore)->data_bytes, data_bytes);
	CU_ASSERT_EQUAL(restore_progress(t.restore)->scanned, SIZE);
	restore_free(t.restore);
	CU_ASSERT_EQUAL(target_open_raw(&second, t.f.ring, t.path, SIZE, TARGET_NEW, &t.f.err),
			-EEXIST);
	teardown(&t);
}

static void a_file_is_made_where_there_is_no_direct_io(void)
{
	struct restore_fixture t;

	setup(&t);
	direct_fails = true;
	target_get(&t, TARGET_NEW, false);
	CU_ASSERT_EQUAL(restore_all(&t, false), 0);
	CU_ASSERT_TRUE(file_is_right(&t));
	restore_free(t.restore);
	target_get(&t, TARGET_REPLACE, false);
	target_close(t.target);
	t.target = NULL;
	CU_ASSERT_EQUAL(target_open_raw(&t.target, t.f.ring, t.path, SIZE, TARGET_NEW, &t.f.err),
			-EEXIST);
	direct_fails = false;
	teardown(&t);
}

/* Whichever write fails, the restore says so; again, it writes what is missing. */
static void a_failed_write(bool qcow2)
{
	unsigned failed = 0;
	bool done = false;

	for (unsigned n = 1; !done; n += 3) {
		struct restore_fixture t;

		setup(&t);
		target_get(&t, TARGET_NEW, qcow2);
		fail_write = n;
		done = !restore_all(&t, false);
		restore_free(t.restore);
		if (!done) {
			failed++;
			CU_ASSERT_EQUAL(t.f.status, -EBADF);
			CU_ASSERT_PTR_NOT_NULL(strstr(t.f.error.text, "cannot write"));
			target_get(&t, TARGET_UPDATE, qcow2);
			CU_ASSERT_EQUAL(restore_all(&t, true), 0);
			restore_free(t.restore);
			CU_ASSERT_TRUE(qcow2 || file_is_right(&t));
		}
		teardown(&t);
	}
	CU_ASSERT(failed > 5);
}

static void a_failed_write_is_continued(void)
{
	a_failed_write(false);
}

static void a_failed_write_of_a_qcow2_is_continued(void)
{
	a_failed_write(true);
}

static void a_failed_flush_fails_the_restore(void)
{
	struct restore_fixture t;

	setup(&t);
	target_get(&t, TARGET_NEW, true);
	fail_flush = true;
	CU_ASSERT_EQUAL(restore_all(&t, false), -EBADF);
	CU_ASSERT_PTR_NOT_NULL(strstr(t.f.error.text, "flush failed"));
	restore_free(t.restore);
	target_close(t.target);
	t.target = NULL;
	fail_flush = false;
	{
		char header[4] = "";
		int fd = open(t.path, O_RDONLY);

		/* Without the flush of its data it is no image. */
		CU_ASSERT(pread(fd, header, 4, 0) <= 0 || memcmp(header, "QFI\xfb", 4));
		close(fd);
	}
	teardown(&t);
}

static void in_place_writes_what_differs(void)
{
	struct restore_fixture t;

	setup(&t);
	target_get(&t, TARGET_NEW, false);
	CU_ASSERT_EQUAL(restore_all(&t, false), 0);
	restore_free(t.restore);
	target_close(t.target);
	t.target = NULL;
	change(&t, 7 * (uint64_t)BLOCK + 5);
	change(&t, 8 * (uint64_t)BLOCK); /* which should be zeros */
	change(&t, SIZE - 7);
	target_get(&t, TARGET_UPDATE, false);
	writes = 0;
	CU_ASSERT_EQUAL(restore_all(&t, true), 0);
	CU_ASSERT_TRUE(file_is_right(&t));
	CU_ASSERT_EQUAL(restore_progress(t.restore)->data_bytes, BLOCK + TAIL);
	CU_ASSERT_EQUAL(restore_progress(t.restore)->zero_bytes, BLOCK);
	CU_ASSERT_EQUAL(writes, 2);
	restore_free(t.restore);
	teardown(&t);
}

static void a_cancelled_restore_is_continued(void)
{
	struct restore_fixture t;

	setup(&t);
	target_get(&t, TARGET_NEW, false);
	restore_begin(&t, false);
	for (unsigned i = 0; i < 4; i++)
		ring_run(t.f.ring);
	restore_cancel(t.restore);
	CU_ASSERT_EQUAL(fixture_wait(&t.f), -ECANCELED);
	restore_free(t.restore);
	target_get(&t, TARGET_UPDATE, false);
	CU_ASSERT_EQUAL(restore_all(&t, true), 0);
	CU_ASSERT_TRUE(file_is_right(&t));
	restore_free(t.restore);
	teardown(&t);
}

static void qemu_cannot_open_it_meanwhile(void)
{
	struct restore_fixture t;
	struct target *second = NULL;
	char command[1200];

	setup(&t);
	target_get(&t, TARGET_NEW, false);
	snprintf(command, sizeof(command), "qemu-io -r -f raw -c length '%s' >/dev/null 2>&1",
		 t.path);
	CU_ASSERT_NOT_EQUAL(system(command), 0);
	CU_ASSERT_EQUAL(target_open_raw(&second, t.f.ring, t.path, SIZE, TARGET_REPLACE, &t.f.err),
			-EBUSY);
	CU_ASSERT_EQUAL(restore_all(&t, false), 0);
	CU_ASSERT_TRUE(file_is_right(&t)); /* who was refused did not cut it */
	restore_free(t.restore);
	target_close(t.target);
	t.target = NULL;
	CU_ASSERT_EQUAL(system(command), 0);
	teardown(&t);
}

static void a_character_device_is_refused(void)
{
	struct restore_fixture t;

	setup(&t);
	CU_ASSERT_EQUAL(target_open_raw(&t.target, t.f.ring, "/dev/full", SIZE, TARGET_REPLACE,
					&t.f.err),
			-EINVAL);
	CU_ASSERT_PTR_NOT_NULL(strstr(t.f.err.text, "neither a file nor a block device"));
	teardown(&t);
}

int main(void)
{
	static const struct cunit_case cases[] = {
		{"a new file is the image", a_new_file_is_the_image},
		{"a file is made where there is no direct I/O",
		 a_file_is_made_where_there_is_no_direct_io},
		{"a failed write is continued", a_failed_write_is_continued},
		{"a failed write of a qcow2 is continued", a_failed_write_of_a_qcow2_is_continued},
		{"a failed flush fails the restore", a_failed_flush_fails_the_restore},
		{"in place writes what differs", in_place_writes_what_differs},
		{"a cancelled restore is continued", a_cancelled_restore_is_continued},
		{"QEMU cannot open it meanwhile", qemu_cannot_open_it_meanwhile},
		{"a character device is refused", a_character_device_is_refused},
	};

	return cunit_run("restore", cases, sizeof(cases) / sizeof(cases[0]));
}
