/* SPDX-License-Identifier: Apache-2.0
 *
 * input: what was received and not yet understood, cut into messages.  The
 * buffer grows to the longest message that is allowed and shrinks after it.
 */
#ifndef QMP_INPUT_H
#define QMP_INPUT_H

#include <stdbool.h>
#include <stdint.h>

#include "framer.h"

struct qmp_input {
	struct qmp_framer framer;
	char *data;
	size_t capacity;
	size_t start;	/* of the message that is being collected */
	size_t scanned; /* seen by the framer */
	size_t end;
	bool skipping; /* until a sentinel: what an earlier client of the agent left */
	uint64_t skipped_bytes;
};

void qmp_input_init(struct qmp_input *input, bool sentinels);
void qmp_input_release(struct qmp_input *input);

/* Drop everything up to the next sentinel. */
void qmp_input_skip(struct qmp_input *input);

/* One recv().  Returns the bytes received, 0 at the end of the stream, or a
 * negative errno: -EAGAIN, -ENOMEM, -ECONNRESET ... */
int qmp_input_receive(struct qmp_input *input, int fd);

/* The next whole message, borrowed until the next call on INPUT.  With JUNK,
 * DEEP and LONG: all that is there, for the sentence. */
enum qmp_frame qmp_input_next(struct qmp_input *input, const char **data, size_t *size);

/* What is there of an unfinished message. */
size_t qmp_input_rest(const struct qmp_input *input, const char **data);

#endif
