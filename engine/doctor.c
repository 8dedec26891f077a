/* SPDX-License-Identifier: Apache-2.0
 *
 * doctor: see doctor.h.  One function a row of the table of faults.
 */
#include "doctor.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "jsontext.h"
#include "suitable.h"

__attribute__((format(printf, 5, 6))) static void
add(json_t *lines, const char *resource, const char *fault, const char *state, const char *format,
    ...)
{
	char says[320];
	va_list args;

	va_start(args, format);
	vsnprintf(says, sizeof(says), format, args);
	va_end(args);
	json_array_append_new(lines, json_pack("{s:s,s:s,s:s,s:s}", "resource", resource, "fault",
					       fault, "state", state, "says", says));
}

static const char protected_[] = "protected", option[] = "option", unprotected[] = "unprotected";

static void disk_lines(json_t *lines, const struct guest_disk *disk)
{
	char advice[256];

	if (disk->iothread[0])
		add(lines, disk->name, "all", unprotected,
		    "it is served by iothread %s: leave iothread= out of its -device",
		    disk->iothread);
	if (suitable_policy(disk, advice, sizeof(advice)))
		add(lines, disk->name, "read and write errors, full", protected_,
		    "the guest pauses and goes on on the replica");
	else
		add(lines, disk->name, "read and write errors, full", unprotected, "%s", advice);
	add(lines, disk->name, "bad sectors, silent corruption", option,
	    "--scrub-rate MB/S finds them, --heal writes them anew");
	add(lines, disk->name, "getting slower, failing soon", option,
	    "it is told of; --spare DIR lets the guest move before");
	if (strstr(disk->qom, "virtio-backend"))
		add(lines, disk->name, "requests that hang", protected_,
		    "seen in its queues, and by reads of the image; what is done: qheal plan");
	else
		add(lines, disk->name, "requests that hang", unprotected,
		    "%s has no queues that QEMU tells of: only reads of a raw image show it; "
		    "virtio-blk has", disk->name);
}

static void panic_lines(json_t *lines, const struct doctor_facts *facts)
{
	const char *action = facts->argv_known ? facts->argv->panic_action : "";

	if (!facts->pvpanic)
		add(lines, "guest", "panic", unprotected,
		    "add -device pvpanic (or pvpanic-pci) and -action panic=pause: QEMU does not "
		    "hear of a panic");
	else if (!facts->argv_known)
		add(lines, "guest", "panic", option,
		    "its command line cannot be read: see that it has -action panic=pause");
	else if (strcmp(action, "pause") && strcmp(action, "none"))
		add(lines, "guest", "panic", unprotected,
		    "add -action panic=pause: now QEMU ends when the guest panics");
	else
		add(lines, "guest", "panic", protected_, "the guest is reset, in the end rolled back");
}

static void watchdog_lines(json_t *lines, const struct doctor_facts *facts)
{
	const char *action = facts->argv_known ? facts->argv->watchdog_action : "";

	if (!facts->watchdog)
		add(lines, "guest", "a hung kernel", unprotected,
		    "add -device i6300esb and -action watchdog=pause, and let the guest serve it");
	else if (!strcmp(action, "none") || !strcmp(action, "debug"))
		add(lines, "guest", "a hung kernel", unprotected,
		    "-action watchdog=%s: nobody acts; take pause", action);
	else if (!strcmp(action, "poweroff") || !strcmp(action, "shutdown"))
		add(lines, "guest", "a hung kernel", unprotected,
		    "-action watchdog=%s: %s; take pause", action,
		    action[0] == 'p' ? "QEMU ends, and that is taken as wanted"
				     : "the guest is asked to shut down, which a hung one does not");
	else if (!strcmp(action, "inject-nmi"))
		add(lines, "guest", "a hung kernel", protected_,
		    "its kernel gets an NMI and may write a dump for 10 minutes; if it does not "
		    "boot then and nothing of it is at work, it is reset");
	else
		add(lines, "guest", "a hung kernel", protected_, "%s",
		    strcmp(action, "pause") ? "QEMU itself resets it (-action watchdog=pause lets "
					      "qheal decide)"
					    : "the guest is reset, in the end rolled back");
}

static void agent_lines(json_t *lines, const struct doctor_facts *facts)
{
	if (!facts->agent)
		add(lines, "guest", "a silent agent", unprotected,
		    "add -device virtio-serial-pci, -chardev socket,id=agent,path=...,server=on,"
		    "wait=off, -device virtserialport,chardev=agent,name=org.qemu.guest_agent.0");
	else
		add(lines, "guest", "a silent agent", option,
		    "--agent SOCKET, the unix socket of its chardev");
}

static void host_lines(json_t *lines, const struct doctor_facts *facts)
{
	if (facts->argv_known)
		add(lines, "qemu", "killed, crashed, hung", option,
		    "seen at once; --restart starts it again");
	else
		add(lines, "qemu", "killed, crashed, hung", unprotected,
		    "its process cannot be looked at from here: run qheal on its host, as its user "
		    "or root");
	add(lines, "memory", "uncorrectable errors", option,
	    "--standby moves the guest while errors can still be corrected");
	add(lines, "host", "gone", option,
	    "--lease S and a store that another host reaches; there `qheal standby` boots the guest");
	add(lines, "store", "its disk fails or fills", protected_,
	    "the guest is not touched, protection stands still and is told of; with --spare a store "
	    "that stays unusable is left for another");
}

json_t *doctor_lines(const struct guest *guest, const struct doctor_facts *facts)
{
	json_t *lines = json_array();

	for (unsigned i = 0; i < guest->disk_count; i++)
		disk_lines(lines, &guest->disks[i]);
	panic_lines(lines, facts);
	watchdog_lines(lines, facts);
	agent_lines(lines, facts);
	host_lines(lines, facts);
	return lines;
}

/* --- devices --- */

static bool is_one_of(const char *type, const char *const *names)
{
	for (; *names; names++) {
		char child[64];

		snprintf(child, sizeof(child), "child<%s>", *names);
		if (!strcmp(type, child))
			return true;
	}
	return false;
}

void doctor_devices(const json_t *devices, struct doctor_facts *facts)
{
	static const char *const pvpanics[] = {"pvpanic", "pvpanic-pci", "pvpanic-mmio", NULL};
	static const char *const watchdogs[] = {"ib700", "i6300esb", "diag288", "sbsa_gwdt",
						"cmsdk-apb-watchdog", "TCO", NULL};
	const json_t *list, *item;
	size_t i, j;

	json_array_foreach(devices, i, list) {
		json_array_foreach(list, j, item) {
			const char *type = json_text(item, "type");

			facts->pvpanic |= is_one_of(type, pvpanics);
			facts->watchdog |= is_one_of(type, watchdogs);
		}
	}
}
