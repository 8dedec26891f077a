/* SPDX-License-Identifier: Apache-2.0
 *
 * boot: a QEMU anew, when the old one is gone for certain: by its recorded definition or
 * by the operator's hook.
 *
 *   overlay, flush, promote  the disks are those of the last generation
 *   prepare  the command line gets the images that the disks live on now
 *   start    exec of QEMU, to its monitor's greeting; or the hook, to the same
 *   resume   its guest runs
 *
 * A QEMU that we started and that does not get so far is killed.
 */
#ifndef ENGINE_BOOT_H
#define ENGINE_BOOT_H

#include <stdbool.h>
#include <stdint.h>

#include "errinfo.h"

struct definition;
struct response;
struct sidecar;

#define BOOT_KILL_WAIT_MS 10000 /* to give back much memory takes its time */

/* Overlays of a pivot that QEMU's end cut off: nobody has them open, and above heads that
 * go on they would be garbage that looks like a disk. */
void boot_drop_overlays(const struct sidecar *sidecar);
/* What boot_qemu() would find out only when the old QEMU is gone.  ONTO_REPLICA: its disks go
 * back to the last generation first.  0, or why it cannot be started, in words. */
int boot_check(const struct sidecar *sidecar, const struct definition *definition,
	       bool onto_replica, struct errinfo *err);
/* The same, of what the store has. */
int boot_check_recorded(const struct sidecar *sidecar, bool onto_replica, struct errinfo *err);
/* The overlays of boot_onto_replica(), beforehand: nothing is noted yet.  Not while one of
 * before is there, which the old QEMU may have open.  boot_abandon_replica() takes it back. */
int boot_make_replica(struct response *response, struct errinfo *err);
void boot_abandon_replica(struct response *response);
/* What was written since the last generation cannot be had: all disks go back to that one,
 * each on an overlay above its head; lost are the bytes that the decision's facts have. */
int boot_onto_replica(struct response *response, struct errinfo *err);
/* A command of the operator's, as the step STEP ("hook", "fence") of the response.  MORE:
 * NAME=VALUE for its environment, beside what each of them finds there. */
int boot_run_hook(struct response *response, const char *step, const char *command,
		  int64_t timeout_ms, const char *more, struct errinfo *err);
/* STOPPED: its guest stands still at first, as it did.  0: it is there (`rebirth`). */
int boot_qemu(struct response *response, bool stopped, struct errinfo *err);

#endif
