/* SPDX-License-Identifier: Apache-2.0
 *
 * launch: programs that the sidecar starts: QEMU, detached, which outlives it, and a
 * hook, which it waits for.  No shell.
 */
#ifndef ENGINE_LAUNCH_H
#define ENGINE_LAUNCH_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "definition.h"
#include "errinfo.h"
#include "loop.h"

/* NULL: it can be started here, by all that is known before; else a literal.  OUR_IMAGES: on
 * images that this process makes for it. */
const char *launch_lacks(const struct definition *definition, bool our_images);
/* A process of its own session, a child of nobody here, as the definition's user, with
 * nothing open but its three standard descriptors: stdin is /dev/null, output goes to
 * the definition's files, as far as its user may write there, else it is appended to LOG.
 * *PIDFD is the caller's to close. */
int launch_detached(const struct definition *definition, const char *log, pid_t *pid, int *pidfd,
		    struct errinfo *err);

struct launch_hook {
	const char *command;	 /* a path, or a path and words with blanks between them */
	const char *const *more; /* NAME=VALUE, NULL at the end: added to our environment */
	int64_t timeout_ms;
	char *output;	      /* what it said, with a 0 at the end */
	size_t output_size;   /* room for it; the rest is dropped */
	unsigned long long said_bytes; /* result: all that it said */
};

/* Pure but for the file: it can be run as it seems now, or -errno. */
int launch_hook_check(const char *command);
/* Run it to its end.  -ETIMEDOUT: it was killed, with all of its process group;
 * -ECHILD: it failed, ERR says how; -EINTR: we are to leave, it was killed. */
int launch_hook(struct loop *loop, struct launch_hook *hook, struct errinfo *err);

#endif
