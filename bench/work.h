/* SPDX-License-Identifier: Apache-2.0
 *
 * work: the folder that a run works in, made below --directory and removed at its end,
 * however it ends; and what makes two tools start alike.
 */
#ifndef BENCH_WORK_H
#define BENCH_WORK_H

#include <limits.h>
#include <stdint.h>

#include "errinfo.h"

struct work {
	char path[PATH_MAX / 2];
};

/* Refuses, with the numbers, when below BASE is less than NEED_BYTES free. */
int work_make(struct work *work, const char *base, uint64_t need_bytes, struct errinfo *err);
void work_remove(struct work *work); /* all that is in it; also when work_make() failed */
void tree_remove(const char *path);  /* does not follow links or cross file systems */

/* PATH of NAME in it; valid until the fourth call after. */
const char *work_path(const struct work *work, const char *name);

/* Nothing of any file below PATH is in the page cache; what is not on the disk yet stays. */
int tree_forget(const char *path, struct errinfo *err);

/* What earlier programs wrote is on the disk, and nothing of PATH (NULL: no file) in
 * the page cache: the next program finds neither help nor hindrance. */
int work_settle(const struct work *work, const char *path, struct errinfo *err);
/* PATH is on stable storage, as everybody's restore has to be. */
int file_flush(const char *path, struct errinfo *err);
/* Other content at the begin of each STEP bytes: 0 or a negative errno. */
int file_differ(const char *path, uint64_t step, struct errinfo *err);

#endif
