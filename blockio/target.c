/* SPDX-License-Identifier: Apache-2.0
 *
 * target: what all kinds share, see target.h.
 */
#include "target.h"

#include <errno.h>
#include <string.h>

static void op_init(struct target *target, struct target_op *op, const void *data, uint64_t offset,
		    uint64_t length)
{
	op->target = target;
	op->data = (uint8_t *)data;
	op->offset = offset;
	op->length = length;
	op->progress = 0;
	op->status = 0;
}

void target_read(struct target *target, struct target_op *op, void *data, uint32_t length,
		 uint64_t offset)
{
	op_init(target, op, data, offset, length);
	target->ops->read(op);
}

void target_write(struct target *target, struct target_op *op, const void *data, uint32_t length,
		  uint64_t offset)
{
	op_init(target, op, data, offset, length);
	target->ops->write(op);
}

void target_zero(struct target *target, struct target_op *op, uint64_t offset, uint64_t length)
{
	op_init(target, op, NULL, offset, length);
	target->ops->zero(op);
}

void target_flush(struct target *target, struct target_op *op)
{
	op_init(target, op, NULL, 0, 0);
	target->ops->flush(op);
}

uint64_t target_next_data(struct target *target, uint64_t offset)
{
	int64_t found = target->ops->next_data ? target->ops->next_data(target, offset) : -1;

	if (found == -ENXIO)
		return target->size;
	if (found < 0)
		return offset;
	return (uint64_t)found < target->size ? (uint64_t)found : target->size;
}

int target_seal(struct target *target, struct errinfo *err)
{
	return target->ops->seal ? target->ops->seal(target, err) : 0;
}

void target_close(struct target *target)
{
	if (target)
		target->ops->close(target);
}

bool target_is_nbd(const char *where)
{
	return !strncmp(where, "nbd://", 6) || !strncmp(where, "nbd+unix://", 11) ||
	       !strncmp(where, "nbds://", 7) || !strncmp(where, "nbds+unix://", 12) ||
	       !strncmp(where, "nbd+vsock://", 12) || !strncmp(where, "nbds+vsock://", 13);
}
