/* SPDX-License-Identifier: Apache-2.0
 *
 * A disk that gets slower is noticed, one that is only busy is not: on what healthy
 * guests were recorded to do (tests/lab/record_stats.py), as it is and made slower.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <CUnit/CUnit.h>

#include "cunit_main.h"
#include "drift.h"

#define SAMPLES_MAX 2000

static struct {
	uint64_t operations, us;
} samples[SAMPLES_MAX];

/* Tests run from the root of the tree. */
static unsigned load(const char *name)
{
	unsigned long long operations, us;
	unsigned count = 0;
	char path[128], line[128];
	FILE *file;

	snprintf(path, sizeof(path), "tests/data/blockstats-%s.txt", name);
	file = fopen(path, "r");
	CU_ASSERT_PTR_NOT_NULL_FATAL(file);
	while (fgets(line, sizeof(line), file)) {
		if (line[0] == '#')
			continue;
		CU_ASSERT_EQUAL_FATAL(sscanf(line, "%llu %llu", &operations, &us), 2);
		samples[count].operations = operations;
		samples[count++].us = us;
	}
	fclose(file);
	return count;
}

/* Sample of the first alarm, slowed down from START on by FACTOR, reached after RAMP
 * samples; COUNT: none. */
static unsigned alarm_at(unsigned count, unsigned start, double factor, unsigned ramp)
{
	struct drift drift = {0};

	for (unsigned i = 0; i < count; i++) {
		double part = i < start ? 0 : fmin(1, (double)(i - start + 1) / ramp);

		if (drift_sample(&drift, samples[i].operations,
				 (uint64_t)((double)samples[i].us * 1e3 * pow(factor, part))))
			return i;
	}
	return count;
}

static const char *const recordings[] = {"quiet-7.2", "quiet-10.0", "loaded-7.2"};

static void healthy_guests_raise_no_alarm(void)
{
	unsigned all = 0, alarms = 0;

	for (unsigned i = 0; i < 3; i++) {
		unsigned count = load(recordings[i]);

		CU_ASSERT(count >= 400);
		all += count;
		alarms += alarm_at(count, count, 1, 1) < count;
	}
	printf("%u false alarms in %u samples ", alarms, all);
	CU_ASSERT_EQUAL(alarms, 0);
}

static void a_disk_that_creeps_to_four_times_is_noticed(void)
{
	for (unsigned i = 0; i < 3; i++) {
		unsigned count = load(recordings[i]);
		unsigned at = alarm_at(count, 330, 4, 60);

		printf("%s after %d samples ", recordings[i], (int)at - 330);
		CU_ASSERT(at >= 330 && at < count);
	}
}

static void waits_for_a_processor_are_none_of_the_disk(void)
{
	struct drift drift = {0};

	CU_ASSERT_EQUAL(drift_without_waits(1000, -1), 1000);
	CU_ASSERT_EQUAL(drift_without_waits(1000, 0), 1000);
	CU_ASSERT_EQUAL(drift_without_waits(1000, 60), 400);
	CU_ASSERT_EQUAL(drift_without_waits(1000, 100), 100);
	/* As seen: 0.40 ms at 15 %, 0.81 at 60 when others began to work. */
	for (unsigned i = 0; i < 20 * DRIFT_GROUP; i++)
		drift_sample(&drift, 1, drift_without_waits(400000 + i % 7, 15));
	for (unsigned i = 0; i < 20 * DRIFT_GROUP; i++)
		CU_ASSERT(!drift_sample(&drift, 1, drift_without_waits(810000 + i % 7, 60)));
}

static void stalls_are_no_trend(void)
{
	struct drift drift = {0};

	/* One request in ten takes a hundred times as long. */
	for (unsigned i = 0; i < 4000; i++)
		CU_ASSERT(!drift_sample(&drift, 10, i % 10 == 9 ? 100000000 : 1000000 + i % 7));
}

static void a_step_is_noticed_and_stays_until_the_disk_is_replaced(void)
{
	struct drift drift = {0};
	char text[128];
	unsigned i;

	for (i = 0; i < 20 * DRIFT_GROUP; i++)
		CU_ASSERT(!drift_sample(&drift, 10, 1000000 + i % 7));
	for (i = 0; i < 20 * DRIFT_GROUP && !drift_sample(&drift, 10, 3000000); i++)
		;
	CU_ASSERT(i < 4 * DRIFT_GROUP);
	drift_detail(&drift, text, sizeof(text));
	CU_ASSERT(strstr(text, "3.0 times the 0.10 ms") != NULL);
	CU_ASSERT(drift_sample(&drift, 10, 1000000));
	drift_restart(&drift);
	CU_ASSERT(!drift_sample(&drift, 10, 5000000));
}

static void nothing_asked_tells_nothing(void)
{
	struct drift drift = {0};

	for (unsigned i = 0; i < 100; i++) {
		CU_ASSERT(!drift_sample(&drift, 0, 5));
		CU_ASSERT(!drift_sample(&drift, 5, 0));
	}
	CU_ASSERT(drift.group_count == 0 && drift_ratio(&drift) == 0);
}

/* S grows without end, but nobody minds a disk that is 1.9 times as slow. */
static void a_change_that_does_not_matter_raises_nothing(void)
{
	struct drift drift = {0};

	for (unsigned i = 0; i < 4000; i++)
		CU_ASSERT(!drift_sample(&drift, 10, i < 400 ? 1000000 : 1900000));
	CU_ASSERT(drift.sum > DRIFT_LIMIT);
}

int main(void)
{
#define CASE(fn) {#fn, fn}
	static const struct cunit_case cases[] = {
		CASE(healthy_guests_raise_no_alarm),
		CASE(a_disk_that_creeps_to_four_times_is_noticed),
		CASE(waits_for_a_processor_are_none_of_the_disk),
		CASE(stalls_are_no_trend),
		CASE(a_step_is_noticed_and_stays_until_the_disk_is_replaced),
		CASE(nothing_asked_tells_nothing),
		CASE(a_change_that_does_not_matter_raises_nothing),
	};

	return cunit_run("drift", cases, sizeof(cases) / sizeof(cases[0]));
}
