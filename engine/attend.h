/* SPDX-License-Identifier: Apache-2.0
 *
 * attend: the flow of control looks at what the event handler noted.
 */
#ifndef ENGINE_ATTEND_H
#define ENGINE_ATTEND_H

#include "errinfo.h"

struct sidecar;

/* Recovers when the guest stands still in an I/O error; answers other faults.  0: the story
 * goes on, whatever became of the guest. */
int attend(struct sidecar *sidecar, struct errinfo *err);

#endif
