/* SPDX-License-Identifier: Apache-2.0 */
#include "restore_target.h"

#include "report.h"

/* A server that says nothing would keep us for ever; nothing is begun that a signal harms. */
static int nbd_open(struct restore_job *job, struct loop *loop, struct errinfo *err)
{
	int status;

	loop_pass_signals(true);
	status = target_open_nbd(&job->target, loop->ring, job->output.path, job->disk->size, err);
	loop_pass_signals(false);
	if (!status && job->target->unflushed)
		log_warn("%s knows no flush: when its data is on stable storage is up to the server",
			 job->output.path);
	return status;
}

int restore_target_open(struct restore_job *job, struct loop *loop, struct errinfo *err)
{
	static const enum target_begin begins[] = {
		[RESTORE_NEW] = TARGET_NEW,
		[RESTORE_CONTINUE] = TARGET_UPDATE,
		[RESTORE_UPDATE] = TARGET_UPDATE,
		[RESTORE_REPLACE] = TARGET_REPLACE,
	};
	const struct restore_output *output = &job->output;
	enum target_begin begin = begins[output->mode];

	job->compare = begin == TARGET_UPDATE;
	if (output->nbd)
		return nbd_open(job, loop, err);
	if (job->wish.qcow2)
		return target_open_qcow2(&job->target, loop->ring, output->path, job->image, begin,
					 err);
	return target_open_raw(&job->target, loop->ring, output->path, job->disk->size, begin, err);
}
