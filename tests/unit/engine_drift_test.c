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
#define INTERVAL_NS 250000000

static struct {
	uint64_t operations, us;
} samples[SAMPLES_MAX];

/* Of small requests. */
static bool sample(struct drift *drift, uint64_t operations, uint64_t busy_ns)
{
	return drift_sample(drift, &(struct drift_load){.operations = operations,
							.bytes = operations * 4096,
							.busy_ns = busy_ns,
							.interval_ns = INTERVAL_NS});
}

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

		if (sample(&drift, samples[i].operations,
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
		sample(&drift, 1, drift_without_waits(400000 + i % 7, 15));
	for (unsigned i = 0; i < 20 * DRIFT_GROUP; i++)
		CU_ASSERT(!sample(&drift, 1, drift_without_waits(810000 + i % 7, 60)));
}

static void stalls_are_no_trend(void)
{
	struct drift drift = {0};

	/* One request in ten takes a hundred times as long. */
	for (unsigned i = 0; i < 4000; i++)
		CU_ASSERT(!sample(&drift, 10, i % 10 == 9 ? 100000000 : 1000000 + i % 7));
}

static void a_step_is_noticed_and_stays_until_the_disk_is_replaced(void)
{
	struct drift drift = {0};
	char text[128];
	unsigned i;

	for (i = 0; i < 20 * DRIFT_GROUP; i++)
		CU_ASSERT(!sample(&drift, 10, 1000000 + i % 7));
	for (i = 0; i < 20 * DRIFT_GROUP && !sample(&drift, 10, 3000000); i++)
		;
	CU_ASSERT(i < 4 * DRIFT_GROUP);
	drift_detail(&drift, text, sizeof(text));
	CU_ASSERT(strstr(text, "3.0 times the 0.10 ms") != NULL);
	CU_ASSERT(sample(&drift, 10, 1000000));
	drift_restart(&drift);
	CU_ASSERT(!sample(&drift, 10, 5000000));
}

static void nothing_asked_tells_nothing(void)
{
	struct drift drift = {0};

	for (unsigned i = 0; i < 100; i++) {
		CU_ASSERT(!sample(&drift, 0, 5));
		CU_ASSERT(!sample(&drift, 5, 0));
	}
	CU_ASSERT(drift.group_count == 0 && drift_ratio(&drift) == 0);
}

/* S grows without end, but nobody minds a disk that is 1.9 times as slow. */
static void a_change_that_does_not_matter_raises_nothing(void)
{
	struct drift drift = {0};

	for (unsigned i = 0; i < 4000; i++)
		CU_ASSERT(!sample(&drift, 10, i < 400 ? 1000000 : 1900000));
	CU_ASSERT(drift.sum > DRIFT_LIMIT);
}

/* Sample of the first alarm on a disk that serves REQUESTS of BYTES at a time, each in
 * US, in the sizes that the sidecar keeps; 1000: none. */
static unsigned loaded(struct drift sizes[DRIFT_SIZES], double requests, uint64_t bytes, double us)
{
	double each_us = us * fmax(1, requests); /* they wait for each other */
	uint64_t operations = (uint64_t)(fmin(1, requests) * INTERVAL_NS / 1e3 / us);
	struct drift_load load = {.operations = operations,
				  .bytes = operations * bytes,
				  .busy_ns = (uint64_t)((double)operations * each_us * 1e3),
				  .interval_ns = INTERVAL_NS};

	for (unsigned i = 0; i < 1000; i++) {
		if (drift_sample(&sizes[drift_size(&load)], &load))
			return i;
	}
	return 1000;
}

static void another_load_is_no_slower_disk(void)
{
	static struct drift sizes[DRIFT_SIZES];

	memset(sizes, 0, sizeof(sizes));
	CU_ASSERT_EQUAL(loaded(sizes, 0.3, 4096, 1000), 1000);
	CU_ASSERT_EQUAL(loaded(sizes, 32, 4096, 900), 1000);	   /* a queue */
	CU_ASSERT_EQUAL(loaded(sizes, 32, 1 << 20, 10000), 1000); /* a backup */
	CU_ASSERT_EQUAL(loaded(sizes, 1, 64 << 10, 2500), 1000);
	CU_ASSERT_EQUAL(loaded(sizes, 0.3, 4096, 1000), 1000);
	CU_ASSERT_PTR_EQUAL(drift_of_note(sizes), &sizes[0]);
	CU_ASSERT(loaded(sizes, 0.3, 4096, 4000) < 1000); /* and then it is slower */
	CU_ASSERT_PTR_EQUAL(drift_of_note(sizes), &sizes[0]);
	CU_ASSERT(loaded(sizes, 32, 1 << 20, 40000) < 1000);
}

/* What serves several at a time does more then: one at a time takes a larger share. */
static void a_shorter_queue_is_no_slower_disk(void)
{
	struct drift drift = {0};

	for (unsigned i = 0; i < 1000; i++)
		CU_ASSERT(!sample(&drift, 25000, 32 * (uint64_t)INTERVAL_NS)); /* 10 us, of 32 */
	for (unsigned i = 0; i < 1000; i++)
		CU_ASSERT(!sample(&drift, 3000, INTERVAL_NS)); /* 83 us, one by one */
	for (unsigned i = 0; i < 400; i++)
		sample(&drift, 100, INTERVAL_NS);
	CU_ASSERT(drift.alarm);
}

static void a_disk_whose_writers_pile_up_is_slower(void)
{
	struct drift drift = {0};

	for (unsigned i = 0; i < 1000; i++)
		CU_ASSERT(!sample(&drift, 125, INTERVAL_NS / 2)); /* eight, seldom at a time */
	for (unsigned i = 0; i < 400; i++)
		sample(&drift, 40, 8 * (uint64_t)INTERVAL_NS);
	CU_ASSERT(drift.alarm);
}

static void sizes_are_powers_of_two(void)
{
	static const struct {
		uint64_t bytes;
		unsigned size;
	} table[] = {{0, 0}, {512, 0}, {8191, 0}, {8192, 1}, {16383, 1}, {16384, 2},
		     {(1 << 20) - 1, 7}, {1 << 20, 8}, {UINT64_MAX / 3, 8}};

	for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct drift_load load = {.operations = 3, .bytes = 3 * table[i].bytes};

		CU_ASSERT_EQUAL(drift_size(&load), table[i].size);
	}
	CU_ASSERT_EQUAL(drift_size(&(struct drift_load){.bytes = 7}), 0);
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
		CASE(another_load_is_no_slower_disk),
		CASE(a_shorter_queue_is_no_slower_disk),
		CASE(a_disk_whose_writers_pile_up_is_slower),
		CASE(sizes_are_powers_of_two),
	};

	return cunit_run("drift", cases, sizeof(cases) / sizeof(cases[0]));
}
