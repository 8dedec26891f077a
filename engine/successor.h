/* SPDX-License-Identifier: Apache-2.0
 *
 * successor: the replica in the spare directory, SPARE/replica, that takes the store's
 * place when the store's own disk fails, or stays full.  The guest is not touched.
 *
 *   the store fails   again and again, and for a while: what works by itself again is waited for
 *   claim             SPARE/replica/origin says whose successor it is, durably and before
 *                     anything else is in that directory
 *   make              it becomes a store, empty; told by the event `relocated`
 *   anew              the sidecar's story begins again with it (rebirth): attach, first copy
 *   mark              it has a generation: STORE/left, a link, names it, if that can be made
 *
 * Nobody removes the store that was left, or changes more in it than that mark.
 *
 * A start with the same command line goes on with the successor when the guest runs on an
 * image in it, or when the store says that it was left, is not there, or cannot be opened;
 * else with the store.  So of a sidecar that is killed in
 *
 *   claim    nothing is left but a directory of another name, which is used next time
 *   make     the store goes on, if it works; else the successor, which is made then
 *   anew     the store goes on, if it works: its replica is the better one; else the
 *            successor, with its first copy
 *   mark     the same; a store that works again is compared by checksum
 *
 * A successor that another store, or a store of another guest, has claimed is never touched.
 */
#ifndef ENGINE_SUCCESSOR_H
#define ENGINE_SUCCESSOR_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "config.h"
#include "errinfo.h"

struct sidecar;

/* The attempts to write the store that failed in a row. */
struct successor {
	unsigned failures;
	int64_t since_ns; /* the first of them */
	bool told;	  /* why nothing can be done about it */
	bool marked;	  /* the store that was left says so, or cannot */
};

/* What stands for and against leaving the store. */
struct successor_facts {
	bool spare;  /* there is one */
	bool moved;  /* the store is a successor already */
	bool inside; /* the guest runs on an image in the store */
	bool leased; /* a standby watches the store, and would not know of the other one */
	bool same_disk, taken; /* the spare: is on the store's file system; another's is there */
	uint64_t room_bytes, need_bytes;
};

/* Pure.  The store's own ERROR (an errno) has lasted: it will not work again by itself. */
bool successor_due(const struct successor *successor, int error, int64_t now_ns);
/* Pure.  NULL: the store can be left; else what stands against it, a literal. */
const char *successor_lacks(const struct successor_facts *facts);

/* SPARE/replica into CONFIG, if there is a spare. */
void successor_name(struct config *config);

/* At a start, with the guest known and the store not open yet: true when the successor
 * takes its place; the story begins anew then. */
bool successor_goes_first(struct sidecar *sidecar);
/* The same when the store could not be opened: STATUS, WHY. */
bool successor_steps_in(struct sidecar *sidecar, int status, const char *why);

/* An attempt at a generation ended with RC.  When the store has failed for long enough
 * it is left: the story begins anew. */
void successor_attend(struct sidecar *sidecar, int rc);
/* There is a generation: note which store has it. */
void successor_mark(struct sidecar *sidecar);

/* What would be done about a store that fails, for `plan` and incidents: a literal. */
const char *successor_outlook(const struct sidecar *sidecar);
/* TO: what the store in DIR was left for.  False: it was not. */
bool successor_left(const char *dir, char to[PATH_MAX]);
/* For who reads the latest generation of DIR: it is not the guest's latest, if DIR was left. */
void successor_warn(const char *dir);

#endif
