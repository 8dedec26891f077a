/* SPDX-License-Identifier: Apache-2.0
 *
 * guard: a tiny child that holds the monitor's socket open while the sidecar
 * lives and a moment longer.  QEMU drops the commands it has queued when the
 * socket closes; a sidecar killed between `stop` and `cont` of a batch would
 * leave the guest paused.  With the guard the socket outlives the sidecar until
 * QEMU has answered everything.
 *
 * For a pause that is more than one write (heal.h) it holds a promise, too: it sends
 * `cont` when the sidecar dies in it, or does not end it in time; before that it
 * removes the file without which the sidecar can do no more in that pause.
 *
 * The same for the guest agent (quiesce.h): its guard does not only wait, it tells
 * the agent to thaw the guest's file systems, also when the sidecar lives and has
 * not let go in time.
 */
#ifndef ENGINE_GUARD_H
#define ENGINE_GUARD_H

#include <stdint.h>
#include <sys/types.h>

#include "errinfo.h"

struct guard {
	pid_t pid;
	int socket_fd; /* closed by our death, whatever the cause */
};

/* What it says on the socket that it holds when the sidecar is dead. */
struct guard_words {
	const char *question; /* answered last */
	const char *answered; /* in that answer, and nowhere else */
	const char *address;  /* unix socket to say it on when the held one is over, or NULL */
	const char *fence;    /* the file of a pause, or NULL */
	int64_t limit_ms;     /* of holding: then it speaks while the sidecar lives; 0: none */
};

/* Fork it, first thing: it shares nothing of the sidecar then. */
int guard_start(struct guard *guard, struct errinfo *err);
/* For pauses with that file. */
int guard_start_fenced(struct guard *guard, const char *fence, struct errinfo *err);
int guard_start_with(struct guard *guard, const struct guard_words *words, struct errinfo *err);
/* Give it MONITOR_FD to hold (a copy; the former one is let go). */
int guard_hold(struct guard *guard, int monitor_fd, struct errinfo *err);
/* From before the `stop` of a pause until after its `cont`.  -EPIPE: there is no
 * guard any more. */
int guard_pause(struct guard *guard, struct errinfo *err);
void guard_resumed(struct guard *guard);
/* It holds nothing any more. */
void guard_drop(struct guard *guard);
/* As if we were dead: it speaks, and leaves by itself. */
void guard_leave(struct guard *guard);
/* An orderly end: nothing is in flight, the child leaves at once. */
void guard_stop(struct guard *guard);

#endif
