/* SPDX-License-Identifier: Apache-2.0
 *
 * strategy failover: the guest moves to the standby while its memory is still good.  (Its
 * host is gone: takeover.c.)
 *
 *   prepare  the standby waits for a guest, on its very disks, and listens
 *   migrate  memory goes over while the guest runs; the disks are the same files
 *   switch   the guest runs there
 *   leave    the QEMU that it left quits
 *
 * Both have the images open, and only the one whose guest runs may write: QEMU hands
 * them over at the end of the migration, and its locks see to it.  A migration that
 * fails is cancelled, and the guest goes on where it is.  Where it cannot be told
 * whether the standby runs, the old one stays stopped: never two of them.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "jsontext.h"
#include "mind.h"
#include "response.h"
#include "sidecar.h"
#include "standby.h"
#include "takeover.h"

#define MIGRATE_WAIT_MS 600000 /* ten minutes of failing memory are enough */
#define RUN_WAIT_MS 10000      /* devices and disks of the standby start */
#define CANCEL_WAIT_MS 10000
#define POLL_MS 20
#define LEAVE_WAIT_MS 5000

struct move {
	struct response *response;
	struct sidecar *sidecar;
	struct monitor there; /* the standby's */
	bool paused;	   /* by the guest's owner, before it went over */
	bool calling_back; /* whatever happens: until it is known where it is */
	char uri[PATH_MAX + 16];
};

static bool leaving(void *arg)
{
	const struct move *move = arg;
	const struct sidecar *sidecar = move->sidecar;

	if (sidecar->loop.quit || sidecar->monitor.closed)
		return true;
	/* A guest whose disk failed is to be recovered here. */
	return !move->calling_back && (move->there.closed || sidecar->fault.kind != FAULT_NONE);
}

static void wait_a_little(struct move *move)
{
	loop_until(&move->sidecar->loop, leaving, move, ring_now_ns() + POLL_MS * NS_PER_MS);
}

/* The word that COMMAND answers as "status". */
static int ask_status(struct monitor *monitor, const char *command, char text[32], json_t **reply,
		      struct errinfo *err)
{
	json_t *answer = NULL;
	int rc = monitor_call(monitor, command, NULL, &answer, err);

	snprintf(text, 32, "%s", json_text(answer, "status"));
	if (reply)
		*reply = json_incref(answer);
	json_decref(answer);
	return rc;
}

/* --- prepare --- */

static int ask_disks(struct monitor *monitor, struct guest *guest, struct errinfo *err)
{
	json_t *reply = NULL;
	int rc = monitor_call(monitor, "query-block", NULL, &reply, err);

	memset(guest, 0, sizeof(*guest));
	if (!rc)
		rc = guest_parse_block(guest, reply, err);
	json_decref(reply);
	return rc;
}

/* What no disk goes over with must be there: a standby that was started before the guest was
 * moved to another image would have it go on with old data. */
static int check_disks(struct move *move, struct errinfo *err)
{
	static struct guest here, there; /* large; one flow of control */
	int rc = ask_disks(&move->sidecar->monitor, &here, err);

	if (!rc)
		guest_query_policies(&here, &move->sidecar->monitor);
	if (!rc)
		rc = ask_disks(&move->there, &there, err);
	return rc ? rc : guest_same_images(&here, &there, err);
}

static int prepare(struct move *move, struct errinfo *err)
{
	const struct standby *standby = &move->sidecar->config->standby;
	struct errinfo started = {0};
	char status[32];
	int rc = monitor_open(&move->there, &move->sidecar->loop, standby->qmp, err);

	if (!rc)
		rc = ask_status(&move->there, "query-status", status, NULL, err);
	if (rc)
		return rc;
	if (strcmp(status, "inmigrate"))
		return err_set(err, -EINVAL, "the standby at %s does not wait for a guest: its state "
			       "is %s", standby->qmp, status);
	rc = check_disks(move, err);
	if (rc)
		return rc;
	if (standby->uri[0])
		snprintf(move->uri, sizeof(move->uri), "%s", standby->uri);
	else
		snprintf(move->uri, sizeof(move->uri), "unix:%s/migrate.sock",
			 store_dir(move->sidecar->store));
	/* Only one that was started with -incoming defer has to be told, and only once. */
	rc = monitor_call(&move->there, "migrate-incoming", json_pack("{s:s}", "uri", move->uri),
			  NULL, &started);
	if (rc && !standby->uri[0])
		return err_set(err, rc, "the standby at %s does not listen: %s", standby->qmp,
			       started.text);
	return 0;
}

/* --- migrate --- */

static bool over(const char *status)
{
	return !strcmp(status, "completed") || !strcmp(status, "failed") ||
	       !strcmp(status, "cancelled") || !strcmp(status, "none");
}

/* At its end QEMU itself stops the guest, and that has another name. */
static void note_pause(struct move *move)
{
	char status[32];

	if (ask_status(&move->sidecar->monitor, "query-status", status, NULL, NULL))
		return;
	if (!strcmp(status, "paused") || !strcmp(status, "running"))
		move->paused = status[0] == 'p';
}

/* Until it is over; "" in STATUS: nobody knows. */
static int wait_over(struct move *move, int64_t end_ns, char status[32], struct errinfo *err)
{
	json_t *reply;
	int rc;

	for (;;) {
		rc = ask_status(&move->sidecar->monitor, "query-migrate", status, &reply, err);
		if (!rc && !strcmp(status, "completed"))
			move->response->downtime_ms =
				json_number_value(json_object_get(reply, "downtime"));
		if (!rc && !strcmp(status, "failed"))
			err_set(err, -EIO, "%s", json_text(reply, "error-desc"));
		json_decref(reply);
		if (rc || over(status))
			return rc;
		if (ring_now_ns() >= end_ns || leaving(move))
			return -ETIMEDOUT;
		note_pause(move);
		wait_a_little(move);
	}
}

/* The guest goes on where it was, unless somebody or a disk stopped it there. */
static void call_back(struct move *move)
{
	struct monitor *here = &move->sidecar->monitor;
	struct errinfo ignored = {0};
	char status[32];

	move->calling_back = true;
	monitor_call(here, "migrate_cancel", NULL, NULL, NULL);
	wait_over(move, ring_now_ns() + CANCEL_WAIT_MS * NS_PER_MS, status, &ignored);
	if (!strcmp(status, "completed") || ask_status(here, "query-status", status, NULL, &ignored))
		return;
	if (!move->paused && (!strcmp(status, "finish-migrate") || !strcmp(status, "postmigrate")))
		monitor_call(here, "cont", NULL, NULL, NULL);
}

static int migrate(struct move *move, struct errinfo *err)
{
	struct monitor *here = &move->sidecar->monitor;
	char status[32] = "";
	int rc = monitor_call(here, "migrate", json_pack("{s:s}", "uri", move->uri), NULL, err);

	if (!rc)
		rc = wait_over(move, ring_now_ns() + MIGRATE_WAIT_MS * NS_PER_MS, status, err);
	timeline_mark(&move->response->timeline, "migrate");
	if (!rc && !strcmp(status, "completed"))
		return 0;
	if (here->closed)
		return err_set(err, -ENOTCONN, "QEMU ended in the migration");
	call_back(move);
	if (move->sidecar->fault.kind != FAULT_NONE)
		return err_set(err, -EAGAIN, "a disk of the guest failed in the migration");
	return err_set(err, rc ? rc : -EIO, "the migration to %s %s", move->uri,
		       status[0] ? status : "was not begun");
}

/* --- switch --- */

static int run_there(struct move *move, struct errinfo *err)
{
	int64_t start_ns = ring_now_ns(), end_ns = start_ns + RUN_WAIT_MS * NS_PER_MS;
	char status[32];
	bool asked = false;

	for (;;) {
		int rc = ask_status(&move->there, "query-status", status, NULL, err);

		if (rc)
			return rc;
		if (!strcmp(status, "running"))
			break;
		if (move->paused && !strcmp(status, "paused"))
			break;
		/* Behind the migration, with -S. */
		if (!asked && !move->paused && (!strcmp(status, "paused") || !strcmp(status, "prelaunch"))) {
			rc = monitor_call(&move->there, "cont", NULL, NULL, err);
			asked = true;
		}
		if (rc || ring_now_ns() >= end_ns || move->there.closed)
			return err_set(err, rc ? rc : -ETIMEDOUT, "the standby's guest is in state "
				       "%s", status);
		wait_a_little(move);
	}
	move->response->downtime_ms += (double)(ring_now_ns() - start_ns) / 1e6;
	timeline_mark(&move->response->timeline, "switch");
	return 0;
}

static bool ended(void *arg)
{
	const struct move *move = arg;

	return move->there.closed || move->sidecar->loop.quit;
}

/* It has the guest's memory and could not run it: only when it is gone for certain may
 * the old one take its disks back. */
static int take_back(struct move *move, struct errinfo *err)
{
	struct monitor *here = &move->sidecar->monitor;

	if (!move->there.closed)
		monitor_call(&move->there, "quit", NULL, NULL, NULL);
	loop_until(&move->sidecar->loop, ended, move, ring_now_ns() + LEAVE_WAIT_MS * NS_PER_MS);
	if (!move->there.closed)
		return -EBUSY;
	if (move->paused)
		return 0; /* its owner lets it go on, here */
	/* Its locks on the images would refuse this, should it live after all. */
	return monitor_call(here, "cont", NULL, NULL, err);
}

static bool left(void *arg)
{
	const struct move *move = arg;

	return move->sidecar->monitor.closed || move->sidecar->loop.quit;
}

static int move_guest(struct move *move, struct errinfo *err)
{
	struct sidecar *sidecar = move->sidecar;
	int rc = prepare(move, err);

	timeline_mark(&move->response->timeline, "prepare");
	if (!rc)
		rc = migrate(move, err);
	if (rc)
		return rc;
	rc = run_there(move, err);
	if (rc) {
		take_back(move, NULL);
		return rc;
	}
	monitor_call(&sidecar->monitor, "quit", NULL, NULL, NULL);
	loop_until(&sidecar->loop, left, move, ring_now_ns() + LEAVE_WAIT_MS * NS_PER_MS);
	timeline_mark(&move->response->timeline, "leave");
	if (!sidecar->monitor.closed)
		log_warn("the QEMU that %s left does not quit: its guest stands still for good",
			 sidecar->guest.name);
	return 0;
}

int strategy_failover(struct response *response, struct errinfo *err)
{
	struct move move = {.response = response, .sidecar = response->sidecar};
	int rc;

	if (response->fault.kind == FAULT_HOST)
		return takeover_boot(response, err);
	if (!response->fault.warning)
		return err_set(err, -ENOTSUP, "only a guest that runs can move to the standby");
	rc = move_guest(&move, err);
	if (move.there.loop)
		monitor_close(&move.there);
	if (rc)
		return rc;
	response->rebirth = true;
	response->sidecar->moved = true;
	return 0;
}
