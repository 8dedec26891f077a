/* SPDX-License-Identifier: Apache-2.0
 *
 * What nbd.c (the connection) and nbd_extents.c (block status replies) share.
 */
#ifndef BLOCKIO_NBD_PRIVATE_H
#define BLOCKIO_NBD_PRIVATE_H

#include <libnbd.h>
#include <stdbool.h>

#include "nbd.h"

/* As on the wire: half the room of struct nbd_extent. */
struct nbd_status_run {
	uint32_t length;
	uint32_t flags;
};

/* Room for one block status reply, taken by a request. */
struct nbd_status_reply {
	unsigned count;
	struct nbd_status_run runs[NBD_SOURCE_EXTENTS_MAX];
};

enum nbd_request_kind { NBD_REQUEST_FREE, NBD_REQUEST_READ, NBD_REQUEST_STATUS };

struct nbd_request {
	struct nbd_source *source;
	struct nbd_request *next; /* in the finished list */
	enum nbd_request_kind kind;
	int status;
	uint64_t offset;
	uint64_t length;
	uint64_t received; /* by a read */
	unsigned parts;	   /* of a read, that libnbd still has */
	void (*read_done)(void *arg, int status);
	void (*extents_done)(void *arg, int status, const struct nbd_extent *extents,
			     unsigned count);
	void *arg;
	struct nbd_status_reply *reply;
};

struct nbd_source {
	struct nbd_handle *handle; /* NULL: closed */
	struct ring *ring;
	struct ring_op in;
	struct ring_op out;
	struct ring_op kick; /* brings finished requests to the next ring_run() */
	void (*connected)(void *arg, int status, const struct errinfo *error);
	void *arg;
	char *context;
	uint64_t size;
	uint32_t read_flags;
	uint32_t read_limit; /* no command crosses a multiple of it; 0: none */
	int fd;
	bool connecting;
	bool dispatching; /* done()s are running */
	unsigned in_flight;
	struct nbd_request *finished;
	struct nbd_request **finished_end;
	struct nbd_request requests[NBD_SOURCE_IN_FLIGHT];
	struct nbd_extent extents[NBD_SOURCE_EXTENTS_MAX];
	struct nbd_status_reply replies[NBD_SOURCE_STATUS_IN_FLIGHT];
	char label[384]; /* "NBD export 'NAME' at PATH" */
};

int nbd_request_complete(void *arg, int *error); /* libnbd's completion callback */

/* libnbd's extent callback: keeps what the server says, after checking it. */
int nbd_extents_collect(void *arg, const char *context, uint64_t offset, uint32_t *entries,
			size_t entry_count, int *error);

/* A reply nobody uses, NULL when all are taken. */
struct nbd_status_reply *nbd_extents_reply(struct nbd_source *source);

/* Give REQUEST's reply back and its extents to source->extents: their number.  A
 * success without any becomes an error. */
unsigned nbd_extents_take(struct nbd_source *source, struct nbd_request *request, int *status);

#endif
