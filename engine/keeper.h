/* SPDX-License-Identifier: Apache-2.0
 *
 * keeper: the points of a running sidecar: taken when somebody asks or when they
 * are due, deleted when somebody asks, when the retention has no use for them, or
 * when the file system gets short of room.
 *
 *   IDLE --take--> TAKING --> IDLE        the store works on it, cycles go on
 *   IDLE --delete--> DELETING --> IDLE
 *
 * Room: below --reserve the oldest automatic points go, one a second (a file
 * system tells only a moment later what it got back).  Points taken by hand go
 * only when there is no automatic one left and the next generation would not fit.
 * The head never goes.
 */
#ifndef ENGINE_KEEPER_H
#define ENGINE_KEEPER_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "outcome.h"
#include "point.h"
#include "space.h"

struct sidecar;

enum keeper_state { KEEPER_IDLE, KEEPER_TAKING, KEEPER_DELETING };

struct keeper {
	enum keeper_state state;
	struct outcome outcome;	      /* of what the store works on */
	struct point_request request; /* being taken */
	unsigned name_try;	      /* names of the same second */
	struct point_info victim;     /* being deleted */
	const char *why;
	bool ordered;	       /* a client waits for the answer */
	int64_t tick_ns;       /* next look around */
	int64_t point_ns;      /* next automatic point */
	int64_t sample_ns;     /* next sample of the free space */
	uint32_t pruned_to;    /* the retention has tried those up to this id */
	uint32_t cleared_to;   /* the same, when room is short: of automatic ones, */
	uint32_t cleared_by_hand_to; /* and of those by hand */
	uint32_t let_go_to;    /* the same, of temporary ones */
	bool prune, short_told;
	unsigned damaged; /* points that were told of */
	struct space_trend trend;
};

void keeper_start(struct sidecar *sidecar);
/* Is there something to do, and when next?  For the steady loop. */
bool keeper_wants(const struct sidecar *sidecar);
int64_t keeper_due_ns(const struct sidecar *sidecar);
/* Do it.  Waits only for the capture of a point that somebody asked for. */
void keeper_run(struct sidecar *sidecar);
/* Before the store is closed. */
void keeper_stop(struct sidecar *sidecar);

/* {"growth","full_at","reserve"} for the status: bytes a second, a time, percent. */
json_t *keeper_json(const struct sidecar *sidecar);

#endif
