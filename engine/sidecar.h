/* SPDX-License-Identifier: Apache-2.0
 *
 * sidecar: everything that one `qheal protect` holds, and the states it goes
 * through.  One file a chapter of the story:
 *
 *   attach.c     connect, look, refuse or warn, clean up what an earlier run left
 *   disk_list.c  the guest's disks against those of the store
 *   firstcopy.c  fill the heads from the running guest, once
 *   resync.c     compare replica and disks by checksum, when no bitmap tells
 *   cycle.c      one generation: freeze, read, commit, thaw
 *   scrub.c      both sides are read in the background; heal.c: what is bad is healed
 *   transfer.c   the copies of all disks at a time
 *   recover.c    a disk failed: catch up, pivot, go on
 *   sense.c      all other faults; respond.c: what is done about them
 *   reprotect.c  after a pivot: on to the spare, and protected again
 *   successor.c  the store's own disk fails: protected anew, in the spare
 *   takeover.c   a standby: the host of all this is gone
 *   rollback.c   somebody asked: all disks back to a point, reset
 *   protect.c    the order of the above, and what to do when one fails
 *
 *   ATTACHING -> COPYING -> PROTECTED <-> DEGRADED
 *                    \          |            |
 *                     +---------+-> RECOVERING -> RECOVERED | HELD
 *
 *   COPYING     a first copy, or a resync: the disks are being read
 *   PROTECTED   generation >= 1 is durable and the next follow at the interval
 *   DEGRADED    the guest runs, the replica stands still or is behind
 *   RECOVERING  the guest is paused by a fault and we are at it
 *   RECOVERED   the guest runs on a promoted disk; the heads are frozen
 *   HELD        the guest is left paused, an operator has to decide
 */
#ifndef ENGINE_SIDECAR_H
#define ENGINE_SIDECAR_H

#include "checkpoint.h"
#include "config.h"
#include "copy.h"
#include "damage.h"
#include "exports.h"
#include "fault.h"
#include "guard.h"
#include "guest.h"
#include "heartbeat.h"
#include "keeper.h"
#include "loop.h"
#include "monitor.h"
#include "nics.h"
#include "pool.h"
#include "prober.h"
#include "quiesce.h"
#include "report.h"
#include "reprotect.h"
#include "scrub.h"
#include "sense.h"
#include "store.h"
#include "successor.h"

enum sidecar_state {
	SIDECAR_ATTACHING,
	SIDECAR_COPYING,
	SIDECAR_PROTECTED,
	SIDECAR_DEGRADED,
	SIDECAR_RECOVERING,
	SIDECAR_RECOVERED,
	SIDECAR_HELD,
};

struct control;
struct rollback;

struct sidecar {
	const struct config *config;
	struct loop loop;
	struct report report;
	struct monitor monitor;
	struct guard guard;
	struct prober prober;
	struct guest guest;
	struct exports exports;
	struct scratch scratch;
	struct checkpoint checkpoint;
	struct pool *pool;
	struct store *store;
	struct control *control;
	struct keeper keeper;
	struct scrub scrub;
	struct damage damage; /* that the scrub found in the heads */
	struct rollback *rollback; /* under way, or NULL */
	bool rollback_open; /* one is over, and the store could not note that yet */
	struct reprotect reprotect;
	struct successor successor;
	struct heartbeat heartbeat;
	bool held; /* the lease, or the wish for none, is this sidecar's own: it has the guest */
	struct quiesce quiesce;
	struct nics nics;
	struct sense sense; /* what is watched, and what is wrong */
	unsigned transfers; /* under way: the disks are read by us, too */
	bool steady; /* protection was reached: the keeper is at work */
	/* QEMU's bitmaps do not go back to the store's generation on every disk: a
	 * recovery could not catch up. */
	bool uncovered;
	/* A disk could not be put back from an image that the store does not know of, or may have
	 * been moved to one: what its guest wrote may be nowhere else. */
	bool astray;
	/* An exchange was not answered: as long as the guest did not go on since, its disks are
	 * what they were. */
	bool swap_unknown;
	unsigned swap_resumes; /* `resumes` then */
	bool restart_recorded;	 /* it is known how QEMU was started */
	const char *restart_why; /* it is not: why, a literal */
	bool restarted; /* this QEMU is one that we started, or met again */
	/* A recovery brought another QEMU, or the store is another: the story begins anew. */
	bool rebirth;
	bool moved;   /* that QEMU is the standby, which there is no longer */
	bool succeeded; /* that store is the successor, in the spare directory */
	bool predecessor_killed; /* QEMU had scratch files of one */
	int instance_fd; /* the abstract socket that stands for "this QEMU has a sidecar" */
	enum sidecar_state state;
	char degraded_why[ERRINFO_TEXT_MAX];

	/* Facts noted by the event handler, used by the flow. */
	bool alert;	     /* something below changed: look at it before sleeping on */
	bool stopped;	     /* a STOP without RESUME after it */
	bool paused_by_us;   /* for a heal or a roll back; a cycle's pause is over in one write */
	unsigned resumes;    /* how often it went on: did it meanwhile? */
	unsigned held_resumes; /* of these, before it was held */
	unsigned resets;     /* of the guest */
	unsigned resets_before; /* of these, before one that is waited for */
	unsigned changes;    /* of the guest's state, and errors, that QEMU told of */
	bool job_news;	     /* a job of ours has another state */
	bool shutdown;	     /* the guest or its owner ended it on purpose */
	struct fault fault;  /* the first since the last recovery */
	int64_t seen_error_ns; /* last error that the guest saw itself and we told of */
	int64_t fault_ns;    /* when we heard of it, CLOCK_MONOTONIC */
	int64_t foreseen_ns; /* when it was decided what is done about it; 0: not yet */
	unsigned fault_resumes; /* of `resumes`, before it */
	int64_t resume_us;   /* stamp of the last RESUME */
	struct {
		uint64_t room_bytes; /* on the full disk's file system, when it failed */
		int64_t due_ns;	     /* of the next look */
		bool cleared;	     /* there is more now */
	} full;
	uint64_t faulted;    /* bit set of disks that reported an error */

	/* Figures for status. */
	struct {
		uint64_t cycles, empty_cycles, skipped, failed;
		uint64_t bytes;
		int64_t lag_ms, duration_ms;
		int64_t attached_us;
		uint64_t last_bytes;
		uint64_t usual_bytes; /* of the last cycle: what the next one may need */
		int64_t protected_since_us;
		uint64_t total, done; /* of the first copy or the resync */
		bool resynced;
		uint64_t different_bytes; /* that the last resync found */
	} figures;
	json_t *last_recovery; /* event `recovered`, for status */
	json_t *last_fault;
};

/* sidecar.c */
const char *sidecar_state_name(enum sidecar_state state);
void sidecar_set_state(struct sidecar *sidecar, enum sidecar_state state);
/* Protection stands still or is behind: say so, once for each reason. */
void sidecar_degrade(struct sidecar *sidecar, const char *why);
/* Of a guest that was held and that somebody let go on. */
void sidecar_let_go(struct sidecar *sidecar);
/* The bitmaps reach back to the last generation; -EAGAIN: not yet, in words. */
int sidecar_covered(const struct sidecar *sidecar, struct errinfo *err);

/* attach.c */
int sidecar_attach(struct sidecar *sidecar, struct errinfo *err);
int sidecar_track(struct sidecar *sidecar, struct errinfo *err); /* begin to record changes */
/* -EFBIG: a recovery could not make an overlay for that many bytes. */
int sidecar_size_check(const struct guest_disk *disk, uint32_t block_bytes, struct errinfo *err);
int sidecar_make_scratch(struct sidecar *sidecar, struct errinfo *err);
/* An empty store of this guest in DIR.  -ENOSPC: there is less room than the disks take and
 * RESERVE_BYTES. */
int sidecar_make_store(struct sidecar *sidecar, const char *dir, uint64_t reserve_bytes,
		       struct errinfo *err);
/* The one of the configuration, with blocks of BLOCK_BYTES, and buffers for it. */
int sidecar_open_store(struct sidecar *sidecar, uint32_t block_bytes, struct errinfo *err);
json_t *sidecar_disks_json(const struct guest *guest);

/* leftovers.c: remove what an earlier sidecar left in QEMU; never a disk's root. */
int leftovers_clean(struct sidecar *sidecar, struct errinfo *err);
/* What QEMU did not answer in time it did later, and nobody took it back: as at a start
 * behind a sidecar that was killed.  Whatever it answers now it does after that.  0: it is done,
 * and the bitmaps are to be brought in order.  -EAGAIN: a disk has failed meanwhile. */
int leftovers_late(struct sidecar *sidecar, struct errinfo *err);
/* The same and the bitmaps, of a guest that stands still and is to be recovered. */
int leftovers_tidy(struct sidecar *sidecar, struct errinfo *err);
/* Bring the bitmaps in order for the store's generation.  COVERED: the bit set of
 * the disks whose bitmaps know all changes since then. */
int leftovers_bitmaps(struct sidecar *sidecar, uint64_t *covered, struct errinfo *err);
void bitmap_name(const struct sidecar *sidecar, uint64_t generation, char name[64]);

/* watch.c: the event handler */
void sidecar_event(void *arg, const char *name, json_t *data, int64_t time_us);
/* Ask QEMU why the guest stands still; notes a fault when it is an I/O error, and
 * forgets one when it is not (any more): `fault` is what has to be recovered. */
int sidecar_look(struct sidecar *sidecar, struct errinfo *err);

/* firstcopy.c */
int firstcopy_run(struct sidecar *sidecar, struct errinfo *err);
/* Offer the members' own nodes, read-only; checkpoint_drop_exports() ends it. */
int firstcopy_exports(struct sidecar *sidecar, uint64_t members, struct errinfo *err);
/* For transfer.progress: PHASE of the event, and the line on a terminal. */
void firstcopy_progress(struct sidecar *sidecar, const char *phase, uint64_t scanned);

/* resync.c: continue a store whose generation the bitmaps of the disks in COVERED
 * go back to, and no others: these are read and compared by checksum. */
int resync_run(struct sidecar *sidecar, uint64_t covered, struct errinfo *err);

/* transfer.c: copy the members' exports to a sink, in parallel, waiting. */
struct transfer {
	enum copy_want want;
	const char *context; /* NULL for none */
	struct copy_sink *sink;
	uint64_t members; /* bit set of disks, CHECKPOINT_ALL */
	uint64_t offset, length; /* a part of them, LENGTH 0: up to the end */
	uint32_t read_limit; /* nbd_source_limit_reads(), 0 for none */
	bool sparing;	  /* [optimal] of the configuration bounds rate and CPU, if that is
			   * the objective: nobody waits for it */
	bool patient;	  /* SIGTERM waits for the end: a guest stands still for it */
	void (*progress)(struct sidecar *sidecar, const struct copy_progress *sum);
	/* When all was read: 0, and it is read once more, by the same connections.  NULL: once. */
	int (*between)(void *arg, struct errinfo *err);
	void *between_arg;
	struct copy_progress sum; /* result */
	bool sink_failed;	  /* result: the store refused, not the source */
	bool unreached;		  /* result: QEMU's server was not, so the source said nothing */
};
int transfer_run(struct sidecar *sidecar, struct transfer *transfer, struct errinfo *err);

/* cycle.c: one generation.  0, also when nothing had changed. */
int cycle_run(struct sidecar *sidecar, struct errinfo *err);
/* One generation, whatever has changed, to which FILL puts first what the frozen
 * point then overrides; BYTES: how much it put. */
int cycle_run_after(struct sidecar *sidecar,
		    int (*fill)(struct sidecar *sidecar, uint64_t *bytes, struct errinfo *err),
		    struct errinfo *err);
/* What stands against a frozen point now, and what is dirty. */
int cycle_look(struct sidecar *sidecar, uint64_t *dirty_bytes, struct errinfo *err);
/* RC of the store: a fault of its own disk, or none any more. */
void cycle_note_store(struct sidecar *sidecar, int rc);
/* The filters and exports of a frozen point go. */
void cycle_thaw(struct sidecar *sidecar);
/* What hangs (or so RC says: -ETIMEDOUT) does what it is told when it goes on, or is ended
 * before; nobody waits for that.  The monitor's deadline that is to be set back. */
int64_t cycle_be_brief(struct sidecar *sidecar, int rc);
/* recover.c: 0 when the guest runs again. */
int recover_run(struct sidecar *sidecar, struct errinfo *err);
/* recover_decide.c: there is a replica to recover from, and it is not an operator's turn. */
bool recover_can(const struct sidecar *sidecar);
/* A disk's error stands the guest still: event `decision`, once for each.  Asks nobody. */
void recover_foresee(struct sidecar *sidecar);
void recover_note_room(struct sidecar *sidecar); /* a disk failed: what room it had */
/* The guest is held because its disk was full, and there is room now: recover_run(). */
bool recover_has_room(struct sidecar *sidecar);
int64_t recover_due_ns(const struct sidecar *sidecar); /* of the next look, INT64_MAX: none */

/* qemu_end.c: its monitor is closed.  The exit status; or a recovery brought another QEMU. */
int qemu_end_run(struct sidecar *sidecar);

/* protect.c */
/* The guest's own file adds to CONFIG, and a move to the standby changes it. */
int protect_run(struct config *config);

#endif
