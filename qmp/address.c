/* SPDX-License-Identifier: Apache-2.0
 *
 * The forms of an address:   PATH   unix:PATH   tcp:HOST:PORT   tcp:[IPV6]:PORT
 *
 * /etc/hosts is read here because getaddrinfo() may ask a name server and block.
 */
#include "address.h"

#include <errno.h>
#include <netdb.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#define HOST_MAX 253 /* of a DNS name */

static int unix_parse(struct qmp_address *address, const char *path, struct errinfo *err)
{
	struct sockaddr_un *sun = (struct sockaddr_un *)&address->socket;
	size_t size = strlen(path);

	if (!size)
		return err_set(err, -EINVAL, "the address of the monitor is empty");
	if (size >= sizeof(sun->sun_path))
		return err_set(err, -ENAMETOOLONG,
			       "%s: a socket's path has at most %zu bytes, this one has %zu; "
			       "use a shorter path or a symbolic link",
			       address->text, sizeof(sun->sun_path) - 1, size);
	sun->sun_family = AF_UNIX;
	memcpy(sun->sun_path, path, size + 1);
	address->size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size + 1);
	return 0;
}

static bool numeric_parse(struct qmp_address *address, const char *host, const char *port)
{
	struct addrinfo hints = {
		.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
		.ai_socktype = SOCK_STREAM,
	};
	struct addrinfo *found;

	if (getaddrinfo(host, port, &hints, &found))
		return false;
	memcpy(&address->socket, found->ai_addr, found->ai_addrlen);
	address->size = found->ai_addrlen;
	freeaddrinfo(found);
	return true;
}

/* Does a line of /etc/hosts name HOST?  Cuts LINE into words; the first is the
 * numeric address. */
static const char *hosts_line_match(char *line, const char *host)
{
	char *save, *number, *name;

	line[strcspn(line, "#\n")] = '\0';
	number = strtok_r(line, " \t", &save);
	if (!number)
		return NULL;
	while ((name = strtok_r(NULL, " \t", &save))) {
		if (!strcasecmp(name, host))
			return number;
	}
	return NULL;
}

static bool hosts_lookup(struct qmp_address *address, const char *host, const char *port)
{
	FILE *file = fopen("/etc/hosts", "re");
	char line[1024];
	bool found = false;

	while (file && !found && fgets(line, sizeof(line), file)) {
		const char *number = hosts_line_match(line, host);

		found = number && numeric_parse(address, number, port);
	}
	if (file)
		fclose(file);
	return found;
}

static bool port_valid(const char *port)
{
	char *end;
	long number = strtol(port, &end, 10);

	return *port >= '0' && *port <= '9' && !*end && number > 0 && number <= 65535;
}

static int tcp_parse(struct qmp_address *address, const char *text, struct errinfo *err)
{
	const char *colon = strrchr(text, ':');
	size_t size = colon ? (size_t)(colon - text) : 0;
	char host[HOST_MAX + 1];

	if (!size || size > HOST_MAX || !port_valid(colon + 1))
		return err_set(err, -EINVAL,
			       "%s is no address: write tcp:HOST:PORT with a port from 1 to 65535",
			       address->text);
	if (size > 2 && text[0] == '[' && colon[-1] == ']') {
		text++;
		size -= 2;
	}
	memcpy(host, text, size);
	host[size] = '\0';
	if (numeric_parse(address, host, colon + 1) || hosts_lookup(address, host, colon + 1))
		return 0;
	return err_set(err, -ENOENT,
		       "%s: the host \"%s\" is neither a number nor in /etc/hosts; "
		       "name servers are not asked",
		       address->text, host);
}

int qmp_address_parse(struct qmp_address *address, const char *text, struct errinfo *err)
{
	memset(address, 0, sizeof(*address));
	snprintf(address->text, sizeof(address->text), "%s", text);
	if (!strncmp(text, "tcp:", 4))
		return tcp_parse(address, text + 4, err);
	if (!strncmp(text, "unix:", 5))
		return unix_parse(address, text + 5, err);
	return unix_parse(address, text, err);
}
