/* SPDX-License-Identifier: Apache-2.0
 *
 * turns: see turns.h.
 */
#include "turns.h"

#include "rollback.h"
#include "sidecar.h"

static bool cycle_comes(const struct sidecar *sidecar)
{
	return sidecar->state == SIDECAR_PROTECTED || sidecar->state == SIDECAR_DEGRADED;
}

bool turns_asked(const struct sidecar *sidecar)
{
	return keeper_wants(sidecar) || rollback_wants(sidecar) || reprotect_wants(sidecar);
}

static bool cycle_goes(const struct sidecar *sidecar, const struct turns *turns)
{
	return cycle_comes(sidecar) && ring_now_ns() >= turns->cycle_ns &&
	       !(turns->asked && turns_asked(sidecar));
}

/* A scrub that is late all the time keeps nobody waiting who asked for something. */
static bool scrub_goes(const struct sidecar *sidecar, const struct turns *turns)
{
	int64_t now_ns = ring_now_ns();

	if (keeper_wants(sidecar) || rollback_wants(sidecar))
		return false;
	return now_ns >= scrub_due_ns(sidecar) && (turns->scrub || now_ns < turns->cycle_ns);
}

enum turn turns_next(struct sidecar *sidecar, const struct turns *turns)
{
	return scrub_goes(sidecar, turns)   ? TURN_SCRUB
	       : cycle_goes(sidecar, turns) ? TURN_CYCLE
	       : recover_has_room(sidecar)  ? TURN_ROOM
	       : turns_asked(sidecar)	    ? TURN_ASKED
					    : TURN_NONE;
}

/* A cycle that ends a little after the next is due is followed by that at once; only whole
 * intervals that went by are skipped. */
void turns_cycle_over(struct turns *turns, struct sidecar *sidecar, int64_t interval_ns)
{
	int64_t late_ns;

	turns->scrub = turns->asked = true;
	turns->cycle_ns += interval_ns;
	late_ns = ring_now_ns() - turns->cycle_ns;
	if (late_ns < interval_ns)
		return;
	sidecar->figures.skipped += (uint64_t)(late_ns / interval_ns);
	turns->cycle_ns += late_ns / interval_ns * interval_ns;
}

int64_t turns_due_ns(const struct sidecar *sidecar, const struct turns *turns)
{
	int64_t dues[] = {keeper_due_ns(sidecar), scrub_due_ns(sidecar), recover_due_ns(sidecar),
			  reprotect_due_ns(sidecar),
			  cycle_comes(sidecar) ? turns->cycle_ns : INT64_MAX};
	int64_t next_ns = INT64_MAX;

	for (unsigned i = 0; i < sizeof(dues) / sizeof(dues[0]); i++)
		next_ns = dues[i] < next_ns ? dues[i] : next_ns;
	return next_ns;
}
