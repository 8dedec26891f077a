/* SPDX-License-Identifier: Apache-2.0 */
#include <CUnit/CUnit.h>
#include <errno.h>
#include <string.h>

#include "cunit_main.h"
#include "lab.h"

static int take(struct document *document, const char *text)
{
	json_t *report = json_loads(text, 0, NULL);
	int rc;

	CU_ASSERT_PTR_NOT_NULL_FATAL(report);
	CU_ASSERT_EQUAL_FATAL(document_init(document), 0);
	rc = lab_take(document, report);
	json_decref(report);
	return rc;
}

static void is_series(const struct document *document, const char *name, const char *unit,
		      enum series_better better, unsigned count)
{
	const struct series *series = document_find(document, name);

	CU_ASSERT_PTR_NOT_NULL_FATAL(series);
	CU_ASSERT_STRING_EQUAL(series->unit, unit);
	CU_ASSERT_EQUAL(series->better, better);
	CU_ASSERT_EQUAL(series->count, count);
}

static void a_sample_is_named_by_its_way(void)
{
	struct document d;

	CU_ASSERT_EQUAL(take(&d, "{\"lag\":{\"seconds\":3,\"loads\":[{\"load\":\"steady\","
				 "\"lag_ms\":{\"samples\":[1,2.5]}}]}}"),
			0);
	is_series(&d, "lag.steady.lag", "ms", SERIES_LESS, 2);
	CU_ASSERT_EQUAL(d.count, 1);
	document_release(&d);
}

static void the_longest_unit_is_the_unit(void)
{
	struct document d;

	CU_ASSERT_EQUAL(take(&d, "{\"a\":{\"rate_mb_s\":{\"samples\":[1]},"
				 "\"acks_per_s\":{\"samples\":[1]},\"wall_s\":{\"samples\":[1]},"
				 "\"bytes\":{\"samples\":[1]},\"ratio\":{\"samples\":[1]}}}"),
			0);
	is_series(&d, "a.rate", "mb_s", SERIES_MORE, 1);
	is_series(&d, "a.acks", "per_s", SERIES_MORE, 1);
	is_series(&d, "a.wall", "s", SERIES_LESS, 1);
	is_series(&d, "a.bytes", "bytes", SERIES_NEITHER, 1);
	is_series(&d, "a.ratio", "ratio", SERIES_MORE, 1);
	document_release(&d);
}

static void elements_of_a_list_are_told_apart(void)
{
	struct document d;

	CU_ASSERT_EQUAL(
	    take(&d, "{\"impact\":{\"guests\":[{\"pattern\":\"seq\",\"entries\":["
		     "{\"with\":\"qheal\",\"interval_ms\":100,\"ratio\":{\"samples\":[1]}},"
		     "{\"with\":\"blockdev-mirror background\","
		     "\"bare\":{\"latency_p99_ms\":{\"samples\":[3]}}},"
		     "{\"with\":\"blockdev-mirror background\","
		     "\"ratio\":{\"samples\":[1]}}]}],\"wanted\":{\"x\":{\"samples\":[1]}}}}"),
	    0);
	CU_ASSERT_EQUAL(d.count, 3);
	is_series(&d, "impact.seq.qheal.interval-ms-100.ratio", "ratio", SERIES_MORE, 1);
	CU_ASSERT(d.series[0].ours);
	is_series(&d, "impact.seq.blockdev-mirror-background.ratio", "ratio", SERIES_MORE, 1);
	CU_ASSERT(!d.series[1].ours && !d.series[2].ours);
	document_release(&d);
}

static void what_is_no_number_is_refused(void)
{
	struct document d;

	CU_ASSERT_EQUAL(take(&d, "{\"a\":{\"lag_ms\":{\"samples\":[1,\"2\"]}}}"), -EINVAL);
	document_release(&d);
}

static void names_of_any_length_are_cut(void)
{
	char text[2048] = "{\"", *end;
	struct document d;

	memset(text + 2, 'x', 600);
	end = stpcpy(text + 602, "\":{\"");
	memset(end, 'y', 600);
	strcpy(end + 600, "\":{\"lag_ms\":{\"samples\":[1]}}}}");
	CU_ASSERT_EQUAL(take(&d, text), 0);
	CU_ASSERT_EQUAL(d.count, 1);
	document_release(&d);
}

static const struct cunit_case cases[] = {
    {"a_sample_is_named_by_its_way", a_sample_is_named_by_its_way},
    {"the_longest_unit_is_the_unit", the_longest_unit_is_the_unit},
    {"elements_of_a_list_are_told_apart", elements_of_a_list_are_told_apart},
    {"what_is_no_number_is_refused", what_is_no_number_is_refused},
    {"names_of_any_length_are_cut", names_of_any_length_are_cut},
};

int main(void)
{
	return cunit_run("bench_lab", cases, sizeof(cases) / sizeof(cases[0]));
}
