/* SPDX-License-Identifier: Apache-2.0
 *
 * turns: what a protected guest's sidecar does next, one thing at a time.  A cycle goes
 * first, but cycles that are late all the time cannot keep the scrub, nor who asked for
 * something, from their turn for ever: each has one between two cycles.
 */
#ifndef ENGINE_TURNS_H
#define ENGINE_TURNS_H

#include <stdbool.h>
#include <stdint.h>

struct sidecar;

enum turn {
	TURN_NONE,  /* until turns_due_ns(), or something is asked for */
	TURN_CYCLE,
	TURN_SCRUB,
	TURN_ROOM,  /* a disk that was full has room again */
	TURN_ASKED, /* a point, a roll back, a move */
};

struct turns {
	int64_t cycle_ns;  /* when the next cycle is due, CLOCK_MONOTONIC */
	bool scrub, asked; /* has one left before the next cycle, however late that is */
};

enum turn turns_next(struct sidecar *sidecar, const struct turns *turns);
/* A cycle has ended; the next is due INTERVAL_NS after that was. */
void turns_cycle_over(struct turns *turns, struct sidecar *sidecar, int64_t interval_ns);
int64_t turns_due_ns(const struct sidecar *sidecar, const struct turns *turns);
/* Somebody waits for something that is done between two cycles. */
bool turns_asked(const struct sidecar *sidecar);

#endif
