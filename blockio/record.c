/* SPDX-License-Identifier: Apache-2.0
 *
 * record: see record.h.
 */
#include "record.h"

#include <string.h>
#include <xxhash.h>

#include "sum.h"

uint64_t record_disk_blocks(const struct record_shape *shape, unsigned disk)
{
	return (shape->disk_bytes[disk] + shape->block_bytes - 1) / shape->block_bytes;
}

uint64_t record_blocks_bytes(const struct record_shape *shape, unsigned disk, uint64_t block,
			     uint64_t count)
{
	uint64_t start = block * shape->block_bytes;
	uint64_t end = (block + count) * shape->block_bytes;

	return (end < shape->disk_bytes[disk] ? end : shape->disk_bytes[disk]) - start;
}

void record_init(struct record *record, const struct record_shape *shape, enum record_type type,
		 uint64_t generation, uint64_t attempt, uint64_t sequence)
{
	memset(record, 0, sizeof(*record));
	record->magic = RECORD_MAGIC;
	record->format = RECORD_FORMAT;
	record->type = type;
	memcpy(record->store, shape->store, sizeof(record->store));
	record->generation = generation;
	record->attempt = attempt;
	record->sequence = sequence;
}

/* The field lies in the middle of the page: what is before it seeds the rest. */
static uint64_t record_checksum(const struct record *record)
{
	const uint8_t *page = (const uint8_t *)record;
	const size_t field = offsetof(struct record, checksum);
	const size_t rest = field + sizeof(record->checksum);

	return XXH3_64bits_withSeed(page + rest, RECORD_PAGE - rest, XXH3_64bits(page, field));
}

void record_finish(struct record *record)
{
	record->checksum = record_checksum(record);
}

static bool range_valid(const struct record_shape *shape, uint32_t disk, uint64_t block,
			uint64_t count)
{
	uint64_t blocks;

	if (disk >= shape->disk_count || count == 0)
		return false;
	blocks = record_disk_blocks(shape, disk);
	return block < blocks && count <= blocks - block;
}

static bool runs_valid(const struct record *record, const struct record_shape *shape)
{
	if (record->count == 0 || record->count > RECORD_RUNS_MAX || record->bytes != 0)
		return false;
	for (uint32_t i = 0; i < record->count; i++)
		if (!range_valid(shape, record->runs[i].disk, record->runs[i].block,
				 record->runs[i].count))
			return false;
	return true;
}

bool record_valid(const struct record *record, const struct record_shape *shape)
{
	if (record->magic != RECORD_MAGIC || record->format != RECORD_FORMAT ||
	    memcmp(record->store, shape->store, sizeof(record->store)) != 0 ||
	    record->generation == 0 || record->checksum != record_checksum(record))
		return false;
	switch (record->type) {
	case RECORD_DATA:
		return record->count <= RECORD_SUMS_MAX &&
		       range_valid(shape, record->disk, record->block, record->count) &&
		       record->bytes == record_blocks_bytes(shape, record->disk, record->block,
							    record->count);
	case RECORD_ZERO:
		return runs_valid(record, shape);
	case RECORD_COMMIT:
	case RECORD_SEAL:
		return true;
	default:
		return false;
	}
}

uint64_t record_length(const struct record *record)
{
	if (record->type != RECORD_DATA)
		return RECORD_PAGE;
	return RECORD_PAGE + (record->bytes + RECORD_PAGE - 1) / RECORD_PAGE * RECORD_PAGE;
}

uint64_t record_chain(uint64_t chain, const struct record *record)
{
	const uint64_t link[2] = {chain, record->checksum};

	return XXH3_64bits(link, sizeof(link));
}

int record_bad_block(const struct record *record, const struct record_shape *shape,
		     const uint8_t *data)
{
	for (uint32_t i = 0; i < record->count; i++) {
		uint64_t block = record->block + i;
		size_t length = record_blocks_bytes(shape, record->disk, block, 1);

		if (block_sum(data + (size_t)i * shape->block_bytes, length,
			      block * shape->block_bytes) != record->sums[i])
			return (int)i;
	}
	return -1;
}
