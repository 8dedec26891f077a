/* SPDX-License-Identifier: Apache-2.0
 *
 * sense: everything the sidecar watches, kept as the facts that detect.h judges.
 *
 *   events     of the monitor, as they come
 *   questions  asked in the background, once a tick: an answer is a fact, and so is
 *              none; the flow of control never waits for them
 *   disks      sense_disks.h, sense_probe.h
 *   the rest   sense_host.h, sense_agent.h
 *   process    a pidfd: the end of QEMU, whatever its monitor says
 *
 * Only facts are noted here, and judged.  A fault that is new is reported at once, as
 * the event `fault`, and waits until the flow attends to it (respond.h).  What is
 * attended to comes back only after it was gone.  Disks whose errors pause the
 * guest have a way of their own: watch.c, recover.c.
 */
#ifndef ENGINE_SENSE_H
#define ENGINE_SENSE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "detect.h"
#include "ring.h"
#include "sense_agent.h"
#include "sense_disks.h"
#include "sense_host.h"
#include "sense_probe.h"

#define SENSE_TICK_MS 1000

struct sidecar;

struct sense_fault { /* one that is there now */
	struct detect_fault fault;
	int64_t time_us, since_ns; /* when it was seen first */
	bool attended;
};

struct sense {
	struct sidecar *sidecar;
	struct detect_facts facts;
	struct sense_fault faults[DETECT_FAULTS_MAX];
	unsigned fault_count;
	int64_t tick_ns; /* the last */
	pid_t pid; /* of QEMU, 0: not known (TCP) */
	int pidfd; /* -1: none */
	struct sense_disks disks;
	struct sense_probe probe;
	struct sense_host host;
	struct sense_agent agent;
	struct ring_op pid_op, tick_op;
	uint64_t store_ended; /* operations on the store's files, at the last tick */
	int64_t event_us; /* of the event that is being judged, 0: none */
	bool asking; /* a question of ours waits for its answer, or for the end of its time */
	bool started;
	bool stopped_again; /* the guest stands by a stop of ours, in place of QEMU's for a fault */
};

/* After the attach.  Never fails: what cannot be watched is not. */
void sense_start(struct sidecar *sidecar);
/* The monitor is about to close; the facts stay. */
void sense_stop(struct sidecar *sidecar);

/* From the event handler; TIME_US: when QEMU says that it was. */
void sense_event(struct sidecar *sidecar, const char *name, const json_t *data, int64_t time_us);
/* Behind a freeze or a thaw: did a pause of ours meet one for a fault of the guest? */
void sense_pause_met(struct sidecar *sidecar);
/* sense_store.c: once a tick.  True for its fault: attended to, as far as can be. */
void sense_store_tick(struct sidecar *sidecar);
bool sense_store_hung(struct sidecar *sidecar, const struct detect_fault *fault);
/* The facts changed: judge them. */
void sense_judge(struct sidecar *sidecar);
/* What was dealt with is no fact any more: KIND of the guest, or a NIC. */
void sense_forget(struct sidecar *sidecar, enum fault_kind kind);

/* It struck again: what was attended to is news. */
void sense_renew(struct sidecar *sidecar, enum fault_kind kind, int index);

/* The most urgent fault that nobody has attended to, NULL for none. */
const struct sense_fault *sense_next(const struct sidecar *sidecar);
void sense_attended(struct sidecar *sidecar, const struct detect_fault *fault);
/* Something changed for one that was held: it is attended to once more. */
void sense_again(struct sidecar *sidecar, const struct detect_fault *fault);
/* Asks QEMU how it is, if no question is under way. */
void sense_ask(struct sidecar *sidecar);
/* QEMU has not answered for long, and still does not. */
bool sense_hung(const struct sidecar *sidecar);
bool sense_has(const struct sidecar *sidecar, const struct detect_fault *fault);
/* What the errors of a disk of the guest, which stands still, come from. */
enum detect_cause sense_cause(struct sidecar *sidecar, int disk);
/* The thing that fails, by its name. */
const char *sense_resource(const struct sidecar *sidecar, const struct detect_fault *fault);

#endif
