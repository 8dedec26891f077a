/* SPDX-License-Identifier: Apache-2.0
 *
 * damage: the blocks of the heads that the scrub found bad and nobody has mended.  Where
 * a disk fails, its guest must not be put above them.  Before that is decided they are
 * looked at once more: the next generation may have brought them anew.
 *
 * STORE/damage.json has them for the next sidecar, which may have to decide before its
 * scrub has been there: {"format":1,"more":BOOL,"blocks":[["DISK",BLOCK],...]}
 */
#ifndef ENGINE_DAMAGE_H
#define ENGINE_DAMAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "errinfo.h"

#define DAMAGE_MAX 256 /* more is no bad sector but a bad disk: none is trusted then */

struct sidecar;
struct store_spec;
struct transfer;

struct damage {
	unsigned count;
	struct {
		unsigned disk;
		uint64_t block;
	} blocks[DAMAGE_MAX];
	bool more;	/* than could be listed */
	bool pass_more; /* the same, in this pass of the scrub */
	bool loaded, changed;
};

/* What a window of the scrub found: first everything in it is good, ... */
void damage_clear(struct damage *damage, unsigned disk, uint64_t block, uint64_t count);
/* ... but this. */
void damage_note(struct damage *damage, unsigned disk, uint64_t block);
/* The scrub has seen all heads. */
void damage_pass_ends(struct damage *damage);

/* The file, once; and to it, what has changed.  Blocking, seldom; a failure is told. */
void damage_load(struct sidecar *sidecar);
/* The same of a store that is not open. */
void damage_read(struct damage *damage, const char *store, const struct store_spec *spec);
void damage_save(struct sidecar *sidecar);

/* Nothing in the heads of MEMBERS is known to be bad.  MENDABLE: what is listed does not
 * count, as damage_mend() can fetch it. */
bool damage_none(const struct damage *damage, uint64_t members, bool mendable);

/* Settles the store and looks at the listed blocks again; what cannot be looked at stays. */
void damage_look(struct sidecar *sidecar);
/* After the TRANSFER of what is dirty: the listed blocks of the same disks as the frozen
 * disks have them, but for what was dirty.  -EUCLEAN: more are bad than are listed. */
int damage_mend(struct sidecar *sidecar, struct transfer *transfer, struct errinfo *err);

#endif
