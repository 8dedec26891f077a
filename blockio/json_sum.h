/* SPDX-License-Identifier: Apache-2.0
 *
 * json_sum: the checksum inside store.json and point.json: a digit that changed is
 * still JSON, and must not give another store or another point in time.
 */
#ifndef BLOCKIO_JSON_SUM_H
#define BLOCKIO_JSON_SUM_H

#include <jansson.h>
#include <stdbool.h>

/* OBJECT gets "sum": 16 hexadecimal digits, the XXH3-64 of it without "sum", keys sorted,
 * no white space.  False without memory. */
bool json_sum_add(json_t *object);

/* Is "sum" there, and right?  It is taken out. */
bool json_sum_take(json_t *object);

#endif
