/* SPDX-License-Identifier: Apache-2.0
 *
 * mirror_peer: QEMU's own way back to a disk: blockdev-mirror FROM to TO, both raw and of
 * one size, in a qemu-storage-daemon, then cancelled when it is ready.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static void fail(const char *what)
{
	fprintf(stderr, "mirror-peer: %s\n", what);
	exit(1);
}

/* Lines from the monitor until one holds TEXT. */
static void expect(FILE *monitor, const char *text)
{
	char line[65536];

	while (fgets(line, sizeof(line), monitor)) {
		if (strstr(line, "\"error\":") || strstr(line, "BLOCK_JOB_ERROR"))
			fail(line);
		if (strstr(line, text))
			return;
	}
	fail("qemu-storage-daemon ended");
}

static void order(FILE *monitor, const char *command, const char *answer)
{
	/* Beside the stream, which has read ahead. */
	if (dprintf(fileno(monitor), "%s\n", command) < 0)
		fail("qemu-storage-daemon ended");
	expect(monitor, answer);
}

static void daemon_become(int socket, const char *from, const char *to)
{
	char source[4300], target[4300], monitor[64];

	snprintf(source, sizeof(source),
		 "driver=raw,node-name=from,read-only=on,file.driver=file,file.aio=io_uring,"
		 "file.cache.direct=on,file.filename=%s",
		 from);
	snprintf(target, sizeof(target),
		 "driver=raw,node-name=to,file.driver=file,file.aio=io_uring,"
		 "file.cache.direct=on,file.discard=unmap,file.filename=%s",
		 to);
	prctl(PR_SET_PDEATHSIG, SIGTERM); /* it would outlive its monitor */
	snprintf(monitor, sizeof(monitor), "socket,id=qmp,fd=%d", socket);
	execlp("qemu-storage-daemon", "qemu-storage-daemon", "--blockdev", source, "--blockdev",
	       target, "--chardev", monitor, "--monitor", "chardev=qmp", (char *)NULL);
	_exit(127);
}

int main(int argc, char **argv)
{
	int ends[2], status;
	FILE *monitor;
	pid_t pid;

	if (argc != 3)
		fail("usage: mirror-peer FROM TO");
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends))
		fail("no socket");
	pid = fork();
	if (!pid) {
		close(ends[0]);
		daemon_become(ends[1], argv[1], argv[2]);
	}
	close(ends[1]);
	monitor = fdopen(ends[0], "r");
	if (pid < 0 || !monitor)
		fail("cannot start");
	expect(monitor, "QMP");
	order(monitor, "{\"execute\":\"qmp_capabilities\"}", "return");
	order(monitor,
	      "{\"execute\":\"blockdev-mirror\",\"arguments\":{\"job-id\":\"m\",\"device\":"
	      "\"from\",\"target\":\"to\",\"sync\":\"full\"}}",
	      "BLOCK_JOB_READY");
	order(monitor, "{\"execute\":\"block-job-cancel\",\"arguments\":{\"device\":\"m\"}}",
	      "BLOCK_JOB_COMPLETED");
	order(monitor, "{\"execute\":\"quit\"}", "return");
	if (waitpid(pid, &status, 0) != pid || status)
		fail("qemu-storage-daemon failed");
	return 0;
}
