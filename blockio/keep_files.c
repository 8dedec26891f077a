/* SPDX-License-Identifier: Apache-2.0
 *
 * keep_files: see keep_files.h.
 */
#include "keep_files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"

#define MAGIC "QHLZERO1"
#define MAGIC_BYTES (sizeof(MAGIC) - 1)

_Alignas(KEEP_MARK_BYTES) const uint8_t keep_mark[KEEP_MARK_BYTES] = MAGIC;

bool keep_is_mark(const uint8_t *data, uint32_t length)
{
	return length > MAGIC_BYTES && memcmp(data, MAGIC, MAGIC_BYTES) == 0 &&
	       block_is_zero(data + MAGIC_BYTES, length - MAGIC_BYTES);
}

uint64_t keep_disk_blocks(const struct keep_disk *disk, uint32_t block_bytes)
{
	return (disk->size + block_bytes - 1) / block_bytes;
}

uint32_t keep_disk_bytes(const struct keep_disk *disk, uint32_t block_bytes, uint64_t block,
			 uint64_t count)
{
	uint64_t end = (block + count) * block_bytes;

	return (uint32_t)((end < disk->size ? end : disk->size) - block * block_bytes);
}

struct keep_disk *keep_files_disk(struct keep_files *files, const char *name)
{
	for (unsigned i = 0; i < files->disk_count; i++)
		if (strcmp(files->disks[i].name, name) == 0)
			return &files->disks[i];
	return NULL;
}

void keep_disk_held(const struct keep_disk *disk, uint32_t block_bytes, uint64_t first,
		    uint64_t count, const uint64_t *entries, bool *held)
{
	memset(held, 0, count * sizeof(*held));
	for (uint64_t i = 0; disk->tells_holes && i < count; i++) {
		int64_t data;

		if (entries[i] != KEEP_NOT)
			continue;
		data = file_data_next(disk->raw_fd, (first + i) * block_bytes);
		if (data < 0 || (uint64_t)data / block_bytes >= first + count)
			return;
		i = (uint64_t)data / block_bytes - first;
		held[i] = entries[i] == KEEP_NOT;
	}
}

/* What a write that was cut short leaves behind consists of such pieces. */
#define PIECE 512u

static bool is_torn(const uint8_t *found, uint32_t bytes, const uint8_t *torn, uint32_t length)
{
	for (uint32_t at = 0; at < bytes; at += PIECE) {
		uint32_t piece = bytes - at < PIECE ? bytes - at : PIECE;

		if (!block_is_zero(found + at, piece) &&
		    (at + piece > length || memcmp(found + at, torn + at, piece)))
			return false;
	}
	return true;
}

enum keep_found keep_disk_found(const struct keep_disk *disk, uint32_t block_bytes, uint64_t block,
				uint64_t entry, const uint8_t *torn, uint32_t length)
{
	uint32_t bytes = keep_disk_bytes(disk, block_bytes, block, 1);
	uint64_t offset = block * block_bytes;
	uint8_t *found = malloc(bytes);
	enum keep_found what = KEEP_STRAYS;

	if (!found || file_read(disk->tail_fd, found, bytes, offset) != bytes)
		; /* nobody knows */
	else if (block_is_zero(found, bytes))
		what = KEEP_EMPTY;
	else if (entry == KEEP_ZERO ? keep_is_mark(found, bytes)
				    : keep_entry(block_sum(found, bytes, offset)) == entry)
		what = KEEP_FITS;
	else if (torn && is_torn(found, bytes, torn, length))
		what = KEEP_EMPTY;
	free(found);
	return what;
}

static int sized_open(const char *path, int flags, uint64_t size, int *fd, struct errinfo *err)
{
	int64_t found;

	*fd = file_open(path, flags);
	if (*fd < 0)
		return err_set(err, *fd, "%s: cannot open: %s", path, strerror(-*fd));
	found = file_size(*fd);
	if (found < 0 || (uint64_t)found != size)
		return err_set(err, -EUCLEAN,
			       "%s has %lld bytes instead of %llu: the point is damaged", path,
			       (long long)found, (unsigned long long)size);
	return 0;
}

static int disk_open(struct keep_disk *disk, const char *dir, uint32_t block_bytes, int flags,
		     struct errinfo *err)
{
	const uint64_t entries = keep_disk_blocks(disk, block_bytes) * sizeof(uint64_t);
	char path[FILE_PATH_MAX];
	int status;

	snprintf(path, sizeof(path), "%s/%s/kept.raw", dir, disk->name);
	status = sized_open(path, flags | O_DIRECT, disk->size, &disk->raw_fd, err);
	if (!status)
		status = sized_open(path, flags, disk->size, &disk->tail_fd, err);
	if (status)
		return status;
	disk->tells_holes = file_tells_holes(disk->tail_fd);
	snprintf(path, sizeof(path), "%s/%s/kept", dir, disk->name);
	return sized_open(path, flags, entries, &disk->entries_fd, err);
}

int keep_files_open(struct keep_files *files, const char *path, const struct point_info *point,
		    uint32_t block_bytes, bool write, struct errinfo *err)
{
	int status = 0;

	memset(files, 0, sizeof(*files));
	files->id = point->id;
	files->generation = point->generation;
	files->block_bytes = block_bytes;
	files->disk_count = point->disk_count;
	for (unsigned i = 0; i < point->disk_count; i++) {
		struct keep_disk *disk = &files->disks[i];

		disk->raw_fd = disk->tail_fd = disk->entries_fd = -1;
		disk->size = point->disks[i].size;
		memcpy(disk->name, point->disks[i].name, sizeof(disk->name));
	}
	for (unsigned i = 0; i < point->disk_count && !status; i++)
		status = disk_open(&files->disks[i], path, block_bytes, write ? O_RDWR : O_RDONLY,
				   err);
	if (status)
		keep_files_close(files);
	return status;
}

void keep_files_close(struct keep_files *files)
{
	for (unsigned i = 0; files->id && i < files->disk_count; i++) {
		file_close(files->disks[i].raw_fd);
		file_close(files->disks[i].tail_fd);
		file_close(files->disks[i].entries_fd);
	}
	files->id = 0;
}
