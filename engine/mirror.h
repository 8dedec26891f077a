/* SPDX-License-Identifier: Apache-2.0
 *
 * mirror: a disk of the running guest moves to a new raw image in the spare
 * directory, by QEMU's mirror job.  The guest is not paused.
 *
 *   start     the image and its mark, the node, the job
 *   look      while QEMU copies; READY: both sides have the same content, and QEMU
 *             keeps them so
 *   complete  the image takes the disk's place under the device
 *
 * The mark `IMAGE.partial` stands beside an image from before it exists until just
 * before it is completed: what has a mark is no disk of anybody's, unless the owner completed
 * our job.  A node of ours that is the root of a disk got there by a completion and no other
 * way: its name alone tells a later start that the guest has moved.
 */
#ifndef ENGINE_MIRROR_H
#define ENGINE_MIRROR_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "errinfo.h"

struct guest_disk;
struct sidecar;

enum mirror_state { MIRROR_NONE, MIRROR_COPYING, MIRROR_READY };

struct mirror {
	enum mirror_state state;
	unsigned disk;
	char image[PATH_MAX]; /* in the spare directory */
	char node[32], job[32];
	uint64_t done, total; /* bytes, as the job counts them */
	uint64_t rate;	      /* allowed now, 0: no limit */
	uint64_t enough_bytes; /* when so many were copied, it should have come to an end */
	double downtime_ms; /* result: how long the guest stood still for its old disk */
	bool marked; /* the image has its mark */
};

/* RATE: bytes a second, 0: as fast as it goes.  On failure nothing stays. */
int mirror_start(struct sidecar *sidecar, struct mirror *mirror, unsigned disk, uint64_t rate,
		 struct errinfo *err);
/* Asks QEMU, and raises the limit of the rate when the guest writes as fast as that.
 * An error ends the job: abandon it. */
int mirror_look(struct sidecar *sidecar, struct mirror *mirror, struct errinfo *err);
/* The rest as fast as it goes: the guest has begun to wait for it. */
void mirror_unlimit(struct sidecar *sidecar, struct mirror *mirror);
/* READY: the image becomes the disk's root.  The old root stays, without a user; the
 * guest's struct has the new one.  A guest that the old one stopped goes on.  On failure the guest runs on the old one: abandon. */
int mirror_complete(struct sidecar *sidecar, struct mirror *mirror, struct errinfo *err);
/* Job, node and image go, whatever became of them; never the root of a disk.  A guest that was
 * moved after all is left there, and goes on. */
void mirror_abandon(struct sidecar *sidecar, struct mirror *mirror);

/* What an earlier sidecar left in QEMU and in the spare directory.  1: one of its jobs
 * was there, and the disks' roots may be others now. */
int mirror_clean(struct sidecar *sidecar, struct errinfo *err);
/* When a cycle is refused: a job of ours that did not end in time has ended since. */
void mirror_tidy(struct sidecar *sidecar);
/* Nodes of ours that no disk has (any more), and their images: PARTIAL those with a
 * mark, NODES all, but only marked images, ALL: the images, too. */
enum mirror_left { MIRROR_LEFT_PARTIAL, MIRROR_LEFT_NODES, MIRROR_LEFT_ALL };
void mirror_drop_left(struct sidecar *sidecar, enum mirror_left left);

/* The disk's root is an image that this store's guest was moved to. */
bool mirror_is_root(const struct sidecar *sidecar, const struct guest_disk *disk);
/* By its file, a whole one in the spare directory: a QEMU that was started on it calls the node
 * as its owner did.  No proof that the guest was moved there, but that it was being. */
bool mirror_is_image(const struct sidecar *sidecar, const struct guest_disk *disk);

#endif
