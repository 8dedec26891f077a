/* SPDX-License-Identifier: Apache-2.0
 *
 * What came of a restore, as one JSON object or for people.
 */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "progress.h"
#include "report.h"
#include "restore_run.h"

#define BAD_LINES 20 /* for people; --json has more */

static const char *bad_reason(int status)
{
	return status == -EUCLEAN ? "differs from its checksum" : strerror(-status);
}

static unsigned bad_listed(const struct restore_job *job)
{
	uint64_t count = restore_progress(job->restore)->bad_count;

	return count < RESTORE_BAD_MAX ? (unsigned)count : RESTORE_BAD_MAX;
}

static json_t *bad_json(const struct restore_job *job)
{
	const struct restore_bad *bad = restore_bad(job->restore);
	json_t *list = json_array();

	for (unsigned i = 0; i < bad_listed(job); i++)
		json_array_append_new(
			list, json_pack("{s:I,s:I,s:I,s:s}", "block",
					(json_int_t)(bad[i].offset / image_block_bytes(job->image)),
					"offset", (json_int_t)bad[i].offset, "bytes",
					(json_int_t)bad[i].length, "error",
					bad_reason(bad[i].status)));
	return list;
}

static json_t *job_json(const struct restore_job *job)
{
	const struct restore_progress *progress = restore_progress(job->restore);

	return json_pack("{s:s,s:s,s:s,s:I,s:I,s:I,s:I,s:I,s:I,s:o}", "disk", job->disk->name,
			 "output", job->output.path, "format", job->wish.qcow2 ? "qcow2" : "raw",
			 "bytes", (json_int_t)job->disk->size, "data_bytes",
			 (json_int_t)job->data_bytes, "written_bytes",
			 (json_int_t)progress->data_bytes, "compared_bytes",
			 (json_int_t)progress->compared_bytes, "bad_bytes",
			 (json_int_t)progress->bad_bytes, "bad_count",
			 (json_int_t)progress->bad_count, "bad_blocks", bad_json(job));
}

struct sums {
	uint64_t bytes, data_bytes, written_bytes, compared_bytes, bad_count;
};

static struct sums sums_of(const struct restore_result *result)
{
	struct sums sums = {0};

	for (unsigned i = 0; i < result->count; i++) {
		const struct restore_progress *progress =
			restore_progress(result->jobs[i].restore);

		sums.bytes += result->jobs[i].disk->size;
		sums.data_bytes += result->jobs[i].data_bytes;
		sums.written_bytes += progress->data_bytes;
		sums.compared_bytes += progress->compared_bytes;
		sums.bad_count += progress->bad_count;
	}
	return sums;
}

static void tell_json(const struct restore_result *result)
{
	const struct restore_source *source = result->source;
	struct sums sums = sums_of(result);
	json_t *disks = json_array(), *object;
	uint64_t moved = sums.written_bytes + sums.compared_bytes;
	char time[40];

	for (unsigned i = 0; i < result->count; i++)
		json_array_append_new(disks, job_json(&result->jobs[i]));
	report_time(source->time_us, time);
	object = json_pack(
		"{s:s,s:s,s:I,s:s,s:s,s:I,s:I,s:I,s:I,s:f,s:f,s:I,s:o}", "vm",
		source->info.spec.vm, "point", source->name,
		"generation", (json_int_t)source->generation, "time", time, "output",
		result->order->output, "bytes", (json_int_t)sums.bytes, "data_bytes",
		(json_int_t)sums.data_bytes, "written_bytes", (json_int_t)sums.written_bytes,
		"compared_bytes", (json_int_t)sums.compared_bytes, "seconds", result->seconds,
		"rate", result->seconds > 0 ? (double)moved / result->seconds : 0.0, "bad_count",
		(json_int_t)sums.bad_count, "disks", disks);
	json_dumpf(object, stdout, REPORT_JSON);
	putchar('\n');
	json_decref(object);
}

static void tell_bad(const struct restore_job *job)
{
	const struct restore_bad *bad = restore_bad(job->restore);
	uint64_t count = restore_progress(job->restore)->bad_count;

	for (unsigned i = 0; i < bad_listed(job) && i < BAD_LINES; i++)
		log_warn("disk %s: block %llu (%u bytes at %llu) %s: left out, zeros now",
			 job->disk->name,
			 (unsigned long long)(bad[i].offset / image_block_bytes(job->image)),
			 bad[i].length, (unsigned long long)bad[i].offset,
			 bad_reason(bad[i].status));
	if (count > BAD_LINES)
		log_warn("disk %s: %llu blocks were left out; --json lists up to %d",
			 job->disk->name, (unsigned long long)count, RESTORE_BAD_MAX);
}

static void tell_job(const struct restore_result *result, const struct restore_job *job)
{
	const struct restore_progress *progress = restore_progress(job->restore);
	char time[40], written[16], rate[16];
	double moved = (double)(progress->data_bytes + progress->compared_bytes);

	report_time(result->source->time_us, time);
	progress_bytes(written, (double)progress->data_bytes);
	progress_bytes(rate, result->seconds > 0 ? moved / result->seconds : 0);
	printf("%s: disk %s of generation %llu (%s%s, %s) is in %s: %s written%s in %.2f s, %s/s\n",
	       result->source->info.spec.vm, job->disk->name,
	       (unsigned long long)result->source->generation,
	       result->source->temporary || !result->source->point ? "" : "point ",
	       result->source->name, time,
	       job->output.path, written, job->compare ? ", the rest was there" : "",
	       result->seconds, rate);
}

void restore_tell(const struct restore_result *result)
{
	for (unsigned i = 0; i < result->count; i++)
		tell_bad(&result->jobs[i]);
	if (result->order->json) {
		tell_json(result);
	} else {
		for (unsigned i = 0; i < result->count; i++)
			tell_job(result, &result->jobs[i]);
	}
	fflush(stdout);
}
