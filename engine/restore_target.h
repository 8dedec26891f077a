/* SPDX-License-Identifier: Apache-2.0
 *
 * restore_target: what a disk is restored to is opened, as its output says.
 */
#ifndef ENGINE_RESTORE_TARGET_H
#define ENGINE_RESTORE_TARGET_H

#include "errinfo.h"
#include "loop.h"
#include "restore_run.h"

/* JOB's image is open.  Sets `target` and `compare`; while a server is being connected to a
 * signal ends the process. */
int restore_target_open(struct restore_job *job, struct loop *loop, struct errinfo *err);

#endif
