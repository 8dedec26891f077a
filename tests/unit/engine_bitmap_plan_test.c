/* SPDX-License-Identifier: Apache-2.0
 *
 * Which bitmaps a start finds, against what it must make of them.
 */
#include <CUnit/CUnit.h>
#include <stdio.h>
#include <string.h>

#include "alloc_fail.h"
#include "bitmap_plan.h"
#include "cunit_main.h"

#define SINCE "qheal-1234abcd-7"
#define NEXT "qheal-1234abcd-8"
#define OLDER "qheal-1234abcd-6"
#define LATER "qheal-1234abcd-9"
#define FOREIGN "qheal-ffff0000-7"

/* "7r": generation 7, recording; s: stands still, b: busy, i: inconsistent. */
static void add_bitmaps(struct guest_disk *disk, const char *text)
{
	static const struct {
		char key;
		const char *name;
	} names[] = {{'6', OLDER}, {'7', SINCE}, {'8', NEXT}, {'9', LATER}, {'x', FOREIGN}};

	for (; *text; text += 2 + (text[2] == ' ')) {
		struct guest_bitmap *bitmap = &disk->bitmaps[disk->bitmap_count++];

		for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
			if (names[i].key == text[0])
				snprintf(bitmap->name, sizeof(bitmap->name), "%s", names[i].name);
		}
		bitmap->recording = text[1] == 'r' || text[1] == 'b';
		bitmap->busy = text[1] == 'b';
		bitmap->inconsistent = text[1] == 'i';
	}
}

static void guest_make(struct guest *guest, const char *first, const char *second)
{
	const char *texts[] = {first, second};

	memset(guest, 0, sizeof(*guest));
	for (unsigned i = 0; i < 2 && texts[i]; i++) {
		struct guest_disk *disk = &guest->disks[guest->disk_count++];

		snprintf(disk->name, sizeof(disk->name), "vd%c", 'a' + (int)i);
		snprintf(disk->node, sizeof(disk->node), "d%u", i);
		add_bitmaps(disk, texts[i]);
	}
}

/* "d0:+7" enable, "d0:8>7" merge, "d0:-8" remove. */
static void actions_text(const json_t *actions, char *text, size_t size)
{
	const json_t *action;
	size_t i, used = 0;

	text[0] = '\0';
	json_array_foreach(actions, i, action) {
		const char *type = json_string_value(json_object_get(action, "type"));
		const json_t *data = json_object_get(action, "data");
		const char *node = json_string_value(json_object_get(data, "node"));
		const char *name = json_string_value(json_object_get(data, "name"));
		const char *space = used ? " " : "";

		if (!strcmp(type, "block-dirty-bitmap-merge")) {
			const char *target = json_string_value(json_object_get(data, "target"));

			name = json_string_value(
				json_array_get(json_object_get(data, "bitmaps"), 0));
			used += (size_t)snprintf(text + used, size - used, "%s%s:%s>%s", space, node,
						 strrchr(name, '-') + 1, strrchr(target, '-') + 1);
			continue;
		}
		used += (size_t)snprintf(text + used, size - used, "%s%s:%c%s", space, node,
					 strstr(type, "-enable") ? '+' : '-',
					 strstr(name, "ffff") ? "x" : strrchr(name, '-') + 1);
	}
}

static const struct {
	const char *first, *second;
	uint64_t covered; /* bit set */
	const char *actions;
} cases[] = {
	/* between two cycles */
	{"7r", NULL, 1, ""},
	{"7r", "7r", 3, ""},
	/* in a cycle that did not become durable */
	{"7s 8r", NULL, 1, "d0:7>7 d0:+7 d0:8>7 d0:-8"},
	{"7s 8r", "7s 8r", 3, "d0:7>7 d0:+7 d0:8>7 d0:-8 d1:7>7 d1:+7 d1:8>7 d1:-8"},
	{"8r 7s", NULL, 1, "d0:7>7 d0:+7 d0:8>7 d0:-8"},
	/* in a cycle that did: 7 is the generation now */
	{"6s 7r", "6s 7r", 3, "d0:-6 d1:-6"},
	{"6s 7r", "7r", 3, "d0:-6"},
	/* the transaction of a revert done on one disk only cannot be, but is harmless */
	{"7r 8r", "7s 8r", 3, "d0:8>7 d0:-8 d1:7>7 d1:+7 d1:8>7 d1:-8"},
	/* two cycles that did not, and what is older */
	{"6s 7s 8r", NULL, 1, "d0:7>7 d0:+7 d0:8>7 d0:-6 d0:-8"},
	{"7r xr", NULL, 1, "d0:-x"},
	{"7r 9r", NULL, 1, "d0:-9"},
	/* QEMU was restarted, or a disk's bitmap is gone: the others count */
	{"", NULL, 0, ""},
	{"", "", 0, ""},
	{"7r", "", 1, ""},
	{"", "7r", 2, ""},
	/* does not reach back far enough */
	{"8r", NULL, 0, "d0:-8"},
	{"7s 8r", "8r", 1, "d0:7>7 d0:+7 d0:8>7 d0:-8 d1:-8"},
	{"9r", NULL, 0, "d0:-9"},
	/* reaches back too far: not what the name says, so not trusted */
	{"6r", NULL, 0, "d0:-6"},
	/* of another store */
	{"xr", NULL, 0, "d0:-x"},
	/* nobody knows the writes of this moment */
	{"7s", NULL, 0, "d0:-7"},
	{"7r", "7s", 1, "d1:-7"},
	{"7s 8s", NULL, 0, "d0:-7 d0:-8"},
	{"7s 9r", NULL, 0, "d0:-7 d0:-9"},
	/* a bitmap that QEMU itself does not trust, or somebody uses */
	{"7i", NULL, 0, "d0:-7"},
	{"7b", NULL, 0, "d0:-7"},
	{"7r 8i", NULL, 0, "d0:-7 d0:-8"},
	{"7s 8b", NULL, 0, "d0:-7 d0:-8"},
};

static void every_case_has_its_verdict(void)
{
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct guest guest;
		json_t *actions;
		char text[256];
		uint64_t covered;

		guest_make(&guest, cases[i].first, cases[i].second);
		covered = bitmap_plan_covered(&guest, SINCE, NEXT);
		actions = bitmap_plan_actions(&guest, SINCE, NEXT, covered);
		actions_text(actions, text, sizeof(text));
		json_decref(actions);
		CU_ASSERT(covered == cases[i].covered);
		CU_ASSERT_STRING_EQUAL(text, cases[i].actions);
		if (covered != cases[i].covered || strcmp(text, cases[i].actions))
			fprintf(stderr, "\n  \"%s\" \"%s\": %llu \"%s\"\n", cases[i].first,
				cases[i].second ? cases[i].second : "",
				(unsigned long long)covered, text);
	}
}

/* Between the actions the guest may write: at no time may both be deaf, and the
 * content of `next` must be taken before it goes. */
static void the_old_one_records_before_it_takes_what_the_new_one_has(void)
{
	struct guest guest;
	json_t *actions;
	char text[256];

	guest_make(&guest, "7s 8r", NULL);
	actions = bitmap_plan_actions(&guest, SINCE, NEXT, 3);
	actions_text(actions, text, sizeof(text));
	CU_ASSERT_STRING_EQUAL(text, "d0:7>7 d0:+7 d0:8>7 d0:-8");
	json_decref(actions);
}

/* What was not covered for another reason (the store is not complete) is cleared
 * although the bitmaps would do. */
static void bitmaps_of_an_incomplete_store_go(void)
{
	struct guest guest;
	json_t *actions;
	char text[256];

	guest_make(&guest, "7s 8r", "7r");
	actions = bitmap_plan_actions(&guest, SINCE, NEXT, 0);
	actions_text(actions, text, sizeof(text));
	CU_ASSERT_STRING_EQUAL(text, "d0:-7 d0:-8 d1:-7");
	json_decref(actions);
}

static void a_plan_without_memory_is_no_plan(void)
{
	struct guest guest;
	unsigned n = 1;

	alloc_fail_jansson();
	guest_make(&guest, "6s 7s 8r", "7s 8r");
	for (;; n++) {
		json_t *actions;

		alloc_fail_at(n);
		actions = bitmap_plan_actions(&guest, SINCE, NEXT, 3);
		if (!alloc_fail_off()) {
			CU_ASSERT(json_array_size(actions) == 9);
			json_decref(actions);
			break;
		}
		/* A half of the actions would lose what the other half knows. */
		CU_ASSERT(!actions || json_array_size(actions) == 9);
		json_decref(actions);
	}
	CU_ASSERT(n > 20);
}

int main(void)
{
	static const struct cunit_case tests[] = {
		{"every_case_has_its_verdict", every_case_has_its_verdict},
		{"the_old_one_records_before_it_takes_what_the_new_one_has",
		 the_old_one_records_before_it_takes_what_the_new_one_has},
		{"bitmaps_of_an_incomplete_store_go", bitmaps_of_an_incomplete_store_go},
		{"a_plan_without_memory_is_no_plan", a_plan_without_memory_is_no_plan},
	};

	return cunit_run("bitmap_plan", tests, sizeof(tests) / sizeof(tests[0]));
}
