/* SPDX-License-Identifier: Apache-2.0
 *
 * cycle: brings the replica from one generation to the next: freeze a point over
 * all disks, read what the bitmap says, commit, thaw.  When anything fails the
 * generation is dropped and the bitmaps are as if the cycle had not been tried.
 * A fault of the guest's disk in the middle does not end it: what is still to be
 * read would have to be read for the recovery anyway.
 */
#include "sidecar.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "jsontext.h"
#include "mind.h"
#include "outcome.h"

#define HUNG_TIMEOUT_MS 2000 /* of a command to a QEMU that does not answer */

/* With an export of ours QEMU cannot give its images away at the end of a migration: that
 * fails then, and the guest stays. */
static int refuse_migration(const json_t *migration, struct errinfo *err)
{
	static const char *const over[] = {"", "none", "completed", "failed", "cancelled"};
	const char *status = json_text(migration, "status");

	for (unsigned i = 0; i < sizeof(over) / sizeof(over[0]); i++) {
		if (!strcmp(status, over[i]))
			return 0;
	}
	return err_set(err, -EAGAIN, "the guest is being migrated (%s); protection waits for the end",
		       status);
}

static int refresh(struct sidecar *sidecar, uint64_t *dirty_bytes, struct errinfo *err)
{
	struct batch batch;
	int rc;

	batch_init(&batch, &sidecar->monitor);
	batch_add(&batch, "query-block", NULL);
	batch_add(&batch, "query-block-jobs", NULL);
	batch_add(&batch, "query-migrate", NULL);
	rc = batch_run(&batch, err);
	if (!rc)
		rc = guest_refresh(&sidecar->guest, batch.entries[0].result, err);
	if (!rc)
		rc = checkpoint_refuse_jobs(batch.entries[1].result, err);
	if (rc == -EAGAIN)
		mirror_tidy(sidecar); /* the next cycle finds it gone */
	if (!rc)
		rc = refuse_migration(batch.entries[2].result, err);
	if (!rc)
		rc = guest_dirty_bytes(&sidecar->guest, CHECKPOINT_ALL, sidecar->checkpoint.last,
				       dirty_bytes, err);
	if (!rc)
		rc = guest_recording(&sidecar->guest, sidecar->checkpoint.last, err);
	batch_release(&batch);
	return rc;
}

/* What a store's own disk fails with; its other refusals are no fault. */
void cycle_note_store(struct sidecar *sidecar, int rc)
{
	static const int own[] = {ENOSPC, EDQUOT, EIO, EROFS, ENODEV, ENXIO, ESHUTDOWN};
	int error = 0;

	for (unsigned i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		error = rc == -own[i] ? own[i] : error;
	if (sidecar->sense.facts.store_error == error || (rc && !error))
		return;
	sidecar->sense.facts.store_error = error;
	sense_judge(sidecar);
}

static int begin(struct sidecar *sidecar, struct errinfo *err)
{
	struct outcome settled = {0};
	int rc = 0;

	if (!store_can_begin(sidecar->store)) {
		store_settle(sidecar->store, outcome_set, &settled);
		rc = outcome_wait(&settled, &sidecar->loop, err);
	}
	if (!rc)
		rc = store_begin(sidecar->store, err);
	if (rc)
		cycle_note_store(sidecar, rc);
	return rc;
}

static void drop(struct sidecar *sidecar)
{
	struct outcome dropped = {0};

	store_abort(sidecar->store, outcome_set_ok, &dropped);
	outcome_wait(&dropped, &sidecar->loop, NULL);
}

static int read_point(struct sidecar *sidecar, struct copy_progress *sum, struct errinfo *err)
{
	struct transfer transfer = {.want = COPY_DIRTY, .sink = store_sink(sidecar->store),
				    .members = CHECKPOINT_ALL};
	char context[96];
	int rc;

	bitmap_name(sidecar, store_info(sidecar->store)->generation + 1, sidecar->checkpoint.next);
	rc = checkpoint_freeze(&sidecar->checkpoint, &checkpoint_cbw, CHECKPOINT_ALL, err);
	sense_pause_met(sidecar);
	/* The point stands still now; who froze the guest's file systems for it need not
	 * wait for the copy. */
	quiesce_thaw(&sidecar->quiesce);
	if (!rc) {
		checkpoint_context(&sidecar->checkpoint, context);
		transfer.context = context;
		transfer.read_limit = sidecar->checkpoint.read_limit;
		rc = transfer_run(sidecar, &transfer, err);
		if (rc && transfer.sink_failed)
			cycle_note_store(sidecar, rc);
	}
	*sum = transfer.sum;
	return rc;
}

int64_t cycle_be_brief(struct sidecar *sidecar, int rc)
{
	int64_t timeout_ms = sidecar->monitor.timeout_ms;

	if (sense_hung(sidecar) || rc == -ETIMEDOUT)
		sidecar->monitor.timeout_ms = HUNG_TIMEOUT_MS;
	return timeout_ms;
}

/* A filter that does not come out (somebody put a snapshot above it meanwhile) is
 * looked for as a leftover: there the node below it is asked for. */
void cycle_thaw(struct sidecar *sidecar)
{
	struct errinfo err = {0}, again = {0};
	int rc = checkpoint_thaw(&sidecar->checkpoint, &err);
	int64_t timeout_ms;

	sense_pause_met(sidecar);
	if (!rc || sidecar->monitor.closed)
		return;
	log_warn("cycle: %s", err.text);
	timeout_ms = cycle_be_brief(sidecar, rc);
	if (leftovers_clean(sidecar, &again))
		log_warn("cycle: %s", again.text);
	sidecar->monitor.timeout_ms = timeout_ms;
}

/* Commit while the filters are being taken out: neither needs the other. */
static int commit_and_thaw(struct sidecar *sidecar, int64_t *durable_us, struct errinfo *err)
{
	struct outcome committed = {0};
	struct errinfo keep_err = {0};
	int64_t timeout_ms;
	int rc;

	store_commit(sidecar->store, sidecar->checkpoint.time_us, outcome_set, &committed);
	cycle_thaw(sidecar);
	rc = outcome_wait(&committed, &sidecar->loop, err);
	*durable_us = committed.time_us;
	cycle_note_store(sidecar, rc);
	if (rc) {
		checkpoint_revert(&sidecar->checkpoint, NULL);
		return rc;
	}
	/* A bitmap that stays is only a nuisance: the next start removes it. */
	timeout_ms = cycle_be_brief(sidecar, 0);
	if (checkpoint_keep(&sidecar->checkpoint, &keep_err))
		log_warn("cycle: %s", keep_err.text);
	sidecar->monitor.timeout_ms = timeout_ms;
	return 0;
}

/* FILLED: not only what the bitmap said was copied. */
static void report_generation(struct sidecar *sidecar, const struct copy_progress *sum,
			      bool filled, int64_t started_us, int64_t durable_us)
{
	uint64_t generation = store_info(sidecar->store)->generation;

	sidecar->figures.cycles++;
	sidecar->figures.bytes += sum->bytes;
	sidecar->figures.last_bytes = sum->bytes;
	sidecar->figures.usual_bytes = filled ? 0 : sum->bytes; /* that does not come again */
	sidecar->figures.lag_ms = (durable_us - sidecar->checkpoint.time_us) / 1000;
	sidecar->figures.duration_ms = (durable_us - started_us) / 1000;
	if (sidecar->config->mind && !filled)
		model_observe_generation(&sidecar->config->mind->model, sidecar->guest.disk_count,
					 sum->bytes, (double)(durable_us - started_us) / 1e3);
	report_event(&sidecar->report, "generation",
		     json_pack("{s:I,s:I,s:I,s:f,s:f}", "generation", (json_int_t)generation,
			       "bytes", (json_int_t)sum->bytes, "extents",
			       (json_int_t)sum->extents, "duration_ms",
			       (double)(durable_us - started_us) / 1e3, "lag_ms",
			       (double)(durable_us - sidecar->checkpoint.time_us) / 1e3));
}

/* The generation is dropped, and the bitmaps are as if it had not been tried. */
static void give_back(struct sidecar *sidecar, struct errinfo *err)
{
	int64_t timeout_ms = cycle_be_brief(sidecar, err ? err->code : 0);
	struct errinfo ignored = {0};

	drop(sidecar);
	if (sidecar->checkpoint.way) {
		cycle_thaw(sidecar);
		checkpoint_revert(&sidecar->checkpoint, &ignored);
	}
	if (err)
		exports_revive(&sidecar->exports, &sidecar->monitor, store_dir(sidecar->store),
			       err);
	sidecar->monitor.timeout_ms = timeout_ms;
}

/* What stands against a frozen point now. */
int cycle_look(struct sidecar *sidecar, uint64_t *dirty_bytes, struct errinfo *err)
{
	int rc = refresh(sidecar, dirty_bytes, err);

	if (!rc && strstr(sidecar->guest.status, "migrate"))
		rc = err_set(err, -EAGAIN, "the guest is being migrated (%s)",
			     sidecar->guest.status);
	return rc;
}

static int capture(struct sidecar *sidecar,
		   int (*fill)(struct sidecar *sidecar, uint64_t *bytes, struct errinfo *err),
		   struct errinfo *err)
{
	int64_t started_us = loop_realtime_us(), durable_us;
	struct copy_progress sum = {0};
	uint64_t filled_bytes = 0, dirty_bytes;
	int rc = begin(sidecar, err);

	if (rc)
		return rc;
	if (fill)
		rc = fill(sidecar, &filled_bytes, err);
	if (fill && !rc) /* that took its time */
		rc = cycle_look(sidecar, &dirty_bytes, err);
	if (!rc)
		rc = read_point(sidecar, &sum, err);
	if (rc) {
		give_back(sidecar, err);
		return rc;
	}
	sum.bytes += filled_bytes;
	rc = commit_and_thaw(sidecar, &durable_us, err);
	if (!rc)
		report_generation(sidecar, &sum, fill != NULL, started_us, durable_us);
	return rc;
}

int cycle_run_after(struct sidecar *sidecar,
		    int (*fill)(struct sidecar *sidecar, uint64_t *bytes, struct errinfo *err),
		    struct errinfo *err)
{
	uint64_t dirty_bytes;
	int rc = cycle_look(sidecar, &dirty_bytes, err);

	return rc ? rc : capture(sidecar, fill, err);
}

int cycle_run(struct sidecar *sidecar, struct errinfo *err)
{
	uint64_t dirty_bytes = 0;
	int rc = cycle_look(sidecar, &dirty_bytes, err);

	if (rc)
		return rc;
	/* A write is acknowledged to the guest only after its bit is set: no bit, no
	 * change, and the replica is the guest's state of this moment. */
	if (!dirty_bytes && store_info(sidecar->store)->generation) {
		sidecar->figures.empty_cycles++;
		sidecar->figures.usual_bytes = 0;
		return 0;
	}
	return capture(sidecar, NULL, err);
}
