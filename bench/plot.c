/* SPDX-License-Identifier: Apache-2.0
 *
 * plot: SVG by gnuplot: what it draws is in a script beside it that keeps its data, so
 * that anybody can draw it again.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "bench.h"

static FILE *script_open(const char *folder, const char *name, char *path, struct errinfo *err)
{
	FILE *script;

	snprintf(path, PATH_MAX, "%s/%s.gnuplot", folder, name);
	script = fopen(path, "we");
	if (!script) {
		err_set(err, -errno, "cannot write %s: %s", path, strerror(errno));
		return NULL;
	}
	fprintf(script,
		"set terminal svg size 800,450 font 'sans,12' background 'white'\n"
		"set output '%s/%s.svg'\nset grid\n",
		folder, name);
	return script;
}

static int script_run(FILE *script, const char *path, struct errinfo *err)
{
	const char *argv[] = {"gnuplot", path, NULL};

	if (fclose(script))
		return err_set(err, -EIO, "cannot write %s", path);
	return child_run(argv, NULL, false, NULL, err);
}

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* The share of recoveries that were not longer than this. */
static int plot_distribution(const struct document *document, const char *folder,
			     struct errinfo *err)
{
	const struct series *series = document_find(document, "pivot");
	char path[PATH_MAX];
	double *ranked;
	FILE *script;

	if (!series || !series->count)
		return 0;
	ranked = malloc(series->count * sizeof(*ranked));
	script = ranked ? script_open(folder, "downtime", path, err) : NULL;
	if (!script) {
		free(ranked);
		return err_set(err, -EIO, "cannot plot");
	}
	memcpy(ranked, series->samples, series->count * sizeof(*ranked));
	qsort(ranked, series->count, sizeof(*ranked), ascending);
	fputs("set xlabel 'downtime, ms'\nset ylabel 'share of the recoveries'\n"
	      "set xrange [0:*]\nset yrange [0:1]\nset key off\n$data << END\n",
	      script);
	for (unsigned i = 0; i < series->count; i++)
		fprintf(script, "%g %g\n", ranked[i], (i + 1.0) / series->count);
	fputs("END\nplot $data with steps linewidth 2\n", script);
	free(ranked);
	return script_run(script, path, err);
}

/* Bars with quartiles: SERIES named "PREFIX.TOOL.rate"; the limit is a line. */
static int plot_bars(const struct document *document, const char *folder, const char *prefix,
		     struct errinfo *err)
{
	size_t length = strlen(prefix);
	char path[PATH_MAX], limit[SERIES_NAME_MAX + 1];
	const struct series *line;
	unsigned bars = 0;
	FILE *script;

	snprintf(limit, sizeof(limit), "%s.limit.rate", prefix);
	line = document_find(document, limit);
	script = script_open(folder, prefix, path, err);
	if (!script)
		return -EIO;
	fputs("set ylabel 'MB/s, median and quartiles'\nset yrange [0:*]\nset boxwidth 0.6\n"
	      "set style fill solid 0.6\n$data << END\n",
	      script);
	for (unsigned i = 0; i < document->count; i++) {
		const struct series *series = &document->series[i];
		const char *tool = series->name + length + 1, *end;
		struct stats_figures f;

		end = strncmp(series->name, prefix, length) || series->name[length] != '.'
			  ? NULL
			  : strstr(tool, ".rate");
		if (!end || series == line || !series->count)
			continue;
		stats_figures(series->samples, series->count, &f);
		fprintf(script, "%u \"%.*s\" %g %g %g\n", bars++, (int)(end - tool), tool, f.median,
			f.q1, f.q3);
	}
	fputs("END\n", script);
	if (line && line->count)
		fprintf(script, "limit = %g\n", stats_median(line->samples, line->count));
	fputs("plot $data using 1:3:xtic(2) with boxes notitle, "
	      "$data using 1:3:4:5 with yerrorbars notitle pointtype 0 linecolor 'black'",
	      script);
	fputs(line && line->count ? ", limit title 'fio, the hardware' linewidth 2\n" : "\n",
	      script);
	if (!bars) { /* not part of this run */
		fclose(script);
		return remove(path);
	}
	return script_run(script, path, err);
}

/* Samples in the order in which they came. */
static int plot_time(const struct document *document, const char *folder, struct errinfo *err)
{
	const struct series *series = document_find(document, "delta.lag");
	char path[PATH_MAX];
	FILE *script;

	if (!series || !series->count)
		return 0;
	script = script_open(folder, "lag", path, err);
	if (!script)
		return -EIO;
	fputs("set xlabel 'generation'\nset ylabel 'lag, ms'\nset yrange [0:*]\nset key off\n"
	      "$data << END\n",
	      script);
	for (unsigned i = 0; i < series->count; i++)
		fprintf(script, "%u %g\n", i, series->samples[i]);
	fputs("END\nplot $data with lines\n", script);
	return script_run(script, path, err);
}

/* "delta.size.qheal.size-gib-N.duration" against N. */
static int plot_size(const struct document *document, const char *folder, struct errinfo *err)
{
	char path[PATH_MAX];
	FILE *script = script_open(folder, "size", path, err);
	unsigned points = 0;

	if (!script)
		return -EIO;
	fputs("set xlabel 'size of the disk, GiB'\nset ylabel 'cycle with 1 MiB of new data, ms'\n"
	      "set logscale x 2\nset yrange [0:*]\nset key off\n$data << END\n",
	      script);
	for (unsigned i = 0; i < document->count; i++) {
		const struct series *series = &document->series[i];
		unsigned gib;

		if (sscanf(series->name, "delta.size.qheal.size-gib-%u.duration", &gib) != 1 ||
		    !series->count)
			continue;
		points++;
		fprintf(script, "%u %g %g %g\n", gib, stats_median(series->samples, series->count),
			stats_quantile(series->samples, series->count, 0.25),
			stats_quantile(series->samples, series->count, 0.75));
	}
	fputs("END\nplot $data with yerrorlines\n", script);
	if (!points) {
		fclose(script);
		return remove(path);
	}
	return script_run(script, path, err);
}

int plot_all(const struct document *document, const char *folder, struct errinfo *err)
{
	static const char *const bars[] = {"restore.full", "restore.sparse", "restore.in-place",
					   "restore.point", "scrub"};
	int rc;

	if (!child_exists("gnuplot"))
		return 1;
	if (mkdir(folder, 0777) && errno != EEXIST)
		return err_set(err, -errno, "cannot make %s: %s", folder, strerror(errno));
	rc = plot_distribution(document, folder, err);
	for (unsigned i = 0; !rc && i < sizeof(bars) / sizeof(bars[0]); i++)
		rc = plot_bars(document, folder, bars[i], err);
	if (!rc)
		rc = plot_time(document, folder, err);
	return rc ? rc : plot_size(document, folder, err);
}
