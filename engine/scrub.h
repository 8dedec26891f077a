/* SPDX-License-Identifier: Apache-2.0
 *
 * scrub: reads replica and disks in the background, at a bounded rate, and compares
 * every block of both with the replica's sums.  Window by window, between two cycles:
 *
 *   settle   heads and sums are the last generation G, and nothing is committed
 *            meanwhile, because the flow of control is here
 *   replica  the window's blocks of the head are read and summed
 *   freeze   a point, as in a cycle; a block that G's bitmap does not have was not
 *            written since G, whatever the guest does: its sum must be that of G
 *   thaw     the point goes and the bitmaps are as before: it was no generation
 *
 * What is bad is reported, and with --heal healed (heal.h).
 */
#ifndef ENGINE_SCRUB_H
#define ENGINE_SCRUB_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct sidecar;

struct scrub {
	unsigned disk; /* the next window */
	uint64_t position;
	int64_t due_ns; /* when */
	uint64_t passes, checked_bytes, bad_replica, bad_source, healed;
	uint64_t told;	  /* bit set of disks: there is an incident of this pass */
	uint64_t failing; /* of which nothing could be healed the last time */
	int64_t last_pass_us; /* its end, 0: none yet */
};

/* For the steady loop: when the next window is due, and do it. */
int64_t scrub_due_ns(const struct sidecar *sidecar);
void scrub_run(struct sidecar *sidecar);
json_t *scrub_json(const struct sidecar *sidecar); /* for the status; NULL: it is off */

#endif
