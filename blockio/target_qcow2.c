/* SPDX-License-Identifier: Apache-2.0
 *
 * A qcow2 version 3 file with clusters as large as the store's blocks.  The sums
 * tell before the first write which clusters there will be, so each has its place
 * whatever the order in which they come, and an interrupted restore finds it again:
 *
 *      header | data, in the order of the disk | L2 tables | L1 table |
 *      refcount table | refcount blocks
 *
 * All but the data is written at the end, the header behind a flush of the rest.
 */
#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "member.h"
#include "qcow2_private.h"
#include "sum.h"
#include "target_private.h"

#define RANK_BLOCKS 64u /* one count for so many: 64 KiB of memory for 1 TiB in 64 KiB blocks */
#define COPIED (UINT64_C(1) << 63) /* used once: QEMU may write in place */

struct target_qcow2 {
	struct target target;
	struct target_file file;
	struct image *image;
	uint64_t cluster;	/* bytes */
	uint64_t blocks;	/* of the disk, each a cluster if it has data */
	uint64_t data_clusters;
	uint32_t *ranks;	/* clusters of data before every RANK_BLOCKSth block */
	uint64_t l2_tables, l2_first;
	uint64_t l1_clusters, l1_first;
	uint64_t table_clusters, table_first; /* of refcounts */
	uint64_t refcount_blocks, refcount_first;
	uint64_t clusters; /* all */
	uint8_t *page;	   /* one cluster, for seal() */
	uint64_t *sums;	   /* of the blocks of one L2 table, and its l1 entries behind */
};

static struct target_qcow2 *qcow2_of(struct target *target)
{
	return member_of(target, struct target_qcow2, target);
}

/* --- places --- */

static int ranks_count(struct target_qcow2 *qcow2, struct errinfo *err)
{
	uint64_t sums[RANK_BLOCKS], counts = (qcow2->blocks + RANK_BLOCKS - 1) / RANK_BLOCKS;

	qcow2->ranks = calloc(counts, sizeof(*qcow2->ranks));
	if (!qcow2->ranks)
		return err_set(err, -ENOMEM, "no memory for the clusters of %s",
			       qcow2->target.label);
	for (uint64_t block = 0; block < qcow2->blocks; block += RANK_BLOCKS) {
		uint64_t left = qcow2->blocks - block;
		uint32_t count = left < RANK_BLOCKS ? (uint32_t)left : RANK_BLOCKS;
		int status = image_sums(qcow2->image, block, count, sums, err);

		if (status)
			return status;
		qcow2->ranks[block / RANK_BLOCKS] = (uint32_t)qcow2->data_clusters;
		for (uint32_t i = 0; i < count; i++)
			qcow2->data_clusters += sums[i] != SUM_ZERO;
	}
	return 0;
}

static uint64_t units(uint64_t amount, uint64_t unit)
{
	return (amount + unit - 1) / unit;
}

/* Refcounts count themselves: two rounds are enough, more change nothing. */
static void layout(struct target_qcow2 *qcow2, uint64_t l1_entries)
{
	uint64_t refcounts = qcow2->cluster / sizeof(uint16_t);

	qcow2->l1_clusters = units(l1_entries * 8, qcow2->cluster);
	qcow2->l2_first = 1 + qcow2->data_clusters;
	qcow2->l1_first = qcow2->l2_first + qcow2->l2_tables;
	qcow2->table_first = qcow2->l1_first + qcow2->l1_clusters;
	for (unsigned round = 0; round < 4; round++) {
		qcow2->refcount_first = qcow2->table_first + qcow2->table_clusters;
		qcow2->clusters = qcow2->refcount_first + qcow2->refcount_blocks;
		qcow2->refcount_blocks = units(qcow2->clusters, refcounts);
		qcow2->table_clusters = units(qcow2->refcount_blocks * 8, qcow2->cluster);
	}
	qcow2->clusters = qcow2->refcount_first + qcow2->refcount_blocks;
}

static uint64_t l2_entries(const struct target_qcow2 *qcow2)
{
	return qcow2->cluster / 8;
}

static uint64_t rank_of(const struct target_qcow2 *qcow2, uint64_t block)
{
	uint64_t first = block - block % RANK_BLOCKS;

	return first / RANK_BLOCKS < units(qcow2->blocks, RANK_BLOCKS)
		       ? qcow2->ranks[first / RANK_BLOCKS]
		       : qcow2->data_clusters;
}

/* Tables that have an entry.  Their first blocks are multiples of RANK_BLOCKS. */
static void l2_count(struct target_qcow2 *qcow2)
{
	uint64_t entries = l2_entries(qcow2);

	for (uint64_t block = 0; block < qcow2->blocks; block += entries)
		qcow2->l2_tables += rank_of(qcow2, block + entries) != rank_of(qcow2, block);
}

/* Where the cluster of BLOCK is, which has data; 0 when the sums cannot be read. */
static uint64_t place_of(struct target_qcow2 *qcow2, uint64_t block)
{
	uint64_t sums[RANK_BLOCKS], first = block - block % RANK_BLOCKS;
	uint64_t rank = rank_of(qcow2, block);
	uint32_t count = (uint32_t)(block - first);

	if (count && image_sums(qcow2->image, first, count, sums, NULL))
		return 0;
	for (uint32_t i = 0; i < count; i++)
		rank += sums[i] != SUM_ZERO;
	return (1 + rank) * qcow2->cluster;
}

/* --- requests: the blocks of one are all data, and neighbours in the file too --- */

static void transfer_failed(struct ring_op *ring_op, int result)
{
	struct target_op *op = member_of(ring_op, struct target_op, ring);

	op->done(op, -EIO);
}

static void qcow2_transfer(struct target_op *op, bool write)
{
	struct target_qcow2 *qcow2 = qcow2_of(op->target);
	uint64_t place = place_of(qcow2, op->offset / qcow2->cluster);

	if (place) {
		target_file_transfer(&qcow2->file, op, write, place);
		return;
	}
	op->ring.done = transfer_failed;
	ring_timer(op->target->ring, &op->ring, 0);
}

static void qcow2_read(struct target_op *op)
{
	qcow2_transfer(op, false);
}

static void qcow2_write(struct target_op *op)
{
	qcow2_transfer(op, true);
}

static void qcow2_zero(struct target_op *op)
{
	assert(!"a block of zeros has no place in it");
}

static void qcow2_flush(struct target_op *op)
{
	target_file_flush(&qcow2_of(op->target)->file, op);
}

/* --- the metadata --- */

static int cluster_write(struct target_qcow2 *qcow2, const void *data, uint64_t cluster)
{
	return file_write(qcow2->file.tail_fd, data, qcow2->cluster, cluster * qcow2->cluster);
}

/* One L2 table for every L1 entry that has data below it. */
static int l2_write(struct target_qcow2 *qcow2, uint64_t *l1, uint64_t *table)
{
	uint64_t entries = l2_entries(qcow2), next = qcow2->l2_first, data = 1;
	int status = 0;

	for (uint64_t block = 0; block < qcow2->blocks && !status; block += entries) {
		uint64_t left = qcow2->blocks - block, first = data;
		uint32_t count = left < entries ? (uint32_t)left : (uint32_t)entries;

		if (rank_of(qcow2, block + entries) == rank_of(qcow2, block))
			continue;
		memset(table, 0, qcow2->cluster);
		status = image_sums(qcow2->image, block, count, qcow2->sums, NULL);
		for (uint32_t i = 0; i < count && !status; i++) {
			if (qcow2->sums[i] != SUM_ZERO)
				table[i] = htobe64(data++ * qcow2->cluster | COPIED);
		}
		if (status || data == first)
			return status ? status : -EUCLEAN; /* the sums changed meanwhile */
		l1[block / entries] = htobe64(next * qcow2->cluster | COPIED);
		status = cluster_write(qcow2, table, next++);
	}
	return status ? status : data == 1 + qcow2->data_clusters ? 0 : -EUCLEAN;
}

static int refcounts_write(struct target_qcow2 *qcow2)
{
	uint64_t per_block = qcow2->cluster / sizeof(uint16_t), per_table = l2_entries(qcow2);
	uint64_t *offsets = (uint64_t *)(void *)qcow2->page;
	uint16_t *counts = (uint16_t *)(void *)qcow2->page;
	int status = 0;

	for (uint64_t i = 0; i < qcow2->table_clusters && !status; i++) {
		memset(qcow2->page, 0, qcow2->cluster);
		for (uint64_t j = 0; j < per_table; j++) {
			uint64_t block = i * per_table + j;

			if (block < qcow2->refcount_blocks)
				offsets[j] =
					htobe64((qcow2->refcount_first + block) * qcow2->cluster);
		}
		status = cluster_write(qcow2, qcow2->page, qcow2->table_first + i);
	}
	for (uint64_t i = 0; i < qcow2->refcount_blocks && !status; i++) {
		for (uint64_t j = 0; j < per_block; j++)
			counts[j] = htobe16(i * per_block + j < qcow2->clusters);
		status = cluster_write(qcow2, qcow2->page, qcow2->refcount_first + i);
	}
	return status;
}

static int header_write(struct target_qcow2 *qcow2, uint64_t l1_entries)
{
	struct qcow2_layout where = {
		.virtual_size = qcow2->target.size,
		.cluster_bits = (unsigned)__builtin_ctzll(qcow2->cluster),
		.l1_offset = qcow2->l1_first * qcow2->cluster,
		.l1_entries = l1_entries,
		.refcount_table_offset = qcow2->table_first * qcow2->cluster,
		.refcount_table_clusters = qcow2->table_clusters,
	};
	int status = file_sync(qcow2->file.tail_fd);

	memset(qcow2->page, 0, qcow2->cluster);
	qcow2_start_fill((struct qcow2_start *)(void *)qcow2->page, &where, NULL);
	return status ? status : cluster_write(qcow2, qcow2->page, 0);
}

static int qcow2_seal(struct target *target, struct errinfo *err)
{
	struct target_qcow2 *qcow2 = qcow2_of(target);
	uint64_t l1_entries = units(qcow2->blocks, l2_entries(qcow2));
	uint64_t *l1 = calloc(qcow2->l1_clusters, qcow2->cluster);
	int status = l1 ? file_truncate(qcow2->file.fd, qcow2->clusters * qcow2->cluster) : -ENOMEM;

	if (!status)
		status = l2_write(qcow2, l1, (uint64_t *)(void *)qcow2->page);
	if (!status)
		status = file_write(qcow2->file.tail_fd, l1, qcow2->l1_clusters * qcow2->cluster,
				    qcow2->l1_first * qcow2->cluster);
	if (!status)
		status = refcounts_write(qcow2);
	if (!status)
		status = header_write(qcow2, l1_entries);
	free(l1);
	if (status)
		return err_set(err, status, "%s: cannot write the metadata of the qcow2 image: %s",
			       target->label, strerror(-status));
	return 0;
}

/* --- its life --- */

static void qcow2_close(struct target *target)
{
	struct target_qcow2 *qcow2 = qcow2_of(target);

	target_file_close(&qcow2->file);
	free(qcow2->ranks);
	free(qcow2->page);
	free(qcow2->sums);
	free(qcow2);
}

static int qcow2_prepare(struct target_qcow2 *qcow2, struct errinfo *err)
{
	uint64_t l1_entries = units(qcow2->blocks, l2_entries(qcow2));
	int status;

	if (l1_entries * 8 > QCOW2_L1_BYTES_MAX)
		return err_set(err, -EFBIG, "a qcow2 image of %llu bytes in clusters of %llu: QEMU "
			       "opens at most %llu; restore it as raw",
			       (unsigned long long)qcow2->target.size,
			       (unsigned long long)qcow2->cluster,
			       (unsigned long long)(QCOW2_L1_BYTES_MAX / 8 * l2_entries(qcow2) *
						    qcow2->cluster));
	qcow2->page = calloc(1, qcow2->cluster);
	qcow2->sums = calloc(l2_entries(qcow2), sizeof(*qcow2->sums));
	if (!qcow2->page || !qcow2->sums)
		return err_set(err, -ENOMEM, "no memory to restore to %s", qcow2->target.label);
	status = ranks_count(qcow2, err);
	if (status)
		return status;
	l2_count(qcow2);
	layout(qcow2, l1_entries);
	return 0;
}

int target_open_qcow2(struct target **out, struct ring *ring, const char *path,
		      struct image *image, enum target_begin begin, struct errinfo *err)
{
	static const struct target_ops ops = {
		.read = qcow2_read,
		.write = qcow2_write,
		.zero = qcow2_zero,
		.flush = qcow2_flush,
		.seal = qcow2_seal,
		.close = qcow2_close,
	};
	struct target_qcow2 *qcow2 = calloc(1, sizeof(*qcow2));
	int status;

	*out = NULL;
	if (!qcow2)
		return err_set(err, -ENOMEM, "no memory to restore to %s", path);
	qcow2->target.ops = &ops;
	qcow2->target.ring = ring;
	qcow2->target.size = image_size(image);
	qcow2->target.sparse = true;
	qcow2->target.blank = begin != TARGET_UPDATE;
	qcow2->file.fd = qcow2->file.tail_fd = -1;
	qcow2->image = image;
	qcow2->cluster = image_block_bytes(image);
	qcow2->blocks = image_blocks(image);
	snprintf(qcow2->target.label, sizeof(qcow2->target.label), "%s", path);
	status = qcow2_prepare(qcow2, err);
	if (!status)
		status = target_file_open(&qcow2->file, ring, path, 0, begin, false, err);
	if (status) {
		qcow2_close(&qcow2->target);
		return status;
	}
	*out = &qcow2->target;
	return 0;
}
