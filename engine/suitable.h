/* SPDX-License-Identifier: Apache-2.0
 *
 * suitable: whether this QEMU and these disks can be protected, and what to
 * change in the command line if not.
 */
#ifndef ENGINE_SUITABLE_H
#define ENGINE_SUITABLE_H

#include "guest.h"
#include "monitor.h"

/* Version and schema (waits). -ENOTSUP with what is missing. */
int suitable_qemu(struct monitor *monitor, struct errinfo *err);
/* Pure. A disk in an iothread: -ENOTSUP.  QEMU older than 9.0 crashes when its
 * export is closed; 10.0 lost requests of it after some tens of cycles. */
int suitable_iothreads(const struct guest *guest, const struct qmp_version *version,
		       struct errinfo *err);
/* Pure: does the guest see errors of DISK?  Then ADVICE says which option to set. */
bool suitable_policy(const struct guest_disk *disk, char *advice, size_t size);
/* Log what protects less than it could. */
void suitable_warn(const struct guest *guest);

#endif
