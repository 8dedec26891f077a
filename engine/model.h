/* SPDX-License-Identifier: Apache-2.0
 *
 * model: what qheal expects, learned from what it saw.  Three questions: how
 * probable is a fault, how long takes a recovery, what does it cost.  Derived in
 * docs/MODELS.md.  Pure, but for model_load() and model_save().
 *
 *   probability   faults of a kind are a Poisson process whose rate has a Gamma
 *                 distribution, shape a and rate b (hours): after n faults in t
 *                 hours it is Gamma(a + n, b + t) (Gelman et al., Bayesian Data
 *                 Analysis, 3rd ed., 2.6).  At least one in h hours:
 *                 P = 1 - (b / (b + h))^a.  Several: 1 - prod(1 - Pi) <= sum Pi
 *   time          T = what has passed already + sum of the steps to come; a step without
 *                 data is the median of its latest times in this strategy, one with data
 *                 that and bytes over the median throughput (model_plan.c)
 *   success       tries are Bernoulli with a Beta(a, b) prior: (a + s) / (a + b + n)
 *   cost          C = sum of weight times quantity
 *
 * Medians are of the latest MODEL_WINDOW values (and the prior, while there are
 * fewer than MODEL_PRIOR_FADES): a window forgets a disk that was replaced, which
 * the P-square method does not.
 */
#ifndef ENGINE_MODEL_H
#define ENGINE_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "errinfo.h"
#include "fault.h"
#include "strategy.h"

#define MODEL_WINDOW 32	     /* the median of so many is within some 22 % of the ranks */
#define MODEL_PRIOR_FADES 3  /* as many values outvote a prior */
#define MODEL_OUTCOMES_MAX 64
#define MODEL_JSON_MAX (256u << 10)
#define MODEL_MS_MAX 1e9     /* eleven days: longer is no time of a step */
#define MODEL_RATE_MAX 1e12  /* bytes a second */

/* What is not of one strategy alone. Times in milliseconds, throughputs in bytes a second. */
enum model_figure {
	MODEL_ROUND_TRIP,
	MODEL_BOOT, /* reset to the guest's first sign of life */
	MODEL_HEAL, /* a block, with the pause for it */
	MODEL_PACE, /* a small generation, in units of the machine that the priors are of */
	MODEL_CATCH_UP_RATE,
	MODEL_COPY_RATE,  /* of QEMU's mirror, of a first copy */
	MODEL_POINT_RATE, /* of a point into images */
	MODEL_FIGURES,
};

/* A strategy's steps; a roll back has three kinds, a failover two. */
enum model_plan {
	MODEL_PLAN_POINT = STRATEGIES, /* of a guest that fails: all disks back to a point */
	MODEL_PLAN_ASKED,	       /* the same of a guest that runs, as somebody asked for it */
	MODEL_PLAN_TAKEOVER,	       /* the host is gone: the standby boots the replica */
	MODEL_PLANS,
};

struct model_window {
	unsigned count; /* at most MODEL_WINDOW */
	unsigned next;
	double values[MODEL_WINDOW];
};

/* Left out when it cannot be: not above 0, or above MAX. */
void model_window_add(struct model_window *window, double value, double max);
/* With PRIOR as one value more while there are few. */
double model_window_median(const struct model_window *window, double prior);

struct model_rate {
	double faults, hours; /* seen, without the prior */
};

struct model_tries {
	unsigned tried, succeeded;
};

struct model_outcome {
	int64_t time_us;
	enum fault_kind fault;
	enum strategy strategy;
	double predicted_ms, measured_ms;
	uint64_t predicted_loss_bytes, measured_loss_bytes;
	bool succeeded;
};

#define MODEL_STEPS_MAX 12

struct model {
	struct model_window figures[MODEL_FIGURES];
	struct model_window steps[MODEL_PLANS][MODEL_STEPS_MAX]; /* the part that no bytes make */
	struct model_rate rates[FAULT_KINDS];
	struct model_tries tries[STRATEGIES];
	struct model_outcome outcomes[MODEL_OUTCOMES_MAX]; /* a ring */
	unsigned outcome_count, outcome_next;
};

void model_empty(struct model *model);

/* --- learning; values that cannot be are left out --- */

void model_observe(struct model *model, enum model_figure figure, double value);
double model_figure_max(enum model_figure figure);
/* A generation of all DISKS with BYTES took MS, with nothing else in it; a large one tells
 * nothing of the pace. */
void model_observe_generation(struct model *model, unsigned disks, uint64_t bytes, double ms);
/* A step of a recovery that went well, by the name it has in `recovered`; BYTES that it
 * moved.  A name that is not in the plan is left out. */
void model_observe_step(struct model *model, unsigned plan, const char *name, double ms,
			uint64_t bytes);
void model_observe_hours(struct model *model, double hours); /* under watch, all kinds */
void model_observe_fault(struct model *model, enum fault_kind kind);
void model_observe_try(struct model *model, enum strategy strategy, bool succeeded);
/* Also counts the try. */
void model_observe_outcome(struct model *model, const struct model_outcome *outcome);

/* What counted as a success was none: the guest was not well afterwards. */
void model_retract(struct model *model, enum strategy strategy);

/* --- asking --- */

double model_median(const struct model *model, enum model_figure figure);
/* The mean, of times with a long tail, each counted as twice the median at most. */
double model_expected(const struct model *model, enum model_figure figure);
/* What a prior is multiplied with: how long this machine takes, 1 for theirs.  Never more:
 * slow generations are mostly a busy guest's, which stands still in a recovery. */
double model_pace(const struct model *model);
/* Of a step, without what its bytes take; 0: there is none of this name. */
double model_step_ms(const struct model *model, unsigned plan, const char *name);
/* The plan of a strategy in answer to KIND. */
unsigned model_plan_of(enum strategy strategy, enum fault_kind kind);
const char *model_plan_name(unsigned plan);
/* The name of a plan's step, NULL behind the last. */
const char *model_plan_step(unsigned plan, unsigned index);
/* At least one fault of KIND within HOURS. */
double model_probability(const struct model *model, enum fault_kind kind, double hours);
struct model_total {
	double probability; /* at least one of any kind */
	double bound;	    /* the sum, which it never exceeds */
};
struct model_total model_probability_any(const struct model *model, double hours);
double model_success(const struct model *model, enum strategy strategy);

struct model_work {
	double elapsed_ms;    /* since the fault; 0: none is there yet, it is a forecast */
	uint64_t dirty_bytes; /* of the disks that are moved, since the last generation */
	uint64_t disk_bytes;  /* of the disk, for what copies all of it */
	uint64_t point_bytes; /* of all disks, for what copies a point */
	uint64_t heal_blocks;
};

struct model_prediction {
	double downtime_ms; /* of the steps until the guest runs, as `recovered` counts it */
	double elapsed_ms;  /* that much of it has passed: no strategy changes it */
	double boot_ms;	    /* and until it is of use again */
	double work_ms;	    /* of all steps */
	uint64_t moved_bytes;
	unsigned count;
	struct {
		const char *name; /* a literal */
		double ms;
		bool down;
	} steps[MODEL_STEPS_MAX];
};

/* One step more; a plan leaves room for it. */
void model_prediction_add(struct model_prediction *prediction, const char *name, double ms,
			  bool down);
void model_predict(const struct model *model, unsigned plan, const struct model_work *work,
		   struct model_prediction *prediction);

struct model_weights { /* each in units of a second of downtime */
	double downtime_s;
	double lost_mib;
	double moved_gib;
	double interference_s; /* a second in which the guest competes with a copy */
	double guest_reset;    /* everything the guest had in memory */
};

extern const struct model_weights model_weights_default;

double model_cost(const struct model_weights *weights, enum strategy strategy,
		  const struct model_prediction *prediction, uint64_t lost_bytes);

struct model_error { /* of the outcomes that succeeded */
	unsigned count, within; /* within: 25 % or 5 ms */
	double median_percent;	/* of |predicted - measured| / measured */
};
struct model_error model_error(const struct model *model);

/* --- STORE/models.json --- */

/* -EUCLEAN with a sentence for what is no models.json; MODEL is untouched then. */
int model_parse(struct model *model, const char *text, size_t length, struct errinfo *err);
char *model_format(const struct model *model); /* malloc()ed, NULL without memory */
/* A file that is missing or damaged is no failure of the caller's: MODEL is as
 * after model_empty(), and the status says why (-ENOENT: there is none yet). */
int model_load(struct model *model, const char *dir, struct errinfo *err);
int model_save(const struct model *model, const char *dir, struct errinfo *err);

#endif
