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
 *   time          T = sum of the steps; a step without data is the median of its
 *                 latest times, one with data bytes over the median throughput
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

/* Times in milliseconds, but the throughputs, in bytes a second. */
enum model_figure {
	MODEL_DETECT,
	MODEL_DRAIN,
	MODEL_OVERLAY,
	MODEL_FREEZE,
	MODEL_CATCH_UP, /* with next to nothing to read */
	MODEL_FLUSH,
	MODEL_SWAP,
	MODEL_PROMOTE,
	MODEL_RESUME,
	MODEL_ROUND_TRIP,
	MODEL_BOOT,	/* reset to the guest's first sign of life */
	MODEL_START,	/* exec of QEMU to its monitor's greeting */
	MODEL_HEAL,	/* a block, with the pause for it */
	MODEL_RESET,	/* the button and `cont` */
	MODEL_RELINK,	/* until the guest has given the card back */
	MODEL_MIGRATE,	/* the last, paused part of a migration */
	MODEL_CATCH_UP_RATE,
	MODEL_COPY_RATE, /* mirror, restore */
	MODEL_FIGURES,
};

struct model_window {
	unsigned count; /* at most MODEL_WINDOW */
	unsigned next;
	double values[MODEL_WINDOW];
};

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

struct model {
	struct model_window figures[MODEL_FIGURES];
	struct model_rate rates[FAULT_KINDS];
	struct model_tries tries[STRATEGIES];
	struct model_outcome outcomes[MODEL_OUTCOMES_MAX]; /* a ring */
	unsigned outcome_count, outcome_next;
};

void model_empty(struct model *model);

/* --- learning; values that cannot be are left out --- */

void model_observe(struct model *model, enum model_figure figure, double value);
/* A step of a recovery by the name it has in `recovered`; BYTES that it moved. */
void model_observe_step(struct model *model, const char *name, double ms, uint64_t bytes);
void model_observe_hours(struct model *model, double hours); /* under watch, all kinds */
void model_observe_fault(struct model *model, enum fault_kind kind);
/* Also counts the try. */
void model_observe_outcome(struct model *model, const struct model_outcome *outcome);

/* What counted as a success was none: the guest was not well afterwards. */
void model_retract(struct model *model, enum strategy strategy);

/* --- asking --- */

double model_median(const struct model *model, enum model_figure figure);
/* At least one fault of KIND within HOURS. */
double model_probability(const struct model *model, enum fault_kind kind, double hours);
struct model_total {
	double probability; /* at least one of any kind */
	double bound;	    /* the sum, which it never exceeds */
};
struct model_total model_probability_any(const struct model *model, double hours);
double model_success(const struct model *model, enum strategy strategy);

#define MODEL_STEPS_MAX 12

struct model_work {
	uint64_t dirty_bytes; /* of the disks that are moved, since the last generation */
	uint64_t disk_bytes;  /* of the disk, for what copies all of it */
	uint64_t point_bytes; /* of all disks, for what copies a point */
	uint64_t heal_blocks;
};

struct model_prediction {
	double downtime_ms; /* of the steps until the guest runs, as `recovered` counts it */
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

void model_predict(const struct model *model, enum strategy strategy,
		   const struct model_work *work, struct model_prediction *prediction);

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
