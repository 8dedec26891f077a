/* SPDX-License-Identifier: Apache-2.0
 *
 * The service manager's datagrams.
 */
#include <CUnit/CUnit.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "cunit_main.h"
#include "notify.h"

static int manager;
static struct sockaddr_un address;

/* NAME: a path, or "@name". */
static void setup(const char *name)
{
	size_t length = strlen(name);

	memset(&address, 0, sizeof(address));
	address.sun_family = AF_UNIX;
	memcpy(address.sun_path, name, length);
	if (name[0] == '@')
		address.sun_path[0] = '\0';
	else
		unlink(name);
	manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	CU_ASSERT_FATAL(!bind(manager, (struct sockaddr *)&address,
			      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)));
	setenv("NOTIFY_SOCKET", name, 1);
}

static void teardown(void)
{
	unsetenv("NOTIFY_SOCKET");
	close(manager);
	if (address.sun_path[0])
		unlink(address.sun_path);
}

static const char *heard(void)
{
	static char text[512];
	ssize_t n = recv(manager, text, sizeof(text) - 1, 0);

	text[n > 0 ? n : 0] = '\0';
	return text;
}

static void hear_all(void)
{
	notify_status("protected");
	CU_ASSERT_STRING_EQUAL(heard(), "STATUS=protected");
	notify_ready();
	CU_ASSERT_STRING_EQUAL(heard(), "READY=1");
	notify_stopping();
	CU_ASSERT_STRING_EQUAL(heard(), "STOPPING=1");
	CU_ASSERT_STRING_EQUAL(heard(), "");
}

static void a_manager_at_a_path_is_told(void)
{
	char path[64];

	snprintf(path, sizeof(path), "/tmp/qheal-notify-%d", (int)getpid());
	setup(path);
	hear_all();
	teardown();
}

static void a_manager_at_an_abstract_name_is_told(void)
{
	char name[64];

	snprintf(name, sizeof(name), "@qheal-notify-%d", (int)getpid());
	setup(name);
	hear_all();
	teardown();
}

static void a_long_status_is_cut(void)
{
	char path[64], text[1000];

	snprintf(path, sizeof(path), "/tmp/qheal-notify-%d", (int)getpid());
	memset(text, 's', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	setup(path);
	notify_status(text);
	CU_ASSERT(strlen(heard()) == 127);
	teardown();
}

static void without_a_manager_nothing_happens(void)
{
	char name[300];

	unsetenv("NOTIFY_SOCKET");
	notify_ready();
	memset(name, 'n', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	name[0] = '/';
	setenv("NOTIFY_SOCKET", name, 1); /* longer than any address */
	notify_ready();
	setenv("NOTIFY_SOCKET", "relative", 1);
	notify_ready();
	setenv("NOTIFY_SOCKET", "", 1);
	notify_ready();
	setenv("NOTIFY_SOCKET", "/nowhere/at/all", 1);
	notify_ready();
	unsetenv("NOTIFY_SOCKET");
}

/* A manager that does not read must not stop the sidecar. */
static void a_deaf_manager_does_not_hold_us_up(void)
{
	char path[64];

	snprintf(path, sizeof(path), "/tmp/qheal-notify-%d", (int)getpid());
	setup(path);
	alarm(10);
	for (int i = 0; i < 5000; i++)
		notify_status("protected");
	alarm(0);
	CU_ASSERT_STRING_EQUAL(heard(), "STATUS=protected");
	teardown();
}

int main(void)
{
#define CASE(fn) {#fn, fn}
	static const struct cunit_case cases[] = {
		CASE(a_manager_at_a_path_is_told),
		CASE(a_manager_at_an_abstract_name_is_told),
		CASE(a_long_status_is_cut),
		CASE(without_a_manager_nothing_happens),
		CASE(a_deaf_manager_does_not_hold_us_up),
	};

	return cunit_run("notify", cases, sizeof(cases) / sizeof(cases[0]));
}
