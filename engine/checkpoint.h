/* SPDX-License-Identifier: Apache-2.0
 *
 * checkpoint: freezes one point in time over all disks and offers it for reading
 * as NBD exports with the bitmap of what changed since the point before.
 *
 *    IDLE --freeze--> FROZEN --thaw--> IDLE
 *
 * From freeze on the bitmap `next` records what the guest writes after the point
 * and `last` stands still.  Afterwards exactly one of checkpoint_keep() (the
 * generation is durable: `last` goes) or checkpoint_revert() (it is not: `last`
 * takes back what `next` has) restores one recording bitmap a disk; a revert that QEMU
 * refuses leaves that to the monitor's `unanswered`.  Whatever
 * the sidecar's end, the bitmaps together cover all changes since the last
 * generation; attach.c puts them in order.
 *
 * Ways to freeze stand behind struct checkpoint_way (QEMU's differ by version;
 * docs/ARCHITECTURE.md compares them).
 */
#ifndef ENGINE_CHECKPOINT_H
#define ENGINE_CHECKPOINT_H

#include <stdbool.h>
#include <stdint.h>

#include "errinfo.h"
#include "guest.h"
#include "monitor.h"
#include "scratch.h"

struct checkpoint;

struct checkpoint_way {
	const char *name;
	/* On failure nothing stays but the two bitmaps. */
	int (*freeze)(struct checkpoint *checkpoint, struct errinfo *err);
	/* Take exports and filters away; also after a freeze that failed half-way. */
	int (*thaw)(struct checkpoint *checkpoint, struct errinfo *err);
};

extern const struct checkpoint_way checkpoint_cbw;    /* while the guest runs */
extern const struct checkpoint_way checkpoint_paused; /* while it stands still */

struct checkpoint {
	const struct checkpoint_way *way;
	struct monitor *monitor;
	struct guest *guest;
	struct scratch *scratch;
	uint64_t members;	 /* bit set of the disks that take part */
	char last[64], next[64]; /* bitmaps, the same names on every disk */
	int64_t time_us;	 /* the point in time */
	uint32_t read_limit;	 /* for reads of a frozen point, 0 for none */
	uint32_t granularity;	 /* of the bitmaps: the store's block */
	bool exported[BOUND_DISKS]; /* QEMU still has disk i's export */
	bool rotated;		 /* `next` exists */
	bool offered;		 /* nodes above the filters may be there */
	uint64_t filtered;	 /* bit set of the disks under a filter */
	bool halted;		 /* QEMU refused our `cont`: the guest stands because of us */
	bool stopped_again;	 /* by us, in place of a panic's or a watchdog's pause */
};

#define CHECKPOINT_READ_BYTES 65536 /* cluster of a copy-before-write filter, at least */
#define CHECKPOINT_ALL UINT64_MAX

int checkpoint_freeze(struct checkpoint *checkpoint, const struct checkpoint_way *way,
		      uint64_t members, struct errinfo *err);
/* What the guest wrote to MEMBERS since the freeze, from BLOCKS, a query-block of now. */
int checkpoint_written(struct checkpoint *checkpoint, const json_t *blocks, uint64_t members,
		       uint64_t *bytes, struct errinfo *err);
int checkpoint_thaw(struct checkpoint *checkpoint, struct errinfo *err);
int checkpoint_keep(struct checkpoint *checkpoint, struct errinfo *err);
int checkpoint_revert(struct checkpoint *checkpoint, struct errinfo *err);
/* Remove both bitmaps from the members: the guest has left those nodes. */
int checkpoint_forget(struct checkpoint *checkpoint, struct errinfo *err);
bool checkpoint_member(const struct checkpoint *checkpoint, unsigned index);

/* To be called for every event of QEMU. */
void checkpoint_event(struct checkpoint *checkpoint, const char *name, const json_t *data);

/* Names: of disk INDEX's export, and the metadata context with its changes. */
void checkpoint_export_name(unsigned index, char name[32]);
void checkpoint_context(const struct checkpoint *checkpoint, char context[96]);

/* A mirror, commit or stream of somebody else changes the nodes below the device,
 * and hides its own filter there: ours must not come in between. */
int checkpoint_refuse_jobs(const json_t *jobs, struct errinfo *err);

/* STATUS: the guest's, query-status right before a `stop` and `cont` of ours.  When it stood
 * still already, it is stopped again. */
void checkpoint_stop_again(struct checkpoint *checkpoint, const json_t *status);

/* Shared by the ways.  add_begin, add_rotation and add_exports return the index of
 * their first entry, for what is to be noted after the batch ran. */
unsigned checkpoint_add_begin(struct checkpoint *checkpoint, struct batch *batch);
unsigned checkpoint_add_rotation(struct checkpoint *checkpoint, struct batch *batch);
void checkpoint_add_end(struct checkpoint *checkpoint, struct batch *batch);
unsigned checkpoint_add_exports(struct checkpoint *checkpoint, struct batch *batch,
				void (*node_name)(const struct checkpoint *, unsigned, char[64]));
void checkpoint_note_exports(struct checkpoint *checkpoint, const struct batch *batch,
			     unsigned first);
int checkpoint_drop_exports(struct checkpoint *checkpoint, struct errinfo *err);
/* QEMU did not let go of them. */
bool checkpoint_has_exports(struct checkpoint *checkpoint);

#endif
