/* SPDX-License-Identifier: Apache-2.0 */
#include "nbd_server.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define START_TRIES 1000 /* of 10 ms */

static int socket_at(const char *path, struct sockaddr_un *address)
{
	memset(address, 0, sizeof(*address));
	address->sun_family = AF_UNIX;
	strncpy(address->sun_path, path, sizeof(address->sun_path) - 1);
	return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static bool accepts(const char *path)
{
	struct sockaddr_un address;
	int fd = socket_at(path, &address);
	bool connected = connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0;

	close(fd);
	return connected;
}

static pid_t child_start(void)
{
	pid_t parent = getpid();
	pid_t pid = fork();

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	return 0;
}

pid_t nbd_server_start(const char *path, char *const argv[])
{
	struct timespec pause = {.tv_nsec = 10 * 1000 * 1000};
	pid_t pid = child_start();

	if (!pid) {
		/* They complain about the probe below and about faults on purpose. */
		dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), STDERR_FILENO);
		execvp(argv[0], argv);
		_exit(127);
	}
	for (unsigned i = 0; pid > 0 && i < START_TRIES; i++) {
		if (accepts(path))
			return pid;
		if (waitpid(pid, NULL, WNOHANG) == pid)
			return 0;
		nanosleep(&pause, NULL);
	}
	nbd_server_kill(pid);
	return 0;
}

void nbd_server_kill(pid_t pid)
{
	if (pid <= 0)
		return;
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* --- the fake one: everything below runs in the child --- */

#define OPTION_REPLY 0x3e889045565a9ull
#define STRUCTURED_REPLY 0x668e33efu
#define SIMPLE_REPLY 0x67446698u
#define CHUNK_DONE 1
#define CHUNK_DATA 1
#define CHUNK_STATUS 5
#define CHUNK_ERROR 0x8001

static bool structured; /* negotiated on this connection */

static bool send_all(int fd, const void *data, size_t length)
{
	const char *bytes = data;

	while (length) {
		ssize_t sent = send(fd, bytes, length, MSG_NOSIGNAL);

		if (sent <= 0)
			return false;
		bytes += sent;
		length -= (size_t)sent;
	}
	return true;
}

static bool receive(int fd, void *data, size_t length)
{
	return !length || recv(fd, data, length, MSG_WAITALL) == (ssize_t)length;
}

static bool send_chunk(const struct fake_request *request, uint16_t flags, uint16_t type,
		       const void *head, uint32_t head_length, const void *data, uint32_t length)
{
	struct __attribute__((packed)) {
		uint32_t magic;
		uint16_t flags;
		uint16_t type;
		uint64_t cookie;
		uint32_t length;
	} chunk = {htobe32(STRUCTURED_REPLY), htobe16(flags), htobe16(type), request->cookie,
		   htobe32(head_length + length)};

	return send_all(request->fd, &chunk, sizeof(chunk)) &&
	       send_all(request->fd, head, head_length) && send_all(request->fd, data, length);
}

static bool send_simple(const struct fake_request *request, uint32_t nbd_errno)
{
	struct __attribute__((packed)) {
		uint32_t magic;
		uint32_t error;
		uint64_t cookie;
	} reply = {htobe32(SIMPLE_REPLY), htobe32(nbd_errno), request->cookie};

	return send_all(request->fd, &reply, sizeof(reply));
}

bool fake_data(const struct fake_request *request, const void *data, uint32_t length)
{
	uint64_t offset = htobe64(request->offset);

	if (!structured)
		return send_simple(request, 0) && send_all(request->fd, data, length);
	return send_chunk(request, CHUNK_DONE, CHUNK_DATA, &offset, sizeof(offset), data, length);
}

bool fake_error(const struct fake_request *request, uint32_t nbd_errno)
{
	struct __attribute__((packed)) {
		uint32_t error;
		uint16_t length;
	} head = {htobe32(nbd_errno), 0};

	if (!structured)
		return send_simple(request, nbd_errno);
	return send_chunk(request, CHUNK_DONE, CHUNK_ERROR, &head, sizeof(head), NULL, 0);
}

bool fake_status(const struct fake_request *request, const uint32_t *runs, unsigned count,
		 uint32_t context_id)
{
	uint32_t *wire = calloc(2 * count + 1, sizeof(*wire));
	uint32_t id = htobe32(context_id);
	bool sent;

	for (unsigned i = 0; i < 2 * count; i++)
		wire[i] = htobe32(runs[i]);
	sent = send_chunk(request, CHUNK_DONE, CHUNK_STATUS, &id, sizeof(id), wire,
			  2 * count * (uint32_t)sizeof(*wire));
	free(wire);
	return sent;
}

bool fake_done(const struct fake_request *request)
{
	return send_chunk(request, CHUNK_DONE, 0, NULL, 0, NULL, 0);
}

static bool option_reply(int fd, uint32_t option, uint32_t type, const void *data, uint32_t length)
{
	struct __attribute__((packed)) {
		uint64_t magic;
		uint32_t option;
		uint32_t type;
		uint32_t length;
	} reply = {htobe64(OPTION_REPLY), htobe32(option), htobe32(type), htobe32(length)};

	return send_all(fd, &reply, sizeof(reply)) && send_all(fd, data, length);
}

static bool serve_context(int fd, uint32_t option, const char *context)
{
	struct __attribute__((packed)) {
		uint32_t id;
		char name[64];
	} reply = {.id = htobe32(FAKE_CONTEXT_ID)};

	if (!context)
		return option_reply(fd, option, 1, NULL, 0);
	snprintf(reply.name, sizeof(reply.name), "%s", context);
	return option_reply(fd, option, 4, &reply, (uint32_t)(4 + strlen(reply.name))) &&
	       option_reply(fd, option, 1, NULL, 0);
}

static bool serve_go(int fd, uint32_t option, uint64_t size)
{
	struct __attribute__((packed)) {
		uint16_t type;
		uint64_t size;
		uint16_t flags; /* has flags, read only, DF */
	} info = {0, htobe64(size), htobe16(1 | 2 | 1 << 7)};

	return option_reply(fd, option, 3, &info, sizeof(info)) &&
	       option_reply(fd, option, 1, NULL, 0);
}

static bool serve_options(int fd, const struct fake_nbd *fake)
{
	static const char greeting[] = "NBDMAGICIHAVEOPT\0\3";
	uint32_t client_flags;
	char data[4096];
	struct __attribute__((packed)) {
		uint64_t magic;
		uint32_t option;
		uint32_t length;
	} head;

	if (!send_all(fd, greeting, 18) || !receive(fd, &client_flags, sizeof(client_flags)))
		return false;
	structured = false;
	while (receive(fd, &head, sizeof(head))) {
		uint32_t option = be32toh(head.option);
		uint32_t length = be32toh(head.length);

		if (length > sizeof(data) || !receive(fd, data, length))
			return false;
		if (option == 7)
			return serve_go(fd, option, fake->size);
		if (option == 8) {
			structured = true;
			option_reply(fd, option, 1, NULL, 0);
		} else if (option == 10) {
			serve_context(fd, option, fake->context);
		} else {
			option_reply(fd, option, 0x80000001u, NULL, 0);
		}
	}
	return false;
}

static void serve_connection(int fd, const struct fake_nbd *fake)
{
	struct __attribute__((packed)) {
		uint32_t magic;
		uint16_t flags;
		uint16_t type;
		uint64_t cookie;
		uint64_t offset;
		uint32_t length;
	} wire;

	if (!serve_options(fd, fake))
		return;
	while (receive(fd, &wire, sizeof(wire)) && be16toh(wire.type) != 2) {
		struct fake_request request = {
		    .fd = fd,
		    .flags = be16toh(wire.flags),
		    .type = be16toh(wire.type),
		    .cookie = wire.cookie,
		    .offset = be64toh(wire.offset),
		    .length = be32toh(wire.length),
		};

		if (!fake->serve(&request, fake->arg))
			return;
	}
}

pid_t fake_nbd_start(const char *path, const struct fake_nbd *fake)
{
	struct sockaddr_un address;
	int listener = socket_at(path, &address);
	pid_t pid;

	unlink(path);
	if (bind(listener, (struct sockaddr *)&address, sizeof(address)) || listen(listener, 8)) {
		close(listener);
		return 0;
	}
	pid = child_start();
	if (pid) {
		close(listener);
		return pid;
	}
	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

		if (fd < 0)
			_exit(1);
		serve_connection(fd, fake);
		close(fd);
	}
}
