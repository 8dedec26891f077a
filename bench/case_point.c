/* SPDX-License-Identifier: Apache-2.0
 *
 * restore, one point of many: the middle one of the replica's kept points, beside what
 * people keep points in today, a chain of qcow2 overlays.  Both hold the same data, and
 * the chain has no file that is newer than the point: nothing that qemu-img need not read.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "case_restore.h"

#define POINTS 8u
#define WANTED 4u

static const struct variant variant = {"point", 100, false};

static const char *store_path(struct bench *bench)
{
	return work_path(&bench->work, "point");
}

/* Point NUMBER to the file TO, as the peer would have got it from the guest. */
static int point_write(struct bench *bench, unsigned number, const char *to, struct errinfo *err)
{
	char name[16];
	const char *argv[] = {bench->qheal, "restore", "--store", store_path(bench), "--disk",
			      "vda",	    "--point", name,	  "--output",	     to,
			      "--force",    "--json",  NULL};

	snprintf(name, sizeof(name), "p%u", number);
	return child_run(argv, NULL, false, NULL, err);
}

/* An overlay that holds what point NUMBER differs in from the chain so far. */
static int overlay_add(struct bench *bench, unsigned number, const char *raw, struct errinfo *err)
{
	char path[PATH_MAX], below[PATH_MAX], name[16];
	const char *create[] = {"qemu-img", "create", "-q",  "-f", "qcow2", "-b",
				raw,	    "-F",     "raw", path, NULL};
	const char *rebase[] = {"qemu-img", "rebase", "-f", "qcow2",
				"-b",	    below,    "-F", number > 2 ? "qcow2" : "raw",
				path,	    NULL};
	int rc = point_write(bench, number, raw, err);

	snprintf(name, sizeof(name), "chain%u", number);
	snprintf(path, sizeof(path), "%s", work_path(&bench->work, name));
	snprintf(name, sizeof(name), "chain%u", number - 1);
	snprintf(below, sizeof(below), "%s", work_path(&bench->work, name));
	if (!rc)
		rc = child_run(create, NULL, false, NULL, err);
	return rc ? rc : child_run(rebase, NULL, false, NULL, err);
}

/* chain1 is raw, the point before the first overlay; RAW is left as the point wanted. */
static int chain_make(struct bench *bench, const char *raw, struct errinfo *err)
{
	int rc = point_write(bench, 1, work_path(&bench->work, "chain1"), err);

	for (unsigned i = 2; !rc && i <= WANTED; i++) {
		bench_progress(bench, "restore.point: the peer's overlay %u", i);
		rc = overlay_add(bench, i, raw, err);
	}
	return rc;
}

/* Nothing of either tool's source is in the page cache. */
static int sources_settle(struct bench *bench, struct errinfo *err)
{
	int rc = work_settle(&bench->work, NULL, err);

	return rc ? rc : tree_forget(bench->work.path, err);
}

static int tool_round(struct bench *bench, unsigned tool, unsigned round, const char *raw,
		      struct errinfo *err)
{
	const char *to = work_path(&bench->work, "target.raw");
	const char *ours[] = {bench->qheal, "restore", "--store", store_path(bench),
			      "--disk",	    "vda",     "--point", "p4",
			      "--output",   to,	       "--json",  NULL};
	const char *chain = work_path(&bench->work, "chain4");
	const char *peer[] = {"qemu-img", "convert", "-f", "qcow2", "-O", "raw", "-t", "none",
			      "-T",	  "none",    "-W", "-m",    "16", chain, to,   NULL};
	static const char *const names[] = {"qheal", "qemu-img"};
	struct child_usage usage;
	int rc;

	bench_progress(bench, "restore.point round %u: %s", round + 1, names[tool]);
	unlink(to);
	rc = sources_settle(bench, err);
	if (!rc)
		rc = restore_timed(tool ? peer : ours, to, &usage, err);
	if (!rc && round == 0)
		rc = child_run((const char *const[]){"cmp", raw, to, NULL}, NULL, false, NULL, err);
	if (!rc)
		restore_note(bench, &variant, names[tool], tool ? NULL : names[1], &usage);
	unlink(to);
	return rc;
}

static void files_remove(struct bench *bench)
{
	static const char *const names[] = {"point.raw", "chain1", "chain2", "chain3", "chain4"};

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		unlink(work_path(&bench->work, names[i]));
	tree_remove(store_path(bench));
}

int restore_point(struct bench *bench, struct errinfo *err)
{
	unsigned rounds = bench->rounds ? bench->rounds : RESTORE_ROUNDS;
	bool peer = child_exists("qemu-img"), fio = child_exists("fio");
	char head[PATH_MAX], raw[PATH_MAX];
	int rc;

	snprintf(raw, sizeof(raw), "%s", work_path(&bench->work, "point.raw"));
	rc = store_make(bench, variant.name, variant.percent, POINTS, head, err);
	if (!rc)
		rc = peer ? chain_make(bench, raw, err) : point_write(bench, WANTED, raw, err);
	if (!peer)
		document_miss(&bench->document, "restore.point", "qemu-img",
			      "its program is not installed (scripts/deps --bench)");
	for (unsigned round = 0; !rc && round < rounds; round++) {
		for (unsigned i = 0; !rc && i < 2; i++) {
			unsigned turn = round % 2 ? 1 - i : i;

			if (turn == 0 || peer)
				rc = tool_round(bench, turn, round, raw, err);
		}
		if (!rc && fio)
			rc = restore_limit(bench, &variant, raw, err);
	}
	files_remove(bench);
	return rc;
}
