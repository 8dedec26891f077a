/* SPDX-License-Identifier: Apache-2.0
 *
 * mind: what a sidecar knows and wants beyond one recovery: the policy's settings,
 * the models, the recoveries so far; and the report of the incident it is at.
 */
#ifndef ENGINE_MIND_H
#define ENGINE_MIND_H

#include <jansson.h>

#include "aftercare.h"
#include "incident.h"
#include "model.h"
#include "policy.h"
#include "timeline.h"

struct mind {
	const char *store;
	struct policy_settings settings;
	struct model model;
	struct policy_verdict verdict; /* the latest */
	json_t *incident;	       /* open, NULL for none */
	enum fault_kind kind;
	int resource;
	int64_t fault_us; /* when the fault was seen */
	struct aftercare aftercare; /* of the latest recovery */
	double unsaved_s; /* watched since the models were saved */
	double minute_s;
	unsigned history_count; /* the latest recoveries, oldest first */
	struct {
		int64_t time_ns;
		int resource;
		enum strategy strategy;
	} history[POLICY_HISTORY_MAX];
	unsigned struck_count; /* faults of the guest itself, told or answered, oldest first */
	struct {
		int64_t time_ns;
		int64_t fault_us;
	} struck[POLICY_HISTORY_MAX];
};

/* Reads the models of the store in the directory STORE, which has to stay valid; a
 * damaged file is told and the built-in values are used.  SETTINGS are set before. */
void mind_open(struct mind *mind, const char *store);
void mind_release(struct mind *mind);

/* A fault: the report is begun.  One that is still open is given up. */
void mind_begin(struct mind *mind, const char *vm, int64_t time_us,
		const struct detect_fault *fault, const char *resource);
/* What would be decided; nothing is noted. */
void mind_consider(const struct mind *mind, struct policy_facts *facts, int64_t now_ns,
		   struct policy_verdict *verdict);
/* Decide and note it in the report; fills in the history. */
const struct policy_verdict *mind_decide(struct mind *mind, struct policy_facts *facts,
					 int64_t now_ns);
/* The same of what is done beside a guest that is well: whatever was recovered before. */
const struct policy_verdict *mind_decide_beside(struct mind *mind, struct policy_facts *facts,
						int64_t now_ns);
/* How it ended (incident.h): the models learn, both files are written.  Blocking: call
 * it when the guest runs, or is held.  STEPS: a reference is kept. */
void mind_end(struct mind *mind, const char *result, double downtime_ms, uint64_t lost_bytes,
	      const char *reason, json_t *steps, int64_t time_us, int64_t now_ns);
/* The same of what was done beside a guest that is well: no part of the history, on which
 * the flap limit and the back-off depend. */
void mind_end_beside(struct mind *mind, const char *result, double downtime_ms,
		     const char *reason, int64_t time_us);
/* It was tried, and another way is sought: mind_end() counts only the last. */
void mind_failed(struct mind *mind, enum strategy strategy);
/* So many SECONDS more were watched, and QEMU answered in ANSWER_MS last (0: not
 * known).  True, once an hour: save. */
bool mind_watched(struct mind *mind, double seconds, double answer_ms);
/* BYTES were copied from a running guest's disks; learned when nothing limited that. */
void mind_copied(struct mind *mind, uint64_t bytes, double seconds);
/* The steps of a recovery that went well, by PLAN (model.h), which moved BYTES. */
void mind_learn(struct mind *mind, unsigned plan, const struct timeline *timeline, uint64_t bytes);
/* The models to the store.  Blocking; what cannot be written is told. */
void mind_save(struct mind *mind);
/* Recoveries by STRATEGY within the flap window. */
unsigned mind_count(const struct mind *mind, enum strategy strategy, int64_t now_ns);
/* A fault of the guest itself, which may be over before it is answered.  One that is
 * answered counts by mind_end(): an agent's silence is none before. */
void mind_struck(struct mind *mind, int64_t fault_us, int64_t now_ns);
/* When the first fault of the guest itself within the window was seen; NOW_US: there was
 * none. */
int64_t mind_first_us(const struct mind *mind, int64_t now_ns, int64_t now_us);
void mind_forget(struct mind *mind); /* there was nothing to do */

#endif
