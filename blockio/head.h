/* SPDX-License-Identifier: Apache-2.0
 *
 * head: the replica of one disk: head.raw, a sparse image of exactly the disk's
 * size, and sums, 8 bytes for each of its blocks.  Both have holes where the
 * disk is zeros: SUM_ZERO is 0.
 *
 * All disks of a guest are one struct heads: written block by block in any
 * order, flushed together.
 */
#ifndef BLOCKIO_HEAD_H
#define BLOCKIO_HEAD_H

#include <stdbool.h>
#include <stdint.h>

#include "errinfo.h"
#include "record.h"
#include "ring.h"
#include "store.h"

#define HEADS_ALL UINT64_MAX

struct heads;

struct head {
	struct heads *heads;
	int fd;	     /* O_DIRECT where possible */
	int tail_fd; /* buffered: what is left at the end of a disk of odd size */
	int sums_fd;
	bool dirty;  /* written since the last flush */
	struct ring_op flush[2];
};

struct heads {
	struct ring *ring;
	const char *dir;
	const struct store_spec *spec;
	const struct record_shape *shape;
	struct head head[STORE_DISKS_MAX];

	/* private: the flush under way */
	unsigned flushing;
	struct errinfo flush_error;
	struct ring_op now;
	void (*flushed)(void *arg, int status, const struct errinfo *error);
	void *arg;
};

/* One record on its way: its runs of data and of zeros, then its sums. */
struct head_write {
	struct ring_op op;
	struct heads *heads;
	unsigned disk;
	uint64_t block;
	uint64_t count;
	const uint8_t *data;  /* NULL: all zeros */
	const uint64_t *sums; /* NULL: all zeros */
	/* RESULT: 0 or a negative errno with ERROR filled in. */
	void (*done)(struct head_write *write, int status);
	struct errinfo error;

	/* private */
	uint64_t position; /* blocks done */
	uint64_t step;	   /* blocks being done */
	uint32_t tail;	   /* bytes of the step to be written buffered */
};

/* Make the files of one disk below DIR, all holes, durable.  Blocking. */
int head_create(const char *dir, const struct store_spec *spec, unsigned disk,
		struct errinfo *err);

/* DIR, SPEC and SHAPE must outlive HEADS.  A file missing is an error, and one of
 * another size, unless ANY_SIZE: for heads that are emptied next. */
int heads_open(struct heads *heads, struct ring *ring, const char *dir,
	       const struct store_spec *spec, const struct record_shape *shape, bool any_size,
	       struct errinfo *err);
void heads_close(struct heads *heads); /* nothing may be in flight */
/* Those in the bit set DISKS.  Blocking, durable. */
int heads_empty(struct heads *heads, uint64_t disks, struct errinfo *err);
/* The files of one disk get the length of its size; what is new is holes.  FROM: the
 * size they may still have.  Blocking, durable, can be done again. */
int head_extend(const char *dir, const struct store_spec *spec, unsigned disk, uint64_t from,
		struct errinfo *err);
/* Its files and its directory go; those that are gone already do not matter. */
int head_remove(const char *dir, const char *disk, struct errinfo *err);

/* done() runs from ring_run(); data and sums must stay until then. */
void head_write_start(struct head_write *write);

/* Everything written before is on stable storage when done(0) runs.  After a
 * failure everything since the last flush has to be written again. */
void heads_flush(struct heads *heads,
		 void (*done)(void *arg, int status, const struct errinfo *error), void *arg);

void head_sums_path(const char *dir, const char *disk, char *path, size_t size);

#endif
