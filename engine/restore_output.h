/* SPDX-License-Identifier: Apache-2.0
 *
 * restore_output: where one disk is restored to: whether it may be written at
 * all, and the file OUTPUT.qheal-restore that marks it as not complete yet.
 *
 *   no OUTPUT                       ──▶ NEW
 *   OUTPUT and its state file       ──▶ CONTINUE   an interrupted restore of ours
 *   OUTPUT, --in-place              ──▶ UPDATE
 *   OUTPUT, --force                 ──▶ REPLACE
 *   OUTPUT                          ──▶ refused
 */
#ifndef ENGINE_RESTORE_OUTPUT_H
#define ENGINE_RESTORE_OUTPUT_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "errinfo.h"
#include "file_target.h"
#include "store.h"

#define RESTORE_STATE_SUFFIX ".qheal-restore"

/* When a process is killed, the kernel ends what its io_uring had in flight, and
 * with that its locks, a moment after the process is gone. */
#define RESTORE_LOCK_WAIT_MS 3000
#define RESTORE_LOCK_POLL_MS 20

enum restore_mode {
	RESTORE_NEW,
	RESTORE_CONTINUE,
	RESTORE_UPDATE,
	RESTORE_REPLACE,
};

/* What is asked for, and what it is a restore of. */
struct restore_wish {
	const char *store; /* its directory */
	const struct store_info *info;
	const char *disk;
	uint64_t size;
	uint64_t generation;
	const char *point; /* "latest" or a name */
	bool qcow2, in_place, force;
};

struct restore_output {
	char path[PATH_MAX]; /* or an NBD URI */
	bool nbd;
	bool device;
	bool existed;
	enum restore_mode mode;
	uint64_t allocated; /* bytes that it takes already */
};

/* PATH is whole (or a URI).  Changes nothing. */
int restore_output_check(struct restore_output *output, const char *path,
			 const struct restore_wish *wish, struct errinfo *err);

/* Mark the output as incomplete, before it is made and again behind that; done:
 * its name and content are durable, and the mark is gone.  Nothing for devices and
 * NBD: they have no place for it. */
bool restore_output_marked(const struct restore_output *output); /* it has a mark now */
int restore_output_mark(const struct restore_output *output, const struct restore_wish *wish,
			struct errinfo *err);
/* Its directory: the image's name, or the mark's end (restore_output_forget()). */
int restore_output_flush(const struct restore_output *output, struct errinfo *err);
/* It was not begun: take away what the mark says. */
void restore_output_forget(const struct restore_output *output);

#endif
