/* SPDX-License-Identifier: Apache-2.0
 *
 * rollback_record: promoted/rollback.json: where the guest's disks are since the
 * last roll back, or on which way they are.  Replaced as a whole, durable.
 *
 *   {"format":1,"done":BOOL,"point":NAME,"id":N,"generation":N,"before":NAME,
 *    "resume":BOOL,"time_us":N,"disks":[{"disk","file","node","old"}],
 *    "dir":PATH,"lost_bytes":N,"exchanged":true (all are, and the guest may have run on them),
 *    "previous":RECORD of the roll back before, as long as this one is not done}
 *
 * Files are names below promoted/, or of a restore in the spare directory "dir": that
 * one keeps "previous", too, whose images have what the guest wrote last.  All files that a record names may hold what a
 * guest wrote last, and stay.
 */
#ifndef ENGINE_ROLLBACK_RECORD_H
#define ENGINE_ROLLBACK_RECORD_H

#include <jansson.h>
#include <limits.h>
#include <stdbool.h>

#include "promote.h"

#define ROLLBACK_FILE "rollback-" /* how the images' names begin */

struct rollback_note {
	const struct point_info *point;
	const char *before;
	bool resume; /* the guest ran, and is to run again */
	int64_t time_us;
	const char *dir; /* a restore: where the images are; "": below promoted/ */
	uint64_t lost_bytes;
};

/* -ENOENT: there is none; -EUCLEAN: it is damaged.  A new reference. */
int rollback_record_read(const struct sidecar *sidecar, json_t **record, struct errinfo *err);
/* Before anything is done to the guest. */
int rollback_record_begin(const struct sidecar *sidecar, const struct rollback_note *note,
			  const struct promotion *promotions, unsigned count, struct errinfo *err);
/* Before the guest runs on its images: they are what it has, whatever comes. */
int rollback_record_exchanged(const struct sidecar *sidecar, struct errinfo *err);
int rollback_record_done(const struct sidecar *sidecar, struct errinfo *err);
/* The same where the store may have failed: tried again later, as long as `rollback_open`.  A
 * start that finds none of it done would reset the guest once more. */
void rollback_note_end(struct sidecar *sidecar);
/* It was taken back: that of before, or none. */
int rollback_record_undo(const struct sidecar *sidecar, struct errinfo *err);
/* DIR "": promoted/. */
void rollback_path(const struct sidecar *sidecar, const char *dir, const char *file,
		   char path[PATH_MAX]);
/* Remove nodes and images of roll backs that no disk uses and no record names. */
void rollback_clean(struct sidecar *sidecar);

#endif
