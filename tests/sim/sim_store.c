/* SPDX-License-Identifier: Apache-2.0
 *
 * sim_store: see sim_store.h.
 */
#include "sim/sim_store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "head.h"
#include "sum.h"

#define DIR "/store"
#define BUFFERS 12u
#define BUFFER_BYTES (4u * SIM_BLOCK)

/* Sizes: whole blocks; a tail of one sector; a tail of pages and sectors. */
static const uint64_t disk_bytes[SIM_DISKS] = {SIM_DISK_BYTES_MAX, 13 * SIM_BLOCK + 512,
					       5 * SIM_BLOCK + 1536};

static uint64_t draw(struct sim_store *s, uint64_t below)
{
	return sim_random(&s->random) % below;
}

static unsigned disk_blocks(unsigned disk)
{
	return (unsigned)((disk_bytes[disk] + SIM_BLOCK - 1) / SIM_BLOCK);
}

static uint32_t blocks_bytes(unsigned disk, unsigned block, unsigned count)
{
	uint64_t end = (uint64_t)(block + count) * SIM_BLOCK;

	return (uint32_t)((end < disk_bytes[disk] ? end : disk_bytes[disk]) -
			  (uint64_t)block * SIM_BLOCK);
}

static void steps_run(struct sim_store *s, unsigned count)
{
	while (count-- && sim_busy(s->sim))
		ring_run(s->ring);
}

struct outcome {
	bool done;
	int status;
};

static void outcome_set(void *arg, int status, const struct errinfo *error)
{
	struct outcome *outcome = arg;

	outcome->done = true;
	outcome->status = status;
}

static void outcome_done(void *arg)
{
	outcome_set(arg, 0, NULL);
}

static int outcome_wait(struct sim_store *s, struct outcome *outcome)
{
	while (!outcome->done)
		ring_run(s->ring);
	return outcome->status;
}

static struct sim_content *content_copy(const struct sim_content *content)
{
	struct sim_content *copy = calloc(1, sizeof(*copy));

	if (content)
		*copy = *content;
	return copy;
}

static void attempts_free(struct sim_store *s)
{
	while (s->attempt_count)
		free(s->attempts[--s->attempt_count]);
}

/* --- a store's life --- */

struct sim_store *sim_store_new(uint64_t seed)
{
	struct sim_store *s = calloc(1, sizeof(*s));

	s->random = seed;
	s->live = content_copy(NULL);
	s->filled = content_copy(NULL);
	s->committed = content_copy(NULL);
	s->sim = sim_new(seed);
	sim_use(s->sim);
	return s;
}

void sim_store_free(struct sim_store *s)
{
	sim_use(NULL);
	sim_free(s->sim);
	attempts_free(s);
	sim_points_release(s, 0);
	free(s->live);
	free(s->filled);
	free(s->committed);
	free(s);
}

int sim_store_create(struct sim_store *s)
{
	struct store_spec spec = {.vm = "guest", .block_bytes = SIM_BLOCK,
				  .disk_count = SIM_DISKS};
	int status;

	for (unsigned i = 0; i < SIM_DISKS; i++) {
		snprintf(spec.disks[i].name, sizeof(spec.disks[i].name), "vd%c", 'a' + i);
		spec.disks[i].size = disk_bytes[i];
	}
	status = store_create(DIR, &spec, 0, NULL);
	if (!status)
		s->phase = SIM_EMPTY;
	return status;
}

int sim_store_open(struct sim_store *s)
{
	int status;

	ring_new(&s->ring, 64, NULL);
	pool_new(&s->pool, s->ring, BUFFERS, BUFFER_BYTES, SIM_BLOCK, NULL);
	status = store_open(&s->store, s->ring, s->pool, DIR, NULL);
	if (status)
		sim_store_close(s);
	return status;
}

void sim_store_close(struct sim_store *s)
{
	store_close(s->store);
	pool_free(s->pool);
	ring_free(s->ring);
	s->store = NULL;
	s->pool = NULL;
	s->ring = NULL;
}

static struct buf *buffer_get(struct sim_store *s)
{
	struct buf *buf;

	while (!(buf = pool_get(s->pool)))
		ring_run(s->ring);
	return buf;
}

/* COUNT random blocks become the live content, and leave through SINK. */
static int put_data(struct sim_store *s, struct copy_sink *sink, unsigned disk, unsigned block,
		    unsigned count)
{
	uint32_t length = blocks_bytes(disk, block, count);
	struct buf *buf = buffer_get(s);

	for (uint32_t i = 0; i < count; i++) {
		uint64_t content = sim_random(&s->random), at = (uint64_t)i * SIM_BLOCK;
		uint32_t bytes = blocks_bytes(disk, block + i, 1);

		for (uint32_t j = 0; j < bytes / 8; j++)
			memcpy(buf->data + at + (uint64_t)j * 8, &content, 8), content += j;
		if (draw(s, 6) == 0)
			memset(buf->data + at, 0, bytes);
		buf->sums[i] = block_sum(buf->data + at, bytes, (block + i) * (uint64_t)SIM_BLOCK);
	}
	memcpy(s->live->disk[disk] + (uint64_t)block * SIM_BLOCK, buf->data, length);
	return sink->data(sink, disk, (uint64_t)block * SIM_BLOCK, length, buf, NULL);
}

static int put_zeros(struct sim_store *s, struct copy_sink *sink, unsigned disk, unsigned block,
		     unsigned count)
{
	uint32_t length = blocks_bytes(disk, block, count);

	memset(s->live->disk[disk] + (uint64_t)block * SIM_BLOCK, 0, length);
	return sink->zero(sink, disk, (uint64_t)block * SIM_BLOCK, length, NULL);
}

int sim_store_fill(struct sim_store *s)
{
	struct copy_sink *sink = store_fill_sink(s->store);
	struct outcome outcome = {0};
	int status;

	if (s->phase == SIM_FILLED)
		s->phase = SIM_FILLING_END; /* again: from now on empty or as it was */
	status = store_fill_begin(s->store, NULL);
	if (status)
		return status;
	attempts_free(s);
	memset(s->live, 0, sizeof(*s->live));
	for (unsigned disk = 0; disk < SIM_DISKS; disk++) {
		for (unsigned block = 0; block < disk_blocks(disk); block += 4) {
			unsigned count = disk_blocks(disk) - block;

			if (draw(s, 3))
				put_data(s, sink, disk, block, count < 4 ? count : 4);
			steps_run(s, (unsigned)draw(s, 3));
		}
	}
	*s->filled = *s->live;
	s->phase = SIM_FILLING_END;
	store_fill_end(s->store, outcome_set, &outcome);
	status = outcome_wait(s, &outcome);
	if (!status)
		s->phase = SIM_FILLED;
	return status;
}

static void puts_random(struct sim_store *s, unsigned puts)
{
	struct copy_sink *sink = store_sink(s->store);

	while (puts--) {
		unsigned disk = (unsigned)draw(s, SIM_DISKS);
		unsigned block = (unsigned)draw(s, disk_blocks(disk));
		unsigned left = disk_blocks(disk) - block;
		unsigned count = 1 + (unsigned)draw(s, 4);

		if (draw(s, 4))
			put_data(s, sink, disk, block, count < left ? count : left);
		else
			put_zeros(s, sink, disk, block, 2 * count < left ? 2 * count : left);
		steps_run(s, (unsigned)draw(s, 4));
	}
}

static int begin(struct sim_store *s)
{
	while (!store_can_begin(s->store) && sim_busy(s->sim))
		ring_run(s->ring);
	return store_begin(s->store, NULL);
}

int sim_store_generation(struct sim_store *s, unsigned puts)
{
	struct outcome outcome = {0};
	int status = begin(s);

	if (status)
		return status;
	*s->live = s->phase == SIM_RUNNING ? *s->committed : *s->filled;
	puts_random(s, puts);
	if (s->attempt_count < SIM_ATTEMPTS)
		s->attempts[s->attempt_count++] = content_copy(s->live);
	store_commit(s->store, (int64_t)s->acknowledged + 1, outcome_set, &outcome);
	status = outcome_wait(s, &outcome);
	if (status)
		return status;
	s->phase = SIM_RUNNING;
	*s->committed = *s->live;
	attempts_free(s);
	s->acknowledged++;
	return 0;
}

void sim_store_abort(struct sim_store *s, unsigned puts)
{
	struct outcome outcome = {0};

	if (begin(s))
		return;
	puts_random(s, puts);
	store_abort(s->store, outcome_done, &outcome);
	outcome_wait(s, &outcome);
}

int sim_store_settle(struct sim_store *s)
{
	struct outcome outcome = {0};

	store_settle(s->store, outcome_set, &outcome);
	return outcome_wait(s, &outcome);
}

/* --- the verdict --- */

static bool wrong(struct sim_store *s, const char *what, uint64_t number)
{
	if (!s->wrong++)
		snprintf(s->first_wrong, sizeof(s->first_wrong),
			 "cut %llu, step %llu, phase %d, acknowledged %llu: %.200s %llu",
			 (unsigned long long)s->cuts, (unsigned long long)sim_steps(s->sim),
			 (int)s->phase, (unsigned long long)s->acknowledged, what,
			 (unsigned long long)number);
	return false;
}

static uint8_t *file_content(const char *path, uint64_t size)
{
	uint8_t *content = calloc(1, size + 1);
	int fd = file_open(path, O_RDONLY);

	if (fd < 0 || (uint64_t)file_size(fd) != size)
		content[size] = 1; /* the caller sees it */
	else
		file_read(fd, content, size, 0);
	file_close(fd);
	return content;
}

static bool disk_right(unsigned disk, const struct sim_content *content)
{
	const unsigned blocks = disk_blocks(disk);
	char path[128], name[] = {'v', 'd', (char)('a' + disk), 0};
	uint8_t *head, *sums;
	bool right;

	store_head_path(DIR, name, path, sizeof(path));
	head = file_content(path, disk_bytes[disk]);
	head_sums_path(DIR, name, path, sizeof(path));
	sums = file_content(path, blocks * 8);
	right = !head[disk_bytes[disk]] && !sums[blocks * 8] &&
		memcmp(head, content->disk[disk], disk_bytes[disk]) == 0;
	for (unsigned i = 0; i < blocks && right; i++) {
		uint64_t offset = (uint64_t)i * SIM_BLOCK;
		uint64_t sum = block_sum(head + offset, blocks_bytes(disk, i, 1), offset);

		right = memcmp(&sum, sums + (size_t)i * 8, 8) == 0;
	}
	free(head);
	free(sums);
	return right;
}

static bool content_right(const struct sim_content *content)
{
	for (unsigned disk = 0; disk < SIM_DISKS; disk++)
		if (!disk_right(disk, content))
			return false;
	return true;
}

static bool points_right(struct sim_store *s, bool all)
{
	const char *what;
	uint64_t number;

	return sim_points_right(s, all, &what, &number) || wrong(s, what, number);
}

void sim_store_look(struct sim_store *s)
{
	if (!points_right(s, false))
		strncat(s->first_wrong, ", to a reader",
			sizeof(s->first_wrong) - strlen(s->first_wrong) - 1);
}

bool sim_store_right(struct sim_store *s)
{
	if (store_info(s->store)->generation != s->acknowledged)
		return wrong(s, "open at generation", store_info(s->store)->generation);
	if (!content_right(s->committed))
		return wrong(s, "heads are wrong at", s->acknowledged);
	return points_right(s, true);
}

/* What the store says it is must have been possible, and be in the heads. */
static bool found_right(struct sim_store *s, const struct store_info *info,
			const struct sim_content **content)
{
	static const struct sim_content nothing;

	*content = NULL;
	if (info->state == STORE_EMPTY && s->phase <= SIM_FILLING_END)
		*content = &nothing;
	else if (info->state == STORE_FILLED &&
		 (s->phase == SIM_FILLING_END || s->phase == SIM_FILLED))
		*content = s->filled;
	else if (info->state == STORE_READY && s->phase == SIM_RUNNING &&
		 info->generation == s->acknowledged)
		*content = s->committed;
	if (*content)
		return content_right(*content);
	if (info->state != STORE_READY || info->generation != s->acknowledged + 1)
		return false;
	for (unsigned i = 0; i < s->attempt_count && !*content; i++)
		if (content_right(s->attempts[i]))
			*content = s->attempts[i];
	return *content != NULL;
}

static void reopen_cut(void *arg)
{
	struct sim_store *after = arg;

	if (draw(after, 8) == 0)
		sim_store_cut(after);
}

static void going_cut(void *arg)
{
	struct sim_store *after = arg;

	if (draw(after, 32) == 0)
		sim_store_cut(after);
}

/* One generation more, points taken and deleted. */
static bool generation_more(struct sim_store *after)
{
	sim_point_take(after);
	if (draw(after, 2))
		sim_point_delete(after);
	if (sim_store_generation(after, 6))
		return false;
	if (draw(after, 2))
		sim_point_delete(after);
	else
		sim_point_take(after);
	return sim_points_wait(after) == 0 && sim_store_settle(after) == 0 &&
	       sim_store_right(after);
}

/* It must not only be right but work, with the power going again at any time. */
static bool goes_on(struct sim_store *after, struct sim_store *s, const struct sim_content *content)
{
	const unsigned points = s->point_count;
	bool right;

	after->phase = SIM_RUNNING;
	after->acknowledged = store_info(after->store)->generation;
	after->attempt_count = 0;
	after->committed = content_copy(content);
	after->live = content_copy(NULL);
	/* Of a store that is filled only there are no points yet. */
	if (store_info(after->store)->state != STORE_READY)
		after->phase = SIM_FILLED;
	sim_points_found(after);
	sim_on_step(after->sim, going_cut, after);
	right = generation_more(after) && (draw(s, 2) || generation_more(after));
	sim_on_step(after->sim, NULL, NULL);
	sim_store_cut(after);
	attempts_free(after);
	sim_points_release(after, points);
	free(after->committed);
	free(after->live);
	if (after->wrong)
		return wrong(s, after->first_wrong, after->acknowledged);
	return right || wrong(s, "no generation after", after->acknowledged);
}

/* AFTER is behind a power cut of S. */
static void reopen(struct sim_store *after, struct sim_store *s)
{
	const struct sim_content *content = NULL;
	struct sim *before = sim_use(after->sim);
	const char *what;
	uint64_t number;
	int status;

	/* One time in four the power goes again, during the recovery. */
	if (after->depth == 1 && draw(s, 4) == 0)
		sim_on_step(after->sim, reopen_cut, after);
	status = sim_store_open(after);
	sim_on_step(after->sim, NULL, NULL);
	if (after->wrong)
		wrong(s, after->first_wrong, 2);
	else if (status && !(status == -ENOENT && s->phase == SIM_CREATING))
		wrong(s, "does not open, errno", (uint64_t)-status);
	else if (!status && !found_right(s, store_info(after->store), &content))
		wrong(s, "found wrong at generation", store_info(after->store)->generation);
	else if (!status && !sim_points_right(after, false, &what, &number))
		wrong(s, what, number);
	else if (!status && store_info(after->store)->state >= STORE_FILLED && after->depth == 1 &&
		 draw(s, 8) == 0)
		goes_on(after, s, content);
	s->cuts += after->cuts;
	s->takes += after->takes;
	s->deletes += after->deletes;
	if (!status)
		sim_store_close(after);
	sim_use(before);
}

void sim_store_cut(struct sim_store *s)
{
	struct sim_store *after = malloc(sizeof(*after));

	*after = *s; /* may be interrupted again: what is right is the same */
	after->ring = NULL;
	after->pool = NULL;
	after->store = NULL;
	after->wrong = after->cuts = after->takes = after->deletes = 0;
	after->random = sim_random(&s->random);
	after->sim = sim_cut(s->sim, after->random);
	after->depth = s->depth + 1;
	s->cuts++;
	reopen(after, s);
	sim_free(after->sim);
	free(after);
}
