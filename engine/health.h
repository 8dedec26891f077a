/* SPDX-License-Identifier: Apache-2.0
 *
 * health: what the sidecar watches, for `status`:
 *
 *   {"run", "faults": [{"kind", "cause", "resource", "detail", "warning", "since"}],
 *    "qemu": {"pid", "cpu_percent", "resident", "answer_ms", "waiting_ms"},
 *    "host": {"memory_pressure_percent", "cpu_pressure_percent", "corrected_errors", "balloon"},
 *    "agent": {"state", "answered_s"},
 *    "disks": [{"name", "latency_ms", "usual_ms", "ratio", "slower", "depth", "waiting",
 *               "quiet_s", "errors", "probe", "probe_ms", "room", "room_total"}],
 *    "store": {"room", "room_total", "need"}}
 *
 * What is not known is left out.  Sizes are bytes; "since" is a time of day.
 */
#ifndef ENGINE_HEALTH_H
#define ENGINE_HEALTH_H

#include <jansson.h>

struct sidecar;

/* Asks nobody. */
json_t *health_json(const struct sidecar *sidecar);

#endif
