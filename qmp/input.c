/* SPDX-License-Identifier: Apache-2.0
 *
 * The receive buffer of input.h.
 *
 *   data: | consumed | start ... scanned | ... end | free ... capacity |
 *                      one message so far, not looked at
 */
#include "input.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "qmp.h"

#define ROOM_BYTES 4096u	/* asked of one recv(): most replies are far smaller */
#define KEEP_BYTES (64u << 10)	/* kept between messages; a schema's 0.2 MB are given back */
#define SKIP_BYTES (256u << 20) /* before a sentinel: an agent's longest reply has some 64 MB */

void qmp_input_init(struct qmp_input *input, bool sentinels)
{
	*input = (struct qmp_input){0};
	qmp_framer_init(&input->framer, sentinels);
}

void qmp_input_release(struct qmp_input *input)
{
	free(input->data);
	input->data = NULL;
	input->capacity = input->start = input->scanned = input->end = 0;
}

void qmp_input_skip(struct qmp_input *input)
{
	input->skipping = true;
	input->skipped_bytes = 0;
}

/* Everything consumed: start over at the front, and give back a large buffer. */
static void input_rewind(struct qmp_input *input)
{
	if (input->capacity > KEEP_BYTES)
		qmp_input_release(input);
	input->start = input->scanned = input->end = 0;
}

static void input_compact(struct qmp_input *input)
{
	size_t size = input->end - input->start;

	if (!input->start)
		return;
	memmove(input->data, input->data + input->start, size);
	input->scanned -= input->start;
	input->end = size;
	input->start = 0;
}

static int input_reserve(struct qmp_input *input)
{
	size_t capacity;
	char *data;

	if (input->capacity - input->end >= ROOM_BYTES)
		return 0;
	input_compact(input);
	if (input->capacity - input->end >= ROOM_BYTES)
		return 0;
	/* The framer stops at QMP_MESSAGE_MAX, so this ends at twice that. */
	capacity = input->capacity ? input->capacity * 2 : 2 * ROOM_BYTES;
	data = realloc(input->data, capacity);
	if (!data)
		return -ENOMEM;
	input->data = data;
	input->capacity = capacity;
	return 0;
}

int qmp_input_receive(struct qmp_input *input, int fd)
{
	ssize_t size;
	int status = input_reserve(input);

	if (status)
		return status;
	do {
		size = recv(fd, input->data + input->end, input->capacity - input->end,
			    MSG_DONTWAIT);
	} while (size < 0 && errno == EINTR);
	if (size < 0)
		return errno == EWOULDBLOCK ? -EAGAIN : -errno;
	input->end += (size_t)size;
	return (int)size;
}

/* Returns false when there is no sentinel in what was received so far. */
static bool input_skip_to_sentinel(struct qmp_input *input)
{
	const char *found;
	size_t size = input->end - input->start;

	if (!size)
		return false;
	found = memchr(input->data + input->start, QMP_SENTINEL, size);
	if (found) {
		input->start = (size_t)(found + 1 - input->data);
		input->skipping = false;
	} else {
		input->skipped_bytes += size;
		input->start = input->end;
	}
	input->scanned = input->start;
	qmp_framer_init(&input->framer, true);
	return found;
}

static enum qmp_frame input_scan(struct qmp_input *input, const char **data, size_t *size)
{
	size_t used;
	enum qmp_frame frame = qmp_framer_scan(&input->framer, input->data + input->scanned,
					       input->end - input->scanned, &used);

	input->scanned += used;
	if (frame == QMP_FRAME_MESSAGE) {
		*data = input->data + input->start;
		*size = input->scanned - input->start;
	}
	if (frame == QMP_FRAME_MESSAGE || frame == QMP_FRAME_SENTINEL)
		input->start = input->scanned;
	return frame;
}

enum qmp_frame qmp_input_next(struct qmp_input *input, const char **data, size_t *size)
{
	enum qmp_frame frame = QMP_FRAME_MORE;

	if (input->skipping && !input_skip_to_sentinel(input)) {
		input_rewind(input);
		return input->skipped_bytes > SKIP_BYTES ? QMP_FRAME_LONG : QMP_FRAME_MORE;
	}
	if (input->data) {
		do {
			frame = input_scan(input, data, size);
		} while (frame == QMP_FRAME_SENTINEL);
	}
	/* White space between messages must not fill the buffer. */
	if (frame == QMP_FRAME_MORE && !input->framer.depth)
		input_rewind(input);
	if (frame > QMP_FRAME_SENTINEL)
		*size = qmp_input_rest(input, data);
	return frame;
}

size_t qmp_input_rest(const struct qmp_input *input, const char **data)
{
	*data = input->data ? input->data + input->start : "";
	return input->end - input->start;
}
