/* SPDX-License-Identifier: Apache-2.0
 *
 * statefile: small texts in the store, replaced as a whole.  Blocking; some
 * milliseconds, so never while the guest waits.
 */
#ifndef ENGINE_STATEFILE_H
#define ENGINE_STATEFILE_H

#include <stddef.h>

#include "errinfo.h"

/* *TEXT is malloc()ed and has a 0 behind its *LENGTH bytes.  -ENOENT; -EFBIG: more
 * than MAX bytes; -EUCLEAN: no plain file. */
int statefile_read(const char *path, size_t max, char **text, size_t *length,
		   struct errinfo *err);

/* DIR/NAME, durable when 0; on failure it is as before, or replaced. */
int statefile_replace(const char *dir, const char *name, const char *text, struct errinfo *err);

#endif
