/* SPDX-License-Identifier: Apache-2.0
 *
 * One sidecar a QEMU.  The peer of a socketpair is this process itself.
 */
#include <CUnit/CUnit.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cunit_main.h"
#include "instance.h"

static void a_second_sidecar_of_one_qemu_is_refused(void)
{
	struct errinfo err = {0};
	char pid[16];
	int first[2], second[2], held, again;

	CU_ASSERT_FATAL(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, first));
	CU_ASSERT_FATAL(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, second));
	held = instance_claim(first[0], &err);
	CU_ASSERT(held >= 0);
	CU_ASSERT_EQUAL(instance_claim(second[0], &err), -EBUSY); /* on another monitor */
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	CU_ASSERT(strstr(err.text, pid) != NULL);
	close(held); /* as the death of the first does */
	again = instance_claim(second[0], &err);
	CU_ASSERT(again >= 0);
	close(again);
	for (int i = 0; i < 2; i++) {
		close(first[i]);
		close(second[i]);
	}
}

static void a_peer_without_a_pid_cannot_be_claimed_and_is_no_error(void)
{
	struct errinfo err = {0};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	CU_ASSERT_EQUAL(instance_claim(fd, &err), -1);
	CU_ASSERT_EQUAL(err.code, 0);
	close(fd);
	CU_ASSERT_EQUAL(instance_claim(-1, &err), -1);
}

int main(void)
{
#define CASE(fn) {#fn, fn}
	static const struct cunit_case cases[] = {
		CASE(a_second_sidecar_of_one_qemu_is_refused),
		CASE(a_peer_without_a_pid_cannot_be_claimed_and_is_no_error),
	};

	return cunit_run("instance", cases, sizeof(cases) / sizeof(cases[0]));
}
