/* SPDX-License-Identifier: Apache-2.0 */
#include "heal.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "jsontext.h"
#include "mind.h"
#include "outcome.h"
#include "sidecar.h"
#include "tell.h"
#include "timeline.h"

#define CONT_PAUSE_MS 1000
#define CONT_TRIES 60

const char *heal_file(const struct config *config)
{
	static char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/promoted/heal.raw", config->store);
	return path;
}

bool heal_can(const struct heal_block *bad)
{
	if (bad->verdict == SCRUB_REPLICA)
		return bad->source.known; /* else the next generation brings it */
	return bad->verdict == SCRUB_SUM || bad->verdict == SCRUB_SOURCE;
}

static void announce(struct sidecar *sidecar, const struct heal_block *bad)
{
	const char *why = bad->verdict == SCRUB_SOURCE
				  ? "the disk's block is bad, the replica's verifies"
			  : bad->verdict == SCRUB_SUM
				  ? "the sum in the replica is wrong, disk and replica agree"
				  : "the replica's block is bad, the disk's verifies";

	/* The guest's disk is written in a pause, the replica beside the guest. */
	tell_recovery(sidecar, STRATEGY_HEAL,
		      bad->verdict == SCRUB_SOURCE
			      ? model_expected(&sidecar->config->mind->model, MODEL_HEAL) : 0,
		      0, why, NULL);
}

/* TIMELINE: of the guest's pause; NULL: there was none. */
static void note_healed(struct sidecar *sidecar, const struct heal_block *bad, uint64_t was,
			uint64_t now, const struct timeline *timeline)
{
	double downtime_ms = timeline ? timeline_ms(timeline) : 0;
	const char *disk = sidecar->guest.disks[bad->disk].name;
	const char *side = bad->verdict == SCRUB_SOURCE ? "disk" : "replica";
	char was_text[20], now_text[20];

	model_observe(&sidecar->config->mind->model, MODEL_HEAL, downtime_ms);
	snprintf(was_text, sizeof(was_text), "%016llx", (unsigned long long)was);
	snprintf(now_text, sizeof(now_text), "%016llx", (unsigned long long)now);
	log_info("heal: disk %s: block %llu of the %s (%u bytes at offset %llu) is healed: its sum "
		 "was %s and is %s", disk, (unsigned long long)bad->block, side, bad->bytes,
		 (unsigned long long)bad->offset, was_text, now_text);
	report_event(&sidecar->report, "recovered",
		     json_pack("{s:s,s:I,s:f,s:I,s:o,s:s,s:s,s:I,s:I,s:s,s:s}", "strategy", "heal",
			       "generation",
			       (json_int_t)store_info(sidecar->store)->generation, "downtime_ms",
			       downtime_ms, "lost_bytes", (json_int_t)0, "steps",
			       timeline ? timeline_json(timeline) : json_array(), "resource", disk,
			       "side", side, "offset", (json_int_t)bad->offset, "length",
			       (json_int_t)bad->bytes, "sum_before", was_text, "sum_after",
			       now_text));
}

/* Both sides of one block once more, the disk's content into KEEP. */
static int look_again(struct sidecar *sidecar, const struct heal_block *bad,
		      struct heal_block *now, struct buf *keep, struct buf *spare,
		      struct errinfo *err)
{
	struct scrub_look look = {.disk = bad->disk, .block = bad->block, .count = 1,
				  .source = &now->source, .keep = keep};
	int rc = scrub_inspect(sidecar, &look, &now->replica, spare, err);

	if (!rc)
		rc = scrub_look(sidecar, &look, err);
	now->verdict = scrub_judge(&now->replica, &now->source);
	if (!rc && (now->verdict != bad->verdict || !heal_can(now)))
		rc = err_set(err, -EAGAIN, "it changed meanwhile");
	return rc;
}

/* The disk's content has the stored sum, or the one that the replica's block has. */
static int heal_replica(struct sidecar *sidecar, const struct heal_block *bad, struct buf *keep,
			struct buf *spare, struct errinfo *err)
{
	static struct repair repair;
	struct outcome written = {0};
	struct heal_block now = *bad;
	int rc = look_again(sidecar, bad, &now, keep, spare, err);

	if (rc)
		return rc;
	keep->sums[0] = now.source.sum;
	repair_write(&repair, sidecar->store, bad->disk, bad->block, keep, outcome_set, &written);
	rc = outcome_wait(&written, &sidecar->loop, err);
	if (!rc)
		note_healed(sidecar, bad, bad->verdict == SCRUB_SUM ? now.replica.stored
								    : now.replica.own,
			    now.source.sum, NULL);
	return rc;
}

/* --- a block of the disk --- */

/* For QEMU, which has another directory than we, and splits its words at blanks. */
static int file_write_block(const struct config *config, const void *data, uint32_t bytes,
			    char path[PATH_MAX], struct errinfo *err)
{
	const char *file = heal_file(config);
	int fd, rc = 0;

	unlink(file);
	fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_set(err, -errno, "%s: %s", file, strerror(errno));
	if (write(fd, data, bytes) != (ssize_t)bytes)
		rc = err_set(err, -EIO, "%s: cannot write %u bytes", file, bytes);
	close(fd);
	if (!rc && !realpath(file, path))
		rc = err_set(err, -errno, "%s: %s", file, strerror(errno));
	for (const char *at = path; !rc && *at; at++) {
		if (isspace((unsigned char)*at) || strchr("\"'\\", *at))
			rc = err_set(err, -EINVAL, "%s: QEMU cannot read from a path with blanks or "
				     "quotes; move the store", path);
	}
	if (rc)
		unlink(file);
	return rc;
}

/* -EAGAIN: it stood still already, and is not ours to let go. */
static int guest_stop(struct sidecar *sidecar, bool *ours, struct errinfo *err)
{
	struct batch batch;
	int rc;

	batch_init(&batch, &sidecar->monitor);
	batch_add(&batch, "query-status", NULL);
	batch_add(&batch, "stop", NULL);
	rc = batch_run(&batch, err);
	*ours = !strcmp(json_text(batch.entries[0].result, "status"), "running");
	sidecar->paused_by_us = *ours;
	if (!rc && !*ours)
		rc = err_set(err, -EAGAIN, "the guest does not run (%s)",
			     json_text(batch.entries[0].result, "status"));
	batch_release(&batch);
	return rc;
}

/* The guest stands still meanwhile. */
struct heal_pause {
	struct sidecar *sidecar;
	const struct heal_block *bad;
	char path[PATH_MAX];	 /* of the file with the good block */
	struct scrub_source now; /* what the latest look saw */
	char said[160];		 /* by QEMU, of the write */
	struct timeline timeline;
	unsigned resumes;	 /* of the guest, before */
	bool stopped;
	bool halted; /* QEMU refused our `cont` */
};

static int qemu_write(struct heal_pause *pause, struct errinfo *err)
{
	const struct heal_block *bad = pause->bad;
	char line[PATH_MAX + 320];
	json_t *answer = NULL;
	const char *text;
	int rc;

	snprintf(line, sizeof(line), "qemu-io -d %s \"write -s %s %llu %u\"",
		 pause->sidecar->guest.disks[bad->disk].qom, pause->path,
		 (unsigned long long)bad->offset, bad->bytes);
	rc = monitor_call(&pause->sidecar->monitor, "human-monitor-command",
			  json_pack("{s:s}", "command-line", line), &answer, err);
	text = json_is_string(answer) ? json_string_value(answer) : "";
	snprintf(pause->said, sizeof(pause->said), "%.*s", (int)strcspn(text, "\r\n"), text);
	json_decref(answer);
	timeline_mark(&pause->timeline, "write");
	return rc;
}

/* Somebody else may have let it go on, and its writes since the freeze are in `next`.  Stopped
 * again it cannot write between this and ours, but for whoever lets it go on once more. */
static int refuse_if_written(struct heal_pause *pause, struct errinfo *err)
{
	struct sidecar *sidecar = pause->sidecar;
	uint64_t bytes = 0;
	struct batch batch;
	int rc;

	batch_init(&batch, &sidecar->monitor);
	batch_add(&batch, "stop", NULL);
	batch_add(&batch, "query-block", NULL);
	rc = batch_run(&batch, err);
	if (!rc)
		rc = checkpoint_written(&sidecar->checkpoint, batch.entries[1].result,
					UINT64_C(1) << pause->bad->disk, &bytes, err);
	batch_release(&batch);
	if (!rc && (bytes || sidecar->resumes != pause->resumes))
		rc = err_set(err, -EAGAIN, "somebody let the guest go on");
	return rc;
}

/* Between the two looks. */
static int write_if_bad(void *arg, struct errinfo *err)
{
	struct heal_pause *pause = arg;
	struct scrub_source now = pause->now;
	int rc;

	timeline_mark(&pause->timeline, "look");
	if (!now.known)
		return err_set(err, -EAGAIN, "the guest has written the block since the generation");
	if (now.status != pause->bad->source.status || now.sum != pause->bad->source.sum)
		return err_set(err, -EAGAIN, "the disk's block changes by itself: its sum is %016llx "
			       "now", (unsigned long long)now.sum);
	rc = refuse_if_written(pause, err);
	if (rc)
		return rc;
	memset(&pause->now, 0, sizeof(pause->now));
	return qemu_write(pause, err);
}

/* What is written is verified by what reads back: QEMU's answer is only for people. */
static int write_paused(struct heal_pause *pause, struct errinfo *err)
{
	struct sidecar *sidecar = pause->sidecar;
	const struct scrub_source *now = &pause->now;
	struct scrub_look look = {.disk = pause->bad->disk, .block = pause->bad->block, .count = 1,
				  .source = &pause->now, .between = write_if_bad,
				  .between_arg = pause};
	int rc;

	bitmap_name(sidecar, store_info(sidecar->store)->generation + 1, sidecar->checkpoint.next);
	rc = checkpoint_freeze(&sidecar->checkpoint, &checkpoint_paused,
			       UINT64_C(1) << pause->bad->disk, err);
	timeline_mark(&pause->timeline, "freeze");
	if (!rc)
		rc = scrub_read(sidecar, &look, err);
	timeline_mark(&pause->timeline, "verify");
	if (!rc && (!now->known || now->status || now->sum != pause->bad->replica.stored))
		rc = err_set(err, -EIO, "it does not read back (%s); QEMU said: %s",
			     now->status ? strerror(-now->status) : "another sum", pause->said);
	return rc;
}

/* From `stop` to `cont`, whatever happens. */
static int heal_paused(struct heal_pause *pause, struct errinfo *err)
{
	struct sidecar *sidecar = pause->sidecar;
	struct errinfo cont_err = {0};
	int rc = guard_pause(&sidecar->guard, err);

	pause->resumes = sidecar->resumes;
	timeline_start(&pause->timeline, ring_now_ns());
	if (!rc)
		rc = guest_stop(sidecar, &pause->stopped, err);
	timeline_mark(&pause->timeline, "stop");
	if (!rc)
		rc = write_paused(pause, err);
	pause->halted = pause->stopped &&
			monitor_call(&sidecar->monitor, "cont", NULL, NULL, &cont_err);
	if (pause->halted)
		log_error("the guest stands still, and QEMU does not let it go on: %s",
			  cont_err.text);
	timeline_mark(&pause->timeline, "resume");
	guard_resumed(&sidecar->guard);
	return rc;
}

static bool resumed(void *arg)
{
	const struct heal_pause *pause = arg;
	const struct sidecar *sidecar = pause->sidecar;

	return sidecar->resumes != pause->resumes || sidecar->monitor.closed;
}

/* Still by us: one that migrated away meanwhile must never run here again. */
static bool stands_for_us(struct sidecar *sidecar)
{
	json_t *answer = NULL;
	bool paused = !monitor_call(&sidecar->monitor, "query-status", NULL, &answer, NULL) &&
		      !strcmp(json_text(answer, "status"), "paused");

	json_decref(answer);
	return paused && sidecar->fault.kind == FAULT_NONE && !sidecar->loop.quit;
}

/* A dump that its owner began in our pause, for one, is over some time.  Nobody else would
 * let the guest go on then. */
static void let_go(struct heal_pause *pause)
{
	struct sidecar *sidecar = pause->sidecar;

	for (unsigned tries = 0; tries < CONT_TRIES; tries++) {
		loop_until(&sidecar->loop, resumed, pause,
			   ring_now_ns() + CONT_PAUSE_MS * NS_PER_MS);
		if (resumed(pause) || !stands_for_us(sidecar) ||
		    !monitor_call(&sidecar->monitor, "cont", NULL, NULL, NULL))
			break;
	}
}

static int heal_source(struct sidecar *sidecar, const struct heal_block *bad, struct buf *good,
		       double *pause_ms, struct errinfo *err)
{
	struct scrub_look look = {.disk = bad->disk, .block = bad->block, .count = 1};
	struct heal_pause pause = {.sidecar = sidecar, .bad = bad};
	struct repair_block replica;
	int rc = scrub_inspect(sidecar, &look, &replica, good, err);

	if (!rc && (replica.status || replica.own != replica.stored ||
		    replica.stored != bad->replica.stored))
		rc = err_set(err, -EAGAIN, "the replica's block is not good any more");
	if (!rc)
		rc = file_write_block(sidecar->config, good->data, bad->bytes, pause.path, err);
	/* The guard would let it go on when our pause gets long, its owner's pause, too. */
	if (!rc && !guest_running(&sidecar->guest))
		rc = err_set(err, -EAGAIN, "the guest does not run (%s)", sidecar->guest.status);
	if (rc)
		return rc;
	rc = heal_paused(&pause, err);
	*pause_ms = pause.stopped ? timeline_ms(&pause.timeline) : 0;
	unlink(heal_file(sidecar->config));
	if (sidecar->checkpoint.way) {
		cycle_thaw(sidecar);
		checkpoint_revert(&sidecar->checkpoint, NULL);
	}
	if (pause.halted)
		let_go(&pause);
	if (!rc)
		note_healed(sidecar, bad, bad->source.sum, bad->replica.stored, &pause.timeline);
	return rc;
}

/* What is written to the guest's disk is a strategy like others. */
static bool is_allowed(const struct sidecar *sidecar, const struct heal_block *bad)
{
	const struct policy_settings *settings = &sidecar->config->mind->settings;

	return bad->verdict != SCRUB_SOURCE ||
	       settings->allowed[FAULT_DISK_CORRUPT] & STRATEGY_BIT(STRATEGY_HEAL);
}

int heal_run(struct sidecar *sidecar, const struct heal_block *bad, double *pause_ms,
	     struct errinfo *err)
{
	struct buf *keep, *spare;
	int rc;

	*pause_ms = 0;
	if (!is_allowed(sidecar, bad))
		return err_set(err, -EPERM, "the configuration does not allow it ([allow] "
			       "disk-corrupt)");
	keep = pool_get(sidecar->pool);
	spare = keep ? pool_get(sidecar->pool) : NULL;
	announce(sidecar, bad);
	if (spare && bad->verdict == SCRUB_SOURCE)
		rc = heal_source(sidecar, bad, keep, pause_ms, err);
	else if (spare)
		rc = heal_replica(sidecar, bad, keep, spare, err);
	else
		rc = err_set(err, -EAGAIN, "no buffer is free");
	if (spare)
		pool_put(sidecar->pool, spare);
	if (keep)
		pool_put(sidecar->pool, keep);
	if (rc)
		tell_failed(sidecar, "heal", err->text, "the next pass of the scrub", NULL);
	return rc;
}
