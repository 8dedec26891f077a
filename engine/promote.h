/* SPDX-License-Identifier: Apache-2.0
 *
 * promote: a qcow2 overlay above a disk's head, and putting it under the device
 * of the paused guest.  The head is never written: the generation the guest
 * starts from stays as it is.
 */
#ifndef ENGINE_PROMOTE_H
#define ENGINE_PROMOTE_H

#include <limits.h>

#include "overlay.h"
#include "sidecar.h"

struct promotion {
	unsigned disk;
	struct overlay *overlay; /* being filled */
	bool raw; /* a plain image of its own, no overlay above the head */
	char image[PATH_MAX];
	char node[32];
	bool added, swapped; /* QEMU has the node; it is the disk's root */
	bool unknown;	     /* the exchange was not answered: QEMU may do it yet */
};

/* Make the overlay's file, empty and open for filling. */
int promote_create(struct sidecar *sidecar, unsigned disk, struct promotion *promotion,
		   struct errinfo *err);
/* Complete all of them, on stable storage, and the heads below (waits). */
int promote_finish(struct sidecar *sidecar, struct promotion *promotions, unsigned count,
		   struct errinfo *err);
/* A disk could not be put back, or nobody knows: its guest may go on only behind a reset. */
bool promote_is_left(const struct promotion *promotions, unsigned count);
/* Remove what was created. */
void promote_abandon(struct sidecar *sidecar, struct promotion *promotions, unsigned count);

/* Open the overlays in QEMU and swap them in; on failure the old roots are back
 * and the nodes are gone.  The guest is stopped for it, should it run: -EAGAIN when
 * it has written to one of the disks since the freeze (somebody let it go on). */
int promote_swap(struct sidecar *sidecar, struct promotion *promotions, unsigned count,
		 struct errinfo *err);
/* What cannot be put back stays marked as swapped, and its image is kept. */
void promote_unswap(struct sidecar *sidecar, struct promotion *promotions, unsigned count);

/* The store's note, durable, that its heads are under a guest: of all of them or of none. */
int promote_note(struct sidecar *sidecar, const struct promotion *promotions, unsigned count,
		 struct errinfo *err);

/* A durable note that the guest on the new disks has to be reset before it may go
 * on: its memory is newer than they are. */
int promote_note_reset(const struct sidecar *sidecar, struct errinfo *err);
void promote_drop_reset(const struct sidecar *sidecar);
bool promote_needs_reset(const struct sidecar *sidecar);

/* The disk runs on an overlay of this store (an earlier pivot). */
bool promote_is_ours(const struct sidecar *sidecar, const struct guest_disk *disk);

/* At a start: close the overlays of this store that were never swapped in, or that the guest has
 * left.  Their names are wanted again, and each has a head open.  QEMU keeps what is in use. */
int promote_clean(struct sidecar *sidecar, struct errinfo *err);

/* A durable note that DISK is about to leave its overlay for an image elsewhere: what the
 * overlay has may be old from then on. */
int promote_note_left(const struct sidecar *sidecar, unsigned disk, struct errinfo *err);
void promote_drop_left(const struct sidecar *sidecar, unsigned disk);
bool promote_has_left(const char *store, const char *disk);

/* [{"disk", "path", "format"}] */
json_t *promote_images_json(const struct sidecar *sidecar, const struct promotion *promotions,
			    unsigned count, const char *format);

#endif
