/* SPDX-License-Identifier: Apache-2.0
 *
 * sim_disk: ring.h and file.h with all files in memory, linked in place of
 * ring.o, ring_op.o and file.o.  Operations in flight take effect one at a time,
 * in an order drawn from the seed.  What was written but not flushed survives a
 * power cut only as far as the seed says: write by write, sector by sector, and
 * names and sizes likewise.
 *
 * One simulated machine is in use at a time; a test may keep others aside, which
 * is how it looks behind a power cut without losing the run it interrupts.
 */
#ifndef SIM_DISK_H
#define SIM_DISK_H

#include <stdbool.h>
#include <stdint.h>

struct sim;

struct sim *sim_new(uint64_t seed);
void sim_free(struct sim *sim);
struct sim *sim_use(struct sim *sim); /* returns the one used before */

/* The machine as it comes up after the power went now. SIM is as before. */
struct sim *sim_cut(const struct sim *sim, uint64_t seed);

/* STEP(ARG) runs before each operation that changes or flushes something. */
void sim_on_step(struct sim *sim, void (*step)(void *arg), void *arg);
uint64_t sim_steps(const struct sim *sim);
bool sim_busy(const struct sim *sim); /* ring_run() would have something to do */

/* The NTH step from now (1: the next) and COUNT - 1 after it fail with STATUS. */
void sim_fail(struct sim *sim, uint64_t nth, uint64_t count, int status);

/* Flushes of files and directories whose path ends with SUFFIX do nothing, and
 * say that all is well.  NULL: all is honest. */
void sim_lie(struct sim *sim, const char *suffix);

/* There is no room for what is written to files whose path ends with SUFFIX.  NULL: there is. */
void sim_full(struct sim *sim, const char *suffix);

/* Can files share blocks?  At first they cannot. */
void sim_clones(struct sim *sim, bool possible);

uint64_t sim_random(uint64_t *state);

#endif
