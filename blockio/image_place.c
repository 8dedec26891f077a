/* SPDX-License-Identifier: Apache-2.0
 *
 * Which blocks two images of one disk have in common.  Clones, and the head they are
 * of, share extents, which FIEMAP tells; a block of a kept point that it does not keep
 * is where the next newer one has it.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "image_private.h"
#include "sum.h"

#define EXTENTS IMAGE_PLACES	   /* of them, when no block has two; more are asked for again */
#define NOWHERE UINT64_MAX /* a hole, two extents, or the file system does not tell */

static void extent_places(const struct image *image, const struct file_extent *extent,
			  uint64_t block, uint32_t count, uint64_t *places)
{
	for (uint32_t i = 0; i < count; i++) {
		uint64_t offset = (block + i) * image->block_bytes;
		uint64_t end = offset + image_blocks_bytes(image, block + i, 1);

		if (extent->physical && offset >= extent->offset &&
		    end <= extent->offset + extent->length)
			places[i] = extent->physical + offset - extent->offset;
	}
}

/* Where on the disk each block is. */
static void file_places(const struct image *image, uint64_t block, uint32_t count,
			uint64_t *places)
{
	uint64_t at = block * image->block_bytes;
	uint64_t end = at + image_blocks_bytes(image, block, count);
	struct file_extent extents[EXTENTS];

	for (uint32_t i = 0; i < count; i++)
		places[i] = NOWHERE;
	while (at < end) {
		int found = file_extents(image->file.fd, at, end - at, extents, EXTENTS);

		for (int i = 0; i < found; i++) {
			extent_places(image, &extents[i], block, count, places);
			at = extents[i].offset + extents[i].length;
		}
		if (found < (int)EXTENTS)
			return;
	}
}

/* Which point each block is in, 0: the head. */
static int chain_places(struct image *image, uint64_t block, uint32_t count, uint64_t *places,
			struct errinfo *err)
{
	struct keep_place found[IMAGE_PLACES];
	int status = 0;

	memset(places, 0, count * sizeof(*places));
	if (image->chain)
		status = keep_chain_find_strays(image->chain, block, count, found, err);
	for (uint32_t i = 0; i < count && image->chain && !status; i++)
		places[i] = found[i].stray_fd >= 0 ? NOWHERE : found[i].id;
	for (uint32_t i = 0; i < count && image->clone; i++)
		places[i] = NOWHERE;
	return status;
}

static int part_places(struct image *image, bool chain, uint64_t block, uint32_t count,
		       uint64_t *places, uint64_t *sums, struct errinfo *err)
{
	int status = image_sums(image, block, count, sums, err);

	if (!status && chain)
		return chain_places(image, block, count, places, err);
	if (!status)
		file_places(image, block, count, places);
	return status;
}

int image_others(struct image *image, struct image *other, uint64_t block, uint64_t count,
		 uint8_t *wanted, uint64_t *same, struct errinfo *err)
{
	const bool chain = image->chain || other->chain;
	uint64_t places[2][IMAGE_PLACES], sums[2][IMAGE_PLACES];

	assert(image->size == other->size && image->block_bytes == other->block_bytes);
	memset(wanted, 0xff, (count + 7) / 8);
	*same = 0;
	for (uint64_t at = 0; at < count; at += IMAGE_PLACES) {
		uint32_t part = count - at < IMAGE_PLACES ? (uint32_t)(count - at) : IMAGE_PLACES;
		int status = part_places(image, chain, block + at, part, places[0], sums[0], err);

		if (!status)
			status = part_places(other, chain, block + at, part, places[1], sums[1],
					     err);
		if (status)
			return status;
		for (uint32_t i = 0; i < part; i++) {
			if (places[0][i] == NOWHERE || places[0][i] != places[1][i] ||
			    sums[0][i] != sums[1][i])
				continue;
			wanted[(at + i) / 8] &= (uint8_t)~(1u << (at + i) % 8);
			*same += sums[0][i] != SUM_ZERO;
		}
	}
	return 0;
}
