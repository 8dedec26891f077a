/* SPDX-License-Identifier: Apache-2.0
 *
 * recover_end: how a recovery ends when no disk was exchanged: the guest goes on as it was,
 * is left paused, or is gone with its QEMU.
 */
#include "recover_private.h"

#include "mind.h"
#include "tell.h"

int recovery_give_up(struct recovery *recovery, const char *strategy, const struct errinfo *why)
{
	struct sidecar *sidecar = recovery->sidecar;

	log_error("recovery by %s failed: %s; the guest is left paused", strategy, why->text);
	tell_failed(sidecar, strategy, why->text, "hold", NULL);
	recovery_close_incident(recovery, sidecar->config->mind->verdict.strategy == STRATEGY_HOLD
					 ? "held" : "failed", why->text);
	sidecar_set_state(sidecar, SIDECAR_HELD);
	aftercare_forget(sidecar); /* it is about a recovery before */
	sidecar->full.cleared = false;
	return why->code;
}

/* The guest runs as it was, and the replica is as far behind as it was. */
static void go_back(struct recovery *recovery)
{
	struct sidecar *sidecar = recovery->sidecar;

	if (store_info(sidecar->store)->promoted || recovery->before == SIDECAR_HELD)
		sidecar_let_go(sidecar);
	else
		sidecar_set_state(sidecar, recovery->before);
}

/* Somebody let the guest go on meanwhile: it is as it was, and the next error
 * begins a new recovery. */
int recovery_call_off(struct recovery *recovery, const struct errinfo *why)
{
	struct sidecar *sidecar = recovery->sidecar;

	log_warn("%s: it goes on as it was", why->text);
	mind_forget(sidecar->config->mind);
	aftercare_forget(sidecar); /* of a recovery before: who let the guest go on sees to it */
	sidecar->fault.kind = FAULT_NONE;
	sidecar->faulted = 0;
	sidecar->alert = true;
	go_back(recovery);
	return why->code;
}

/* Nothing was exchanged: the guest goes on as it was. */
int recovery_resumed(struct recovery *recovery)
{
	recovery_report_resumed(recovery);
	recovery_learn(recovery);
	recovery_close_incident(recovery, "recovered", NULL);
	go_back(recovery);
	return 0;
}

/* What follows answers the end of QEMU. */
void recovery_qemu_ended(struct recovery *recovery)
{
	static const char why[] = "QEMU ended before its guest ran";

	tell_failed(recovery->sidecar, recovery->strategy, why, "the answer to the end of QEMU",
		    NULL);
	recovery_close_incident(recovery, "failed", why);
}
