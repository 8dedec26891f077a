/* SPDX-License-Identifier: Apache-2.0 */
#include "heal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "outcome.h"
#include "sidecar.h"

bool heal_can(const struct heal_block *bad)
{
	if (bad->verdict == SCRUB_REPLICA)
		return bad->source.known;
	return bad->verdict == SCRUB_SUM;
}

static void announce(struct sidecar *sidecar, const struct heal_block *bad)
{
	const char *why = bad->verdict == SCRUB_SOURCE
				  ? "the disk's block is bad, the replica's verifies"
			  : bad->verdict == SCRUB_SUM
				  ? "the sum in the replica is wrong, disk and replica agree"
				  : "the replica's block is bad, the disk's verifies";

	report_event(&sidecar->report, "recovery",
		     json_pack("{s:s,s:s,s:f,s:I,s:s}", "strategy", "heal", "objective", "fast",
			       "predicted_downtime_ms", 0.0, "predicted_loss_bytes",
			       (json_int_t)0, "why", why));
}

static void tell_healed(struct sidecar *sidecar, const struct heal_block *bad, uint64_t was,
			uint64_t now, double downtime_ms)
{
	const char *disk = sidecar->guest.disks[bad->disk].name;
	const char *side = bad->verdict == SCRUB_SOURCE ? "disk" : "replica";
	char was_text[20], now_text[20];

	snprintf(was_text, sizeof(was_text), "%016llx", (unsigned long long)was);
	snprintf(now_text, sizeof(now_text), "%016llx", (unsigned long long)now);
	log_info("heal: disk %s: block %llu of the %s (%u bytes at offset %llu) is healed: its sum "
		 "was %s and is %s", disk, (unsigned long long)bad->block, side, bad->bytes,
		 (unsigned long long)bad->offset, was_text, now_text);
	report_event(&sidecar->report, "recovered",
		     json_pack("{s:s,s:I,s:f,s:I,s:[],s:s,s:s,s:I,s:I,s:s,s:s}", "strategy", "heal",
			       "generation",
			       (json_int_t)store_info(sidecar->store)->generation, "downtime_ms",
			       downtime_ms, "lost_bytes", (json_int_t)0, "steps", "resource", disk,
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
		tell_healed(sidecar, bad, bad->verdict == SCRUB_SUM ? now.replica.stored
								    : now.replica.own,
			    now.source.sum, 0.0);
	return rc;
}

int heal_run(struct sidecar *sidecar, const struct heal_block *bad, struct errinfo *err)
{
	struct buf *keep = pool_get(sidecar->pool);
	struct buf *spare = keep ? pool_get(sidecar->pool) : NULL;
	int rc;

	announce(sidecar, bad);
	if (spare)
		rc = heal_replica(sidecar, bad, keep, spare, err);
	else
		rc = err_set(err, -EAGAIN, "no buffer is free");
	if (spare)
		pool_put(sidecar->pool, spare);
	if (keep)
		pool_put(sidecar->pool, keep);
	if (rc)
		report_event(&sidecar->report, "recovery-failed",
			     json_pack("{s:s,s:s,s:s}", "strategy", "heal", "reason", err->text,
				       "next", "the next pass of the scrub"));
	return rc;
}
