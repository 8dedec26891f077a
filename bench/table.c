/* SPDX-License-Identifier: Apache-2.0
 *
 * table: a document as Markdown, for people.
 */
#include <string.h>

#include "bench.h"

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "?";
}

static void row(const struct document *document, const struct series *series, FILE *out)
{
	struct stats_figures f;
	struct pair pair;

	stats_figures(series->samples, series->count, &f);
	fprintf(out, "| %s | %.4g | %.4g to %.4g | %.4g | %s | %u |", series->name, f.median, f.q1,
		f.q3, f.p99, series->unit, f.count);
	if (!series_pair(document, series, &pair))
		fputs("  |\n", out);
	else if (pair.ratio.known)
		fprintf(out, " %.3f (%.3f to %.3f) × %s |\n", pair.ratio.estimate, pair.ratio.low,
			pair.ratio.high, series->beside);
	else
		fprintf(out, " %.3f × %s, too few for an interval |\n", pair.ratio.estimate,
			series->beside);
}

void table_write(const struct document *document, FILE *out)
{
	const json_t *machine = json_object_get(document->head, "machine");

	fprintf(out, "%s, commit %s: %s, %lld cores, Linux %s, guests under %s, %s\n\n",
		text_of(document->head, "date"), text_of(document->head, "commit"),
		text_of(machine, "cpu"), json_integer_value(json_object_get(machine, "cores")),
		text_of(machine, "kernel"), text_of(machine, "guest"),
		text_of(machine, "file_system"));
	fputs("| series | median | quartiles | p99 | unit | samples | pair by pair (95 %) |\n"
	      "|---|--:|--:|--:|---|--:|---|\n",
	      out);
	for (unsigned i = 0; i < document->count; i++) {
		if (document->series[i].count)
			row(document, &document->series[i], out);
	}
	for (size_t i = 0; i < json_array_size(document->missing); i++) {
		const json_t *entry = json_array_get(document->missing, i);

		fprintf(out, "%sMissing in %s: %s, %s.\n", i ? "" : "\n", text_of(entry, "case"),
			text_of(entry, "what"), text_of(entry, "why"));
	}
}
