/* SPDX-License-Identifier: Apache-2.0
 *
 * The command line of the built program: wrong usage is status 2 and one
 * sentence that names what was wrong; a failure is status 1 and a sentence.
 */
#include <CUnit/CUnit.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bounds.h"
#include "cunit_main.h"

#define ARGS_MAX 80

static char program[PATH_MAX];
static char out[16384], errors[16384];

static void read_all(int fd, char *text, size_t size)
{
	size_t have = 0;
	ssize_t n;

	while (have < size - 1 && (n = read(fd, text + have, size - 1 - have)) > 0)
		have += (size_t)n;
	text[have] = '\0';
	close(fd);
}

/* Its exit status; what it said in out and errors. */
static int run(const char *const *args)
{
	int out_pipe[2], error_pipe[2], status;
	pid_t pid;

	CU_ASSERT_FATAL(!pipe(out_pipe) && !pipe(error_pipe));
	pid = fork();
	if (!pid) {
		const char *argv[ARGS_MAX + 2] = {"qheal"};

		for (unsigned i = 0; args[i]; i++)
			argv[i + 1] = args[i];
		dup2(out_pipe[1], STDOUT_FILENO);
		dup2(error_pipe[1], STDERR_FILENO);
		close(out_pipe[0]);
		close(error_pipe[0]);
		alarm(20);
		execv(program, (char *const *)argv);
		_exit(127);
	}
	close(out_pipe[1]);
	close(error_pipe[1]);
	read_all(out_pipe[0], out, sizeof(out)); /* less than a pipe holds, both */
	read_all(error_pipe[0], errors, sizeof(errors));
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

#define RUN(...) run((const char *const[]){__VA_ARGS__, NULL})
#define PROTECT "protect", "--qmp", "/nowhere/qmp", "--store", "/nowhere/store"

static bool first_line_has(const char *word)
{
	char line[1024];
	size_t length = strcspn(errors, "\n");

	snprintf(line, sizeof(line), "%.*s", (int)length, errors);
	if (!strstr(line, word))
		fprintf(stderr, "\n  not \"%s\" in \"%s\"\n", word, line);
	return strstr(line, word);
}

static void check_usage(int status, const char *word)
{
	CU_ASSERT_EQUAL(status, 2);
	CU_ASSERT_STRING_EQUAL(out, "");
	CU_ASSERT(!strncmp(errors, "qheal", 5));
	CU_ASSERT(first_line_has(word));
}

static void wrong_usage_is_status_2_and_names_what_was_wrong(void)
{
	check_usage(RUN("explode"), "explode");
	check_usage(RUN("protect"), "--qmp");
	check_usage(RUN("protect", "--qmp", "x"), "--store");
	check_usage(RUN("check"), "--qmp");
	check_usage(RUN("status"), "--store");
	check_usage(RUN("status", "--store"), "--store");
	check_usage(RUN(PROTECT, "--explode"), "--explode");
	check_usage(RUN(PROTECT, "more"), "more");
	check_usage(RUN("check", "--qmp", "x", "--interval", "100"), "--interval");
	check_usage(RUN("status", "--store", "x", "--qmp", "y"), "--qmp");
}

static void numbers_out_of_range_are_told_with_the_range(void)
{
	static const char *const intervals[] = {"0",   "49",   "3600001", "-100", "",
						"abc", "100x", "1e3",     "99999999999999999999"};
	static const char *const scratches[] = {"15", "65537", "-16", "1G"};
	static const char *const blocks[] = {"3", "5", "2048", "0", "-4", "64k"};

	for (unsigned i = 0; i < sizeof(intervals) / sizeof(intervals[0]); i++) {
		check_usage(RUN(PROTECT, "--interval", intervals[i]), "--interval (ms) is 50 to");
		CU_ASSERT(first_line_has(intervals[i]));
	}
	for (unsigned i = 0; i < sizeof(scratches) / sizeof(scratches[0]); i++)
		check_usage(RUN(PROTECT, "--scratch", scratches[i]), "--scratch (MiB) is 16 to 65536");
	for (unsigned i = 0; i < sizeof(blocks) / sizeof(blocks[0]); i++)
		check_usage(RUN(PROTECT, "--block-size", blocks[i]), "--block-size");
}

static void words_that_are_none_are_told_with_those_there_are(void)
{
	check_usage(RUN(PROTECT, "--on-loss", "panic"), "hold or rollback");
	check_usage(RUN(PROTECT, "--objective", "cheap"), "fast or optimal");
	check_usage(RUN(PROTECT, "--config", "/nowhere/x.conf"), "/nowhere/x.conf");
	check_usage(RUN(PROTECT, "--disk", "vda", "--disk", "vda"), "vda is given twice");
}

static void more_disks_than_there_may_be_are_refused(void)
{
	const char *args[ARGS_MAX] = {PROTECT};
	char names[BOUND_DISKS + 1][8];
	unsigned count = 5;

	for (unsigned i = 0; i <= BOUND_DISKS; i++) {
		snprintf(names[i], sizeof(names[i]), "d%u", i);
		args[count++] = "--disk";
		args[count++] = names[i];
	}
	check_usage(run(args), "32");
	args[count - 2] = NULL; /* as many as there may be */
	CU_ASSERT_EQUAL(run(args), 1);
}

static void without_a_command_the_usage_is_told(void)
{
	CU_ASSERT_EQUAL(run((const char *const[]){NULL}), 2);
	CU_ASSERT(strstr(errors, "Usage: qheal COMMAND") && strstr(errors, "protect"));
}

static void help_and_version_are_answers(void)
{
	CU_ASSERT_EQUAL(RUN("--help"), 0);
	CU_ASSERT(strstr(out, "protect") && !errors[0]);
	CU_ASSERT_EQUAL(RUN("version"), 0);
	CU_ASSERT_STRING_EQUAL(out, "qheal " QHEAL_VERSION "\n");
	CU_ASSERT_EQUAL(RUN("--version"), 0);
	CU_ASSERT_STRING_EQUAL(out, "qheal " QHEAL_VERSION "\n");
	CU_ASSERT_EQUAL(RUN("protect", "--help"), 0);
	CU_ASSERT(strstr(out, "--on-loss=hold|rollback") && strstr(out, "qheal protect"));
}

/* One sentence, status 1. */
static void check_failure(int status, const char *word)
{
	CU_ASSERT_EQUAL(status, 1);
	CU_ASSERT_STRING_EQUAL(out, "");
	CU_ASSERT(first_line_has("qheal: error: "));
	CU_ASSERT(first_line_has(word));
	CU_ASSERT(strchr(errors, '\n') == errors + strlen(errors) - 1);
}

static void failures_are_status_1_and_one_sentence(void)
{
	check_failure(RUN("check", "--qmp", "/nowhere/qmp.sock"), "/nowhere/qmp.sock");
	check_failure(RUN("check", "--json", "--qmp", "/nowhere/qmp.sock"), "/nowhere/qmp.sock");
	check_failure(RUN("check", "--qmp", "tcp:127.0.0.1:1"), "127.0.0.1");
	check_failure(RUN(PROTECT), "/nowhere/qmp");
	check_failure(RUN(PROTECT, "--events", "/nowhere/events"), "/nowhere/events");
	check_failure(RUN("status", "--store", "/nowhere/store"), "/nowhere/store");
	check_failure(RUN("status", "--json", "--store", "/dev/null"), "/dev/null");
}

static void find_program(void)
{
	ssize_t n = readlink("/proc/self/exe", program, sizeof(program) - 16);

	program[n > 0 ? n : 0] = '\0';
	for (int i = 0; i < 2 && strrchr(program, '/'); i++)
		*strrchr(program, '/') = '\0';
	strcat(program, "/qheal");
}

int main(void)
{
#define CASE(fn) {#fn, fn}
	static const struct cunit_case cases[] = {
		CASE(wrong_usage_is_status_2_and_names_what_was_wrong),
		CASE(numbers_out_of_range_are_told_with_the_range),
		CASE(words_that_are_none_are_told_with_those_there_are),
		CASE(more_disks_than_there_may_be_are_refused),
		CASE(without_a_command_the_usage_is_told),
		CASE(help_and_version_are_answers),
		CASE(failures_are_status_1_and_one_sentence),
	};

	find_program();
	return cunit_run("main", cases, sizeof(cases) / sizeof(cases[0]));
}
