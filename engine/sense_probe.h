/* SPDX-License-Identifier: Apache-2.0
 *
 * sense_probe: what the prober (prober.h) finds, as facts for detect.h.  A part of
 * sense.h.
 *
 *   reads   every 5 s, of raw images that the sidecar may open: one that has not come
 *           back after 15 s is a disk that hangs
 *   room    of the file systems of images that grow, and of the store's
 *
 * A qcow2 image is never read behind QEMU's back, and a path that is not absolute
 * would be another file here than for QEMU.
 */
#ifndef ENGINE_SENSE_PROBE_H
#define ENGINE_SENSE_PROBE_H

#include <stdbool.h>
#include <stdint.h>

#include "prober.h"
#include "ring.h"

#define SENSE_PROBE_MS 5000
#define SENSE_PROBE_LATE_MS 15000 /* as detect_limits.hang_ns: a disk's own retries end before */

struct sidecar;

struct sense_probe {
	struct ring_op op;
	bool started;
	struct {
		int64_t asked_ns; /* 0: no question is under way */
		int64_t late_ns;  /* when it was last noted that it is late */
		int64_t due_ns;
		int64_t took_ns;  /* the last read that went well, 0: none */
		int unopened;	  /* errno: cannot be looked at */
		bool former;	  /* the question was about another disk, which was exchanged */
	} places[PROBER_PLACES];
};

void sense_probe_start(struct sidecar *sidecar);
void sense_probe_stop(struct sidecar *sidecar);
/* Disk INDEX is another one now. */
void sense_probe_forget(struct sidecar *sidecar, unsigned index);
/* Once a second. */
void sense_probe_tick(struct sidecar *sidecar);

#endif
