/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_qemu.h"

#include <CUnit/CUnit.h>
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "alloc_fail.h"
#include "member.h"

struct fake_writes fake_writes;

ssize_t __real_sendmsg(int fd, const struct msghdr *message, int flags) __attribute__((weak));
ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags);

ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags)
{
	ssize_t sent = __real_sendmsg(fd, message, flags);
	size_t left = sent > 0 ? (size_t)sent : 0, size;
	FILE *copy; /* not malloc(), which tests let fail */

	if (!left || *(const char *)message->msg_iov[0].iov_base != '{' ||
	    fake_writes.count == FAKE_WRITES_MAX)
		return sent;
	copy = open_memstream(&fake_writes.text[fake_writes.count++], &size);
	for (size_t i = 0; copy && left; i++) {
		size_t part = message->msg_iov[i].iov_len;

		part = part < left ? part : left;
		fwrite(message->msg_iov[i].iov_base, 1, part, copy);
		left -= part;
	}
	if (copy)
		fclose(copy);
	return sent;
}

static void writes_forget(void)
{
	while (fake_writes.count)
		free(fake_writes.text[--fake_writes.count]);
}

json_t *fake_error(const char *format, ...)
{
	char text[256];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	return json_pack("{s:{s:s,s:s}}", "error", "class", "GenericError", "desc", text);
}

static void hang_up(struct fake_qemu *fake)
{
	if (fake->fd >= 0)
		close(fake->fd);
	fake->fd = -1;
	fake->negotiated = false;
}

void fake_say(struct fake_qemu *fake, const char *text)
{
	if (fake->fd >= 0)
		(void)!send(fake->fd, text, strlen(text), MSG_NOSIGNAL);
}

static void say_json(struct fake_qemu *fake, json_t *message)
{
	size_t size = json_dumpb(message, NULL, 0, JSON_COMPACT);
	char *text = calloc(1, size + 3);

	/* One send a message: each takes most of a kilobyte of the socket's buffer,
	 * and nobody reads while we write. */
	json_dumpb(message, text, size, JSON_COMPACT);
	memcpy(text + size, "\r\n", 2);
	fake_say(fake, text);
	free(text);
	json_decref(message);
}

void fake_event(struct fake_qemu *fake, const char *name, json_t *data)
{
	json_t *event = json_pack("{s:s,s:{s:i,s:i},s:o}", "event", name, "timestamp", "seconds",
				  1700000000, "microseconds", 5, "data",
				  data ? data : json_object());

	if (fake->late_count < sizeof(fake->late) / sizeof(fake->late[0]))
		fake->late[fake->late_count++] = event;
	else
		json_decref(event);
}

static json_t *answer_to(struct fake_qemu *fake, const char *command, const json_t *arguments)
{
	size_t used = strlen(fake->log);

	if (!fake->negotiated) {
		fake->negotiated = true;
		return json_pack("{s:{}}", "return");
	}
	fake->commands++;
	snprintf(fake->log + used, sizeof(fake->log) - used, "%s ", command);
	if (fake->commands == fake->vanish_at)
		fake->vanishing = true;
	if (fake->commands == fake->fail_at)
		return fake_error("command %u fails by order", fake->commands);
	return fake->answer ? fake->answer(fake->arg, command, arguments)
			    : json_pack("{s:{}}", "return");
}

static void execute(struct fake_qemu *fake, const char *line, size_t length)
{
	json_t *request = json_loadb(line, length, 0, NULL), *answer;
	const char *command = json_string_value(json_object_get(request, "execute"));

	CU_ASSERT(command != NULL);
	if (command && fake->negotiated && fake->commands + 1 == fake->hang_up_at) {
		hang_up(fake);
	} else if (command) {
		answer = answer_to(fake, command, json_object_get(request, "arguments"));
		if (answer && !fake->vanishing) {
			json_object_set(answer, "id", json_object_get(request, "id"));
			say_json(fake, json_incref(answer));
		}
		json_decref(answer);
		for (unsigned i = 0; i < fake->late_count; i++) {
			if (fake->vanishing)
				json_decref(fake->late[i]);
			else
				say_json(fake, fake->late[i]);
		}
		fake->late_count = 0;
	}
	json_decref(request);
}

static void execute_lines(struct fake_qemu *fake)
{
	char *start = fake->input, *end;

	while (fake->fd >= 0 &&
	       (end = memchr(start, '\n', fake->have - (size_t)(start - fake->input)))) {
		execute(fake, start, (size_t)(end - start));
		start = end + 1;
	}
	fake->have -= (size_t)(start - fake->input);
	memmove(fake->input, start, fake->have);
	if (fake->fd < 0)
		fake->have = 0;
	if (fake->vanishing)
		hang_up(fake);
}

static ssize_t receive(struct fake_qemu *fake)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec part = {fake->input + fake->have, sizeof(fake->input) - fake->have};
	struct msghdr header = {.msg_iov = &part,
				.msg_iovlen = 1,
				.msg_control = control.bytes,
				.msg_controllen = sizeof(control)};
	ssize_t size = recvmsg(fake->fd, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	struct cmsghdr *cmsg = size > 0 ? CMSG_FIRSTHDR(&header) : NULL;

	if (cmsg && cmsg->cmsg_type == SCM_RIGHTS) {
		if (fake->received_fd >= 0)
			close(fake->received_fd);
		memcpy(&fake->received_fd, CMSG_DATA(cmsg), sizeof(int));
	}
	return size;
}

static void on_read(struct ring_op *op, int result)
{
	struct fake_qemu *fake = member_of(op, struct fake_qemu, read_op);
	ssize_t size = fake->fd >= 0 && !fake->closing ? receive(fake) : -1;

	fake->alloc_failed |= alloc_fail_off(); /* QEMU itself has memory */
	if (size > 0) {
		fake->have += (size_t)size;
		execute_lines(fake);
	} else if (!fake->closing) {
		hang_up(fake);
	}
	if (fake->fd >= 0 && !fake->closing)
		ring_poll(fake->loop->ring, op, fake->fd, POLLIN);
}

static void on_accept(struct ring_op *op, int result)
{
	struct fake_qemu *fake = member_of(op, struct fake_qemu, accept_op);

	if (fake->closing || result < 0)
		return;
	CU_ASSERT_FATAL(fake->fd < 0); /* one client a monitor */
	fake->fd = accept4(fake->listen_fd, NULL, NULL, SOCK_CLOEXEC);
	fake->have = 0;
	fake->negotiated = false;
	fake->vanishing = false;
	if (fake->greeting)
		fake_say(fake, fake->greeting);
	else
		say_json(fake, json_pack("{s:{s:{s:{s:i,s:i,s:i},s:s},s:[s]}}", "QMP", "version", "qemu",
				 "major", fake->old ? 7 : 10, "minor", fake->old ? 2 : 0, "micro", 2,
				 "package", "", "capabilities", "oob"));
	if (!ring_op_pending(&fake->read_op))
		ring_poll(fake->loop->ring, &fake->read_op, fake->fd, POLLIN);
	ring_poll(fake->loop->ring, op, fake->listen_fd, POLLIN);
}

void fake_start(struct fake_qemu *fake, struct loop *loop)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	static unsigned serial;

	memset(fake, 0, sizeof(*fake));
	fake->loop = loop;
	fake->fd = fake->received_fd = -1;
	fake->accept_op.done = on_accept;
	fake->read_op.done = on_read;
	snprintf(fake->path, sizeof(fake->path), "/tmp/qheal-fake-%d-%u", (int)getpid(), ++serial);
	memcpy(address.sun_path, fake->path, strlen(fake->path));
	unlink(fake->path);
	fake->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CU_ASSERT_FATAL(!bind(fake->listen_fd, (struct sockaddr *)&address, sizeof(address)));
	CU_ASSERT_FATAL(!listen(fake->listen_fd, 4));
	ring_poll(loop->ring, &fake->accept_op, fake->listen_fd, POLLIN);
}

static bool is_idle(void *arg)
{
	const struct fake_qemu *fake = arg;

	return !ring_op_pending(&fake->accept_op) && !ring_op_pending(&fake->read_op);
}

void fake_stop(struct fake_qemu *fake)
{
	fake->closing = true;
	ring_cancel(fake->loop->ring, &fake->accept_op);
	ring_cancel(fake->loop->ring, &fake->read_op);
	loop_until(fake->loop, is_idle, fake, INT64_MAX);
	hang_up(fake);
	if (fake->received_fd >= 0)
		close(fake->received_fd);
	close(fake->listen_fd);
	unlink(fake->path);
	writes_forget();
}

void fake_connect(struct fake_qemu *fake, struct monitor *monitor)
{
	struct errinfo err = {0};

	CU_ASSERT_EQUAL_FATAL(monitor_open(monitor, fake->loop, fake->path, &err), 0);
	fake_forget(fake);
}

void fake_forget(struct fake_qemu *fake)
{
	fake->commands = 0;
	fake->log[0] = '\0';
	fake->fail_at = fake->hang_up_at = fake->vanish_at = 0;
	writes_forget();
}
