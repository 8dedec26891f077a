/* SPDX-License-Identifier: Apache-2.0
 *
 * An NBD export: one connection, libnbd's non-blocking calls, its socket polled
 * by the ring.  libnbd calls back with its handle locked, so a completion only
 * moves the request to the finished list.  A request goes in steps of what the
 * server takes at once.
 */
#include <errno.h>
#include <libnbd.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "member.h"
#include "target_private.h"

#define WRITTEN_ZEROS 65536u /* at a time, where the server has no command for it */

enum nbd_kind { NBD_READ, NBD_WRITE, NBD_ZERO, NBD_FLUSH };

struct target_nbd {
	struct target target;
	struct nbd_handle *handle;
	struct ring_op in, out, kick;
	int fd;
	uint32_t step_max;
	bool can_zero, can_flush, dispatching;
	struct target_op *finished, **finished_end;
};

static const uint8_t zeros[WRITTEN_ZEROS];

static struct target_nbd *nbd_of(struct target *target)
{
	return member_of(target, struct target_nbd, target);
}

static int nbd_failed(const struct target_nbd *nbd, struct errinfo *err)
{
	int code = nbd_get_errno();
	const char *text = nbd_get_error();

	return err_set(err, code > 0 ? -code : -ENOTCONN, "cannot use %s: %s", nbd->target.label,
		       text ? text : "the server ended the connection");
}

static bool nbd_is_dead(const struct target_nbd *nbd)
{
	return nbd_aio_is_dead(nbd->handle) == 1 || nbd_aio_is_closed(nbd->handle) == 1;
}

static void op_finished(struct target_nbd *nbd, struct target_op *op, int status)
{
	op->status = status;
	op->next = NULL;
	*nbd->finished_end = op;
	nbd->finished_end = &op->next;
}

static int op_complete(void *arg, int *error)
{
	struct target_op *op = arg;

	op_finished(nbd_of(op->target), op, -*error);
	return 1; /* retire it: nobody asks for its cookie */
}

static void nbd_arm(struct target_nbd *nbd)
{
	unsigned direction;

	if (nbd_is_dead(nbd)) {
		ring_cancel(nbd->target.ring, &nbd->in);
		ring_cancel(nbd->target.ring, &nbd->out);
		return;
	}
	direction = nbd_aio_get_direction(nbd->handle);
	if (direction & LIBNBD_AIO_DIRECTION_READ && !nbd->in.pending)
		ring_poll(nbd->target.ring, &nbd->in, nbd->fd, POLLIN);
	if (direction & LIBNBD_AIO_DIRECTION_WRITE && !nbd->out.pending)
		ring_poll(nbd->target.ring, &nbd->out, nbd->fd, POLLOUT);
}

static int64_t step_issue(struct target_nbd *nbd, struct target_op *op)
{
	nbd_completion_callback complete = {.callback = op_complete, .user_data = op};
	uint64_t offset = op->offset + op->progress;

	switch ((enum nbd_kind)op->mode) {
	case NBD_READ:
		return nbd_aio_pread(nbd->handle, op->data + op->progress, op->step, offset,
				     complete, 0);
	case NBD_WRITE:
		return nbd_aio_pwrite(nbd->handle, op->data ? op->data + op->progress : zeros,
				      op->step, offset, complete, 0);
	case NBD_ZERO:
		return nbd_aio_zero(nbd->handle, op->step, offset, complete, 0);
	case NBD_FLUSH:
		return nbd_aio_flush(nbd->handle, complete, 0);
	}
	return -1;
}

static void op_step(struct target_nbd *nbd, struct target_op *op)
{
	op->step = op->length - op->progress;
	if (op->mode == NBD_WRITE && !op->data && op->step > WRITTEN_ZEROS)
		op->step = WRITTEN_ZEROS;
	if (op->mode < NBD_ZERO && op->step > nbd->step_max)
		op->step = nbd->step_max;
	if (nbd_is_dead(nbd))
		op_finished(nbd, op, -ENOTCONN);
	else if (step_issue(nbd, op) < 0)
		op_finished(nbd, op, nbd_get_errno() > 0 ? -nbd_get_errno() : -EIO);
}

/* Run the done() of what has finished; they may queue more. */
static void nbd_dispatch(struct target_nbd *nbd)
{
	if (nbd->dispatching)
		return;
	nbd->dispatching = true;
	while (nbd->finished) {
		struct target_op *op = nbd->finished;

		nbd->finished = op->next;
		if (!nbd->finished)
			nbd->finished_end = &nbd->finished;
		op->progress += op->step;
		if (!op->status && op->progress < op->length)
			op_step(nbd, op);
		else
			op->done(op, op->status);
	}
	nbd->dispatching = false;
	nbd_arm(nbd);
}

static void nbd_readable(struct ring_op *op, int result)
{
	struct target_nbd *nbd = member_of(op, struct target_nbd, in);

	if (result != -ECANCELED &&
	    nbd_aio_get_direction(nbd->handle) & LIBNBD_AIO_DIRECTION_READ)
		nbd_aio_notify_read(nbd->handle);
	nbd_dispatch(nbd);
}

static void nbd_writable(struct ring_op *op, int result)
{
	struct target_nbd *nbd = member_of(op, struct target_nbd, out);

	if (result != -ECANCELED &&
	    nbd_aio_get_direction(nbd->handle) & LIBNBD_AIO_DIRECTION_WRITE)
		nbd_aio_notify_write(nbd->handle);
	nbd_dispatch(nbd);
}

static void nbd_kicked(struct ring_op *op, int result)
{
	nbd_dispatch(member_of(op, struct target_nbd, kick));
}

static void op_start(struct target_op *op, enum nbd_kind kind)
{
	struct target_nbd *nbd = nbd_of(op->target);

	op->mode = kind;
	op_step(nbd, op);
	if (nbd->dispatching)
		return; /* served by the loop above us */
	if (nbd->finished && !nbd->kick.pending)
		ring_timer(nbd->target.ring, &nbd->kick, 0);
	nbd_arm(nbd);
}

static void nbd_op_read(struct target_op *op)
{
	op_start(op, NBD_READ);
}

static void nbd_op_write(struct target_op *op)
{
	op_start(op, NBD_WRITE);
}

static void nbd_op_zero(struct target_op *op)
{
	op_start(op, nbd_of(op->target)->can_zero ? NBD_ZERO : NBD_WRITE);
}

/* A server without flush: nobody can say more than that it has answered. */
static void nbd_op_flush(struct target_op *op)
{
	struct target_nbd *nbd = nbd_of(op->target);

	if (nbd->can_flush) {
		op_start(op, NBD_FLUSH);
		return;
	}
	op->step = 0;
	op_finished(nbd, op, 0);
	if (!nbd->dispatching && !nbd->kick.pending)
		ring_timer(op->target->ring, &nbd->kick, 0);
}

/* Nothing is in flight but the polls; they have to be over before their memory is. */
static void nbd_op_close(struct target *target)
{
	struct target_nbd *nbd = nbd_of(target);

	if (nbd->handle && nbd_aio_is_ready(nbd->handle) == 1)
		nbd_shutdown(nbd->handle, 0);
	ring_cancel(target->ring, &nbd->in);
	ring_cancel(target->ring, &nbd->out);
	nbd->dispatching = true;
	while ((nbd->in.pending || nbd->out.pending || nbd->kick.pending) &&
	       ring_run(target->ring) >= 0)
		;
	nbd_close(nbd->handle);
	free(nbd);
}

static int nbd_check(struct target_nbd *nbd, uint64_t size, struct errinfo *err)
{
	int64_t found = nbd_get_size(nbd->handle);
	int64_t step = nbd_get_block_size(nbd->handle, LIBNBD_SIZE_MAXIMUM);
	int64_t smallest = nbd_get_block_size(nbd->handle, LIBNBD_SIZE_MINIMUM);

	if (found < 0)
		return nbd_failed(nbd, err);
	if (nbd_is_read_only(nbd->handle) == 1)
		return err_set(err, -EROFS, "%s can only be read", nbd->target.label);
	if ((uint64_t)found < size)
		return err_set(err, -EFBIG, "%s has %lld bytes, %llu too few for the disk's %llu",
			       nbd->target.label, (long long)found,
			       (unsigned long long)(size - (uint64_t)found),
			       (unsigned long long)size);
	if (smallest > 4096 || (smallest > 0 && size % (uint64_t)smallest))
		return err_set(err, -EINVAL, "%s takes only whole blocks of %lld bytes, and the "
			       "disk has %llu",
			       nbd->target.label, (long long)smallest, (unsigned long long)size);
	nbd->step_max = step > 0 && step < (32 << 20) ? (uint32_t)step : 32u << 20;
	nbd->can_zero = nbd_can_zero(nbd->handle) == 1;
	nbd->can_flush = nbd_can_flush(nbd->handle) == 1;
	nbd->target.unflushed = !nbd->can_flush;
	nbd->fd = nbd_aio_get_fd(nbd->handle);
	return nbd->fd < 0 ? nbd_failed(nbd, err) : 0;
}

static int nbd_connect(struct target_nbd *nbd, const char *uri, uint64_t size, struct errinfo *err)
{
	nbd->handle = nbd_create();
	if (!nbd->handle)
		return err_set(err, -ENOMEM, "no memory for %s", uri);
	if (nbd_set_pread_initialize(nbd->handle, false) < 0 ||
	    nbd_connect_uri(nbd->handle, uri) < 0)
		return nbd_failed(nbd, err);
	return nbd_check(nbd, size, err);
}

int target_open_nbd(struct target **out, struct ring *ring, const char *uri, uint64_t size,
		    struct errinfo *err)
{
	static const struct target_ops ops = {
		.read = nbd_op_read,
		.write = nbd_op_write,
		.zero = nbd_op_zero,
		.flush = nbd_op_flush,
		.close = nbd_op_close,
	};
	struct target_nbd *nbd = calloc(1, sizeof(*nbd));
	int status;

	*out = NULL;
	if (!nbd)
		return err_set(err, -ENOMEM, "no memory for %s", uri);
	nbd->target.ops = &ops;
	nbd->target.ring = ring;
	nbd->target.size = size;
	nbd->in.done = nbd_readable;
	nbd->out.done = nbd_writable;
	nbd->kick.done = nbd_kicked;
	nbd->finished_end = &nbd->finished;
	snprintf(nbd->target.label, sizeof(nbd->target.label), "%s", uri);
	status = nbd_connect(nbd, uri, size, err);
	if (status) {
		nbd_op_close(&nbd->target);
		return status;
	}
	*out = &nbd->target;
	return 0;
}
