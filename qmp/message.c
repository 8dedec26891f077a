/* SPDX-License-Identifier: Apache-2.0
 *
 * Parsing by jansson, with one repair: jansson refuses integers above INT64_MAX,
 * and a legitimate reply must not end the connection.
 */
#include "message.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define QUOTE_BYTES 48 /* of the peer's bytes shown in a sentence */
#define DIGITS_MAX 20  /* of UINT64_MAX */

/* The number of digits at DATA. */
static size_t digits_count(const char *data, size_t size)
{
	size_t n = 0;

	while (n < size && data[n] >= '0' && data[n] <= '9')
		n++;
	return n;
}

/* Is what ends before DATA + AT something an integer can follow?  A minus sign, a
 * fraction or an exponent makes it another number. */
static bool integer_begins(const char *data, size_t at)
{
	return at > 0 && strchr(" \t\r\n[:,", data[at - 1]) && data[at - 1];
}

static bool integer_ends(const char *data, size_t size, size_t at)
{
	return at == size || !strchr(".eE", data[at]) || !data[at];
}

static bool integer_is_large(const char *digits, size_t count, uint64_t *value)
{
	char text[DIGITS_MAX + 1];

	if (count < DIGITS_MAX - 1 || count > DIGITS_MAX)
		return false;
	memcpy(text, digits, count);
	text[count] = '\0';
	errno = 0;
	*value = strtoull(text, NULL, 10);
	return !errno && *value > INT64_MAX;
}

/* Copy DATA with every integer above INT64_MAX as the negative one of the same
 * bits, which is at most one byte longer.  Returns the size; OUT has room. */
static size_t message_rewrite(char *out, const char *data, size_t size)
{
	bool in_string = false;
	size_t o = 0;

	for (size_t i = 0; i < size;) {
		size_t count = in_string ? 0 : digits_count(data + i, size - i);
		uint64_t value;

		if (count && integer_begins(data, i) && integer_ends(data, size, i + count) &&
		    integer_is_large(data + i, count, &value)) {
			o += (size_t)sprintf(out + o, "%" PRId64, (int64_t)value);
			i += count;
			continue;
		}
		if (in_string && data[i] == '\\' && i + 1 < size)
			out[o++] = data[i++];
		else if (data[i] == '"')
			in_string = !in_string;
		count = count ? count : 1;
		memcpy(out + o, data + i, count);
		o += count;
		i += count;
	}
	return o;
}

static json_t *message_parse_large(const char *data, size_t size, json_error_t *error, int *status)
{
	/* A large integer has 19 digits at least and gains one byte; one for sprintf. */
	char *copy = malloc(size + size / (DIGITS_MAX - 1) + 2);
	json_t *message;

	if (!copy) {
		*status = -ENOMEM;
		return NULL;
	}
	message = json_loadb(copy, message_rewrite(copy, data, size), 0, error);
	free(copy);
	return message;
}

json_t *qmp_message_parse(const char *data, size_t size, json_error_t *error, int *status)
{
	json_t *message = json_loadb(data, size, 0, error);

	*status = -EPROTO;
	if (!message && error->text[0] && json_error_code(error) == json_error_numeric_overflow)
		message = message_parse_large(data, size, error, status);
	if (message) {
		*status = 0;
		return message;
	}
	/* jansson fails without a word where an allocation failed. */
	if (!error->text[0] || json_error_code(error) == json_error_out_of_memory)
		*status = -ENOMEM;
	return NULL;
}

const char *qmp_message_quote(char *text, const char *data, size_t size)
{
	size_t n = 0, i;

	text[n++] = '"';
	for (i = 0; i < size && i < QUOTE_BYTES && n < QMP_QUOTE_MAX - 12; i++) {
		unsigned char byte = (unsigned char)data[i];

		if (byte == '\r' || byte == '\n' || byte == '\t')
			text[n++] = ' ';
		else if (byte < ' ' || byte > '~')
			n += (size_t)sprintf(text + n, "\\x%02x", byte);
		else
			text[n++] = (char)byte;
	}
	while (n > 1 && text[n - 1] == ' ')
		n--;
	strcpy(text + n, i < size ? "...\"" : "\"");
	return text;
}
