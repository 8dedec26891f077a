/* SPDX-License-Identifier: Apache-2.0
 *
 * series: the list in memory; its JSON is in document.c.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "series.h"

int document_init(struct document *document)
{
	memset(document, 0, sizeof(*document));
	document->head = json_object();
	document->missing = json_array();
	return document->head && document->missing ? 0 : -ENOMEM;
}

void document_release(struct document *document)
{
	for (unsigned i = 0; i < document->count; i++)
		free(document->series[i].samples);
	free(document->series);
	json_decref(document->head);
	json_decref(document->missing);
	memset(document, 0, sizeof(*document));
}

struct series *document_find(const struct document *document, const char *name)
{
	for (unsigned i = 0; i < document->count; i++) {
		if (!strcmp(document->series[i].name, name))
			return &document->series[i];
	}
	return NULL;
}

struct series *document_series(struct document *document, const char *name, const char *unit,
			       enum series_better better)
{
	struct series *found = document_find(document, name), *list;

	if (found)
		return found;
	if (document->count == SERIES_MAX || strlen(name) > SERIES_NAME_MAX ||
	    strlen(unit) > SERIES_UNIT_MAX)
		return NULL;
	list = realloc(document->series, (document->count + 1) * sizeof(*list));
	if (!list)
		return NULL;
	document->series = list;
	found = &list[document->count++];
	memset(found, 0, sizeof(*found));
	strcpy(found->name, name);
	strcpy(found->unit, unit);
	found->better = better;
	return found;
}

int series_add(struct series *series, double value)
{
	double *samples;

	if (!series)
		return -ENOMEM;
	if (series->count == STATS_SAMPLES_MAX)
		return -ENOSPC;
	samples = realloc(series->samples, (series->count + 1) * sizeof(*samples));
	if (!samples)
		return -ENOMEM;
	series->samples = samples;
	samples[series->count++] = value;
	return 0;
}

void document_cut(struct document *document, const char *prefix, unsigned count)
{
	for (unsigned i = 0; i < document->count; i++) {
		struct series *series = &document->series[i];

		if (!strncmp(series->name, prefix, strlen(prefix)) && series->count > count)
			series->count = count;
	}
}

void document_miss(struct document *document, const char *name, const char *what, const char *why)
{
	json_array_append_new(document->missing,
			      json_pack("{s:s, s:s, s:s}", "case", name, "what", what, "why", why));
}

int series_statistic(const struct series *series, const char *word, double *value)
{
	struct stats_figures figures;

	if (!series->count)
		return -ENOENT;
	stats_figures(series->samples, series->count, &figures);
	const struct {
		const char *word;
		double value;
	} known[] = {
	    {"median", figures.median}, {"min", figures.min}, {"max", figures.max},
	    {"q1", figures.q1},		{"q3", figures.q3},   {"mad", figures.mad},
	    {"p90", figures.p90},	{"p99", figures.p99}, {"count", figures.count},
	};

	for (unsigned i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (!strcmp(known[i].word, word)) {
			*value = known[i].value;
			return 0;
		}
	}
	return -ENOENT;
}

/* "restore.full.qheal.median_s": up to the last dot the series, up to the first "_"
 * behind it the statistic, then the unit. */
int document_figure(const struct document *document, const char *name, double *value)
{
	char series_name[SERIES_NAME_MAX + 1], word[16];
	const char *dot = strrchr(name, '.'), *bar = dot ? strchr(dot, '_') : NULL;
	const struct series *series;
	struct pair pair;

	if (!bar || dot - name > SERIES_NAME_MAX || bar - dot - 1 >= (long)sizeof(word))
		return -ENOENT;
	memcpy(series_name, name, (size_t)(dot - name));
	series_name[dot - name] = '\0';
	memcpy(word, dot + 1, (size_t)(bar - dot - 1));
	word[bar - dot - 1] = '\0';
	series = document_find(document, series_name);
	if (series && !strcmp(dot + 1, "against_ratio") && series_pair(document, series, &pair)) {
		*value = pair.ratio.estimate;
		return 0;
	}
	if (!series || strcmp(series->unit, bar + 1))
		return -ENOENT;
	return series_statistic(series, word, value);
}

bool series_pair(const struct document *document, const struct series *series, struct pair *pair)
{
	const struct series *other;

	if (!series->beside[0])
		return false;
	other = document_find(document, series->beside);
	if (!other || strcmp(other->unit, series->unit))
		return false;
	*pair = (struct pair){.ours = series, .other = other};
	pair->count = series->count < other->count ? series->count : other->count;
	if (!pair->count)
		return false;
	for (unsigned i = 0; i < pair->count; i++) {
		if (!(series->samples[i] > 0 && other->samples[i] > 0))
			return false;
	}
	pair->ratio = stats_pair_ratio(series->samples, other->samples, pair->count, 0.95);
	return true;
}
