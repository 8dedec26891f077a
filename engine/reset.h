/* SPDX-License-Identifier: Apache-2.0
 *
 * reset: the guest's reset button, and how one knows that it was pressed.
 */
#ifndef ENGINE_RESET_H
#define ENGINE_RESET_H

#include <stdbool.h>

#include "errinfo.h"

struct sidecar;

/* Reset the guest, wait until that is done, and let it go on if RESUME. */
int reset_guest(struct sidecar *sidecar, bool resume, struct errinfo *err);
/* The second half of it, for who has something to do between. */
int reset_resume(struct sidecar *sidecar, struct errinfo *err);

#endif
