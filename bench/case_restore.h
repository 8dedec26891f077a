/* SPDX-License-Identifier: Apache-2.0
 *
 * case_restore: what the two halves of the case share: disks that any tool can read
 * (case_restore.c) and one point of many (case_point.c).
 */
#ifndef BENCH_CASE_RESTORE_H
#define BENCH_CASE_RESTORE_H

#include "bench.h"

#define RESTORE_ROUNDS 4

struct variant {
	const char *name;
	unsigned percent; /* of the disk that is data */
	bool in_place;	  /* the target is there, and differs in few blocks */
};

/* Runs ARGV and flushes TO within the time. */
int restore_timed(const char *const *argv, const char *to, struct child_usage *usage,
		  struct errinfo *err);
/* Time, rate, processor and memory of TOOL; BESIDE: the tool of the same rounds that it
 * is compared with, or NULL. */
void restore_note(struct bench *bench, const struct variant *variant, const char *tool,
		  const char *beside, const struct child_usage *usage);
/* fio, copying FROM (in place: only reading it). */
int restore_limit(struct bench *bench, const struct variant *variant, const char *from,
		  struct errinfo *err);

int restore_point(struct bench *bench, struct errinfo *err);

#endif
