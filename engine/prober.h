/* SPDX-License-Identifier: Apache-2.0
 *
 * prober: asks disks and file systems that may hang, so that the sidecar never does:
 * a child process with a thread for each place, which is asked one thing at a time.
 * What does not come back is seen by its answer that does not come; the sidecar can
 * end meanwhile.
 *
 *   read    4 KiB at position 0, past the page cache: of a raw image that QEMU has
 *           open that is harmless, and it is the image's disk that answers
 *   room    of the file system that the file lies on, and what the file takes
 */
#ifndef ENGINE_PROBER_H
#define ENGINE_PROBER_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "bounds.h"
#include "errinfo.h"

#define PROBER_PLACES (BOUND_DISKS + 1) /* the images and the store */

struct prober {
	pid_t pid; /* 0: none */
	int fd;	   /* answers come here */
};

struct prober_answer {
	uint32_t place;
	int32_t open_error; /* errno: it could not be looked at at all; 0 */
	int32_t read_error; /* errno of the read, 0: it went well */
	bool read;	    /* it was tried; not where there is no way past the page cache */
	bool room_known;
	int64_t took_ns; /* the read */
	uint64_t room_bytes, room_total;
	uint64_t file_bytes, file_allocated; /* 0 of what is no regular file */
};

/* Forks: before there is a loop, and before any other child.  Without one (-1 in
 * fd, ERR) nothing is probed. */
int prober_start(struct prober *prober, struct errinfo *err);
void prober_try(struct prober *prober); /* the same; a failure is only told */
void prober_stop(struct prober *prober); /* does not wait for it */

/* Does not wait.  PLACE must have no question under way.  -EAGAIN: later. */
int prober_ask(struct prober *prober, unsigned place, const char *path, bool read);
/* False: none is there (now); then fd is to be polled, or the child is gone (-1). */
bool prober_take(struct prober *prober, struct prober_answer *answer);

#endif
