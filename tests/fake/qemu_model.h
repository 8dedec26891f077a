/* SPDX-License-Identifier: Apache-2.0
 *
 * qemu_model: as much of QEMU's block layer as a checkpoint needs: nodes and what
 * they stand on, the disks' roots, bitmaps, exports, a guest that runs or not.
 * It refuses what QEMU refuses of that.
 *
 * While the guest runs it writes once to every disk between any two commands.
 * The writes are numbered; a bitmap knows which it has seen, a filter which came
 * before it.  So a test can tell whether one was missed.
 */
#ifndef QEMU_MODEL_H
#define QEMU_MODEL_H

#include <jansson.h>
#include <stdbool.h>

#include "fake_qemu.h"
#include "guest.h"

#define MODEL_DISKS_MAX 32
#define MODEL_BITMAPS_MAX 6
#define MODEL_NODES_MAX 256
#define MODEL_WRITES_MAX 2048

struct model_writes {
	uint64_t words[MODEL_WRITES_MAX / 64];
};

struct model_bitmap {
	char name[64];
	bool enabled;
	struct model_writes seen;
};

struct model_disk {
	char qom[64], node[32], root[32];
	struct model_bitmap bitmaps[MODEL_BITMAPS_MAX];
	unsigned bitmap_count;
	unsigned since; /* the first write after the replica's generation */
};

struct model_node {
	char name[32], driver[32];
	char below[2][32]; /* file and target */
	unsigned frozen;   /* the first write that is not in its snapshot */
};

struct model_export {
	char id[32], node[32], bitmap_node[32], bitmap[64];
};

struct qemu_model {
	struct fake_qemu *fake;
	struct model_disk disks[MODEL_DISKS_MAX];
	unsigned disk_count;
	struct model_node nodes[MODEL_NODES_MAX];
	unsigned node_count;
	struct model_export exports[MODEL_DISKS_MAX];
	unsigned export_count;
	bool running;
	const char *stands; /* what `query-status` says when it does not run; NULL: paused */
	bool job; /* somebody mirrors a disk */
	bool owner_stops; /* the guest, once the filters are made and before the swap */
	bool aborted;	 /* a real QEMU would have (7.2 and 10.0 do) */
	unsigned writes; /* so far */
	unsigned fdsets;
};

/* COUNT disks d0, d1, ... each with the enabled bitmap LAST. */
void model_init(struct qemu_model *model, struct fake_qemu *fake, unsigned count, const char *last);
/* The guest as the engine sees it. */
void model_guest(const struct qemu_model *model, struct guest *guest);

const struct model_bitmap *model_bitmap(const struct qemu_model *model, unsigned disk,
					const char *name);
const struct model_node *model_node(const struct qemu_model *model, const char *name);
/* Has BITMAP seen every write from FIRST to before END? */
bool model_seen(const struct model_bitmap *bitmap, unsigned first, unsigned end);
/* Is nothing lost: do LAST and NEXT together know all writes since the generation,
 * and does one of them record?  Says why not. */
bool model_is_covered(const struct qemu_model *model, const char *last, const char *next);
/* QEMU alive, no node of ours, no export, every disk on its own root, and one bitmap a disk: the
 * enabled ONLY, which knows all writes since the disk's generation.  Says why not. */
bool model_is_tidy(const struct qemu_model *model, const char *only);

#endif
