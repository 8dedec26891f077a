/* SPDX-License-Identifier: Apache-2.0
 *
 * A connection of another process is ended from outside.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CUnit/CUnit.h>

#include "cunit_main.h"
#include "cut.h"

static void servers_are_found_in_what_qemu_calls_them(void)
{
	static const struct {
		const char *file;
		int rc;
		const char *path, *host;
		unsigned port;
	} table[] = {
		{"nbd+unix:///?socket=/run/a.sock", 0, "/run/a.sock", "", 0},
		{"nbd+unix:///disk?socket=/run/a%20b&x=1", 0, "/run/a b", "", 0},
		{"nbd://10.0.0.1:4711/x", 0, "", "10.0.0.1", 4711},
		{"nbd://10.0.0.1", 0, "", "10.0.0.1", 10809},
		{"nbd://[::1]:7", 0, "", "::1", 7},
		{"nbd://:7", -EINVAL, "", "", 0},
		{"nbd://a:70000", -EINVAL, "", "", 0},
		{"nbd://[::1", -EINVAL, "", "", 0},
		{"nbd+unix:///?socket=", -EINVAL, "", "", 0},
		{"/var/lib/disk.raw", -EINVAL, "", "", 0},
		{"json:{}", -EINVAL, "", "", 0},
		{"", -EINVAL, "", "", 0},
	};
	char path[108], host[64];
	unsigned port;

	for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		CU_ASSERT_EQUAL(cut_parse(table[i].file, path, host, &port), table[i].rc);
		if (table[i].rc)
			continue;
		CU_ASSERT_STRING_EQUAL(path, table[i].path);
		CU_ASSERT_STRING_EQUAL(host, table[i].host);
		CU_ASSERT_EQUAL(port, table[i].port);
	}
}

static void only_the_connection_meant_ends(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char dir[] = "/tmp/qheal-cut-XXXXXX", file[160], byte;
	struct errinfo err = {0};
	int server, pair[2], accepted, pidfd, rc;
	pid_t child;

	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(dir));
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/s", dir);
	snprintf(file, sizeof(file), "nbd+unix:///?socket=%s", address.sun_path);
	server = socket(AF_UNIX, SOCK_STREAM, 0);
	CU_ASSERT_EQUAL_FATAL(bind(server, (struct sockaddr *)&address, sizeof(address)), 0);
	CU_ASSERT_EQUAL_FATAL(listen(server, 1), 0);
	CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	child = fork();
	if (!child) { /* waits on the connection, then tells over the pair */
		int fd = socket(AF_UNIX, SOCK_STREAM, 0);

		if (connect(fd, (struct sockaddr *)&address, sizeof(address)) ||
		    write(pair[1], "c", 1) != 1 || read(fd, &byte, 1) != 0 ||
		    write(pair[1], "e", 1) != 1)
			_exit(1);
		_exit(0);
	}
	accepted = accept(server, NULL, NULL);
	CU_ASSERT(accepted >= 0);
	CU_ASSERT_EQUAL(read(pair[0], &byte, 1), 1);
	pidfd = pidfd_open(child, 0);
	CU_ASSERT_EQUAL(cut_connection(pidfd, child, "nbd+unix:///?socket=/none", &err), -ENOENT);
	err_clear(&err);
	rc = cut_connection(pidfd, child, file, &err);
	if (rc == -EPERM) { /* ptrace is restricted here */
		kill(child, SIGKILL);
	} else {
		CU_ASSERT_EQUAL(rc, 0);
		CU_ASSERT_EQUAL(read(pair[0], &byte, 1), 1);
		CU_ASSERT_EQUAL(byte, 'e');
	}
	waitpid(child, NULL, 0);
	close(accepted), close(server), close(pair[0]), close(pair[1]), close(pidfd);
	unlink(address.sun_path), rmdir(dir);
}

int main(void)
{
	static const struct cunit_case cases[] = {
		{"servers_are_found_in_what_qemu_calls_them",
		 servers_are_found_in_what_qemu_calls_them},
		{"only_the_connection_meant_ends", only_the_connection_meant_ends},
	};

	return cunit_run("cut", cases, sizeof(cases) / sizeof(cases[0]));
}
