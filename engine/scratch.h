/* SPDX-License-Identifier: Apache-2.0
 *
 * scratch: where QEMU keeps the old content of blocks that the guest overwrites
 * while a frozen point is being read.  An anonymous memory file a disk, sealed
 * at its size, with an empty qcow2 image in it: when it is full the write into
 * it fails, the snapshot breaks and the guest is untouched.  Handed to QEMU as
 * a descriptor set, so no path and no permission is involved.
 */
#ifndef ENGINE_SCRATCH_H
#define ENGINE_SCRATCH_H

#include <stdint.h>

#include "bounds.h"
#include "errinfo.h"
#include "monitor.h"

struct scratch {
	unsigned count;
	uint64_t limit_bytes; /* of each */
	struct {
		int fd;
		int set; /* QEMU's fdset-id */
		bool handed;
		uint64_t virtual_size;
	} files[BOUND_DISKS];
};

/* One file a disk of SIZES; LIMIT_BYTES in all. */
int scratch_init(struct scratch *scratch, struct monitor *monitor, const uint64_t *sizes,
		 unsigned count, uint64_t limit_bytes, struct errinfo *err);
/* Take the descriptors back from QEMU (MONITOR may be closed) and close ours. */
void scratch_release(struct scratch *scratch, struct monitor *monitor);
/* Descriptor sets of an earlier sidecar that was killed; their number or an errno. */
int scratch_clean(struct monitor *monitor, struct errinfo *err);
/* Give back its memory and make it an empty image again. */
int scratch_reset(struct scratch *scratch, unsigned index, struct errinfo *err);
/* The blockdev-add options of file INDEX as NODE. */
json_t *scratch_options(const struct scratch *scratch, unsigned index, const char *node);

#endif
