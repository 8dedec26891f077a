/* SPDX-License-Identifier: Apache-2.0
 *
 * flush: some files and directories brought to stable storage at the same time,
 * and one word when all are.
 */
#ifndef BLOCKIO_FLUSH_H
#define BLOCKIO_FLUSH_H

#include <stdbool.h>

#include "errinfo.h"
#include "ring.h"
#include "store.h"

#define FLUSH_FILES_MAX (3 * STORE_DISKS_MAX + 4) /* a new point: two files and a directory a disk */

struct flush;

struct flush_file {
	struct ring_op op;
	struct flush *flush;
	int fd;
};

struct flush {
	struct ring *ring;
	struct flush_file files[FLUSH_FILES_MAX];
	unsigned count;
	/* RESULT: 0, or the errno of the first flush that failed. */
	void (*done)(struct flush *flush, int result);

	/* private */
	unsigned in_flight;
	int status;
	struct ring_op now;
};

void flush_init(struct flush *flush, struct ring *ring);
void flush_add(struct flush *flush, int fd); /* it stays the caller's */
/* With all metadata (fsync), as new files and directories want it, or what is needed
 * to read the content (fdatasync).  done() runs from ring_run(), once. */
void flush_start(struct flush *flush, bool metadata,
		 void (*done)(struct flush *flush, int result));

#endif
