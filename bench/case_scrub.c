/* SPDX-License-Identifier: Apache-2.0
 *
 * scrub: every block of the replica read and checked, beside fio that only reads.
 */
#include "bench.h"

#define ROUNDS 5

static int scrub_round(struct bench *bench, const char *head, struct errinfo *err)
{
	const char *store = work_path(&bench->work, "scrub");
	const char *argv[] = {bench->qheal, "verify", "--store", store, "--json", NULL};
	double gb = (double)bench->size_bytes / 1e9, limit;
	struct child_usage usage;
	struct series *series;
	int rc = work_settle(&bench->work, head, err);

	if (!rc)
		rc = child_run(argv, NULL, false, &usage, err);
	if (rc)
		return rc;
	series = bench_note(bench, "scrub.qheal", "s", SERIES_LESS, usage.wall_s);
	series->ours = true;
	bench_note(bench, "scrub.qheal.rate", "mb_s", SERIES_MORE, gb * 1e3 / usage.wall_s);
	bench_note(bench, "scrub.qheal.cpu", "s_gb", SERIES_LESS, usage.cpu_s / gb);
	bench_note(bench, "scrub.qheal.memory", "mib", SERIES_LESS, usage.peak_mib);
	if (!child_exists("fio"))
		return 0;
	snprintf(series->beside, sizeof(series->beside), "scrub.limit");
	rc = work_settle(&bench->work, head, err);
	if (!rc)
		rc = limit_seconds(&bench->work, LIMIT_READ, head, NULL, bench->size_bytes, &limit,
				   err);
	if (!rc) {
		bench_note(bench, "scrub.limit", "s", SERIES_LESS, limit);
		bench_note(bench, "scrub.limit.rate", "mb_s", SERIES_MORE, gb * 1e3 / limit);
	}
	return rc;
}

int case_scrub(struct bench *bench, struct errinfo *err)
{
	unsigned rounds = bench->rounds ? bench->rounds : ROUNDS;
	const char *help[] = {bench->qheal, "verify", "--help", NULL};
	char head[PATH_MAX];
	int rc;

	if (child_run(help, NULL, false, NULL, NULL)) {
		document_miss(&bench->document, "scrub", "qheal verify", "this build has none");
		return 0;
	}
	rc = store_make(bench, "scrub", 100, 0, head, err);

	for (unsigned round = 0; !rc && round < rounds; round++) {
		bench_progress(bench, "scrub round %u of %u", round + 1, rounds);
		rc = scrub_round(bench, head, err);
	}
	tree_remove(work_path(&bench->work, "scrub"));
	if (!child_exists("fio"))
		document_miss(&bench->document, "scrub", "fio", "not installed: no limit");
	return rc;
}
