/* SPDX-License-Identifier: Apache-2.0
 *
 * output: the queue of messages to the peer, bounded by QMP_OUTPUT_MAX.
 *
 * All that may go is handed over in one sendmsg().  Descriptors: QEMU keeps those
 * of the newest message that carried any until a command takes the first of them,
 * and reads ahead when OOB is on.  So one is under way at a time: a message with
 * a descriptor waits until the command before it that had one is answered.
 */
#ifndef QMP_OUTPUT_H
#define QMP_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct qmp_packet {
	struct qmp_packet *next;
	int64_t id;
	int fd; /* -1: none; borrowed from the caller */
	bool oob;
	bool corked;
	size_t size;
	char data[];
};

struct qmp_output {
	struct qmp_packet *head;
	size_t head_sent;    /* bytes of the head that the peer has */
	size_t queued_bytes; /* of all packets */
	unsigned corks;
	int64_t fd_id; /* the command whose descriptor is under way, 0: none */
};

void qmp_output_release(struct qmp_output *output);

/* A packet with room for SIZE bytes; NULL: out of memory.  The caller fills it
 * and pushes or frees it. */
struct qmp_packet *qmp_packet_new(size_t size);

/* Queue PACKET, which now belongs to the queue: at the end, or, if it is out of
 * band, before all that are not. */
void qmp_output_push(struct qmp_output *output, struct qmp_packet *packet);

/* Take back the message of command ID.  False: (partly) sent, or unknown. */
bool qmp_output_remove(struct qmp_output *output, int64_t id);

/* Is the message of command ID queued, none of it sent? */
bool qmp_output_holds(const struct qmp_output *output, int64_t id);

/* Command ID was answered: the next descriptor may go. */
void qmp_output_settle(struct qmp_output *output, int64_t id);

void qmp_output_uncork(struct qmp_output *output);

/* Is there something that may go now? */
bool qmp_output_wanted(const struct qmp_output *output);

/* Send until the socket is full.  Returns 0 (also when it is full) or a negative
 * errno. */
int qmp_output_send(struct qmp_output *output, int fd);

#endif
