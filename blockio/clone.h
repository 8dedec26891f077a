/* SPDX-License-Identifier: Apache-2.0
 *
 * clone: files that share the blocks of others, made slice by slice from the
 * ring, so that a head of a hundred thousand extents does not hold up the thread.
 * Whoever writes to the files cloned from meanwhile clones the range with clone_ahead()
 * before: a map says what the slices must leave alone then.
 */
#ifndef BLOCKIO_CLONE_H
#define BLOCKIO_CLONE_H

#include <stdint.h>

#include "pace.h"
#include "ring.h"
#include "store.h"

#define CLONE_FILES_MAX (2 * STORE_DISKS_MAX)
/* Slices begin and end at these: no file system has larger blocks. */
#define CLONE_ALIGN 65536u

struct clone_file {
	int from, to; /* TO has the size of FROM already, and is all holes */
	uint64_t size;
	uint64_t *ahead; /* a bit for each CLONE_ALIGN that was cloned before its turn; or NULL */
};

struct clone {
	struct ring *ring;
	struct clone_file files[CLONE_FILES_MAX];
	unsigned count;
	/* RESULT: 0 or the errno of the slice that failed. */
	void (*done)(struct clone *clone, int result);
	struct pace pace;

	/* private */
	struct ring_op op;
	int status; /* of what was cloned ahead */
	unsigned file;
	uint64_t offset;
};

void clone_init(struct clone *clone, struct ring *ring);
void clone_add(struct clone *clone, int from, int to, uint64_t size);
/* done() runs from ring_run().  Not flushed yet. */
void clone_start(struct clone *clone, void (*done)(struct clone *clone, int result));
/* Between clone_start() and done(): LENGTH bytes from OFFSET on of the file FROM are about
 * to be written.  Blocking, a slice of them; true: there is no more, and the writes may
 * begin.  What fails here is the clone, not the write. */
bool clone_ahead(struct clone *clone, int from, uint64_t offset, uint64_t length);

/* Does the file system of the store DIR share blocks?  Tried with store.json. */
bool clone_possible(const char *dir);

#endif
