/* SPDX-License-Identifier: Apache-2.0
 *
 *      0        header (last)
 *      1...     L1 table (at the end, from memory)
 *      ...      data clusters and L2 tables, in order of arrival
 *      ...      refcount blocks, then the refcount table: all clusters count 1
 *
 *   FILLING --finish--> DRAINING --> FLUSHING --> done()
 *      +-----abandon--> DRAINING --> done()
 */
#include "overlay.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "member.h"
#include "qcow2_private.h"

#define OVERLAY_WRITES 64 /* a disk's queue is full with that; more buffers wait */
#define CLUSTER_BITS_MIN 12
#define CLUSTER_BITS_MAX 16
#define L2_COPIED (UINT64_C(1) << 63) /* refcount is exactly one */
#define L2_ZERO UINT64_C(1)
#define L2_RUN_MAX 512 /* entries written at once: a page */
/* Room is asked for ahead: a direct write that makes the file longer waits for
 * all others on ext4.  What is too much goes back at the end. */
#define GROW_BYTES (UINT64_C(64) << 20)

/* Where a buffer goes, kept in its header page. */
struct overlay_place {
	uint64_t at;
	uint32_t length; /* whole pages */
};

struct overlay_write {
	struct ring_op op;
	struct overlay *overlay;
	struct buf *buf;
	struct overlay_write *next;
};

struct overlay {
	struct copy_sink sink;
	struct ring *ring;
	struct pool *pool;
	struct qcow2_layout layout;
	unsigned bits; /* of a cluster */
	uint64_t clusters; /* handed out */
	uint64_t grown_bytes; /* room was asked for up to here */
	uint64_t *l1;
	int data_fd, meta_fd; /* direct where the file system can, and buffered */
	struct overlay_write writes[OVERLAY_WRITES];
	struct overlay_write *free_writes;
	struct buf *waiting, **waiting_end; /* for one of them */
	unsigned in_flight;		    /* buffers, waiting ones included */
	struct errinfo error; /* the first */
	struct ring_op settle_op;
	bool abandoned;
	void (*done)(void *arg, int status, const struct errinfo *error);
	void *arg;
	char backing[QCOW2_BACKING_MAX + 1];
	char path[];
};

static uint64_t clusters_of(const struct overlay *overlay, uint64_t bytes)
{
	return (bytes + (UINT64_C(1) << overlay->bits) - 1) >> overlay->bits;
}

static int overlay_fail(struct overlay *overlay, int code, const char *what)
{
	return err_set(&overlay->error, code, "%s: %s: %s", overlay->path, what, strerror(-code));
}

static int meta_write(struct overlay *overlay, const void *data, size_t length, uint64_t offset)
{
	while (length && !overlay->error.code) {
		ssize_t n = pwrite(overlay->meta_fd, data, length, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return overlay_fail(overlay, n ? -errno : -ENOSPC, "cannot write");
		data = (const uint8_t *)data + n;
		offset += (uint64_t)n;
		length -= (size_t)n;
	}
	return overlay->error.code;
}

/* Entries of the guest's clusters [FIRST, FIRST + COUNT), which may span tables:
 * each the next cluster of the file from OFFSET on, or zeros. */
static int l2_put(struct overlay *overlay, uint64_t first, uint64_t count, uint64_t offset)
{
	uint64_t per_table = UINT64_C(1) << (overlay->bits - 3);
	uint64_t entries[L2_RUN_MAX];
	int rc = 0;

	while (count && !rc) {
		uint64_t table = first / per_table, slot = first % per_table;
		uint64_t run = per_table - slot;

		run = run > count ? count : run;
		run = run > L2_RUN_MAX ? L2_RUN_MAX : run;
		if (!overlay->l1[table])
			overlay->l1[table] = overlay->clusters++ << overlay->bits;
		for (uint64_t i = 0; i < run; i++) {
			entries[i] = htobe64(offset ? offset | L2_COPIED : L2_ZERO);
			offset += offset ? UINT64_C(1) << overlay->bits : 0;
		}
		rc = meta_write(overlay, entries, run * 8, overlay->l1[table] + slot * 8);
		first += run;
		count -= run;
	}
	return rc;
}

static void overlay_step(struct overlay *overlay);

/* Refused, or not known to the file system: the writes will find out. */
static void file_grow(struct overlay *overlay, uint64_t end)
{
	while (overlay->grown_bytes < end) {
		fallocate(overlay->data_fd, 0, (off_t)overlay->grown_bytes, GROW_BYTES);
		overlay->grown_bytes += GROW_BYTES;
	}
}

static void data_write(struct overlay *overlay, struct buf *buf)
{
	const struct overlay_place *place = (const struct overlay_place *)(void *)buf->header;
	struct overlay_write *write = overlay->free_writes;

	overlay->free_writes = write->next;
	write->buf = buf;
	ring_write(overlay->ring, &write->op, overlay->data_fd, buf->data, place->length,
		   place->at);
}

/* The write that ends takes the next buffer before its own goes back: who gets
 * that one may put it here at once. */
static void data_written(struct ring_op *op, int result)
{
	struct overlay_write *write = member_of(op, struct overlay_write, op);
	struct overlay *overlay = write->overlay;
	struct buf *written = write->buf, *waiting = overlay->waiting;

	if (result < 0)
		overlay_fail(overlay, result, "cannot write");
	write->next = overlay->free_writes;
	overlay->free_writes = write;
	if (waiting) {
		overlay->waiting = waiting->next;
		if (!overlay->waiting)
			overlay->waiting_end = &overlay->waiting;
		data_write(overlay, waiting);
	}
	pool_put(overlay->pool, written);
	overlay->in_flight--;
	overlay_step(overlay);
}

static int overlay_data(struct copy_sink *sink, unsigned disk, uint64_t offset, uint32_t length,
			struct buf *buf, struct errinfo *err)
{
	struct overlay *overlay = member_of(sink, struct overlay, sink);
	uint64_t first = offset >> overlay->bits, count = clusters_of(overlay, length);
	uint32_t padded = (length + QCOW2_PAGE - 1) & ~(uint32_t)(QCOW2_PAGE - 1);
	uint64_t at = overlay->clusters << overlay->bits;
	struct overlay_place *place = (struct overlay_place *)(void *)buf->header;
	int rc = overlay->error.code;

	assert(!overlay->done && (offset & ((UINT64_C(1) << overlay->bits) - 1)) == 0);
	if (!rc) {
		overlay->clusters += count;
		rc = l2_put(overlay, first, count, at);
	}
	if (rc) {
		pool_put(overlay->pool, buf);
		return err_set(err, rc, "%s", overlay->error.text);
	}
	memset(buf->data + length, 0, padded - length);
	place->at = at;
	place->length = padded;
	file_grow(overlay, at + padded);
	overlay->in_flight++;
	if (overlay->free_writes) {
		data_write(overlay, buf);
		return 0;
	}
	buf->next = NULL;
	*overlay->waiting_end = buf;
	overlay->waiting_end = &buf->next;
	return 0;
}

static int overlay_zero(struct copy_sink *sink, unsigned disk, uint64_t offset, uint64_t length,
			struct errinfo *err)
{
	struct overlay *overlay = member_of(sink, struct overlay, sink);
	int rc = l2_put(overlay, offset >> overlay->bits, clusters_of(overlay, length), 0);

	return rc ? err_set(err, rc, "%s", overlay->error.text) : 0;
}

/* Refcount blocks for all clusters, themselves and their table included. */
static int refcounts_write(struct overlay *overlay)
{
	uint64_t per_block = UINT64_C(1) << (overlay->bits - 1), total, blocks = 0, tables = 0;
	uint64_t first = overlay->clusters;
	uint16_t ones[QCOW2_PAGE / 2];
	int rc = 0;

	do {
		total = first + blocks + tables;
		blocks = (total + per_block - 1) / per_block;
		tables = clusters_of(overlay, blocks * 8);
	} while (first + blocks + tables != total);
	for (unsigned i = 0; i < QCOW2_PAGE / 2; i++)
		ones[i] = htobe16(1);
	/* Blocks lie one behind the other: so do the counts. */
	for (uint64_t i = 0; i < total && !rc; i += QCOW2_PAGE / 2)
		rc = meta_write(overlay, ones,
				(total - i < QCOW2_PAGE / 2 ? total - i : QCOW2_PAGE / 2) * 2,
				(first << overlay->bits) + i * 2);
	overlay->layout.refcount_table_offset = (first + blocks) << overlay->bits;
	overlay->layout.refcount_table_clusters = tables;
	for (uint64_t i = 0; i < blocks && !rc; i++) {
		uint64_t entry = htobe64((first + i) << overlay->bits);

		rc = meta_write(overlay, &entry, 8, overlay->layout.refcount_table_offset + i * 8);
	}
	overlay->clusters = total;
	return rc;
}

static int l1_write(struct overlay *overlay)
{
	for (uint64_t i = 0; i < overlay->layout.l1_entries; i++) {
		if (overlay->l1[i])
			overlay->l1[i] = htobe64(overlay->l1[i] | L2_COPIED);
	}
	return meta_write(overlay, overlay->l1, overlay->layout.l1_entries * 8,
			  overlay->layout.l1_offset);
}

static int metadata_write(struct overlay *overlay)
{
	union {
		struct qcow2_start start;
		uint8_t bytes[QCOW2_PAGE];
	} page = {0};
	int rc = refcounts_write(overlay);

	if (!rc)
		rc = l1_write(overlay);
	if (!rc && ftruncate(overlay->meta_fd, (off_t)(overlay->clusters << overlay->bits)))
		rc = overlay_fail(overlay, -errno, "cannot extend");
	qcow2_start_fill(&page.start, &overlay->layout, overlay->backing);
	return rc ? rc : meta_write(overlay, &page, sizeof(page), 0);
}

static void overlay_settled(struct ring_op *op, int result)
{
	struct overlay *overlay = member_of(op, struct overlay, settle_op);

	if (result < 0 && !overlay->error.code) {
		overlay_fail(overlay, result, "cannot flush");
		unlink(overlay->path);
	}
	overlay->done(overlay->arg, overlay->error.code, &overlay->error);
}

static void overlay_step(struct overlay *overlay)
{
	if (!overlay->done || overlay->in_flight)
		return;
	if (!overlay->abandoned && !overlay->error.code)
		metadata_write(overlay);
	if (overlay->abandoned || overlay->error.code) {
		unlink(overlay->path);
		ring_timer(overlay->ring, &overlay->settle_op, 0);
	} else {
		ring_flush(overlay->ring, &overlay->settle_op, overlay->meta_fd);
	}
}

void overlay_finish(struct overlay *overlay,
		    void (*done)(void *arg, int status, const struct errinfo *error), void *arg)
{
	overlay->done = done;
	overlay->arg = arg;
	overlay_step(overlay);
}

void overlay_abandon(struct overlay *overlay,
		     void (*done)(void *arg, int status, const struct errinfo *error), void *arg)
{
	overlay->abandoned = true;
	overlay_finish(overlay, done, arg);
}

struct copy_sink *overlay_sink(struct overlay *overlay)
{
	return &overlay->sink;
}

static int overlay_files(struct overlay *overlay, struct errinfo *err)
{
	int rc;

	overlay->meta_fd = open(overlay->path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (overlay->meta_fd < 0)
		return err_set(err, -errno, "%s: %s", overlay->path, strerror(errno));
	overlay->data_fd = open(overlay->path, O_RDWR | O_DIRECT | O_CLOEXEC);
	if (overlay->data_fd < 0) /* tmpfs and the like */
		overlay->data_fd = open(overlay->path, O_RDWR | O_CLOEXEC);
	if (overlay->data_fd >= 0)
		return 0;
	rc = err_set(err, -errno, "%s: %s", overlay->path, strerror(errno));
	unlink(overlay->path);
	return rc;
}

static void overlay_lay_out(struct overlay *overlay, uint64_t virtual_size)
{
	struct qcow2_layout *layout = &overlay->layout;

	/* A block has to be whole clusters: part of one would need the rest of it
	 * from the head. */
	overlay->bits = (unsigned)__builtin_ctz(pool_block_bytes(overlay->pool));
	if (overlay->bits > CLUSTER_BITS_MAX)
		overlay->bits = CLUSTER_BITS_MAX;
	assert(overlay->bits >= CLUSTER_BITS_MIN);
	layout->virtual_size = virtual_size;
	layout->cluster_bits = overlay->bits;
	layout->l1_offset = UINT64_C(1) << overlay->bits;
	layout->l1_entries = (clusters_of(overlay, virtual_size) +
			      (UINT64_C(1) << (overlay->bits - 3)) - 1) >> (overlay->bits - 3);
	overlay->clusters = 1 + clusters_of(overlay, layout->l1_entries * 8);
}

int overlay_new(struct overlay **out, struct ring *ring, struct pool *pool, const char *path,
		uint64_t virtual_size, const char *backing, struct errinfo *err)
{
	struct overlay *overlay = calloc(1, sizeof(*overlay) + strlen(path) + 1);
	int rc;

	*out = NULL;
	if (!overlay)
		return err_set(err, -ENOMEM, "%s: no memory", path);
	strcpy(overlay->path, path);
	overlay->ring = ring;
	overlay->pool = pool;
	overlay->data_fd = overlay->meta_fd = -1;
	overlay->sink.data = overlay_data;
	overlay->sink.zero = overlay_zero;
	overlay->waiting_end = &overlay->waiting;
	overlay->settle_op.done = overlay_settled;
	for (unsigned i = 0; i < OVERLAY_WRITES; i++) {
		overlay->writes[i].overlay = overlay;
		overlay->writes[i].op.done = data_written;
		overlay->writes[i].next = overlay->free_writes;
		overlay->free_writes = &overlay->writes[i];
	}
	overlay_lay_out(overlay, virtual_size);
	overlay->l1 = calloc(overlay->layout.l1_entries, 8);
	if (!overlay->l1)
		rc = err_set(err, -ENOMEM, "%s: no memory", path);
	else if (strlen(backing) > QCOW2_BACKING_MAX ||
		 overlay->layout.l1_entries * 8 > QCOW2_L1_BYTES_MAX)
		rc = err_set(err, -E2BIG, "%s: %llu bytes above %s is more than qcow2 takes", path,
			     (unsigned long long)virtual_size, backing);
	else
		rc = overlay_files(overlay, err);
	if (rc) {
		overlay_free(overlay);
		return rc;
	}
	strcpy(overlay->backing, backing);
	*out = overlay;
	return 0;
}

void overlay_free(struct overlay *overlay)
{
	if (!overlay)
		return;
	assert(!overlay->in_flight && !ring_op_pending(&overlay->settle_op));
	if (overlay->data_fd >= 0)
		close(overlay->data_fd);
	if (overlay->meta_fd >= 0)
		close(overlay->meta_fd);
	free(overlay->l1);
	free(overlay);
}
