/* SPDX-License-Identifier: Apache-2.0
 *
 * restore_run: what `qheal restore` does: source, outputs, one run of the ring
 * for all disks, and what came of it.
 */
#ifndef ENGINE_RESTORE_RUN_H
#define ENGINE_RESTORE_RUN_H

#include <stdbool.h>

#include "restore.h"
#include "restore_output.h"
#include "restore_source.h"
#include "store.h"

struct restore_order {
	const char *store, *point, *output;
	const char *disks[STORE_DISKS_MAX];
	unsigned disk_count;
	bool all, qcow2, in_place, salvage, force, json;
};

/* One disk of it. */
struct restore_job {
	const struct store_disk *disk;
	struct restore_wish wish;
	struct restore_output output;
	struct image *image;
	struct target *target;
	struct restore *restore;
	uint64_t data_bytes; /* of the image */
	bool compare;
	bool done;
	struct errinfo error;
};

struct restore_result {
	const struct restore_order *order;
	const struct restore_source *source;
	const struct restore_job *jobs;
	unsigned count;
	double seconds;
};

int restore_run(const struct restore_order *order); /* the exit status */

/* restore_tell.c: the result, as JSON or for people. */
void restore_tell(const struct restore_result *result);

#endif
