/* SPDX-License-Identifier: Apache-2.0
 *
 * An empty image, in clusters of 64 KiB, everything big endian:
 *
 *      0  header, extension "backing format", backing file name
 *      1  refcount table: one entry, to cluster 2
 *      2  refcount block: 1 for each cluster listed here
 *   3...  L1 table: nothing but zeros
 *
 * One refcount block covers 32768 clusters, and the largest L1 table that QEMU
 * opens takes 512.  What is not written here is zeros.
 */
#include <endian.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "qcow2.h"
#include "qcow2_private.h"

#define CLUSTER_BITS 16
#define CLUSTER (UINT64_C(1) << CLUSTER_BITS)
#define PAGE QCOW2_PAGE

#define MAGIC 0x514649fb /* "QFI\xfb" */
#define EXTENSION_BACKING_FORMAT 0xe2792aca
#define REFCOUNT_ORDER 4 /* 16 bits each */

#define BACKING_MAX QCOW2_BACKING_MAX
#define SECTOR 512
#define L2_ENTRIES (CLUSTER / 8)
#define L1_BYTES_MAX QCOW2_L1_BYTES_MAX
#define SIZE_MAX_BYTES (L1_BYTES_MAX / 8 * L2_ENTRIES * CLUSTER)

#define TABLE_CLUSTER 1
#define BLOCK_CLUSTER 2
#define L1_CLUSTER 3

union page {
	_Alignas(PAGE) uint8_t bytes[PAGE];
	uint16_t refcounts[PAGE / sizeof(uint16_t)];
	uint64_t offsets[PAGE / sizeof(uint64_t)];
	struct qcow2_start start;
};

_Static_assert(L1_CLUSTER + L1_BYTES_MAX / CLUSTER <= PAGE / sizeof(uint16_t),
	       "one page counts all clusters");

static uint64_t l1_entries(uint64_t virtual_size)
{
	return (virtual_size + L2_ENTRIES * CLUSTER - 1) / (L2_ENTRIES * CLUSTER);
}

static uint64_t cluster_count(uint64_t virtual_size)
{
	return L1_CLUSTER + (l1_entries(virtual_size) * 8 + CLUSTER - 1) / CLUSTER;
}

void qcow2_start_fill(struct qcow2_start *start, const struct qcow2_layout *layout,
		      const char *backing)
{
	struct qcow2_header *header = &start->header;

	header->magic = htobe32(MAGIC);
	header->version = htobe32(3);
	header->cluster_bits = htobe32(layout->cluster_bits);
	header->size = htobe64(layout->virtual_size);
	header->l1_entries = htobe32((uint32_t)layout->l1_entries);
	header->l1_offset = htobe64(layout->l1_offset);
	header->refcount_table_offset = htobe64(layout->refcount_table_offset);
	header->refcount_table_clusters = htobe32((uint32_t)layout->refcount_table_clusters);
	header->refcount_order = htobe32(REFCOUNT_ORDER);
	header->header_bytes = htobe32(sizeof(*header));
	if (!backing)
		return;
	start->format.type = htobe32(EXTENSION_BACKING_FORMAT);
	start->format.bytes = htobe32(3);
	memcpy(start->format.data, "raw", 3);
	header->backing_offset = htobe64(offsetof(struct qcow2_start, backing));
	header->backing_bytes = htobe32((uint32_t)strlen(backing));
	memcpy(start->backing, backing, strlen(backing));
}

static int page_write(int fd, const union page *page, uint64_t cluster, struct errinfo *err)
{
	ssize_t written;
	int code;

	do
		written = pwrite(fd, page, sizeof(*page), (off_t)(cluster * CLUSTER));
	while (written < 0 && errno == EINTR);
	if (written == (ssize_t)sizeof(*page))
		return 0;
	code = written < 0 ? -errno : -ENOSPC; /* a page is written short when the disk is full */
	return err_set(err, code, "cannot write cluster %llu of the qcow2 image: %s",
		       (unsigned long long)cluster, strerror(-code));
}

/* The L1 table exists even where nothing was written. */
static int file_extend(int fd, uint64_t length, struct errinfo *err)
{
	struct stat st;
	int code;

	if (fstat(fd, &st) == 0 && (!S_ISREG(st.st_mode) || (uint64_t)st.st_size >= length))
		return 0;
	if (ftruncate(fd, (off_t)length) == 0)
		return 0;
	code = -errno;
	return err_set(err, code, "cannot extend the qcow2 image to %llu bytes: %s",
		       (unsigned long long)length, strerror(-code));
}

static int spec_check(uint64_t virtual_size, const char *backing, struct errinfo *err)
{
	if (!virtual_size || virtual_size % SECTOR)
		return err_set(err, -EINVAL,
			       "a qcow2 image cannot have %llu bytes: not a multiple of %d",
			       (unsigned long long)virtual_size, SECTOR);
	if (virtual_size > SIZE_MAX_BYTES)
		return err_set(err, -EFBIG, "a qcow2 image of %llu bytes: QEMU opens at most %llu",
			       (unsigned long long)virtual_size,
			       (unsigned long long)SIZE_MAX_BYTES);
	if (backing && (!*backing || strlen(backing) > BACKING_MAX))
		return err_set(err, -ENAMETOOLONG,
			       "the backing file name '%s' has %zu bytes: qcow2 takes 1 to %d",
			       backing, strlen(backing), BACKING_MAX);
	return 0;
}

int64_t qcow2_format(int fd, uint64_t virtual_size, const char *backing, struct errinfo *err)
{
	uint64_t clusters = cluster_count(virtual_size);
	struct qcow2_layout layout = {
		.virtual_size = virtual_size,
		.cluster_bits = CLUSTER_BITS,
		.l1_offset = L1_CLUSTER * CLUSTER,
		.l1_entries = l1_entries(virtual_size),
		.refcount_table_offset = TABLE_CLUSTER * CLUSTER,
		.refcount_table_clusters = 1,
	};
	union page page = {0};
	int ret = spec_check(virtual_size, backing, err);

	if (ret)
		return ret;
	page.offsets[0] = htobe64(BLOCK_CLUSTER * CLUSTER);
	ret = page_write(fd, &page, TABLE_CLUSTER, err);
	if (ret)
		return ret;
	page.offsets[0] = 0;
	for (uint64_t i = 0; i < clusters; i++)
		page.refcounts[i] = htobe16(1);
	ret = page_write(fd, &page, BLOCK_CLUSTER, err);
	if (ret)
		return ret;
	ret = file_extend(fd, clusters * CLUSTER, err);
	if (ret)
		return ret;
	/* Last: without it nobody takes the file for an image. */
	memset(&page, 0, sizeof(page));
	qcow2_start_fill(&page.start, &layout, backing);
	ret = page_write(fd, &page, 0, err);
	return ret ? ret : (int64_t)(clusters * CLUSTER);
}
