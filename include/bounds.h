/* SPDX-License-Identifier: Apache-2.0
 *
 * Every bound of the daemon and its reason, in one place.
 */
#ifndef BOUNDS_H
#define BOUNDS_H

#define BOUND_INTERVAL_MIN_MS 50	/* two pauses and a commit take some 20 ms */
#define BOUND_INTERVAL_MAX_MS 3600000	/* an hour; longer is a backup, not a replica */
#define BOUND_POOL_BYTES (12u << 20)	/* resident memory of the data path; 32 MiB in all */
#define BOUND_BUFFER_BYTES (256u << 10) /* one NBD read: the fastest size measured by nbdcopy */
#define BOUND_RING_ENTRIES 256		/* 48 buffers, reads and writes, sockets and timers */
#define BOUND_DISKS 32			/* as many bitmaps are exported in one go; PCI slots run out first */
#define BOUND_VM_NAME 255 /* bytes of a guest's name: as long as a file's */
#define BOUND_LISTEN 64 /* NBD connections not yet accepted: one a disk and probes */
#define BOUND_TMP_BYTES (UINT64_C(1) << 30) /* what a frozen point may cost QEMU in memory, all disks */
#define BOUND_SCRATCH_MIN_MIB 16  /* below that the metadata of 32 images would not fit */
#define BOUND_SCRATCH_MAX_MIB 65536
#define BOUND_AGENT_SYNC_MS 5000  /* an agent that is idle answers in milliseconds */
#define BOUND_QUIESCE_MS 10000	  /* frozen in all; Windows lets nobody freeze for longer */
#define BOUND_THAW_MS 5000	  /* to wait for its answer; it counts later, too */
#define BOUND_THAW_LATE_MS 60000  /* an agent stuck in its freeze answers when that is over */

#endif
