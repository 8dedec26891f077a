/* SPDX-License-Identifier: Apache-2.0
 *
 * guest: what QEMU says of its machine and disks.  The parsers are pure: JSON of
 * the monitor in (not trusted), a struct out.
 */
#ifndef ENGINE_GUEST_H
#define ENGINE_GUEST_H

#include <jansson.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "bounds.h"
#include "errinfo.h"
#include "monitor.h"

#define GUEST_BITMAPS_MAX 8 /* of ours on one disk; a crash leaves at most two */
#define GUEST_BITMAP_PREFIX "qheal-"

struct guest_bitmap {
	char name[64];
	uint64_t dirty_bytes;
	uint64_t granularity;
	bool recording, busy, inconsistent;
};

struct guest_disk {
	char name[64]; /* id of the device, or of the drive, or the node */
	char node[64]; /* root node as of now */
	char cover[64]; /* a job's own filter above it, which QEMU hides elsewhere; "" */
	char qom[192]; /* path of the device that has the property "drive" */
	char driver[32];
	char file[PATH_MAX]; /* of the image, "" when it is none */
	uint64_t size;
	char rerror[16], werror[16];
	char iothread[64]; /* "" for none */
	bool cache_direct, cache_no_flush;
	bool covered_over; /* others put another image on top of it, at the last look */
	bool io_failed; /* io-status; QEMU keeps it after a pivot, never decide on it */
	struct guest_bitmap bitmaps[GUEST_BITMAPS_MAX];
	unsigned bitmap_count;
};

struct guest {
	char name[BOUND_VM_NAME + 1]; /* -name, else uuid, else "guest" */
	char uuid[37]; /* "" for none */
	char status[32]; /* query-status: running, paused, io-error, ... */
	struct guest_disk disks[BOUND_DISKS];
	unsigned disk_count;
	unsigned skipped; /* writable disks that cannot be protected */
	char skipped_why[256];
};

/* query-block: writable disks with a device; those that cannot be handled are
 * counted in skipped.  Keeps rerror, werror and iothread of a disk that GUEST
 * already has.  0, -EPROTO, or -E2BIG: more than BOUND_DISKS. */
int guest_parse_block(struct guest *guest, const json_t *reply, struct errinfo *err);
int guest_parse_status(struct guest *guest, const json_t *reply);

/* Everything, asked from QEMU (waits).  Disks without an error policy (NVMe,
 * pflash ...) are left out and counted in skipped. */
int guest_query(struct guest *guest, struct monitor *monitor, struct errinfo *err);

/* Keep only the disks in NAMES (by name or node); all when COUNT is 0. -ENOENT
 * names the unknown one and lists what there is; -EEXIST: two disks of one name. */
int guest_select(struct guest *guest, const char *const *names, unsigned count,
		 struct errinfo *err);

/* A later query-block (guest_refresh.c): bitmaps, io-status and covered_over of GUEST's
 * disks anew.  -ESTALE: others changed a root node or a size, in words. */
int guest_refresh(struct guest *guest, const json_t *reply, struct errinfo *err);
/* Leaves out devices without rerror and werror: what they have goes over with the memory, or
 * cannot be handled. */
void guest_query_policies(struct guest *guest, struct monitor *monitor);
bool guest_is_filter(const char *driver);
/* All of QEMU's block nodes, without their children; *NODES is a new reference, NULL on failure. */
int guest_query_nodes(struct monitor *monitor, json_t **nodes, struct errinfo *err);
/* Every disk of HERE has its device on the same image THERE, in another QEMU.  -EINVAL names
 * the first that has not. */
int guest_same_images(const struct guest *here, const struct guest *there, struct errinfo *err);
/* Over the disks in the bit set MEMBERS; -ENODATA: a disk has no such bitmap any more. */
int guest_dirty_bytes(const struct guest *guest, uint64_t members, const char *bitmap,
		      uint64_t *bytes, struct errinfo *err);
/* -ENODATA: on a disk it stands still, and writes may have been missed. */
int guest_recording(const struct guest *guest, const char *bitmap, struct errinfo *err);

/* By name, else by node. */
struct guest_disk *guest_find(struct guest *guest, const char *name);
const struct guest_bitmap *guest_bitmap_find(const struct guest_disk *disk, const char *name);
bool guest_running(const struct guest *guest);

#endif
