/* SPDX-License-Identifier: Apache-2.0
 *
 * Which differences between a store's disks and a guest's are followed.
 */
#include <CUnit/CUnit.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cunit_main.h"
#include "disk_list.h"

/* "a9 b4": vda of 9 KiB, vdb of 4. */
static void guest_make(struct guest *guest, const char *text)
{
	memset(guest, 0, sizeof(*guest));
	snprintf(guest->name, sizeof(guest->name), "g");
	for (; *text; text += 2 + (text[2] == ' ')) {
		struct guest_disk *disk = &guest->disks[guest->disk_count++];

		snprintf(disk->name, sizeof(disk->name), "vd%c", text[0]);
		disk->size = (uint64_t)(text[1] - '0') << 10;
	}
}

static void info_make(struct store_info *info, const char *text)
{
	static struct guest guest;

	guest_make(&guest, text);
	memset(info, 0, sizeof(*info));
	snprintf(info->spec.vm, sizeof(info->spec.vm), "g");
	info->spec.disk_count = guest.disk_count;
	for (unsigned i = 0; i < guest.disk_count; i++) {
		snprintf(info->spec.disks[i].name, sizeof(info->spec.disks[i].name), "%s",
			 guest.disks[i].name);
		info->spec.disks[i].size = guest.disks[i].size;
	}
}

static void every_case_has_its_verdict(void)
{
	static const struct {
		const char *store, *selected, *all;
		bool drop, promoted, skipped;
		int status;
		bool changed;
		const char *named;
	} cases[] = {
		{"a9 b4", "a9 b4", "a9 b4", false, false, false, 0, false, ""},
		{"a9 b4", "a9 b4", "a9 b4 c1", false, true, false, 0, false, ""},
		{"a9 b4", "b4 a9", "b4 a9", false, false, false, 0, true, ""},
		{"a8 b4", "a9 b4", "a9 b4", false, false, false, 0, true, ""},
		{"a9 b4", "a8 b4", "a8 b4", false, false, false, 0, true, ""},
		{"a9", "a9 b4", "a9 b4", false, false, false, 0, true, ""},
		{"a9 b4", "a9", "a9", false, false, false, 0, true, ""},
		/* still there, but not asked for */
		{"a9 b4", "a9", "a9 b4", false, false, false, -EPERM, true, "vdb"},
		{"a9 b4", "a9", "a9 b4", true, false, false, 0, true, ""},
		/* there perhaps, as a disk that cannot be protected */
		{"a9 b4", "a9", "a9", false, false, true, -EPERM, true, "vdb"},
		{"a9 b4", "a9", "a9", true, false, true, 0, true, ""},
		/* none of them: is this the store of that guest? */
		{"a9 b4", "c1", "c1", false, false, false, -EPERM, true, "vda"},
		{"a9 b4", "c1", "c1", true, false, false, 0, true, ""},
		/* handed to a guest: nothing can change */
		{"a9", "a9 b4", "a9 b4", true, true, false, -EPERM, true, "empty store"},
	};

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		static struct guest selected, all;
		struct store_info info;
		struct errinfo err = {0};
		bool changed = false;
		int status;

		info_make(&info, cases[i].store);
		info.promoted = cases[i].promoted;
		guest_make(&selected, cases[i].selected);
		guest_make(&all, cases[i].all);
		all.skipped = cases[i].skipped;
		status = disk_list_check(&info, &selected, &all, cases[i].drop, "/s", &changed, &err);
		if (status != cases[i].status || changed != cases[i].changed)
			printf("case %u: %d, %d\n", i, status, changed);
		CU_ASSERT_EQUAL(status, cases[i].status);
		CU_ASSERT_EQUAL(changed, cases[i].changed);
		CU_ASSERT_PTR_NOT_NULL(strstr(err.text, cases[i].named));
	}
}

static void store_of_another_guest_is_refused(void)
{
	static struct guest guest;
	struct store_info info;
	struct errinfo err = {0};
	bool changed;

	info_make(&info, "a9");
	guest_make(&guest, "a9");
	snprintf(guest.name, sizeof(guest.name), "other");
	CU_ASSERT_EQUAL(disk_list_check(&info, &guest, &guest, true, "/s", &changed, &err), -EPERM);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "another guest"));
}

int main(void)
{
	static const struct cunit_case tests[] = {
		{"every_case_has_its_verdict", every_case_has_its_verdict},
		{"store_of_another_guest_is_refused", store_of_another_guest_is_refused},
	};

	return cunit_run("disk_list", tests, sizeof(tests) / sizeof(tests[0]));
}
