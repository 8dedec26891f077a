/* SPDX-License-Identifier: Apache-2.0 */
#include "outlet.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CLOSE_WAIT_MS 200

int outlet_open(struct outlet *outlet, int fd)
{
	char path[32];
	struct stat status;

	*outlet = (struct outlet){.fd = -1};
	if (fstat(fd, &status))
		return -errno;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (S_ISFIFO(status.st_mode) || S_ISCHR(status.st_mode))
		outlet->fd = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (outlet->fd < 0)
		outlet->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	return outlet->fd < 0 ? -errno : 0;
}

/* Where the descriptor is a shared one: a pipe that is ready takes PIPE_BUF bytes at once. */
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

	/* Whole lines only; and behind those that are missing none before that was told. */
	if (!rc && (outlet->bytes + length > OUTLET_BYTES || (outlet->dropped && outlet->bytes)))
		rc = -ENOBUFS;
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

void outlet_close(struct outlet *outlet)
{
	struct pollfd ready = {.fd = outlet->fd, .events = POLLOUT};

	while (outlet->fd >= 0 && !drain(outlet) && outlet->bytes &&
	       poll(&ready, 1, CLOSE_WAIT_MS) > 0)
		;
	if (outlet->fd >= 0)
		close(outlet->fd);
	free(outlet->text);
	*outlet = (struct outlet){.fd = -1};
}
