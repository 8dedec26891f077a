/* SPDX-License-Identifier: Apache-2.0
 *
 * The story of a verification: the latest generation, then each point, one disk
 * after the other, so that a spinning disk reads in order.  A bad block is noted
 * and the reading goes on;
 * so it does with the next image when a file is damaged as a whole.
 *
 * Images of one disk share most of what they hold.  The one read before stays open,
 * and of the next only the blocks that are elsewhere are read, if that one was good.
 */
#include "verify_run.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "image.h"
#include "loop.h"
#include "member.h"
#include "progress.h"
#include "report.h"
#include "restore_source.h"
#include "successor.h"
#include "verify_before.h"

/* A request of 1 MiB is where every disk measured is at its full rate.  Eight of them keep
 * it busy; with 16 more of what was read is out of the cache when its turn to be summed up
 * comes, a fifth more processor time; four give way when somebody else reads too. */
#define VERIFY_DEPTH 8
#define VERIFY_BUFFERS 12 /* some for the journal, if it has to be applied first */
#define VERIFY_BUFFER_BYTES (1u << 20)
#define VERIFY_BAD_MAX 1000   /* listed one by one; more are only counted */
#define VERIFY_SECTION_BLOCKS (UINT64_C(1) << 20) /* a bit each: 128 KiB for any disk */

struct verify {
	const char *store;
	bool json;
	struct loop loop;
	struct pool *pool;
	struct copy_sink sink;
	struct progress progress;
	struct ring_op timer;
	bool ending; /* the timer stays down: its tick may be on its way when it is cancelled */
	struct restore_source *source; /* being read */
	const struct store_disk *disk;
	struct image *image;
	struct imagecopy *copy;
	struct verify_before before[STORE_DISKS_MAX];
	uint8_t *wanted; /* of a section */
	int lock_fd;	 /* of a store that does not open; else -1 */
	bool done;
	uint64_t scanned, total; /* bytes of the images so far, and of all */
	uint64_t section_begin;	 /* the same of the sections */
	uint64_t data_bytes, bad_count, bad_bytes, shared_blocks;
	unsigned images, points, damaged_count;
	json_t *bad, *damaged;
	json_t *incomplete; /* names of disks */
	int64_t begin_ns;
	struct errinfo err;
};

/* --- what is found --- */

static void sum_text(uint64_t sum, char text[17])
{
	snprintf(text, 17, "%016llx", (unsigned long long)sum);
}

static void bad_note(struct verify *verify, uint64_t offset, uint32_t length, int status,
		     uint64_t expected, uint64_t found)
{
	uint64_t block = offset / image_block_bytes(verify->image);
	char expected_text[17], found_text[17] = "";
	json_t *bad;

	verify->bad_count++;
	verify->bad_bytes += length;
	if (verify->bad_count > VERIFY_BAD_MAX)
		return;
	sum_text(expected, expected_text);
	if (status == -EUCLEAN)
		sum_text(found, found_text);
	bad = json_pack("{s:s,s:s,s:I,s:I,s:I,s:s,s:s,s:s}", "disk", verify->disk->name, "point",
			verify->source->name, "block", (json_int_t)block, "offset",
			(json_int_t)offset, "length", (json_int_t)length, "expected",
			expected_text, "found", found_text, "error",
			status == -EUCLEAN ? "checksum" : strerror(-status));
	json_array_append_new(verify->bad, bad);
	if (verify->json)
		return;
	progress_end(&verify->progress);
	if (status == -EUCLEAN)
		printf("bad: disk %s of %s: block %llu (%u bytes at %llu) has the sum %s instead of "
		       "%s\n", verify->disk->name, verify->source->name, (unsigned long long)block,
		       length, (unsigned long long)offset, found_text, expected_text);
	else
		printf("bad: disk %s of %s: block %llu (%u bytes at %llu) cannot be read: %s\n",
		       verify->disk->name, verify->source->name, (unsigned long long)block, length,
		       (unsigned long long)offset, strerror(-status));
}

/* Of a disk, or with DISK NULL of all of a point. */
static void damage_note(struct verify *verify, const char *disk, const char *point,
			const char *text)
{
	verify->damaged_count++; /* the list lacks what is no text */
	json_array_append_new(verify->damaged,
			      json_pack("{s:s*,s:s,s:s}", "disk", disk, "point", point, "error",
					text));
	if (verify->json)
		return;
	progress_end(&verify->progress);
	printf("damaged: %s%s%s: %s\n", disk ? disk : "", disk ? " of " : "", point, text);
}

/* No damage: nothing was promised of it yet. */
static void incomplete_note(struct verify *verify)
{
	json_array_append_new(verify->incomplete, json_string(verify->disk->name));
	if (verify->json)
		return;
	progress_end(&verify->progress);
	printf("incomplete: disk %s was added or grew, and %s does not hold it whole yet\n",
	       verify->disk->name, verify->source->name);
}

static int sink_data(struct copy_sink *sink, unsigned disk, uint64_t offset, uint32_t length,
		     struct buf *buf, struct errinfo *err)
{
	struct verify *verify = member_of(sink, struct verify, sink);

	pool_put(verify->pool, buf);
	return 0;
}

static int sink_bad(struct copy_sink *sink, unsigned disk, uint64_t offset, uint32_t length,
		    int status)
{
	struct verify *verify = member_of(sink, struct verify, sink);
	const struct imagecopy_progress *progress = imagecopy_progress(verify->copy);

	bad_note(verify, offset, length, status, progress->bad_expected, progress->bad_found);
	return 0;
}

/* --- one image --- */

static void copy_done(void *arg, int status, const struct errinfo *error)
{
	struct verify *verify = arg;

	verify->done = true;
	if (status)
		err_set(&verify->err, status, "%s", error->text);
}

static bool copy_event(void *arg)
{
	const struct verify *verify = arg;

	return verify->done || verify->loop.quit;
}

static int copy_wait(struct verify *verify)
{
	int status = loop_until(&verify->loop, copy_event, verify, INT64_MAX);

	if (!verify->done) {
		imagecopy_cancel(verify->copy);
		loop_until_set(&verify->loop, &verify->done, INT64_MAX);
	}
	return status ? status : verify->err.code;
}

static int section_check(struct verify *verify, const struct imagecopy_range *range)
{
	int status;

	verify->done = false;
	status = imagecopy_start_range(&verify->copy, verify->image, verify->pool, 0,
				       VERIFY_DEPTH, range, &verify->sink, copy_done, verify,
				       &verify->err);
	if (!status)
		status = copy_wait(verify);
	if (verify->copy)
		verify->data_bytes += imagecopy_progress(verify->copy)->data_bytes;
	imagecopy_free(verify->copy);
	verify->copy = NULL;
	return status;
}

/* BEFORE NULL: there is none, all is read. */
static int image_check(struct verify *verify, struct image *before)
{
	const uint64_t blocks = image_blocks(verify->image);
	int status = 0;

	for (uint64_t at = 0; at < blocks && !status; at += VERIFY_SECTION_BLOCKS) {
		struct imagecopy_range range = {at, at + VERIFY_SECTION_BLOCKS, NULL};
		uint64_t same = 0;

		range.end = range.end < blocks ? range.end : blocks;
		if (before) {
			range.wanted = verify->wanted;
			status = image_others(verify->image, before, at, range.end - at,
					      verify->wanted, &same, &verify->err);
		}
		verify->section_begin = verify->scanned + at * image_block_bytes(verify->image);
		if (!status)
			status = section_check(verify, &range);
		verify->shared_blocks += same;
	}
	return status;
}

static int disk_check(struct verify *verify)
{
	struct verify_before *before = verify_before_find(verify->before, verify->disk->name);
	struct image *other = before ? before->image : NULL;
	uint64_t bad = verify->bad_count;
	int status = image_open(&verify->image, verify->loop.ring, verify->store,
				verify->source->point, verify->disk->name, &verify->err);

	if (!status)
		status = image_check(verify, other && image_size(other) ==
							      image_size(verify->image)
						     ? other : NULL);
	if (before)
		verify_before_close(before);
	if (before && !status && verify->bad_count == bad)
		verify_before_keep(before, verify->disk->name, verify->image,
				   verify->source->hold_fd);
	else
		image_close(verify->image);
	verify->image = NULL;
	return status;
}

/* No damage, but what this process lacks. */
static bool is_ours(int code)
{
	return code == -EMFILE || code == -ENFILE || code == -ENOMEM;
}

static int source_check(struct verify *verify, struct restore_source *source)
{
	verify->source = source;
	for (unsigned i = 0; i < source->disk_count; i++) {
		verify->disk = &source->disks[i];
		if (restore_source_lacks(source, verify->disk))
			incomplete_note(verify);
		else if (!disk_check(verify))
			verify->images++;
		else if (verify->loop.quit)
			return -EINTR;
		else if (is_ours(verify->err.code))
			return verify->err.code;
		else
			damage_note(verify, verify->disk->name, source->name, verify->err.text);
		err_clear(&verify->err);
		verify->scanned += verify->disk->size;
		verify->section_begin = verify->scanned;
	}
	return 0;
}

/* --- all of them --- */

static int point_check(struct verify *verify, const struct point_info *point)
{
	struct restore_source source;
	struct errinfo gone = {0};
	char id[16];
	int status;

	snprintf(id, sizeof(id), "%u", point->id);
	status = restore_source_find(&source, verify->store, id, &gone);
	if (!status)
		status = restore_source_open(&source, verify->loop.ring, verify->pool, &gone);
	if (is_ours(status)) {
		err_set(&verify->err, status, "%s", gone.text);
		return status;
	}
	/* The retention deleted it since it was listed. */
	if (status && status != -ENOENT && status != -EBUSY)
		damage_note(verify, NULL, point->name[0] ? point->name : id, gone.text);
	else if (!status && !(status = source_check(verify, &source)))
		verify->points++;
	restore_source_release(&source);
	return status == -EINTR || is_ours(status) ? status : 0;
}

static void point_damaged(struct verify *verify, const struct point_info *point)
{
	char id[16];

	snprintf(id, sizeof(id), "%u", point->id);
	damage_note(verify, NULL, id,
		    "its files, or those of a newer point that it is read through, are damaged");
}

static int points_check(struct verify *verify, const struct point_info *points, unsigned count)
{
	int status = 0;

	for (unsigned i = count; i-- > 0;) {
		if (points[i].damaged)
			point_damaged(verify, &points[i]);
		else if (!points[i].temporary)
			status = point_check(verify, &points[i]);
		if (status)
			return status;
	}
	return 0;
}

static void total_count(struct verify *verify, const struct restore_source *latest,
			const struct point_info *points, unsigned count)
{
	for (unsigned d = 0; d < latest->disk_count; d++)
		verify->total += latest->disks[d].size;
	for (unsigned i = 0; i < count; i++)
		for (unsigned d = 0; d < points[i].disk_count && !points[i].temporary; d++)
			verify->total += points[i].disks[d].size;
}

static void progress_tick(struct ring_op *op, int result)
{
	struct verify *verify = member_of(op, struct verify, timer);
	uint64_t now = verify->copy ? imagecopy_progress(verify->copy)->scanned : 0;

	if (result < 0 || verify->ending)
		return;
	progress_show(&verify->progress, verify->section_begin + now, verify->total, ring_now_ns());
	ring_timer(verify->loop.ring, op, ring_now_ns() + PROGRESS_PERIOD_NS);
}

static int all_check(struct verify *verify, struct restore_source *latest)
{
	struct point_info *points = NULL;
	unsigned count = 0;
	int status = points_list(verify->store, &points, &count, &verify->err);

	if (status)
		return status;
	total_count(verify, latest, points, count);
	verify->timer.done = progress_tick;
	ring_timer(verify->loop.ring, &verify->timer, ring_now_ns() + PROGRESS_PERIOD_NS);
	if (latest->store || latest->point || verify->lock_fd >= 0)
		status = source_check(verify, latest);
	if (!status)
		status = points_check(verify, points, count);
	free(points);
	return status;
}

static bool is_good(const struct verify *verify)
{
	return !verify->bad_count && !verify->damaged_count;
}

static int tell(struct verify *verify, uint64_t generation)
{
	double seconds = (double)(ring_now_ns() - verify->begin_ns) / 1e9;
	char bytes[16];

	if (verify->json) {
		json_t *result = json_pack(
			"{s:b,s:I,s:i,s:i,s:I,s:I,s:f,s:I,s:I,s:O,s:O,s:O}", "good", is_good(verify),
			"generation", (json_int_t)generation, "points", (int)verify->points,
			"images", (int)verify->images, "data_bytes",
			(json_int_t)verify->data_bytes, "shared_blocks",
			(json_int_t)verify->shared_blocks, "seconds", seconds, "bad_count",
			(json_int_t)verify->bad_count, "bad_bytes", (json_int_t)verify->bad_bytes,
			"bad", verify->bad, "damaged", verify->damaged, "incomplete",
			verify->incomplete);

		json_dumpf(result, stdout, REPORT_JSON);
		putchar('\n');
		json_decref(result);
	} else {
		progress_bytes(bytes, (double)verify->data_bytes);
		printf("generation %llu and %u points: %s read in %.1f s, %llu bad blocks, "
		       "%u damaged files or points\n",
		       (unsigned long long)generation, verify->points, bytes, seconds,
		       (unsigned long long)verify->bad_count, verify->damaged_count);
	}
	return !is_good(verify);
}

/* A store that does not open: its heads as they are, if nobody else has it. */
static int heads_only(struct verify *verify, struct restore_source *latest)
{
	char path[FILE_PATH_MAX];

	if (verify->err.code == -EBUSY || latest->refused)
		return verify->err.code; /* no damage: it can be read later */
	damage_note(verify, NULL, latest->name, verify->err.text);
	err_clear(&verify->err);
	store_close(latest->store);
	latest->store = NULL;
	snprintf(path, sizeof(path), "%s/lock", verify->store);
	verify->lock_fd = file_open(path, O_RDONLY);
	if (verify->lock_fd >= 0 && file_lock(verify->lock_fd)) {
		file_close(verify->lock_fd);
		verify->lock_fd = -1;
	}
	return 0;
}

static int prepare(struct verify *verify, struct restore_source *latest)
{
	int found = restore_source_find(latest, verify->store, "latest", &verify->err);
	int status = found == -EUCLEAN && latest->disk_count ? 0 : found;

	if (!status)
		successor_warn(verify->store);
	if (!status)
		status = loop_init(&verify->loop, &verify->err);
	if (!status)
		status = pool_new(&verify->pool, verify->loop.ring, VERIFY_BUFFERS,
				  VERIFY_BUFFER_BYTES, latest->info.spec.block_bytes, &verify->err);
	verify->wanted = malloc(VERIFY_SECTION_BLOCKS / 8);
	if (!status && !verify->wanted)
		status = err_set(&verify->err, -ENOMEM, "no memory to verify %s", verify->store);
	if (!status && (found || restore_source_open(latest, verify->loop.ring, verify->pool,
						     &verify->err)))
		status = heads_only(verify, latest);
	return status;
}

static void release(struct verify *verify, struct restore_source *latest)
{
	verify->ending = true;
	if (verify->loop.ring && ring_op_pending(&verify->timer)) {
		ring_cancel(verify->loop.ring, &verify->timer);
		while (ring_op_pending(&verify->timer) && ring_run(verify->loop.ring) >= 0)
			;
	}
	for (unsigned i = 0; i < STORE_DISKS_MAX; i++)
		verify_before_close(&verify->before[i]);
	restore_source_release(latest);
	file_close(verify->lock_fd);
	if (verify->loop.ring) {
		pool_free(verify->pool);
		loop_release(&verify->loop);
	}
	free(verify->wanted);
	json_decref(verify->bad);
	json_decref(verify->damaged);
	json_decref(verify->incomplete);
}

int verify_run(const char *store, bool json)
{
	struct verify verify = {.store = store, .json = json, .begin_ns = ring_now_ns(),
				.sink = {.data = sink_data, .bad = sink_bad},
				.bad = json_array(), .damaged = json_array(),
				.incomplete = json_array(), .lock_fd = -1};
	struct restore_source latest = {.hold_fd = -1};
	int status = prepare(&verify, &latest);

	progress_init(&verify.progress, "verify", json, ring_now_ns());
	if (!status)
		status = all_check(&verify, &latest);
	progress_end(&verify.progress);
	if (verify.loop.quit && status) /* else it came too late */
		log_error("interrupted: %llu bad blocks so far",
			  (unsigned long long)verify.bad_count);
	else if (status)
		log_error("%s", verify.err.text);
	else
		status = tell(&verify, latest.generation);
	release(&verify, &latest);
	return status != 0;
}
