/* SPDX-License-Identifier: Apache-2.0
 *
 * fake_qemu: the other end of a monitor, in the same thread and ring as the
 * engine's, so that a test knows to the command what QEMU has done.  It greets,
 * negotiates, writes down what it is sent and asks the test for every answer.
 *
 * What one sendmsg() carried is written down too: a pause of the guest has to
 * reach QEMU whole.
 */
#ifndef FAKE_QEMU_H
#define FAKE_QEMU_H

#include <jansson.h>
#include <stdbool.h>

#include "loop.h"
#include "monitor.h"
#include "ring.h"

#define FAKE_WRITES_MAX 64

struct fake_qemu {
	/* A new reference to {"return": ...} or {"error": ...}; NULL: it never
	 * answers.  Without the function everything succeeds with {}. */
	json_t *(*answer)(void *arg, const char *command, const json_t *arguments);
	void *arg;
	/* Counted from 1 over the commands to come, 0: never. */
	unsigned fail_at; /* refuse it without asking the test */
	unsigned hang_up_at; /* close instead of executing it */
	/* Execute it and what came in the same write, but answer none of them: the
	 * sidecar was killed and its guard holds the socket. */
	unsigned vanish_at;
	bool old; /* QEMU 7.2, else 10.0 */
	const char *greeting; /* instead of a right one */

	unsigned commands; /* heard, without the negotiation */
	char log[8192];	   /* their names, each with a space behind */
	int received_fd;   /* the last that came with a command, -1 */
	bool alloc_failed; /* what alloc_fail_off() said when the first command came */

	/* private */
	struct loop *loop;
	char path[64];
	int listen_fd, fd;
	struct ring_op accept_op, read_op;
	bool vanishing, negotiated, closing;
	size_t have;
	char input[1 << 16];
	json_t *late[8]; /* events to follow the next answer */
	unsigned late_count;
};

void fake_start(struct fake_qemu *fake, struct loop *loop);
void fake_stop(struct fake_qemu *fake);
/* The engine connects to it. */
void fake_connect(struct fake_qemu *fake, struct monitor *monitor);
/* Forget what was heard; the counters of faults start anew. */
void fake_forget(struct fake_qemu *fake);
void fake_say(struct fake_qemu *fake, const char *text); /* as it is */
/* An event, behind the answer to the command being executed if there is one. */
void fake_event(struct fake_qemu *fake, const char *name, json_t *data);
json_t *fake_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Everything handed to sendmsg() since fake_forget() that is JSON. */
extern struct fake_writes {
	unsigned count;
	char *text[FAKE_WRITES_MAX]; /* one string a call */
} fake_writes;

#endif
