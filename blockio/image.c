/* SPDX-License-Identifier: Apache-2.0
 *
 * image: see image.h.  A clone and a head are a raw image and its sums; block n
 * is where it is in the disk.  Of a kept point each block is in it, in a newer one or
 * in the head, and may move while it is being read: then it does not verify, and
 * whoever reads looks again.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "head.h"
#include "image_private.h"
#include "member.h"
#include "store_json.h"
#include "sum.h"


uint64_t image_blocks(const struct image *image)
{
	return (image->size + image->block_bytes - 1) / image->block_bytes;
}

uint64_t image_blocks_bytes(const struct image *image, uint64_t block, uint64_t count)
{
	uint64_t offset = block * image->block_bytes;
	uint64_t left = image->size - offset;

	return count * image->block_bytes < left ? count * image->block_bytes : left;
}

/* --- opening --- */

/* Not EXACT: of the head of a disk that may have grown since the point. */
static int part_open(const char *path, int flags, uint64_t size, bool exact, int *fd,
		     struct errinfo *err)
{
	int64_t found;

	*fd = file_open(path, flags);
	if (*fd < 0)
		return err_set(err, *fd, "%s: cannot open: %s", path, strerror(-*fd));
	found = file_size(*fd);
	if (found < 0)
		return err_set(err, (int)found, "%s: %s", path, strerror((int)-found));
	if ((uint64_t)found < size || (exact && (uint64_t)found != size))
		return err_set(err, -EUCLEAN,
			       "%s has %lld bytes instead of %llu: something else changed it",
			       path, (long long)found, (unsigned long long)size);
	return 0;
}

static int raw_open(struct image *image, const char *path, struct errinfo *err)
{
	struct image_file *file = &image->file;
	int status = part_open(path, O_RDONLY | O_DIRECT, image->size, !image->chain, &file->fd,
			       err);

	if (!status && image->size % IMAGE_DIRECT_BYTES)
		status = part_open(path, O_RDONLY, image->size, !image->chain, &file->tail_fd, err);
	if (status)
		return status;
	file->cached = !file_is_direct(file->fd);
	ring_register_file(image->ring, file->fd);
	return 0;
}

static int sums_open(struct image *image, const char *path, struct errinfo *err)
{
	return part_open(path, O_RDONLY, image_blocks(image) * sizeof(uint64_t), !image->chain,
			 &image->sums_fd, err);
}

static int head_image_open(struct image *image, const char *dir, const char *disk,
			   struct errinfo *err)
{
	char path[FILE_PATH_MAX];
	int status;

	snprintf(image->label, sizeof(image->label), "disk %s of %s", disk, dir);
	store_head_path(dir, disk, path, sizeof(path));
	status = raw_open(image, path, err);
	if (status)
		return status;
	head_sums_path(dir, disk, path, sizeof(path));
	return sums_open(image, path, err);
}

static int clone_image_open(struct image *image, const char *dir, const struct point_info *point,
			    const char *disk, struct errinfo *err)
{
	char path[FILE_PATH_MAX];
	int status;

	snprintf(image->label, sizeof(image->label), "disk %s of point %s in %s", disk,
		 point->name, dir);
	image->clone = true;
	snprintf(path, sizeof(path), "%s/points/%08u/%s/head.raw", dir, point->id, disk);
	status = raw_open(image, path, err);
	if (status)
		return status;
	snprintf(path, sizeof(path), "%s/points/%08u/%s/sums", dir, point->id, disk);
	return sums_open(image, path, err);
}

static int kept_image_open(struct image *image, const char *dir, const struct point_info *point,
			   const char *disk, struct errinfo *err)
{
	int status = keep_chain_open(&image->chain, dir, point, disk, image->block_bytes, err);

	if (!status)
		status = head_image_open(image, dir, disk, err);
	snprintf(image->label, sizeof(image->label), "disk %s of point %s in %s", disk,
		 point->name, dir);
	return status;
}

static int disk_size(const struct store_disk *disks, unsigned count, const char *name,
		     uint64_t *size)
{
	for (unsigned i = 0; i < count; i++) {
		if (strcmp(disks[i].name, name))
			continue;
		*size = disks[i].size;
		return 0;
	}
	return -ENOENT;
}

/* Size and block size of DISK, as the store and the point have them. */
static int image_shape(struct image *image, const char *dir, const struct point_info *point,
		       const char *disk, struct errinfo *err)
{
	struct store_json *json = malloc(sizeof(*json));
	int status;

	if (!json)
		return err_set(err, -ENOMEM, "no memory to look at %s", dir);
	status = store_json_read(dir, json, err);
	if (!status) {
		image->block_bytes = json->spec.block_bytes;
		status = point ? disk_size(point->disks, point->disk_count, disk, &image->size)
			       : disk_size(json->spec.disks, json->spec.disk_count, disk,
					   &image->size);
		if (status)
			err_set(err, status, "%s%s%s has no disk %s", dir,
				point ? ": point " : "", point ? point->name : "", disk);
	}
	free(json);
	return status;
}

int image_open(struct image **out, struct ring *ring, const char *dir,
	       const struct point_info *point, const char *disk, struct errinfo *err)
{
	struct image *image = calloc(1, sizeof(*image));
	int status;

	*out = NULL;
	if (!image)
		return err_set(err, -ENOMEM, "no memory to open disk %s of %s", disk, dir);
	image->ring = ring;
	image->file.fd = image->file.tail_fd = image->sums_fd = -1;
	status = image_shape(image, dir, point, disk, err);
	if (!status && !point)
		status = head_image_open(image, dir, disk, err);
	else if (!status && point->kind == POINT_CLONE)
		status = clone_image_open(image, dir, point, disk, err);
	else if (!status)
		status = kept_image_open(image, dir, point, disk, err);
	if (status) {
		image_close(image);
		return status;
	}
	*out = image;
	return 0;
}

void image_close(struct image *image)
{
	if (!image)
		return;
	if (image->file.fd >= 0)
		ring_unregister_file(image->ring, image->file.fd);
	file_close(image->file.fd);
	file_close(image->file.tail_fd);
	file_close(image->sums_fd);
	keep_chain_close(image->chain);
	free(image);
}

uint64_t image_size(const struct image *image)
{
	return image->size;
}

uint32_t image_block_bytes(const struct image *image)
{
	return image->block_bytes;
}

const char *image_label(const struct image *image)
{
	return image->label;
}

/* --- zeros --- */

static bool is_hole(struct image *image, uint64_t block)
{
	struct image_hole *hole = &image->hole;
	uint64_t offset = block * image->block_bytes;
	uint64_t end = offset + image_blocks_bytes(image, block, 1);
	int64_t next;

	if (offset >= hole->from && end <= hole->to)
		return true;
	next = file_data_next(image->file.fd, offset);
	*hole = (struct image_hole){offset, next == -ENXIO ? UINT64_MAX : (uint64_t)next};
	if (next < 0 && next != -ENXIO) /* it cannot say: all is data */
		hole->to = offset;
	return end <= hole->to;
}

/* Zeros of a kept point have a mark, which is looked for. */
static bool is_doubtful(struct image *image, uint64_t block, const struct keep_place *place)
{
	return (place && place->entry != KEEP_NOT) || !is_hole(image, block);
}

/* Where it cannot be told where they are their sums are lost, too. */
static int places_find(struct image *image, uint64_t block, uint32_t count,
		       struct keep_place *places, struct errinfo *err)
{
	struct errinfo why = {0};
	int status = keep_chain_find(image->chain, block, count, places, &why);

	if (status == -EIO && image->salvage) {
		memset(places, 0, count * sizeof(*places));
		return 0;
	}
	return status ? err_set(err, status, "%s", why.text) : 0;
}

int image_doubts(struct image *image, uint64_t block, uint32_t count, const uint64_t *sums,
		 uint8_t *doubts, struct errinfo *err)
{
	struct keep_place places[IMAGE_PLACES];
	int status = 0;

	memset(doubts, 0, (count + 7) / 8);
	for (uint32_t i = 0; i < count && !status; i++) {
		uint32_t part = count - i < IMAGE_PLACES ? count - i : IMAGE_PLACES;

		if (image->chain && i % IMAGE_PLACES == 0)
			status = places_find(image, block + i, part, places, err);
		if (!status && sums[i] == SUM_ZERO &&
		    is_doubtful(image, block + i, image->chain ? &places[i % IMAGE_PLACES] : NULL))
			doubts[i / 8] |= (uint8_t)(1u << i % 8);
	}
	return status;
}

/* --- reading --- */

static void read_step(struct image_read *read);
static int run_find(struct image_read *read);

/* A run of kept blocks of zeros: their marks become what they stand for. */
static int marks_take(const struct image_read *read)
{
	const uint32_t block_bytes = read->image->block_bytes;

	for (uint32_t at = read->run_begin; at < read->run_end; at += block_bytes) {
		uint32_t left = read->run_end - at;
		uint32_t length = left < block_bytes ? left : block_bytes;

		if (!keep_is_mark(read->data + at, length))
			return -EUCLEAN;
		memset(read->data + at, 0, length);
	}
	return 0;
}

static void read_step_done(struct ring_op *op, int result)
{
	struct image_read *read = member_of(op, struct image_read, op);
	int status = result < 0 ? result : 0;

	if (result >= 0 && (uint32_t)result != op->length)
		status = -EUCLEAN; /* the file was cut since it was opened */
	if (!status)
		read->progress += (uint32_t)result;
	if (!status && read->marks && read->progress == read->run_end)
		status = marks_take(read);
	if (!status && read->progress < read->length) {
		if (read->progress == read->run_end)
			status = run_find(read);
		if (!status) {
			read_step(read);
			return;
		}
	}
	if (status) {
		read->done(read, status);
		return;
	}
	if (read->file->cached)
		file_forget(read->file->fd, read->offset, read->length);
	read->done(read, 0);
}

/* The run of neighbouring blocks that are in one file, from PROGRESS on; all zeros, or none. */
static int run_find(struct image_read *read)
{
	struct image *image = read->image;
	struct keep_place places[IMAGE_PLACES];
	const uint64_t block = (read->offset + read->progress) / image->block_bytes;
	const uint32_t left = read->length - read->progress;
	uint32_t count = (left + image->block_bytes - 1) / image->block_bytes, run = 1;
	int status;

	count = count < IMAGE_PLACES ? count : IMAGE_PLACES;
	status = keep_chain_find(image->chain, block, count, places, NULL);
	if (status)
		return status;
	read->marks = places[0].entry == KEEP_ZERO;
	while (run < count && places[run].raw_fd == places[0].raw_fd &&
	       (places[run].entry == KEEP_ZERO) == read->marks)
		run++;
	read->run_begin = read->progress;
	read->run_end = read->progress + (uint32_t)image_blocks_bytes(image, block, run);
	read->kept = (struct image_file){places[0].raw_fd, places[0].tail_fd, false};
	read->file = places[0].entry == KEEP_NOT ? &image->file : &read->kept;
	return 0;
}

/* What O_DIRECT can read, then what is left at the end of the disk. */
static void read_step(struct image_read *read)
{
	uint32_t left = read->run_end - read->progress;
	uint32_t direct = left - left % IMAGE_DIRECT_BYTES;

	read->op.done = read_step_done;
	ring_read(read->image->ring, &read->op, direct ? read->file->fd : read->file->tail_fd,
		  read->data + read->progress, direct ? direct : left,
		  read->offset + read->progress);
}

static void read_place(struct ring_op *op, int result)
{
	struct image_read *read = member_of(op, struct image_read, op);
	int status = run_find(read);

	if (status)
		read->done(read, status);
	else
		read_step(read);
}

void image_read_start(struct image *image, struct image_read *read, uint64_t block, uint32_t count,
		      uint8_t *data)
{
	assert(count && block + count <= image_blocks(image));
	read->image = image;
	read->file = &image->file;
	read->data = data;
	read->offset = block * image->block_bytes;
	read->length = (uint32_t)image_blocks_bytes(image, block, count);
	read->progress = 0;
	read->marks = false;
	read->run_end = read->length;
	if (image->chain) {
		/* The first place is looked up from the ring: done() never runs in here. */
		read->run_end = 0;
		read->op.done = read_place;
		ring_timer(image->ring, &read->op, 0);
		return;
	}
	read_step(read);
}
