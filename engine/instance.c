/* SPDX-License-Identifier: Apache-2.0 */
#include "instance.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int instance_claim(int monitor_fd, struct errinfo *err)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct ucred peer;
	socklen_t length = sizeof(peer);
	int fd, n;

	if (getsockopt(monitor_fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) || peer.pid <= 0)
		return -1;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	n = snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1, "qheal-instance-%d",
		     (int)peer.pid);
	length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
	if (bind(fd, (struct sockaddr *)&address, length)) {
		int code = errno;

		close(fd);
		if (code == EADDRINUSE)
			return err_set(err, -EBUSY, "QEMU process %d has a sidecar already: end that "
				       "one first", (int)peer.pid);
		return -1;
	}
	return fd;
}
