/* SPDX-License-Identifier: Apache-2.0
 *
 * model_plan: the steps of each strategy, as its timeline names them, and what they
 * take: learned step by step, strategy by strategy, as the same name may be more work
 * in one than in another.
 */
#include "model.h"

#include <math.h>
#include <string.h>

#define SMALL_BYTES (256u << 10) /* up to that the time is that of the calls */
#define NO_RATE MODEL_FIGURES

enum step_kind {
	STEP_DOWN,   /* the guest stands still, or is of no use */
	STEP_BEFORE, /* the same, and it is over when the decision is made */
	STEP_BESIDE, /* the guest runs, or boots */
};

struct step {
	const char *name;
	double prior_ms;	/* 0: it has no part but its bytes, or a figure of its own */
	enum model_figure rate; /* NO_RATE: it moves no bytes */
	enum step_kind kind;
};

#define DOWN(name, ms) {name, ms, NO_RATE, STEP_DOWN}
#define BEFORE(name, ms) {name, ms, NO_RATE, STEP_BEFORE}
/* A disk failed: it is decided, what was under way ends, requests are drained. */
#define STRUCK BEFORE("detect", 0.5), BEFORE("wait", 4), BEFORE("drain", 2)
#define BOOT {"boot", 0, NO_RATE, STEP_BESIDE}

/* The priors are medians of the drills, on two slow cores without KVM. */
static const struct step plans[MODEL_PLANS][MODEL_STEPS_MAX] = {
	[STRATEGY_RESUME] = {STRUCK, DOWN("resume", 2)},
	[STRATEGY_HEAL] = {BEFORE("detect", 4), {"heal", 0, NO_RATE, STEP_DOWN}},
	[STRATEGY_PIVOT] = {STRUCK, DOWN("overlay", 0.4), DOWN("freeze", 6),
			    {"catch-up", 3, MODEL_CATCH_UP_RATE, STEP_DOWN}, DOWN("flush", 2.5),
			    DOWN("swap", 10), DOWN("promote", 2.2), DOWN("resume", 1.7)},
	[STRATEGY_MIRROR] = {{"copy", 0, MODEL_COPY_RATE, STEP_BESIDE},
			     {"complete", 16, NO_RATE, STEP_BESIDE}},
	[STRATEGY_ROLLBACK] = {STRUCK, DOWN("overlay", 5), DOWN("flush", 3), DOWN("swap", 11),
			       DOWN("promote", 3), DOWN("resume", 7), BOOT},
	[STRATEGY_RESTORE] = {STRUCK,
			      {"copy", 12, MODEL_POINT_RATE, STEP_DOWN}, DOWN("prepare", 2),
			      DOWN("point", 3), DOWN("swap", 10), DOWN("reset", 7), BOOT},
	[STRATEGY_RESTART] = {BEFORE("detect", 4), DOWN("prepare", 0.5), DOWN("start", 220),
			      DOWN("resume", 5), BOOT},
	[STRATEGY_RESET] = {BEFORE("detect", 4), DOWN("reset", 9), BOOT},
	[STRATEGY_FAILOVER] = {DOWN("switch", 35)},
	[MODEL_PLAN_ASKED] = {{"copy", 200, MODEL_POINT_RATE, STEP_BESIDE},
			      {"prepare", 90, NO_RATE, STEP_BESIDE}, DOWN("stop", 2),
			      DOWN("capture", 66), DOWN("point", 5), DOWN("swap", 16),
			      DOWN("reset", 12)},
	[STRATEGY_RELINK] = {BEFORE("detect", 4), DOWN("connect", 9), DOWN("unplug", 230),
			     DOWN("plug", 15)},
	[MODEL_PLAN_TAKEOVER] = {BEFORE("detect", 4), DOWN("fence", 50), DOWN("open", 10),
				 DOWN("overlay", 5), DOWN("flush", 3), DOWN("promote", 3),
				 DOWN("prepare", 0.5), DOWN("start", 220), DOWN("resume", 5), BOOT},
	[MODEL_PLAN_POINT] = {BEFORE("detect", 4), {"copy", 20, MODEL_POINT_RATE, STEP_DOWN},
			      DOWN("prepare", 5), DOWN("stop", 1), DOWN("capture", 1.5),
			      DOWN("point", 4), DOWN("swap", 22), DOWN("reset", 15), BOOT},
};

unsigned model_plan_of(enum strategy strategy, enum fault_kind kind)
{
	if (strategy == STRATEGY_ROLLBACK && fault_of_guest(kind))
		return MODEL_PLAN_POINT;
	return strategy == STRATEGY_FAILOVER && kind == FAULT_HOST ? MODEL_PLAN_TAKEOVER : strategy;
}

const char *model_plan_name(unsigned plan)
{
	return plan == MODEL_PLAN_POINT	     ? "rollback-to-point"
	       : plan == MODEL_PLAN_ASKED    ? "rollback-asked-for"
	       : plan == MODEL_PLAN_TAKEOVER ? "failover-boot"
					     : strategy_names[plan];
}

const char *model_plan_step(unsigned plan, unsigned index)
{
	return index < MODEL_STEPS_MAX ? plans[plan][index].name : NULL;
}

/* MODEL_STEPS_MAX: there is none. */
static unsigned find(unsigned plan, const char *name)
{
	unsigned i = 0;

	while (i < MODEL_STEPS_MAX && (!plans[plan][i].name || strcmp(plans[plan][i].name, name)))
		i++;
	return i;
}

static double fixed_ms(const struct model *model, unsigned plan, unsigned i)
{
	if (!strcmp(plans[plan][i].name, "boot"))
		return model_median(model, MODEL_BOOT);
	if (!strcmp(plans[plan][i].name, "heal"))
		return model_expected(model, MODEL_HEAL);
	if (plans[plan][i].prior_ms <= 0)
		return 0;
	return model_window_median(&model->steps[plan][i],
				   plans[plan][i].prior_ms * model_pace(model));
}

double model_step_ms(const struct model *model, unsigned plan, const char *name)
{
	unsigned i = find(plan, name);

	return i < MODEL_STEPS_MAX ? fixed_ms(model, plan, i) : 0;
}

void model_observe_step(struct model *model, unsigned plan, const char *name, double ms,
			uint64_t bytes)
{
	unsigned i = find(plan, name);
	const struct step *step = &plans[plan][i % MODEL_STEPS_MAX];

	if (i == MODEL_STEPS_MAX || step->prior_ms <= 0 || !(ms > 0 && ms <= MODEL_MS_MAX))
		return;
	if (step->rate == NO_RATE || bytes <= SMALL_BYTES) {
		model_window_add(&model->steps[plan][i], ms, MODEL_MS_MAX);
		return;
	}
	/* What the calls take is no matter of the bytes, but never all of the time. */
	model_observe(model, step->rate,
		      (double)bytes / (ms - fmin(fixed_ms(model, plan, i), ms / 2)) * 1e3);
}

/* What a step moves: a copy the whole disk, of a point all disks, a catch-up what is dirty. */
static uint64_t bytes_of(const struct step *step, const struct model_work *work)
{
	switch (step->rate) {
	case MODEL_CATCH_UP_RATE:
		return work->dirty_bytes;
	case MODEL_POINT_RATE:
		return work->point_bytes;
	case MODEL_COPY_RATE:
		return work->disk_bytes;
	default:
		return 0;
	}
}

void model_prediction_add(struct model_prediction *prediction, const char *name, double ms,
			  bool down)
{
	prediction->steps[prediction->count].name = name;
	prediction->steps[prediction->count].down = down;
	prediction->steps[prediction->count++].ms = ms;
	prediction->work_ms += ms;
	prediction->downtime_ms += down ? ms : 0;
}

void model_predict(const struct model *model, unsigned plan, const struct model_work *work,
		   struct model_prediction *prediction)
{
	memset(prediction, 0, sizeof(*prediction));
	for (unsigned i = 0; i < MODEL_STEPS_MAX && plans[plan][i].name; i++) {
		const struct step *step = &plans[plan][i];
		uint64_t bytes = bytes_of(step, work);
		double ms = fixed_ms(model, plan, i);

		if (work->elapsed_ms > 0 && step->kind == STEP_BEFORE) {
			if (!prediction->count) /* the first stands for all of them */
				model_prediction_add(prediction, step->name, work->elapsed_ms, true);
			prediction->elapsed_ms = work->elapsed_ms;
			continue;
		}
		if (!strcmp(step->name, "heal") && work->heal_blocks > 1)
			ms *= (double)work->heal_blocks;
		if (bytes)
			ms += (double)bytes / model_median(model, step->rate) * 1e3;
		model_prediction_add(prediction, step->name, ms, step->kind != STEP_BESIDE);
		prediction->boot_ms += strcmp(step->name, "boot") ? 0 : ms;
		prediction->moved_bytes += bytes;
	}
}
