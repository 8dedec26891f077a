/* SPDX-License-Identifier: Apache-2.0
 *
 * status: what a sidecar is doing, as JSON and for people.
 */
#ifndef ENGINE_STATUS_H
#define ENGINE_STATUS_H

#include <jansson.h>

#include "errinfo.h"
#include "sidecar.h"
#include "store.h"

json_t *status_of_sidecar(const struct sidecar *sidecar);
/* Of a store that no sidecar has open. */
json_t *status_of_store(const struct store_info *info);

/* `qheal status`: ask the sidecar, else look at the store. */
int status_run(const char *store, bool as_json, bool watch);

#endif
