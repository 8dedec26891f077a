/* SPDX-License-Identifier: Apache-2.0
 *
 * sense_agent: see sense_agent.h.
 */
#include "sense_agent.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "jsontext.h"
#include "sidecar.h"

#define ANSWER_TIMEOUT_MS 120000
#define QEMU_SILENT_NS (2000 * NS_PER_MS) /* two ticks of sense.c, which asks it */

static const char disconnected[] = "disconnected:";
static const char unix_prefix[] = "unix:";

static const char *without(const char *text, const char *prefix)
{
	size_t length = strlen(prefix);

	return strncmp(text, prefix, length) ? text : text + length;
}

/* The same name, or two names of one socket. */
static bool same_socket(const char *path, const char *other)
{
	struct stat one, two;

	return !strcmp(path, other) ||
	       (!stat(path, &one) && !stat(other, &two) && one.st_dev == two.st_dev &&
		one.st_ino == two.st_ino);
}

enum agent_port sense_agent_port(const json_t *reply, const char *path)
{
	const json_t *chardev;
	size_t i;

	json_array_foreach(reply, i, chardev) {
		const char *name = json_text(chardev, "filename");
		const char *rest = without(name, disconnected);
		char socket[256];

		/* "disconnected:unix:/run/agent.sock,server=on" */
		if (strncmp(rest, unix_prefix, sizeof(unix_prefix) - 1))
			continue;
		snprintf(socket, sizeof(socket), "%s", without(rest, unix_prefix));
		socket[strcspn(socket, ",")] = '\0';
		if (!same_socket(socket, without(path, unix_prefix)))
			continue;
		if (rest == name)
			return AGENT_PORT_TAKEN;
		return json_is_true(json_object_get(chardev, "frontend-open")) ? AGENT_PORT_FREE
									       : AGENT_PORT_SHUT;
	}
	return AGENT_PORT_UNKNOWN;
}

/* --- the connection --- */

static void hang_up(struct sense_agent *agent)
{
	agent->began_ns = 0;
	monitor_drop(&agent->agent);
}

static void call(struct sidecar *sidecar)
{
	struct sense_agent *agent = &sidecar->sense.agent;

	/* The end of the last connection is still under way in the ring. */
	if (!monitor_is_idle(&agent->agent) ||
	    monitor_begin_peer(&agent->agent, &sidecar->loop, sidecar->quiesce.address,
			       QMP_PEER_AGENT, BOUND_AGENT_SYNC_MS, NULL))
		return;
	agent->began_ns = ring_now_ns();
	if (!sidecar->sense.facts.agent_asked_ns)
		sidecar->sense.facts.agent_asked_ns = agent->began_ns;
}

void sense_agent_excuse(struct sidecar *sidecar)
{
	sidecar->sense.facts.agent_asked_ns = 0;
}

static void answer_or_wait(struct sidecar *sidecar)
{
	struct sense_agent *agent = &sidecar->sense.agent;

	int64_t now_ns = ring_now_ns();

	if (!agent->agent.ready && !agent->agent.closed)
		return;
	if (agent->agent.ready) {
		sidecar->sense.facts.agent_ns = now_ns;
		sidecar->sense.facts.agent_asked_ns = 0;
	} else if (now_ns - agent->began_ns < BOUND_AGENT_SYNC_MS * NS_PER_MS) {
		sense_agent_excuse(sidecar); /* the socket broke: that says nothing about the guest */
	}
	hang_up(agent);
}

/* --- whose turn it is --- */

static void port_came(void *arg, const struct qmp_reply *reply)
{
	struct sidecar *sidecar = arg;
	struct sense_agent *agent = &sidecar->sense.agent;

	agent->asking = false;
	if (reply->status || !sidecar->sense.started || !sidecar->quiesce.address)
		return;
	agent->port = sense_agent_port(reply->result, sidecar->quiesce.address);
	if (agent->port != AGENT_PORT_FREE || sidecar->quiesce.open)
		sense_agent_excuse(sidecar);
	else
		call(sidecar);
}

/* QEMU's main loop carries the questions to the guest. */
static bool qemu_is_silent(const struct sidecar *sidecar, int64_t now_ns)
{
	int64_t asked_ns = sidecar->sense.facts.asked_ns;

	return asked_ns && now_ns - asked_ns > QEMU_SILENT_NS;
}

void sense_agent_held(struct sidecar *sidecar)
{
	sidecar->sense.agent.held_at_work = true;
}

/* One that only thrashed may freeze later.  As long as the agent's silence has to be: what
 * is little used has pauses, too. */
static void look_whether_still(struct sidecar *sidecar, int64_t now_ns)
{
	static const struct detect_fault held[] = {{.kind = FAULT_GUEST_SILENT, .index = -1},
						   {.kind = FAULT_GUEST_WATCHDOG, .index = -1}};

	if (!sidecar->sense.agent.held_at_work ||
	    sense_disks_at_work(sidecar, now_ns - detect_limits_default.agent_ns))
		return;
	sidecar->sense.agent.held_at_work = false;
	sense_again(sidecar, &held[0]);
	sense_again(sidecar, &held[1]);
}

void sense_agent_tick(struct sidecar *sidecar)
{
	struct sense_agent *agent = &sidecar->sense.agent;
	int64_t now_ns = ring_now_ns();

	look_whether_still(sidecar, now_ns);
	if (!sidecar->quiesce.address)
		return;
	if (agent->began_ns)
		answer_or_wait(sidecar);
	if (sidecar->sense.facts.run != RUN_RUNNING || qemu_is_silent(sidecar, now_ns))
		sense_agent_excuse(sidecar);
	if (now_ns < agent->due_ns || agent->asking || agent->began_ns || sidecar->quiesce.open ||
	    sidecar->sense.facts.run != RUN_RUNNING)
		return;
	agent->due_ns = now_ns + SENSE_AGENT_MS * NS_PER_MS;
	agent->asking = !monitor_send(&sidecar->monitor, "query-chardev", ANSWER_TIMEOUT_MS,
				      port_came, sidecar);
}

void sense_agent_yield(struct sidecar *sidecar)
{
	if (sidecar->sense.agent.began_ns)
		hang_up(&sidecar->sense.agent);
	sense_agent_excuse(sidecar);
}

void sense_agent_stop(struct sidecar *sidecar)
{
	struct sense_agent *agent = &sidecar->sense.agent;

	if (agent->began_ns)
		hang_up(agent);
	while (!monitor_is_idle(&agent->agent) && ring_run(sidecar->loop.ring) >= 0)
		;
}
