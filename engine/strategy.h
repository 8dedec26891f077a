/* SPDX-License-Identifier: Apache-2.0
 *
 * strategy: the ways out of a fault, by the names of the contract.
 */
#ifndef ENGINE_STRATEGY_H
#define ENGINE_STRATEGY_H

#include <string.h>

enum strategy {
	STRATEGY_RESUME,   /* let the guest go on: what failed is tried again */
	STRATEGY_HEAL,	   /* write the bad blocks from the replica, in place */
	STRATEGY_PIVOT,	   /* swap the disk for the replica, brought up to date */
	STRATEGY_MIRROR,   /* copy the running guest's disk to the spare, then swap */
	STRATEGY_ROLLBACK, /* all disks back to the last generation, reset */
	STRATEGY_RESTORE,  /* a new disk from a point, when the head is bad */
	STRATEGY_RESTART,  /* QEMU anew */
	STRATEGY_RESET,	   /* the guest's reset button */
	STRATEGY_FAILOVER, /* to the standby */
	STRATEGY_RELINK,   /* the NIC's backend or link anew */
	STRATEGY_HOLD,	   /* leave everything as it is and tell */
	STRATEGIES,
};

static const char *const strategy_names[STRATEGIES] = {
	"resume", "heal", "pivot", "mirror", "rollback", "restore", "restart", "reset",
	"failover", "relink", "hold",
};

/* STRATEGIES: no such name. */
static inline enum strategy strategy_by_name(const char *name)
{
	for (unsigned i = 0; i < STRATEGIES; i++) {
		if (!strcmp(strategy_names[i], name))
			return (enum strategy)i;
	}
	return STRATEGIES;
}

#endif
