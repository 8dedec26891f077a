/* SPDX-License-Identifier: Apache-2.0 */
#include <CUnit/CUnit.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.h"
#include "neighbours.h"
#include "cunit_main.h"
#include "work.h"

#define RUN(usage, err, ...)                                                                       \
	child_run((const char *const[]){__VA_ARGS__, NULL}, NULL, false, usage, err)

static void a_missing_program_is_named(void)
{
	struct errinfo err = {0};

	CU_ASSERT_EQUAL(RUN(NULL, &err, "qheal-no-such-program"), -ENOENT);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "qheal-no-such-program"));
	CU_ASSERT(!child_exists("qheal-no-such-program"));
	CU_ASSERT(child_exists("sh") && child_exists("/bin/sh"));
}

static void the_last_line_of_a_failed_program_is_the_error(void)
{
	struct errinfo err = {0};

	CU_ASSERT_EQUAL(RUN(NULL, &err, "sh", "-c", "echo one >&2; echo two >&2; exit 7"), -EIO);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "status 7: two"));
	CU_ASSERT_PTR_NULL(strstr(err.text, "one"));
}

static void usage_is_that_of_the_child_and_its_children(void)
{
	struct child_usage idle, busy;
	struct errinfo err = {0};

	CU_ASSERT_EQUAL(RUN(&idle, &err, "true"), 0);
	CU_ASSERT_EQUAL(RUN(&busy, &err, "sh", "-c",
			    "sh -c 'i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done'; true"),
			0);
	CU_ASSERT(busy.cpu_s > idle.cpu_s);
	CU_ASSERT(busy.cpu_s > 0.01);
	CU_ASSERT(idle.peak_mib > 0);
}

/* In a process of its own: the flag stays set.  The child tells that it was asked to end. */
static void a_signal_ends_the_child_and_the_run(void)
{
	char told[] = "/tmp/qheal-told-XXXXXX";
	struct stat stat_of;
	int status, fd = mkstemp(told);
	pid_t pid = fork();

	if (!pid) {
		struct errinfo err = {0};
		char order[256];

		child_catch_signals();
		snprintf(
		    order, sizeof(order),
		    "trap 'echo asked > %s; exit' TERM; kill -INT %d; while :; do sleep 0.05; done",
		    told, (int)getpid());
		_exit(RUN(NULL, &err, "sh", "-c", order) == -EINTR && child_interrupted() ? 0 : 1);
	}
	CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
	CU_ASSERT_EQUAL(status, 0);
	CU_ASSERT_EQUAL(stat(told, &stat_of), 0);
	CU_ASSERT_EQUAL(stat_of.st_size, 6);
	close(fd);
	unlink(told);
}

static void too_little_room_is_refused_with_the_numbers(void)
{
	struct errinfo err = {0};
	struct work work;

	CU_ASSERT_EQUAL(work_make(&work, "/tmp", UINT64_C(1) << 60, &err), -ENOSPC);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "1073741824.0"));
	work_remove(&work); /* there is nothing */
}

static void all_is_removed_and_nothing_behind_a_link(void)
{
	char kept[] = "/tmp/qheal-kept-XXXXXX", command[3 * PATH_MAX];
	struct errinfo err = {0};
	struct work work;

	close(mkstemp(kept));
	CU_ASSERT_EQUAL_FATAL(work_make(&work, "/tmp", 0, &err), 0);
	snprintf(command, sizeof(command),
		 "mkdir -p %s/a/b && echo x > %s/a/b/c && ln -s %s %s/a/link", work.path, work.path,
		 kept, work.path);
	CU_ASSERT_EQUAL(RUN(NULL, &err, "sh", "-c", command), 0);
	snprintf(command, sizeof(command), "%s", work.path);
	work_remove(&work);
	CU_ASSERT(access(command, F_OK) && errno == ENOENT);
	CU_ASSERT_EQUAL(access(kept, F_OK), 0);
	unlink(kept);
}

static void one_word_a_step_differs(void)
{
	char path[] = "/tmp/qheal-differ-XXXXXX";
	unsigned char data[16384] = {0}, found[16384];
	struct errinfo err = {0};
	int fd = mkstemp(path);
	unsigned differ = 0;

	CU_ASSERT_EQUAL(write(fd, data, sizeof(data)), (ssize_t)sizeof(data));
	CU_ASSERT_EQUAL(file_differ(path, 4096, &err), 0);
	CU_ASSERT_EQUAL(pread(fd, found, sizeof(found), 0), (ssize_t)sizeof(found));
	for (unsigned i = 0; i < sizeof(found); i++)
		differ += found[i] != 0;
	CU_ASSERT_EQUAL(differ, 4 * 8);
	CU_ASSERT_EQUAL(found[0], 0xff);
	CU_ASSERT_EQUAL(found[4096], 0xff);
	close(fd);
	unlink(path);
	CU_ASSERT(file_differ(path, 4096, &err) < 0);
}

static void busy_time_is_read_without_idle_and_waiting(void)
{
	CU_ASSERT_EQUAL(neighbours_busy("cpu  100 20 30 9000 800 4 5 6 7 8\n", 100), 1.65);
	CU_ASSERT(neighbours_busy("cpu  100 20 30", 100) < 0);
	CU_ASSERT(neighbours_busy("", 100) < 0);
}

/* What a child of ours burns is not the neighbours'; the rest depends on them. */
static void what_ours_use_is_not_the_neighbours(void)
{
	const char *burn[] = {"sh", "-c", "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done",
			      NULL};
	struct neighbours begin, end;

	neighbours_mark(&begin);
	CU_ASSERT_EQUAL(child_run(burn, NULL, false, NULL, NULL), 0);
	neighbours_mark(&end);
	CU_ASSERT(end.ours_s > begin.ours_s);
	CU_ASSERT(end.busy_s >= begin.busy_s && begin.busy_s > 0);
	CU_ASSERT(neighbours_percent(&begin) >= 0 && neighbours_percent(&begin) <= 101);
}

static const struct cunit_case cases[] = {
    {"busy_time_is_read_without_idle_and_waiting", busy_time_is_read_without_idle_and_waiting},
    {"what_ours_use_is_not_the_neighbours", what_ours_use_is_not_the_neighbours},
    {"a_missing_program_is_named", a_missing_program_is_named},
    {"the_last_line_of_a_failed_program_is_the_error",
     the_last_line_of_a_failed_program_is_the_error},
    {"usage_is_that_of_the_child_and_its_children", usage_is_that_of_the_child_and_its_children},
    {"a_signal_ends_the_child_and_the_run", a_signal_ends_the_child_and_the_run},
    {"too_little_room_is_refused_with_the_numbers", too_little_room_is_refused_with_the_numbers},
    {"all_is_removed_and_nothing_behind_a_link", all_is_removed_and_nothing_behind_a_link},
    {"one_word_a_step_differs", one_word_a_step_differs},
};

int main(void)
{
	return cunit_run("bench_child", cases, sizeof(cases) / sizeof(cases[0]));
}
