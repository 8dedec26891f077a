/* SPDX-License-Identifier: Apache-2.0
 *
 * compare: two documents; the rule is in judge.h.
 */
#include <stdlib.h>

#include "judge.h"

static const char *const verdict_words[] = {"same", "SLOWER", "faster", "too few samples",
					    "too noisy"};

/* The samples as they are compared: ratios to OTHER when there is one.  False when one
 * is not positive: it has no ratio. */
static bool samples_of(const struct series *series, const struct series *other, double *values,
		       unsigned *count)
{
	*count = series->count;
	if (other && other->count < *count)
		*count = other->count;
	for (unsigned i = 0; i < *count; i++) {
		values[i] = series->samples[i];
		if (!(values[i] > 0) || (other && !(other->samples[i] > 0)))
			return false;
		if (other)
			values[i] /= other->samples[i];
	}
	return *count > 0;
}

static const struct series *beside_of(const struct document *document, const struct series *series)
{
	const struct series *other =
	    series->beside[0] ? document_find(document, series->beside) : NULL;

	return other && other->count ? other : NULL;
}

static struct stats_interval worse_when_above(struct stats_interval factor,
					      enum series_better better)
{
	if (better == SERIES_LESS)
		return factor;
	return (struct stats_interval){.estimate = 1 / factor.estimate,
				       .low = 1 / factor.high,
				       .high = 1 / factor.low,
				       .known = factor.known};
}

static enum verdict verdict_of(const struct stats_interval *factor)
{
	if (!factor->known)
		return VERDICT_UNKNOWN;
	if (factor->low > 1 && factor->estimate > JUDGE_FLOOR)
		return VERDICT_SLOWER;
	if (factor->high < 1 && factor->estimate < 1 / JUDGE_FLOOR)
		return VERDICT_FASTER;
	return factor->low < 1 && factor->high > JUDGE_WIDE ? VERDICT_NOISY : VERDICT_SAME;
}

bool judge_series(const struct document *old, const struct document *new, const struct series *ours,
		  struct judgement *judgement)
{
	static double before[STATS_SAMPLES_MAX], after[STATS_SAMPLES_MAX];
	const struct series *was = document_find(old, ours->name);
	const struct series *new_other = beside_of(new, ours);
	const struct series *old_other = was ? beside_of(old, was) : NULL;
	unsigned before_count, after_count;

	*judgement = (struct judgement){.old = was, .new = ours};
	if (!was || ours->better == SERIES_NEITHER)
		return false;
	judgement->relative = new_other && old_other;
	if (!judgement->relative)
		new_other = old_other = NULL;
	if (!samples_of(was, old_other, before, &before_count) ||
	    !samples_of(ours, new_other, after, &after_count))
		return false;
	judgement->factor = worse_when_above(
	    stats_sample_ratio(after, after_count, before, before_count, JUDGE_CONFIDENCE),
	    ours->better);
	judgement->verdict = verdict_of(&judgement->factor);
	return true;
}

bool judge_precise(const struct series *ours, const struct series *other, double percent)
{
	unsigned count = ours->count < other->count ? ours->count : other->count;
	struct stats_interval ratio;

	for (unsigned i = 0; i < count; i++) {
		if (!(ours->samples[i] > 0 && other->samples[i] > 0))
			return false;
	}
	if (!count)
		return false;
	ratio = stats_pair_ratio(ours->samples, other->samples, count, JUDGE_CONFIDENCE);
	return ratio.known && ratio.high <= ratio.estimate * (1 + percent / 100) &&
	       ratio.low >= ratio.estimate / (1 + percent / 100);
}

unsigned judge_compare(const struct document *old, const struct document *new, FILE *out)
{
	unsigned slower = 0, compared = 0;

	fprintf(out,
		"| series | old | new | factor (99 %%) | against | |\n|---|--:|--:|--:|---|---|\n");
	for (unsigned i = 0; i < new->count; i++) {
		const struct series *series = &new->series[i];
		struct judgement j;

		if (!series->ours || !judge_series(old, new, series, &j))
			continue;
		compared++;
		slower += j.verdict == VERDICT_SLOWER;
		fprintf(out, "| %s | %.4g %s | %.4g %s | %.3f (%.3f to %.3f) | %s | %s |\n",
			series->name, stats_median(j.old->samples, j.old->count), series->unit,
			stats_median(series->samples, series->count), series->unit,
			j.factor.estimate, j.factor.low, j.factor.high,
			j.relative ? series->beside : "", verdict_words[j.verdict]);
	}
	fprintf(out, "\n%u compared, %u slower\n", compared, slower);
	return slower;
}
