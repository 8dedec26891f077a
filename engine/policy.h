/* SPDX-License-Identifier: Apache-2.0
 *
 * policy: which strategy answers a fault.  Pure: facts, models, settings and a clock
 * value in, one choice out, with the reason, and for every other strategy why it
 * was not chosen.  The same for `qheal plan` and in earnest.
 *
 *   feasible   the strategy's precondition holds
 *   allowed    the settings list it for this kind of fault; hold always is
 *   eligible   both, and it loses nothing, or a loss is accepted (on-loss) and no
 *              lossless strategy is eligible
 *
 * Of the eligible the one with the smallest score is chosen; hold only when there is
 * no other.  fast: expected downtime in ms, T + (1 - p) T', optimal: expected cost,
 * C + (1 - p) C'; p is the strategy's success, T' and C' the best of the others, or
 * that of a guest that waits POLICY_HOLD_MS for its operator.
 */
#ifndef ENGINE_POLICY_H
#define ENGINE_POLICY_H

#include "config.h"
#include "detect.h"
#include "model.h"
#include "strategy.h"

#define POLICY_HISTORY_MAX 64
#define POLICY_HOLD_MS 600000.0 /* ten minutes until somebody is there */

enum objective { OBJECTIVE_FAST, OBJECTIVE_OPTIMAL };

#define STRATEGY_BIT(strategy) (1u << (strategy))

struct policy_settings {
	enum objective objective;
	enum on_loss on_loss;
	struct model_weights weights;
	uint32_t allowed[FAULT_KINDS]; /* STRATEGY_BIT()s */
	unsigned flap_limit;	       /* recoveries within the window; then hold */
	int64_t flap_window_ns;
	int64_t backoff_ns, backoff_max_ns; /* before a third of one resource; doubled each time */
};

/* Everything that makes sense for each fault; limits in config_file.h. */
void policy_settings_default(struct policy_settings *settings);
uint32_t policy_sensible(enum fault_kind kind);

/* What this version carries out. */
#define POLICY_ABLE                                                                                \
	(STRATEGY_BIT(STRATEGY_RESUME) | STRATEGY_BIT(STRATEGY_PIVOT) |                            \
	 STRATEGY_BIT(STRATEGY_ROLLBACK) | STRATEGY_BIT(STRATEGY_HOLD))
#define POLICY_ABLE_ALL (STRATEGY_BIT(STRATEGIES) - 1)

enum policy_source { SOURCE_UNKNOWN, SOURCE_READABLE, SOURCE_UNREADABLE };

struct policy_facts {
	struct detect_fault fault;
	/* guest and QEMU */
	bool qemu_alive, qemu_answers, running, paused_by_owner;
	bool guest_progress; /* its disks or its agent show that it lives */
	bool untried;	     /* what failed was not tried again yet: it may work */
	bool cleared;	     /* what failed works again: room was made, the server is back */
	/* the disks' replica */
	bool replica_ready, head_intact;
	bool covered;	  /* bitmaps reach back to the head's generation */
	bool on_replica;  /* the disk was pivoted before and has no replica */
	bool swappable;	  /* the device takes another disk while it runs */
	bool yankable;	  /* QEMU can give the disk's connection up */
	bool sync;	  /* every acknowledged write is in the replica */
	enum policy_source source; /* of the dirty blocks */
	uint64_t dirty_bytes;	   /* of the failed disk, since the last generation */
	uint64_t all_dirty_bytes;  /* of all disks */
	uint64_t disk_bytes;
	uint64_t elapsed_us; /* since the fault, for a guest that stands still or is of no use */
	uint64_t heal_blocks; /* bad, and known */
	bool heal_stale;      /* one of them was written since the last generation */
	unsigned points; /* for a fault of the guest: from before it began to fail */
	uint64_t point_loss_bytes; /* written since the newest of them, or more */
	uint64_t point_bytes;	   /* that a restore of all disks copies */
	bool spare, standby, restart_known, nic_replaceable;
	bool standby_boots;	 /* also what cannot be migrated any more */
	const char *restart_why; /* not known: why, a literal, or NULL */
	const char *hold_why; /* there is no strategy: what that means, a literal, or NULL */
	const char *not_now; /* why nothing is begun yet, a literal, or NULL */
	/* this incident, and those before */
	uint32_t able; /* STRATEGY_BIT()s that the engine can carry out */
	uint32_t tried; /* STRATEGY_BIT()s */
	unsigned resets; /* within the flap window */
	unsigned history_count;
	struct {
		int64_t time_ns; /* end of a recovery, oldest first */
		int resource;	 /* policy_resource() of the fault then */
	} history[POLICY_HISTORY_MAX];
};

/* What fails, in a history of disks and cards: a disk's index, -1 for the guest, below that cards. */
int policy_resource(enum fault_kind kind, int index);

struct policy_candidate {
	bool feasible, allowed, eligible;
	const char *why_not; /* NULL for the chosen one; a literal */
	struct model_prediction prediction;
	uint64_t loss_bytes;
	double success, cost, score;
};

struct policy_verdict {
	enum strategy strategy;
	int64_t not_before_ns; /* back-off; 0: at once */
	char why[200];
	struct policy_candidate candidates[STRATEGIES];
};

void policy_decide(const struct policy_facts *facts, const struct policy_settings *settings,
		   const struct model *model, int64_t now_ns, struct policy_verdict *verdict);

/* NULL: the precondition of STRATEGY holds. */
const char *policy_precondition(const struct policy_facts *facts, enum strategy strategy);
/* A retry of which nothing shows that it works now, and nothing that it does not. */
bool policy_is_blind(const struct policy_facts *facts);
/* QEMU refuses to migrate poisoned memory, and one that is gone cannot be: it boots there. */
bool policy_failover_boots(const struct policy_facts *facts);

#endif
