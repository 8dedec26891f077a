/* SPDX-License-Identifier: Apache-2.0
 *
 * series: what was measured, as a list of named samples, and the JSON document that
 * keeps it (bench/README.md describes it).  A series is all samples of one quantity of
 * one tool in one case: "restore.full.qheal" in s.  A figure of it is named
 * SERIES.STATISTIC_UNIT: "restore.full.qheal.median_s", "pivot.p99_ms".
 */
#ifndef BENCH_SERIES_H
#define BENCH_SERIES_H

#include <jansson.h>
#include <stdbool.h>

#include "errinfo.h"
#include "stats.h"

#define SERIES_NAME_MAX 95
#define SERIES_UNIT_MAX 15
#define SERIES_MAX 4096 /* a full run has some hundred */
#define DOCUMENT_SCHEMA 1

enum series_better { SERIES_LESS, SERIES_MORE, SERIES_NEITHER };

struct series {
	char name[SERIES_NAME_MAX + 1];
	char unit[SERIES_UNIT_MAX + 1];
	/* Measured in turn with this one: sample i stands beside its sample i.  "": none. */
	char beside[SERIES_NAME_MAX + 1];
	enum series_better better;
	bool ours; /* of qheal: `compare` looks at it */
	double *samples;
	unsigned count;
};

struct document {
	json_t *head;	 /* date, commit, machine, versions, options */
	json_t *missing; /* [{case, what, why}] */
	struct series *series;
	unsigned count;
};

int document_init(struct document *document);
void document_release(struct document *document);

/* Found by its name, or new.  Pointers last until the next new one; NULL when the
 * list is full or a name too long. */
struct series *document_series(struct document *document, const char *name, const char *unit,
			       enum series_better better);
struct series *document_find(const struct document *document, const char *name);
int series_add(struct series *series, double value); /* -ENOSPC: STATS_SAMPLES_MAX */
/* Of all series whose names begin with PREFIX no more than the first COUNT samples stay. */
void document_cut(struct document *document, const char *prefix, unsigned count);
void document_miss(struct document *document, const char *name, const char *what, const char *why);

/* The figure NAME.STATISTIC_UNIT: 0, or -ENOENT.  NAME.against_ratio is the ratio to the
 * series beside it, pair by pair. */
int document_figure(const struct document *document, const char *name, double *value);
/* One statistic of a series by its word: median, min, max, q1, q3, mad, p90, p99, count.
 * -ENOENT: no such word, or no samples. */
int series_statistic(const struct series *series, const char *word, double *value);

/* For each series that was measured beside another in the same unit: their ratio, pair
 * by pair, and its interval. */
struct pair {
	const struct series *ours, *other;
	unsigned count;
	struct stats_interval ratio;
};
bool series_pair(const struct document *document, const struct series *series, struct pair *pair);

json_t *document_json(const struct document *document);
int document_write(const struct document *document, const char *path, struct errinfo *err);
/* What is in a file is checked: a document of another schema or with a broken series is
 * refused with the reason. */
int document_read(struct document *document, const char *path, struct errinfo *err);
/* Adds what is in PATH, a run of the same commit, with other series; on failure the
 * document is as before the call. */
int document_merge(struct document *document, const char *path, struct errinfo *err);

#endif
