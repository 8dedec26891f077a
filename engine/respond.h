/* SPDX-License-Identifier: Apache-2.0
 *
 * respond: a fault that sense.h found, from decision to outcome.
 *
 *   decide ─▶ announce ─▶ wait (back-off) ─▶ carry out ─┬─▶ recovered
 *     ▲                                                 │
 *     └──────────── failed: the next strategy ◀─────────┘       hold: nothing is left
 *
 * A strategy is tried once for a fault.  Hold leaves the guest as it is: paused,
 * if the fault has paused it (state HELD), else running.
 */
#ifndef ENGINE_RESPOND_H
#define ENGINE_RESPOND_H

#include <stdbool.h>

#include "errinfo.h"

struct policy_verdict;
struct response;
struct sidecar;

/* Tells what was decided: the event `recovery`, and a line of the log. */
void respond_announce(struct sidecar *sidecar, const struct policy_verdict *verdict);
/* The one fault that RESPONSE has, to its end. */
void respond_answer(struct response *response);
/* There is something for respond_run(). */
bool respond_wants(const struct sidecar *sidecar);
/* The most urgent fault that waits, if there is one. */
int respond_run(struct sidecar *sidecar, struct errinfo *err);

#endif
