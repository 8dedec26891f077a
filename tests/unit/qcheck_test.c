/* SPDX-License-Identifier: Apache-2.0
 *
 * The checker judges everything else, so it is tested first: images are made as the
 * guest would leave them, spoilt in one way, and given to build/tests/qcheck.
 */
#include "cunit_main.h"

#include "../guest/record.h"

#include <CUnit/CUnit.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define BASE_BYTES 8192u

struct images {
	struct geometry geo;
	char folder[32];
	int fds[RECORD_DISKS_MAX];
	char answer[1024];
};

static void images_init(struct images *im, uint32_t disks, uint64_t slots, bool random)
{
	*im = (struct images){
		.geo = { .run = 7, .slots = slots, .base_bytes = BASE_BYTES, .disks = disks,
			 .size_bytes = 4096, .random = random },
		.folder = "/tmp/qcheck-XXXXXX",
	};
	if (!mkdtemp(im->folder))
		abort();
	for (uint32_t disk = 0; disk < disks; disk++) {
		char path[64];

		snprintf(path, sizeof(path), "%s/%02u", im->folder, disk);
		im->fds[disk] = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
		if (ftruncate(im->fds[disk], (off_t)(BASE_BYTES + slots * 4096)) != 0)
			abort();
	}
}

static void images_release(struct images *im)
{
	char path[64];

	for (uint32_t disk = 0; disk < im->geo.disks; disk++) {
		snprintf(path, sizeof(path), "%s/%02u", im->folder, disk);
		unlink(path);
		close(im->fds[disk]);
	}
	rmdir(im->folder);
}

static void put(struct images *im, uint32_t disk, uint64_t slot, const void *data, size_t length)
{
	if (pwrite(im->fds[disk], data, length, (off_t)record_offset_bytes(&im->geo, slot)) !=
	    (ssize_t)length)
		abort();
}

static void put_record_at(struct images *im, uint32_t disk, uint64_t slot, uint64_t number)
{
	unsigned char record[4096];

	record_fill(&im->geo, number, record);
	put(im, disk, slot, record, sizeof(record));
}

/* The first `bytes` of a record in its place. */
static void put_part(struct images *im, uint64_t number, size_t bytes)
{
	struct place place = record_place(&im->geo, number);
	unsigned char record[4096];

	record_fill(&im->geo, number, record);
	put(im, place.disk, place.slot, record, bytes);
}

static void put_records(struct images *im, uint64_t from, uint64_t to)
{
	for (uint64_t number = from; number <= to; number++)
		put_part(im, number, 4096);
}

/* Exit status of qcheck; what it printed is in im->answer. */
static int judge(struct images *im, const char *format, ...)
{
	char self[PATH_MAX] = "", more[256], command[PATH_MAX + 512];
	va_list args;
	FILE *out;
	size_t got;

	va_start(args, format);
	vsnprintf(more, sizeof(more), format, args);
	va_end(args);
	if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0)
		abort();
	snprintf(command, sizeof(command),
		 "%s/qcheck --run 7 --base %u --region %llu --pattern %s %s %s/?? 2>&1",
		 dirname(self), BASE_BYTES, (unsigned long long)(im->geo.slots * 4096),
		 im->geo.random ? "rand" : "seq", more, im->folder);
	out = popen(command, "r");
	got = fread(im->answer, 1, sizeof(im->answer) - 1, out);
	im->answer[got] = '\0';
	return WEXITSTATUS(pclose(out));
}

static bool says(const struct images *im, const char *what)
{
	bool found = strstr(im->answer, what) != NULL;

	if (!found)
		fprintf(stderr, "no %s in %s\n", what, im->answer);
	return found;
}

static void every_prefix_is_consistent(void)
{
	for (unsigned variant = 0; variant < 6; variant++) {
		struct images im;
		char n[32];

		images_init(&im, 1 + variant % 3, 13, variant >= 3);
		for (uint64_t number = 0; number < 90; number++) {
			if (number)
				put_part(&im, number, 4096);
			snprintf(n, sizeof(n), "\"n\":%llu,", (unsigned long long)number);
			CU_ASSERT(judge(&im, "--acked %llu", (unsigned long long)number) == 0);
			CU_ASSERT(says(&im, "\"consistent\":true") && says(&im, n));
		}
		images_release(&im);
	}
}

static void every_round_fills_each_slot_once(void)
{
	for (uint64_t slots = 1; slots < 200; slots += 3) {
		for (uint64_t round = 0; round < 20; round++) {
			bool seen[200] = { false };

			for (uint64_t step = 0; step < slots; step++) {
				uint64_t slot = record_permute(step, slots, round);

				CU_ASSERT_FATAL(slot < slots && !seen[slot]);
				seen[slot] = true;
			}
		}
	}
}

static void rounds_differ(void)
{
	unsigned same = 0;

	for (uint64_t step = 0; step < 1000; step++)
		same += record_permute(step, 1000, 0) == record_permute(step, 1000, 1);
	CU_ASSERT(same < 50);
}

static void acknowledged_but_absent_is_counted_as_lost(void)
{
	struct images im;

	images_init(&im, 2, 16, true);
	put_records(&im, 1, 40);
	CU_ASSERT(judge(&im, "--acked 47") == 0);
	CU_ASSERT(says(&im, "\"lost\":7"));
	CU_ASSERT(judge(&im, "--acked 47 --at-least 47") == 1);
	CU_ASSERT(judge(&im, "--acked 40 --at-least 40") == 0);
	images_release(&im);
}

static void write_missing_before_the_newest_is_found(void)
{
	struct images im;

	images_init(&im, 2, 16, true);
	put_records(&im, 1, 19);
	put_records(&im, 21, 25); /* the first round: 20 left a blank slot */
	CU_ASSERT(judge(&im, "") == 1);
	CU_ASSERT(says(&im, "missing record") && says(&im, "\"expected\":20,"));
	images_release(&im);
}

static void stale_slot_is_found(void)
{
	struct images im;

	images_init(&im, 2, 16, true);
	put_records(&im, 1, 49);
	put_records(&im, 51, 60);
	CU_ASSERT(judge(&im, "") == 1);
	CU_ASSERT(says(&im, "stale record") && says(&im, "\"expected\":50,"));
	CU_ASSERT(says(&im, "\"contradictions\":1}"));
	images_release(&im);
}

static void disk_behind_the_others_is_found(void)
{
	struct images im;

	images_init(&im, 3, 16, false);
	put_records(&im, 1, 60);
	for (uint64_t number = 61; number <= 70; number++)
		if (record_place(&im.geo, number).disk != 1)
			put_part(&im, number, 4096);
	CU_ASSERT(judge(&im, "") == 1);
	CU_ASSERT(says(&im, "stale record") && says(&im, "\"disk\":1,"));
	images_release(&im);
}

static void torn_record_is_found(void)
{
	struct images im;
	const unsigned char spoilt = 0x55;
	struct place place;

	for (unsigned offset = 60; offset < 4096; offset += 509) {
		images_init(&im, 2, 16, true);
		put_records(&im, 1, 30);
		place = record_place(&im.geo, 12);
		if (pwrite(im.fds[place.disk], &spoilt, 1,
			   (off_t)(record_offset_bytes(&im.geo, place.slot) + offset)) != 1)
			abort();
		CU_ASSERT(judge(&im, "") == 1);
		CU_ASSERT(says(&im, "torn record") && says(&im, "\"expected\":12,"));
		images_release(&im);
	}
}

static void record_in_flight_may_be_torn_while_unacknowledged(void)
{
	struct images im;

	images_init(&im, 2, 16, true);
	put_records(&im, 1, 40);
	put_part(&im, 41, 1024);
	CU_ASSERT(judge(&im, "--acked 40") == 0);
	CU_ASSERT(says(&im, "\"n\":40,") && says(&im, "\"torn_in_flight\":41"));
	CU_ASSERT(judge(&im, "--acked 41") == 1);
	CU_ASSERT(says(&im, "torn record"));
	images_release(&im);

	images_init(&im, 2, 16, true);
	put_records(&im, 1, 10);
	put_part(&im, 11, 2048); /* over a blank slot */
	CU_ASSERT(judge(&im, "--acked 10") == 0);
	images_release(&im);
}

static void record_in_flight_is_torn_only_between_sectors(void)
{
	struct images im;

	images_init(&im, 2, 16, true);
	put_records(&im, 1, 40);
	put_part(&im, 41, 1000);
	CU_ASSERT(judge(&im, "--acked 40") == 1);
	images_release(&im);
}

static void only_the_next_record_is_in_flight(void)
{
	struct images im;

	images_init(&im, 2, 16, true);
	put_records(&im, 1, 40);
	put_part(&im, 42, 1024);
	CU_ASSERT(judge(&im, "--acked 40") == 1);
	images_release(&im);
}

static void misplaced_record_is_found(void)
{
	struct images im;
	struct place place;

	images_init(&im, 2, 16, false);
	put_records(&im, 1, 40);
	place = record_place(&im.geo, 40);
	put_record_at(&im, place.disk, (place.slot + 1) % 16, 40);
	CU_ASSERT(judge(&im, "") == 1);
	CU_ASSERT(says(&im, "misplaced record") && says(&im, "\"found\":40,"));
	images_release(&im);
}

static void record_on_the_wrong_disk_is_found(void)
{
	struct images im;
	struct place place;

	images_init(&im, 2, 16, false);
	put_records(&im, 1, 40);
	place = record_place(&im.geo, 40);
	put_record_at(&im, !place.disk, place.slot, 40);
	CU_ASSERT(judge(&im, "") == 1);
	CU_ASSERT(says(&im, "wrong disk") && says(&im, "\"found\":40,"));
	images_release(&im);
}

static void record_of_another_run_is_garbage(void)
{
	struct images im;

	images_init(&im, 2, 16, false);
	put_records(&im, 1, 5);
	im.geo.run = 8;
	put_part(&im, 20, 4096);
	CU_ASSERT(judge(&im, "") == 1);
	CU_ASSERT(says(&im, "garbage"));
	images_release(&im);
}

static void what_was_there_before_counts_as_untouched(void)
{
	struct images im;
	char path[64], copy[160];

	images_init(&im, 1, 16, false);
	for (uint64_t slot = 0; slot < 16; slot++)
		put(&im, 0, slot, "before", 6);
	snprintf(path, sizeof(path), "%s.initial", im.folder);
	snprintf(copy, sizeof(copy), "cp %s/00 %s", im.folder, path);
	CU_ASSERT_FATAL(system(copy) == 0);
	put_records(&im, 1, 5);
	CU_ASSERT(judge(&im, "") == 1);
	CU_ASSERT(judge(&im, "--initial %s", path) == 0);
	put(&im, 0, 9, "beforf", 6);
	CU_ASSERT(judge(&im, "--initial %s", path) == 1);
	unlink(path);
	images_release(&im);
}

static void image_too_short_is_no_verdict(void)
{
	struct images im;

	images_init(&im, 2, 16, false);
	put_records(&im, 1, 32);
	if (ftruncate(im.fds[1], 20000) != 0)
		abort();
	CU_ASSERT(judge(&im, "") == 2);
	CU_ASSERT(says(&im, "cannot read"));
	images_release(&im);
}

int main(void)
{
	static const struct cunit_case cases[] = {
		{ "every_prefix_is_consistent", every_prefix_is_consistent },
		{ "every_round_fills_each_slot_once", every_round_fills_each_slot_once },
		{ "rounds_differ", rounds_differ },
		{ "acknowledged_but_absent_is_counted_as_lost",
		  acknowledged_but_absent_is_counted_as_lost },
		{ "write_missing_before_the_newest_is_found",
		  write_missing_before_the_newest_is_found },
		{ "stale_slot_is_found", stale_slot_is_found },
		{ "disk_behind_the_others_is_found", disk_behind_the_others_is_found },
		{ "torn_record_is_found", torn_record_is_found },
		{ "record_in_flight_may_be_torn_while_unacknowledged",
		  record_in_flight_may_be_torn_while_unacknowledged },
		{ "record_in_flight_is_torn_only_between_sectors",
		  record_in_flight_is_torn_only_between_sectors },
		{ "only_the_next_record_is_in_flight", only_the_next_record_is_in_flight },
		{ "misplaced_record_is_found", misplaced_record_is_found },
		{ "record_on_the_wrong_disk_is_found", record_on_the_wrong_disk_is_found },
		{ "record_of_another_run_is_garbage", record_of_another_run_is_garbage },
		{ "what_was_there_before_counts_as_untouched",
		  what_was_there_before_counts_as_untouched },
		{ "image_too_short_is_no_verdict", image_too_short_is_no_verdict },
	};

	return cunit_run("qcheck", cases, sizeof(cases) / sizeof(cases[0]));
}
