/* SPDX-License-Identifier: Apache-2.0
 *
 * The store on real files: its states, what it refuses and with what sentence.
 * Crashes and failing disks: store_sim_test.c.
 */
#include "store_fixture.h"

#include <limits.h>
#include <poll.h>
#include <sys/stat.h>

#include "cunit_main.h"
#include "store_json.h"

#define MIB (UINT64_C(1) << 20)

static bool text_has(const struct errinfo *err, const char *part)
{
	bool has = strstr(err->text, part) != NULL;

	if (!has)
		printf("'%s' lacks '%s'\n", err->text, part);
	return has;
}

static void file_damage(const struct fixture *f, const char *name, long offset, int byte)
{
	char path[512];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", f->dir, name);
	file = fopen(path, "r+");
	CU_ASSERT_PTR_NOT_NULL_FATAL(file);
	fseek(file, offset, SEEK_SET);
	fputc(byte, file);
	fclose(file);
}

static void store_goes_from_empty_to_ready(void)
{
	struct fixture f;

	fixture_init(&f);
	fixture_create(&f, 4 * MIB, 1 * MIB + 512);
	CU_ASSERT_EQUAL(store_info(f.store)->state, STORE_EMPTY);
	CU_ASSERT_FALSE(store_can_begin(f.store));
	fixture_fill(&f, 1);
	CU_ASSERT_EQUAL(store_info(f.store)->state, STORE_FILLED);
	CU_ASSERT_EQUAL(store_info(f.store)->generation, 0);
	fixture_begin(&f);
	CU_ASSERT_FALSE(store_can_begin(f.store));
	fixture_put(&f, store_sink(f.store), 0, FIXTURE_BLOCK, FIXTURE_BUFFER, 2);
	fixture_put(&f, store_sink(f.store), 1, 1 * MIB, 512, 3);
	CU_ASSERT_EQUAL(fixture_commit(&f, 4711), 0);
	CU_ASSERT_EQUAL(store_info(f.store)->state, STORE_READY);
	CU_ASSERT_EQUAL(store_info(f.store)->generation, 1);
	CU_ASSERT_EQUAL(store_info(f.store)->generation_time_us, 4711);
	CU_ASSERT_EQUAL(fixture_settle(&f), 0);
	for (unsigned i = 0; i < 2; i++) { /* and again after a reopen */
		CU_ASSERT_TRUE(fixture_head_is(&f, "vda", 0, FIXTURE_BLOCK, 1));
		CU_ASSERT_TRUE(fixture_head_is(&f, "vda", FIXTURE_BLOCK, FIXTURE_BUFFER, 2));
		CU_ASSERT_TRUE(fixture_head_is(&f, "vda", 3 * MIB, FIXTURE_BLOCK, 0));
		CU_ASSERT_TRUE(fixture_head_is(&f, "vdb", 1 * MIB, 512, 3));
		CU_ASSERT_EQUAL_FATAL(fixture_reopen(&f), 0);
		CU_ASSERT_EQUAL(store_info(f.store)->generation, 1);
		CU_ASSERT_EQUAL(store_info(f.store)->generation_time_us, 4711);
	}
	fixture_release(&f);
}

static void many_generations_of_all_sizes_arrive(void)
{
	struct fixture f;

	fixture_init(&f);
	fixture_create(&f, 32 * MIB, 0);
	fixture_fill(&f, 1);
	for (uint64_t g = 1; g <= 20; g++) {
		/* the pool has 12 buffers: 40 are read again from the journal */
		unsigned puts = g % 5 == 0 ? 40 : (unsigned)g % 5;

		fixture_begin(&f);
		for (unsigned i = 0; i < puts; i++)
			fixture_put(&f, store_sink(f.store), 0, i * (uint64_t)FIXTURE_BUFFER,
				    FIXTURE_BUFFER, g * 100 + i);
		CU_ASSERT_EQUAL(fixture_commit(&f, (int64_t)g), 0);
	}
	CU_ASSERT_EQUAL_FATAL(fixture_reopen(&f), 0);
	CU_ASSERT_EQUAL(store_info(f.store)->generation, 20);
	for (unsigned i = 0; i < 40; i++)
		CU_ASSERT_TRUE(fixture_head_is(&f, "vda", i * (uint64_t)FIXTURE_BUFFER,
					       FIXTURE_BUFFER, 2000 + i));
	fixture_release(&f);
}

static void zeros_become_holes_of_any_length(void)
{
	const uint64_t size = UINT64_C(1) << 40; /* a terabyte that nobody has */
	struct copy_sink *sink;
	struct stat status;
	struct fixture f;
	char path[512];

	fixture_init(&f);
	fixture_create(&f, size, 0);
	fixture_fill(&f, 1);
	fixture_begin(&f);
	sink = store_sink(f.store);
	fixture_put(&f, sink, 0, size / 2, FIXTURE_BUFFER, 9);
	CU_ASSERT_EQUAL(sink->zero(sink, 0, 0, size, &f.err), 0);
	fixture_put(&f, sink, 0, size - FIXTURE_BLOCK, FIXTURE_BLOCK, 8);
	CU_ASSERT_EQUAL(fixture_commit(&f, 1), 0);
	CU_ASSERT_EQUAL(fixture_settle(&f), 0);
	CU_ASSERT_TRUE(fixture_head_is(&f, "vda", 0, FIXTURE_BLOCK, 0));
	CU_ASSERT_TRUE(fixture_head_is(&f, "vda", size / 2, FIXTURE_BUFFER, 0));
	CU_ASSERT_TRUE(fixture_head_is(&f, "vda", size - FIXTURE_BLOCK, FIXTURE_BLOCK, 8));
	store_head_path(f.dir, "vda", path, sizeof(path));
	CU_ASSERT_EQUAL(stat(path, &status), 0);
	CU_ASSERT_EQUAL((uint64_t)status.st_size, size);
	CU_ASSERT_TRUE((uint64_t)status.st_blocks * 512 <= 2 * FIXTURE_BLOCK);
	fixture_release(&f);
}

static void abort_done(void *arg)
{
	const struct errinfo none = {0};

	fixture_done(arg, 0, &none);
}

static void aborted_generation_leaves_nothing(void)
{
	struct fixture f;

	fixture_init(&f);
	fixture_create(&f, 4 * MIB, 0);
	fixture_fill(&f, 1);
	for (unsigned i = 0; i < 3; i++) {
		fixture_begin(&f);
		fixture_put(&f, store_sink(f.store), 0, 0, FIXTURE_BUFFER, 7 + i);
		store_abort(f.store, abort_done, &f);
		CU_ASSERT_EQUAL(fixture_wait(&f), 0);
		CU_ASSERT_EQUAL(pool_available(f.pool), 12);
	}
	CU_ASSERT_EQUAL(store_info(f.store)->generation, 0);
	CU_ASSERT_TRUE(fixture_head_is(&f, "vda", 0, FIXTURE_BLOCK, 1));
	CU_ASSERT_EQUAL_FATAL(fixture_reopen(&f), 0);
	CU_ASSERT_EQUAL(store_info(f.store)->state, STORE_FILLED);
	fixture_begin(&f); /* and an open one goes with the store */
	fixture_put(&f, store_sink(f.store), 0, 0, FIXTURE_BUFFER, 7);
	fixture_release(&f);
}

static void first_copy_that_did_not_end_is_worth_nothing(void)
{
	struct fixture f;

	fixture_init(&f);
	fixture_create(&f, 4 * MIB, 0);
	CU_ASSERT_EQUAL_FATAL(store_fill_begin(f.store, &f.err), 0);
	fixture_put(&f, store_fill_sink(f.store), 0, 0, FIXTURE_BUFFER, 5);
	CU_ASSERT_EQUAL_FATAL(fixture_reopen(&f), 0);
	CU_ASSERT_EQUAL(store_info(f.store)->state, STORE_EMPTY);
	CU_ASSERT_TRUE(fixture_head_is(&f, "vda", 0, FIXTURE_BUFFER, 0));
	fixture_fill(&f, 1);
	CU_ASSERT_EQUAL_FATAL(fixture_reopen(&f), 0);
	CU_ASSERT_EQUAL(store_info(f.store)->state, STORE_FILLED);
	CU_ASSERT_TRUE(fixture_head_is(&f, "vda", 0, FIXTURE_BLOCK, 1));
	fixture_release(&f);
}

static void first_copy_can_be_given_up_and_made_again(void)
{
	struct fixture f;

	fixture_init(&f);
	fixture_create(&f, 4 * MIB, 0);
	CU_ASSERT_EQUAL_FATAL(store_fill_begin(f.store, &f.err), 0);
	fixture_put(&f, store_fill_sink(f.store), 0, 1 * MIB, FIXTURE_BUFFER, 5);
	store_fill_abort(f.store, fixture_done, &f);
	CU_ASSERT_EQUAL(fixture_wait(&f), -ECANCELED);
	CU_ASSERT_EQUAL(store_info(f.store)->state, STORE_FILLING);
	fixture_fill(&f, 1);
	CU_ASSERT_TRUE(fixture_head_is(&f, "vda", 1 * MIB, FIXTURE_BUFFER, 0));
	fixture_fill(&f, 2); /* and once more: FILLED is no point in time */
	CU_ASSERT_TRUE(fixture_head_is(&f, "vda", 0, FIXTURE_BLOCK, 2));
	fixture_begin(&f);
	CU_ASSERT_EQUAL(store_fill_begin(f.store, &f.err), -EBUSY);
	CU_ASSERT_EQUAL(fixture_commit(&f, 1), 0);
	CU_ASSERT_EQUAL(store_fill_begin(f.store, &f.err), -EINVAL);
	fixture_release(&f);
}

static int promote(struct fixture *f, unsigned disk, const char *image)
{
	const struct store_placement placement = {disk, image};

	return store_promote(f->store, &placement, 1, &f->err);
}

static void promoted_store_is_frozen(void)
{
	struct store_info info;
	struct fixture f;

	fixture_init(&f);
	fixture_create(&f, 4 * MIB, 1 * MIB);
	fixture_fill(&f, 1);
	CU_ASSERT_EQUAL(promote(&f, 0, "/x"), -EINVAL);
	fixture_begin(&f);
	CU_ASSERT_EQUAL(fixture_commit(&f, 12), 0);
	err_clear(&f.err);
	CU_ASSERT_EQUAL(promote(&f, 0, "/x"), -EBUSY);
	CU_ASSERT_TRUE(text_has(&f.err, "not in the heads yet"));
	CU_ASSERT_EQUAL(fixture_settle(&f), 0);
	CU_ASSERT_EQUAL_FATAL(promote(&f, 1, "/some/where.qcow2"), 0);
	CU_ASSERT_EQUAL(store_begin(f.store, &f.err), -EROFS);
	CU_ASSERT_EQUAL_FATAL(fixture_reopen(&f), 0);
	CU_ASSERT_TRUE(store_info(f.store)->promoted);
	CU_ASSERT_EQUAL(store_info(f.store)->generation, 1);
	CU_ASSERT_EQUAL(store_info(f.store)->generation_time_us, 12);
	CU_ASSERT_EQUAL(store_begin(f.store, &f.err), -EROFS);
	CU_ASSERT_EQUAL(store_inspect(f.dir, &info, &f.err), 0);
	CU_ASSERT_TRUE(info.promoted);
	CU_ASSERT_EQUAL(info.generation, 1);
	fixture_release(&f);
}

/* One of them cannot be noted: none is, neither here nor on disk. */
static void all_disks_are_promoted_or_none(void)
{
	const struct store_placement placements[] = {{0, "/a.qcow2"}, {1, ""}};
	const struct store_placement good[] = {{0, "/a.qcow2"}, {1, "/b.qcow2"}};
	char name[PATH_MAX];
	struct fixture f;

	fixture_init(&f);
	fixture_create(&f, 4 * MIB, 1 * MIB);
	fixture_fill(&f, 1);
	fixture_begin(&f);
	CU_ASSERT_EQUAL(fixture_commit(&f, 12), 0);
	CU_ASSERT_EQUAL(fixture_settle(&f), 0);
	CU_ASSERT_EQUAL(store_promote(f.store, placements, 2, &f.err), -EINVAL);
	CU_ASSERT_STRING_EQUAL(store_promoted_image(f.store, 0), "");
	/* Nor when the note cannot be written. */
	snprintf(name, sizeof(name), "%s/store.json.new", f.dir);
	CU_ASSERT_EQUAL_FATAL(mkdir(name, 0700), 0);
	err_clear(&f.err);
	CU_ASSERT(store_promote(f.store, good, 2, &f.err) < 0);
	CU_ASSERT_FALSE(store_info(f.store)->promoted);
	CU_ASSERT_STRING_EQUAL(store_promoted_image(f.store, 0), "");
	CU_ASSERT_EQUAL_FATAL(rmdir(name), 0);
	CU_ASSERT_EQUAL_FATAL(fixture_reopen(&f), 0);
	CU_ASSERT_FALSE(store_info(f.store)->promoted);
	CU_ASSERT_EQUAL_FATAL(store_promote(f.store, good, 2, &f.err), 0);
	CU_ASSERT_EQUAL_FATAL(fixture_reopen(&f), 0);
	CU_ASSERT_STRING_EQUAL(store_promoted_image(f.store, 0), "/a.qcow2");
	CU_ASSERT_STRING_EQUAL(store_promoted_image(f.store, 1), "/b.qcow2");
	fixture_release(&f);
}

static void demoted_store_goes_on_where_it_stood(void)
{
	struct fixture f;

	fixture_init(&f);
	fixture_create(&f, 4 * MIB, 1 * MIB);
	fixture_fill(&f, 1);
	for (uint64_t g = 1; g <= 3; g++) {
		fixture_begin(&f);
		fixture_put(&f, store_sink(f.store), 0, g * FIXTURE_BUFFER, FIXTURE_BUFFER, g + 1);
		CU_ASSERT_EQUAL(fixture_commit(&f, (int64_t)g), 0);
	}
	CU_ASSERT_EQUAL(fixture_settle(&f), 0);
	CU_ASSERT_EQUAL_FATAL(promote(&f, 0, "/a.qcow2"), 0);
	CU_ASSERT_EQUAL_FATAL(promote(&f, 1, "/b.qcow2"), 0);
	CU_ASSERT_STRING_EQUAL(store_promoted_image(f.store, 1), "/b.qcow2");
	CU_ASSERT_EQUAL_FATAL(fixture_reopen(&f), 0);
	CU_ASSERT_EQUAL_FATAL(store_demote(f.store, &f.err), 0);
	/* Only an open that looked at the journal may go on. */
	CU_ASSERT_EQUAL(store_begin(f.store, &f.err), -EROFS);
	CU_ASSERT_EQUAL_FATAL(fixture_reopen(&f), 0);
	CU_ASSERT_FALSE(store_info(f.store)->promoted);
	CU_ASSERT_STRING_EQUAL(store_promoted_image(f.store, 1), "");
	CU_ASSERT_EQUAL(store_info(f.store)->generation, 3);
	fixture_begin(&f);
	fixture_put(&f, store_sink(f.store), 0, 0, FIXTURE_BUFFER, 9);
	CU_ASSERT_EQUAL(fixture_commit(&f, 4), 0);
	CU_ASSERT_EQUAL(fixture_settle(&f), 0);
	CU_ASSERT_EQUAL(store_info(f.store)->generation, 4);
	CU_ASSERT_TRUE(fixture_head_is(&f, "vda", 0, FIXTURE_BUFFER, 9));
	CU_ASSERT_TRUE(fixture_head_is(&f, "vda", 3 * FIXTURE_BUFFER, FIXTURE_BUFFER, 4));
	fixture_release(&f);
}

static void inspect_sees_what_the_sidecar_has(void)
{
	struct store_info info;
	struct fixture f;

	fixture_init(&f);
	CU_ASSERT_EQUAL(store_inspect(f.dir, &info, &f.err), -ENOENT);
	fixture_create(&f, 4 * MIB, 0);
	fixture_fill(&f, 1);
	for (uint64_t g = 0; g < 5; g++) {
		CU_ASSERT_EQUAL(store_inspect(f.dir, &info, NULL), 0);
		CU_ASSERT_EQUAL(info.state, g ? STORE_READY : STORE_FILLED);
		CU_ASSERT_EQUAL(info.generation, g);
		CU_ASSERT_STRING_EQUAL(info.uuid, store_info(f.store)->uuid);
		CU_ASSERT_STRING_EQUAL(info.spec.vm_uuid, "12345678-9abc-4def-8123-456789abcdef");
		fixture_begin(&f);
		fixture_put(&f, store_sink(f.store), 0, 0, FIXTURE_BUFFER, g + 2);
		CU_ASSERT_EQUAL(store_inspect(f.dir, &info, NULL), 0);
		CU_ASSERT_EQUAL(info.generation, g);
		CU_ASSERT_EQUAL(fixture_commit(&f, 1), 0);
	}
	fixture_release(&f);
}

static void store_in_use_is_refused(void)
{
	struct store *second;
	struct fixture f;

	fixture_init(&f);
	fixture_create(&f, 4 * MIB, 0);
	CU_ASSERT_EQUAL(store_open(&second, f.ring, f.pool, f.dir, &f.err), -EBUSY);
	CU_ASSERT_PTR_NULL(second);
	CU_ASSERT_TRUE(text_has(&f.err, "in use"));
	fixture_release(&f);
}

static void second_store_in_one_place_is_refused(void)
{
	struct store_spec spec = fixture_spec(4 * MIB, 0);
	struct fixture f;

	fixture_init(&f);
	CU_ASSERT_EQUAL(store_create(f.dir, &spec, UINT64_C(1) << 60, &f.err), -ENOSPC);
	CU_ASSERT_TRUE(text_has(&f.err, "bytes are missing"));
	err_clear(&f.err);
	CU_ASSERT_EQUAL(fixture_open(&f), -ENOENT);
	err_clear(&f.err);
	fixture_create(&f, 4 * MIB, 0);
	store_close(f.store);
	f.store = NULL;
	CU_ASSERT_EQUAL(store_create(f.dir, &spec, 0, &f.err), -EEXIST);
	fixture_release(&f);
}

/* The heads would be emptied below points that are read through them, or below a guest. */
static void remains_of_a_store_are_not_built_over(void)
{
	static const struct {
		const char *path, *sentence;
	} remains[] = {
		{"points/00000003", "1 points of an earlier store"},
		{"promoted/vda-7.qcow2", "images in"},
	};
	struct store_spec spec = fixture_spec(4 * MIB, 0);
	struct fixture f;
	char path[512];

	fixture_init(&f);
	fixture_create(&f, 4 * MIB, 0);
	store_close(f.store);
	f.store = NULL;
	fixture_remove(f.dir, "store.json");
	for (unsigned i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/%s", f.dir, remains[i].path);
		CU_ASSERT_EQUAL(mkdir(path, 0700), 0);
		err_clear(&f.err);
		CU_ASSERT_EQUAL(store_create(f.dir, &spec, 0, &f.err), -EEXIST);
		CU_ASSERT_TRUE(text_has(&f.err, remains[i].sentence));
		fixture_remove(f.dir, remains[i].path);
	}
	snprintf(path, sizeof(path), "%s/store.json", f.dir); /* what it is cannot be told */
	CU_ASSERT_EQUAL(symlink("store.json", path), 0);
	err_clear(&f.err);
	CU_ASSERT_EQUAL(store_create(f.dir, &spec, 0, &f.err), -ELOOP);
	CU_ASSERT_TRUE(text_has(&f.err, "store.json"));
	fixture_remove(f.dir, "store.json");
	err_clear(&f.err);
	CU_ASSERT_EQUAL(store_create(f.dir, &spec, 0, &f.err), 0);
	fixture_release(&f);
}

static void a_disk_that_has_a_place_of_a_points_file_is_refused(void)
{
	struct store_spec spec = fixture_spec(4 * MIB, MIB);
	struct fixture f;

	fixture_init(&f);
	fixture_create(&f, 4 * MIB, 0);
	strcpy(spec.disks[1].name, "point.json");
	CU_ASSERT_EQUAL(store_set_disks(f.store, spec.disks, 2, &f.err), -EINVAL);
	CU_ASSERT_TRUE(text_has(&f.err, "point.json"));
	store_close(f.store);
	f.store = NULL;
	fixture_remove(f.dir, "store.json");
	CU_ASSERT_EQUAL(store_create(f.dir, &spec, 0, NULL), -EINVAL);
	fixture_release(&f);
}

/* What a look meets between its reading of store.json and that of the journal. */
static char meanwhile_from[512], meanwhile_to[512];

int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout_ms);
int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout_ms)
{
	rename(meanwhile_from, meanwhile_to);
	return 0;
}

static void a_look_beside_a_change_of_the_disks_finds_no_damage(void)
{
	struct store_spec spec = fixture_spec(4 * MIB, MIB);
	struct store_info info;
	struct fixture f;
	char before[512];

	fixture_init(&f);
	fixture_create(&f, 4 * MIB, 0);
	fixture_fill(&f, 1);
	fixture_begin(&f);
	CU_ASSERT_EQUAL(fixture_commit(&f, 1), 0);
	CU_ASSERT_EQUAL(fixture_settle(&f), 0);
	snprintf(meanwhile_from, sizeof(meanwhile_from), "%s/after", f.dir);
	snprintf(meanwhile_to, sizeof(meanwhile_to), "%s/store.json", f.dir);
	snprintf(before, sizeof(before), "%s/before", f.dir);
	CU_ASSERT_EQUAL(link(meanwhile_to, before), 0);
	CU_ASSERT_EQUAL(store_set_disks(f.store, spec.disks, 2, &f.err), 0);
	CU_ASSERT_EQUAL(rename(meanwhile_to, meanwhile_from), 0);
	CU_ASSERT_EQUAL(rename(before, meanwhile_to), 0);
	CU_ASSERT_EQUAL(store_inspect(f.dir, &info, &f.err), 0);
	CU_ASSERT_EQUAL(info.spec.disk_count, 2);
	CU_ASSERT_EQUAL(info.generation, 1);
	fixture_release(&f);
}

static void files_are_for_the_owner_only(void)
{
	static const char *const names[] = {"", "journal", "disks/vda", "promoted", "store.json",
					    "lock", "journal/a", "disks/vda/head.raw"};
	struct stat status;
	struct fixture f;
	char path[512];

	fixture_init(&f);
	fixture_create(&f, 4 * MIB, 0);
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", f.dir, names[i]);
		CU_ASSERT_EQUAL(stat(path, &status), 0);
		CU_ASSERT_EQUAL(status.st_mode & 077, 0);
	}
	fixture_release(&f);
}

static void damage_is_refused_with_a_sentence(void)
{
	static const struct {
		const char *file;
		long offset;
		const char *says;
	} damages[] = {
		{"journal/b", 4096 + 200, "neither area"},	/* header of the only generation */
		{"journal/b", 8192 + 5, "differs from its checksum"}, /* its content, sealed */
		{"store.json", 0, "not JSON"},
		{"disks/vda/head.raw", 4 * (long)MIB, "instead of"},
		{"disks/vda/sums", 64 * 8, "instead of"},
	};

	for (unsigned i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
		struct fixture f;

		fixture_init(&f);
		fixture_create(&f, 4 * MIB, 0);
		fixture_fill(&f, 1);
		fixture_begin(&f);
		fixture_put(&f, store_sink(f.store), 0, 0, FIXTURE_BLOCK, 2);
		CU_ASSERT_EQUAL(fixture_commit(&f, 1), 0);
		store_close(f.store);
		f.store = NULL;
		file_damage(&f, damages[i].file, damages[i].offset, 0x55);
		CU_ASSERT_EQUAL(fixture_open(&f), -EUCLEAN);
		CU_ASSERT_TRUE(text_has(&f.err, damages[i].says));
		CU_ASSERT_EQUAL(pool_available(f.pool), 12);
		fixture_release(&f);
	}
}

static void journal_that_lost_everything_is_noticed(void)
{
	struct fixture f;
	char path[512];

	fixture_init(&f);
	fixture_create(&f, 4 * MIB, 0);
	fixture_fill(&f, 1);
	fixture_begin(&f);
	CU_ASSERT_EQUAL(fixture_commit(&f, 1), 0);
	store_close(f.store);
	f.store = NULL;
	snprintf(path, sizeof(path), "%s/journal/b", f.dir);
	CU_ASSERT_EQUAL(truncate(path, 0), 0);
	CU_ASSERT_EQUAL(fixture_open(&f), -EUCLEAN);
	CU_ASSERT_TRUE(text_has(&f.err, "store.json says that generations were committed"));
	fixture_release(&f);
}

static void missing_file_is_named(void)
{
	struct fixture f;

	fixture_init(&f);
	fixture_create(&f, 4 * MIB, 0);
	store_close(f.store);
	f.store = NULL;
	fixture_remove(f.dir, "disks/vda/sums");
	CU_ASSERT_EQUAL(fixture_open(&f), -ENOENT);
	CU_ASSERT_TRUE(text_has(&f.err, "disks/vda/sums"));
	fixture_release(&f);
}

static void buffers_of_other_blocks_are_refused(void)
{
	struct fixture f;

	fixture_init(&f);
	fixture_create(&f, 4 * MIB, 0);
	store_close(f.store);
	f.store = NULL;
	pool_free(f.pool);
	CU_ASSERT_EQUAL_FATAL(pool_new(&f.pool, f.ring, 12, FIXTURE_BUFFER, 4096, &f.err), 0);
	CU_ASSERT_EQUAL(fixture_open(&f), -EINVAL);
	CU_ASSERT_TRUE(text_has(&f.err, "65536"));
	fixture_release(&f);
}

static unsigned format_of(const char *dir)
{
	struct store_json *json = calloc(1, sizeof(*json));
	unsigned format;

	CU_ASSERT_EQUAL_FATAL(store_json_read(dir, json, NULL), 0);
	format = json->format;
	free(json);
	return format;
}

static void older_format_is_upgraded_when_opened_for_writing(void)
{
	struct store_info info;
	char command[1024];
	struct fixture f;

	fixture_init(&f);
	fixture_create(&f, 4 * MIB, 0);
	fixture_fill(&f, 1);
	fixture_begin(&f);
	CU_ASSERT_EQUAL(fixture_commit(&f, 1), 0);
	store_close(f.store);
	f.store = NULL;
	snprintf(command, sizeof(command),
		 "sed -i -z -e 's/\"format\": 2/\"format\": 1/' -e 's/,[^,]*\"sum\": \"[0-9a-f]*\"//' "
		 "'%s/store.json'", f.dir);
	CU_ASSERT_EQUAL_FATAL(system(command), 0);
	CU_ASSERT_EQUAL(store_inspect(f.dir, &info, &f.err), 0); /* looks, and leaves it */
	CU_ASSERT_EQUAL(info.generation, 1);
	CU_ASSERT_EQUAL(format_of(f.dir), 1);
	CU_ASSERT_EQUAL_FATAL(fixture_open(&f), 0);
	CU_ASSERT_EQUAL(store_info(f.store)->generation, 1);
	CU_ASSERT_EQUAL(format_of(f.dir), 2);
	CU_ASSERT_TRUE(fixture_head_is(&f, "vda", 0, FIXTURE_BLOCK, 1));
	fixture_release(&f);
}

int main(void)
{
	static const struct cunit_case cases[] = {
		{"store_goes_from_empty_to_ready", store_goes_from_empty_to_ready},
		{"many_generations_of_all_sizes_arrive", many_generations_of_all_sizes_arrive},
		{"zeros_become_holes_of_any_length", zeros_become_holes_of_any_length},
		{"aborted_generation_leaves_nothing", aborted_generation_leaves_nothing},
		{"first_copy_that_did_not_end_is_worth_nothing",
		 first_copy_that_did_not_end_is_worth_nothing},
		{"first_copy_can_be_given_up_and_made_again",
		 first_copy_can_be_given_up_and_made_again},
		{"promoted_store_is_frozen", promoted_store_is_frozen},
		{"all_disks_are_promoted_or_none", all_disks_are_promoted_or_none},
		{"demoted_store_goes_on_where_it_stood", demoted_store_goes_on_where_it_stood},
		{"inspect_sees_what_the_sidecar_has", inspect_sees_what_the_sidecar_has},
		{"store_in_use_is_refused", store_in_use_is_refused},
		{"second_store_in_one_place_is_refused", second_store_in_one_place_is_refused},
		{"remains_of_a_store_are_not_built_over", remains_of_a_store_are_not_built_over},
		{"a_disk_that_has_a_place_of_a_points_file_is_refused",
		 a_disk_that_has_a_place_of_a_points_file_is_refused},
		{"a_look_beside_a_change_of_the_disks_finds_no_damage",
		 a_look_beside_a_change_of_the_disks_finds_no_damage},
		{"files_are_for_the_owner_only", files_are_for_the_owner_only},
		{"damage_is_refused_with_a_sentence", damage_is_refused_with_a_sentence},
		{"journal_that_lost_everything_is_noticed",
		 journal_that_lost_everything_is_noticed},
		{"missing_file_is_named", missing_file_is_named},
		{"buffers_of_other_blocks_are_refused", buffers_of_other_blocks_are_refused},
		{"older_format_is_upgraded_when_opened_for_writing",
		 older_format_is_upgraded_when_opened_for_writing},
	};

	return cunit_run("store", cases, sizeof(cases) / sizeof(cases[0]));
}
