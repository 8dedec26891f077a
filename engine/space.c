/* SPDX-License-Identifier: Apache-2.0 */
#include "space.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "ring.h"

#define SPACE_NEVER_S (INT64_C(100) * 365 * 86400) /* a century: no forecast reaches so far */
#define SPACE_REST 20			    /* a twentieth of a processor, however many points */
#define SPACE_EXTENTS 512			    /* asked for at a time: 28 KiB */

void space_note(struct space_trend *trend, int64_t time_ms, uint64_t free_bytes)
{
	trend->samples[trend->next].time_ms = time_ms;
	trend->samples[trend->next].free_bytes = free_bytes;
	trend->next = (trend->next + 1) % SPACE_SAMPLES;
	if (trend->count < SPACE_SAMPLES)
		trend->count++;
}

/* Least squares, with the first sample as origin so that no precision is lost. */
bool space_rate(const struct space_trend *trend, double *bytes_per_s)
{
	unsigned first = (trend->next + SPACE_SAMPLES - trend->count) % SPACE_SAMPLES;
	double n = trend->count, x = 0, y = 0, xx = 0, xy = 0, spread;

	if (trend->count < SPACE_SAMPLES_MIN)
		return false;
	for (unsigned i = 0; i < trend->count; i++) {
		double seconds = (double)(trend->samples[i].time_ms -
					  trend->samples[first].time_ms) / 1e3;
		double used = (double)trend->samples[first].free_bytes -
			      (double)trend->samples[i].free_bytes;

		x += seconds;
		y += used;
		xx += seconds * seconds;
		xy += seconds * used;
	}
	spread = n * xx - x * x;
	if (spread <= 0)
		return false;
	*bytes_per_s = (n * xy - x * y) / spread;
	return true;
}

int64_t space_full_in_s(double bytes_per_s, uint64_t free_bytes)
{
	double seconds;

	if (bytes_per_s <= 0)
		return -1;
	seconds = (double)free_bytes / bytes_per_s;
	return seconds < (double)SPACE_NEVER_S ? (int64_t)seconds : -1;
}

bool space_short(uint64_t free_bytes, uint64_t total_bytes, unsigned percent)
{
	return free_bytes < total_bytes / 100 * percent;
}

int space_of_fs(const char *dir, uint64_t *total_bytes, uint64_t *free_bytes)
{
	struct statvfs fs;

	if (statvfs(dir, &fs))
		return -errno;
	/* What root has in reserve is not there for us, nor in the percentage. */
	*free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
	*total_bytes = (uint64_t)(fs.f_blocks - (fs.f_bfree - fs.f_bavail)) * fs.f_frsize;
	return 0;
}

uint64_t space_below(const char *dir, const char *what)
{
	char path[4096], *paths[] = {path, NULL};
	uint64_t bytes = 0;
	FTSENT *entry;
	FTS *tree;

	snprintf(path, sizeof(path), "%s/%s", dir, what);
	tree = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
	while (tree && (entry = fts_read(tree))) {
		if (entry->fts_info == FTS_F)
			bytes += (uint64_t)entry->fts_statp->st_blocks * 512;
	}
	if (tree)
		fts_close(tree);
	return bytes;
}

/* The blocks that no other file has too; all of them where nobody can tell. */
static uint64_t own_bytes(const char *path, uint64_t allocated)
{
	struct {
		struct fiemap map;
		struct fiemap_extent extents[SPACE_EXTENTS];
	} ask;
	uint64_t own = 0, start = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool last = false;

	while (fd >= 0 && !last) {
		memset(&ask.map, 0, sizeof(ask.map));
		ask.map.fm_start = start;
		ask.map.fm_length = FIEMAP_MAX_OFFSET - start;
		ask.map.fm_extent_count = SPACE_EXTENTS;
		if (ioctl(fd, FS_IOC_FIEMAP, &ask.map)) {
			own = allocated;
			break;
		}
		last = !ask.map.fm_mapped_extents;
		for (unsigned i = 0; i < ask.map.fm_mapped_extents; i++) {
			const struct fiemap_extent *extent = &ask.extents[i];

			if (!(extent->fe_flags & FIEMAP_EXTENT_SHARED))
				own += extent->fe_length;
			last = last || extent->fe_flags & FIEMAP_EXTENT_LAST;
			start = extent->fe_logical + extent->fe_length;
		}
	}
	if (fd >= 0)
		close(fd);
	return own;
}

uint64_t space_of_point(const char *dir, const struct point_info *point)
{
	char path[4096], *paths[] = {path, NULL};
	uint64_t bytes = 0;
	FTSENT *entry;
	FTS *tree;

	snprintf(path, sizeof(path), "%s/points/%08u", dir, point->id);
	tree = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
	while (tree && (entry = fts_read(tree))) {
		uint64_t allocated;

		if (entry->fts_info != FTS_F)
			continue;
		allocated = (uint64_t)entry->fts_statp->st_blocks * 512;
		bytes += point->kind == POINT_CLONE ? own_bytes(entry->fts_path, allocated)
						    : allocated;
	}
	if (tree)
		fts_close(tree);
	return bytes;
}

/* Of all points.  Their extents are walked: `status --watch` asks every second, and gets what
 * it had until SPACE_REST times as long as the walk took is over, or the list is another. */
static uint64_t space_of_points(const char *dir, const struct point_info *points, unsigned count)
{
	static uint64_t bytes;
	static int64_t again_ns;
	static uint32_t newest;
	static unsigned known;
	int64_t start_ns = ring_now_ns();

	if (count && count == known && newest == points[count - 1].id && start_ns < again_ns)
		return bytes;
	bytes = 0;
	known = count;
	newest = count ? points[count - 1].id : 0;
	for (unsigned i = 0; i < count; i++)
		bytes += space_of_point(dir, &points[i]);
	again_ns = ring_now_ns() + SPACE_REST * (ring_now_ns() - start_ns);
	return bytes;
}

json_t *space_json(const char *dir, const struct point_info *points, unsigned count)
{
	uint64_t total_bytes = 0, free_bytes = 0;

	space_of_fs(dir, &total_bytes, &free_bytes);
	return json_pack("{s:I,s:I,s:I,s:I,s:I,s:I}", "heads",
			 (json_int_t)space_below(dir, "disks"), "journal",
			 (json_int_t)space_below(dir, "journal"), "points",
			 (json_int_t)space_of_points(dir, points, count), "promoted",
			 (json_int_t)space_below(dir, "promoted"), "fs_size",
			 (json_int_t)total_bytes, "fs_free", (json_int_t)free_bytes);
}
