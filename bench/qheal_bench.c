/* SPDX-License-Identifier: Apache-2.0
 *
 * qheal-bench: the numbers, repeatable: qheal and what people use today, on the same data
 * in the same run.  README.md of this folder.
 *
 * Exit status: 0 done, 1 failed, 2 wrong usage, 3 a threshold is not held or `compare`
 * found something slower, 130 interrupted.
 */
#include <argp.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"
#include "judge.h"

#define EXIT_USAGE 2
#define EXIT_WORSE 3
#define EXIT_INTERRUPTED 130
#define ROUNDS_MAX 1000
#define DOCUMENTS_MAX 16	      /* pieces of one run */
#define SIZE_MIN (UINT64_C(16) << 20) /* below that programs start longer than they copy */
#define NEED_SIZES 6		      /* a replica with points, a chain, its source, two targets */
#define NEED_GUESTS (UINT64_C(6) << 30)
#define NEED_ALONE (UINT64_C(14) << 30) /* a disk of 4 GiB, its replica and a copy */

const char *argp_program_version = "qheal-bench " QHEAL_VERSION;

static const struct bench_case {
	const char *name;
	int (*run)(struct bench *bench, struct errinfo *err);
	bool guests;
	bool alone; /* not part of all: minutes, and gigabytes */
} cases[] = {
    {"restore", case_restore, false, false},   {"scrub", case_scrub, false, false},
    {"delta", case_delta, true, false},	       {"pivot", case_pivot, true, false},
    {"impact", case_impact, true, false},      {"scale", case_scale, true, false},
    {"firstcopy", case_firstcopy, true, true}, {"footprint", case_footprint, true, true},
};
#define CASES (sizeof(cases) / sizeof(cases[0]))

struct order {
	bool wanted[CASES];
	const char *compare[3];		 /* OLD NEW */
	const char *from[DOCUMENTS_MAX]; /* to judge and draw again; no run */
	unsigned from_count;
	bool comparing;
	const char *directory, *output, *plots, *junit;
	struct threshold thresholds[THRESHOLDS_MAX];
	unsigned threshold_count, words;
	struct bench *bench;
};

struct series *bench_note(struct bench *bench, const char *name, const char *unit,
			  enum series_better better, double value)
{
	struct series *series = document_series(&bench->document, name, unit, better);

	if (!series || series_add(series, value)) {
		fprintf(stderr, "qheal-bench: no room for another sample of %s\n", name);
		work_remove(&bench->work);
		exit(1);
	}
	return series;
}

bool bench_wants(const char *list, const char *word)
{
	size_t length = strlen(word);

	for (const char *at = list; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL) {
		if (!strncmp(at, word, length) && (!at[length] || at[length] == ','))
			return true;
	}
	return !list;
}

void bench_progress(struct bench *bench, const char *format, ...)
{
	bool terminal = isatty(STDERR_FILENO);
	va_list args;

	fprintf(stderr, "%s[%4.0f s] ", terminal ? "\r\033[K" : "", child_now_s() - bench->began_s);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	if (!terminal)
		fputc('\n', stderr);
	fflush(stderr);
}

void bench_progress_end(struct bench *bench)
{
	if (isatty(STDERR_FILENO))
		fputs("\r\033[K", stderr);
}

/* --- options --- */

enum option_key {
	OPTION_QHEAL = 0x100,
	OPTION_BASELINE,
	OPTION_SOURCE,
	OPTION_REQUIRE,
	OPTION_FILE,
	OPTION_JUNIT,
	OPTION_PLOTS,
	OPTION_SECONDS,
	OPTION_PRECISION,
	OPTION_FROM,
	OPTION_TOOLS,
	OPTION_VARIANTS,
};

static uint64_t parse_size(struct argp_state *state, const char *text)
{
	static const char letters[] = "kmgt";
	char *end;
	double value = strtod(text, &end);
	const char *letter = *end ? strchr(letters, *end | 0x20) : NULL;

	if (letter && *letter && !end[1])
		value *= (double)(UINT64_C(1024) << 10 * (letter - letters));
	else if (*end)
		argp_error(state, "\"%s\" is no size: say 512M or 4G", text);
	if (value < (double)SIZE_MIN || value > 1e15)
		argp_error(state, "--size is 16M or more, not %s", text);
	return (uint64_t)value / 65536 * 65536;
}

static double parse_precision(struct argp_state *state, const char *text)
{
	char *end;
	double percent = strtod(text, &end);

	if (*end || !(percent >= 0.1 && percent <= 100))
		argp_error(state, "--precision is 0.1 to 100 percent, not %s", text);
	return percent;
}

static void parse_word(struct argp_state *state, struct order *order, const char *word)
{
	bool found = !strcmp(word, "all");

	if (order->comparing && order->words < 2) {
		order->compare[order->words++] = word;
		return;
	}
	if (!strcmp(word, "compare") && !order->words) {
		order->comparing = true;
		return;
	}
	for (unsigned i = 0; i < CASES; i++) {
		if ((!strcmp(word, "all") && !cases[i].alone) || !strcmp(word, cases[i].name))
			found = order->wanted[i] = true;
	}
	if (!found || order->comparing)
		argp_error(state, "there is no case \"%s\"", word);
	order->words++;
}

static void parse_threshold(struct argp_state *state, struct order *order, int key,
			    const char *text)
{
	struct errinfo err = {0};
	int rc;

	if (order->threshold_count == THRESHOLDS_MAX)
		argp_error(state, "more than %d thresholds", THRESHOLDS_MAX);
	rc = key == OPTION_REQUIRE
		 ? threshold_parse(&order->thresholds[order->threshold_count++], text, &err)
		 : thresholds_read(order->thresholds, &order->threshold_count, text, &err);
	if (rc)
		argp_error(state, "%s", err.text);
}

static void check_words(struct argp_state *state, const struct order *order)
{
	if (!order->words && !order->from_count)
		argp_error(state, "which case? all runs all of them");
	if (order->comparing && order->words != 2)
		argp_error(state, "compare needs two documents: compare OLD NEW");
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct order *order = state->input;
	struct bench *bench = order->bench;
	char *end;

	switch (key) {
	case 's':
		bench->size_bytes = parse_size(state, arg);
		return 0;
	case 'r':
		bench->rounds = (unsigned)strtoul(arg, &end, 10);
		if (*end || !bench->rounds || bench->rounds > ROUNDS_MAX)
			argp_error(state, "--rounds is 1 to %d, not %s", ROUNDS_MAX, arg);
		return 0;
	case OPTION_SECONDS:
		bench->seconds = strtod(arg, &end);
		if (*end || !(bench->seconds > 0 && bench->seconds <= 3600))
			argp_error(state, "--seconds is up to 3600, not %s", arg);
		return 0;
	case OPTION_PRECISION:
		bench->precision = parse_precision(state, arg);
		return 0;
	case 'd':
		order->directory = arg;
		return 0;
	case 'o':
		order->output = arg;
		return 0;
	case OPTION_QHEAL:
		bench->qheal = arg;
		return 0;
	case OPTION_BASELINE:
		bench->baseline = arg;
		return 0;
	case OPTION_SOURCE:
		bench->source = arg;
		return 0;
	case OPTION_FROM:
		if (order->from_count == DOCUMENTS_MAX)
			argp_error(state, "more than %d documents", DOCUMENTS_MAX);
		order->from[order->from_count++] = arg;
		return 0;
	case OPTION_TOOLS:
		bench->tools = arg;
		return 0;
	case OPTION_VARIANTS:
		bench->variants = arg;
		return 0;
	case OPTION_PLOTS:
		order->plots = arg;
		return 0;
	case OPTION_JUNIT:
		order->junit = arg;
		return 0;
	case OPTION_REQUIRE:
	case OPTION_FILE:
		parse_threshold(state, order, key, arg);
		return 0;
	case ARGP_KEY_ARG:
		parse_word(state, order, arg);
		return 0;
	case ARGP_KEY_END:
		check_words(state, order);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_option options[] = {
    {"size", 's', "BYTES", 0, "of the disk in restore and scrub; 256M if left out", 0},
    {"rounds", 'r', "N", 0, "how often; each case has its own number if left out", 0},
    {"seconds", OPTION_SECONDS, "S", 0, "how long one sample of a rate takes", 0},
    {"precision", OPTION_PRECISION, "PERCENT", 0,
     "of restore: more rounds, up to ten times as many, until the ratio is this sure", 0},
    {"directory", 'd', "DIR", 0, "where to work: QHEAL_WORK or /var/tmp; not a tmpfs", 0},
    {"output", 'o', "FILE", 0, "the JSON document goes there; - is stdout", 1},
    {"from", OPTION_FROM, "FILE", 0,
     "no run: table, plots and thresholds of this document; several of one commit become one", 1},
    {"plots", OPTION_PLOTS, "DIR", 0, "SVG files go there", 1},
    {"require", OPTION_REQUIRE, "FIGURE<N", 0, "a threshold, say pivot.p99_ms<60; also > <= >=", 2},
    {"require-file", OPTION_FILE, "FILE", 0, "thresholds, one a line", 2},
    {"junit", OPTION_JUNIT, "FILE", 0, "the thresholds as JUnit XML", 2},
    {"qheal", OPTION_QHEAL, "PROGRAM", 0, "measure this one; the one beside qheal-bench", 3},
    {"baseline", OPTION_BASELINE, "PROGRAM", 0, "in turn with this older build (restore)", 3},
    {"variants", OPTION_VARIANTS, "WORD,...", 0, "of restore: full, sparse, in-place, point", 3},
    {"tools", OPTION_TOOLS, "WORD,...", 0,
     "of restore: qheal, cp, dd, nbdcopy, qemu-img, blockdev-mirror, limit", 3},
    {"source", OPTION_SOURCE, "DIR", 0, "folder of the sources, for cases with guests; .", 3},
    {0},
};

/* --- the run --- */

static uint64_t room_needed(const struct order *order)
{
	uint64_t need = 0;

	for (unsigned i = 0; i < CASES; i++) {
		uint64_t one = cases[i].alone	 ? NEED_ALONE
			       : cases[i].guests ? NEED_GUESTS
						 : NEED_SIZES * order->bench->size_bytes;

		if (order->wanted[i] && one > need)
			need = one;
	}
	return need;
}

static void build_folder(struct bench *bench, char *qheal, size_t size)
{
	ssize_t length = readlink("/proc/self/exe", bench->build, sizeof(bench->build) - 1);

	bench->build[length > 0 ? length : 0] = '\0';
	if (strrchr(bench->build, '/'))
		*strrchr(bench->build, '/') = '\0';
	snprintf(qheal, size, "%s/qheal", bench->build);
	if (!bench->qheal)
		bench->qheal = qheal;
}

/* All cases, also when one fails: a night's run is worth what it has. */
static int cases_run(struct order *order)
{
	struct bench *bench = order->bench;
	int failed = 0;

	for (unsigned i = 0; i < CASES && !child_interrupted(); i++) {
		struct errinfo err = {0};

		if (!order->wanted[i] || !cases[i].run(bench, &err))
			continue;
		failed = 1;
		bench_progress_end(bench);
		if (!child_interrupted()) {
			fprintf(stderr, "qheal-bench: %s: %s\n", cases[i].name, err.text);
			document_miss(&bench->document, cases[i].name, "the rest of the case",
				      err.text);
		}
	}
	bench_progress_end(bench);
	return failed;
}

static int measure(struct order *order)
{
	struct bench *bench = order->bench;
	const char *base = order->directory ? order->directory : getenv("QHEAL_WORK");
	char qheal[PATH_MAX + 8];
	struct errinfo err = {0};
	int failed;

	build_folder(bench, qheal, sizeof(qheal));
	if (!child_exists(bench->qheal)) {
		fprintf(stderr, "qheal-bench: there is no %s: `make` builds it\n", bench->qheal);
		return 1;
	}
	child_catch_signals();
	if (work_make(&bench->work, base ? base : "/var/tmp", room_needed(order), &err)) {
		fprintf(stderr, "qheal-bench: %s\n", err.text);
		return 1;
	}
	machine_describe(bench);
	failed = cases_run(order);
	if (child_interrupted())
		document_miss(&bench->document, "all", "what follows", "interrupted");
	work_remove(&bench->work);
	return child_interrupted() ? EXIT_INTERRUPTED : failed;
}

static int thresholds_tell(struct order *order)
{
	int rc = 0;

	for (unsigned i = 0; i < order->threshold_count; i++) {
		struct threshold *t = &order->thresholds[i];

		threshold_check(t, &order->bench->document);
		rc |= !t->held;
		if (!t->known)
			fprintf(stderr, "qheal-bench: %s was not measured\n", t->figure);
		else if (!t->held)
			fprintf(stderr, "qheal-bench: %s is %g, not %s %g\n", t->figure, t->found,
				t->sign, t->bound);
	}
	return rc ? EXIT_WORSE : 0;
}

/* What was measured, to where it was asked for. */
static int results_tell(struct order *order)
{
	struct document *document = &order->bench->document;
	bool json_on_stdout = order->output && !strcmp(order->output, "-");
	struct errinfo err = {0};
	int rc = order->output ? document_write(document, order->output, &err) : 0;

	if (!json_on_stdout)
		table_write(document, stdout);
	if (!rc && order->plots)
		rc = plot_all(document, order->plots, &err);
	if (rc == 1) {
		fputs("qheal-bench: no plots: gnuplot is missing (scripts/deps --bench)\n", stderr);
		rc = 0;
	}
	if (!rc && order->junit) {
		for (unsigned i = 0; i < order->threshold_count; i++)
			threshold_check(&order->thresholds[i], document);
		rc =
		    thresholds_junit(order->thresholds, order->threshold_count, order->junit, &err);
	}
	if (rc)
		fprintf(stderr, "qheal-bench: %s\n", err.text);
	return rc ? 1 : thresholds_tell(order);
}

static int compare(const struct order *order)
{
	struct document old, new;
	struct errinfo err = {0};
	unsigned slower;

	if (document_read(&old, order->compare[0], &err)) {
		fprintf(stderr, "qheal-bench: %s\n", err.text);
		return 1;
	}
	if (document_read(&new, order->compare[1], &err)) {
		fprintf(stderr, "qheal-bench: %s\n", err.text);
		document_release(&old);
		return 1;
	}
	slower = judge_compare(&old, &new, stdout);
	document_release(&old);
	document_release(&new);
	return slower ? EXIT_WORSE : 0;
}

int main(int argc, char **argv)
{
	static const struct argp argp = {
	    options,
	    parse_option,
	    "restore|scrub|delta|pivot|impact|scale|all...\nfirstcopy|footprint\ncompare OLD NEW",
	    "Measures qheal beside what people use today.\v"
	    "Exit status: 0 done, 1 failed, 2 wrong usage, 3 a threshold is not held or compare "
	    "found something slower, 130 interrupted.",
	    NULL,
	    NULL,
	    NULL};
	static struct bench bench = {.size_bytes = UINT64_C(256) << 20, .source = "."};
	static struct order order = {.bench = &bench};
	struct errinfo err = {0};
	int rc, told;

	argp_err_exit_status = EXIT_USAGE;
	bench.began_s = child_now_s();
	argp_parse(&argp, argc, argv, 0, NULL, &order);
	if (order.comparing)
		return compare(&order);
	rc = order.from_count ? document_read(&bench.document, order.from[0], &err)
			      : document_init(&bench.document);
	for (unsigned i = 1; !rc && i < order.from_count; i++)
		rc = document_merge(&bench.document, order.from[i], &err);
	if (rc) {
		fprintf(stderr, "qheal-bench: %s\n", err.text);
		return 1;
	}
	rc = order.from_count ? 0 : measure(&order);
	told = bench.document.count || json_array_size(bench.document.missing)
		   ? results_tell(&order)
		   : 0;
	document_release(&bench.document);
	return rc ? rc : told;
}
