/* SPDX-License-Identifier: Apache-2.0
 *
 * qemu_end: the monitor is closed: QEMU ended, on purpose or not, or it lives and has
 * only closed it.
 */
#include "meet.h"
#include "respond.h"
#include "sidecar.h"

#define EXIT_WAIT_MS 2000 /* a process with much memory takes its time to end */

static bool process_ended(void *arg)
{
	const struct sidecar *sidecar = arg;

	return sidecar->sense.facts.process_ended;
}

static void answer_all(struct sidecar *sidecar)
{
	struct errinfo err = {0};

	while (sidecar->store && !sidecar->rebirth && !sidecar->loop.quit && sense_next(sidecar))
		respond_run(sidecar, &err);
}

/* QEMU lives and has closed its monitor.  It is never killed for that; who waits long
 * enough may meet it again. */
static bool comes_back(struct sidecar *sidecar)
{
	struct meet meet = {.want = MEET_ANSWER, .timeout_ms = MEET_FOR_EVER,
			    .gone = &sidecar->sense.facts.process_ended};
	struct errinfo err = {0};

	if (!sidecar->store || sidecar->rebirth || sidecar->loop.quit)
		return sidecar->rebirth;
	sidecar_degrade(sidecar, "QEMU closed its monitor and lives: it is tried again");
	sidecar->rebirth = !meet_qemu(&sidecar->loop, sidecar->config->qmp, &meet, &err);
	sense_judge(sidecar);
	return sidecar->rebirth;
}

/* QEMU is gone: on purpose, or not.  What can be done about it may bring another
 * (rebirth). */
/* Before anything was protected: there is nothing to judge, or to answer. */
static int end_of_attach(struct sidecar *sidecar)
{
	log_error("QEMU of %s is gone: %s", sidecar->guest.name[0] ? sidecar->guest.name
								     : sidecar->config->qmp,
		  sidecar->monitor.closed_why);
	report_event(&sidecar->report, "fault",
		     json_pack("{s:s,s:s,s:s}", "kind", "qemu-exit", "resource", "qemu", "detail",
			       sidecar->monitor.closed_why));
	return 1;
}

int qemu_end_run(struct sidecar *sidecar)
{
	struct detect_facts *facts = &sidecar->sense.facts;

	if (!sidecar->sense.started)
		return end_of_attach(sidecar);
	/* The end of the process follows that of its socket. */
	if (sidecar->sense.pidfd >= 0)
		loop_until(&sidecar->loop, process_ended, sidecar,
			   ring_now_ns() + EXIT_WAIT_MS * NS_PER_MS);
	else
		facts->process_ended = true;
	facts->monitor_ended = true;
	facts->asked_ns = 0; /* nobody is left to answer */
	sense_judge(sidecar);
	if (!sense_next(sidecar)) {
		log_info("%s was shut down; the store keeps its last generation",
			 sidecar->guest.name);
		report_event(&sidecar->report, "degraded",
			     json_pack("{s:s}", "reason", "the guest was shut down"));
		return 0;
	}
	answer_all(sidecar);
	if (!facts->process_ended && comes_back(sidecar))
		return 0;
	answer_all(sidecar); /* it ended meanwhile */
	if (sidecar->rebirth || sidecar->loop.quit)
		return 0;
	log_error("QEMU of %s is gone: %s; the store keeps its last generation",
		  sidecar->guest.name, sidecar->monitor.closed_why);
	return 1;
}
