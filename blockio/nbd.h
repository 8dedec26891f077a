/* SPDX-License-Identifier: Apache-2.0
 *
 * nbd: one NBD export as a source of blocks: libnbd's non-blocking API, its
 * socket polled by the ring.  Nothing here waits; every call ends in a callback
 * from ring_run().  What the server sends is not trusted: sizes and extents are
 * checked before use.
 */
#ifndef BLOCKIO_NBD_H
#define BLOCKIO_NBD_H

#include <stdint.h>

#include "errinfo.h"
#include "ring.h"

#define NBD_SOURCE_IN_FLIGHT 16	   /* QEMU serves at most 16 requests a connection */
#define NBD_SOURCE_STATUS_IN_FLIGHT 4 /* of these, block status: a reply can take 1 MiB */
#define NBD_SOURCE_EXTENTS_MAX 1024 /* handed over in one go; the rest is asked for again */
#define NBD_SOURCE_STATUS_BYTES_MAX (UINT32_MAX - (1u << 20) + 1) /* whole blocks of any size */

struct nbd_source;

/* One run of a block status reply, in bytes of the export. */
struct nbd_extent {
	uint64_t offset;
	uint64_t length;
	uint32_t flags; /* base:allocation: 1 hole, 2 zero; dirty bitmap: 1 dirty */
};

/* Connect to EXPORT at the unix socket PATH and ask for the metadata context
 * CONTEXT ("base:allocation", "qemu:dirty-bitmap:NAME", or NULL for none).
 * connected(ARG, 0 or a negative errno, error) runs once; after a failure the
 * source still has to be closed.  An export without CONTEXT gives -ENOTSUP.
 * PATH and the names are copied.  On failure *SOURCE is NULL. */
int nbd_source_open(struct nbd_source **source, struct ring *ring, const char *path,
		    const char *export_name, const char *context,
		    void (*connected)(void *arg, int status, const struct errinfo *error),
		    void *arg, struct errinfo *err);

/* Ends every request with -ECANCELED (their callbacks run before this returns;
 * connected() does not run any more), closes the connection and frees the source,
 * its last memory when the ring has ended its polls.  NULL is allowed, and so is
 * calling it from inside one of the source's callbacks. */
void nbd_source_close(struct nbd_source *source);

uint64_t nbd_source_size(const struct nbd_source *source);
const char *nbd_source_label(const struct nbd_source *source); /* for messages */

/* From now on no read command on the wire crosses a multiple of BYTES (a power of
 * two); longer reads are split.  QEMU before 8.0 needs it for snapshot-access: a
 * read of several copy-before-write clusters, of which the first was overwritten
 * and a later one not, gives the live content (hbitmap_status()). */
void nbd_source_limit_reads(struct nbd_source *source, uint32_t bytes);

/* Read; LENGTH at most 32 MiB.  done(ARG, status): 0 or a negative errno of the
 * server; -ENOTCONN when the connection is gone.  Returns 0, -EBUSY when
 * NBD_SOURCE_IN_FLIGHT requests are out, -EINVAL beyond the end, -ENOTCONN; done()
 * runs only after 0. */
int nbd_source_read(struct nbd_source *source, void *buffer, uint32_t length, uint64_t offset,
		    void (*done)(void *arg, int status), void *arg);

/* Block status of CONTEXT from OFFSET.  done() gets the extents, contiguous from
 * OFFSET and covering at most LENGTH bytes, possibly fewer (ask again from where
 * they end); at least one on success, neighbours with equal flags merged.  They
 * are valid during the call.  LENGTH is cut to NBD_SOURCE_STATUS_BYTES_MAX.
 * Returns as nbd_source_read(), -EBUSY with NBD_SOURCE_STATUS_IN_FLIGHT out. */
int nbd_source_extents(struct nbd_source *source, uint64_t offset, uint64_t length,
		       void (*done)(void *arg, int status, const struct nbd_extent *extents,
				    unsigned count),
		       void *arg);

#endif
