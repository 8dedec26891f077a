/* SPDX-License-Identifier: Apache-2.0 */
#include "outlet.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A pipe that is ready takes PIPE_BUF bytes without waiting: the descriptor may be somebody
 * else's standard output too, so it is not made non-blocking. */
static int write_ready(int fd, const char *text, size_t length, size_t *written)
{
	struct pollfd ready = {.fd = fd, .events = POLLOUT};

	*written = 0;
	while (*written < length && poll(&ready, 1, 0) > 0) {
		size_t left = length - *written;
		ssize_t n = write(fd, text + *written, left < PIPE_BUF ? left : PIPE_BUF);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return 0;
		if (n < 0)
			return -errno;
		*written += (size_t)n;
	}
	return 0;
}

static int drain(struct outlet *outlet)
{
	size_t written = 0;
	int rc = outlet->bytes ? write_ready(outlet->fd, outlet->text, outlet->bytes, &written) : 0;

	outlet->bytes -= written;
	if (written && outlet->bytes)
		memmove(outlet->text, outlet->text + written, outlet->bytes);
	return rc;
}

static int keep(struct outlet *outlet, const char *text, size_t length)
{
	if (!outlet->text)
		outlet->text = malloc(OUTLET_BYTES);
	if (!outlet->text)
		return -ENOBUFS;
	memcpy(outlet->text + outlet->bytes, text, length);
	outlet->bytes += length;
	return 0;
}

int outlet_put(struct outlet *outlet, const char *line, size_t length)
{
	size_t written = 0;
	int rc = drain(outlet);

	if (!rc && outlet->bytes + length > OUTLET_BYTES)
		rc = -ENOBUFS; /* whole lines only */
	if (!rc && !outlet->bytes)
		rc = write_ready(outlet->fd, line, length, &written);
	if (!rc && written < length)
		rc = keep(outlet, line + written, length - written);
	outlet->dropped += rc == -ENOBUFS;
	return rc;
}

unsigned outlet_dropped(struct outlet *outlet)
{
	unsigned dropped = 0;

	if (outlet->dropped && !drain(outlet) && !outlet->bytes) {
		dropped = outlet->dropped;
		outlet->dropped = 0;
	}
	return dropped;
}

void outlet_release(struct outlet *outlet)
{
	drain(outlet);
	free(outlet->text);
	outlet->text = NULL;
	outlet->bytes = 0;
}
