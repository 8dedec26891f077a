/* SPDX-License-Identifier: Apache-2.0
 *
 * response: what is being done about one fault, and the strategies that can be.
 * A strategy is a file, strategy_NAME.c: what it needs is policy.c's, what it will
 * take is model.c's, here is how it is done and what it undoes when a step fails.
 */
#ifndef ENGINE_RESPONSE_H
#define ENGINE_RESPONSE_H

#include "detect.h"
#include "policy.h"
#include "strategy.h"
#include "timeline.h"

struct sidecar;

struct response {
	struct sidecar *sidecar;
	struct detect_fault fault;
	const char *resource; /* its name */
	int64_t time_us, since_ns; /* of the fault */
	struct policy_facts facts; /* the latest, as decided upon */
	/* NULL: of a sidecar beside its QEMU (situation.h); else fills FACTS. */
	void (*gather)(struct response *response);
	struct timeline timeline;
	uint32_t tried; /* STRATEGY_BIT()s */
	uint64_t lost_bytes;
	double downtime_ms; /* 0: from the fault on */
	json_t *told; /* further fields of `recovered`, or NULL; a reference */
	/* Another QEMU runs now, or this one has to be met anew: the sidecar's story
	 * begins again behind the report of this recovery. */
	bool rebirth;
};

/* Carry it out.  0: the guest runs again, or what was broken works.  On failure
 * everything is as before, as far as that is possible: the next one is tried.
 * Marks its steps in the timeline, by the names that model.c knows. */
typedef int strategy_fn(struct response *response, struct errinfo *err);

strategy_fn strategy_relink;
strategy_fn strategy_mirror;
strategy_fn strategy_reset;
strategy_fn strategy_failover;
strategy_fn strategy_restart;
strategy_fn strategy_rollback;

/* strategies.c: NULL when this version cannot do it here (recover.c has its own). */
strategy_fn *strategy_of(enum strategy strategy);
/* What can be carried out, as STRATEGY_BIT()s. */
uint32_t strategies_able(void);

#endif
