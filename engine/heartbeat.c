/* SPDX-License-Identifier: Apache-2.0
 *
 * heartbeat: see heartbeat.h.
 */
#include "heartbeat.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "file.h"
#include "member.h"
#include "report.h"

#define STOP_WAIT_MS 5000 /* a store that hangs is left as it is */

static void rest(struct heartbeat *heartbeat)
{
	int64_t period_ns = heartbeat->lease.seconds * 1000 * NS_PER_MS / LEASE_RENEWALS;

	if (!heartbeat->stopping)
		ring_timer(heartbeat->ring, &heartbeat->timer_op, heartbeat->began_ns + period_ns);
}

static void written(struct ring_op *op, int result)
{
	struct heartbeat *heartbeat = member_of(op, struct heartbeat, write_op);

	if (result < 0 && !heartbeat->failed)
		log_warn("the lease of %s cannot be renewed (%s): a standby will take this host "
			 "for gone in %u s", heartbeat->lease.vm, strerror(-result),
			 heartbeat->lease.seconds);
	heartbeat->failed = result < 0;
	rest(heartbeat);
}

static void end_if_taken(const struct heartbeat *heartbeat, int bytes)
{
	struct errinfo ignored = {0};
	struct lease found;

	if (bytes <= 0 || lease_parse(&found, heartbeat->found, (size_t)bytes, &ignored) ||
	    lease_same_host(&found, &heartbeat->lease))
		return;
	log_error("host %s has taken the lease of %s: this one was given up for gone, and writes "
		  "nothing more to its store", found.host, heartbeat->lease.vm);
	kill(getpid(), SIGKILL);
}

static void looked(struct ring_op *op, int result)
{
	struct heartbeat *heartbeat = member_of(op, struct heartbeat, read_op);

	if (heartbeat->stopping)
		return;
	end_if_taken(heartbeat, result);
	heartbeat->lease.count++;
	if (heartbeat->dirty)
		heartbeat->lease.dirty_bytes = heartbeat->dirty(heartbeat->arg);
	lease_format(&heartbeat->lease, heartbeat->text);
	ring_write_flush(heartbeat->ring, &heartbeat->write_op, heartbeat->fd, heartbeat->text,
			 LEASE_BYTES, 0);
}

static void renew(struct ring_op *op, int result)
{
	struct heartbeat *heartbeat = member_of(op, struct heartbeat, timer_op);

	if (result < 0 || heartbeat->stopping)
		return;
	heartbeat->began_ns = ring_now_ns();
	ring_read(heartbeat->ring, &heartbeat->read_op, heartbeat->fd, heartbeat->found,
		  LEASE_BYTES, 0);
}

/* A name that a power cut takes away again would be a lease that nobody sees. */
static int write_first(struct heartbeat *heartbeat, const char *dir)
{
	int rc = file_truncate(heartbeat->fd, LEASE_BYTES);

	if (!rc)
		rc = lease_write(heartbeat->fd, &heartbeat->lease);
	return rc ? rc : file_sync_dir(dir);
}

static bool idle(void *arg)
{
	const struct heartbeat *heartbeat = arg;

	return !ring_op_pending(&heartbeat->timer_op) && !ring_op_pending(&heartbeat->read_op) &&
	       !ring_op_pending(&heartbeat->write_op);
}

bool heartbeat_runs(const struct heartbeat *heartbeat)
{
	return heartbeat->fd > 0;
}

int heartbeat_start(struct heartbeat *heartbeat, struct ring *ring, const char *dir,
		    const char *vm, unsigned seconds, struct errinfo *err)
{
	struct errinfo ignored = {0};
	struct lease before;
	int rc;

	if (!idle(heartbeat))
		return err_set(err, -EBUSY, "%s: a write of the lease has not ended yet", dir);
	memset(heartbeat, 0, sizeof(*heartbeat));
	lease_read(dir, &before, &ignored);
	heartbeat->ring = ring;
	heartbeat->timer_op.done = renew;
	heartbeat->read_op.done = looked;
	heartbeat->write_op.done = written;
	lease_here(&heartbeat->lease);
	snprintf(heartbeat->lease.vm, sizeof(heartbeat->lease.vm), "%s", vm);
	heartbeat->lease.seconds = seconds;
	heartbeat->lease.count = before.count + 1;
	heartbeat->lease.dirty_bytes = before.dirty_bytes;
	heartbeat->began_ns = ring_now_ns();
	heartbeat->fd = lease_open(dir, O_RDWR | O_CREAT);
	rc = heartbeat->fd < 0 ? heartbeat->fd : write_first(heartbeat, dir);
	if (rc) {
		file_close(heartbeat->fd);
		heartbeat->fd = 0;
		return err_set(err, rc, "%s/" LEASE_FILE ": %s", dir, strerror(-rc));
	}
	rest(heartbeat);
	return 0;
}

void heartbeat_stop(struct heartbeat *heartbeat, struct loop *loop, bool released)
{
	int rc;

	if (!heartbeat_runs(heartbeat))
		return;
	heartbeat->stopping = true;
	if (ring_op_pending(&heartbeat->timer_op))
		ring_cancel(heartbeat->ring, &heartbeat->timer_op);
	if (!loop_until(loop, idle, heartbeat, ring_now_ns() + STOP_WAIT_MS * NS_PER_MS) &&
	    released) {
		heartbeat->lease.count++;
		heartbeat->lease.released = true;
		rc = lease_write(heartbeat->fd, &heartbeat->lease);
		if (rc)
			log_warn("the lease of %s cannot be released (%s): a standby will take "
				 "this host for gone", heartbeat->lease.vm, strerror(-rc));
	}
	file_close(heartbeat->fd);
	heartbeat->fd = 0;
}
