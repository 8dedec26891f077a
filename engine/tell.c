/* SPDX-License-Identifier: Apache-2.0 */
#include "tell.h"

#include "mind.h"
#include "sidecar.h"

static const char *objective(const struct sidecar *sidecar)
{
	return sidecar->config->mind->settings.objective == OBJECTIVE_FAST ? "fast" : "optimal";
}

/* A clock that was set back makes no negative time. */
void tell_decision(struct sidecar *sidecar, enum strategy strategy, double downtime_ms,
		   int64_t after_us)
{
	report_event(&sidecar->report, "decision",
		     json_pack("{s:s,s:s,s:O?,s:O?,s:f,s:f}", "strategy", strategy_names[strategy],
			       "objective", objective(sidecar), "kind",
			       json_object_get(sidecar->last_fault, "kind"), "resource",
			       json_object_get(sidecar->last_fault, "resource"),
			       "predicted_downtime_ms", downtime_ms, "after_ms",
			       after_us > 0 ? (double)after_us / 1e3 : 0.0));
}

void tell_recovery(struct sidecar *sidecar, enum strategy strategy, double downtime_ms,
		   uint64_t loss_bytes, const char *why, const char *resource)
{
	const char *name = strategy_names[strategy];

	log_info("recovery of %s: %s (%s)", sidecar->guest.name, name, why);
	report_event(&sidecar->report, "recovery",
		     json_pack("{s:s,s:s,s:f,s:I,s:s,s:s*}", "strategy", name, "objective",
			       objective(sidecar), "predicted_downtime_ms", downtime_ms,
			       "predicted_loss_bytes", (json_int_t)loss_bytes, "why", why, "resource", resource));
}

void tell_failed(struct sidecar *sidecar, const char *strategy, const char *why,
		 const char *next, const char *resource)
{
	report_event(&sidecar->report, "recovery-failed",
		     json_pack("{s:s,s:s,s:s,s:s*}", "strategy", strategy, "reason", why, "next",
			       next, "resource", resource));
}
