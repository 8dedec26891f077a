/* SPDX-License-Identifier: Apache-2.0
 *
 * message: the bytes of one message to a JSON value, and bytes to a quotation
 * for a sentence.
 */
#ifndef QMP_MESSAGE_H
#define QMP_MESSAGE_H

#include <jansson.h>

#define QMP_QUOTE_MAX 128

/* A new reference, or NULL and *STATUS (-EPROTO and the words in ERROR, -ENOMEM;
 * jansson cannot tell all failed allocations from bad syntax).  QEMU sends
 * unsigned 64-bit numbers that a json_t does not hold; they come as the negative
 * number of the same bits, so that (uint64_t)json_integer_value() is right. */
json_t *qmp_message_parse(const char *data, size_t size, json_error_t *error, int *status);

/* The beginning of DATA in quotes, in printable ASCII, with dots where it was
 * cut.  TEXT has QMP_QUOTE_MAX bytes; returned. */
const char *qmp_message_quote(char *text, const char *data, size_t size);

#endif
