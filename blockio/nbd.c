/* SPDX-License-Identifier: Apache-2.0
 *
 * The connection: set-up, socket, requests.  libnbd calls back with its handle
 * locked, so a completion only moves the request to the finished list; the
 * caller's done() runs when libnbd is left.  Extents: nbd_extents.c.
 *
 *   CONNECTING ──▶ READY ──▶ DEAD      nbd_source_close(): from any of them
 *
 *   CONNECTING  connected() did not run yet
 *   READY       requests are taken
 *   DEAD        the socket is gone, every request has ended with -ENOTCONN
 *
 * After nbd_source_close() handle is NULL, and the memory waits for its polls.
 */
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "member.h"
#include "nbd_private.h"

static bool source_is_dead(struct nbd_source *source)
{
	return nbd_aio_is_dead(source->handle) == 1 || nbd_aio_is_closed(source->handle) == 1;
}

static void source_release(struct nbd_source *source)
{
	nbd_close(source->handle);
	free(source->context);
	free(source);
}

/* Free what is left of a closed source as soon as nobody looks at it. */
static void source_reap(struct nbd_source *source)
{
	if (source->handle || source->dispatching || source->in.pending || source->out.pending ||
	    source->kick.pending)
		return;
	source_release(source);
}

/* libnbd's last error as a negative errno and a sentence. */
static int source_error(const struct nbd_source *source, struct errinfo *err)
{
	int code = nbd_get_errno();
	const char *text = nbd_get_error();

	return err_set(err, code > 0 ? -code : -ENOTCONN, "cannot use %s: %s", source->label,
		       text ? text : "the server ended the connection");
}

static void request_end(struct nbd_source *source, struct nbd_request *request)
{
	struct nbd_request ended = *request;
	unsigned count = 0;

	if (ended.kind == NBD_REQUEST_STATUS)
		count = nbd_extents_take(source, request, &ended.status);
	else if (!ended.status && ended.received != ended.length)
		ended.status = -EPROTO; /* the buffer is not what the server has */
	request->kind = NBD_REQUEST_FREE;
	source->in_flight--;
	if (ended.kind == NBD_REQUEST_STATUS)
		ended.extents_done(ended.arg, ended.status, source->extents, count);
	else
		ended.read_done(ended.arg, ended.status);
}

/* Run the done() of what has finished; they may queue more. */
static void source_dispatch(struct nbd_source *source)
{
	if (source->dispatching)
		return;
	source->dispatching = true;
	while (source->finished) {
		struct nbd_request *request = source->finished;

		source->finished = request->next;
		if (!source->finished)
			source->finished_end = &source->finished;
		request_end(source, request);
	}
	source->dispatching = false;
}

int nbd_request_complete(void *arg, int *error)
{
	struct nbd_request *request = arg;
	struct nbd_source *source = request->source;

	request->status = -*error;
	request->next = NULL;
	*source->finished_end = request;
	source->finished_end = &request->next;
	return 1; /* retire it: nobody asks for its cookie */
}

static int source_check(struct nbd_source *source, struct errinfo *err)
{
	int64_t size = nbd_get_size(source->handle);
	int has_context;

	if (size < 0)
		return source_error(source, err);
	source->size = (uint64_t)size;
	if (!source->context)
		return 0;
	has_context = nbd_can_meta_context(source->handle, source->context);
	if (has_context < 0)
		return source_error(source, err);
	if (!has_context)
		return err_set(err, -ENOTSUP, "%s does not offer %s", source->label,
			       source->context);
	/* One chunk per read: no block status inside the server for each of them,
	 * which would also be unsafe on a snapshot-access node. */
	if (nbd_can_df(source->handle) == 1)
		source->read_flags = LIBNBD_CMD_FLAG_DF;
	return 0;
}

static void source_connected(struct nbd_source *source, int notified)
{
	struct errinfo err = {0};

	if (source_is_dead(source) || notified < 0)
		source_error(source, &err);
	else if (nbd_aio_is_ready(source->handle) != 1)
		return;
	else
		source_check(source, &err);
	source->connecting = false;
	source->dispatching = true; /* nothing is freed under our feet */
	source->connected(source->arg, err.code, &err);
	source->dispatching = false;
}

static void source_arm(struct nbd_source *source)
{
	unsigned direction;

	if (source_is_dead(source)) {
		ring_cancel(source->ring, &source->in);
		ring_cancel(source->ring, &source->out);
		return;
	}
	direction = nbd_aio_get_direction(source->handle);
	if (direction & LIBNBD_AIO_DIRECTION_READ && !source->in.pending)
		ring_poll(source->ring, &source->in, source->fd, POLLIN);
	if (direction & LIBNBD_AIO_DIRECTION_WRITE && !source->out.pending)
		ring_poll(source->ring, &source->out, source->fd, POLLOUT);
}

/* After anything that happened to the handle, from inside ring_run(). */
static void source_service(struct nbd_source *source, int notified)
{
	if (source->handle && source->connecting)
		source_connected(source, notified);
	source_dispatch(source);
	if (source->handle)
		source_arm(source);
	else
		source_reap(source);
}

static bool source_wants(struct nbd_source *source, unsigned direction)
{
	return nbd_aio_get_direction(source->handle) & direction;
}

/* Take what the poll announced.  Never more: libnbd would go into "receiving a
 * reply", find nothing, and keep back every new command until one comes. */
static void source_readable(struct ring_op *op, int result)
{
	struct nbd_source *source = member_of(op, struct nbd_source, in);
	int notified = 0;

	if (source->handle && result != -ECANCELED &&
	    source_wants(source, LIBNBD_AIO_DIRECTION_READ))
		notified = nbd_aio_notify_read(source->handle);
	source_service(source, notified);
}

static void source_writable(struct ring_op *op, int result)
{
	struct nbd_source *source = member_of(op, struct nbd_source, out);
	int notified = 0;

	if (source->handle && result != -ECANCELED &&
	    source_wants(source, LIBNBD_AIO_DIRECTION_WRITE))
		notified = nbd_aio_notify_write(source->handle);
	source_service(source, notified);
}

static void source_kicked(struct ring_op *op, int result)
{
	source_service(member_of(op, struct nbd_source, kick), 0);
}

static int source_set_up(struct nbd_source *source, const char *path, const char *export_name,
			 struct errinfo *err)
{
	struct nbd_handle *handle = source->handle;

	if (nbd_set_export_name(handle, export_name) < 0 ||
	    nbd_set_pread_initialize(handle, false) < 0 ||
	    nbd_set_request_structured_replies(handle, source->context != NULL) < 0)
		return source_error(source, err);
	if (source->context && nbd_add_meta_context(handle, source->context) < 0)
		return source_error(source, err);
	if (nbd_aio_connect_unix(handle, path) < 0)
		return source_error(source, err);
	source->fd = nbd_aio_get_fd(handle);
	return source->fd < 0 ? source_error(source, err) : 0;
}

int nbd_source_open(struct nbd_source **out, struct ring *ring, const char *path,
		    const char *export_name, const char *context,
		    void (*connected)(void *arg, int status, const struct errinfo *error),
		    void *arg, struct errinfo *err)
{
	struct nbd_source *source = calloc(1, sizeof(*source));
	int ret;

	*out = NULL;
	if (!source)
		return err_set(err, -ENOMEM, "no memory for NBD export '%s'", export_name);
	snprintf(source->label, sizeof(source->label), "NBD export '%s' at %s", export_name, path);
	source->ring = ring;
	source->connected = connected;
	source->arg = arg;
	source->connecting = true;
	source->in.done = source_readable;
	source->out.done = source_writable;
	source->kick.done = source_kicked;
	source->finished_end = &source->finished;
	source->context = context ? strdup(context) : NULL;
	source->handle = nbd_create();
	if (!source->handle || (context && !source->context))
		ret = err_set(err, -ENOMEM, "no memory for %s", source->label);
	else
		ret = source_set_up(source, path, export_name, err);
	if (ret) {
		source_release(source);
		return ret;
	}
	source_arm(source);
	*out = source;
	return 0;
}

/* Without handle libnbd has forgotten them; finished ones among them as well. */
static void source_cancel_requests(struct nbd_source *source)
{
	source->finished = NULL;
	source->finished_end = &source->finished;
	for (unsigned i = 0; i < NBD_SOURCE_IN_FLIGHT; i++) {
		struct nbd_request *request = &source->requests[i];

		if (request->kind == NBD_REQUEST_FREE)
			continue;
		request->status = -ECANCELED;
		request_end(source, request);
	}
}

void nbd_source_close(struct nbd_source *source)
{
	struct nbd_handle *handle;
	bool outer;

	if (!source || !source->handle)
		return;
	handle = source->handle;
	if (!source->in_flight && nbd_aio_is_ready(handle) == 1)
		nbd_aio_disconnect(handle, 0); /* politely: QEMU logs the other way */
	/* A pending poll holds the socket open; the server shall know now. */
	if (!source_is_dead(source))
		shutdown(source->fd, SHUT_RDWR);
	source->handle = NULL;
	nbd_close(handle);
	ring_cancel(source->ring, &source->in);
	ring_cancel(source->ring, &source->out);
	outer = source->dispatching;
	source->dispatching = true;
	source_cancel_requests(source);
	source->dispatching = outer;
	source_reap(source);
}

uint64_t nbd_source_size(const struct nbd_source *source)
{
	return source->size;
}

const char *nbd_source_label(const struct nbd_source *source)
{
	return source->label;
}

/* Common checks of a request; gives its slot or a negative errno. */
static int request_new(struct nbd_source *source, uint64_t offset, uint64_t length,
		       struct nbd_request **out)
{
	if (!source->handle || source->connecting || source_is_dead(source))
		return -ENOTCONN;
	if (!length || offset > source->size || length > source->size - offset)
		return -EINVAL;
	for (unsigned i = 0; i < NBD_SOURCE_IN_FLIGHT; i++) {
		struct nbd_request *request = &source->requests[i];

		if (request->kind != NBD_REQUEST_FREE)
			continue;
		memset(request, 0, sizeof(*request));
		request->source = source;
		request->offset = offset;
		request->length = length;
		*out = request;
		return 0;
	}
	return -EBUSY;
}

/* The command was handed to libnbd, which may have tried the socket at once. */
static int request_issued(struct nbd_source *source, struct nbd_request *request,
			  enum nbd_request_kind kind, int64_t cookie)
{
	if (cookie < 0) {
		int code = nbd_get_errno();

		return code > 0 ? -code : -EIO;
	}
	request->kind = kind;
	source->in_flight++;
	if (source->dispatching)
		return 0; /* served by the loop above us */
	if (source->finished && !source->kick.pending)
		ring_timer(source->ring, &source->kick, 0);
	source_arm(source);
	return 0;
}

/* libnbd has put the chunk into the buffer; nothing to do but to count it. */
static int read_chunk(void *arg, const void *subbuf, size_t count, uint64_t offset, unsigned status,
		      int *error)
{
	struct nbd_request *request = arg;

	if (status != LIBNBD_READ_ERROR)
		request->received += count;
	return 0;
}

void nbd_source_limit_reads(struct nbd_source *source, uint32_t bytes)
{
	source->read_limit = bytes;
}

static uint32_t part_length(const struct nbd_request *request, uint32_t at)
{
	uint32_t left = (uint32_t)request->length - at, limit = request->source->read_limit;
	uint32_t room = limit ? limit - (uint32_t)((request->offset + at) & (limit - 1)) : left;

	return room < left ? room : left;
}

/* The request is finished with its last part; the first error is kept. */
static int part_complete(void *arg, int *error)
{
	struct nbd_request *request = arg;
	int first;

	if (!request->status)
		request->status = -*error;
	if (--request->parts)
		return 1;
	first = -request->status;
	return nbd_request_complete(request, &first);
}

static int64_t part_issue(struct nbd_request *request, uint8_t *buffer, uint32_t at,
			  uint32_t length)
{
	nbd_completion_callback complete = {.callback = part_complete, .user_data = request};
	nbd_chunk_callback chunk = {.callback = read_chunk, .user_data = request};
	int64_t cookie;

	request->parts++;
	/* The structured call is the one that takes the flag, and works without. */
	cookie = nbd_aio_pread_structured(request->source->handle, buffer + at, length,
					  request->offset + at, chunk, complete,
					  request->source->read_flags);
	if (cookie < 0)
		request->parts--;
	return cookie;
}

int nbd_source_read(struct nbd_source *source, void *buffer, uint32_t length, uint64_t offset,
		    void (*done)(void *arg, int status), void *arg)
{
	struct nbd_request *request;
	int64_t cookie = 0;
	uint32_t at = 0;
	int none = 0, ret = request_new(source, offset, length, &request);

	if (ret)
		return ret;
	request->read_done = done;
	request->arg = arg;
	request->parts = 1; /* ours, until all are asked for */
	while (at < length && cookie >= 0) {
		uint32_t part = part_length(request, at);

		cookie = part_issue(request, buffer, at, part);
		at += cookie < 0 ? 0 : part;
	}
	if (cookie < 0 && at == 0)
		return request_issued(source, request, NBD_REQUEST_READ, cookie);
	if (cookie < 0 && !request->status)
		request->status = -EIO;
	ret = request_issued(source, request, NBD_REQUEST_READ, 0);
	part_complete(request, &none);
	if (source->finished && !source->dispatching && !source->kick.pending)
		ring_timer(source->ring, &source->kick, 0);
	return ret;
}

int nbd_source_extents(struct nbd_source *source, uint64_t offset, uint64_t length,
		       void (*done)(void *arg, int status, const struct nbd_extent *extents,
				    unsigned count),
		       void *arg)
{
	nbd_completion_callback complete = {.callback = nbd_request_complete};
	nbd_extent_callback extent = {.callback = nbd_extents_collect};
	struct nbd_request *request;
	int ret;

	if (length > NBD_SOURCE_STATUS_BYTES_MAX)
		length = NBD_SOURCE_STATUS_BYTES_MAX;
	ret = request_new(source, offset, length, &request);
	if (ret)
		return ret;
	request->reply = nbd_extents_reply(source);
	if (!request->reply)
		return -EBUSY;
	request->extents_done = done;
	request->arg = arg;
	complete.user_data = request;
	extent.user_data = request;
	return request_issued(
	    source, request, NBD_REQUEST_STATUS,
	    nbd_aio_block_status(source->handle, length, offset, extent, complete, 0));
}
