/* SPDX-License-Identifier: Apache-2.0
 *
 * loop: how the one flow of control waits.  The daemon's main story (attach,
 * copy, cycle, recover) reads from top to bottom and waits here; meanwhile the
 * ring dispatches everything else (events of QEMU, control socket, signals) to
 * handlers.  Handlers note facts and never wait: loop_until() asserts it.
 */
#ifndef ENGINE_LOOP_H
#define ENGINE_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "errinfo.h"
#include "ring.h"

#define NS_PER_MS INT64_C(1000000)

struct loop {
	struct ring *ring;
	bool waiting; /* inside loop_until(): handlers are running */
	bool quit;    /* SIGTERM or SIGINT: finish and leave */
	struct ring_op signal_op;
	int signal_fd;
};

int loop_init(struct loop *loop, struct errinfo *err);
void loop_release(struct loop *loop);

/* Dispatch until READY(ARG); -ETIMEDOUT at DEADLINE_NS (INT64_MAX: never). */
int loop_until(struct loop *loop, bool (*ready)(void *arg), void *arg, int64_t deadline_ns);
/* The same, also while the ring fails: for who waits for what writes to its memory, and cannot
 * leave before.  A ring that fails for good ends the process. */
void loop_until_sure(struct loop *loop, bool (*ready)(void *arg), void *arg);
/* A signal came, even if nobody has looked yet. */
bool loop_interrupted(const struct loop *loop);
/* They end the process again, as they do before loop_init(), or are noted again. */
void loop_pass_signals(bool pass);
/* loop_until() for a flag. */
int loop_until_set(struct loop *loop, const bool *flag, int64_t deadline_ns);
void loop_until_set_sure(struct loop *loop, const bool *flag);

int64_t loop_realtime_us(void); /* CLOCK_REALTIME, the clock of QEMU's events */

#endif
