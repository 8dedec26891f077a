/* SPDX-License-Identifier: Apache-2.0 */
#include <CUnit/CUnit.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cunit_main.h"
#include "judge.h"

#define ROUNDS 12

/* Twelve rounds of qheal and dd on a machine that is SPEED times slower than it should
 * be and gets worse; qheal itself takes FACTOR times as long. */
static void document_make(struct document *document, double speed, double factor)
{
	struct series *ours, *other;

	CU_ASSERT_EQUAL_FATAL(document_init(document), 0);
	other = document_series(document, "restore.full.dd", "s", SERIES_LESS);
	for (int i = 0; i < ROUNDS; i++)
		series_add(other, speed * (1 + 0.02 * i));
	ours = document_series(document, "restore.full.qheal", "s", SERIES_LESS);
	ours->ours = true;
	strcpy(ours->beside, "restore.full.dd");
	for (int i = 0; i < ROUNDS; i++)
		series_add(ours, factor * speed * (1 + 0.02 * i) * (1 + 0.03 * (i % 3)));
}

static unsigned compare(double old_speed, double old_factor, double new_speed, double new_factor)
{
	struct document old, new;
	FILE *out = fopen("/dev/null", "w");
	unsigned slower;

	document_make(&old, old_speed, old_factor);
	document_make(&new, new_speed, new_factor);
	slower = judge_compare(&old, &new, out);
	fclose(out);
	document_release(&old);
	document_release(&new);
	return slower;
}

static void a_fifth_slower_is_found(void)
{
	CU_ASSERT_EQUAL(compare(1, 1, 1, 1.2), 1);
	CU_ASSERT_EQUAL(compare(1, 1.2, 1, 1), 0);
	CU_ASSERT_EQUAL(compare(1, 1, 1, 1.08), 0); /* below the floor */
}

static void a_slower_machine_is_not_a_slower_program(void)
{
	CU_ASSERT_EQUAL(compare(1, 1, 2, 1), 0);
	CU_ASSERT_EQUAL(compare(1, 1, 0.5, 1.2), 1);
}

static void a_lower_rate_is_worse(void)
{
	struct document old, new;
	struct judgement j;
	struct series *series;

	document_init(&old);
	document_init(&new);
	series = document_series(&old, "scrub.rate", "mb_s", SERIES_MORE);
	for (int i = 0; i < ROUNDS; i++)
		series_add(series, 100 + i);
	series = document_series(&new, "scrub.rate", "mb_s", SERIES_MORE);
	for (int i = 0; i < ROUNDS; i++)
		series_add(series, 50 + i);
	CU_ASSERT(judge_series(&old, &new, series, &j));
	CU_ASSERT_EQUAL(j.verdict, VERDICT_SLOWER);
	document_release(&old);
	document_release(&new);
}

static void two_samples_are_no_evidence(void)
{
	struct document old, new;
	struct judgement j;

	document_init(&old);
	document_init(&new);
	for (int i = 0; i < 2; i++) {
		series_add(document_series(&old, "x", "s", SERIES_LESS), 1 + i);
		series_add(document_series(&new, "x", "s", SERIES_LESS), 10 + i);
	}
	CU_ASSERT(judge_series(&old, &new, &new.series[0], &j));
	CU_ASSERT_EQUAL(j.verdict, VERDICT_UNKNOWN);
	document_release(&old);
	document_release(&new);
}

static void thresholds_are_read_and_judged(void)
{
	struct document document;
	struct threshold t;
	struct errinfo err = {0};

	document_make(&document, 1, 1);
	CU_ASSERT_EQUAL(threshold_parse(&t, "restore.full.dd.max_s<=1.22", &err), 0);
	threshold_check(&t, &document);
	CU_ASSERT(t.known && t.held);
	CU_ASSERT_EQUAL(threshold_parse(&t, "restore.full.dd.max_s < 1.22", &err), 0);
	threshold_check(&t, &document);
	CU_ASSERT(t.known && !t.held);
	CU_ASSERT_EQUAL(threshold_parse(&t, "restore.full.dd.min_s>0.5\n", &err), 0);
	threshold_check(&t, &document);
	CU_ASSERT(t.held);
	CU_ASSERT_EQUAL(threshold_parse(&t, "restore.full.dd.min_ms>0.5", &err), 0);
	threshold_check(&t, &document);
	CU_ASSERT(!t.known && !t.held); /* another unit is another figure */
	document_release(&document);
}

static void what_is_no_threshold_is_refused(void)
{
	static const char *const broken[] = {"",    "x",    "x<",    "<5",   "x<5y",
					     "x=5", "x<<5", "x<nan", "x<=>5"};
	struct threshold t;

	for (unsigned i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
		struct errinfo err = {0};

		CU_ASSERT(threshold_parse(&t, broken[i], &err) < 0);
		CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "threshold"));
	}
}

static void a_document_survives_its_file(void)
{
	char path[] = "/tmp/qheal-document-XXXXXX";
	struct document document, again;
	struct errinfo err = {0};
	double found;

	close(mkstemp(path));
	document_make(&document, 1, 1.5);
	document_miss(&document, "delta", "virtnbdbackup", "not installed");
	CU_ASSERT_EQUAL(document_write(&document, path, &err), 0);
	CU_ASSERT_EQUAL_FATAL(document_read(&again, path, &err), 0);
	CU_ASSERT_EQUAL(again.count, 2);
	CU_ASSERT(document_find(&again, "restore.full.qheal")->ours);
	CU_ASSERT_EQUAL(json_array_size(again.missing), 1);
	CU_ASSERT_EQUAL(document_figure(&again, "restore.full.dd.median_s", &found), 0);
	CU_ASSERT_DOUBLE_EQUAL(found, 1.11, 1e-6);
	document_release(&document);
	document_release(&again);
	unlink(path);
}

static void a_broken_document_is_refused_with_the_reason(void)
{
	static const char *const broken[] = {
	    "", "[]", "{\"schema\":2,\"series\":[]}", "{\"schema\":1,\"series\":[7]}",
	    "{\"schema\":1,\"series\":[{\"name\":\"x\",\"unit\":\"s\",\"better\":\"less\","
	    "\"samples\":[\"1\"]}]}"};

	for (unsigned i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
		char path[] = "/tmp/qheal-document-XXXXXX";
		struct document document;
		struct errinfo err = {0};
		int fd = mkstemp(path);

		CU_ASSERT_EQUAL(write(fd, broken[i], strlen(broken[i])),
				(ssize_t)strlen(broken[i]));
		close(fd);
		CU_ASSERT(document_read(&document, path, &err) < 0);
		CU_ASSERT(err.text[0] != '\0');
		unlink(path);
	}
}

static void junit_tells_each_threshold(void)
{
	char path[] = "/tmp/qheal-junit-XXXXXX", text[2048];
	struct threshold list[2] = {
	    {.figure = "a.p99_ms", .sign = "<", .bound = 60, .found = 70, .known = true},
	    {.figure = "b.p99_ms", .sign = "<", .bound = 60}};
	struct errinfo err = {0};
	FILE *file;
	size_t length;

	close(mkstemp(path));
	CU_ASSERT_EQUAL(thresholds_junit(list, 2, path, &err), 0);
	file = fopen(path, "r");
	length = fread(text, 1, sizeof(text) - 1, file);
	text[length] = '\0';
	fclose(file);
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "tests=\"2\" failures=\"1\" errors=\"1\""));
	CU_ASSERT_PTR_NOT_NULL(
	    strstr(text, "name=\"a.p99_ms&lt;60\"><failure message=\"it is 70\""));
	unlink(path);
}

static const struct cunit_case cases[] = {
    {"a_fifth_slower_is_found", a_fifth_slower_is_found},
    {"a_slower_machine_is_not_a_slower_program", a_slower_machine_is_not_a_slower_program},
    {"a_lower_rate_is_worse", a_lower_rate_is_worse},
    {"two_samples_are_no_evidence", two_samples_are_no_evidence},
    {"thresholds_are_read_and_judged", thresholds_are_read_and_judged},
    {"what_is_no_threshold_is_refused", what_is_no_threshold_is_refused},
    {"a_document_survives_its_file", a_document_survives_its_file},
    {"a_broken_document_is_refused_with_the_reason", a_broken_document_is_refused_with_the_reason},
    {"junit_tells_each_threshold", junit_tells_each_threshold},
};

int main(void)
{
	return cunit_run("bench_judge", cases, sizeof(cases) / sizeof(cases[0]));
}
