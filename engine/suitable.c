/* SPDX-License-Identifier: Apache-2.0 */
#include "suitable.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "report.h"

#define QEMU_MAJOR_MIN 7
#define QEMU_MINOR_MIN 2

static int check_version(const struct qmp_version *version, struct errinfo *err)
{
	if (version->major > QEMU_MAJOR_MIN ||
	    (version->major == QEMU_MAJOR_MIN && version->minor >= QEMU_MINOR_MIN))
		return 0;
	return err_set(err, -ENOTSUP, "QEMU %d.%d.%d is too old: qheal needs %d.%d or newer",
		       version->major, version->minor, version->micro, QEMU_MAJOR_MIN,
		       QEMU_MINOR_MIN);
}

static int check_schema(struct monitor *monitor, struct errinfo *err)
{
	static const char *const needed[] = {
		"blockdev-add/copy-before-write/on-cbw-error",
		"blockdev-add/snapshot-access",
		"block-export-add/nbd/bitmaps",
		"x-debug-query-block-graph",
	};
	struct qmp_schema *schema;
	json_t *reply = NULL;
	int rc = monitor_call(monitor, "query-qmp-schema", NULL, &reply, err);

	if (rc)
		return rc;
	schema = qmp_schema_new(reply);
	json_decref(reply);
	if (!schema)
		return err_set(err, -EPROTO, "query-qmp-schema did not answer with a schema");
	for (unsigned i = 0; i < sizeof(needed) / sizeof(needed[0]) && !rc; i++) {
		if (!qmp_schema_has(schema, needed[i]))
			rc = err_set(err, -ENOTSUP, "this build of QEMU lacks %s", needed[i]);
	}
	qmp_schema_free(schema);
	return rc;
}

int suitable_qemu(struct monitor *monitor, struct errinfo *err)
{
	int rc = check_version(qmp_version(monitor->qmp), err);

	return rc ? rc : check_schema(monitor, err);
}

int suitable_iothreads(const struct guest *guest, const struct qmp_version *version,
		       struct errinfo *err)
{
	for (unsigned i = 0; i < guest->disk_count; i++) {
		const struct guest_disk *disk = &guest->disks[i];

		if (!disk->iothread[0])
			continue;
		if (version->major < 9)
			return err_set(err, -ENOTSUP, "disk %s uses iothread %s: QEMU %d.%d would "
				       "crash when its export is closed (fixed in 9.0); take "
				       "iothread= off the device", disk->name, disk->iothread,
				       version->major, version->minor);
		return err_set(err, -ENOTSUP, "disk %s uses iothread %s: QEMU (seen with 10.0) loses "
			       "a request now and then when a filter is put above such a disk; "
			       "take iothread= off the device", disk->name, disk->iothread);
	}
	return 0;
}

bool suitable_policy(const struct guest_disk *disk, char *advice, size_t size)
{
	if (!strcmp(disk->rerror, "stop") && !strcmp(disk->werror, "stop"))
		return true;
	if (!strcmp(disk->rerror, "auto") && !strcmp(disk->werror, "auto")) {
		snprintf(advice, size, "disk %s takes rerror and werror from its -drive option, "
			 "which QEMU does not tell: make sure that it says "
			 "rerror=stop,werror=stop, else the guest will see errors of this disk",
			 disk->name);
		return false;
	}
	snprintf(advice, size, "disk %s has rerror=%s,werror=%s: the guest will see errors of this "
		 "disk; set rerror=stop,werror=stop on its -device", disk->name, disk->rerror,
		 disk->werror);
	return false;
}

void suitable_warn(const struct guest *guest)
{
	char advice[256];

	for (unsigned i = 0; i < guest->disk_count; i++) {
		if (!suitable_policy(&guest->disks[i], advice, sizeof(advice)))
			log_warn("%s", advice);
	}
	if (guest->skipped)
		log_warn("%u disk(s) left out: %s", guest->skipped, guest->skipped_why);
}
