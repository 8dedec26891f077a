/* SPDX-License-Identifier: Apache-2.0
 *
 * meet: the first words with a QEMU that was just started, or that comes back, before
 * the sidecar's story begins with it.  The monitor is free again afterwards.
 */
#ifndef ENGINE_MEET_H
#define ENGINE_MEET_H

#include <stdbool.h>
#include <stdint.h>

#include "errinfo.h"
#include "loop.h"
#include "timeline.h"

enum meet_want {
	MEET_ANSWER,  /* that it answers is enough */
	MEET_RUNNING, /* wait until its guest runs */
	MEET_CONT,    /* let the guest run */
};

#define MEET_FOR_EVER INT64_C(1000000000000) /* ms */

struct meet {
	enum meet_want want;
	int64_t timeout_ms;
	const bool *gone; /* waiting is no use any more, or NULL */
	struct timeline *timeline; /* "start", "resume"; or NULL */
};

/* -ETIMEDOUT; -ECHILD: gone; -EINTR: we are to leave. */
int meet_qemu(struct loop *loop, const char *address, const struct meet *meet,
	      struct errinfo *err);

#endif
