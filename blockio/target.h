/* SPDX-License-Identifier: Apache-2.0
 *
 * target: where a restore writes one disk: a raw or qcow2 file, a block device or
 * an NBD export.  Offsets are those of the disk, whatever the format.
 *
 *      target_open_...() ──▶ reads, writes, zeros, flush ──▶ target_seal() ──▶ flush
 *
 * Nobody else opens a file meanwhile: it is locked as QEMU locks its images.
 */
#ifndef BLOCKIO_TARGET_H
#define BLOCKIO_TARGET_H

#include <stdbool.h>
#include <stdint.h>

#include "errinfo.h"
#include "file_target.h"
#include "image.h"
#include "ring.h"

#define TARGET_LABEL_MAX 1536 /* a path and a word */

struct target;

/* One request; a member of the caller's structure, which stays until done(). */
struct target_op {
	/* STATUS: 0 or a negative errno.  Runs inside ring_run() alone. */
	void (*done)(struct target_op *op, int status);

	/* private */
	struct target *target;
	struct ring_op ring;
	struct target_file *file; /* and where in it OFFSET is */
	uint64_t place;
	uint8_t *data;
	uint64_t offset, length, progress;
	uint64_t step; /* of it under way */
	int mode;      /* of fallocate */
	bool writes;
	int status;	/* NBD: of what ended */
	struct target_op *next;
};

struct target_ops {
	void (*read)(struct target_op *op);
	void (*write)(struct target_op *op);
	void (*zero)(struct target_op *op);
	void (*flush)(struct target_op *op);
	int64_t (*next_data)(struct target *target, uint64_t offset); /* NULL: unknown */
	int (*seal)(struct target *target, struct errinfo *err);
	void (*close)(struct target *target);
};

struct target {
	const struct target_ops *ops;
	struct ring *ring;
	uint64_t size; /* of the disk */
	bool blank;    /* reads as zeros wherever nothing was written */
	bool unflushed; /* nobody can say when what was written is on stable storage */
	bool sparse;   /* a block of zeros has no place in it: blank in any case */
	char label[TARGET_LABEL_MAX];
};

enum target_begin {
	TARGET_NEW,	/* the file must not exist */
	TARGET_REPLACE, /* it loses what it has */
	TARGET_UPDATE,	/* what it has is looked at: in place, or continued */
};

/* A file (made by NEW, there for the others) or a block device of at least SIZE
 * bytes.  -EBUSY: in use by QEMU, mounted, or being restored to; -EEXIST;
 * -EFBIG: it is too small, or a file to be updated has another size. */
int target_open_raw(struct target **target, struct ring *ring, const char *path, uint64_t size,
		    enum target_begin begin, struct errinfo *err);
/* A qcow2 file with one cluster for each that has data in IMAGE, which stays open
 * as long.  It is nothing until target_seal() wrote its header. */
int target_open_qcow2(struct target **target, struct ring *ring, const char *path,
		      struct image *image, enum target_begin begin, struct errinfo *err);
/* nbd://, nbd+unix:// and what else libnbd connects to.  Blocking. */
int target_open_nbd(struct target **target, struct ring *ring, const char *uri, uint64_t size,
		    struct errinfo *err);
bool target_is_nbd(const char *where);

/* Requests below end in op->done().  DATA is 4 KiB aligned, OFFSET a multiple of
 * 4 KiB; LENGTH too, except at the end of the disk. */
void target_read(struct target *target, struct target_op *op, void *data, uint32_t length,
		 uint64_t offset);
void target_write(struct target *target, struct target_op *op, const void *data, uint32_t length,
		  uint64_t offset);
void target_zero(struct target *target, struct target_op *op, uint64_t offset, uint64_t length);
void target_flush(struct target *target, struct target_op *op);

/* The first byte from OFFSET on that may be other than zero; size: none. */
uint64_t target_next_data(struct target *target, uint64_t offset);
/* What makes it an image, last of all; flush behind it.  Blocking. */
int target_seal(struct target *target, struct errinfo *err);
void target_close(struct target *target); /* nothing in flight; NULL is allowed */


#endif
