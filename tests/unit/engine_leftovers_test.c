/* SPDX-License-Identifier: Apache-2.0
 *
 * A sidecar is killed at every command of a cycle; the next one must find QEMU
 * as it was before, with bitmaps that know every write, and the guest as its
 * owner wants it.  The guard lets QEMU work off what was written (engine_guard).
 */
#include <CUnit/CUnit.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bitmap_plan.h"
#include "cunit_main.h"
#include "fake/qemu_model.h"
#include "mind.h"
#include "sidecar.h"

#define LAST "qheal-1234abcd-7"
#define NEXT "qheal-1234abcd-8"
#define MIB (UINT64_C(1) << 20)

static struct mind mind;
static const struct config config = {.mind = &mind};
static struct sidecar sidecar;
static struct fake_qemu fake;
static struct qemu_model model;
static struct errinfo err;

/* A new sidecar on the same QEMU; all disks but those from LIMIT on. */
static void start(unsigned limit)
{
	struct checkpoint *checkpoint = &sidecar.checkpoint;

	fake_connect(&fake, &sidecar.monitor);
	sidecar.monitor.on_event = sidecar_event;
	sidecar.monitor.on_event_arg = &sidecar;
	model_guest(&model, &sidecar.guest);
	if (sidecar.guest.disk_count > limit)
		sidecar.guest.disk_count = limit;
	memset(checkpoint, 0, sizeof(*checkpoint));
	checkpoint->monitor = &sidecar.monitor;
	checkpoint->guest = &sidecar.guest;
	checkpoint->scratch = &sidecar.scratch;
	checkpoint->granularity = 65536;
	strcpy(checkpoint->last, LAST);
	strcpy(checkpoint->next, NEXT);
}

static void setup(unsigned disks, bool paused)
{
	uint64_t sizes[MODEL_DISKS_MAX];

	err_clear(&err);
	memset(&sidecar, 0, sizeof(sidecar));
	sidecar.config = &config;
	CU_ASSERT_EQUAL_FATAL(loop_init(&sidecar.loop, &err), 0);
	fake_start(&fake, &sidecar.loop);
	model_init(&model, &fake, disks, LAST);
	model.running = !paused;
	start(disks);
	for (unsigned i = 0; i < disks; i++)
		sizes[i] = MIB;
	CU_ASSERT_EQUAL_FATAL(scratch_init(&sidecar.scratch, &sidecar.monitor, sizes, disks,
					   disks * MIB, &err), 0);
	fake_forget(&fake);
}

static void teardown(void)
{
	scratch_release(&sidecar.scratch, &sidecar.monitor);
	monitor_close(&sidecar.monitor);
	fake_stop(&fake);
	loop_release(&sidecar.loop);
}

static void restart(unsigned limit)
{
	monitor_close(&sidecar.monitor);
	start(limit);
}

/* One cycle; it may be over at any moment. */
static void cycle(bool durable)
{
	struct checkpoint *checkpoint = &sidecar.checkpoint;
	unsigned frozen = 0;
	int rc = checkpoint_freeze(checkpoint, &checkpoint_cbw, CHECKPOINT_ALL, NULL);

	if (!rc && durable) {
		frozen = model_node(&model, model.disks[0].root)->frozen;
		for (unsigned i = 0; i < model.disk_count; i++)
			model.disks[i].since = frozen;
	}
	checkpoint_thaw(checkpoint, NULL);
	if (!rc && durable)
		checkpoint_keep(checkpoint, NULL);
	else
		checkpoint_revert(checkpoint, NULL);
}

/* What a start does; the store's generation has the bitmap SINCE. */
static int clean_up(const char *since, const char *next, bool *covered)
{
	json_t *actions;
	uint64_t disks;
	int rc = leftovers_clean(&sidecar, &err);

	if (rc)
		return rc;
	model_guest(&model, &sidecar.guest);
	disks = bitmap_plan_covered(&sidecar.guest, since, next);
	*covered = disks == (UINT64_C(1) << sidecar.guest.disk_count) - 1;
	actions = bitmap_plan_actions(&sidecar.guest, since, next, disks);
	if (json_array_size(actions))
		rc = monitor_call(&sidecar.monitor, "transaction",
				  json_pack("{s:O}", "actions", actions), NULL, &err);
	json_decref(actions);
	return rc;
}

/* Was the generation durable when the sidecar was killed? */
static const char *bitmap_since(void)
{
	return model.disks[0].since ? NEXT : LAST;
}

static const char *bitmap_after(void)
{
	return model.disks[0].since ? "qheal-1234abcd-9" : NEXT;
}

static bool starts_well(void)
{
	bool covered = false;
	int rc = clean_up(bitmap_since(), bitmap_after(), &covered);

	if (rc)
		fprintf(stderr, "\n  %s\n", err.text);
	return !rc && covered && model_is_tidy(&model, bitmap_since());
}

static const struct shape {
	unsigned disks;
	bool paused, durable;
} shapes[] = {
	{1, false, false}, {2, false, false}, {2, true, false}, {1, false, true}, {2, false, true},
};

static void a_sidecar_killed_at_any_command_is_cleaned_up_after(void)
{
	for (unsigned s = 0; s < sizeof(shapes) / sizeof(shapes[0]); s++) {
		unsigned n = 1;
		bool over = false;

		for (; !over && n < 200; n++) {
			setup(shapes[s].disks, shapes[s].paused);
			fake.vanish_at = n;
			cycle(shapes[s].durable);
			over = fake.commands < n;
			restart(shapes[s].disks);
			CU_ASSERT(starts_well());
			CU_ASSERT_EQUAL(model.running, !shapes[s].paused);
			teardown();
		}
		CU_ASSERT(n > 12 * shapes[s].disks && n < 200);
	}
}

/* The second sidecar is killed in its cleaning, too. */
static void so_is_one_killed_while_it_cleaned_up(void)
{
	for (unsigned n = 1; n < 24; n++) {
		bool over = false;

		for (unsigned m = 1; !over && m < 100; m++) {
			bool covered;

			setup(2, false);
			fake.vanish_at = n;
			cycle(false);
			restart(2);
			fake.vanish_at = m;
			clean_up(LAST, NEXT, &covered);
			over = fake.commands < m;
			err_clear(&err);
			restart(2);
			CU_ASSERT(starts_well());
			CU_ASSERT(model.running);
			teardown();
		}
		CU_ASSERT(over);
	}
}

static void a_command_that_fails_once_costs_one_more_start(void)
{
	bool over = false;
	unsigned m = 1;

	for (; !over && m < 100; m++) {
		bool covered;
		int rc;

		setup(2, false);
		CU_ASSERT_EQUAL(checkpoint_freeze(&sidecar.checkpoint, &checkpoint_cbw,
						  CHECKPOINT_ALL, &err), 0);
		restart(2);
		fake.fail_at = m;
		rc = clean_up(LAST, NEXT, &covered);
		over = fake.commands < m;
		CU_ASSERT(over ? !rc : rc == -EREMOTEIO);
		CU_ASSERT(model_is_covered(&model, LAST, NEXT));
		err_clear(&err);
		restart(2);
		CU_ASSERT(starts_well());
		teardown();
	}
	CU_ASSERT(m > 12 && m < 100);
}

/* An export that did not go kept the bitmap busy: the next cycle would find the new one there. */
static void a_revert_that_was_refused_is_made_good(void)
{
	setup(2, false);
	CU_ASSERT_EQUAL(checkpoint_freeze(&sidecar.checkpoint, &checkpoint_cbw, CHECKPOINT_ALL,
					  &err), 0);
	CU_ASSERT_EQUAL(checkpoint_thaw(&sidecar.checkpoint, &err), 0);
	fake_forget(&fake);
	fake.fail_at = 1;
	CU_ASSERT_EQUAL(checkpoint_revert(&sidecar.checkpoint, &err), -EREMOTEIO);
	fake.fail_at = 0;
	CU_ASSERT(sidecar.monitor.unanswered);
	err_clear(&err);
	model_guest(&model, &sidecar.guest);
	CU_ASSERT_EQUAL(guest_recording(&sidecar.guest, LAST, &err), -ENODATA);
	err_clear(&err);
	CU_ASSERT(starts_well());
	model_guest(&model, &sidecar.guest);
	CU_ASSERT_EQUAL(guest_recording(&sidecar.guest, LAST, &err), 0);
	cycle(true);
	CU_ASSERT(model_is_tidy(&model, NEXT));
	teardown();
}

static void where_nothing_was_left_nothing_is_touched(void)
{
	setup(2, false);
	CU_ASSERT_EQUAL(leftovers_clean(&sidecar, &err), 0);
	CU_ASSERT(!strstr(fake.log, "stop") && !strstr(fake.log, "cont"));
	CU_ASSERT(!strstr(fake.log, "qom-set") && !strstr(fake.log, "-del"));
	CU_ASSERT(model_is_tidy(&model, LAST));
	teardown();
}

/* This time the operator protects only the first disk. */
static void a_disk_not_asked_for_loses_its_filter_too(void)
{
	setup(2, false);
	CU_ASSERT_EQUAL(checkpoint_freeze(&sidecar.checkpoint, &checkpoint_cbw, CHECKPOINT_ALL,
					  &err), 0);
	restart(1);
	CU_ASSERT_EQUAL(leftovers_clean(&sidecar, &err), 0);
	CU_ASSERT_STRING_EQUAL(model.disks[0].root, "d0");
	CU_ASSERT_STRING_EQUAL(model.disks[1].root, "d1");
	CU_ASSERT_EQUAL(model.node_count + model.export_count, 0);
	teardown();
}

static void add_node(const char *name, const char *file)
{
	struct model_node *node = &model.nodes[model.node_count++];

	memset(node, 0, sizeof(*node));
	strcpy(node->name, name);
	strcpy(node->driver, "raw");
	strcpy(node->below[0], file);
}

static void what_belongs_to_others_or_to_the_guest_stays(void)
{
	setup(2, false);
	add_node("backup-snap0", "d0");
	add_node("qheal-p0-5", ""); /* the guest lives on it since a pivot */
	strcpy(model.disks[1].root, "qheal-p0-5");
	model.export_count = 1;
	strcpy(model.exports[0].id, "backup");
	strcpy(model.exports[0].node, "backup-snap0");
	CU_ASSERT_EQUAL(leftovers_clean(&sidecar, &err), 0);
	CU_ASSERT_PTR_NOT_NULL(model_node(&model, "backup-snap0"));
	CU_ASSERT_PTR_NOT_NULL(model_node(&model, "qheal-p0-5"));
	CU_ASSERT_EQUAL(model.export_count, 1);
	CU_ASSERT_STRING_EQUAL(model.disks[1].root, "qheal-p0-5");
	CU_ASSERT_EQUAL(model.aborted, false);
	teardown();
}

static void qemus_death_while_cleaning_is_told(void)
{
	for (unsigned n = 1; n < 12; n++) {
		setup(2, false);
		CU_ASSERT_EQUAL(checkpoint_freeze(&sidecar.checkpoint, &checkpoint_cbw,
						  CHECKPOINT_ALL, &err), 0);
		restart(2);
		fake.hang_up_at = n;
		CU_ASSERT_EQUAL(leftovers_clean(&sidecar, &err), -ENOTCONN);
		err_clear(&err);
		teardown();
	}
}

int main(void)
{
#define CASE(fn) {#fn, fn}
	static const struct cunit_case cases[] = {
		CASE(a_sidecar_killed_at_any_command_is_cleaned_up_after),
		CASE(so_is_one_killed_while_it_cleaned_up),
		CASE(a_command_that_fails_once_costs_one_more_start),
		CASE(a_revert_that_was_refused_is_made_good),
		CASE(where_nothing_was_left_nothing_is_touched),
		CASE(a_disk_not_asked_for_loses_its_filter_too),
		CASE(what_belongs_to_others_or_to_the_guest_stays),
		CASE(qemus_death_while_cleaning_is_told),
	};

	alarm(120);
	return cunit_run("leftovers", cases, sizeof(cases) / sizeof(cases[0]));
}
