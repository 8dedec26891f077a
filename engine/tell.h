/* SPDX-License-Identifier: Apache-2.0
 *
 * tell: the events of a recovery that all strategies have in common.  (What `recovered`
 * says is each one's own.)
 */
#ifndef ENGINE_TELL_H
#define ENGINE_TELL_H

#include <stdint.h>

#include "strategy.h"

struct sidecar;

/* `decision`: what is going to be done about the fault told before, AFTER_US after QEMU's
 * event, as far as can be said at once. */
void tell_decision(struct sidecar *sidecar, enum strategy strategy, double downtime_ms,
		   int64_t after_us);
/* `recovery`: what is about to be done.  RESOURCE NULL: that of the fault told before. */
void tell_recovery(struct sidecar *sidecar, enum strategy strategy, double downtime_ms,
		   uint64_t loss_bytes, const char *why, const char *resource);
/* `recovery-failed`.  NEXT: a strategy, or words. */
void tell_failed(struct sidecar *sidecar, const char *strategy, const char *why,
		 const char *next, const char *resource);

#endif
