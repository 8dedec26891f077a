/* SPDX-License-Identifier: Apache-2.0
 *
 * judge: what became slower between two documents, and whether thresholds hold.
 *
 * The rule of `compare`, for each series of qheal that has a better side:
 *
 *   - where it was measured beside another tool in both runs, the time is taken as its
 *     ratio to that tool, pair by pair: what made the whole machine slower is no news;
 *   - the factor from old to new is the Hodges-Lehmann estimate, its interval that of
 *     Mann and Whitney at 99 %;
 *   - SLOWER when the whole interval is worse than 1 and the estimate is worse than
 *     1.10; FASTER likewise; else SAME. Fewer samples than an interval needs: UNKNOWN.
 *     NOISY instead of SAME when the interval reaches from below 1 to above 1.20: a
 *     fifth may hide in it, and more rounds (or --precision) are needed.
 *
 * The floor of 10 % is there because two runs, minutes apart, differ by more than the
 * samples within one run let expect.
 */
#ifndef BENCH_JUDGE_H
#define BENCH_JUDGE_H

#include <stdio.h>

#include "series.h"

#define JUDGE_CONFIDENCE 0.99
#define JUDGE_FLOOR 1.10
#define JUDGE_WIDE 1.20

enum verdict { VERDICT_SAME, VERDICT_SLOWER, VERDICT_FASTER, VERDICT_UNKNOWN, VERDICT_NOISY };

struct judgement {
	const struct series *old, *new;
	enum verdict verdict;
	bool relative;		      /* to the tool beside it */
	struct stats_interval factor; /* above 1 is worse */
};

/* OURS: a series of the new document. False: there is nothing to compare it with. */
bool judge_series(const struct document *old, const struct document *new, const struct series *ours,
		  struct judgement *judgement);
/* Whether the interval that a comparison would have of these rounds alone is within
 * PERCENT of their ratio: then more rounds tell little more. */
bool judge_precise(const struct series *ours, const struct series *other, double percent);
/* Tells all of them as a Markdown table; the number that became slower. */
unsigned judge_compare(const struct document *old, const struct document *new, FILE *out);

/* One threshold: "FIGURE<NUMBER", also >, <=, >=. */
struct threshold {
	char figure[SERIES_NAME_MAX + 33];
	char sign[3];
	double bound;
	double found;
	bool known, held;
};

#define THRESHOLDS_MAX 256 /* of one run */

int threshold_parse(struct threshold *threshold, const char *text, struct errinfo *err);
/* A figure that does not exist is not held. */
void threshold_check(struct threshold *threshold, const struct document *document);
/* One a line, "#" begins a comment. Adds to LIST; a negative errno, or 0. */
int thresholds_read(struct threshold *list, unsigned *count, const char *path, struct errinfo *err);
/* JUnit XML: one test case a threshold. */
int thresholds_junit(const struct threshold *list, unsigned count, const char *path,
		     struct errinfo *err);

#endif
