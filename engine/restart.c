/* SPDX-License-Identifier: Apache-2.0
 *
 * restart: see restart.h.
 */
#include "restart.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "boot.h"
#include "definition.h"
#include "launch.h"
#include "relocate.h"
#include "sidecar.h"

#define LOG_MAX (1 << 20) /* a QEMU that complains all day; the guest's console may be there, too */

bool restart_parse(const char *text, enum restart_mode *mode, const char **hook)
{
	static const char prefix[] = "hook:";

	*hook = NULL;
	*mode = RESTART_NEVER;
	if (!strcmp(text, "recorded"))
		*mode = RESTART_RECORDED;
	if (!strncmp(text, prefix, sizeof(prefix) - 1) && text[sizeof(prefix) - 1] == '/') {
		*mode = RESTART_HOOK;
		*hook = text + sizeof(prefix) - 1;
	}
	return *mode != RESTART_NEVER || !strcmp(text, "never");
}

static const char *record(const struct sidecar *sidecar)
{
	struct definition definition;
	struct errinfo err = {0};
	const char *lacks = "it is not known how this QEMU was started";
	int rc;

	if (!sidecar->sense.pid)
		return "the process at the other end of the monitor is not known (TCP?)";
	rc = definition_read(&definition, sidecar->sense.pid, &err);
	/* One that ended before it could be asked was started by what the store has. */
	if (rc && sidecar->restarted)
		rc = definition_load(&definition, store_dir(sidecar->store), &err);
	if (rc) {
		log_warn("QEMU could not be restarted: %s", err.text);
		return lacks;
	}
	lacks = relocate_lacks(definition.argv, sidecar->config->qmp);
	if (!lacks && definition_save(&definition, store_dir(sidecar->store), &err)) {
		log_warn("QEMU could not be restarted: %s", err.text);
		lacks = "how this QEMU was started could not be written to the store";
	}
	if (!lacks && boot_check(sidecar, &definition, false, &err)) {
		log_warn("QEMU could not be restarted: %s", err.text);
		lacks = "its command line cannot be had again with the disks of the guest";
	}
	definition_release(&definition);
	return lacks;
}

void restart_record(struct sidecar *sidecar)
{
	if (sidecar->config->restart != RESTART_RECORDED && !sidecar->config->lease_s)
		return;
	sidecar->restart_why = record(sidecar);
	sidecar->restart_recorded = !sidecar->restart_why;
	if (sidecar->restart_why)
		log_warn("%s: %s; --restart hook:COMMAND may do",
			 sidecar->config->restart == RESTART_RECORDED
				 ? "--restart recorded has no effect"
				 : "a standby could not start this guest", sidecar->restart_why);
}

const char *restart_not_recorded(const struct sidecar *sidecar)
{
	if (sidecar->restart_recorded)
		return NULL;
	return sidecar->restart_why ? sidecar->restart_why
				    : "QEMU ended before it was known how it was started";
}

const char *restart_hook_lacks(const struct config *config)
{
	if (config->restart == RESTART_HOOK && launch_hook_check(config->restart_hook))
		return "the command of --restart cannot be run";
	return NULL;
}

/* Its newest data is there, and what is below would go on without it. */
static bool covered_over(const struct guest *guest)
{
	for (unsigned i = 0; i < guest->disk_count; i++) {
		if (guest->disks[i].covered_over)
			return true;
	}
	return false;
}

const char *restart_lacks(const struct sidecar *sidecar)
{
	if (sidecar->astray ||
	    (sidecar->swap_unknown && sidecar->resumes != sidecar->swap_resumes))
		return "it is not known for sure which image a disk of the guest was on";
	if (sidecar->sense.facts.run == RUN_INCOMING &&
	    sidecar->config->restart != RESTART_NEVER)
		return "its guest was on its way here, and runs on where it came from";
	if (covered_over(&sidecar->guest) && sidecar->config->restart == RESTART_RECORDED)
		return "somebody else put another image on top of a disk of the guest: start QEMU "
		       "with that";
	switch (sidecar->config->restart) {
	case RESTART_HOOK:
		return restart_hook_lacks(sidecar->config);
	case RESTART_RECORDED:
		return restart_not_recorded(sidecar);
	default:
		return "to start QEMU anew is not qheal's business here (--restart)";
	}
}

/* QEMU appends to it: what is cut off leaves no hole. */
void restart_trim_log(const struct sidecar *sidecar)
{
	struct stat stat_of;
	char path[PATH_MAX];

	if (!sidecar->store)
		return;
	snprintf(path, sizeof(path), "%s/" RESTART_LOG, store_dir(sidecar->store));
	if (!lstat(path, &stat_of) && S_ISREG(stat_of.st_mode) && stat_of.st_size > LOG_MAX &&
	    truncate(path, 0))
		log_warn("%s has %lld bytes and cannot be cut", path, (long long)stat_of.st_size);
}
