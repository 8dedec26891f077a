/* SPDX-License-Identifier: Apache-2.0
 *
 * lease: STORE/lease, by which a sidecar says that its host lives, and a standby on another
 * host sees that it does not.  One record of LEASE_BYTES, written in place:
 *
 *   {"format":1,"host":"node1","machine":"<machine id>","boot":"<boot id>","vm":"web1",
 *    "seconds":10,"count":17,"dirty_bytes":65536,"released":false}
 *
 * and blanks, with a line feed at the end.  Whoever reads it compares `count` with what it
 * was, by a clock of its own: the clocks of two hosts are never compared.
 *
 *   absent     nobody asked for it
 *   renewed    each SECONDS / LEASE_RENEWALS
 *   expired    not renewed for SECONDS: the host is gone, or its way to the store
 *   released   the sidecar left, and its guest runs without one or was shut down
 *
 * A sidecar whose QEMU died and could not be started again does not release it.
 */
#ifndef ENGINE_LEASE_H
#define ENGINE_LEASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bounds.h"
#include "errinfo.h"
#include "loop.h"

#define LEASE_FILE "lease"
#define LEASE_BYTES 2048
#define LEASE_RENEWALS 5
#define LEASE_MIN_S 2
#define LEASE_MAX_S 3600

struct lease {
	char host[65];		     /* who has it, for people */
	char machine[65], boot[37]; /* and for programs; BOOT: until the host is booted again */
	char vm[BOUND_VM_NAME + 1];
	unsigned seconds;
	uint64_t count;
	uint64_t dirty_bytes; /* written by the guest since the last generation, when it was renewed */
	bool released;
};

/* Pure.  -EUCLEAN: that is no lease, or one half of two. */
int lease_parse(struct lease *lease, const char *text, size_t length, struct errinfo *err);
void lease_format(const struct lease *lease, char text[LEASE_BYTES]);
/* Both are of one host, and of the same boot of it. */
bool lease_same_host(const struct lease *a, const struct lease *b);
/* Of one host, perhaps booted in between. */
bool lease_same_machine(const struct lease *a, const struct lease *b);

#define LEASE_NODE_ENV "QHEAL_NODE" /* this host's name and machine, instead of its own */

/* HOST, MACHINE and BOOT of where we are. */
void lease_here(struct lease *lease);
/* The file of DIR, with FLAGS of open(2): a descriptor, or -errno. */
int lease_open(const char *dir, int flags);
/* On stable storage when 0.  Blocking. */
int lease_write(int fd, const struct lease *lease);
/* What nobody renews any more is released, by whoever has the store now and wants no lease. */
void lease_release(const char *dir);
/* -ENOENT: there is none.  Blocking. */
int lease_read(const char *dir, struct lease *lease, struct errinfo *err);
/* Nobody on another host renews the lease of DIR, or -EBUSY with a sentence.  Waits for as
 * long as one that is not released has to run. */
int lease_refuse_other(struct loop *loop, const char *dir, struct errinfo *err);

#endif
