/* SPDX-License-Identifier: Apache-2.0
 *
 * store: the replica of one guest on disk: heads, sums and journal of all its
 * disks, moving from one generation to the next as a whole.
 *
 * A generation is received (store_put, store_put_zero: written to the journal,
 * the heads untouched), committed (one checksummed record, one flush: from then
 * on it exists whatever happens), then applied to heads and sums in the
 * background.  Power may go at any moment: on every open a committed generation
 * is replayed and a torn one dropped.
 *
 *      EMPTY --fill_begin--> FILLING --fill_end--> FILLED --commit--> READY
 *
 *   EMPTY    heads exist and are all holes
 *   FILLING  a first copy is writing to the heads: not any point in time
 *   FILLED   the first copy is on stable storage, still no point in time
 *   READY    heads plus journal are exactly generation() >= 1
 *
 * Format: docs/FORMAT.md.
 */
#ifndef BLOCKIO_STORE_H
#define BLOCKIO_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "bounds.h"
#include "copy.h"
#include "errinfo.h"
#include "pool.h"
#include "ring.h"

#define STORE_FORMAT 2 /* of store.json; older ones are upgraded by store_open() */
#define STORE_DISKS_MAX 32
#define STORE_NAME_MAX 63	/* a disk's name */
#define STORE_BLOCK_BYTES_DEFAULT 65536

enum store_state { STORE_EMPTY, STORE_FILLING, STORE_FILLED, STORE_READY };

struct store_disk {
	char name[STORE_NAME_MAX + 1];
	uint64_t size; /* bytes, a multiple of 512 */
};

struct store_spec {
	char vm[BOUND_VM_NAME + 1];
	char vm_uuid[37]; /* of the guest as QEMU has it, "" when it has none */
	uint32_t block_bytes;
	unsigned disk_count;
	struct store_disk disks[STORE_DISKS_MAX];
};

struct store_info {
	struct store_spec spec;
	char uuid[37]; /* of the store */
	enum store_state state;
	uint64_t generation;	    /* last committed, 0 before the first */
	int64_t generation_time_us; /* its point in time, CLOCK_REALTIME microseconds */
	bool promoted;		    /* a guest runs on an overlay above a head: heads are frozen */
	uint64_t placed;	    /* bit set: of these disks (of store_inspect()) */
	/* Bit set of disks that GENERATION does not hold whole: they were added, or
	 * grew.  The next generation has to have all of them. */
	uint64_t incomplete;
};

struct store;

/* Make a new store in DIR (created 0700 when missing; must be empty or hold no
 * store, nor points or promoted images of one: -EEXIST).  Refuses, with the missing
 * bytes in the text, when the file system has less room than NEED_BYTES. */
int store_create(const char *dir, const struct store_spec *spec, uint64_t need_bytes,
		 struct errinfo *err);

/* Open for writing: takes the lock (-EBUSY: another sidecar has it), checks
 * format and files, recovers the journal.  -EUCLEAN: what was committed is damaged.
 * Where there is no room for what the journal holds it stays there, as after an apply that
 * failed: store_settle() says so.  POOL has all its buffers and the store's block size.
 * Blocking; for start-up. */
int store_open(struct store **store, struct ring *ring, struct pool *pool, const char *dir,
	       struct errinfo *err);
void store_close(struct store *store); /* waits for running applies; NULL is allowed */

/* Look without lock and without changing anything: for `status`. -ENOENT: no
 * store there. */
int store_inspect(const char *dir, struct store_info *info, struct errinfo *err);

const struct store_info *store_info(const struct store *store);

/* The guest's disks are others now than those of the store: DISKS, in their order,
 * become the store's.  A disk of the same name keeps its replica, which is extended
 * when it grew; one that is new, or smaller than it was, begins anew; one that is
 * gone loses its replica, unless a point needs it: then that goes with the point.
 * All generations have to be in the heads, and the store is to be closed and opened
 * next.  Blocking, durable; a power cut leaves the one list or the other.
 * -EROFS: promoted; -EBUSY: not settled; -EEXIST: a point needs the old replica. */
int store_set_disks(struct store *store, const struct store_disk *disks, unsigned count,
		    struct errinfo *err);

/* First copy.  The sink writes straight to the heads, each block at most once.
 * Also from FILLING and FILLED: then what is there is dropped first. */
int store_fill_begin(struct store *store, struct errinfo *err); /* blocking, start-up */
struct copy_sink *store_fill_sink(struct store *store);
void store_fill_end(struct store *store,
		    void (*done)(void *arg, int status, const struct errinfo *error), void *arg);
/* The copy failed: done(), with an error, when nothing of it is in flight any more.
 * The state stays FILLING; store_fill_begin() starts anew, from holes. */
void store_fill_abort(struct store *store,
		      void (*done)(void *arg, int status, const struct errinfo *error), void *arg);

/* A READY store's disks that have no replica yet, as a bit set: added since the last
 * generation.  They are filled like a first copy, by the same sink, while the next
 * generation is being received, and belong to it; store_fresh_end() comes before the
 * commit.  store_fresh_begin() empties them, as often as it is tried (blocking). */
uint64_t store_fresh(const struct store *store);
int store_fresh_begin(struct store *store, struct errinfo *err);
void store_fresh_end(struct store *store,
		     void (*done)(void *arg, int status, const struct errinfo *error), void *arg);

/* One generation at a time.  store_begin() needs store_can_begin(); everything
 * put until store_commit() belongs to it. */
bool store_can_begin(const struct store *store); /* the area for the next one is free */
int store_begin(struct store *store, struct errinfo *err);
struct copy_sink *store_sink(struct store *store);

/* Durable when done() gets 0: generation() is one higher and will survive.
 * On failure the generation is dropped and the store is as before.  TIME_US is
 * the point in time frozen.  Applying goes on in the background. */
void store_commit(struct store *store, int64_t time_us,
		  void (*done)(void *arg, int status, const struct errinfo *error), void *arg);
/* Drop what was put; done() when nothing of it is in flight any more. */
void store_abort(struct store *store, void (*done)(void *arg), void *arg);

/* done(0) when every committed generation is in the heads and flushed.  A failed
 * apply gives its errno: the generation stays in the journal, and the next
 * store_settle() or store_open() tries again. */
void store_settle(struct store *store,
		  void (*done)(void *arg, int status, const struct errinfo *error), void *arg);

struct store_placement {
	unsigned disk;
	const char *image; /* the overlay that the guest has the disk's head through; borrowed */
};

/* Freeze the heads: all of PLACEMENTS are handed to the guest, or none is: a power cut never
 * finds some.  From then on store_begin() gives -EROFS.  Blocking, durable on return.  -EBUSY
 * while a generation is open or not settled. */
int store_promote(struct store *store, const struct store_placement *placements, unsigned count,
		  struct errinfo *err);
/* No guest reads the heads any more, and no overlay that anybody wants lies above
 * them: durable on return.  The open store stays frozen: close it and open it. */
int store_demote(struct store *store, struct errinfo *err);
/* "": DISK is not promoted.  Valid until the next promotion. */
const char *store_promoted_image(const struct store *store, unsigned disk);

struct store_stats {
	uint64_t journal_bytes; /* of the last committed generation */
	int64_t commit_ns;
	int64_t apply_ns;
	int64_t clone_ns;	/* of the last point: the apply could not begin meanwhile */
	int64_t clone_slice_ns; /* nothing else could go on: its longest slice */
};
const struct store_stats *store_stats(const struct store *store);

/* Paths, valid as long as the store. */
const char *store_dir(const struct store *store);
void store_head_path(const char *dir, const char *disk, char *path, size_t size);
void store_promoted_path(const char *dir, const char *disk, uint64_t generation, char *path,
			 size_t size);

#endif
