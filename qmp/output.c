/* SPDX-License-Identifier: Apache-2.0
 *
 * The send queue of output.h.
 */
#include "output.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "qmp.h"

#define GATHER_MAX (QMP_PENDING_MAX + 2) /* every pending command and a half-sent forgotten one */

/* What one sendmsg() takes. */
struct gather {
	struct iovec parts[GATHER_MAX];
	size_t count;
	int fd; /* -1: none */
	int64_t fd_id;
};

static void output_pop(struct qmp_output *output)
{
	struct qmp_packet *packet = output->head;

	output->head = packet->next;
	output->head_sent = 0;
	output->queued_bytes -= packet->size;
	free(packet);
}

void qmp_output_release(struct qmp_output *output)
{
	while (output->head)
		output_pop(output);
}

struct qmp_packet *qmp_packet_new(size_t size)
{
	struct qmp_packet *packet = malloc(sizeof(*packet) + size);

	if (packet)
		*packet = (struct qmp_packet){.fd = -1, .size = size};
	return packet;
}

void qmp_output_push(struct qmp_output *output, struct qmp_packet *packet)
{
	struct qmp_packet **link = &output->head;

	packet->corked = output->corks > 0;
	/* A batch keeps its order, and a message that has begun must end first. */
	if (packet->oob && !packet->corked) {
		if (output->head_sent)
			link = &(*link)->next;
		while (*link && (*link)->oob && !(*link)->corked)
			link = &(*link)->next;
	} else {
		while (*link)
			link = &(*link)->next;
	}
	packet->next = *link;
	*link = packet;
	output->queued_bytes += packet->size;
}

static struct qmp_packet **output_find(const struct qmp_output *output, int64_t id)
{
	struct qmp_packet **link = (struct qmp_packet **)&output->head;

	while (*link && (*link)->id != id)
		link = &(*link)->next;
	if (!*link || (*link == output->head && output->head_sent))
		return NULL;
	return link;
}

bool qmp_output_holds(const struct qmp_output *output, int64_t id)
{
	return output_find(output, id);
}

bool qmp_output_remove(struct qmp_output *output, int64_t id)
{
	struct qmp_packet **link = output_find(output, id);
	struct qmp_packet *packet;

	if (!link)
		return false;
	packet = *link;
	*link = packet->next;
	output->queued_bytes -= packet->size;
	free(packet);
	qmp_output_settle(output, id);
	return true;
}

void qmp_output_settle(struct qmp_output *output, int64_t id)
{
	if (output->fd_id == id)
		output->fd_id = 0;
}

void qmp_output_uncork(struct qmp_output *output)
{
	for (struct qmp_packet *packet = output->head; packet; packet = packet->next)
		packet->corked = false;
}

static bool packet_may_go(const struct qmp_output *output, const struct qmp_packet *packet)
{
	return !packet->corked && (packet->fd < 0 || !output->fd_id);
}

bool qmp_output_wanted(const struct qmp_output *output)
{
	return output->head && packet_may_go(output, output->head);
}

static void output_gather(const struct qmp_output *output, struct gather *gather)
{
	size_t skip = output->head_sent;

	gather->count = 0;
	gather->fd = -1;
	gather->fd_id = 0;
	for (struct qmp_packet *packet = output->head; packet; packet = packet->next) {
		if (!packet_may_go(output, packet) || gather->count == GATHER_MAX)
			break;
		if (packet->fd >= 0 && gather->fd >= 0)
			break;
		if (packet->fd >= 0) {
			gather->fd = packet->fd;
			gather->fd_id = packet->id;
		}
		gather->parts[gather->count].iov_base = packet->data + skip;
		gather->parts[gather->count++].iov_len = packet->size - skip;
		skip = 0;
	}
}

static ssize_t gather_send(struct gather *gather, int fd)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct msghdr header = {.msg_iov = gather->parts, .msg_iovlen = gather->count};
	ssize_t size;

	if (gather->fd >= 0) {
		struct cmsghdr *cmsg;

		header.msg_control = control.bytes;
		header.msg_controllen = sizeof(control.bytes);
		cmsg = CMSG_FIRSTHDR(&header);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(cmsg), &gather->fd, sizeof(int));
	}
	do {
		size = sendmsg(fd, &header, MSG_NOSIGNAL | MSG_DONTWAIT);
	} while (size < 0 && errno == EINTR);
	return size;
}

/* The peer took SIZE bytes, and with the first of them the descriptor, whose
 * packet may still be in the queue: it must not be sent twice. */
static void output_advance(struct qmp_output *output, const struct gather *gather, size_t size)
{
	if (gather->fd >= 0) {
		output->fd_id = gather->fd_id;
		for (struct qmp_packet *packet = output->head; packet; packet = packet->next) {
			if (packet->id == gather->fd_id)
				packet->fd = -1;
		}
	}
	while (size) {
		size_t left = output->head->size - output->head_sent;

		if (size < left) {
			output->head_sent += size;
			return;
		}
		size -= left;
		output_pop(output);
	}
}

int qmp_output_send(struct qmp_output *output, int fd)
{
	struct gather gather;
	ssize_t size;

	while (qmp_output_wanted(output)) {
		output_gather(output, &gather);
		size = gather_send(&gather, fd);
		if (size < 0)
			return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -errno;
		output_advance(output, &gather, (size_t)size);
	}
	return 0;
}
