/* SPDX-License-Identifier: Apache-2.0 */
#include <CUnit/CUnit.h>
#include <errno.h>
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

/* Milliseconds of a restore of 32 MiB and of dd beside it, on an idle machine. */
static const double calm[][2] = {
    {92, 76},  {83, 55},  {95, 63},   {84, 76},	 {92, 65},  {84, 74},  {103, 80}, {83, 75},
    {109, 77}, {102, 77}, {106, 76},  {98, 74},	 {100, 61}, {85, 79},  {96, 70},  {94, 59},
    {101, 73}, {104, 80}, {111, 73},  {103, 80}, {105, 74}, {95, 80},  {100, 76}, {105, 80},
    {111, 77}, {92, 83},  {96, 78},   {96, 83},	 {102, 74}, {99, 68},  {127, 72}, {154, 66},
    {144, 88}, {148, 93}, {113, 110}, {142, 82}, {113, 84}, {106, 88}, {126, 67}, {157, 88}};

/* Of 64 MiB, while others wrote to the same disk. */
static const double stormy[][2] = {
    {1148, 1231}, {1084, 1329}, {1050, 910}, {213, 297}, {237, 261},  {206, 254},  {343, 516},
    {540, 780},	  {416, 748},	{356, 2935}, {195, 281}, {260, 322},  {937, 1297}, {1096, 1423},
    {292, 344},	  {243, 349},	{302, 572},  {208, 386}, {1438, 976}, {311, 678},  {199, 444},
    {257, 391},	  {1717, 547},	{210, 441},  {300, 424}, {116, 318},  {398, 490},  {1095, 139},
    {1280, 104},  {258, 1770},	{426, 937},  {250, 671}, {234, 386},  {242, 326},  {300, 309},
    {187, 395},	  {156, 119},	{155, 206},  {203, 242}, {201, 178},  {168, 195},  {205, 264},
    {159, 153},	  {219, 247},	{440, 728},  {252, 641}, {288, 259},  {269, 290},  {150, 1049},
    {140, 646},	  {1391, 112},	{774, 1048}, {418, 470}, {198, 589},  {209, 212},  {165, 241},
    {196, 251},	  {205, 237},	{208, 244},  {223, 279}};

static unsigned random_below(unsigned long long *state, unsigned bound)
{
	*state = *state * 6364136223846793005ULL + 1442695040888963407ULL;
	return (unsigned)(*state >> 33) % bound;
}

/* A run drawn from recorded rounds, FACTOR times as slow: ROUNDS of them, or with
 * PERCENT as many as --precision asks for. */
static void document_draw(struct document *document, const double (*recorded)[2], unsigned count,
			  double factor, double percent, unsigned long long *state)
{
	struct series *ours, *other;
	unsigned rounds = 60;

	document_make(document, 1, 1);
	other = document_find(document, "restore.full.dd");
	ours = document_find(document, "restore.full.qheal");
	other->count = ours->count = 0;
	for (unsigned i = 0; i < 10 * rounds; i++) {
		unsigned drawn = random_below(state, count);

		if (i >= rounds &&
		    (percent <= 0 || (i % 10 == 0 && judge_precise(ours, other, percent))))
			break;
		series_add(ours, factor * recorded[drawn][0]);
		series_add(other, recorded[drawn][1]);
	}
}

struct tally {
	unsigned verdicts[VERDICT_NOISY + 1];
};

static struct tally tally_of(const double (*recorded)[2], unsigned count, double factor,
			     double percent)
{
	unsigned long long state = 1;
	struct tally tally = {0};

	for (unsigned i = 0; i < 100; i++) {
		struct document old, new;
		struct judgement j;

		document_draw(&old, recorded, count, 1, percent, &state);
		document_draw(&new, recorded, count, factor, percent, &state);
		CU_ASSERT(judge_series(&old, &new, document_find(&new, "restore.full.qheal"), &j));
		tally.verdicts[j.verdict]++;
		document_release(&old);
		document_release(&new);
	}
	return tally;
}
#define TALLY(recorded, factor, percent)                                                           \
	tally_of(recorded, sizeof(recorded) / sizeof((recorded)[0]), factor, percent)

/* What bench/prove shows on a real machine in half an hour, from rounds that were recorded. */
static void recorded_rounds_tell_a_fifth_from_nothing(void)
{
	struct tally slow = TALLY(calm, 1.2, 4), same = TALLY(calm, 1, 4);

	CU_ASSERT(slow.verdicts[VERDICT_SLOWER] >= 99);
	CU_ASSERT_EQUAL(same.verdicts[VERDICT_SLOWER], 0);
	CU_ASSERT_EQUAL(same.verdicts[VERDICT_SAME], 100);
}

static void a_storm_is_no_verdict(void)
{
	struct tally same = TALLY(stormy, 1, 0), slow = TALLY(stormy, 1.2, 0);

	CU_ASSERT(same.verdicts[VERDICT_SLOWER] <= 2); /* at 99 % */
	CU_ASSERT(same.verdicts[VERDICT_SAME] < 60);
	CU_ASSERT(slow.verdicts[VERDICT_SAME] < 5);
}

static void precision_asks_for_more_rounds(void)
{
	struct document document;
	unsigned long long state = 1;

	document_draw(&document, calm, 10, 1, 0, &state);
	CU_ASSERT(!judge_precise(&document.series[1], &document.series[0], 0.5));
	CU_ASSERT(judge_precise(&document.series[1], &document.series[0], 50));
	document.series[1].count = 3; /* too few for an interval */
	CU_ASSERT(!judge_precise(&document.series[1], &document.series[0], 50));
	document.series[1].count = 0;
	CU_ASSERT(!judge_precise(&document.series[1], &document.series[0], 50));
	document_release(&document);
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

/* A run in pieces: the second has another case, or what must not be mixed. */
static int merge(const char *name, const char *commit, unsigned *count)
{
	char path[] = "/tmp/qheal-document-XXXXXX";
	struct document document, piece;
	struct errinfo err = {0};
	int rc;

	close(mkstemp(path));
	document_make(&document, 1, 1);
	json_object_set_new(document.head, "commit", json_string("abc"));
	json_object_set_new(document.head, "machine", json_object());
	CU_ASSERT_EQUAL_FATAL(document_init(&piece), 0);
	json_object_set_new(piece.head, "commit", json_string(commit));
	json_object_set_new(piece.head, "machine", json_object());
	series_add(document_series(&piece, name, "s", SERIES_LESS), 7);
	document_miss(&piece, "scrub", "fio", "not installed");
	CU_ASSERT_EQUAL_FATAL(document_write(&piece, path, &err), 0);
	rc = document_merge(&document, path, &err);
	*count = document.count;
	if (!rc) {
		CU_ASSERT_EQUAL(document_find(&document, name)->samples[0], 7);
		CU_ASSERT_EQUAL(json_array_size(document.missing), 1);
	} else {
		CU_ASSERT(err.text[0] != '\0');
	}
	document_release(&document);
	document_release(&piece);
	unlink(path);
	return rc;
}

static void pieces_of_one_run_become_one(void)
{
	unsigned count;

	CU_ASSERT_EQUAL(merge("scrub.qheal", "abc", &count), 0);
	CU_ASSERT_EQUAL(count, 3);
	CU_ASSERT_EQUAL(merge("scrub.qheal", "abd", &count), -EINVAL);
	CU_ASSERT_EQUAL(count, 2);
	CU_ASSERT_EQUAL(merge("restore.full.dd", "abc", &count), -EEXIST);
	CU_ASSERT_EQUAL(count, 2);
}

static void the_ratio_to_the_peer_is_a_figure(void)
{
	struct document document;
	double found;

	document_make(&document, 2, 1.5);
	CU_ASSERT_EQUAL(document_figure(&document, "restore.full.qheal.against_ratio", &found), 0);
	CU_ASSERT(found > 1.5 && found < 1.5 * 1.06);
	CU_ASSERT_EQUAL(document_figure(&document, "restore.full.dd.against_ratio", &found),
			-ENOENT);
	document_release(&document);
}

static void a_round_that_does_not_count_is_cut_off(void)
{
	struct document document;

	document_make(&document, 1, 1);
	series_add(document_series(&document, "scrub.qheal", "s", SERIES_LESS), 1);
	document_cut(&document, "restore.full.", ROUNDS - 1);
	CU_ASSERT_EQUAL(document.series[0].count, ROUNDS - 1);
	CU_ASSERT_EQUAL(document.series[1].count, ROUNDS - 1);
	CU_ASSERT_EQUAL(document.series[2].count, 1);
	CU_ASSERT_EQUAL(series_add(&document.series[0], 5), 0);
	CU_ASSERT_EQUAL(document.series[0].samples[ROUNDS - 1], 5);
	document_release(&document);
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
    {"recorded_rounds_tell_a_fifth_from_nothing", recorded_rounds_tell_a_fifth_from_nothing},
    {"a_storm_is_no_verdict", a_storm_is_no_verdict},
    {"precision_asks_for_more_rounds", precision_asks_for_more_rounds},
    {"thresholds_are_read_and_judged", thresholds_are_read_and_judged},
    {"what_is_no_threshold_is_refused", what_is_no_threshold_is_refused},
    {"a_document_survives_its_file", a_document_survives_its_file},
    {"pieces_of_one_run_become_one", pieces_of_one_run_become_one},
    {"the_ratio_to_the_peer_is_a_figure", the_ratio_to_the_peer_is_a_figure},
    {"a_round_that_does_not_count_is_cut_off", a_round_that_does_not_count_is_cut_off},
    {"a_broken_document_is_refused_with_the_reason", a_broken_document_is_refused_with_the_reason},
    {"junit_tells_each_threshold", junit_tells_each_threshold},
};

int main(void)
{
	return cunit_run("bench_judge", cases, sizeof(cases) / sizeof(cases[0]));
}
