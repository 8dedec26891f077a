/* SPDX-License-Identifier: Apache-2.0
 *
 * overlay: the qcow2 image a guest is pivoted to, made with the newest blocks
 * already in it: what the failing disk still gives is written once, beside the
 * head and not into it, so a recovery needs neither journal nor apply and the
 * head stays exactly its generation.
 *
 * The image is nothing until overlay_finish() is done: its header is written
 * last.  Clusters are handed out in order of arrival; L2 entries go through the
 * page cache, so memory does not grow with what is written.
 */
#ifndef BLOCKIO_OVERLAY_H
#define BLOCKIO_OVERLAY_H

#include <stdint.h>

#include "copy.h"
#include "errinfo.h"
#include "pool.h"
#include "ring.h"

struct overlay;

/* Make the file PATH (0600, replaced when it exists) for a disk of VIRTUAL_SIZE
 * bytes above BACKING, a raw image; relative names count from PATH's folder. */
int overlay_new(struct overlay **overlay, struct ring *ring, struct pool *pool, const char *path,
		uint64_t virtual_size, const char *backing, struct errinfo *err);
/* Nothing may be in flight: only after the done() of overlay_finish() or overlay_abandon(). */
void overlay_free(struct overlay *overlay);

/* Every block at most once.  The disk number is ignored. */
struct copy_sink *overlay_sink(struct overlay *overlay);

/* Complete the image and flush it; done(ARG, 0) when it is on stable storage.  When
 * that fails the file is removed. */
void overlay_finish(struct overlay *overlay,
		    void (*done)(void *arg, int status, const struct errinfo *error), void *arg);
/* Give up: done() when nothing is in flight any more; the file is removed. */
void overlay_abandon(struct overlay *overlay,
		     void (*done)(void *arg, int status, const struct errinfo *error), void *arg);

#endif
