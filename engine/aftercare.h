/* SPDX-License-Identifier: Apache-2.0
 *
 * aftercare: after a recovery, until the guest is well.
 *
 *   NONE --recovered--> WATCHING --sign of life--> NONE, event `well`
 *                          |  \--the owner stops it, it ends, another fault--> NONE
 *                          \--in vain--> OVERDUE --taken by respond.c--> NONE
 *
 * Signs of life, the strongest first: a write ends on a disk, the agent answers,
 * requests end, it simply runs for a while.  A guest that boots has to show more
 * than that it runs: a kernel that hangs runs, too.  When none comes in time, the
 * recovery did not help: the fault is judged again, with the strategy among those
 * that were tried.
 */
#ifndef ENGINE_AFTERCARE_H
#define ENGINE_AFTERCARE_H

#include <stdbool.h>
#include <stdint.h>

#include "detect.h"
#include "strategy.h"

#define AFTERCARE_RUNS_MS 10000	  /* an idle guest that runs for so long is well */
#define AFTERCARE_PLACE_MS 30000  /* in vain, when nothing was booted */
#define AFTERCARE_BOOT_MS 120000  /* a slow boot; or three times the usual one, if longer */
#define AFTERCARE_READS_MS 30000  /* a loader reads, too: so long after a boot reads are a sign */
#define AFTERCARE_OTHER_MS 3000	  /* a state between states lasts no longer */

struct sidecar;

enum aftercare_state { AFTERCARE_NONE, AFTERCARE_WATCHING, AFTERCARE_OVERDUE };

struct aftercare {
	enum aftercare_state state;
	enum strategy strategy;
	struct detect_fault fault;
	char resource[64];
	uint32_t tried; /* for this fault, the strategy included */
	bool boots, was_at_work;
	int64_t since_ns;   /* the recovery */
	int64_t other_ns;   /* since when it is in a state of somebody's making; 0: it is not */
	int64_t running_ns; /* without a break since then; 0: it does not run */
};

/* What is seen of the guest, as a value for the pure part. */
struct aftercare_signs {
	bool running, paused_by_owner, ended;
	bool wrote, agent, requests; /* since the recovery */
	double boot_ms;		     /* the usual */
};

enum aftercare_verdict { AFTERCARE_WAIT, AFTERCARE_WELL, AFTERCARE_FORGET, AFTERCARE_IN_VAIN };

/* Pure. EVIDENCE: a word, when it is WELL. */
enum aftercare_verdict aftercare_judge(struct aftercare *aftercare,
				       const struct aftercare_signs *signs, int64_t now_ns,
				       const char **evidence);

/* STRATEGY brought the guest back after FAULT; TRIED: STRATEGY_BIT()s, also of those
 * before it.  In place of what was watched before. */
void aftercare_begin(struct sidecar *sidecar, enum strategy strategy,
		     const struct detect_fault *fault, const char *resource, uint32_t tried);
/* Once a second; wakes the flow when something is overdue. */
void aftercare_tick(struct sidecar *sidecar);
/* Another fault takes the guest's time. */
void aftercare_forget(struct sidecar *sidecar);

#endif
