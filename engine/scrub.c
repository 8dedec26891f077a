/* SPDX-License-Identifier: Apache-2.0 */
#include "scrub.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "damage.h"
#include "heal.h"
#include "member.h"
#include "outcome.h"
#include "sidecar.h"

#define WINDOW_MS 250			/* of the rate: so much is read at a time, */
#define WINDOW_MIN_BYTES (4u << 20)	/* for a freeze has a price, */
#define WINDOW_MAX_BYTES (32u << 20)	/* and a cycle waits for its end */
#define WINDOW_BLOCKS 2048u		/* 64 KiB of verdicts; 8 MiB in blocks of 4 KiB */
#define WINDOW_HEALS 16			/* then a cycle goes first */
#define WINDOW_TELLS 16			/* events; the rest is one line in the log */
#define RETRY_MS 5000			/* after a window that could not be read */

/* One flow of control. */
static struct repair_block window_replica[WINDOW_BLOCKS];
static struct scrub_source window_source[WINDOW_BLOCKS];

enum scrub_verdict scrub_judge(const struct repair_block *replica,
			       const struct scrub_source *source)
{
	bool good = !replica->status && replica->own == replica->stored;
	bool readable = source->known && !source->status;

	if (good)
		return !source->known || (readable && source->sum == replica->stored)
			       ? SCRUB_FINE : SCRUB_SOURCE;
	if (!source->known || (readable && source->sum == replica->stored))
		return SCRUB_REPLICA;
	if (readable && !replica->status && source->sum == replica->own)
		return SCRUB_SUM;
	return SCRUB_BOTH;
}

/* --- the source --- */

struct look_sink {
	struct copy_sink sink;
	struct sidecar *sidecar;
	const struct scrub_look *look;
};

static struct scrub_source *look_entry(const struct look_sink *to, uint64_t offset)
{
	uint32_t block_bytes = store_info(to->sidecar->store)->spec.block_bytes;
	uint64_t index = offset / block_bytes - to->look->block;

	return index < to->look->count ? &to->look->source[index] : NULL;
}

static int look_data(struct copy_sink *sink, unsigned disk, uint64_t offset, uint32_t length,
		     struct buf *buf, struct errinfo *err)
{
	struct look_sink *to = member_of(sink, struct look_sink, sink);
	uint32_t block_bytes = store_info(to->sidecar->store)->spec.block_bytes;

	for (uint32_t i = 0; i * block_bytes < length; i++) {
		struct scrub_source *entry = look_entry(to, offset + i * (uint64_t)block_bytes);

		if (entry)
			*entry = (struct scrub_source){.known = true, .sum = buf->sums[i]};
	}
	if (to->look->keep)
		memcpy(to->look->keep->data, buf->data, length);
	pool_put(to->sidecar->pool, buf);
	return 0;
}

static int look_zero(struct copy_sink *sink, unsigned disk, uint64_t offset, uint64_t length,
		     struct errinfo *err)
{
	struct look_sink *to = member_of(sink, struct look_sink, sink);
	uint32_t block_bytes = store_info(to->sidecar->store)->spec.block_bytes;

	for (uint64_t at = offset; at < offset + length; at += block_bytes) {
		struct scrub_source *entry = look_entry(to, at);

		if (entry)
			*entry = (struct scrub_source){.known = true};
	}
	return 0;
}

static int look_bad(struct copy_sink *sink, unsigned disk, uint64_t offset, uint32_t length,
		    int status)
{
	struct look_sink *to = member_of(sink, struct look_sink, sink);
	struct scrub_source *entry = look_entry(to, offset);

	if (entry)
		*entry = (struct scrub_source){.known = true, .status = status};
	return 0;
}

int scrub_read(struct sidecar *sidecar, const struct scrub_look *look, struct errinfo *err)
{
	struct look_sink to = {.sink = {.data = look_data, .zero = look_zero, .bad = look_bad},
			       .sidecar = sidecar, .look = look};
	uint64_t block_bytes = store_info(sidecar->store)->spec.block_bytes;
	struct transfer transfer = {.want = COPY_CLEAN, .sink = &to.sink,
				    .members = UINT64_C(1) << look->disk,
				    .offset = look->block * block_bytes,
				    .length = look->count * block_bytes,
				    .between = look->between, .between_arg = look->between_arg,
				    .read_limit = sidecar->checkpoint.read_limit};
	char context[96];

	memset(look->source, 0, look->count * sizeof(look->source[0]));
	if (look->keep)
		memset(look->keep->data, 0, pool_block_bytes(sidecar->pool));
	checkpoint_context(&sidecar->checkpoint, context);
	transfer.context = context;
	/* A guest that stands still for it waits for no disk that hangs. */
	transfer.patient = sidecar->checkpoint.way == &checkpoint_paused;
	return transfer_run(sidecar, &transfer, err);
}

int scrub_look(struct sidecar *sidecar, const struct scrub_look *look, struct errinfo *err)
{
	struct errinfo revert_err = {0};
	int rc;

	bitmap_name(sidecar, store_info(sidecar->store)->generation + 1, sidecar->checkpoint.next);
	rc = checkpoint_freeze(&sidecar->checkpoint, &checkpoint_cbw, CHECKPOINT_ALL, err);
	sense_pause_met(sidecar);
	if (!rc)
		rc = scrub_read(sidecar, look, err);
	cycle_thaw(sidecar);
	if (checkpoint_revert(&sidecar->checkpoint, &revert_err) && !rc)
		rc = err_set(err, revert_err.code, "%s", revert_err.text);
	if (rc)
		exports_revive(&sidecar->exports, &sidecar->monitor, store_dir(sidecar->store),
			       err);
	return rc;
}

/* --- the replica --- */

int scrub_inspect(struct sidecar *sidecar, const struct scrub_look *look,
		  struct repair_block *replica, struct buf *buf, struct errinfo *err)
{
	static struct repair repair;
	struct outcome inspected = {0};

	repair_inspect(&repair, sidecar->store, look->disk, look->block, look->count, replica, buf,
		       outcome_set, &inspected);
	return outcome_wait(&inspected, &sidecar->loop, err);
}

/* --- what was found --- */

static const char *sum_text(int status, uint64_t sum, char text[64])
{
	if (status)
		snprintf(text, 64, "cannot be read: %s", strerror(-status));
	else
		snprintf(text, 64, "%016llx", (unsigned long long)sum);
	return text;
}

static void describe(const struct heal_block *bad, char *text, size_t size)
{
	char own[64], source[64];

	snprintf(text, size, "block %llu (%u bytes at offset %llu): sum in the replica %016llx, "
		 "replica's block %s, disk's block %s: %s", (unsigned long long)bad->block,
		 bad->bytes, (unsigned long long)bad->offset,
		 (unsigned long long)bad->replica.stored,
		 sum_text(bad->replica.status, bad->replica.own, own),
		 bad->source.known ? sum_text(bad->source.status, bad->source.sum, source)
				   : "changed since",
		 bad->verdict == SCRUB_REPLICA  ? "the replica's is bad"
		 : bad->verdict == SCRUB_SUM    ? "the sum in the replica is wrong"
		 : bad->verdict == SCRUB_SOURCE ? "the disk's is bad"
						: "no side has the content that was stored");
}

static void tell(struct sidecar *sidecar, const struct heal_block *bad)
{
	const char *disk = sidecar->guest.disks[bad->disk].name;
	bool source = bad->verdict == SCRUB_SOURCE;
	char detail[400];
	json_t *fields;

	describe(bad, detail, sizeof(detail));
	log_warn("scrub: disk %s: %s", disk, detail);
	fields = json_pack("{s:s,s:s,s:s,s:I,s:I}", "kind",
			   fault_name(source ? FAULT_DISK_CORRUPT : FAULT_REPLICA), "resource",
			   disk, "detail", detail, "offset", (json_int_t)bad->offset, "length",
			   (json_int_t)bad->bytes);
	json_decref(sidecar->last_fault);
	sidecar->last_fault = json_incref(fields);
	report_event(&sidecar->report, "fault", fields);
}

/* How many blocks of the disk will be healed: so many an incident is about. */
static unsigned count_source(const struct sidecar *sidecar, const struct scrub_look *look)
{
	unsigned heals = 0, found = 0;

	if (!sidecar->config->heal)
		return 0;
	for (uint32_t i = 0; i < look->count && heals < WINDOW_HEALS; i++) {
		struct heal_block bad = {.source = window_source[i],
					 .verdict = scrub_judge(&window_replica[i],
								&window_source[i])};

		heals += heal_can(&bad);
		found += bad.verdict == SCRUB_SOURCE;
	}
	return found;
}

/* True: it is healed. */
static bool heal(struct sidecar *sidecar, const struct heal_block *bad, struct heal_tally *tally)
{
	struct errinfo err = {0};
	double pause_ms;
	int rc;

	if (bad->verdict == SCRUB_SOURCE && !tally->begun)
		heal_incident_begin(sidecar, bad, tally);
	rc = heal_run(sidecar, bad, &pause_ms, &err);
	tally->pause_ms += pause_ms;
	tally->healed += !rc && bad->verdict == SCRUB_SOURCE;
	tally->tried += rc != -EAGAIN && bad->verdict == SCRUB_SOURCE;
	if (rc && rc != -EAGAIN && bad->verdict == SCRUB_SOURCE)
		snprintf(tally->why, sizeof(tally->why), "%s", err.text);
	if (!rc) {
		sidecar->scrub.healed++;
		return true;
	}
	log_warn("scrub: disk %s: block %llu is not healed: %s",
		 sidecar->guest.disks[bad->disk].name, (unsigned long long)bad->block, err.text);
	return false;
}

/* Noted before it is told: what was told is known to the next sidecar, too. */
static void note_bad(struct sidecar *sidecar, const struct heal_block *bad)
{
	sidecar->scrub.bad_replica++;
	damage_note(&sidecar->damage, bad->disk, bad->block);
	damage_save(sidecar);
}

/* Where the next window begins: behind this one, or behind what could be healed. */
static uint64_t conclude_blocks(struct sidecar *sidecar, const struct scrub_look *look,
				struct heal_tally *tally)
{
	const struct store_spec *spec = &store_info(sidecar->store)->spec;
	uint64_t size = spec->disks[look->disk].size;
	unsigned heals = 0, told = 0, more = 0;

	for (uint32_t i = 0; i < look->count; i++) {
		struct heal_block bad = {.disk = look->disk, .block = look->block + i,
					 .replica = window_replica[i], .source = window_source[i]};

		bad.verdict = scrub_judge(&bad.replica, &bad.source);
		if (bad.verdict != SCRUB_FINE && heals == WINDOW_HEALS)
			return bad.block * spec->block_bytes;
		damage_clear(&sidecar->damage, bad.disk, bad.block, 1);
		if (bad.verdict == SCRUB_FINE)
			continue;
		bad.offset = bad.block * spec->block_bytes;
		bad.bytes = spec->block_bytes;
		if (size - bad.offset < bad.bytes)
			bad.bytes = (uint32_t)(size - bad.offset);
		if (bad.verdict == SCRUB_SOURCE)
			sidecar->scrub.bad_source++;
		else
			note_bad(sidecar, &bad);
		if (told++ < WINDOW_TELLS)
			tell(sidecar, &bad);
		else
			more++;
		if (sidecar->config->heal && heal_can(&bad) && ++heals && heal(sidecar, &bad, tally))
			damage_clear(&sidecar->damage, bad.disk, bad.block, 1);
		if (sidecar->loop.quit || sidecar->monitor.closed)
			break;
		if (sidecar->fault.kind != FAULT_NONE) /* a disk failed: that goes first */
			return bad.offset + spec->block_bytes;
	}
	if (more)
		log_warn("scrub: disk %s: %u more bad blocks up to %llu",
			 sidecar->guest.disks[look->disk].name, more,
			 (unsigned long long)(look->block + look->count) * spec->block_bytes);
	return (look->block + look->count) * spec->block_bytes;
}

static uint64_t conclude(struct sidecar *sidecar, const struct scrub_look *look)
{
	struct heal_tally tally = {.found = count_source(sidecar, look)};
	uint64_t end = conclude_blocks(sidecar, look, &tally);

	heal_incident_end(sidecar, look->disk, &tally);
	return end;
}

/* --- a window --- */

static uint32_t window_blocks(const struct sidecar *sidecar, uint64_t left)
{
	uint32_t block_bytes = store_info(sidecar->store)->spec.block_bytes;
	uint64_t bytes = sidecar->config->scrub_rate * WINDOW_MS / 1000;

	if (bytes < WINDOW_MIN_BYTES)
		bytes = WINDOW_MIN_BYTES;
	if (bytes > WINDOW_MAX_BYTES)
		bytes = WINDOW_MAX_BYTES;
	if (bytes > (uint64_t)WINDOW_BLOCKS * block_bytes)
		bytes = (uint64_t)WINDOW_BLOCKS * block_bytes;
	if (bytes > left)
		bytes = left;
	return (uint32_t)((bytes + block_bytes - 1) / block_bytes);
}

static int window_read(struct sidecar *sidecar, const struct scrub_look *look, struct errinfo *err)
{
	struct outcome settled = {0};
	uint64_t dirty_bytes;
	struct buf *buf;
	int rc;

	store_settle(sidecar->store, outcome_set, &settled);
	rc = outcome_wait(&settled, &sidecar->loop, err);
	if (!rc)
		rc = cycle_look(sidecar, &dirty_bytes, err);
	if (rc)
		return rc;
	buf = pool_get(sidecar->pool);
	if (!buf)
		return err_set(err, -EAGAIN, "no buffer is free");
	rc = scrub_inspect(sidecar, look, window_replica, buf, err);
	pool_put(sidecar->pool, buf);
	return rc ? rc : scrub_look(sidecar, look, err);
}

/* The disks may be others now, and shorter. */
static void place(struct sidecar *sidecar)
{
	const struct store_spec *spec = &store_info(sidecar->store)->spec;
	struct scrub *scrub = &sidecar->scrub;

	while (scrub->disk < spec->disk_count && scrub->position >= spec->disks[scrub->disk].size) {
		scrub->disk++;
		scrub->position = 0;
	}
	if (scrub->disk < spec->disk_count)
		return;
	scrub->disk = 0;
	scrub->passes++;
	scrub->told = 0;
	damage_pass_ends(&sidecar->damage);
	scrub->last_pass_us = loop_realtime_us();
}

void scrub_run(struct sidecar *sidecar)
{
	const struct store_spec *spec = &store_info(sidecar->store)->spec;
	struct scrub *scrub = &sidecar->scrub;
	int64_t began_ns = ring_now_ns();
	struct errinfo err = {0};
	struct scrub_look look;
	uint64_t end;
	int rc;

	look = (struct scrub_look){.disk = scrub->disk,
				   .block = scrub->position / spec->block_bytes,
				   .source = window_source};
	look.count = window_blocks(sidecar, spec->disks[scrub->disk].size - scrub->position);
	rc = window_read(sidecar, &look, &err);
	if (rc) {
		if (rc != -EINTR && !sidecar->monitor.closed)
			log_warn("scrub: %s; tried again later", err.text);
		scrub->due_ns = ring_now_ns() + RETRY_MS * NS_PER_MS;
		return;
	}
	damage_load(sidecar);
	end = conclude(sidecar, &look);
	damage_save(sidecar);
	scrub->checked_bytes += end - scrub->position;
	scrub->due_ns = began_ns + (int64_t)((double)(end - scrub->position) * 1e9 /
					     (double)sidecar->config->scrub_rate);
	scrub->position = end;
	place(sidecar);
}

int64_t scrub_due_ns(const struct sidecar *sidecar)
{
	if (!sidecar->config->scrub_rate || sidecar->state != SIDECAR_PROTECTED ||
	    sidecar->uncovered || store_info(sidecar->store)->promoted)
		return INT64_MAX;
	return sidecar->scrub.due_ns;
}

json_t *scrub_json(const struct sidecar *sidecar)
{
	const struct scrub *scrub = &sidecar->scrub;
	char time[40] = "";

	if (!sidecar->config->scrub_rate)
		return NULL;
	if (scrub->last_pass_us)
		report_time(scrub->last_pass_us, time);
	return json_pack("{s:I,s:I,s:s,s:I,s:I,s:I,s:I,s:I,s:s,s:b}", "rate",
			 (json_int_t)sidecar->config->scrub_rate, "position",
			 (json_int_t)scrub->position, "disk",
			 scrub->disk < sidecar->guest.disk_count
				 ? sidecar->guest.disks[scrub->disk].name : "",
			 "passes", (json_int_t)scrub->passes, "checked_bytes",
			 (json_int_t)scrub->checked_bytes, "bad_replica",
			 (json_int_t)scrub->bad_replica, "bad_source",
			 (json_int_t)scrub->bad_source, "healed", (json_int_t)scrub->healed,
			 "last_pass", time, "heal", sidecar->config->heal);
}
