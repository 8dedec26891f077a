/* SPDX-License-Identifier: Apache-2.0
 *
 * What is known of the heads: every block that the scrub found bad, until it finds it good.
 */
#include <CUnit/CUnit.h>
#include <string.h>

#include "cunit_main.h"
#include "damage.h"

static struct damage damage;

static void begin(void)
{
	memset(&damage, 0, sizeof(damage));
}

static void a_bad_block_counts_for_its_disk_alone(void)
{
	begin();
	CU_ASSERT(damage_none(&damage, 3, false));
	damage_note(&damage, 1, 7);
	CU_ASSERT(!damage_none(&damage, 3, false));
	CU_ASSERT(!damage_none(&damage, 2, false));
	CU_ASSERT(damage_none(&damage, 1, false));
	CU_ASSERT(damage_none(&damage, 3, true));
}

static void what_is_found_good_is_forgotten_and_nothing_else(void)
{
	begin();
	damage_note(&damage, 0, 7);
	damage_note(&damage, 0, 9);
	damage_note(&damage, 1, 7);
	damage.changed = false;
	damage_clear(&damage, 0, 8, 1);
	damage_clear(&damage, 0, 0, 7);
	CU_ASSERT_EQUAL(damage.count, 3);
	CU_ASSERT(!damage.changed);
	damage_clear(&damage, 0, 7, 1);
	CU_ASSERT_EQUAL(damage.count, 2);
	CU_ASSERT(damage.changed);
	CU_ASSERT(!damage_none(&damage, 1, false));
	damage_clear(&damage, 0, 0, UINT64_MAX);
	CU_ASSERT(damage_none(&damage, 1, false));
	CU_ASSERT(!damage_none(&damage, 2, false));
}

static void more_than_can_be_listed_stays_bad_for_a_whole_pass(void)
{
	begin();
	for (uint64_t i = 0; i <= DAMAGE_MAX; i++)
		damage_note(&damage, 0, i);
	CU_ASSERT_EQUAL(damage.count, DAMAGE_MAX);
	CU_ASSERT(!damage_none(&damage, 2, true));
	damage_clear(&damage, 0, 0, UINT64_MAX);
	CU_ASSERT(!damage_none(&damage, 1, true));
	damage_pass_ends(&damage); /* it began before: what came first is not known */
	CU_ASSERT(!damage_none(&damage, 1, true));
	damage_pass_ends(&damage);
	CU_ASSERT(damage_none(&damage, 1, false));
}

static const struct cunit_case cases[] = {
	{"a_bad_block_counts_for_its_disk_alone", a_bad_block_counts_for_its_disk_alone},
	{"what_is_found_good_is_forgotten_and_nothing_else",
	 what_is_found_good_is_forgotten_and_nothing_else},
	{"more_than_can_be_listed_stays_bad_for_a_whole_pass",
	 more_than_can_be_listed_stays_bad_for_a_whole_pass},
};

int main(void)
{
	return cunit_run("damage", cases, sizeof(cases) / sizeof(cases[0]));
}
