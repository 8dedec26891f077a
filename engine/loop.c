/* SPDX-License-Identifier: Apache-2.0 */
#include "loop.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "bounds.h"
#include "member.h"
#include "report.h"

#define LOOP_TRIES 1000
#define LOOP_TRY_US 10000

static void loop_signal(struct ring_op *op, int result)
{
	struct loop *loop = member_of(op, struct loop, signal_op);
	struct signalfd_siginfo info;

	if (result < 0)
		return;
	while (read(loop->signal_fd, &info, sizeof(info)) == sizeof(info))
		loop->quit = true;
	ring_poll(loop->ring, &loop->signal_op, loop->signal_fd, POLLIN);
}

/* What ends a program in order.  The end of the terminal is one, unless somebody (nohup) wants
 * it to be none. */
static void ending(sigset_t *set)
{
	struct sigaction hangup;

	sigemptyset(set);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGINT);
	if (!sigaction(SIGHUP, NULL, &hangup) && hangup.sa_handler != SIG_IGN)
		sigaddset(set, SIGHUP);
}

int loop_init(struct loop *loop, struct errinfo *err)
{
	sigset_t set;
	int rc;

	memset(loop, 0, sizeof(*loop));
	loop->signal_fd = -1;
	rc = ring_new(&loop->ring, BOUND_RING_ENTRIES, err);
	if (rc)
		return rc;
	ending(&set);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	loop->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (loop->signal_fd < 0) {
		rc = -errno;
		loop_release(loop);
		return err_set(err, rc, "signalfd: %s", strerror(-rc));
	}
	loop->signal_op.done = loop_signal;
	ring_poll(loop->ring, &loop->signal_op, loop->signal_fd, POLLIN);
	return 0;
}

bool loop_interrupted(const struct loop *loop)
{
	sigset_t pending, set;

	ending(&set);
	sigpending(&pending);
	sigandset(&pending, &pending, &set);
	return loop->quit || !sigisemptyset(&pending);
}

void loop_pass_signals(bool pass)
{
	sigset_t set;

	ending(&set);
	sigprocmask(pass ? SIG_UNBLOCK : SIG_BLOCK, &set, NULL);
}

void loop_release(struct loop *loop)
{
	ring_free(loop->ring);
	loop->ring = NULL;
	if (loop->signal_fd >= 0)
		close(loop->signal_fd);
	loop->signal_fd = -1;
}

/* A ring that fails: the kernel is short of memory (-ENOMEM, -EAGAIN), and somebody's memory is
 * written to when it works again.  One that fails for good ends the process. */
static void loop_bear(int rc, unsigned *tries)
{
	if (++*tries == LOOP_TRIES) {
		log_error("the ring failed: %s", strerror(-rc));
		abort();
	}
	usleep(LOOP_TRY_US);
}

struct loop_alarm {
	struct ring_op op;
	bool rang;
};

static void loop_alarm_rang(struct ring_op *op, int result)
{
	member_of(op, struct loop_alarm, op)->rang = true;
}

static int loop_pump(struct loop *loop, struct loop_alarm *alarm, bool (*ready)(void *arg),
		     void *arg)
{
	while (!ready(arg)) {
		int rc;

		if (alarm->rang)
			return -ETIMEDOUT;
		rc = ring_run(loop->ring);
		if (rc < 0)
			return rc;
	}
	return 0;
}

int loop_until(struct loop *loop, bool (*ready)(void *arg), void *arg, int64_t deadline_ns)
{
	struct loop_alarm alarm = {.op.done = loop_alarm_rang};
	int rc;

	assert(!loop->waiting);
	loop->waiting = true;
	if (deadline_ns != INT64_MAX)
		ring_timer(loop->ring, &alarm.op, deadline_ns);
	rc = loop_pump(loop, &alarm, ready, arg);
	/* The alarm lives on this stack: it has to be over before we leave. */
	if (ring_op_pending(&alarm.op))
		ring_cancel(loop->ring, &alarm.op);
	for (unsigned tries = 0; ring_op_pending(&alarm.op);) {
		int run = ring_run(loop->ring);

		if (run < 0)
			loop_bear(run, &tries);
	}
	loop->waiting = false;
	return rc;
}

void loop_until_sure(struct loop *loop, bool (*ready)(void *arg), void *arg)
{
	for (unsigned tries = 0; !ready(arg);) {
		int rc = loop_until(loop, ready, arg, INT64_MAX);

		if (rc < 0)
			loop_bear(rc, &tries);
	}
}

static bool loop_flag(void *arg)
{
	return *(const bool *)arg;
}

int loop_until_set(struct loop *loop, const bool *flag, int64_t deadline_ns)
{
	return loop_until(loop, loop_flag, (void *)flag, deadline_ns);
}

void loop_until_set_sure(struct loop *loop, const bool *flag)
{
	loop_until_sure(loop, loop_flag, (void *)flag);
}

int64_t loop_realtime_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}
