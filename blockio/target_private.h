/* SPDX-License-Identifier: Apache-2.0
 *
 * The file below a raw and below a qcow2 target.
 */
#ifndef BLOCKIO_TARGET_PRIVATE_H
#define BLOCKIO_TARGET_PRIVATE_H

#include "target.h"

struct target_file {
	struct ring *ring;
	struct file_identity identity;
	int fd;	     /* O_DIRECT where possible */
	int tail_fd; /* buffered: what is left at the end of an odd size, and metadata */
	bool cached; /* no O_DIRECT here: what was written is taken out of the page cache */
};

/* Open, lock, and make it SIZE bytes unless BEGIN is UPDATE: then it has to have
 * them, if HAS_SIZE.  LABEL is for messages. */
int target_file_open(struct target_file *file, struct ring *ring, const char *path, uint64_t size,
		     enum target_begin begin, bool has_size, struct errinfo *err);
void target_file_close(struct target_file *file);

/* op->data at PLACE of the file. */
void target_file_transfer(struct target_file *file, struct target_op *op, bool write,
			  uint64_t place);
void target_file_zero(struct target_file *file, struct target_op *op, uint64_t place);
void target_file_flush(struct target_file *file, struct target_op *op);

#endif
