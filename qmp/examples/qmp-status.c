/* SPDX-License-Identifier: Apache-2.0
 *
 * Prints version and run state of the QEMU behind a monitor:
 *
 *	qmp-status /run/vm/qmp.sock
 */
#include <poll.h>
#include <qmp.h>
#include <stdio.h>

static void status_known(void *done, const struct qmp_reply *reply)
{
	const char *status = json_string_value(json_object_get(reply->result, "status"));

	printf("%s\n", status ? status : reply->error_text);
	*(bool *)done = true;
}

static void ready(void *done, struct qmp *qmp)
{
	const struct qmp_version *version = qmp_version(qmp);

	printf("QEMU %d.%d.%d, ", version->major, version->minor, version->micro);
	qmp_execute(qmp, "query-status", NULL, 1000, status_known, done);
}

int main(int argc, char **argv)
{
	static const struct qmp_callbacks callbacks = {.ready = ready};
	bool done = false;
	char text[512] = "usage: qmp-status SOCKET";
	struct qmp *qmp = NULL;
	int status = 0;

	if (argc == 2)
		qmp = qmp_connect(argv[1], QMP_PEER_QEMU, &callbacks, &done, 1000, text, 512);
	while (qmp && !status && !done) {
		struct pollfd fd = {qmp_fd(qmp), qmp_events(qmp), 0};

		/* Its deadline is within the second; a tick is near enough here. */
		poll(&fd, 1, 100);
		status = qmp_process(qmp, fd.revents);
	}
	if (!done)
		fprintf(stderr, "%s\n", qmp ? qmp_error(qmp) : text);
	qmp_free(qmp);
	return done ? 0 : 1;
}
