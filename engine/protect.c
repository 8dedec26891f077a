/* SPDX-License-Identifier: Apache-2.0
 *
 * protect: the daemon's story from start to end.  Everything is tried in the
 * order that leaves the guest alone when something fails: what cannot go on
 * degrades the protection, never the guest.
 */
#include "sidecar.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "adopt.h"
#include "attend.h"
#include "control.h"
#include "disk_list.h"
#include "heal.h"
#include "holding.h"
#include "mind.h"
#include "notify.h"
#include "outcome.h"
#include "respond.h"
#include "restart.h"
#include "rollback.h"
#include "rollback_record.h"
#include "takeover.h"
#include "turns.h"

#define RETRY_FIRST_MS 1000 /* after a failed cycle: soon, then with back-off */
#define RETRY_LAST_MS 30000

static void become_protected(struct sidecar *sidecar, bool resumed, uint64_t bytes,
			     int64_t started_ns)
{
	uint64_t generation = store_info(sidecar->store)->generation;
	double seconds = (double)(ring_now_ns() - started_ns) / 1e9;
	json_t *fields = json_pack("{s:I,s:I,s:f,s:b}", "generation", (json_int_t)generation,
				   "bytes", (json_int_t)bytes, "seconds", seconds, "resumed",
				   resumed);

	sidecar_set_state(sidecar, SIDECAR_PROTECTED);
	sidecar->figures.protected_since_us = loop_realtime_us();
	if (sidecar->figures.resynced)
		json_object_set_new(fields, "different_bytes",
				    json_integer((json_int_t)sidecar->figures.different_bytes));
	log_info("%s is protected at generation %llu (%s, %llu bytes, %.2f s)",
		 sidecar->guest.name, (unsigned long long)generation,
		 sidecar->figures.resynced ? "continued by checksums"
		 : resumed		   ? "continued"
					   : "first copy",
		 (unsigned long long)bytes, seconds);
	report_event(&sidecar->report, "protected", fields);
	mind_copied(sidecar->config->mind, resumed ? 0 : bytes, seconds);
	sidecar->figures.resynced = false;
	successor_mark(sidecar);
	notify_ready();
}

/* Bring the replica to a consistent generation: by the bitmaps that are there,
 * else by comparing checksums, or by a first copy and the cycle after it. */
static int synchronise(struct sidecar *sidecar, bool *resumed, struct errinfo *err)
{
	const uint64_t all = (UINT64_C(1) << sidecar->guest.disk_count) - 1;
	uint64_t covered;
	int rc = leftovers_bitmaps(sidecar, &covered, err);

	sidecar->figures.resynced = false;
	/* Nothing else would put them in order; a disk's new size is seen before they change. */
	sidecar->monitor.unanswered |= rc && rc != -ESTALE;
	if (rc)
		return rc;
	sidecar->uncovered = covered != all;
	*resumed = !sidecar->uncovered || store_info(sidecar->store)->state == STORE_READY;
	if (sidecar->uncovered && *resumed)
		return resync_run(sidecar, covered, err);
	if (*resumed) {
		bitmap_name(sidecar, store_info(sidecar->store)->generation,
			    sidecar->checkpoint.last);
	} else {
		sidecar_set_state(sidecar, SIDECAR_COPYING);
		rc = firstcopy_run(sidecar, err);
		sidecar->uncovered = rc != 0;
	}
	return rc ? rc : cycle_run(sidecar, err);
}

static int try_synchronise(struct sidecar *sidecar, struct errinfo *err)
{
	int64_t started_ns = ring_now_ns();
	bool resumed = false;
	int rc = sidecar->monitor.unanswered ? leftovers_late(sidecar, err) : 0;

	if (!rc)
		rc = synchronise(sidecar, &resumed, err);
	if (rc == -ESTALE) { /* did a disk grow? */
		struct errinfo why = {0};

		rc = disk_list_follow(sidecar, &why);
		if (rc != -ESTALE)
			err_clear(err);
		if (rc && rc != -ESTALE)
			err_set(err, rc, "%s", why.text);
		if (!rc)
			rc = synchronise(sidecar, &resumed, err);
	}

	malloc_trim(0); /* the schema and the block queries are gone: so is their memory */
	if (rc)
		return rc;
	become_protected(sidecar, resumed,
			 resumed ? sidecar->figures.bytes : sidecar->figures.done, started_ns);
	return 0;
}

/* Errors after which trying again is no use. */
static bool hopeless(const struct sidecar *sidecar, int rc)
{
	return sidecar->monitor.closed || sidecar->loop.quit || rc == -EINTR || rc == -EBUSY ||
	       rc == -EPERM || rc == -ENOTSUP;
}

/* Before protection is reached. */
static bool keeper_serves(const struct sidecar *sidecar)
{
	return sidecar->store && keeper_wants(sidecar);
}

static bool woken(void *arg)
{
	const struct sidecar *sidecar = arg;

	return sidecar->alert || sidecar->loop.quit || sidecar->monitor.closed ||
	       (sidecar->steady ? turns_asked(sidecar) : keeper_serves(sidecar));
}

/* Until DEADLINE_NS, or something is to be done. */
static void rest(struct sidecar *sidecar, int64_t deadline_ns)
{
	loop_until(&sidecar->loop, woken, sidecar, deadline_ns);
}

static bool settled(const struct sidecar *sidecar)
{
	return sidecar->state == SIDECAR_RECOVERED || sidecar->state == SIDECAR_HELD;
}

/* Between two attempts.  True when there is no need of another. */
static bool recovered_meanwhile(struct sidecar *sidecar, int64_t deadline_ns)
{
	while (!sidecar->loop.quit && !sidecar->monitor.closed && ring_now_ns() < deadline_ns) {
		struct errinfo err = {0};

		if (sidecar->alert && attend(sidecar, &err))
			break;
		if (keeper_serves(sidecar))
			keeper_run(sidecar); /* the replica and its points can be read */
		else
			rest(sidecar, deadline_ns);
		if (settled(sidecar))
			return true;
	}
	return false;
}

/* Until protected.  A first attempt that fails for want of space or by a bad
 * store's disk is repeated: there may be room later. */
static int reach_protection(struct sidecar *sidecar, struct errinfo *err)
{
	int64_t wait_ms = RETRY_FIRST_MS;

	for (;;) {
		int rc = try_synchronise(sidecar, err);

		if (!rc || !sidecar->store || hopeless(sidecar, rc))
			return rc;
		sidecar_degrade(sidecar, err->text);
		successor_attend(sidecar, rc);
		if (sidecar->rebirth)
			return 0;
		if (recovered_meanwhile(sidecar, ring_now_ns() + wait_ms * NS_PER_MS))
			return sidecar->config->once ? rc : 0;
		if (sidecar->loop.quit || sidecar->monitor.closed)
			return sidecar->loop.quit ? -EINTR : -ENOTCONN;
		wait_ms = wait_ms * 2 > RETRY_LAST_MS ? RETRY_LAST_MS : wait_ms * 2;
		err_clear(err);
	}
}

/* One tick: 0 or the error that ends the story. */
static int tick(struct sidecar *sidecar, int64_t *wait_ms)
{
	struct errinfo err = {0};
	int rc = sidecar->monitor.unanswered || sidecar->uncovered ? -ENODATA
								   : cycle_run(sidecar, &err);

	/* Somebody removed a bitmap, or made a disk longer: the checksums tell the rest. */
	if (rc == -ENODATA || rc == -ESTALE) {
		if (err.code)
			log_warn("%s", err.text);
		err_clear(&err);
		rc = try_synchronise(sidecar, &err);
	}
	if (sidecar->monitor.closed)
		return -ENOTCONN;
	if (!sidecar->store) {
		log_error("%s", err.text);
		return rc;
	}
	if (!rc) {
		rollback_note_end(sidecar);
		successor_attend(sidecar, rc);
		if (sidecar->state == SIDECAR_DEGRADED)
			become_protected(sidecar, true, sidecar->figures.last_bytes,
					 ring_now_ns());
		*wait_ms = sidecar->config->interval_ms;
		return 0;
	}
	sidecar->figures.failed++;
	if (!sidecar->alert || !sidecar->fault.kind || sidecar->state == SIDECAR_COPYING)
		sidecar_degrade(sidecar, err.text);
	successor_attend(sidecar, rc);
	*wait_ms = *wait_ms < RETRY_FIRST_MS ? RETRY_FIRST_MS : *wait_ms * 2;
	if (*wait_ms > RETRY_LAST_MS)
		*wait_ms = RETRY_LAST_MS;
	return 0;
}

static void serve(struct sidecar *sidecar)
{
	if (reprotect_wants(sidecar))
		reprotect_run(sidecar);
	else if (rollback_wants(sidecar))
		rollback_run(sidecar);
	else
		keeper_run(sidecar);
}

static int take_turn(struct sidecar *sidecar, struct turns *turns, int64_t *wait_ms)
{
	int rc = 0;

	switch (turns_next(sidecar, turns)) {
	case TURN_SCRUB:
		scrub_run(sidecar);
		turns->scrub = false;
		break;
	case TURN_CYCLE:
		rc = tick(sidecar, wait_ms);
		turns_cycle_over(turns, sidecar, *wait_ms * NS_PER_MS);
		break;
	case TURN_ROOM:
		sidecar->alert = true;
		break;
	case TURN_ASKED:
		serve(sidecar);
		turns->asked = false;
		break;
	case TURN_NONE:
		turns->asked = false;
		rest(sidecar, turns_due_ns(sidecar, turns));
		break;
	}
	return rc;
}

static int steady(struct sidecar *sidecar, struct errinfo *err)
{
	int64_t wait_ms = sidecar->config->interval_ms;
	struct turns turns = {.cycle_ns = ring_now_ns()};
	int rc = 0;

	sidecar->alert = true; /* a fault that came before could not be attended to */
	sidecar->steady = true;
	damage_load(sidecar);
	keeper_start(sidecar);
	while (!sidecar->loop.quit && !sidecar->monitor.closed && !sidecar->rebirth && !rc) {
		if (sidecar->alert) {
			err_clear(err);
			rc = attend(sidecar, err);
		} else {
			rc = take_turn(sidecar, &turns, &wait_ms);
		}
	}
	return sidecar->loop.quit || sidecar->rebirth ? 0 : rc ? rc : -ENOTCONN;
}

static int run(struct sidecar *sidecar, struct errinfo *err)
{
	int rc = holding_begin(sidecar, err);

	if (!rc)
		rc = sidecar_attach(sidecar, err);
	if (sidecar->rebirth)
		return 0;
	if (!rc)
		rc = holding_take(sidecar, err);
	if (!rc) {
		sense_start(sidecar);
		restart_record(sidecar);
		nics_record(sidecar);
	}
	if (!rc)
		rc = control_start(&sidecar->control, sidecar, err);
	if (!rc)
		rc = sidecar_look(sidecar, err);
	if (!rc)
		rc = adopt_needed(sidecar) ? adopt_run(sidecar, err) : 1;
	if (!rc && sidecar->config->once)
		rc = err_set(err, -EROFS, "the guest runs on a promoted disk: no generation can be "
			     "made before it is moved to a spare (protect --spare DIR) or has an "
			     "empty store");
	if (rc == 1)
		rc = reach_protection(sidecar, err);
	if (!rc && !sidecar->config->once)
		rc = steady(sidecar, err);
	return rc;
}

/* An orderly end leaves the heads at the last generation, for whoever looks at
 * them; what cannot be applied now stays in the journal. */
static void settle_heads(struct sidecar *sidecar)
{
	struct outcome settled = {0};
	struct errinfo err = {0};

	if (!sidecar->store)
		return;
	store_settle(sidecar->store, outcome_set, &settled);
	if (outcome_wait(&settled, &sidecar->loop, &err))
		log_warn("the last generation stays in the journal: %s", err.text);
}

/* QEMU keeps the bitmaps; exports and server go, so that nothing of ours runs.  LOST: the
 * guest ended, and not on purpose. */
static void leave(struct sidecar *sidecar, bool lost)
{
	if (!sidecar->rebirth)
		notify_stopping();
	cycle_be_brief(sidecar, sidecar->monitor.unanswered ? -ETIMEDOUT : 0);
	sense_stop(sidecar);
	nics_release(&sidecar->nics);
	rollback_stop(sidecar);
	reprotect_stop(sidecar);
	keeper_stop(sidecar);
	control_stop(sidecar->control);
	quiesce_stop(&sidecar->quiesce);
	/* QEMU's main loop would wait for an export that a hung disk keeps. */
	if (!sidecar->monitor.closed && !checkpoint_has_exports(&sidecar->checkpoint))
		exports_stop(&sidecar->exports, &sidecar->monitor);
	else
		exports_leave(&sidecar->exports);
	scratch_release(&sidecar->scratch, &sidecar->monitor);
	if (sidecar->store)
		rollback_note_end(sidecar);
	settle_heads(sidecar);
	heartbeat_stop(&sidecar->heartbeat, &sidecar->loop,
		       !sidecar->rebirth && !lost && (sidecar->held || sidecar->loop.quit));
	store_close(sidecar->store);
	pool_free(sidecar->pool);
	monitor_close(&sidecar->monitor);
	guard_stop(&sidecar->guard);
	prober_stop(&sidecar->prober);
	if (sidecar->instance_fd >= 0)
		close(sidecar->instance_fd);
	json_decref(sidecar->last_recovery);
	json_decref(sidecar->last_fault);
	loop_release(&sidecar->loop);
}

/* From one QEMU to its end, or ours; or to another store. */
static int live(struct sidecar *sidecar, const struct config *config, bool restarted)
{
	const struct report report = sidecar->report;
	struct errinfo err = {0};
	int rc, status;

	memset(sidecar, 0, sizeof(*sidecar));
	sidecar->report = report; /* its reader has the whole story */
	sidecar->config = config;
	sidecar->restarted = restarted;
	sidecar->instance_fd = -1;
	sidecar->sense.pidfd = -1;
	prober_try(&sidecar->prober);
	rc = guard_start_fenced(&sidecar->guard, heal_file(config), &err);
	if (!rc && config->agent)
		rc = quiesce_start(&sidecar->quiesce, config->agent, &err);
	if (!rc)
		rc = loop_init(&sidecar->loop, &err);
	if (!rc)
		rc = run(sidecar, &err);
	status = rc && rc != -EINTR;
	if (!sidecar->rebirth && sidecar->monitor.closed && sidecar->monitor.ready)
		status = qemu_end_run(sidecar);
	else if (status)
		log_error("%s", err.text);
	sidecar->rebirth = sidecar->rebirth && !sidecar->loop.quit;
	leave(sidecar, sidecar->monitor.closed && sidecar->sense.started && status);
	return status;
}

/* What the next life begins with.  STANDBY: where its monitor's address can stay. */
static void follow(struct config *config, const struct sidecar *sidecar,
		   char standby[sizeof(config->standby.qmp)])
{
	if (sidecar->succeeded) {
		config->origin = config->store;
		config->store = config->successor;
	}
	if (sidecar->moved) {
		memcpy(standby, config->standby.qmp, sizeof(config->standby.qmp));
		config->qmp = standby;
		config->standby.qmp[0] = '\0';
	}
}

int protect_run(struct config *config)
{
	static struct sidecar sidecar; /* some 200 KiB, one a process */
	char standby[sizeof(config->standby.qmp)];
	struct errinfo err = {0};
	bool restarted = false;
	int status = 0;

	successor_name(config);
	if (report_init(&sidecar.report, config->events, &err)) {
		log_error("%s", err.text);
		return 1;
	}
	sidecar.rebirth = true;
	if (config->fence) {
		status = takeover_run(&sidecar, config);
		restarted = true;
	}
	while (sidecar.rebirth) {
		status = live(&sidecar, config, restarted);
		restarted = !sidecar.moved && !sidecar.succeeded;
		follow(config, &sidecar, standby);
	}
	report_release(&sidecar.report);
	return status;
}
