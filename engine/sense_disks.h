/* SPDX-License-Identifier: Apache-2.0
 *
 * sense_disks: what QEMU tells of its disks while nothing is wrong yet, as facts for
 * detect.h.  A part of sense.h.
 *
 *   query-blockstats   four times a second while a disk is at work, else once: rates,
 *                      latencies (drift.h), when a request ended last
 *   queues             of a virtio-blk disk on which none ended for half a second: whether
 *                      requests wait there, one question at a time
 *   BLOCK_IO_ERROR, BLOCK_WRITE_THRESHOLD    noted as they come
 *
 * At most two questions are under way: behind eight that QEMU has not taken up, it
 * would not read one out of band.  A disk that was exchanged begins anew.
 */
#ifndef ENGINE_SENSE_DISKS_H
#define ENGINE_SENSE_DISKS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "bounds.h"
#include "drift.h"
#include "ring.h"

#define SENSE_DISKS_BUSY_MS 250 /* as the recordings that drift.h was tried on */
#define SENSE_DISKS_IDLE_MS 1000
#define SENSE_QUEUES_MAX 64	/* of one disk that are looked at; more have waiting requests, too */

struct sidecar;

struct sense_disk {
	char node[64];	    /* that the figures are of */
	char connection[64]; /* node of the NBD connection below it, "" for none */
	char below[64];	    /* node below the root, "" for none known */
	struct drift drifts[DRIFT_SIZES];
	uint64_t ended;	    /* requests, well or not, at the last sample */
	int64_t ended_ns;   /* one did after that time; 0: never seen */
	uint64_t writes;
	int64_t wrote_ns;   /* the same, of writes */
	int64_t quiet_ns;   /* since when none ended; 0: one just did */
	bool no_queues;	    /* cannot be asked */
	unsigned queues;    /* 0: not known yet */
	unsigned next_queue, waiting; /* of the round of questions that is under way */
	int64_t round_ns;   /* when the last began */
	double latency_us;  /* of the last sample with requests */
	double depth;	    /* requests under way at a time, on average over that sample */
};

struct sense_disks {
	struct sidecar *sidecar;
	struct ring_op tick_op;
	struct sense_disk disks[BOUND_DISKS];
	int64_t sent_ns;       /* of query-blockstats under way, 0: none */
	int64_t round_trip_ns; /* of the last */
	char given_up[64];     /* node of a connection that is (unhang.h) */
	char given_up_file[256];
	int64_t giving_up_ns;  /* until then */
	bool again;	       /* not for the first time */
	bool unable;	       /* that one cannot be */
	unsigned asked;	       /* disk whose queue is asked */
	bool asking, started;
};

void sense_disks_start(struct sidecar *sidecar);
void sense_disks_stop(struct sidecar *sidecar);
/* A request of the guest ended, on any disk, after SINCE_NS (more than 0): it is at
 * work. */
bool sense_disks_at_work(const struct sidecar *sidecar, int64_t since_ns);
bool sense_disks_wrote(const struct sidecar *sidecar, int64_t since_ns);
/* From sense_event(). True when a fact changed. */
bool sense_disks_event(struct sidecar *sidecar, const char *name, const json_t *data);

#endif
