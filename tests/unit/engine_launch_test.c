/* SPDX-License-Identifier: Apache-2.0
 *
 * Definitions of processes, and programs that are started: detached, and hooks that
 * fail, hang and flood.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CUnit/CUnit.h>

#include "cunit_main.h"
#include "launch.h"
#include "restart.h"

static struct loop loop;
static char dir[64];

static void setup(void)
{
	struct errinfo err = {0};

	strcpy(dir, "/tmp/qheal-launch-XXXXXX");
	CU_ASSERT_PTR_NOT_NULL(mkdtemp(dir));
	CU_ASSERT_EQUAL(loop_init(&loop, &err), 0);
}

static void teardown(void)
{
	char command[128];

	loop_release(&loop);
	snprintf(command, sizeof(command), "rm -r %s", dir);
	CU_ASSERT_EQUAL(system(command), 0);
}

static const char *read_text(const char *name)
{
	static char text[4096];
	char path[128];
	ssize_t got = -1;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_RDONLY);
	if (fd >= 0)
		got = read(fd, text, sizeof(text) - 1);
	text[got > 0 ? got : 0] = '\0';
	close(fd);
	return text;
}

static int run_hook(const char *command, int64_t timeout_ms, char *output, size_t size,
		    struct errinfo *err)
{
	static const char *const more[] = {"QHEAL_VM=guest", NULL};
	struct launch_hook hook = {.command = command, .more = more, .timeout_ms = timeout_ms,
				   .output = output, .output_size = size};
	int rc = launch_hook(&loop, &hook, err);

	CU_ASSERT(hook.said_bytes >= strlen(output));
	return rc;
}

static void hooks_end_in_every_way(void)
{
	static const struct {
		const char *command;
		int64_t timeout_ms;
		int rc;
		const char *says, *error;
	} table[] = {
		{"/bin/echo a  b", 5000, 0, "a b\n", ""},
		{"/usr/bin/env", 5000, 0, "QHEAL_VM=guest\n", ""},
		{"/bin/false", 5000, -ECHILD, "", "status 1"},
		{"/no/such/hook", 5000, -ECHILD, "No such file", "status 127"},
		{"/bin/sleep 60", 100, -ETIMEDOUT, "", "was killed"},
		{"/usr/bin/yes", 2000, -ETIMEDOUT, "y\ny\n", "was killed"},
		{"  ", 100, -EINVAL, "", "empty"},
	};

	setup();
	for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		char output[64];
		struct errinfo err = {0};

		CU_ASSERT_EQUAL(run_hook(table[i].command, table[i].timeout_ms, output,
					 sizeof(output), &err), table[i].rc);
		CU_ASSERT(strstr(output, table[i].says) != NULL);
		CU_ASSERT(strlen(output) < sizeof(output));
		CU_ASSERT(strstr(err.text, table[i].error) != NULL);
	}
	teardown();
}

/* All of what a hook that hangs has started ends with it. */
static void a_hook_is_killed_with_its_children(void)
{
	char path[128], command[160], output[64];
	struct errinfo err = {0};
	pid_t child;
	FILE *file;

	setup();
	snprintf(path, sizeof(path), "%s/a hook", dir);
	file = fopen(path, "w");
	fprintf(file, "#!/bin/sh\nsleep 60 & echo $!; wait\n");
	fchmod(fileno(file), 0700);
	fclose(file);
	snprintf(command, sizeof(command), "%s", path); /* a path with a blank */
	CU_ASSERT_EQUAL(run_hook(command, 3000, output, sizeof(output), &err), -ETIMEDOUT);
	child = (pid_t)atoi(output);
	CU_ASSERT(child > 0);
	snprintf(command, sizeof(command), "/proc/%d/stat", child); /* it may be gone at once */
	for (int i = 0; i < 500 && !kill(child, 0); i++) {
		if (strstr(read_text("none"), "Z"))
			break;
		file = fopen(command, "r");
		if (!file)
			break;
		if (fscanf(file, "%*d %*s %c", output) == 1 && output[0] == 'Z')
			i = 500;
		fclose(file);
		usleep(10000);
	}
	file = fopen(command, "r");
	CU_ASSERT(!file || (fscanf(file, "%*d %*s %c", output) == 1 && output[0] == 'Z'));
	if (file)
		fclose(file);
	teardown();
}

static void a_definition_is_read_kept_and_started(void)
{
	struct definition definition, kept;
	struct pollfd end = {.events = POLLIN};
	char log[128], text[4096];
	struct errinfo err = {0};
	struct stat stat_of;
	pid_t pid;
	int pidfd;

	setup();
	CU_ASSERT_EQUAL(definition_read(&definition, getpid(), &err), 0);
	CU_ASSERT(json_array_size(definition.argv) >= 1);
	CU_ASSERT_EQUAL(definition.uid, geteuid());
	json_array_clear(definition.argv);
	json_array_append_new(definition.argv, json_string("sh"));
	json_array_append_new(definition.argv, json_string("-c"));
	json_array_append_new(definition.argv,
			      json_string("echo said; pwd >&2; exec ls -l /proc/self/fd"));
	strcpy(definition.exe, "/bin/sh");
	strcpy(definition.cwd, "/usr");
	definition.out[0] = definition.err[0] = '\0';
	CU_ASSERT_EQUAL(definition_save(&definition, dir, &err), 0);
	snprintf(log, sizeof(log), "%s/definition.json", dir);
	CU_ASSERT_EQUAL(stat(log, &stat_of), 0);
	CU_ASSERT_EQUAL(stat_of.st_mode & 0777, 0600);
	CU_ASSERT_EQUAL(definition_load(&kept, dir, &err), 0);
	CU_ASSERT(json_equal(kept.argv, definition.argv));
	CU_ASSERT(json_equal(kept.environment, definition.environment));
	CU_ASSERT_EQUAL(kept.group_count, definition.group_count);
	CU_ASSERT(!memcmp(kept.groups, definition.groups, sizeof(kept.groups)));

	snprintf(log, sizeof(log), "%s/log", dir);
	CU_ASSERT_EQUAL(launch_detached(&kept, log, &pid, &pidfd, &err), 0);
	CU_ASSERT(pid > 0 && waitpid(pid, NULL, WNOHANG) < 0); /* no child of ours */
	end.fd = pidfd;
	CU_ASSERT_EQUAL(poll(&end, 1, 10000), 1);
	close(pidfd);
	snprintf(text, sizeof(text), "%s", read_text("log"));
	CU_ASSERT(strstr(text, "said\n/usr\n") == text);
	CU_ASSERT(strstr(text, "0 -> /dev/null") != NULL);
	CU_ASSERT(strstr(text, "socket:") == NULL && strstr(text, "io_uring") == NULL);

	strcpy(kept.exe, "/no/such/program");
	CU_ASSERT_EQUAL(launch_detached(&kept, log, &pid, &pidfd, &err), -ENOENT);
	CU_ASSERT(strstr(err.text, "/no/such/program") != NULL);
	definition_release(&definition);
	definition_release(&kept);
	teardown();
}

static void run_shell(struct definition *definition, const char *words)
{
	struct pollfd end = {.events = POLLIN};
	struct errinfo err = {0};
	char log[128];
	pid_t pid;

	json_array_clear(definition->argv);
	json_array_append_new(definition->argv, json_string("sh"));
	json_array_append_new(definition->argv, json_string("-c"));
	json_array_append_new(definition->argv, json_string(words));
	strcpy(definition->exe, "/bin/sh");
	strcpy(definition->cwd, "/");
	snprintf(log, sizeof(log), "%s/log", dir);
	CU_ASSERT_EQUAL_FATAL(launch_detached(definition, log, &pid, &end.fd, &err), 0);
	CU_ASSERT_EQUAL(poll(&end, 1, 10000), 1);
	close(end.fd);
}

/* Its file is gone, is no file any more, or is not its user's. */
static void output_that_has_no_place_goes_to_the_log(void)
{
	struct definition definition;
	struct errinfo err = {0};
	char secret[128];
	int fd;

	setup();
	CU_ASSERT_EQUAL(definition_read(&definition, getpid(), &err), 0);
	snprintf(definition.out, PATH_MAX, "%s/out", dir);
	snprintf(definition.err, PATH_MAX, "%s/no/such", dir);
	run_shell(&definition, "echo one; echo two >&2");
	CU_ASSERT_STRING_EQUAL(read_text("out"), "one\n");
	CU_ASSERT(strstr(read_text("log"), "two\n") && strstr(read_text("log"), "no/such"));
	unlink(definition.out);
	CU_ASSERT_EQUAL(mkfifo(definition.out, 0600), 0);
	run_shell(&definition, "echo three");
	CU_ASSERT(strstr(read_text("log"), "three\n") != NULL);
	snprintf(secret, sizeof(secret), "%s/secret", dir);
	fd = open(secret, O_WRONLY | O_CREAT, 0600);
	CU_ASSERT(fd >= 0);
	close(fd);
	if (geteuid() == 0) {
		definition.uid = definition.gid = 65534;
		definition.groups[0] = 12345;
		definition.group_count = 1;
		CU_ASSERT_EQUAL(chmod(dir, 0711), 0);
		strcpy(definition.err, secret);
		run_shell(&definition, "id -u >&2; id -G >&2");
		CU_ASSERT_STRING_EQUAL(read_text("secret"), "");
		CU_ASSERT(strstr(read_text("log"), "65534\n65534 12345\n") != NULL);
	}
	definition_release(&definition);
	teardown();
}

static void what_cannot_be_started_here_is_known_before(void)
{
	struct definition definition;
	struct errinfo err = {0};

	setup();
	CU_ASSERT_EQUAL(definition_read(&definition, getpid(), &err), 0);
	CU_ASSERT_PTR_NULL(launch_lacks(&definition, true));
	strcpy(definition.cwd, "/no/such");
	CU_ASSERT(strstr(launch_lacks(&definition, false), "directory") != NULL);
	strcpy(definition.cwd, "/");
	definition.uid = geteuid() + 7;
	CU_ASSERT(strstr(launch_lacks(&definition, true), "another user") != NULL);
	CU_ASSERT_EQUAL(!launch_lacks(&definition, false), geteuid() == 0);
	strcpy(definition.exe, "/no/such");
	CU_ASSERT(strstr(launch_lacks(&definition, false), "program") != NULL);
	definition_release(&definition);
	teardown();
}

static void a_damaged_definition_is_refused(void)
{
	static const char *const table[] = {
		"", "{}", "[]", "{\"format\":1}",
		"{\"format\":2,\"argv\":[\"a\",\"b\"],\"environment\":[],\"exe\":\"/a\",\"cwd\":\"/\","
		"\"uid\":1,\"gid\":1}",
		"{\"format\":1,\"argv\":[\"a\",1],\"environment\":[],\"exe\":\"/a\",\"cwd\":\"/\","
		"\"uid\":1,\"gid\":1}",
		"{\"format\":1,\"argv\":[\"a\",\"b\"],\"environment\":[],\"exe\":\"a\",\"cwd\":\"/\","
		"\"uid\":1,\"gid\":1}",
		"{\"format\":1,\"argv\":[\"a\",\"b\"],\"environment\":[],\"exe\":\"/a\",\"cwd\":\"/\","
		"\"uid\":-1,\"gid\":1}",
		"{\"format\":1,\"argv\":[\"a\",\"b\"],\"environment\":[],\"exe\":\"/a\",\"cwd\":\"/\","
		"\"stdout\":\"x\",\"uid\":1,\"gid\":1}",
	};

	for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct definition definition;
		struct errinfo err = {0};

		CU_ASSERT_EQUAL(definition_parse(&definition, table[i], strlen(table[i]), &err),
				-EUCLEAN);
		definition_release(&definition);
	}
}

static void the_option_is_read(void)
{
	enum restart_mode mode;
	const char *hook;

	CU_ASSERT(restart_parse("never", &mode, &hook) && mode == RESTART_NEVER);
	CU_ASSERT(restart_parse("recorded", &mode, &hook) && mode == RESTART_RECORDED);
	CU_ASSERT(restart_parse("hook:/bin/x y", &mode, &hook) && mode == RESTART_HOOK);
	CU_ASSERT_STRING_EQUAL(hook, "/bin/x y");
	CU_ASSERT(!restart_parse("hook:x", &mode, &hook) && !restart_parse("", &mode, &hook) &&
		  !restart_parse("hook:", &mode, &hook) && !restart_parse("always", &mode, &hook));
}

#define CASE(name) {#name, name}

int main(void)
{
	static const struct cunit_case cases[] = {
		CASE(hooks_end_in_every_way),
		CASE(a_hook_is_killed_with_its_children),
		CASE(a_definition_is_read_kept_and_started),
		CASE(output_that_has_no_place_goes_to_the_log),
		CASE(what_cannot_be_started_here_is_known_before),
		CASE(a_damaged_definition_is_refused),
		CASE(the_option_is_read),
	};

	return cunit_run("launch", cases, sizeof(cases) / sizeof(cases[0]));
}
