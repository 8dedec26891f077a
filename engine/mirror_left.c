/* SPDX-License-Identifier: Apache-2.0
 *
 * mirror_left: jobs, nodes and images that an earlier sidecar left, or a job of ours that did
 * not end in time.
 */
#include "mirror_private.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "file.h"
#include "jsontext.h"
#include "sidecar.h"

/* CONCLUDED: only those that have to be dismissed. */
static unsigned end_jobs(struct sidecar *sidecar, bool concluded)
{
	unsigned count = 0;
	const json_t *job;
	json_t *list = NULL;
	size_t i;

	if (monitor_call(&sidecar->monitor, "query-jobs", NULL, &list, NULL))
		return 0;
	json_array_foreach(list, i, job) {
		if (strncmp(json_text(job, "id"), MIRROR_JOB, strlen(MIRROR_JOB)) ||
		    (concluded && strcmp(json_text(job, "status"), "concluded")))
			continue;
		mirror_end_job(sidecar, json_text(job, "id"));
		count++;
	}
	json_decref(list);
	return count;
}

static bool is_marked(const char *image)
{
	char mark[PATH_MAX + 16];

	mirror_mark_path(image, mark);
	return !access(mark, F_OK);
}

/* QEMU refuses to delete what a device has. */
void mirror_drop_left(struct sidecar *sidecar, enum mirror_left left)
{
	const json_t *node;
	json_t *list = NULL;
	size_t i;

	if (guest_query_nodes(&sidecar->monitor, &list, NULL))
		return;
	json_array_foreach(list, i, node) {
		const char *name = json_text(node, "node-name"), *file = json_text(node, "file");
		bool marked = is_marked(file);
		char mark[PATH_MAX + 16];

		if (!mirror_is_ours(sidecar, name) || (left == MIRROR_LEFT_PARTIAL && !marked) ||
		    monitor_call(&sidecar->monitor, "blockdev-del",
				 json_pack("{s:s}", "node-name", name), NULL, NULL) ||
		    (left == MIRROR_LEFT_NODES && !marked))
			continue;
		mirror_mark_path(file, mark);
		if (!file_remove(file))
			log_info("%s is not needed any more and is removed", file);
		file_remove(mark);
	}
	json_decref(list);
}

struct partial {
	struct sidecar *sidecar;
	const json_t *nodes; /* QEMU's */
};

static bool is_called(const char *path, const char *name)
{
	const char *slash = strrchr(path, '/');

	return !strcmp(slash ? slash + 1 : path, name);
}

/* By its file: a QEMU that was started on it has its own name for the node. */
static bool is_in_use(const struct partial *partial, const char *name)
{
	const json_t *node;
	size_t i;

	json_array_foreach(partial->nodes, i, node) {
		if (is_called(json_text(node, "file"), name))
			return true;
	}
	return false;
}

static bool is_disk(const struct sidecar *sidecar, const char *name)
{
	for (unsigned i = 0; i < sidecar->guest.disk_count; i++) {
		if (is_called(sidecar->guest.disks[i].file, name))
			return true;
	}
	return false;
}

/* Of a sidecar and a QEMU that ended together.  What the guest has for a disk is whole: somebody
 * else completed our job. */
static int drop_partial(void *arg, const char *name)
{
	const struct partial *partial = arg;
	const struct sidecar *sidecar = partial->sidecar;
	char path[PATH_MAX], image[PATH_MAX], file[PATH_MAX], own[12];
	size_t length = strlen(name), tail = strlen(MIRROR_MARK);

	snprintf(own, sizeof(own), "-%.8s-", store_info(sidecar->store)->uuid);
	if (length <= tail || strcmp(name + length - tail, MIRROR_MARK) || !strstr(name, own))
		return 0;
	snprintf(path, sizeof(path), "%s/%s", sidecar->config->spare, name);
	snprintf(file, sizeof(file), "%.*s", (int)(length - tail), name);
	snprintf(image, sizeof(image), "%s/%.*s", sidecar->config->spare, (int)(length - tail),
		 name);
	if (is_disk(sidecar, file))
		file_remove(path);
	if (is_in_use(partial, file))
		return 0;
	file_remove(image);
	file_remove(path);
	log_info("%s was copied in part by an earlier sidecar and is removed", image);
	return 0;
}

static void drop_partials(struct sidecar *sidecar)
{
	struct partial partial = {.sidecar = sidecar};
	json_t *list = NULL;

	if (guest_query_nodes(&sidecar->monitor, &list, NULL))
		return;
	partial.nodes = list;
	file_list(sidecar->config->spare, drop_partial, &partial);
	json_decref(list);
}

/* A job that did not end when it was told to holds up protection like anybody else's. */
void mirror_tidy(struct sidecar *sidecar)
{
	if (sidecar->reprotect.mirror.state == MIRROR_NONE && end_jobs(sidecar, true))
		mirror_drop_left(sidecar, MIRROR_LEFT_NODES);
}

int mirror_clean(struct sidecar *sidecar, struct errinfo *err)
{
	unsigned ended = end_jobs(sidecar, false);

	mirror_drop_left(sidecar, MIRROR_LEFT_PARTIAL);
	if (sidecar->config->spare)
		drop_partials(sidecar);
	if (sidecar->monitor.closed)
		return err_set(err, -ENOTCONN, "QEMU closed the connection");
	return ended > 0;
}
