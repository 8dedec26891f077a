/* SPDX-License-Identifier: Apache-2.0
 *
 * What a store reads from its own disk when somebody else wrote it: the two areas
 * of the journal.
 *
 * Input: of byte 0 bit 0 is "ready", bit 1 the depth of the scan; two bytes (little
 * endian) are the pages of area a, then follow area a and area b.  Every page gets the
 * checksum it claims, so that the fuzzer meets the rules behind it; unless bit 2 is set.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "journal_scan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct record_shape shape = {
	.store = "fuzzed", .block_bytes = 4096, .disk_count = 3,
	.disk_bytes = {1 << 20, 4096 * 7 + 512, UINT64_C(1) << 40}};

struct area {
	struct journal_reader reader;
	uint8_t *bytes;
	uint64_t size;
};

static int64_t area_read(struct journal_reader *reader, void *buffer, uint32_t length,
			 uint64_t offset)
{
	struct area *area = (struct area *)(void *)reader;

	if (offset >= area->size)
		return 0;
	if (length > area->size - offset)
		length = (uint32_t)(area->size - offset);
	memcpy(buffer, area->bytes + offset, length);
	return length;
}

/* Make every page that begins like a record one of this store, and chain them. */
static void area_mend(struct area *area)
{
	uint64_t chain = 0;

	for (uint64_t at = 0; at + RECORD_PAGE <= area->size; at += RECORD_PAGE) {
		struct record *record = (struct record *)(void *)(area->bytes + at);

		if (record->magic != RECORD_MAGIC)
			continue;
		memcpy(record->store, shape.store, sizeof(record->store));
		record->place = at;
		if (record->sequence == 0)
			chain = record->attempt;
		if (record->type == RECORD_COMMIT)
			record->chain = chain;
		record_finish(record);
		chain = record_chain(chain, record);
	}
}

static void area_init(struct area *area, const uint8_t *data, size_t size, bool mend)
{
	area->reader.read = area_read;
	area->size = size;
	area->bytes = aligned_alloc(64, (size + 64) / 64 * 64);
	memcpy(area->bytes, data, size);
	if (mend)
		area_mend(area);
}

static void fuzz_journal(uint8_t how, const uint8_t *data, size_t size)
{
	static uint8_t buffer[8 * 4096] __attribute__((aligned(4096)));
	struct area areas[2];
	struct journal_found found[2];
	struct journal_plan plan;
	struct errinfo err = {0};
	size_t split;

	if (size < 2)
		return;
	split = (size_t)(data[0] | data[1] << 8) * RECORD_PAGE;
	data += 2;
	size -= 2;
	split = split < size ? split : size;
	area_init(&areas[0], data, split, !(how & 4));
	area_init(&areas[1], data + split, size - split, !(how & 4));
	for (unsigned i = 0; i < 2; i++) {
		journal_scan(&areas[i].reader, &shape, i,
			     how & 2 ? JOURNAL_CONTENT : JOURNAL_PAGES, buffer, sizeof(buffer),
			     &found[i]);
		assert(found[i].state != JOURNAL_COMMITTED ||
		       (found[i].end < areas[i].size && (found[i].generation & 1) == i));
	}
	if (journal_decide(found, &(struct journal_base){.more = how & 1}, &plan, &err) == 0)
		assert(plan.count <= 2 &&
		       (!plan.count || found[plan.area[plan.count - 1]].generation ==
					       plan.generation));
	else
		assert(err.code && err.text[0]);
	free(areas[0].bytes);
	free(areas[1].bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	fuzz_journal(data[0], data + 1, size - 1);
	return 0;
}
