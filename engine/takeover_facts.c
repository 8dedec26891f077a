/* SPDX-License-Identifier: Apache-2.0
 *
 * takeover_facts: what a standby decides upon, from the store alone.
 */
#include "takeover_private.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "damage.h"
#include "definition.h"
#include "launch.h"
#include "promote.h"
#include "relocate.h"
#include "restart.h"

bool takeover_ours(const struct takeover *watch)
{
	/* Clones may have one machine id, but not one name, too. */
	return lease_same_host(&watch->lease, &watch->here) ||
	       (lease_same_machine(&watch->lease, &watch->here) &&
		!strcmp(watch->lease.host, watch->here.host));
}

/* Of a guest that nobody could ask. */
void takeover_name_guest(struct sidecar *sidecar, const struct store_spec *spec)
{
	struct guest *guest = &sidecar->guest;

	memset(guest, 0, sizeof(*guest));
	snprintf(guest->name, sizeof(guest->name), "%s", spec->vm);
	snprintf(guest->uuid, sizeof(guest->uuid), "%s", spec->vm_uuid);
	snprintf(sidecar->report.vm, sizeof(sidecar->report.vm), "%s", spec->vm);
	guest->disk_count = spec->disk_count;
	for (unsigned i = 0; i < spec->disk_count; i++) {
		snprintf(guest->disks[i].name, sizeof(guest->disks[i].name), "%s",
			 spec->disks[i].name);
		guest->disks[i].size = spec->disks[i].size;
	}
}

/* All that can be known before anybody is fenced for it. */
static const char *definition_lacks(const struct takeover *watch, struct definition *definition,
				    bool placed)
{
	const struct guest *guest = &watch->sidecar->guest;
	const char *lacks = launch_lacks(definition, !placed);
	struct errinfo err = {0};
	char image[PATH_MAX];

	if (lacks)
		return lacks;
	for (unsigned i = 0; i < guest->disk_count; i++) {
		struct relocate_disk disk = {.name = guest->disks[i].name, .node = "",
					     .file = image, .format = "qcow2", .moved = true};

		store_promoted_path(watch->config->store, disk.name, 1, image, sizeof(image));
		if (!relocate_argv(definition->argv, &disk, &err))
			continue;
		log_warn("%s", err.text);
		return "a disk of its command line cannot be put on another image";
	}
	return relocate_lacks(definition->argv, watch->config->qmp);
}

/* PLACED: its QEMU had the images in the store already. */
static const char *cannot_start(const struct takeover *watch, bool placed)
{
	struct definition definition;
	struct errinfo err = {0};
	const char *lacks;

	if (watch->config->restart == RESTART_HOOK)
		return restart_hook_lacks(watch->config);
	if (definition_load(&definition, watch->config->store, &err)) {
		log_warn("%s: %s", watch->config->store, err.text);
		return "how its QEMU was started is not in the store";
	}
	lacks = definition_lacks(watch, &definition, placed);
	definition_release(&definition);
	return lacks;
}

/* Of its disks some are in the store, and others were on that host. */
static bool scattered(const struct takeover *watch, const struct store_info *info)
{
	const uint64_t all = (UINT64_C(1) << info->spec.disk_count) - 1;

	for (unsigned i = 0; i < info->spec.disk_count; i++) {
		if (info->placed >> i & 1 &&
		    promote_has_left(watch->config->store, info->spec.disks[i].name))
			return true;
	}
	return info->placed && info->placed != all;
}

void takeover_gather(struct response *response)
{
	static struct damage damage; /* some 4 KiB */
	const struct config *config = response->sidecar->config;
	struct policy_facts *facts = &response->facts;
	struct errinfo err = {0};
	struct store_info info;
	int rc = store_inspect(config->store, &info, &err);
	bool apart = !rc && scattered(&takeover, &info);

	*facts = (struct policy_facts){
		.fault = response->fault,
		.able = STRATEGY_BIT(STRATEGY_FAILOVER) | STRATEGY_BIT(STRATEGY_HOLD),
		.standby = true,
		.standby_boots = true,
		.restart_why = apart ? "some of its disks were moved to images in the store, the "
				       "others are on that host: there is no one point in time of "
				       "all of them"
				     : cannot_start(&takeover, !rc && info.placed),
	};
	facts->restart_known = !facts->restart_why;
	takeover.unsure = rc != 0;
	if (rc) {
		log_warn("%s", err.text);
		return;
	}
	damage_read(&damage, config->store, &info.spec);
	/* As the scrub has it; overlays that a guest was on have been above the heads already. */
	facts->head_intact = info.promoted || damage_none(&damage, UINT64_MAX, false);
	facts->replica_ready = info.state == STORE_READY && info.generation && !info.incomplete;
	/* At least: it wrote on, and nobody could count that.  What an attempt of ours placed
	 * is no later. */
	if (!info.promoted)
		facts->all_dirty_bytes = takeover.lease.dirty_bytes ?: 1;
	else if (takeover_ours(&takeover))
		facts->all_dirty_bytes = takeover.lease.dirty_bytes;
}
