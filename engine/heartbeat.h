/* SPDX-License-Identifier: Apache-2.0
 *
 * heartbeat: renews the lease of a store (lease.h) while its sidecar lives, whatever that is
 * busy with: by the ring, each write flushed.  A write that fails is told once and tried
 * again with the next.
 *
 * The lease is read first.  If another host has taken it, this one was fenced and does not
 * know: nothing may be written to the store any more, which may have that host's guest above
 * its heads.  The process ends itself as a kill would, which is safe at any moment.
 */
#ifndef ENGINE_HEARTBEAT_H
#define ENGINE_HEARTBEAT_H

#include "lease.h"

struct heartbeat {
	struct ring *ring;
	struct ring_op timer_op, read_op, write_op;
	int fd; /* 0: not started */
	struct lease lease;
	char text[LEASE_BYTES], found[LEASE_BYTES];
	int64_t began_ns;
	bool failed, stopping;
	uint64_t (*dirty)(const void *arg); /* asked for each renewal */
	const void *arg;
};

/* The lease of DIR is ours from now on, on stable storage when 0.  `dirty_bytes` stays what it
 * was until `dirty` is set.  Blocking. */
int heartbeat_start(struct heartbeat *heartbeat, struct ring *ring, const char *dir,
		    const char *vm, unsigned seconds, struct errinfo *err);
bool heartbeat_runs(const struct heartbeat *heartbeat);
/* It is renewed no more (waits); RELEASED: and nobody is to take it for our end. */
void heartbeat_stop(struct heartbeat *heartbeat, struct loop *loop, bool released);

#endif
