/* SPDX-License-Identifier: Apache-2.0
 *
 * A raw file or a block device: every byte is where it is in the disk.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "member.h"
#include "target_private.h"

struct target_raw {
	struct target target;
	struct target_file file;
};

static struct target_raw *raw_of(struct target *target)
{
	return member_of(target, struct target_raw, target);
}

static void raw_read(struct target_op *op)
{
	target_file_transfer(&raw_of(op->target)->file, op, false, op->offset);
}

static void raw_write(struct target_op *op)
{
	target_file_transfer(&raw_of(op->target)->file, op, true, op->offset);
}

static void raw_zero(struct target_op *op)
{
	target_file_zero(&raw_of(op->target)->file, op, op->offset);
}

static void raw_flush(struct target_op *op)
{
	target_file_flush(&raw_of(op->target)->file, op);
}

/* Of a block device only holes would tell, and it has none. */
static int64_t raw_next_data(struct target *target, uint64_t offset)
{
	struct target_file *file = &raw_of(target)->file;

	if (file->identity.kind != FILE_REGULAR)
		return (int64_t)offset;
	return file_next_data(file->fd, offset);
}

static void raw_close(struct target *target)
{
	target_file_close(&raw_of(target)->file);
	free(raw_of(target));
}

int target_open_raw(struct target **out, struct ring *ring, const char *path, uint64_t size,
		    enum target_begin begin, struct errinfo *err)
{
	static const struct target_ops ops = {
		.read = raw_read,
		.write = raw_write,
		.zero = raw_zero,
		.flush = raw_flush,
		.next_data = raw_next_data,
		.close = raw_close,
	};
	struct target_raw *raw = calloc(1, sizeof(*raw));
	int status;

	*out = NULL;
	if (!raw)
		return err_set(err, -ENOMEM, "no memory to restore to %s", path);
	raw->file.fd = raw->file.tail_fd = -1;
	raw->target.ops = &ops;
	raw->target.ring = ring;
	raw->target.size = size;
	snprintf(raw->target.label, sizeof(raw->target.label), "%s", path);
	status = target_file_open(&raw->file, ring, path, size, begin, true, err);
	if (status) {
		raw_close(&raw->target);
		return status;
	}
	raw->target.blank =
		begin != TARGET_UPDATE && raw->file.identity.kind == FILE_REGULAR;
	*out = &raw->target;
	return 0;
}
