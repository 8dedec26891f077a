/* SPDX-License-Identifier: Apache-2.0
 *
 * keep_read: see keep_read.h.
 */
#include "keep_read.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"

#define RELOADS 100 /* the list changes some times a second at most */
#define FIND_BLOCKS 512u

struct keep_chain {
	const char *dir;
	struct point_info point; /* with the one disk only */
	uint32_t block_bytes;
	int serial_fd;
	uint64_t changes; /* of the list, when it was loaded */
	struct keep_files *files; /* the point's, then newer ones */
	unsigned count;
};

static uint64_t changes_read(const struct keep_chain *chain)
{
	uint64_t changes = 0;

	file_read(chain->serial_fd, &changes, sizeof(changes), 0);
	return changes;
}

static void files_close(struct keep_chain *chain)
{
	while (chain->count)
		keep_files_close(&chain->files[--chain->count]);
	free(chain->files);
	chain->files = NULL;
}

/* The disk as POINT has it; false: it has none of that name. */
static bool disk_only(const struct point_info *point, const char *disk, struct point_info *only)
{
	for (unsigned i = 0; i < point->disk_count; i++) {
		if (strcmp(point->disks[i].name, disk))
			continue;
		*only = *point;
		only->disks[0] = point->disks[i];
		only->disk_count = 1;
		return true;
	}
	return false;
}

static int point_add(struct keep_chain *chain, const struct point_info *point,
		     struct errinfo *err)
{
	struct point_info only;
	char path[FILE_PATH_MAX];
	int status;

	if (point->kind != POINT_KEPT || point->id < chain->point.id ||
	    (!point->damaged && !disk_only(point, chain->point.disks[0].name, &only)))
		return 0;
	if (point->damaged)
		return err_set(err, -EUCLEAN, "point %u of %s is damaged", chain->point.id,
			       chain->dir);
	point_dir_path(chain->dir, point->id, path, sizeof(path));
	status = keep_files_open(&chain->files[chain->count], path, &only, chain->block_bytes,
				 false, err);
	if (!status)
		chain->count++;
	return status;
}

static int files_open(struct keep_chain *chain, struct errinfo *err)
{
	struct point_info *points;
	unsigned count;
	int status = points_list(chain->dir, &points, &count, err);

	if (status)
		return status;
	chain->files = calloc(count ? count : 1, sizeof(chain->files[0]));
	if (!chain->files)
		status = err_set(err, -ENOMEM, "no memory for %u points", count);
	for (unsigned i = 0; i < count && !status; i++)
		status = point_add(chain, &points[i], err);
	free(points);
	if (!status && (!chain->count || chain->files[0].id != chain->point.id))
		status = err_set(err, -ENOENT, "%s has no point %u any more", chain->dir,
				 chain->point.id);
	return status;
}

/* The list may change while it is read: then what was found does not count. */
static int chain_load(struct keep_chain *chain, struct errinfo *err)
{
	struct errinfo why;
	int status = -EAGAIN;

	for (unsigned i = 0; i < RELOADS; i++) {
		files_close(chain);
		err_clear(&why);
		chain->changes = changes_read(chain);
		status = files_open(chain, &why);
		if (changes_read(chain) == chain->changes && status != -ENOENT)
			break;
	}
	return status ? err_set(err, status, "%s", why.text) : 0;
}

int keep_chain_open(struct keep_chain **out, const char *dir, const struct point_info *point,
		    const char *disk, uint32_t block_bytes, struct errinfo *err)
{
	struct keep_chain *chain = calloc(1, sizeof(*chain));
	char path[FILE_PATH_MAX];
	int status;

	*out = NULL;
	if (!chain)
		return err_set(err, -ENOMEM, "no memory to read point %u", point->id);
	if (!disk_only(point, disk, &chain->point)) {
		free(chain);
		return err_set(err, -ENOENT, "point %s of %s has no disk %s", point->name, dir,
			       disk);
	}
	chain->dir = dir;
	chain->block_bytes = block_bytes;
	snprintf(path, sizeof(path), "%s/points/serial", dir);
	chain->serial_fd = file_open(path, O_RDONLY);
	status = chain->serial_fd < 0 ? err_set(err, chain->serial_fd, "cannot open %s: %s", path,
						strerror(-chain->serial_fd))
				      : chain_load(chain, err);
	if (status) {
		keep_chain_close(chain);
		return status;
	}
	*out = chain;
	return 0;
}

void keep_chain_close(struct keep_chain *chain)
{
	if (!chain)
		return;
	files_close(chain);
	file_close(chain->serial_fd);
	free(chain);
}

/* Fill in what FILES keeps of the places that nobody older does. */
static int places_fill(const struct keep_chain *chain, const struct keep_files *files,
		       uint64_t block, unsigned count, struct keep_place *places)
{
	const struct keep_disk *disk = &files->disks[0];
	uint64_t entries[FIND_BLOCKS] = {0};
	int64_t n = file_read(disk->entries_fd, entries, count * sizeof(entries[0]),
			      block * sizeof(entries[0]));

	if (n < 0)
		return (int)n;
	for (unsigned i = 0; i < count; i++)
		if (places[i].entry == KEEP_NOT && entries[i] != KEEP_NOT)
			places[i] = (struct keep_place){entries[i], disk->raw_fd, disk->tail_fd,
							places[i].stray_fd,
							places[i].stray_tail_fd,
							places[i].stray, files->id};
	return 0;
}

static void stray_set(const struct keep_chain *chain, unsigned file, struct keep_place *place)
{
	place->stray_fd = chain->files[file].disks[0].raw_fd;
	place->stray_tail_fd = chain->files[file].disks[0].tail_fd;
	place->stray = file;
}

/* The point of FILE has data in blocks that neither it nor an older point keeps. */
static void strays_fill(const struct keep_chain *chain, unsigned file, uint64_t block,
			unsigned count, struct keep_place *places)
{
	const struct keep_disk *disk = &chain->files[file].disks[0];
	uint64_t end = (block + count) * chain->block_bytes, at = block * chain->block_bytes;

	while (at < end) {
		int64_t data = file_data_next(disk->raw_fd, at);
		struct keep_place *place;

		if (data < (int64_t)at || (uint64_t)data >= end)
			return; /* holes, or a file system that cannot tell */
		place = &places[(uint64_t)data / chain->block_bytes - block];
		if (place->entry == KEEP_NOT && place->stray_fd < 0)
			stray_set(chain, file, place);
		at = ((uint64_t)data / chain->block_bytes + 1) * chain->block_bytes;
	}
}

static int part_find(struct keep_chain *chain, uint64_t block, unsigned count, bool strays,
		     struct keep_place *places, struct errinfo *err)
{
	int status = 0;

	for (unsigned i = 0; i < count; i++)
		places[i] = (struct keep_place){KEEP_NOT, -1, -1, -1, -1, 0, 0};
	for (unsigned i = 0; i < chain->count && !status; i++) {
		status = places_fill(chain, &chain->files[i], block, count, places);
		if (strays && !status)
			strays_fill(chain, i, block, count, places);
	}
	if (status)
		return err_set(err, status, "%s: entries of block %llu of point %u and newer ones: %s",
			       chain->dir, (unsigned long long)block, chain->point.id,
			       strerror(-status));
	return 0;
}

static int chain_find(struct keep_chain *chain, uint64_t block, unsigned count, bool strays,
		      struct keep_place *places, struct errinfo *err)
{
	int status = 0;

	if (changes_read(chain) != chain->changes)
		status = chain_load(chain, err);
	while (count && !status) {
		unsigned part = count < FIND_BLOCKS ? count : FIND_BLOCKS;

		status = part_find(chain, block, part, strays, places, err);
		block += part;
		places += part;
		count -= part;
	}
	return status;
}

int keep_chain_find(struct keep_chain *chain, uint64_t block, unsigned count,
		    struct keep_place *places, struct errinfo *err)
{
	return chain_find(chain, block, count, false, places, err);
}

int keep_chain_find_strays(struct keep_chain *chain, uint64_t block, unsigned count,
			   struct keep_place *places, struct errinfo *err)
{
	return chain_find(chain, block, count, true, places, err);
}

bool keep_chain_next_stray(const struct keep_chain *chain, uint64_t block,
			   struct keep_place *place)
{
	uint64_t offset = block * chain->block_bytes;

	for (unsigned i = place->stray + 1; i < chain->count && chain->files[i].id != place->id;
	     i++) {
		const struct keep_disk *disk = &chain->files[i].disks[0];
		int64_t data = disk->tells_holes ? file_data_next(disk->raw_fd, offset) : -ENXIO;

		if (data < 0 || (uint64_t)data >= offset + chain->block_bytes)
			continue;
		stray_set(chain, i, place);
		return true;
	}
	return false;
}
