/* SPDX-License-Identifier: Apache-2.0
 *
 * recover: the guest stands still because a disk of it failed.
 *
 *   overlay    a qcow2 image above the disk's head (generation G) is made
 *   catch up   what the bitmap says changed since G is read from the failing disk
 *              straight into the overlay: one read, one write, one flush
 *   swap       the overlay takes the disk's place under the device
 *   resume     `cont`: QEMU sends the failed requests again, to the new disk
 *
 * The heads stay at G for all disks, so another disk can be pivoted later from
 * its own bitmap.  When the failing disk does not give the newest blocks any more,
 * data would be lost: --on-loss says whether to roll back to G and reset the
 * guest, or to leave it paused and tell.  Killed between any two steps, the guest
 * is still paused on the disk it had or on the overlay, both of which the next
 * start finds and continues from.
 */
#include "recover_private.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "jsontext.h"
#include "member.h"
#include "mind.h"
#include "respond.h"
#include "response.h"
#include "situation.h"
#include "tell.h"

#define RESUME_TIMEOUT_MS 5000
#define CATCH_UP_TRIES 2

static struct copy_sink *overlay_of(struct copy_sink *sink, unsigned disk)
{
	struct recovery *recovery = member_of(sink, struct recovery, sink);

	for (unsigned i = 0; i < recovery->count; i++) {
		if (recovery->promotions[i].disk == disk)
			return overlay_sink(recovery->promotions[i].overlay);
	}
	return NULL;
}

static int put_data(struct copy_sink *sink, unsigned disk, uint64_t offset, uint32_t length,
		    struct buf *buf, struct errinfo *err)
{
	struct copy_sink *below = overlay_of(sink, disk);

	return below->data(below, disk, offset, length, buf, err);
}

static int put_zero(struct copy_sink *sink, unsigned disk, uint64_t offset, uint64_t length,
		    struct errinfo *err)
{
	struct copy_sink *below = overlay_of(sink, disk);

	return below->zero(below, disk, offset, length, err);
}

/* QEMU sends STOP before its requests are drained; the answer comes after. */
static int settle_and_measure(struct recovery *recovery, struct errinfo *err)
{
	struct sidecar *sidecar = recovery->sidecar;
	struct batch batch;
	int rc;

	batch_init(&batch, &sidecar->monitor);
	batch_add(&batch, "query-status", NULL);
	batch_add(&batch, "query-block", NULL);
	rc = batch_run(&batch, err);
	if (!rc && !strcmp(json_text(batch.entries[0].result, "status"), "running"))
		rc = err_set(err, -EAGAIN, "somebody let the guest go on");
	if (!rc)
		rc = guest_refresh(&sidecar->guest, batch.entries[1].result, err);
	batch_release(&batch);
	/* Requests in flight were still failing while QEMU drained. */
	recovery->members = sidecar->faulted;
	recovery->stood = sidecar->resumes;
	for (unsigned i = 0; i < sidecar->guest.disk_count && !rc; i++) {
		const struct guest_disk *disk = &sidecar->guest.disks[i];

		if (recovery->members >> i & 1 && promote_is_ours(sidecar, disk))
			rc = err_set(err, -EROFS, "disk %s runs on the promoted image %s, and "
				     "there is no replica of that", disk->name, disk->file);
	}
	if (!rc)
		rc = guest_dirty_bytes(&sidecar->guest, recovery->members,
				       sidecar->checkpoint.last, &recovery->dirty_bytes, err);
	timeline_mark(&recovery->timeline, "drain");
	return rc;
}

static void announce(struct recovery *recovery, const struct policy_verdict *verdict)
{
	recovery->strategy = strategy_names[verdict->strategy];
	respond_announce(recovery->sidecar, verdict);
}

static int make_overlays(struct recovery *recovery, struct errinfo *err)
{
	struct sidecar *sidecar = recovery->sidecar;
	int rc = 0;

	recovery->count = 0;
	for (unsigned i = 0; i < sidecar->guest.disk_count && !rc; i++) {
		if (!(recovery->members >> i & 1))
			continue;
		rc = promote_create(sidecar, i, &recovery->promotions[recovery->count], err);
		recovery->count += rc == 0;
	}
	timeline_mark(&recovery->timeline, "overlay");
	return rc;
}

static int read_changes(struct recovery *recovery, struct errinfo *err)
{
	struct sidecar *sidecar = recovery->sidecar;
	struct transfer transfer = {.want = COPY_DIRTY, .sink = &recovery->sink,
				    .members = recovery->members, .patient = true};
	char context[96];
	int rc;

	bitmap_name(sidecar, store_info(sidecar->store)->generation + 1, sidecar->checkpoint.next);
	rc = checkpoint_freeze(&sidecar->checkpoint, &checkpoint_paused, recovery->members, err);
	timeline_mark(&recovery->timeline, "freeze");
	if (rc)
		return rc;
	checkpoint_context(&sidecar->checkpoint, context);
	transfer.context = context;
	rc = transfer_run(sidecar, &transfer, err);
	recovery->moved_bytes = transfer.sum.bytes;
	if (!rc) /* the overlay stands above the head */
		rc = damage_mend(sidecar, &transfer, err);
	/* What is given up for good is what the disk refused, or kept waiting for. */
	recovery->source_failed = rc && rc != -EINTR && rc != -ENOMEM && !transfer.sink_failed &&
				  !transfer.unreached && !sidecar->monitor.closed;
	timeline_mark(&recovery->timeline, "catch-up");
	return rc;
}

/* Exports and bitmaps as if nothing had been tried. */
static void undo_freeze(struct recovery *recovery)
{
	struct sidecar *sidecar = recovery->sidecar;
	struct errinfo ignored = {0};

	if (!sidecar->checkpoint.way)
		return;
	checkpoint_thaw(&sidecar->checkpoint, &ignored);
	checkpoint_revert(&sidecar->checkpoint, &ignored);
}

/* A failing disk may give at the second try what it refused at the first; a
 * server that somebody stopped is started again. */
static int catch_up(struct recovery *recovery, struct errinfo *err)
{
	struct sidecar *sidecar = recovery->sidecar;
	int rc = 0;

	for (int i = 0; i < CATCH_UP_TRIES; i++) {
		err_clear(err);
		recovery->source_failed = false;
		recovery->tries++;
		rc = make_overlays(recovery, err);
		if (!rc)
			rc = read_changes(recovery, err);
		if (!rc)
			return 0;
		undo_freeze(recovery);
		promote_abandon(sidecar, recovery->promotions, recovery->count);
		if (rc == -ETIMEDOUT || (!recovery->source_failed &&
					 !exports_revive(&sidecar->exports, &sidecar->monitor,
							 store_dir(sidecar->store), err)))
			break;
		log_warn("catch-up: %s", err->text);
	}
	return rc;
}

/* The overlays, and the store's note that its heads are now under a guest: on
 * stable storage before the guest can write a byte above them. */
static int pivot(struct recovery *recovery, bool back, struct errinfo *err)
{
	struct sidecar *sidecar = recovery->sidecar;
	int64_t start_ns;
	int rc = promote_finish(sidecar, recovery->promotions, recovery->count, err);

	timeline_mark(&recovery->timeline, "flush");
	start_ns = ring_now_ns();
	/* A pivot has what it wrote meanwhile, if anything; a roll back would lose it. */
	if (!rc && back)
		rc = recovery_still_stands(recovery, err);
	if (!rc)
		rc = promote_swap(sidecar, recovery->promotions, recovery->count, err);
	if (!rc && back) {
		rc = recovery_still_stands(recovery, err);
		if (rc)
			promote_unswap(sidecar, recovery->promotions, recovery->count);
	}
	recovery->swap_ns = ring_now_ns() - start_ns;
	timeline_mark(&recovery->timeline, "swap");
	if (rc)
		return rc;
	rc = promote_note(sidecar, recovery->promotions, recovery->count, err);
	timeline_mark(&recovery->timeline, "promote");
	if (rc)
		promote_unswap(sidecar, recovery->promotions, recovery->count);
	return rc;
}

static bool running_or_gone(void *arg)
{
	const struct recovery *recovery = arg;

	return recovery->sidecar->resumes != recovery->resumes ||
	       recovery->sidecar->monitor.closed;
}

int recovery_resume(struct recovery *recovery, bool reset, struct errinfo *err)
{
	struct sidecar *sidecar = recovery->sidecar;
	int64_t start_ns = ring_now_ns();
	struct batch batch;
	int rc;

	/* From here on an error is a new one. */
	sidecar->fault.kind = FAULT_NONE;
	sidecar->faulted &= ~recovery->members;
	recovery->resumes = sidecar->resumes;
	batch_init(&batch, &sidecar->monitor);
	if (reset)
		batch_add(&batch, "system_reset", NULL);
	batch_add(&batch, "cont", NULL);
	rc = batch_run(&batch, err);
	batch_release(&batch);
	if (!rc && reset)
		promote_drop_reset(sidecar);
	if (!rc)
		rc = loop_until(&sidecar->loop, running_or_gone, recovery,
				ring_now_ns() + RESUME_TIMEOUT_MS * NS_PER_MS);
	if (!rc && sidecar->resumes == recovery->resumes)
		rc = -ENOTCONN;
	recovery->swap_ns += ring_now_ns() - start_ns;
	timeline_mark(&recovery->timeline, "resume");
	return rc ? err_set(err, rc, "the guest does not run again after cont") : 0;
}

/* What is left to do has time: the guest runs. */
static void tidy_up(struct recovery *recovery)
{
	struct sidecar *sidecar = recovery->sidecar;
	struct errinfo err = {0};

	sidecar->checkpoint.members = recovery->members;
	if (sidecar->checkpoint.way)
		checkpoint_thaw(&sidecar->checkpoint, &err);
	checkpoint_forget(&sidecar->checkpoint, &err);
	/* The node of a -drive disk goes away by itself when its device leaves it. */
	if (err.code && !strstr(err.text, "not found"))
		log_warn("after the recovery: %s", err.text);
	for (unsigned i = 0; i < recovery->count; i++) {
		struct guest_disk *disk = &sidecar->guest.disks[recovery->promotions[i].disk];

		snprintf(disk->node, sizeof(disk->node), "%s", recovery->promotions[i].node);
		snprintf(disk->file, sizeof(disk->file), "%s", recovery->promotions[i].image);
	}
}

static int finish(struct recovery *recovery, bool reset, struct errinfo *err)
{
	struct sidecar *sidecar = recovery->sidecar;
	int rc = 0;

	if (reset)
		rc = promote_note_reset(sidecar, err);
	else
		promote_drop_reset(sidecar); /* one of before is over */
	if (!rc)
		rc = pivot(recovery, reset, err);
	if (rc == -ENOTCONN && sidecar->monitor.closed)
		return rc;
	if (rc) {
		bool left = promote_is_left(recovery->promotions, recovery->count);

		if (reset && !left)
			promote_drop_reset(sidecar);
		undo_freeze(recovery);
		promote_abandon(sidecar, recovery->promotions, recovery->count);
		if (rc != -EAGAIN || left)
			return recovery_give_up(recovery, recovery->strategy, err);
		/* The swap stopped the guest that somebody had let go on. */
		monitor_call(&sidecar->monitor, "cont", NULL, NULL, NULL);
		return recovery_call_off(recovery, err);
	}
	rc = recovery_resume(recovery, reset, err);
	if (!rc)
		recovery_report(recovery);
	if (rc == -ENOTCONN) /* that is the next fault, and not the pivot's failure */
		return rc;
	tidy_up(recovery);
	if (rc)
		return recovery_give_up(recovery, recovery->strategy, err);
	recovery_learn(recovery);
	recovery_close_incident(recovery, "recovered", NULL);
	sidecar_set_state(sidecar, SIDECAR_RECOVERED);
	return 0;
}

/* The last generation cannot be had either: a point, in new images. */
static int restore(struct recovery *recovery, uint64_t dirty_bytes)
{
	struct sidecar *sidecar = recovery->sidecar;
	struct errinfo err = {0};
	int rc = recovery_restore(recovery, dirty_bytes, &err);

	if (rc == -ENOTCONN && sidecar->monitor.closed)
		return rc;
	if (rc == -EAGAIN) {
		monitor_call(&sidecar->monitor, "cont", NULL, NULL, NULL);
		return recovery_call_off(recovery, &err);
	}
	if (rc) {
		recovery_hint(recovery, &err);
		return recovery_give_up(recovery, "restore", &err);
	}
	recovery_learn(recovery);
	recovery_close_incident(recovery, "recovered", NULL);
	return 0;
}

/* All disks go back to the last generation: one of them alone would be a state that never
 * was.  What is announced is done, or not at all, as the guest has written meanwhile. */
static int roll_back(struct recovery *recovery)
{
	struct sidecar *sidecar = recovery->sidecar;
	uint64_t all = (UINT64_C(1) << sidecar->guest.disk_count) - 1, dirty;
	struct errinfo err = {0};
	int rc = guest_dirty_bytes(&sidecar->guest, all, sidecar->checkpoint.last, &dirty, &err);

	if (rc)
		return recovery_give_up(recovery, "rollback", &err);
	recovery->members = all;
	recovery->dirty_bytes = recovery->lost_bytes = dirty;
	sidecar->reprotect.lost = true;
	recovery->moved_bytes = 0;
	rc = make_overlays(recovery, &err);
	if (!rc)
		rc = recovery_still_stands(recovery, &err);
	if (!rc)
		return finish(recovery, true, &err);
	promote_abandon(sidecar, recovery->promotions, recovery->count);
	return rc == -EAGAIN ? recovery_call_off(recovery, &err) : recovery_give_up(recovery, "rollback", &err);
}

/* The newest blocks cannot be read: the policy decides, aloud. */
static int without_catch_up(struct recovery *recovery, struct errinfo *why)
{
	struct sidecar *sidecar = recovery->sidecar;
	const struct policy_verdict *verdict;
	uint64_t dirty = situation_dirty(sidecar, UINT64_MAX);
	struct errinfo err = {0};

	if (recovery_still_stands(recovery, &err))
		return recovery_call_off(recovery, &err);
	/* What could not be read is lost, even if nobody can say how much it is. */
	verdict = recovery_decide(recovery, SOURCE_UNREADABLE, dirty ? dirty : 1);
	if (verdict->strategy != STRATEGY_ROLLBACK && verdict->strategy != STRATEGY_RESTORE) {
		announce(recovery, verdict);
		recovery_hint(recovery, why);
		return recovery_give_up(recovery, "pivot", why);
	}
	mind_failed(sidecar->config->mind, STRATEGY_PIVOT);
	tell_failed(sidecar, "pivot", why->text, strategy_names[verdict->strategy], NULL);
	announce(recovery, verdict);
	return verdict->strategy == STRATEGY_RESTORE ? restore(recovery, dirty ? dirty : 1)
						     : roll_back(recovery);
}

/* RETRIED: why that was of no use. */
static const struct policy_verdict *decide(struct recovery *recovery,
					   const struct errinfo *retried)
{
	struct sidecar *sidecar = recovery->sidecar;
	const struct policy_verdict *verdict =
		recovery_decide(recovery, SOURCE_UNKNOWN, situation_dirty(sidecar, UINT64_MAX));

	if (retried->code)
		tell_failed(sidecar, "resume", retried->text, strategy_names[verdict->strategy],
			    NULL);
	announce(recovery, verdict);
	return verdict;
}

/* Settle, decide, wait if need be; what may work again is tried first.  1: it does. */
static int prepare(struct recovery *recovery, struct errinfo *err)
{
	struct sidecar *sidecar = recovery->sidecar;
	const struct policy_verdict *verdict;
	struct errinfo retried = *err;
	int rc;

	err_clear(err);
	rc = settle_and_measure(recovery, err);
	if (rc)
		return rc;
	damage_look(sidecar);
	verdict = decide(recovery, &retried);
	rc = recovery_back_off(recovery, verdict->not_before_ns, err);
	if (!rc && verdict->strategy == STRATEGY_RESUME) {
		rc = recovery_retry(recovery, err);
		recovery->tried |= STRATEGY_BIT(STRATEGY_RESUME);
		sidecar->full.cleared = false;
		if (!rc || rc == -ENOTCONN || rc == -EAGAIN)
			return rc ? rc : 1;
		mind_failed(sidecar->config->mind, STRATEGY_RESUME);
		return prepare(recovery, err);
	}
	if (!rc && verdict->strategy != STRATEGY_PIVOT)
		rc = err_set(err, -ECANCELED, "%s", verdict->why);
	return rc;
}

static int carry_out(struct recovery *recovery, struct errinfo *err)
{
	struct sidecar *sidecar = recovery->sidecar;
	int rc = prepare(recovery, err);

	if (rc == -ENOTCONN)
		return rc;
	if (rc == -EAGAIN)
		return recovery_call_off(recovery, err);
	if (rc == 1)
		return recovery_resumed(recovery);
	if (rc == -ECANCELED && sidecar->config->mind->verdict.strategy == STRATEGY_RESTORE)
		return restore(recovery, situation_dirty(sidecar, UINT64_MAX));
	if (rc == -ECANCELED && sidecar->config->mind->verdict.strategy == STRATEGY_ROLLBACK)
		return roll_back(recovery);
	if (rc == -ECANCELED)
		recovery_hint(recovery, err);
	if (rc)
		return recovery_give_up(recovery, rc == -ECANCELED ? "hold" : "pivot", err);
	rc = catch_up(recovery, err);
	if (rc && sidecar->monitor.closed)
		return -ENOTCONN;
	if (rc && recovery->source_failed)
		return without_catch_up(recovery, err);
	return rc ? recovery_give_up(recovery, "pivot", err) : finish(recovery, false, err);
}

int recover_run(struct sidecar *sidecar, struct errinfo *err)
{
	struct recovery recovery = {.sidecar = sidecar, .strategy = "pivot", .before = sidecar->state,
				    .fault = sidecar->fault, .sink = {.data = put_data, .zero = put_zero}};
	int rc;

	sidecar_set_state(sidecar, SIDECAR_RECOVERING);
	timeline_start(&recovery.timeline, sidecar->fault_ns);
	if (sidecar->foreseen_ns)
		timeline_mark_at(&recovery.timeline, "detect", sidecar->foreseen_ns);
	timeline_mark(&recovery.timeline, sidecar->foreseen_ns ? "wait" : "detect");
	recovery_begin_incident(&recovery);
	rc = carry_out(&recovery, err);
	if (rc == -ENOTCONN && sidecar->state == SIDECAR_RECOVERING)
		recovery_qemu_ended(&recovery);
	return rc;
}
