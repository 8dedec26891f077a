/* SPDX-License-Identifier: Apache-2.0
 *
 * The sums of an image's blocks: of the head or a clone as they are, of a kept point out of
 * its entries, those of newer points, and the head's.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "image_private.h"
#include "sum.h"

#define SUMS_PAGE 512u /* what an error of the disk takes from `sums`, or `kept`, at least */

static int raw_sums(struct image *image, uint64_t block, uint32_t count, uint64_t *sums,
		    struct errinfo *err)
{
	size_t length = (size_t)count * sizeof(*sums);
	int64_t found;

	assert(block + count <= image_blocks(image));
	found = file_read(image->sums_fd, sums, length, block * sizeof(*sums));
	if (found >= 0 && (uint64_t)found != length)
		return err_set(err, -EUCLEAN, "%s: the sums end at block %llu", image->label,
			       (unsigned long long)(block + (uint64_t)found / sizeof(*sums)));
	if (found < 0)
		return err_set(err, (int)found, "%s: cannot read the sums of %u blocks at %llu: %s",
			       image->label, count, (unsigned long long)block,
			       strerror((int)-found));
	return 0;
}

/* What PLACE's stray says of a block that has SUM otherwise: zeros change nothing, they
 * are what some tools make of holes, and what looks like the mark may be content. */
static int stray_sum(struct image *image, uint64_t block, const struct keep_place *place,
		     uint8_t *data, uint64_t *sum, struct errinfo *err)
{
	uint32_t length = (uint32_t)image_blocks_bytes(image, block, 1);
	uint64_t offset = block * image->block_bytes, content;
	int64_t found = file_read(length % IMAGE_DIRECT_BYTES ? place->stray_tail_fd
							      : place->stray_fd,
				  data, length, offset);

	if (found >= 0 && (uint64_t)found != length)
		found = -EUCLEAN;
	if (found < 0)
		return err_set(err, (int)found, "%s: cannot read block %llu in kept.raw: %s",
			       image->label, (unsigned long long)block, strerror((int)-found));
	content = block_sum(data, length, offset);
	if (content != SUM_ZERO && content != *sum)
		*sum = keep_is_mark(data, length) ? SUM_ZERO : content;
	return 0;
}

/* Content without an entry: a power cut may have left it, then it is what the block is;
 * or the entry was lost, and SUM becomes what the block has not. */
static int strays_sum(struct image *image, uint64_t block, struct keep_place *place,
		      uint64_t *sum, struct errinfo *err)
{
	uint8_t *data = aligned_alloc(IMAGE_DIRECT_BYTES, image->block_bytes);
	const uint64_t otherwise = *sum;
	int status;

	if (!data)
		return err_set(err, -ENOMEM, "no memory to look at %s", image->label);
	do {
		status = stray_sum(image, block, place, data, sum, err);
	} while (!status && *sum == otherwise && keep_chain_next_stray(image->chain, block, place));
	free(data);
	return status;
}

/* The sums of what is kept; the others are left alone. */
static int kept_sums(struct image *image, uint64_t block, uint32_t count, uint64_t *sums,
		     struct errinfo *err)
{
	struct keep_place places[IMAGE_PLACES];
	int status = 0;

	while (count && !status) {
		uint32_t part = count < IMAGE_PLACES ? count : IMAGE_PLACES;

		status = keep_chain_find_strays(image->chain, block, part, places, err);
		for (uint32_t i = 0; i < part && !status; i++) {
			if (places[i].entry != KEEP_NOT)
				sums[i] = keep_sum(places[i].entry);
			if (places[i].stray_fd >= 0)
				status = strays_sum(image, block + i, &places[i], &sums[i], err);
		}
		block += part;
		sums += part;
		count -= part;
	}
	return status;
}

/* The head first: what is not kept after its sum was read had not changed yet. */
static int sums_read(struct image *image, uint64_t block, uint32_t count, uint64_t *sums,
		     struct errinfo *err)
{
	int status = raw_sums(image, block, count, sums, err);

	if (!status && image->chain)
		status = kept_sums(image, block, count, sums, err);
	return status;
}

static void sums_lose(uint64_t *sums, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		sums[i] = IMAGE_SUM_LOST;
}

/* Page by page: what cannot be read is lost, and nothing is what its sum says. */
static void sums_salvage(struct image *image, uint64_t block, uint32_t count, uint64_t *sums)
{
	for (uint32_t done = 0, part; done < count; done += part) {
		part = SUMS_PAGE - (uint32_t)((block + done) % SUMS_PAGE);
		part = part < count - done ? part : count - done;
		if (raw_sums(image, block + done, part, sums + done, NULL))
			sums_lose(sums + done, part);
		/* What the point keeps needs none of the head's. */
		if (image->chain && kept_sums(image, block + done, part, sums + done, NULL))
			sums_lose(sums + done, part);
	}
}

int image_sums(struct image *image, uint64_t block, uint32_t count, uint64_t *sums,
	       struct errinfo *err)
{
	struct errinfo why = {0};
	int status = sums_read(image, block, count, sums, &why);

	if (status != -EIO || !image->salvage)
		return status ? err_set(err, status, "%s", why.text) : 0;
	sums_salvage(image, block, count, sums);
	return 0;
}

void image_salvage(struct image *image)
{
	image->salvage = true;
}
