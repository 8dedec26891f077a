/* SPDX-License-Identifier: Apache-2.0
 *
 * sense_agent: whether the guest's agent answers.  A part of sense.h.
 *
 *   IDLE --due: query-chardev--> ASKED --the port is free--> OPEN --answer, end--> IDLE
 *
 * The agent's chardev serves one client, and it may be somebody else's turn: QEMU
 * tells that, and whether somebody in the guest has the port open.  Only an agent that
 * was free to answer and did not is silent; of all others nothing is known.  The
 * connection lasts until the agent's answer to the sync that opens it.
 */
#ifndef ENGINE_SENSE_AGENT_H
#define ENGINE_SENSE_AGENT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "monitor.h"

#define SENSE_AGENT_MS 10000

struct sidecar;

enum agent_port {
	AGENT_PORT_UNKNOWN, /* QEMU has no such chardev: a proxy, or TCP */
	AGENT_PORT_TAKEN,   /* by another client */
	AGENT_PORT_SHUT,    /* nobody in the guest has it open */
	AGENT_PORT_FREE,
};

struct sense_agent {
	struct monitor agent;
	int64_t due_ns, began_ns; /* began: of the connection, 0: none */
	bool asking;		  /* query-chardev is under way */
	enum agent_port port;	  /* at the last look */
	bool held_at_work;	  /* its silence was, as the guest is at work */
};

/* Once a second. */
void sense_agent_tick(struct sidecar *sidecar);
/* It had no chance to answer: it is not silent. */
void sense_agent_excuse(struct sidecar *sidecar);
/* Its silence, or that of a watchdog, was held because the guest is at work: judged again when
 * it is not. */
void sense_agent_held(struct sidecar *sidecar);
/* Somebody of ours needs the agent now. */
void sense_agent_yield(struct sidecar *sidecar);
void sense_agent_stop(struct sidecar *sidecar);

/* Pure: of query-chardev's answer; PATH of the socket, "unix:" before it or not. */
enum agent_port sense_agent_port(const json_t *reply, const char *path);

#endif
