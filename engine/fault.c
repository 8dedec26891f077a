/* SPDX-License-Identifier: Apache-2.0 */
#include "fault.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jsontext.h"

static const char *const fault_names[FAULT_KINDS] = {
	[FAULT_NONE] = "none",
	[FAULT_DISK_WRITE] = "disk-write-error",
	[FAULT_DISK_READ] = "disk-read-error",
	[FAULT_DISK_FULL] = "disk-full",
	[FAULT_REPLICA] = "replica-error",
	[FAULT_QEMU_EXIT] = "qemu-exit",
	[FAULT_DISK_HANG] = "disk-hang",
	[FAULT_DISK_CORRUPT] = "disk-corrupt",
	[FAULT_DISK_DEGRADING] = "disk-degrading",
	[FAULT_QEMU_HANG] = "qemu-hang",
	[FAULT_GUEST_PANIC] = "guest-panic",
	[FAULT_GUEST_WATCHDOG] = "guest-watchdog",
	[FAULT_GUEST_SILENT] = "guest-agent-silent",
	[FAULT_MEMORY] = "memory-failure",
	[FAULT_NIC] = "nic-down",
	[FAULT_HOST] = "host-down",
};

const char *fault_name(enum fault_kind kind)
{
	return (unsigned)kind < FAULT_KINDS ? fault_names[kind] : fault_names[FAULT_NONE];
}

enum fault_kind fault_by_name(const char *name)
{
	for (unsigned kind = FAULT_NONE + 1; kind < FAULT_KINDS; kind++) {
		if (!strcmp(fault_names[kind], name))
			return (enum fault_kind)kind;
	}
	return FAULT_NONE;
}

bool fault_of_guest(enum fault_kind kind)
{
	return kind >= FAULT_GUEST_PANIC && kind <= FAULT_GUEST_SILENT; /* fault.h's order */
}

static int disk_by_filter(const struct guest *guest, const char *node)
{
	static const char prefix[] = "qheal-cbw";
	long index;
	char *end;

	if (strncmp(node, prefix, sizeof(prefix) - 1))
		return -1;
	index = strtol(node + sizeof(prefix) - 1, &end, 10);
	return end != node + sizeof(prefix) - 1 && !*end && index >= 0 &&
			       index < (long)guest->disk_count ? (int)index : -1;
}

static int disk_of_event(const struct guest *guest, const json_t *data)
{
	const char *path = json_text(data, "qom-path");
	const char *node = json_text(data, "node-name");
	const char *device = json_text(data, "device");

	for (unsigned i = 0; i < guest->disk_count; i++) {
		const struct guest_disk *disk = &guest->disks[i];

		if (path[0] ? !strcmp(disk->qom, path)
			    : (!strcmp(disk->node, node) ||
			       (disk->cover[0] && !strcmp(disk->cover, node)) ||
			       (device[0] && !strcmp(disk->name, device))))
			return (int)i;
	}
	return disk_by_filter(guest, node);
}

struct fault fault_of_block_error(const struct guest *guest, const json_t *data, int64_t time_us)
{
	const char *operation = json_text(data, "operation");
	const char *action = json_text(data, "action");
	struct fault fault = {.kind = FAULT_NONE, .disk = disk_of_event(guest, data),
			      .time_us = time_us};

	if (fault.disk < 0 || !strcmp(action, "ignore"))
		return fault;
	fault.stops_guest = !strcmp(action, "stop");
	if (json_is_true(json_object_get(data, "nospace")))
		fault.kind = FAULT_DISK_FULL;
	else
		fault.kind = strcmp(operation, "read") ? FAULT_DISK_WRITE : FAULT_DISK_READ;
	snprintf(fault.detail, sizeof(fault.detail), "%s failed: %s (QEMU: action %s)", operation,
		 json_text(data, "reason"), action);
	return fault;
}
