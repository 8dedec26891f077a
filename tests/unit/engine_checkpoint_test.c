/* SPDX-License-Identifier: Apache-2.0
 *
 * Freezing and thawing against a model of QEMU's block layer with a guest that
 * writes between any two commands: no write may be missed, whatever fails, and
 * the guest runs afterwards if and only if it ran before.
 */
#include <CUnit/CUnit.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "alloc_fail.h"
#include "checkpoint.h"
#include "cunit_main.h"
#include "fake/qemu_model.h"

#define LAST "qheal-1234abcd-7"
#define NEXT "qheal-1234abcd-8"
#define MIB (UINT64_C(1) << 20)

static struct loop loop;
static struct fake_qemu fake;
static struct qemu_model model;
static struct monitor monitor;
static struct guest guest;
static struct scratch scratch;
static struct checkpoint checkpoint;
static struct errinfo err;

/* As watch.c does. */
static void on_event(void *arg, const char *name, json_t *data, int64_t time_us)
{
	checkpoint_event(&checkpoint, name, data);
	if (!strcmp(name, "STOP"))
		strcpy(guest.status, "paused");
	if (!strcmp(name, "RESUME"))
		strcpy(guest.status, "running");
}

struct shape {
	unsigned disks;
	bool iothread, paused;
};

static void setup(struct shape shape)
{
	uint64_t sizes[MODEL_DISKS_MAX];

	err_clear(&err);
	CU_ASSERT_EQUAL_FATAL(loop_init(&loop, &err), 0);
	fake_start(&fake, &loop);
	fake_connect(&fake, &monitor);
	model_init(&model, &fake, shape.disks, LAST);
	model.running = !shape.paused;
	model_guest(&model, &guest);
	for (unsigned i = 0; i < shape.disks; i++) {
		sizes[i] = MIB;
		if (shape.iothread)
			strcpy(guest.disks[i].iothread, "/objects/io0");
	}
	CU_ASSERT_EQUAL_FATAL(scratch_init(&scratch, &monitor, sizes, shape.disks,
					   shape.disks * MIB, &err), 0);
	memset(&checkpoint, 0, sizeof(checkpoint));
	checkpoint.monitor = &monitor;
	checkpoint.guest = &guest;
	checkpoint.scratch = &scratch;
	checkpoint.granularity = 65536;
	strcpy(checkpoint.last, LAST);
	strcpy(checkpoint.next, NEXT);
	monitor.on_event = on_event;
	fake_forget(&fake);
}

static void teardown(void)
{
	scratch_release(&scratch, &monitor);
	monitor_close(&monitor);
	fake_stop(&fake);
	loop_release(&loop);
}

static int freeze(const struct checkpoint_way *way)
{
	err_clear(&err);
	return checkpoint_freeze(&checkpoint, way, CHECKPOINT_ALL, &err);
}

/* What capture() does when something failed. */
static void give_up(void)
{
	checkpoint_thaw(&checkpoint, NULL);
	checkpoint_revert(&checkpoint, NULL);
}

static const struct shape shapes[] = {
	{1, false, false}, {2, false, false}, {3, false, false}, {1, true, false},
	{2, true, false},  {1, false, true},  {2, false, true},	 {2, true, true},
};

#define FOR_SHAPES(shape)                                                                          \
	for (const struct shape *shape = shapes;                                                   \
	     shape < shapes + sizeof(shapes) / sizeof(shapes[0]); shape++)

/* The export gives the blocks that `last` names as they were at the point: `last`
 * must know all writes before it, `next` all after. */
static void check_frozen(void)
{
	unsigned first_frozen = 0;

	CU_ASSERT_EQUAL(model.export_count, model.disk_count);
	for (unsigned i = 0; i < model.disk_count; i++) {
		const struct model_disk *disk = &model.disks[i];
		const struct model_node *filter = model_node(&model, disk->root);
		const struct model_bitmap *last = model_bitmap(&model, i, LAST);
		const struct model_bitmap *next = model_bitmap(&model, i, NEXT);

		CU_ASSERT_FATAL(filter && last && next);
		CU_ASSERT_STRING_EQUAL(filter->below[0], disk->node);
		CU_ASSERT(!last->enabled && next->enabled);
		CU_ASSERT(model_seen(last, disk->since, filter->frozen));
		CU_ASSERT(model_seen(next, filter->frozen, model.writes));
		CU_ASSERT(i == 0 || filter->frozen == first_frozen); /* one point for all */
		first_frozen = filter->frozen;
		CU_ASSERT(checkpoint.exported[i]);
	}
}

static void a_frozen_point_is_the_same_for_all_disks_and_misses_no_write(void)
{
	FOR_SHAPES(shape) {
		setup(*shape);
		for (int i = 0; i < 3; i++) /* some writes before */
			monitor_call(&monitor, "query-status", NULL, NULL, NULL);
		CU_ASSERT_EQUAL(freeze(&checkpoint_cbw), 0);
		check_frozen();
		CU_ASSERT_EQUAL(model.running, !shape->paused);
		give_up();
		CU_ASSERT(model_is_tidy(&model, LAST));
		teardown();
	}
}

/* The frozen point became durable: what was written before it is in the replica. */
static void replica_has_the_point(void)
{
	for (unsigned i = 0; i < model.disk_count; i++)
		model.disks[i].since = model_node(&model, model.disks[i].root)->frozen;
}

static void a_generation_that_became_durable_leaves_the_new_bitmap(void)
{
	FOR_SHAPES(shape) {
		setup(*shape);
		CU_ASSERT_EQUAL(freeze(&checkpoint_cbw), 0);
		replica_has_the_point();
		CU_ASSERT_EQUAL(checkpoint_thaw(&checkpoint, &err), 0);
		CU_ASSERT_EQUAL(checkpoint_keep(&checkpoint, &err), 0);
		CU_ASSERT(model_is_tidy(&model, NEXT));
		CU_ASSERT_STRING_EQUAL(checkpoint.last, NEXT);
		CU_ASSERT_EQUAL(model.running, !shape->paused);
		CU_ASSERT_EQUAL(checkpoint_revert(&checkpoint, &err), 0); /* nothing to revert */
		CU_ASSERT(model_is_tidy(&model, NEXT));
		teardown();
	}
}

static void a_generation_that_did_not_leaves_the_old_bitmap_with_all(void)
{
	FOR_SHAPES(shape) {
		setup(*shape);
		CU_ASSERT_EQUAL(freeze(&checkpoint_cbw), 0);
		CU_ASSERT_EQUAL(checkpoint_thaw(&checkpoint, &err), 0);
		CU_ASSERT_EQUAL(checkpoint_revert(&checkpoint, &err), 0);
		CU_ASSERT(model_is_tidy(&model, LAST));
		CU_ASSERT_STRING_EQUAL(checkpoint.last, LAST);
		teardown();
	}
}

static void a_hundred_cycles_leave_nothing_behind(void)
{
	setup((struct shape){2, false, false});
	for (unsigned n = 8; n < 108; n++) {
		snprintf(checkpoint.next, sizeof(checkpoint.next), "qheal-1234abcd-%u", n);
		CU_ASSERT_EQUAL(freeze(&checkpoint_cbw), 0);
		replica_has_the_point();
		CU_ASSERT_EQUAL(checkpoint_thaw(&checkpoint, &err), 0);
		CU_ASSERT_EQUAL(n % 3 ? checkpoint_keep(&checkpoint, &err)
				      : checkpoint_revert(&checkpoint, &err), 0);
		CU_ASSERT(model_is_tidy(&model, checkpoint.last));
		fake_forget(&fake);
	}
	teardown();
}

/* Begun since somebody looked: a swap would take the guest off the job's filter. */
static void a_job_of_somebody_else_is_not_cut_off(void)
{
	FOR_SHAPES(shape) {
		setup(*shape);
		model.job = true;
		CU_ASSERT_EQUAL(freeze(&checkpoint_cbw), -EAGAIN);
		CU_ASSERT(!strstr(fake.log, "qom-set") && !strstr(fake.log, "stop"));
		CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "mirror"));
		err_clear(&err);
		CU_ASSERT_EQUAL(checkpoint_thaw(&checkpoint, &err), 0);
		CU_ASSERT_EQUAL(checkpoint_revert(&checkpoint, &err), 0);
		CU_ASSERT(model_is_tidy(&model, LAST));
		teardown();
	}
}

/* --- the pause --- */

/* How often WORD is in the writes; the last write that has it in *WRITE. */
static unsigned count_in_writes(const char *word, const char **write)
{
	unsigned count = 0;

	for (unsigned i = 0; i < fake_writes.count; i++) {
		const char *at = fake_writes.text[i];

		for (; (at = strstr(at, word)); at++) {
			count++;
			if (write)
				*write = fake_writes.text[i];
		}
	}
	return count;
}

#define STOP "\"execute\":\"stop\""
#define CONT "\"execute\":\"cont\""

/* A sidecar that is killed has sent all of a write or nothing. */
static void each_pause_is_in_one_write(void)
{
	FOR_SHAPES(shape) {
		bool pauses = !shape->paused && (shape->disks > 1 || shape->iothread);
		const char *write = NULL, *last_swap = NULL;

		setup(*shape);
		CU_ASSERT_EQUAL(freeze(&checkpoint_cbw), 0);
		CU_ASSERT_EQUAL(count_in_writes(STOP, &write), pauses);
		CU_ASSERT_EQUAL(count_in_writes(CONT, NULL), pauses);
		if (write) {
			CU_ASSERT_PTR_NOT_NULL_FATAL(strstr(write, CONT));
			CU_ASSERT(strstr(write, STOP) < strstr(write, "qom-set"));
			for (const char *at = write; (at = strstr(at, "qom-set")); at++)
				last_swap = at;
			CU_ASSERT(last_swap < strstr(write, CONT));
			CU_ASSERT(write[strlen(write) - 1] == '\n');
		}
		fake_forget(&fake);
		write = NULL;
		CU_ASSERT_EQUAL(checkpoint_thaw(&checkpoint, &err), 0);
		CU_ASSERT_EQUAL(count_in_writes(STOP, &write), !shape->paused && shape->iothread);
		CU_ASSERT_EQUAL(count_in_writes(CONT, NULL), !shape->paused && shape->iothread);
		CU_ASSERT(!write || strstr(strstr(write, STOP), CONT));
		CU_ASSERT_EQUAL(model.running, !shape->paused);
		teardown();
	}
}

/* Its owner may have paused it for good reason. */
static void a_paused_guest_is_neither_stopped_nor_let_go(void)
{
	FOR_SHAPES(shape) {
		if (!shape->paused)
			continue;
		setup(*shape);
		CU_ASSERT_EQUAL(freeze(&checkpoint_cbw), 0);
		CU_ASSERT_EQUAL(checkpoint_thaw(&checkpoint, &err), 0);
		CU_ASSERT_EQUAL(checkpoint_revert(&checkpoint, &err), 0);
		CU_ASSERT(!strstr(fake.log, "stop") && !strstr(fake.log, "cont"));
		CU_ASSERT(!model.running);
		teardown();
	}
}

/* Paused by its owner after we last heard of it, before our `stop`. */
static void a_guest_paused_by_its_owner_in_the_last_moment_is_paused_again(void)
{
	setup((struct shape){2, false, false});
	model.running = false; /* the event is still on its way */
	CU_ASSERT_EQUAL(freeze(&checkpoint_cbw), 0);
	CU_ASSERT(!model.running);
	give_up();
	CU_ASSERT(!model.running);
	CU_ASSERT(model_is_tidy(&model, LAST));
	teardown();
}

/* The same while the filters were made: we have heard of it. */
static void a_guest_paused_before_the_swap_does_not_run_for_a_moment(void)
{
	FOR_SHAPES(shape) {
		setup(*shape);
		model.owner_stops = true;
		CU_ASSERT_EQUAL(freeze(&checkpoint_cbw), 0);
		CU_ASSERT(!strstr(fake.log, "stop") && !strstr(fake.log, "cont"));
		CU_ASSERT(!model.running);
		give_up();
		CU_ASSERT(!model.running);
		CU_ASSERT(model_is_tidy(&model, LAST));
		teardown();
	}
}

/* The same by a panic; an I/O error is tried again. */
static void a_guest_that_failed_in_the_last_moment_is_stopped_again(void)
{
	static const struct {
		const char *stands;
		bool again;
	} table[] = {{"guest-panicked", true}, {"watchdog", true}, {"io-error", false}};

	for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		setup((struct shape){2, false, false});
		model.running = false;
		model.stands = table[i].stands;
		CU_ASSERT_EQUAL(freeze(&checkpoint_cbw), 0);
		CU_ASSERT_EQUAL(checkpoint.stopped_again, table[i].again);
		CU_ASSERT_EQUAL(model.running, !table[i].again);
		give_up();
		teardown();
	}
}

static void the_new_bitmap_is_there_before_the_old_one_stands_still(void)
{
	const char *added = NULL, *write = NULL, *swap = NULL;

	setup((struct shape){2, false, false});
	CU_ASSERT_EQUAL(freeze(&checkpoint_cbw), 0);
	CU_ASSERT_EQUAL(count_in_writes("block-dirty-bitmap-add", &added), 2);
	CU_ASSERT_EQUAL(count_in_writes("block-dirty-bitmap-disable", &write), 2);
	CU_ASSERT_PTR_EQUAL(added, fake_writes.text[0]);
	CU_ASSERT_PTR_EQUAL_FATAL(write, fake_writes.text[1]);
	CU_ASSERT_PTR_NULL(strstr(added, "qom-set"));
	for (const char *at = write; (at = strstr(at, "qom-set")); at++)
		swap = at;
	CU_ASSERT_PTR_NOT_NULL_FATAL(swap);
	CU_ASSERT(strstr(write, "block-dirty-bitmap-disable") > swap);
	give_up();
	teardown();
}

static void a_revert_takes_back_before_it_removes(void)
{
	const char *write = NULL;

	setup((struct shape){1, false, false});
	CU_ASSERT_EQUAL(freeze(&checkpoint_cbw), 0);
	CU_ASSERT_EQUAL(checkpoint_thaw(&checkpoint, &err), 0);
	fake_forget(&fake);
	CU_ASSERT_EQUAL(checkpoint_revert(&checkpoint, &err), 0);
	CU_ASSERT_EQUAL(count_in_writes("transaction", &write), 1);
	CU_ASSERT_PTR_NOT_NULL_FATAL(write);
	CU_ASSERT(strstr(write, "bitmap-merge") < strstr(write, "bitmap-enable"));
	CU_ASSERT(strstr(write, "bitmap-enable") < strstr(write, "bitmap-remove"));
	CU_ASSERT(strstr(write, "\"target\":\"" LAST "\"") != NULL);
	CU_ASSERT(strstr(write, "\"bitmaps\":[\"" NEXT "\"]") != NULL);
	teardown();
}

static void as_many_disks_as_there_may_be_fit(void)
{
	setup((struct shape){BOUND_DISKS, true, false});
	CU_ASSERT_EQUAL(freeze(&checkpoint_cbw), 0);
	check_frozen();
	CU_ASSERT_EQUAL(fake_writes.count, 2);
	CU_ASSERT_EQUAL(checkpoint_thaw(&checkpoint, &err), 0);
	CU_ASSERT_EQUAL(checkpoint_revert(&checkpoint, &err), 0);
	CU_ASSERT(model_is_tidy(&model, LAST));
	teardown();
}

/* --- failures --- */

/* Whatever QEMU refuses once in a freeze: afterwards all is as before. */
static void a_freeze_of_which_any_command_fails_is_undone(void)
{
	FOR_SHAPES(shape) {
		unsigned n = 1;
		int rc = 0;

		for (; n < 100; n++) {
			setup(*shape);
			fake.fail_at = n;
			rc = freeze(&checkpoint_cbw);
			if (fake.commands < n) { /* there is no Nth */
				give_up();
				teardown();
				break;
			}
			fake.fail_at = 0;
			give_up();
			CU_ASSERT_EQUAL(rc, -EREMOTEIO);
			CU_ASSERT(err.text[0] != '\0');
			CU_ASSERT(model_is_tidy(&model, LAST));
			CU_ASSERT_EQUAL(model.running, !shape->paused);
			if (!model_is_tidy(&model, LAST) || model.running == shape->paused)
				fprintf(stderr, "  %u disks, command %u of %s\n", shape->disks, n,
					fake.log);
			/* And the next cycle works. */
			CU_ASSERT_EQUAL(freeze(&checkpoint_cbw), 0);
			give_up();
			CU_ASSERT(model_is_tidy(&model, LAST));
			teardown();
		}
		CU_ASSERT(n > 5 * shape->disks && n < 100);
	}
}

/* A thaw that fails may leave nodes (leftovers.c finds them), but no write is
 * missed and no guest is left standing. */
static void a_thaw_of_which_any_command_fails_misses_no_write(void)
{
	FOR_SHAPES(shape) {
		unsigned n = 1;

		for (; n < 100; n++) {
			bool over;

			setup(*shape);
			CU_ASSERT_EQUAL(freeze(&checkpoint_cbw), 0);
			fake_forget(&fake);
			fake.fail_at = n;
			checkpoint_thaw(&checkpoint, NULL);
			over = fake.commands < n;
			fake.fail_at = 0;
			checkpoint_revert(&checkpoint, NULL);
			CU_ASSERT(model_is_covered(&model, LAST, NEXT));
			CU_ASSERT_EQUAL(model.running, !shape->paused);
			teardown();
			if (over)
				break;
		}
		CU_ASSERT(n > 5 * shape->disks && n < 100);
	}
}

static void a_keep_or_revert_that_fails_misses_no_write(void)
{
	for (int keep = 0; keep < 2; keep++) {
		setup((struct shape){2, false, false});
		CU_ASSERT_EQUAL(freeze(&checkpoint_cbw), 0);
		CU_ASSERT_EQUAL(checkpoint_thaw(&checkpoint, &err), 0);
		fake_forget(&fake);
		fake.fail_at = 1;
		CU_ASSERT_EQUAL(keep ? checkpoint_keep(&checkpoint, &err)
				     : checkpoint_revert(&checkpoint, &err), -EREMOTEIO);
		CU_ASSERT(model_is_covered(&model, LAST, NEXT));
		CU_ASSERT_EQUAL(monitor.unanswered, !keep); /* somebody has to put it right */
		teardown();
	}
}

/* QEMU's end anywhere ends the cycle, and does not hang it. */
static void qemus_death_at_any_command_is_told(void)
{
	static const struct shape shape = {2, true, false};
	unsigned n = 1;

	for (; n < 100; n++) {
		unsigned heard;
		int rc;

		setup(shape);
		fake.hang_up_at = n;
		rc = freeze(&checkpoint_cbw);
		if (!rc)
			rc = checkpoint_thaw(&checkpoint, &err);
		else
			checkpoint_thaw(&checkpoint, NULL);
		if (!rc)
			rc = checkpoint_revert(&checkpoint, &err);
		else
			checkpoint_revert(&checkpoint, NULL);
		heard = fake.commands;
		teardown();
		if (!rc) {
			CU_ASSERT(heard < n);
			break;
		}
		CU_ASSERT_EQUAL(rc, -ENOTCONN);
	}
	CU_ASSERT(n > 20 && n < 100);
}

/* --- memory --- */

static void no_failing_allocation_loses_a_write(void)
{
	enum { FREEZE, THAW, REVERT, KEEP, STEPS };

	alloc_fail_jansson();
	for (int step = FREEZE; step < STEPS; step++) {
		unsigned n = 1;
		bool failed = true;

		for (; failed && n < 2000; n++) {
			setup((struct shape){2, false, false});
			if (step == FREEZE)
				alloc_fail_at(n);
			freeze(&checkpoint_cbw);
			if (step == KEEP)
				replica_has_the_point();
			if (step == THAW)
				alloc_fail_at(n);
			checkpoint_thaw(&checkpoint, NULL);
			if (step >= REVERT)
				alloc_fail_at(n);
			if (step == KEEP)
				checkpoint_keep(&checkpoint, NULL);
			else
				checkpoint_revert(&checkpoint, NULL);
			failed = alloc_fail_off() || fake.alloc_failed;
			CU_ASSERT(model_is_covered(&model, LAST, NEXT));
			CU_ASSERT(model.running);
			if (!model.running || !model_is_covered(&model, LAST, NEXT))
				fprintf(stderr, "  step %d, allocation %u\n", step, n);
			teardown();
		}
		CU_ASSERT(n > 10 && n < 2000);
	}
}

/* --- while it stands still --- */

static void a_guest_that_stands_still_is_read_without_filters(void)
{
	setup((struct shape){2, false, true});
	CU_ASSERT_EQUAL(freeze(&checkpoint_paused), 0);
	CU_ASSERT_EQUAL(model.node_count, 0);
	CU_ASSERT_EQUAL(model.export_count, 2);
	CU_ASSERT_STRING_EQUAL(model.exports[0].node, "d0");
	CU_ASSERT_STRING_EQUAL(model.exports[0].bitmap, LAST);
	CU_ASSERT(!strstr(fake.log, "stop") && !strstr(fake.log, "cont"));
	CU_ASSERT_EQUAL(checkpoint_thaw(&checkpoint, &err), 0);
	CU_ASSERT_EQUAL(checkpoint_revert(&checkpoint, &err), 0);
	CU_ASSERT(model_is_tidy(&model, LAST));
	teardown();
}

static void only_members_take_part(void)
{
	setup((struct shape){3, false, true});
	CU_ASSERT_EQUAL(checkpoint_freeze(&checkpoint, &checkpoint_paused, 5, &err), 0);
	CU_ASSERT(checkpoint.exported[0] && !checkpoint.exported[1] && checkpoint.exported[2]);
	CU_ASSERT(!model_bitmap(&model, 1, NEXT) && model_bitmap(&model, 1, LAST)->enabled);
	CU_ASSERT(model_bitmap(&model, 2, NEXT)->enabled && !model_bitmap(&model, 2, LAST)->enabled);
	CU_ASSERT_EQUAL(checkpoint_thaw(&checkpoint, &err), 0);
	CU_ASSERT_EQUAL(checkpoint_forget(&checkpoint, &err), 0);
	CU_ASSERT_EQUAL(model.disks[0].bitmap_count, 0);
	CU_ASSERT_EQUAL(model.disks[1].bitmap_count, 1);
	CU_ASSERT_EQUAL(model.disks[2].bitmap_count, 0);
	teardown();
}

static void any_failing_command_is_undone_while_it_stands_still_too(void)
{
	unsigned n = 1;

	for (; n < 100; n++) {
		bool over;

		setup((struct shape){2, false, true});
		fake.fail_at = n;
		freeze(&checkpoint_paused);
		over = fake.commands < n;
		fake.fail_at = 0;
		give_up();
		CU_ASSERT(model_is_tidy(&model, LAST));
		CU_ASSERT(!model.running);
		teardown();
		if (over)
			break;
	}
	CU_ASSERT_EQUAL(n, 4); /* a transaction, two exports */
}

/* --- exports --- */

/* A backup tool's nbd-server-stop takes ours along. */
static void exports_taken_away_by_others_end_the_thaw_and_not_the_guest(void)
{
	setup((struct shape){2, false, false});
	CU_ASSERT_EQUAL(freeze(&checkpoint_cbw), 0);
	model.export_count = 0;
	CU_ASSERT_EQUAL(checkpoint_thaw(&checkpoint, &err), -EREMOTEIO);
	CU_ASSERT_EQUAL(checkpoint_revert(&checkpoint, &err), 0);
	CU_ASSERT(model_is_tidy(&model, LAST));
	CU_ASSERT(model.running);
	teardown();
}

static void an_export_is_gone_with_its_event(void)
{
	json_t *mine = json_pack("{s:s}", "id", "qheal-e1");
	json_t *others = json_pack("{s:s}", "id", "backup"), *odd = json_pack("{s:i}", "id", 1);

	memset(&checkpoint, 0, sizeof(checkpoint));
	checkpoint.exported[1] = true;
	checkpoint_event(&checkpoint, "BLOCK_EXPORT_DELETED", others);
	checkpoint_event(&checkpoint, "BLOCK_EXPORT_DELETED", odd);
	checkpoint_event(&checkpoint, "BLOCK_EXPORT_DELETED", NULL);
	checkpoint_event(&checkpoint, "STOP", mine);
	CU_ASSERT(checkpoint.exported[1]);
	checkpoint_event(&checkpoint, "BLOCK_EXPORT_DELETED", mine);
	CU_ASSERT(!checkpoint.exported[1]);
	json_decref(mine);
	json_decref(others);
	json_decref(odd);
}

static void names_fit(void)
{
	char name[32], context[96];

	checkpoint_export_name(BOUND_DISKS - 1, name);
	CU_ASSERT_STRING_EQUAL(name, "qheal-e31");
	memset(checkpoint.last, 'b', sizeof(checkpoint.last) - 1);
	checkpoint_context(&checkpoint, context);
	CU_ASSERT_EQUAL(strlen(context), strlen("qemu:dirty-bitmap:") + 63);
}

int main(void)
{
#define CASE(fn) {#fn, fn}
	static const struct cunit_case cases[] = {
		CASE(a_frozen_point_is_the_same_for_all_disks_and_misses_no_write),
		CASE(a_generation_that_became_durable_leaves_the_new_bitmap),
		CASE(a_generation_that_did_not_leaves_the_old_bitmap_with_all),
		CASE(a_hundred_cycles_leave_nothing_behind),
		CASE(a_job_of_somebody_else_is_not_cut_off),
		CASE(each_pause_is_in_one_write),
		CASE(a_paused_guest_is_neither_stopped_nor_let_go),
		CASE(a_guest_paused_before_the_swap_does_not_run_for_a_moment),
		CASE(a_guest_that_failed_in_the_last_moment_is_stopped_again),
		CASE(a_guest_paused_by_its_owner_in_the_last_moment_is_paused_again),
		CASE(the_new_bitmap_is_there_before_the_old_one_stands_still),
		CASE(a_revert_takes_back_before_it_removes),
		CASE(as_many_disks_as_there_may_be_fit),
		CASE(a_freeze_of_which_any_command_fails_is_undone),
		CASE(a_thaw_of_which_any_command_fails_misses_no_write),
		CASE(a_keep_or_revert_that_fails_misses_no_write),
		CASE(qemus_death_at_any_command_is_told),
		CASE(a_guest_that_stands_still_is_read_without_filters),
		CASE(only_members_take_part),
		CASE(any_failing_command_is_undone_while_it_stands_still_too),
		CASE(exports_taken_away_by_others_end_the_thaw_and_not_the_guest),
		CASE(an_export_is_gone_with_its_event),
		CASE(names_fit),
		CASE(no_failing_allocation_loses_a_write),
	};

	alarm(120);
	return cunit_run("checkpoint", cases, sizeof(cases) / sizeof(cases[0]));
}
