/* SPDX-License-Identifier: Apache-2.0
 *
 * nbd_server: NBD servers for tests, each a child process on a unix socket that
 * dies with the test.  Real ones (nbdkit, qemu-nbd) are started by their command
 * line; a fake one speaks the handshake correctly and then does to each request
 * what the test says.
 */
#ifndef NBD_SERVER_H
#define NBD_SERVER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Run ARGV (NULL terminated) and wait until something accepts at PATH. 0: no luck. */
pid_t nbd_server_start(const char *path, char *const argv[]);
void nbd_server_kill(pid_t pid); /* SIGKILL, and reap it */

struct fake_request {
	int fd;
	uint16_t flags;
	uint16_t type; /* 0 read, 7 block status */
	uint64_t cookie;
	uint64_t offset;
	uint32_t length;
};

struct fake_nbd {
	uint64_t size;
	const char *context; /* offered, NULL: none */
	/* Answer a request; false: hang up.  Runs in the child: what it changes,
	 * the test does not see. */
	bool (*serve)(const struct fake_request *request, void *arg);
	void *arg;
};

pid_t fake_nbd_start(const char *path, const struct fake_nbd *fake); /* one connection a time */

/* Replies; false when the client is gone. */
bool fake_data(const struct fake_request *request, const void *data, uint32_t length);
bool fake_error(const struct fake_request *request, uint32_t nbd_errno);
/* RUNS as on the wire, but in host order: COUNT pairs of length and flags. */
bool fake_status(const struct fake_request *request, const uint32_t *runs, unsigned count,
		 uint32_t context_id);
bool fake_done(const struct fake_request *request); /* success without content */
#define FAKE_CONTEXT_ID 7

#endif
