/* SPDX-License-Identifier: Apache-2.0
 *
 * document: the JSON of a run.  Figures stand in it for people and scripts; what is read
 * back are the samples alone.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "series.h"

static const char *const better_words[] = {"less", "more", "neither"};

static json_t *figures_json(const struct series *series)
{
	struct stats_figures f;

	if (!series->count)
		return json_null();
	stats_figures(series->samples, series->count, &f);
	return json_pack("{s:i, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f}", "count", (int)f.count,
			 "median", f.median, "q1", f.q1, "q3", f.q3, "mad", f.mad, "min", f.min,
			 "p90", f.p90, "p99", f.p99, "max", f.max);
}

static json_t *series_json(const struct document *document, const struct series *series)
{
	json_t *samples = json_array(), *entry;
	struct pair pair;

	for (unsigned i = 0; i < series->count; i++)
		json_array_append_new(samples, json_real(series->samples[i]));
	entry = json_pack("{s:s, s:s, s:s, s:b, s:o, s:o}", "name", series->name, "unit",
			  series->unit, "better", better_words[series->better], "ours",
			  series->ours, "figures", figures_json(series), "samples", samples);
	if (series->beside[0])
		json_object_set_new(entry, "beside", json_string(series->beside));
	if (series_pair(document, series, &pair))
		json_object_set_new(entry, "against_beside",
				    json_pack("{s:f, s:f, s:f, s:b}", "ratio", pair.ratio.estimate,
					      "low", pair.ratio.low, "high", pair.ratio.high,
					      "known", pair.ratio.known));
	return entry;
}

json_t *document_json(const struct document *document)
{
	json_t *root = json_deep_copy(document->head), *list = json_array();

	for (unsigned i = 0; i < document->count; i++)
		json_array_append_new(list, series_json(document, &document->series[i]));
	json_object_set_new(root, "schema", json_integer(DOCUMENT_SCHEMA));
	json_object_set(root, "missing", document->missing);
	json_object_set_new(root, "series", list);
	return root;
}

int document_write(const struct document *document, const char *path, struct errinfo *err)
{
	json_t *root = document_json(document);
	size_t flags = JSON_INDENT(1) | JSON_REAL_PRECISION(8);
	int rc =
	    strcmp(path, "-") ? json_dump_file(root, path, flags) : json_dumpf(root, stdout, flags);

	json_decref(root);
	if (!strcmp(path, "-"))
		putchar('\n');
	return rc ? err_set(err, -EIO, "cannot write %s: is there room, and may you write there?",
			    path)
		  : 0;
}

static int better_of(const char *word)
{
	for (int i = 0; i <= SERIES_NEITHER; i++) {
		if (word && !strcmp(word, better_words[i]))
			return i;
	}
	return -1;
}

static int series_read(struct document *document, const json_t *entry)
{
	const char *name = json_string_value(json_object_get(entry, "name"));
	const char *unit = json_string_value(json_object_get(entry, "unit"));
	const char *beside = json_string_value(json_object_get(entry, "beside"));
	const json_t *samples = json_object_get(entry, "samples");
	int better = better_of(json_string_value(json_object_get(entry, "better")));
	struct series *series;

	if (!name || !unit || better < 0 || !json_is_array(samples) ||
	    json_array_size(samples) > STATS_SAMPLES_MAX || document_find(document, name))
		return -EINVAL;
	series = document_series(document, name, unit, (enum series_better)better);
	if (!series || (beside && strlen(beside) > SERIES_NAME_MAX))
		return -EINVAL;
	if (beside)
		strcpy(series->beside, beside);
	series->ours = json_is_true(json_object_get(entry, "ours"));
	for (size_t i = 0; i < json_array_size(samples); i++) {
		const json_t *value = json_array_get(samples, i);

		if (!json_is_number(value) || !isfinite(json_number_value(value)) ||
		    series_add(series, json_number_value(value)))
			return -EINVAL;
	}
	return 0;
}

static int document_fill(struct document *document, json_t *root, const char *path,
			 struct errinfo *err)
{
	const json_t *list = json_object_get(root, "series");
	long long schema = json_integer_value(json_object_get(root, "schema"));

	if (schema != DOCUMENT_SCHEMA)
		return err_set(err, -EINVAL, "%s has schema %lld, this program reads %d", path,
			       schema, DOCUMENT_SCHEMA);
	for (size_t i = 0; i < json_array_size(list); i++) {
		if (series_read(document, json_array_get(list, i)))
			return err_set(err, -EINVAL, "%s: series %zu is not one", path, i);
	}
	json_object_update(document->head, root);
	json_object_del(document->head, "series");
	if (json_is_array(json_object_get(root, "missing"))) {
		json_decref(document->missing);
		document->missing = json_incref(json_object_get(root, "missing"));
	}
	json_object_del(document->head, "missing");
	return 0;
}

int document_read(struct document *document, const char *path, struct errinfo *err)
{
	json_error_t error;
	json_t *root = json_load_file(path, 0, &error);
	int rc = document_init(document);

	if (!root)
		rc = err_set(err, -EINVAL, "%s: %s, line %d", path, error.text, error.line);
	else if (rc)
		err_set(err, rc, "out of memory");
	else
		rc = document_fill(document, root, path, err);
	json_decref(root);
	if (rc)
		document_release(document);
	return rc;
}

static int mergeable(const struct document *document, const struct document *more, const char *path,
		     struct errinfo *err)
{
	if (!json_equal(json_object_get(document->head, "commit"),
			json_object_get(more->head, "commit")) ||
	    !json_equal(json_object_get(document->head, "machine"),
			json_object_get(more->head, "machine")))
		return err_set(err, -EINVAL, "%s is of another commit or machine", path);
	if (document->count + more->count > SERIES_MAX)
		return err_set(err, -ENOSPC, "%s has more series than there is room for", path);
	for (unsigned i = 0; i < more->count; i++) {
		if (document_find(document, more->series[i].name))
			return err_set(err, -EEXIST, "%s: %s is there already", path,
				       more->series[i].name);
	}
	return 0;
}

int document_merge(struct document *document, const char *path, struct errinfo *err)
{
	struct document more;
	struct series *list;
	int rc = document_read(&more, path, err);

	if (rc)
		return rc;
	rc = mergeable(document, &more, path, err);
	list = rc ? NULL
		  : realloc(document->series,
			    (document->count + more.count + 1) * sizeof(*document->series));
	if (!rc && !list)
		rc = err_set(err, -ENOMEM, "out of memory");
	if (!rc) {
		document->series = list;
		for (unsigned i = 0; i < more.count; i++)
			list[document->count++] = more.series[i];
		more.count = 0; /* their samples have moved */
		json_array_extend(document->missing, more.missing);
	}
	document_release(&more);
	return rc;
}
