/* SPDX-License-Identifier: Apache-2.0
 *
 * quiesce: freezes the guest's file systems by its agent (qemu-ga behind a chardev
 * with a unix socket), for a point by hand.
 *
 *   CLOSED --begin: connect, sync, freeze--> FROZEN --thaw--> THAWING
 *      ^                                                         |
 *      +----------------- end, tidy: it was answered ------------+
 *
 * The connection exists only meanwhile: the agent's chardev serves one client.
 * Whatever happens, a thaw follows the freeze: by the flow when the frozen point
 * exists; by a timer of the ring when that takes too long; by a guard of its own
 * (guard.h) when the sidecar is dead or stands still.  An agent works off its
 * commands in order, so a thaw sent behind a freeze that was not answered is good,
 * too.  A point counts as quiesced only when the thaw found something to thaw:
 * then nobody else had thawed before.
 */
#ifndef ENGINE_QUIESCE_H
#define ENGINE_QUIESCE_H

#include <stdbool.h>

#include "errinfo.h"
#include "guard.h"
#include "monitor.h"

struct quiesce_call {
	bool sent, known;
	int status;
	long long count; /* of file systems */
	char error[ERRINFO_TEXT_MAX];
};

struct quiesce {
	const char *address; /* NULL: the guest has no agent that we know of */
	struct loop *loop;
	struct guard guard;
	struct guard_words words;
	struct monitor agent;
	struct ring_op limit_op;
	struct quiesce_call freeze, thaw;
	int64_t sync_ms, limit_ms, thaw_ms; /* BOUND_..., but for tests */
	/* There is no use in waiting for the agent: the guest stands still, or we end. */
	bool (*hopeless)(void *arg);
	void *hopeless_arg;
	bool open, expired;
};

/* Forks the guard: first thing, before there is a loop. */
int quiesce_start(struct quiesce *quiesce, const char *address, struct errinfo *err);
/* Freeze.  0: FROZEN, also when there is nothing to freeze (quiesce_count()).  On
 * failure a thaw was sent, and answered if the agent still does. */
int quiesce_begin(struct quiesce *quiesce, struct loop *loop, struct errinfo *err);
unsigned quiesce_count(const struct quiesce *quiesce); /* file systems frozen */
/* Send the thaw, once; does not wait.  May be called in any state. */
void quiesce_thaw(struct quiesce *quiesce);
/* Thaw if that was not done, wait for the answer, hang up.  0: all that was
 * captured before quiesce_thaw() was captured frozen. */
int quiesce_end(struct quiesce *quiesce, struct errinfo *err);
/* Hang up when a late answer came; to be called now and then. */
void quiesce_tidy(struct quiesce *quiesce);
/* The sidecar ends. */
void quiesce_stop(struct quiesce *quiesce);

#endif
