/* SPDX-License-Identifier: Apache-2.0
 *
 * The journal's two files.  They are written through once when they are made,
 * so that a steady-state commit overwrites blocks that exist: its flush then is
 * the disk's alone, without a transaction of the file system.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "member.h"
#include "file.h"
#include "journal_private.h"

#define CREATE_CHUNK_BYTES (1u << 20)

void journal_path(const char *dir, unsigned area, char *path, size_t size)
{
	snprintf(path, size, "%s/journal/%c", dir, area ? 'b' : 'a');
}

static int area_create(const char *path, const void *zeros, struct errinfo *err)
{
	int fd = file_open(path, O_RDWR | O_CREAT | O_TRUNC | O_DIRECT);
	int status = fd < 0 ? fd : 0;

	for (uint64_t at = 0; !status && at < JOURNAL_AREA_BYTES; at += CREATE_CHUNK_BYTES)
		status = file_write(fd, zeros, CREATE_CHUNK_BYTES, at);
	if (!status)
		status = file_sync(fd);
	file_close(fd);
	if (status)
		return err_set(err, status, "%s: cannot make this journal area of %u MiB: %s", path,
			       JOURNAL_AREA_BYTES >> 20, strerror(-status));
	return 0;
}

int journal_create(const char *dir, struct errinfo *err)
{
	void *zeros = aligned_alloc(RECORD_PAGE, CREATE_CHUNK_BYTES);
	char path[FILE_PATH_MAX];
	int status = 0;

	if (!zeros)
		return err_set(err, -ENOMEM, "no memory to make the journal");
	memset(zeros, 0, CREATE_CHUNK_BYTES);
	for (unsigned area = 0; area < 2 && !status; area++) {
		journal_path(dir, area, path, sizeof(path));
		status = area_create(path, zeros, err);
	}
	free(zeros);
	return status;
}

static int area_open(struct journal *journal, unsigned area, struct errinfo *err)
{
	char path[FILE_PATH_MAX];
	int64_t size;
	int fd;

	journal_path(journal->dir, area, path, sizeof(path));
	fd = file_open(path, O_RDWR | O_DIRECT);
	if (fd < 0)
		return err_set(err, fd, "%s: cannot open this journal area: %s", path,
			       strerror(-fd));
	journal->fd[area] = fd;
	size = file_size(fd);
	if (size < 0)
		return err_set(err, (int)size, "%s: %s", path, strerror((int)-size));
	journal->size[area] = (uint64_t)size;
	ring_register_file(journal->ring, fd);
	return 0;
}

/* Free zero pages, then one page per generation for its commit and its seal. */
static void pages_init(struct journal *journal)
{
	for (unsigned i = 0; i < JOURNAL_ZERO_PAGES; i++)
		journal->free_pages[i] = (struct record *)(void *)(journal->pages +
								    (size_t)i * RECORD_PAGE);
	journal->free_page_count = JOURNAL_ZERO_PAGES;
	for (unsigned i = 0; i < 2; i++) {
		struct generation *generation = &journal->generation[i];

		generation->journal = journal;
		generation->area = i;
		generation->page = (struct record *)(void *)(
			journal->pages + (size_t)(JOURNAL_ZERO_PAGES + i) * RECORD_PAGE);
	}
}

int journal_open(struct journal *journal, struct ring *ring, struct pool *pool, const char *dir,
		 const struct record_shape *shape, struct errinfo *err)
{
	int status = 0;

	memset(journal, 0, sizeof(*journal));
	journal->ring = ring;
	journal->pool = pool;
	journal->dir = dir;
	journal->shape = shape;
	journal->fd[0] = journal->fd[1] = -1;
	journal->waiting_end = &journal->waiting;
	journal->kept_max = pool_available(pool) / 2;
	journal->pages = aligned_alloc(RECORD_PAGE, (JOURNAL_ZERO_PAGES + 2) * RECORD_PAGE);
	if (!journal->pages)
		return err_set(err, -ENOMEM, "no memory for the journal");
	pages_init(journal);
	for (unsigned i = 0; i < JOURNAL_WRITES; i++) {
		journal->writes[i].next = journal->free_writes;
		journal->free_writes = &journal->writes[i];
	}
	for (unsigned area = 0; area < 2 && !status; area++)
		status = area_open(journal, area, err);
	if (status)
		journal_close(journal);
	return status;
}

void journal_close(struct journal *journal)
{
	for (unsigned area = 0; area < 2; area++) {
		if (journal->fd[area] < 0)
			continue;
		ring_unregister_file(journal->ring, journal->fd[area]);
		file_close(journal->fd[area]);
		journal->fd[area] = -1;
	}
	free(journal->pages);
	journal->pages = NULL;
}

/* Without its first record nothing in an area is a generation. */
static int area_erase(struct generation *generation)
{
	const struct journal *journal = generation->journal;
	int status;

	memset(generation->page, 0, sizeof(*generation->page));
	status = file_write(journal->fd[generation->area], generation->page, RECORD_PAGE,
			    RECORD_PAGE);
	if (!status)
		status = file_sync(journal->fd[generation->area]);
	generation->stale = generation->stale && status;
	return status;
}

static int area_certain(struct generation *generation)
{
	return generation->stale ? area_erase(generation) : 0;
}

static int erase_failed(const struct journal *journal, int status, struct errinfo *err)
{
	return status ? err_set(err, status, "%s/journal cannot be erased: %s", journal->dir,
				strerror(-status)) : 0;
}

int journal_certain(struct journal *journal, struct errinfo *err)
{
	int status = area_certain(&journal->generation[0]);

	if (!status)
		status = area_certain(&journal->generation[1]);
	return erase_failed(journal, status, err);
}

int journal_erase(struct journal *journal, struct errinfo *err)
{
	int status = 0;

	assert(journal->generation[0].state == GENERATION_FREE &&
	       journal->generation[1].state == GENERATION_FREE);
	for (unsigned area = 0; area < 2 && !status; area++)
		status = area_erase(&journal->generation[area]);
	return erase_failed(journal, status, err);
}

static void area_grown(struct ring_op *op, int result)
{
	struct generation *generation = member_of(op, struct generation, grow);
	struct journal *journal = generation->journal;

	generation->growing = false;
	if (result < 0)
		/* Not an error: the writes themselves find out whether there is room. */
		generation->grow_failed = true;
	else
		journal->size[generation->area] = generation->grow_to;
	generation_put(generation);
}

void area_grow(struct generation *generation)
{
	struct journal *journal = generation->journal;
	uint64_t size = journal->size[generation->area];
	uint64_t step = size / 2;

	if (generation->growing || generation->grow_failed ||
	    generation->end + JOURNAL_GROW_MIN_BYTES / 2 <= size)
		return;
	if (size < generation->end)
		size = generation->end; /* the writes were faster */
	if (step < JOURNAL_GROW_MIN_BYTES)
		step = JOURNAL_GROW_MIN_BYTES;
	if (step > JOURNAL_GROW_MAX_BYTES)
		step = JOURNAL_GROW_MAX_BYTES;
	generation->growing = true;
	generation->grow_to = size + step;
	generation->grow.done = area_grown;
	generation->in_flight++;
	ring_fallocate(journal->ring, &generation->grow, journal->fd[generation->area], 0, size,
		       step);
}

void area_trim(struct journal *journal, unsigned area)
{
	int64_t size = file_size(journal->fd[area]);

	if (size < 0)
		return;
	if (size > JOURNAL_AREA_KEEP_BYTES &&
	    file_truncate(journal->fd[area], JOURNAL_AREA_KEEP_BYTES) == 0)
		size = JOURNAL_AREA_KEEP_BYTES;
	journal->size[area] = (uint64_t)size;
}
