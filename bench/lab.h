/* SPDX-License-Identifier: Apache-2.0
 *
 * lab: what the programs of the test lab tell, as series.  In their JSON each sample is an
 * object with "samples"; its series is named by the way to it: {"lag": {"loads": [{"load":
 * "steady", "lag_ms": {"samples": ...}}]}} is "lag.steady.lag" in ms.  Pure.
 */
#ifndef BENCH_LAB_H
#define BENCH_LAB_H

#include "series.h"

/* 0; -ENOSPC: more than a document holds; -EINVAL: a sample that is no number. */
int lab_take(struct document *document, json_t *report);

#endif
