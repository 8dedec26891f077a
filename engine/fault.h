/* SPDX-License-Identifier: Apache-2.0
 *
 * fault: what an event of QEMU means.  Pure: facts in, verdict out.
 */
#ifndef ENGINE_FAULT_H
#define ENGINE_FAULT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "guest.h"

enum fault_kind {
	FAULT_NONE,
	FAULT_DISK_WRITE,
	FAULT_DISK_READ,
	FAULT_DISK_FULL,
	FAULT_REPLICA,
	FAULT_QEMU_EXIT,
	FAULT_DISK_HANG,
	FAULT_DISK_CORRUPT,
	FAULT_DISK_DEGRADING,
	FAULT_QEMU_HANG,
	FAULT_GUEST_PANIC,
	FAULT_GUEST_WATCHDOG,
	FAULT_GUEST_SILENT,
	FAULT_MEMORY,
	FAULT_NIC,
	FAULT_HOST,
	FAULT_KINDS,
};

struct fault {
	enum fault_kind kind;
	int disk;	  /* index in the guest, -1 when none */
	int64_t time_us;  /* QEMU's stamp of the first event */
	bool stops_guest; /* action=stop: QEMU pauses the guest */
	bool unnamed;	  /* known by the stop alone, as QEMU held the event back (9.2) */
	char detail[160];
};

const char *fault_name(enum fault_kind kind); /* as in the contract */
/* FAULT_NONE: no such name. */
enum fault_kind fault_by_name(const char *name);
bool fault_of_guest(enum fault_kind kind); /* of what runs in it */

/* BLOCK_IO_ERROR.  Devices are told by qom-path (9.2), by device, or by the root
 * node, which may be our own filter.  FAULT_NONE: not one of the guest's disks, or
 * QEMU ignores the error. */
struct fault fault_of_block_error(const struct guest *guest, const json_t *data, int64_t time_us);

#endif
