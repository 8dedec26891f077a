/* SPDX-License-Identifier: Apache-2.0 */
#include "unhang.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cut.h"
#include "jsontext.h"
#include "mind.h"
#include "respond.h"
#include "sidecar.h"
#include "situation.h"
#include "tell.h"

#define GIVING_UP_NS (60000 * NS_PER_MS) /* longer than a guest takes to leave it */
#define ANSWER_TIMEOUT_MS 1000 /* out of band: at once, or behind a full queue */

/* The nodes below the disk's root, its connection too, have the same name of a file. */
static void note_below(struct sidecar *sidecar, const json_t *nodes, unsigned index)
{
	const struct guest_disk *disk = &sidecar->guest.disks[index];
	struct sense_disk *sense = &sidecar->sense.disks.disks[index];
	const json_t *node;
	size_t i;

	sense->connection[0] = sense->below[0] = '\0';
	json_array_foreach(nodes, i, node) {
		const char *name = json_text(node, "node-name");

		if (strcmp(json_text(node, "file"), disk->file) || !disk->file[0])
			continue;
		if (strcmp(name, disk->node))
			snprintf(sense->below, sizeof(sense->below), "%s", name);
		if (strcmp(json_text(node, "drv"), "nbd"))
			continue;
		snprintf(sense->connection, sizeof(sense->connection), "%s", name);
		sidecar->sense.facts.disks[index].remote = true;
	}
}

void unhang_look(struct sidecar *sidecar)
{
	json_t *nodes = NULL;

	if (!qmp_has_oob(sidecar->monitor.qmp) ||
	    guest_query_nodes(&sidecar->monitor, &nodes, NULL))
		return;
	for (unsigned i = 0; i < sidecar->guest.disk_count; i++)
		note_below(sidecar, nodes, i);
	json_decref(nodes);
}

static const struct policy_verdict *judge(const struct sidecar *sidecar,
					  const struct detect_fault *fault)
{
	static struct policy_verdict verdict; /* one a process */
	const struct mind *mind = sidecar->config->mind;
	struct policy_facts facts;

	situation_gather(sidecar, fault, &facts);
	facts.qemu_answers = true; /* out of band it does */
	policy_decide(&facts, &mind->settings, &mind->model, ring_now_ns(), &verdict);
	return &verdict;
}

/* What else there is the flow decides: the fault is attended to once more. */
static void cannot(struct sidecar *sidecar, const char *why)
{
	struct sense *sense = &sidecar->sense;

	log_error("the connection of the disk that hangs cannot be given up: %s", why);
	sense->disks.unable = true;
	for (unsigned i = 0; i < sense->fault_count; i++) {
		const struct detect_fault *fault = &sense->faults[i].fault;

		if (fault->kind != FAULT_DISK_HANG ||
		    strcmp(sense->disks.disks[fault->index].connection, sense->disks.given_up))
			continue;
		tell_failed(sidecar, "pivot", why,
			    strategy_names[judge(sidecar, fault)->strategy], NULL);
		sense_again(sidecar, fault);
		return;
	}
}

/* Behind eight commands that wait QEMU does not even read one out of band.  With
 * the connection gone the first of them ends, and the yank is read. */
static void yanked(void *arg, const struct qmp_reply *reply)
{
	struct sidecar *sidecar = arg;
	const struct sense *sense = &sidecar->sense;
	struct errinfo err = {0};

	if (!reply->status || sidecar->monitor.closed || !sense->started)
		return;
	if (reply->status != -ETIMEDOUT)
		err_set(&err, reply->status, "%s", reply->error_text ? reply->error_text
								     : strerror(-reply->status));
	else
		cut_connection(sense->pidfd, sense->pid,
			       sense->disks.given_up_file, &err);
	if (err.code && !sense->disks.again)
		cannot(sidecar, err.text);
}

static int yank(struct sidecar *sidecar)
{
	return monitor_ask_oob(&sidecar->monitor, "yank",
			       json_pack("{s:[{s:s,s:s}]}", "instances", "type", "block-node",
					 "node-name", sidecar->sense.disks.given_up),
			       ANSWER_TIMEOUT_MS, yanked, sidecar);
}

/* A request that was under way makes QEMU connect anew, and hangs there again. */
void unhang_tick(struct sidecar *sidecar)
{
	struct sense_disks *disks = &sidecar->sense.disks;

	if (ring_now_ns() >= disks->giving_up_ns || sidecar->monitor.closed)
		return;
	disks->again = true;
	yank(sidecar);
}

bool unhang_attend(struct sidecar *sidecar, const struct detect_fault *fault)
{
	struct sense_disks *disks = &sidecar->sense.disks;
	const char *connection = disks->disks[fault->index].connection;
	const struct policy_verdict *verdict;

	if (!connection[0] || !sidecar->store)
		return false;
	disks->unable = false;
	verdict = judge(sidecar, fault);
	if (verdict->strategy != STRATEGY_PIVOT)
		return false;
	respond_announce(sidecar, verdict);
	snprintf(disks->given_up, sizeof(disks->given_up), "%s", connection);
	snprintf(disks->given_up_file, sizeof(disks->given_up_file), "%s",
		 sidecar->guest.disks[fault->index].file);
	disks->giving_up_ns = ring_now_ns() + GIVING_UP_NS;
	disks->again = false;
	return !yank(sidecar);
}
