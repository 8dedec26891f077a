/* SPDX-License-Identifier: Apache-2.0
 *
 * outcome: what the store's callbacks report, to wait for.
 */
#ifndef ENGINE_OUTCOME_H
#define ENGINE_OUTCOME_H

#include "loop.h"

struct outcome {
	bool known;
	int status;
	int64_t time_us; /* when it became known */
	struct errinfo err;
};

static inline void outcome_set(void *arg, int status, const struct errinfo *error)
{
	struct outcome *outcome = arg;

	outcome->known = true;
	outcome->status = status;
	outcome->time_us = loop_realtime_us();
	if (status && error)
		outcome->err = *error;
}

static inline void outcome_set_ok(void *arg)
{
	outcome_set(arg, 0, NULL);
}

/* Who waits cannot leave before: OUTCOME is written to. */
static inline int outcome_wait(struct outcome *outcome, struct loop *loop, struct errinfo *err)
{
	loop_until_set_sure(loop, &outcome->known);
	return outcome->status ? err_set(err, outcome->status, "%s", outcome->err.text) : 0;
}

#endif
