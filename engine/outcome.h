/* SPDX-License-Identifier: Apache-2.0
 *
 * outcome: what the store's callbacks report, to wait for.
 */
#ifndef ENGINE_OUTCOME_H
#define ENGINE_OUTCOME_H

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "loop.h"
#include "report.h"

#define OUTCOME_TRIES 1000
#define OUTCOME_TRY_US 10000

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

/* Who waits cannot leave before: OUTCOME is written to.  A ring that fails for good ends the
 * process: what the store promised is on its disk. */
static inline int outcome_wait(struct outcome *outcome, struct loop *loop, struct errinfo *err)
{
	for (unsigned tries = 0; !outcome->known; tries++) {
		int rc = loop_until_set(loop, &outcome->known, INT64_MAX);

		if (outcome->known)
			break;
		if (tries == OUTCOME_TRIES) {
			log_error("the ring failed: %s", strerror(-rc));
			abort();
		}
		usleep(OUTCOME_TRY_US); /* -ENOMEM, -EAGAIN: the kernel is short of memory */
	}
	return outcome->status ? err_set(err, outcome->status, "%s", outcome->err.text) : 0;
}

#endif
