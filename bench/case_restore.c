/* SPDX-License-Identifier: Apache-2.0
 *
 * restore: a disk of the replica back to a file, by qheal and by what people use today.
 *
 * The tools take turns, in a round one way and in the next the other.  For all of them:
 * what earlier ones wrote is on the disk, the source is not in the page cache, and the
 * time ends when the target is on stable storage (a flush by us is part of it; it costs
 * nothing when the tool did its own).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "case_restore.h"
#include "judge.h"
#include "neighbours.h"

#define PATIENCE 10	      /* times the rounds, at most, for --precision */
#define NEIGHBOURS_PERCENT 30 /* of the processors; kernel threads take some of it */
#define PATIENCE_S 300	      /* to wait for calm moments in all rounds together */
#define PRECISION_EVERY 10    /* rounds: the intervals of many rounds take time to compute */
#define DIFFER_STEP (UINT64_C(100) * 65536) /* one block in a hundred */

struct tool {
	const char *name;
	void (*command)(const struct bench *bench, const struct variant *variant, const char *from,
			const char *to, const char **argv);
	bool baseline; /* only with --baseline */
};

static const char *store_of(const char *head)
{
	static char store[PATH_MAX];

	snprintf(store, sizeof(store), "%s", head);
	*strstr(store, "/disks/") = '\0';
	return store;
}

static void words(const char **argv, const char *const *list, unsigned count)
{
	memcpy(argv, list, count * sizeof(*argv));
	argv[count] = NULL;
}
#define WORDS(argv, ...)                                                                           \
	words(argv, (const char *const[]){__VA_ARGS__},                                            \
	      sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static void restore_with(const char *program, const struct variant *variant, const char *from,
			 const char *to, const char **argv)
{
	WORDS(argv, program, "restore", "--store", store_of(from), "--disk", "vda", "--output", to,
	      "--json", variant->in_place ? "--in-place" : NULL);
}

static void with_qheal(const struct bench *bench, const struct variant *variant, const char *from,
		       const char *to, const char **argv)
{
	restore_with(bench->qheal, variant, from, to, argv);
}

static void with_baseline(const struct bench *bench, const struct variant *variant,
			  const char *from, const char *to, const char **argv)
{
	restore_with(bench->baseline, variant, from, to, argv);
}

static void with_cp(const struct bench *bench, const struct variant *variant, const char *from,
		    const char *to, const char **argv)
{
	WORDS(argv, "cp", "--sparse=auto", "--reflink=never", from, to);
}

static void with_dd(const struct bench *bench, const struct variant *variant, const char *from,
		    const char *to, const char **argv)
{
	static char in[PATH_MAX + 4], out[PATH_MAX + 4];

	snprintf(in, sizeof(in), "if=%s", from);
	snprintf(out, sizeof(out), "of=%s", to);
	WORDS(argv, "dd", in, out, "bs=4M", "iflag=direct", "oflag=direct", "status=none",
	      variant->in_place	       ? "conv=notrunc,fsync"
	      : variant->percent < 100 ? "conv=sparse,fsync"
				       : "conv=fsync");
}

static void with_nbdcopy(const struct bench *bench, const struct variant *variant, const char *from,
			 const char *to, const char **argv)
{
	WORDS(argv, "nbdcopy", "--flush", from, to);
}

static void with_qemu_img(const struct bench *bench, const struct variant *variant,
			  const char *from, const char *to, const char **argv)
{
	WORDS(argv, "qemu-img", "convert", "-f", "raw", "-O", "raw", "-t", "none", "-T", "none",
	      "-W", "-m", "16", from, to, variant->in_place ? "-n" : NULL);
}

static void with_mirror(const struct bench *bench, const struct variant *variant, const char *from,
			const char *to, const char **argv)
{
	static char program[PATH_MAX + 32];

	snprintf(program, sizeof(program), "%s/bench/mirror-peer", bench->build);
	WORDS(argv, program, from, to);
}

static const struct tool tools[] = {
    {"qheal", with_qheal, false},
    {"baseline", with_baseline, true},
    {"cp", with_cp, false},
    {"dd", with_dd, false},
    {"nbdcopy", with_nbdcopy, false},
    {"qemu-img", with_qemu_img, false},
    {"blockdev-mirror", with_mirror, false},
};
#define TOOLS (sizeof(tools) / sizeof(tools[0]))

/* The tool is there: its program, and what it needs. */
static bool tool_usable(struct bench *bench, const struct variant *variant, const struct tool *tool,
			const char **argv)
{
	const char *missing = child_exists(argv[0]) ? NULL : argv[0];

	if (!missing && tool->command == with_mirror && !child_exists("qemu-storage-daemon"))
		missing = "qemu-storage-daemon";
	if (missing) {
		char name[64];

		snprintf(name, sizeof(name), "restore.%s", variant->name);
		document_miss(&bench->document, name, tool->name,
			      "its program is not installed (scripts/deps --bench)");
	}
	return !missing;
}

int restore_timed(const char *const *argv, const char *to, struct child_usage *usage,
		  struct errinfo *err)
{
	int rc = child_run(argv, NULL, false, usage, err);
	double begin = child_now_s();

	if (!rc)
		rc = file_flush(to, err);
	if (!rc)
		usage->wall_s += child_now_s() - begin;
	return rc;
}

void restore_note(struct bench *bench, const struct variant *variant, const char *tool,
		  const char *beside, const struct child_usage *usage)
{
	double gb = (double)bench->size_bytes * variant->percent / 100 / 1e9;
	char name[SERIES_NAME_MAX + 1];
	struct series *series;

	snprintf(name, sizeof(name), "restore.%s.%s", variant->name, tool);
	series = bench_note(bench, name, "s", SERIES_LESS, usage->wall_s);
	series->ours = !strcmp(tool, "qheal");
	if (beside)
		snprintf(series->beside, sizeof(series->beside), "restore.%s.%s", variant->name,
			 beside);
	snprintf(name, sizeof(name), "restore.%s.%s.rate", variant->name, tool);
	bench_note(bench, name, "mb_s", SERIES_MORE, gb * 1e3 / usage->wall_s);
	snprintf(name, sizeof(name), "restore.%s.%s.cpu", variant->name, tool);
	bench_note(bench, name, "s_gb", SERIES_LESS, usage->cpu_s / gb);
	snprintf(name, sizeof(name), "restore.%s.%s.memory", variant->name, tool);
	bench_note(bench, name, "mib", SERIES_LESS, usage->peak_mib);
}

/* The target as the variant wants to find it. */
static int target_prepare(const struct variant *variant, const struct tool *tool, const char *from,
			  const char *to, uint64_t size, struct errinfo *err)
{
	const char *argv[] = {"cp", "--sparse=auto", from, to, NULL};
	int rc;

	if (variant->in_place) {
		rc = access(to, F_OK) ? child_run(argv, NULL, false, NULL, err) : 0;
		return rc ? rc : file_differ(to, DIFFER_STEP, err);
	}
	unlink(to);
	if (tool->command != with_mirror)
		return 0;
	/* The mirror needs a node of the same size. */
	rc = child_run((const char *const[]){"touch", to, NULL}, NULL, false, NULL, err);
	if (!rc && truncate(to, (off_t)size))
		rc = err_set(err, -errno, "cannot make %s: %s", to, strerror(errno));
	return rc;
}

/* What is compared has to be the same: byte by byte, once a tool and variant. */
static int target_check(const char *from, const char *to, struct errinfo *err)
{
	return child_run((const char *const[]){"cmp", from, to, NULL}, NULL, false, NULL, err);
}

static int tool_round(struct bench *bench, const struct variant *variant, const struct tool *tool,
		      const char *from, unsigned round, struct errinfo *err)
{
	const char *to = work_path(&bench->work, "target.raw"), *argv[CHILD_WORDS_MAX];
	struct child_usage usage;
	int rc;

	tool->command(bench, variant, from, to, argv);
	bench_progress(bench, "restore.%s round %u: %s", variant->name, round + 1, tool->name);
	rc = target_prepare(variant, tool, from, to, bench->size_bytes, err);
	if (!rc)
		rc = work_settle(&bench->work, variant->in_place ? to : NULL, err);
	if (!rc)
		rc = work_settle(&bench->work, from, err);
	if (!rc)
		rc = restore_timed(argv, to, &usage, err);
	if (!rc && round == 0)
		rc = target_check(from, to, err);
	if (!rc)
		restore_note(bench, variant, tool->name,
			     tool->command == with_qheal ? "dd"
			     : tool->baseline		 ? "qheal"
							 : NULL,
			     &usage);
	return rc;
}

int restore_limit(struct bench *bench, const struct variant *variant, const char *from,
		  struct errinfo *err)
{
	uint64_t size = bench->size_bytes * variant->percent / 100;
	const char *to = work_path(&bench->work, "limit.raw");
	char name[SERIES_NAME_MAX + 1];
	double seconds;
	int rc;

	bench_progress(bench, "restore.%s: the hardware's limit", variant->name);
	if (!variant->in_place)
		unlink(to);
	rc = work_settle(&bench->work, from, err);
	if (!rc)
		rc = limit_seconds(&bench->work, variant->in_place ? LIMIT_READ : LIMIT_COPY, from,
				   variant->in_place ? NULL : to, size, &seconds, err);
	unlink(to);
	if (rc)
		return rc;
	snprintf(name, sizeof(name), "restore.%s.limit", variant->name);
	bench_note(bench, name, "s", SERIES_LESS, seconds);
	snprintf(name, sizeof(name), "restore.%s.limit.rate", variant->name);
	bench_note(bench, name, "mb_s", SERIES_MORE, (double)size / 1e6 / seconds);
	return 0;
}

/* Another round after ROUND that count: up to ROUNDS, and with --precision until the ratios are
 * that sure. */
static bool variant_goes_on(const struct bench *bench, const struct variant *variant,
			    unsigned round, unsigned rounds)
{
	static const char *const names[] = {"qheal", "baseline"};
	bool sure = true;

	if (round < rounds)
		return true;
	if (!(bench->precision > 0))
		return false;
	if (round % PRECISION_EVERY)
		return true;
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char name[SERIES_NAME_MAX + 1];
		const struct series *series, *other;

		snprintf(name, sizeof(name), "restore.%s.%s", variant->name, names[i]);
		series = document_find(&bench->document, name);
		other = series ? document_find(&bench->document, series->beside) : NULL;
		if (other)
			sure = sure && judge_precise(series, other, bench->precision);
	}
	return !sure;
}

/* Whether a round counts: one in which neighbours took much of the processors tells about
 * them, and not alike for all tools.  Only --precision does without it and takes another. */
static bool round_counts(struct bench *bench, const struct variant *variant,
			 const struct neighbours *begin, unsigned kept)
{
	double percent = neighbours_percent(begin);
	char name[SERIES_NAME_MAX + 1];

	if (bench->precision > 0 && percent > NEIGHBOURS_PERCENT) {
		snprintf(name, sizeof(name), "restore.%s.", variant->name);
		document_cut(&bench->document, name, kept);
		return false;
	}
	snprintf(name, sizeof(name), "restore.%s.neighbours", variant->name);
	bench_note(bench, name, "percent", SERIES_NEITHER, percent);
	return true;
}

/* With --precision a round waits for a calm moment, as long as there is patience left. */
static void calm_wait(struct bench *bench, double *patience_s)
{
	double begin_s = child_now_s();

	if (!(bench->precision > 0))
		return;
	if (!neighbours_wait(bench->work.path, *patience_s))
		*patience_s = 0;
	else
		*patience_s -= child_now_s() - begin_s;
}

static int variant_run(struct bench *bench, const struct variant *variant, struct errinfo *err)
{
	unsigned rounds = bench->rounds ? bench->rounds : RESTORE_ROUNDS;
	const char *argv[CHILD_WORDS_MAX];
	char head[PATH_MAX];
	unsigned tried = 0, kept = 0;
	double patience_s = PATIENCE_S;
	bool usable[TOOLS], fio = child_exists("fio");
	int rc = store_make(bench, variant->name, variant->percent, 0, head, err);

	for (unsigned i = 0; i < TOOLS; i++) {
		usable[i] = bench_wants(tools[i].baseline ? NULL : bench->tools, tools[i].name) &&
			    (!tools[i].baseline || bench->baseline);
		if (!usable[i])
			continue;
		tools[i].command(bench, variant, head, "target", argv);
		usable[i] = tool_usable(bench, variant, &tools[i], argv);
	}
	if (!fio)
		document_miss(&bench->document, "restore", "fio", "not installed: no limit");
	while (!rc && patience_s > 0 && tried < rounds * PATIENCE &&
	       variant_goes_on(bench, variant, kept, rounds)) {
		struct neighbours begin;

		calm_wait(bench, &patience_s);
		neighbours_mark(&begin);
		for (unsigned i = 0; !rc && i < TOOLS; i++) {
			unsigned turn = tried % 2 ? (unsigned)TOOLS - 1 - i : i;

			if (usable[turn])
				rc = tool_round(bench, variant, &tools[turn], head, tried, err);
		}
		if (!rc && fio && bench_wants(bench->tools, "limit"))
			rc = restore_limit(bench, variant, head, err);
		tried++;
		kept += round_counts(bench, variant, &begin, kept);
	}
	if (!rc && kept < rounds)
		rc = err_set(err, -EAGAIN, "the neighbours left %u rounds of %u undisturbed", kept,
			     tried);
	unlink(work_path(&bench->work, "target.raw"));
	tree_remove(work_path(&bench->work, variant->name));
	return rc;
}

int case_restore(struct bench *bench, struct errinfo *err)
{
	static const struct variant variants[] = {
	    {"full", 100, false}, {"sparse", 10, false}, {"in-place", 100, true}};
	int rc = 0;

	for (unsigned i = 0; !rc && i < sizeof(variants) / sizeof(variants[0]); i++) {
		if (bench_wants(bench->variants, variants[i].name))
			rc = variant_run(bench, &variants[i], err);
	}
	if (!rc && bench_wants(bench->variants, "point"))
		rc = restore_point(bench, err);
	return rc;
}
