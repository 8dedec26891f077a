/* SPDX-License-Identifier: Apache-2.0
 *
 * Cases with real guests.  The test lab that boots and breaks them is Python; its
 * programs print JSON, which becomes series in lab.c.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"
#include "lab.h"

static int report_take(struct bench *bench, const char *path, struct errinfo *err)
{
	json_error_t error;
	json_t *root = json_load_file(path, 0, &error);
	int rc;

	if (!root)
		return err_set(err, -EINVAL, "what the lab told is no JSON: %s", error.text);
	rc = lab_take(&bench->document, root);
	json_decref(root);
	return rc ? err_set(err, rc, "the lab told more samples than there is room for") : 0;
}

/* One program of the lab.  ROUNDS and SECONDS: what it takes by default. */
static int driver_run(struct bench *bench, const char *name, unsigned rounds, double seconds,
		      struct errinfo *err)
{
	char program[PATH_MAX + 16], count[24], each[24], build[PATH_MAX + 8], work[PATH_MAX];
	const char *report = work_path(&bench->work, "report.json");
	const char *argv[] = {"env",	  build,   work,	"PYTHONDONTWRITEBYTECODE=1",
			      "python3",  program, name,	"--samples",
			      "--rounds", count,   "--seconds", each,
			      NULL};
	int rc;

	snprintf(program, sizeof(program), "%s/bench/run.py", bench->source);
	if (access(program, R_OK))
		return err_set(err, -ENOENT,
			       "%s is missing: give --source, the folder of the sources", program);
	snprintf(build, sizeof(build), "BUILD=%s", bench->build);
	snprintf(work, sizeof(work), "QHEAL_WORK=%s", bench->work.path);
	snprintf(count, sizeof(count), "%u", bench->rounds ? bench->rounds : rounds);
	snprintf(each, sizeof(each), "%g", bench->seconds > 0 ? bench->seconds : seconds);
	bench_progress(bench, "%s: guests", name);
	rc = child_run(argv, report, false, NULL, err);
	return rc ? rc : report_take(bench, report, err);
}

/* The distribution that counts goes by the name of its case: pivot.p99_ms. */
static void headline(struct bench *bench, const char *from, const char *name)
{
	const struct series *series = document_find(&bench->document, from);
	char unit[SERIES_UNIT_MAX + 1];
	double samples[STATS_SAMPLES_MAX];
	unsigned count = series ? series->count : 0;

	if (!count)
		return;
	strcpy(unit, series->unit);
	memcpy(samples, series->samples, count * sizeof(*samples));
	for (unsigned i = 0; i < count; i++)
		bench_note(bench, name, unit, SERIES_LESS, samples[i]);
}

int case_delta(struct bench *bench, struct errinfo *err)
{
	int rc = driver_run(bench, "cycle", 15, 5, err);

	if (!rc)
		rc = driver_run(bench, "lag", 1, 4, err);
	if (!rc)
		rc = driver_run(bench, "delta", 2, 5, err);
	headline(bench, "lag.steady.lag", "delta.lag");
	document_miss(&bench->document, "delta", "virtnbdbackup",
		      "backs up guests of libvirt, and this one has none");
	return rc;
}

int case_pivot(struct bench *bench, struct errinfo *err)
{
	int rc = driver_run(bench, "pivot", 7, 5, err);

	headline(bench, "pivot.small.downtime", "pivot");
	return rc;
}

int case_impact(struct bench *bench, struct errinfo *err)
{
	int rc = driver_run(bench, "impact", 3, 1, err);

	return rc ? rc : driver_run(bench, "reprotect", 2, 1, err);
}

int case_scale(struct bench *bench, struct errinfo *err)
{
	return driver_run(bench, "scale", 4, 3, err);
}

int case_firstcopy(struct bench *bench, struct errinfo *err)
{
	return driver_run(bench, "firstcopy", 3, 1, err);
}

int case_footprint(struct bench *bench, struct errinfo *err)
{
	return driver_run(bench, "footprint", 1, 20, err);
}
