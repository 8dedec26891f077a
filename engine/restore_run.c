/* SPDX-License-Identifier: Apache-2.0
 *
 * The story of a restore, from top to bottom: the point, the outputs, all checks
 * that change nothing; then the marks, the targets, and one run of the ring.
 */
#include "restore_run.h"

#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "file.h"
#include "loop.h"
#include "member.h"
#include "progress.h"
#include "report.h"
#include "restore_target.h"
#include "successor.h"

/* 1 MiB a request is where every disk measured is at its full rate, and enough of
 * them to keep reads and writes going side by side: 32 MiB, whatever is restored. */
#define RESTORE_BUFFERS 32
#define RESTORE_BUFFER_BYTES (1u << 20)
#define RESTORE_DEPTH 16 /* reads of one disk; the other buffers are being written */
#define RESTORE_COMPARE_DEPTH 8 /* see VERIFY_DEPTH; a network's delay wants more */

#define LEAVE_MS 10000

struct run {
	const struct restore_order *order;
	struct loop loop;
	struct pool *pool;
	struct restore_source source;
	struct restore_job *jobs;
	unsigned count;
	struct ring_op timer;
	struct progress progress;
	bool begun; /* outputs were touched */
	bool ending; /* the timer stays down: its tick may be on its way when it is cancelled */
	int64_t begin_ns;
	struct errinfo err;
};

/* --- which disks, and where they go --- */

static const struct store_disk *disk_find(const struct restore_source *source, const char *name)
{
	for (unsigned i = 0; i < source->disk_count; i++) {
		if (!strcmp(source->disks[i].name, name))
			return &source->disks[i];
	}
	return NULL;
}

static void disk_names(const struct restore_source *source, char *text, size_t size)
{
	size_t used = 0;

	text[0] = '\0';
	for (unsigned i = 0; i < source->disk_count && used + STORE_NAME_MAX + 3 < size; i++)
		used += (size_t)snprintf(text + used, size - used, "%s%s", i ? ", " : "",
					 source->disks[i].name);
}

static bool many(const struct run *run)
{
	return run->order->all || run->order->disk_count > 1;
}

static int disk_lacking(struct run *run, const struct store_disk *disk)
{
	return err_set(&run->err, -ENODATA, "%s: generation %llu does not hold disk %s whole, which "
		       "was added or grew: it can be restored when the guest is protected again; "
		       "other disks (--disk NAME) and older points can now", run->order->store,
		       (unsigned long long)run->source.generation, disk->name);
}

static int job_init(struct run *run, const struct store_disk *disk)
{
	const struct restore_order *order = run->order;
	struct restore_job *job = &run->jobs[run->count];
	char path[PATH_MAX];

	if (restore_source_lacks(&run->source, disk))
		return disk_lacking(run, disk);
	job->disk = disk;
	job->wish = (struct restore_wish){
		.store = order->store,
		.info = &run->source.info,
		.disk = disk->name,
		.size = disk->size,
		.generation = run->source.generation,
		.point = run->source.name,
		.qcow2 = order->qcow2,
		.in_place = order->in_place,
		.force = order->force,
	};
	if (snprintf(path, sizeof(path), many(run) ? "%s/%s.%s" : "%s", order->output, disk->name,
		     order->qcow2 ? "qcow2" : "raw") >= (int)sizeof(path))
		return err_set(&run->err, -ENAMETOOLONG, "%s: the path is too long", order->output);
	run->count++;
	return restore_output_check(&job->output, path, &job->wish, &run->err);
}

static int directory_check(struct run *run)
{
	struct file_identity identity;
	int status = file_identify_path(run->order->output, &identity);

	if (status && status != -ENOENT)
		return err_set(&run->err, status, "%s: %s", run->order->output, strerror(-status));
	if (!status && identity.kind != FILE_DIRECTORY)
		return err_set(&run->err, -ENOTDIR, "%s is not a directory; several disks need one",
			       run->order->output);
	/* Made here: an empty directory does no harm. */
	status = status ? file_make_dir(run->order->output) : 0;
	if (status)
		return err_set(&run->err, status, "%s: cannot make this directory: %s",
			       run->order->output, strerror(-status));
	return 0;
}

static int jobs_named(struct run *run)
{
	const struct restore_order *order = run->order;
	char names[512];
	int status = 0;

	disk_names(&run->source, names, sizeof(names));
	for (unsigned i = 0; i < order->disk_count; i++) {
		if (!disk_find(&run->source, order->disks[i]))
			return err_set(&run->err, -ENOENT, "%s has no disk %s%s%s; it has %s",
				       order->store, order->disks[i],
				       run->source.point ? " at point " : "",
				       run->source.point ? run->source.name : "", names);
	}
	if (!order->all && !order->disk_count && run->source.disk_count > 1)
		return err_set(&run->err, -EINVAL, "%s has several disks (%s): say which with "
			       "--disk NAME, or --all",
			       order->store, names);
	if (many(run))
		status = directory_check(run);
	for (unsigned i = 0; i < order->disk_count && !status; i++)
		status = job_init(run, disk_find(&run->source, order->disks[i]));
	for (unsigned i = 0; i < run->source.disk_count && !order->disk_count && !status; i++)
		status = job_init(run, &run->source.disks[i]);
	return status;
}

/* --- opening --- */

static int pool_begin(struct run *run)
{
	uint32_t block_bytes = run->source.info.spec.block_bytes;
	uint32_t bytes = RESTORE_BUFFER_BYTES;

	return pool_new(&run->pool, run->loop.ring, RESTORE_BUFFERS, bytes, block_bytes,
			&run->err);
}

/* With the source open its disks and generation are final: of a temporary point
 * they are newer than what was looked at before. */
static int images_open(struct run *run)
{
	int status = 0;

	for (unsigned i = 0; i < run->count && !status; i++) {
		struct restore_job *job = &run->jobs[i];

		job->disk = disk_find(&run->source, job->wish.disk);
		if (!job->disk || job->disk->size != job->wish.size)
			return err_set(&run->err, -ESTALE, "disk %s changed just now; try again",
				       job->wish.disk);
		if (restore_source_lacks(&run->source, job->disk))
			return disk_lacking(run, job->disk);
		job->wish.generation = run->source.generation;
		status = image_open(&job->image, run->loop.ring, run->order->store,
				    run->source.point, job->disk->name, &run->err);
		if (!status && run->order->salvage)
			image_salvage(job->image);
		if (!status)
			status = restore_measure(job->image, &job->data_bytes, &run->err);
	}
	return status;
}

/* All outputs that are files lie in one directory. */
static int room_check(struct run *run)
{
	uint64_t need = 0, room;
	char copy[PATH_MAX];
	const char *dir;

	for (unsigned i = 0; i < run->count; i++) {
		const struct restore_job *job = &run->jobs[i];

		if (!job->output.nbd && !job->output.device &&
		    job->data_bytes > job->output.allocated)
			need += job->data_bytes - job->output.allocated;
	}
	snprintf(copy, sizeof(copy), "%s", run->jobs[0].output.path);
	dir = dirname(copy);
	if (!need || file_room(dir, &room) || room >= need)
		return 0;
	return err_set(&run->err, -ENOSPC,
		       "%s has room for %llu bytes, %llu too few for the %llu to be restored", dir,
		       (unsigned long long)room, (unsigned long long)(need - room),
		       (unsigned long long)need);
}

static int targets_open(struct run *run)
{
	int status = 0;

	for (unsigned i = 0; i < run->count && !status; i++) {
		struct restore_job *job = &run->jobs[i];

		bool marked = restore_output_marked(&job->output); /* by somebody else, or before */

		status = restore_output_mark(&job->output, &job->wish, &run->err);
		if (!status)
			status = restore_target_open(job, &run->loop, &run->err);
		if (status && !job->target && !marked)
			restore_output_forget(&job->output);
		if (!status)
			status = restore_output_mark(&job->output, &job->wish, &run->err);
	}
	return status;
}

/* --- the run --- */

static void job_done(void *arg, int status, const struct errinfo *error)
{
	struct restore_job *job = arg;

	job->done = true;
	job->error = *error;
}

static int jobs_start(struct run *run)
{
	int status = 0;

	for (unsigned i = 0; i < run->count && !status; i++) {
		struct restore_job *job = &run->jobs[i];
		struct restore_request request = {
			.image = job->image,
			.target = job->target,
			.pool = run->pool,
			.depth = RESTORE_DEPTH,
			.compare_depth = job->output.nbd ? RESTORE_DEPTH
							 : RESTORE_COMPARE_DEPTH,
			.compare = job->compare,
			.salvage = run->order->salvage,
		};

		status = restore_start(&job->restore, &request, job_done, job, &run->err);
	}
	return status;
}

static void progress_tick(struct ring_op *op, int result)
{
	struct run *run = member_of(op, struct run, timer);
	uint64_t done = 0, total = 0;

	if (result < 0 || run->ending)
		return;
	for (unsigned i = 0; i < run->count; i++) {
		const struct restore_job *job = &run->jobs[i];

		total += job->compare ? job->disk->size : job->data_bytes;
		if (job->restore)
			done += job->compare ? restore_progress(job->restore)->scanned
					     : restore_progress(job->restore)->data_bytes;
	}
	progress_show(&run->progress, done, total, ring_now_ns());
	ring_timer(run->loop.ring, op, ring_now_ns() + PROGRESS_PERIOD_NS);
}

static bool jobs_over(void *arg)
{
	const struct run *run = arg;

	for (unsigned i = 0; i < run->count; i++) {
		if (run->jobs[i].restore && !run->jobs[i].done)
			return false;
	}
	return true;
}

/* One that failed ends the others: they continue with it. */
static bool jobs_event(void *arg)
{
	const struct run *run = arg;

	for (unsigned i = 0; i < run->count; i++) {
		if (run->jobs[i].done && run->jobs[i].error.code)
			return true;
	}
	return run->loop.quit || jobs_over(arg);
}

/* A file's requests end; those of a server may never, and somebody wants us to. */
static int64_t end_ns(const struct run *run)
{
	for (unsigned i = 0; i < run->count; i++) {
		if (run->loop.quit && run->jobs[i].output.nbd)
			return ring_now_ns() + LEAVE_MS * INT64_C(1000000);
	}
	return INT64_MAX;
}

/* As by SIGKILL, which every part of it is made for. */
static void leave(void)
{
	log_error("interrupted; the server does not answer, and is not waited for");
	fflush(stdout);
	_exit(1);
}

static int jobs_wait(struct run *run)
{
	int status = loop_until(&run->loop, jobs_event, run, INT64_MAX);

	for (unsigned i = 0; i < run->count; i++) {
		if (run->jobs[i].restore && !run->jobs[i].done)
			restore_cancel(run->jobs[i].restore);
	}
	if (!status)
		status = loop_until(&run->loop, jobs_over, run, end_ns(run));
	if (status == -ETIMEDOUT)
		leave();
	for (unsigned i = 0; i < run->count && !status; i++) {
		const struct errinfo *error = &run->jobs[i].error;

		if (error->code && error->code != -ECANCELED)
			status = err_set(&run->err, error->code, "%s", error->text);
	}
	for (unsigned i = 0; i < run->count && !status; i++)
		status = run->jobs[i].error.code;
	return status;
}

/* All images first: as long as one has its mark the same command continues with all. */
static int jobs_complete(struct run *run)
{
	int status = 0;

	for (unsigned i = 0; i < run->count && !status; i++)
		status = restore_output_flush(&run->jobs[i].output, &run->err);
	for (unsigned i = 0; i < run->count && !status; i++)
		restore_output_forget(&run->jobs[i].output);
	for (unsigned i = 0; i < run->count && !status; i++)
		status = restore_output_flush(&run->jobs[i].output, &run->err);
	return status;
}

static int run_copy(struct run *run)
{
	int status;

	run->begun = true;
	run->begin_ns = ring_now_ns();
	progress_init(&run->progress, "restore", run->order->json, run->begin_ns);
	status = targets_open(run);
	if (!status)
		status = jobs_start(run);
	if (status)
		run->loop.quit = true; /* those that were started end at once */
	run->timer.done = progress_tick;
	ring_timer(run->loop.ring, &run->timer, run->begin_ns + PROGRESS_PERIOD_NS);
	if (jobs_wait(run) && !status)
		status = run->err.code ? run->err.code : -ECANCELED;
	progress_end(&run->progress);
	return status ? status : jobs_complete(run);
}

static int run_prepare(struct run *run)
{
	const struct restore_order *order = run->order;
	int status = restore_source_find(&run->source, order->store, order->point, &run->err);

	if (!status && !run->source.point)
		successor_warn(order->store);
	if (!status)
		status = jobs_named(run);
	if (!status)
		status = loop_init(&run->loop, &run->err);
	if (!status)
		status = pool_begin(run);
	if (!status)
		status = restore_source_open(&run->source, run->loop.ring, run->pool, &run->err);
	if (!status)
		status = images_open(run);
	if (!status)
		status = room_check(run);
	/* Measuring takes its time, and nobody has looked since. */
	if (!status && loop_interrupted(&run->loop))
		status = err_set(&run->err, -EINTR, "interrupted: nothing was written");
	return status;
}

static void run_release(struct run *run)
{
	run->ending = true;
	if (run->loop.ring && ring_op_pending(&run->timer)) {
		ring_cancel(run->loop.ring, &run->timer);
		while (ring_op_pending(&run->timer) && ring_run(run->loop.ring) >= 0)
			;
	}
	for (unsigned i = 0; i < run->count; i++) {
		restore_free(run->jobs[i].restore);
		target_close(run->jobs[i].target);
		image_close(run->jobs[i].image);
	}
	restore_source_release(&run->source);
	if (run->loop.ring) {
		pool_free(run->pool);
		loop_release(&run->loop);
	}
	free(run->jobs);
	free(run);
}

static const char *again(const struct run *run)
{
	for (unsigned i = 0; i < run->count; i++) {
		const struct restore_output *output = &run->jobs[i].output;

		if ((output->nbd || output->device) && output->mode != RESTORE_UPDATE)
			return "begins anew, with --in-place it continues";
	}
	return "continues";
}

static int run_verdict(struct run *run, int status)
{
	struct restore_result result = {run->order, &run->source, run->jobs, run->count, 0};
	bool bad = false;

	if (status && run->err.code) {
		log_error("%s", run->err.text);
		return 1;
	}
	if (status) {
		log_error("interrupted; the same command %s", again(run));
		return 1;
	}
	result.seconds = (double)(ring_now_ns() - run->begin_ns) / 1e9;
	restore_tell(&result);
	for (unsigned i = 0; i < run->count; i++)
		bad = bad || restore_progress(run->jobs[i].restore)->bad_count;
	return bad;
}

int restore_run(const struct restore_order *order)
{
	struct run *run = calloc(1, sizeof(*run));
	int status;

	if (run)
		run->jobs = calloc(STORE_DISKS_MAX, sizeof(*run->jobs));
	if (!run || !run->jobs) {
		log_error("no memory for a restore");
		free(run);
		return 1;
	}
	run->order = order;
	run->source.hold_fd = -1;
	status = run_prepare(run);
	if (!status)
		status = run_copy(run);
	status = run_verdict(run, status);
	run_release(run);
	return status;
}
