/* SPDX-License-Identifier: Apache-2.0 */
#include "cut.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PORT_DEFAULT 10809

struct server {
	char path[108]; /* of a unix socket, or "" */
	char host[64];
	unsigned port;
};

/* %41 as QEMU writes it into a URI. */
static bool decode(const char *from, size_t length, char *to, size_t size)
{
	size_t used = 0;

	for (size_t i = 0; i < length; i++) {
		char hex[3] = "";

		if (used + 1 >= size)
			return false;
		to[used] = from[i];
		if (from[i] == '%' && i + 2 < length && isxdigit((unsigned char)from[i + 1]) &&
		    isxdigit((unsigned char)from[i + 2])) {
			memcpy(hex, from + i + 1, 2);
			to[used] = (char)strtol(hex, NULL, 16);
			i += 2;
		}
		used++;
	}
	to[used] = '\0';
	return used > 0;
}

int cut_parse(const char *file, char path[108], char host[64], unsigned *port)
{
	const char *socket = strstr(file, "socket="), *at, *end;

	path[0] = host[0] = '\0';
	*port = 0;
	if (!strncmp(file, "nbd+unix://", 11) && socket) {
		at = socket + 7;
		return decode(at, strcspn(at, "&"), path, 108) ? 0 : -EINVAL;
	}
	if (strncmp(file, "nbd://", 6))
		return -EINVAL;
	at = file + 6;
	if (*at == '[') {
		end = strchr(++at, ']');
		if (!end || !decode(at, (size_t)(end - at), host, 64))
			return -EINVAL;
		end++;
	} else {
		end = at + strcspn(at, ":/");
		if (!decode(at, (size_t)(end - at), host, 64))
			return -EINVAL;
	}
	*port = *end == ':' ? (unsigned)strtoul(end + 1, NULL, 10) : PORT_DEFAULT;
	return *port && *port < 65536 ? 0 : -EINVAL;
}

static bool is_peer(const struct sockaddr_storage *peer, const struct server *server)
{
	const struct sockaddr_in *four = (const void *)peer;
	const struct sockaddr_in6 *six = (const void *)peer;
	char text[64] = "";

	if (peer->ss_family == AF_UNIX)
		return server->path[0] &&
		       !strcmp(((const struct sockaddr_un *)peer)->sun_path, server->path);
	if (server->path[0])
		return false;
	if (peer->ss_family == AF_INET)
		return ntohs(four->sin_port) == server->port &&
		       inet_ntop(AF_INET, &four->sin_addr, text, sizeof(text)) &&
		       !strcmp(text, server->host);
	return peer->ss_family == AF_INET6 && ntohs(six->sin6_port) == server->port &&
	       inet_ntop(AF_INET6, &six->sin6_addr, text, sizeof(text)) &&
	       !strcmp(text, server->host);
}

/* 1: it was one; 0: it was none. */
static int cut_one(int pidfd, int number, const struct server *server)
{
	struct sockaddr_storage peer = {0};
	socklen_t length = sizeof(peer) - 1; /* a path may fill it without a 0 */
	int fd = pidfd_getfd(pidfd, number, 0), rc = 0;

	if (fd < 0)
		return errno == EBADF ? 0 : -errno;
	if (!getpeername(fd, (struct sockaddr *)&peer, &length) && is_peer(&peer, server))
		rc = shutdown(fd, SHUT_RDWR) ? -errno : 1;
	close(fd);
	return rc;
}

int cut_connection(int pidfd, int pid, const char *file, struct errinfo *err)
{
	struct server server;
	char path[64];
	struct dirent *entry;
	unsigned count = 0;
	int rc = 0;
	DIR *dir;

	if (cut_parse(file, server.path, server.host, &server.port))
		return err_set(err, -EINVAL, "%s names no NBD server that we know", file);
	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	dir = opendir(path);
	if (!dir)
		return err_set(err, -errno, "%s: %s", path, strerror(errno));
	while (rc >= 0 && (entry = readdir(dir))) {
		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		rc = cut_one(pidfd, atoi(entry->d_name), &server);
		count += rc > 0;
	}
	closedir(dir);
	if (rc == -ESRCH && count) /* it was cut, and the process has ended over it */
		rc = 0;
	if (rc < 0)
		return err_set(err, rc, "QEMU's connections cannot be ended from outside: %s",
			       strerror(-rc));
	return count ? 0 : err_set(err, -ENOENT, "QEMU has no connection to %s", file);
}
