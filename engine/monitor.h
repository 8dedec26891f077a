/* SPDX-License-Identifier: Apache-2.0
 *
 * monitor: the QMP connection to the guest's QEMU, driven by the loop, with
 * calls that wait.  A batch is written in one piece: a sequence that pauses the
 * guest always carries its own `cont`, so that the sidecar may be stopped or
 * killed anywhere (see guard.h) and the guest goes on.
 */
#ifndef ENGINE_MONITOR_H
#define ENGINE_MONITOR_H

#include <jansson.h>

#include "errinfo.h"
#include "loop.h"
#include "qmp.h"

#define MONITOR_TIMEOUT_MS 30000	/* QEMU's main loop may hang in a drain this long */
#define MONITOR_GREETING_MS 5000	/* a guard of an earlier sidecar lets go when QEMU has answered */
#define MONITOR_BATCH_MAX 180		/* five commands a disk, 32 disks, and some */

typedef void monitor_event_fn(void *arg, const char *name, json_t *data, int64_t time_us);

struct monitor {
	struct loop *loop;
	struct qmp *qmp;
	struct ring_op poll_op, timer_op;
	char address[256];
	char closed_why[256];
	bool ready, closed;
	int64_t timer_ns;
	int64_t timeout_ms; /* of a command */
	bool stop_sent;	    /* a `stop` of ours, and no RESUME since */
	bool unanswered;    /* one's time was up: QEMU may do it yet; or the bitmaps are out of
			     * order.  Who tidies sets it back */
	monitor_event_fn *on_event;
	void *on_event_arg;
};

/* Connect and negotiate (waits). */
int monitor_open(struct monitor *monitor, struct loop *loop, const char *address,
		 struct errinfo *err);
/* The same for a peer that is no QEMU, within TIMEOUT_MS. */
int monitor_open_peer(struct monitor *monitor, struct loop *loop, const char *address,
		      enum qmp_peer peer, int64_t timeout_ms, struct errinfo *err);
/* Only begin to, without waiting: `ready` or `closed` tell the end.  MONITOR has to
 * be idle, and its memory to stay until it is again. */
int monitor_begin_peer(struct monitor *monitor, struct loop *loop, const char *address,
		       enum qmp_peer peer, int64_t timeout_ms, struct errinfo *err);
void monitor_close(struct monitor *monitor);
/* The same without waiting for the ring; then it is idle. */
void monitor_drop(struct monitor *monitor);
bool monitor_is_idle(const struct monitor *monitor);
/* Only forget it: the socket stays as it is until the process ends. */
void monitor_abandon(struct monitor *monitor);
/* Send a command without waiting.  Once it is sent (0) REPLY runs exactly once. */
int monitor_send(struct monitor *monitor, const char *command, int64_t timeout_ms,
		 qmp_reply_fn *reply, void *arg);

/* The same with ARGUMENTS (may be NULL), which it takes over. */
int monitor_ask(struct monitor *monitor, const char *command, json_t *arguments,
		int64_t timeout_ms, qmp_reply_fn *reply, void *arg);

/* Out of band: QEMU takes it up even when its main loop stands still. */
int monitor_ask_oob(struct monitor *monitor, const char *command, json_t *arguments,
		    int64_t timeout_ms, qmp_reply_fn *reply, void *arg);

/* Run one command and wait.  RESULT (may be NULL) is a new reference.  -EREMOTEIO:
 * QEMU said no, ERR has its words; -ENOTCONN: QEMU is gone; -ETIMEDOUT. */
int monitor_call(struct monitor *monitor, const char *command, json_t *arguments, json_t **result,
		 struct errinfo *err);
int monitor_call_fd(struct monitor *monitor, const char *command, json_t *arguments, int fd,
		    json_t **result, struct errinfo *err);

struct batch_entry {
	struct batch *batch;
	const char *command;
	json_t *arguments;
	json_t *result;
	int status;
	char error[192];
};

struct batch {
	struct monitor *monitor;
	struct batch_entry entries[MONITOR_BATCH_MAX];
	unsigned count, replied;
};

void batch_init(struct batch *batch, struct monitor *monitor);
/* Takes over ARGUMENTS.  Returns the index of the entry. */
unsigned batch_add(struct batch *batch, const char *command, json_t *arguments);
/* Send all in one write without waiting; batch_wait() collects.  On failure (the
 * connection is over, no memory) nothing was sent and every entry has the status. */
int batch_send(struct batch *batch, struct errinfo *err);
int batch_wait(struct batch *batch, struct errinfo *err);
/* Both.  0 only when every command succeeded; ERR has the first that did not. */
int batch_run(struct batch *batch, struct errinfo *err);
void batch_release(struct batch *batch);

#endif
