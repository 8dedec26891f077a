/* SPDX-License-Identifier: Apache-2.0
 *
 * `qheal check`: a look at one QEMU, or at all of the host, that changes nothing.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "command.h"
#include "doctor.h"
#include "jsontext.h"
#include "qemu_argv.h"
#include "sidecar.h"
#include "suitable.h"
#include "text.h"

struct check {
	struct loop loop;
	struct monitor monitor;
	struct guest guest;
	struct errinfo refusal; /* why nothing can be protected */
	struct doctor_facts facts;
	struct qemu_argv argv;
};

/* --- the machine --- */

static bool is_agent_port(struct check *check, const char *folder, const char *name)
{
	json_t *value = NULL;
	char path[256];
	bool is;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	if (monitor_call(&check->monitor, "qom-get",
			 json_pack("{s:s,s:s}", "path", path, "property", "name"), &value, NULL))
		return false;
	is = json_is_string(value) && !strcmp(json_string_value(value), "org.qemu.guest_agent.0");
	json_decref(value);
	return is;
}

static void look_at_folder(struct check *check, const char *folder)
{
	json_t *list = NULL, *lists;
	const json_t *item;
	size_t i;

	if (monitor_call(&check->monitor, "qom-list", json_pack("{s:s}", "path", folder), &list,
			 NULL))
		return;
	lists = json_pack("[O]", list);
	doctor_devices(lists, &check->facts);
	json_decref(lists);
	json_array_foreach(list, i, item) {
		if (!strcmp(json_text(item, "type"), "child<virtserialport>"))
			check->facts.agent |= is_agent_port(check, folder, json_text(item, "name"));
	}
	json_decref(list);
}

static void look_at_machine(struct check *check)
{
	struct ucred peer;
	socklen_t length = sizeof(peer);

	look_at_folder(check, "/machine/peripheral");
	look_at_folder(check, "/machine/peripheral-anon");
	if (!getsockopt(qmp_fd(check->monitor.qmp), SOL_SOCKET, SO_PEERCRED, &peer, &length) &&
	    peer.pid > 0)
		check->facts.argv_known = qemu_argv_read(&check->argv, peer.pid);
	check->facts.argv = &check->argv;
}

static int check_look(struct check *check, const char *address, struct errinfo *err)
{
	int rc = loop_init(&check->loop, err);

	if (!rc)
		rc = monitor_open(&check->monitor, &check->loop, address, err);
	if (!rc && suitable_qemu(&check->monitor, &check->refusal) &&
	    check->refusal.code != -ENOTSUP)
		rc = err_set(err, check->refusal.code, "%s", check->refusal.text);
	if (!rc)
		rc = guest_query(&check->guest, &check->monitor, err);
	if (!rc)
		guest_select(&check->guest, NULL, 0, &check->refusal);
	if (!rc)
		suitable_iothreads(&check->guest, qmp_version(check->monitor.qmp),
				   &check->refusal);
	if (!rc)
		look_at_machine(check);
	if (!rc && !check->guest.disk_count)
		err_set(&check->refusal, -ENODEV, "the guest has no writable disk to protect");
	return rc;
}

static json_t *check_json(const struct check *check, const char *version)
{
	json_t *disks = sidecar_disks_json(&check->guest), *disk;
	char advice[256];
	size_t i;

	json_array_foreach(disks, i, disk) {
		bool hidden = suitable_policy(&check->guest.disks[i], advice, sizeof(advice));

		json_object_set_new(disk, "errors_hidden", json_boolean(hidden));
		if (!hidden)
			json_object_set_new(disk, "advice", json_string(advice));
	}
	return json_pack("{s:s,s:s,s:s,s:b,s:s,s:o,s:i,s:s,s:o}", "vm", check->guest.name, "qemu",
			 version, "status", check->guest.status, "protectable",
			 check->refusal.code == 0, "refusal", check->refusal.text, "disks", disks,
			 "left_out", (int)check->guest.skipped, "left_out_why",
			 check->guest.skipped_why, "advice",
			 doctor_lines(&check->guest, &check->facts));
}

static void print_advice(const struct check *check)
{
	json_t *lines = doctor_lines(&check->guest, &check->facts), *line;
	size_t i;

	json_array_foreach(lines, i, line)
		text_print(stdout, "  %-11s %s, %s: %s\n", json_text(line, "state"), json_text(line, "resource"),
		       json_text(line, "fault"), json_text(line, "says"));
	json_decref(lines);
}

static void check_print(const struct check *check, const char *version)
{
	char advice[256];

	text_print(stdout, "%s: QEMU %s, %s\n", check->guest.name, version, check->guest.status);
	for (unsigned i = 0; i < check->guest.disk_count; i++) {
		const struct guest_disk *disk = &check->guest.disks[i];
		bool hidden = suitable_policy(disk, advice, sizeof(advice));

		text_print(stdout, "  disk %-10s node %-14s %8.1f MiB  %s\n", disk->name, disk->node,
		       (double)disk->size / (1 << 20),
		       hidden ? "ok: the guest will not see its errors" : "can be protected, but:");
		if (!hidden)
			text_print(stdout, "    %s\n", advice);
	}
	print_advice(check);
	if (check->guest.skipped)
		text_print(stdout, "  left out: %s\n", check->guest.skipped_why);
	if (check->refusal.code)
		text_print(stdout, "  cannot be protected: %s\n", check->refusal.text);
}

static bool check_all_well(const struct check *check)
{
	char advice[256];

	for (unsigned i = 0; i < check->guest.disk_count; i++) {
		if (!suitable_policy(&check->guest.disks[i], advice, sizeof(advice)))
			return false;
	}
	return !check->refusal.code && !check->guest.skipped;
}

/* Of the QEMU at ADDRESS.  NULL: it cannot be looked at, ERR. */
static json_t *look(struct check *check, const char *address, bool print, bool *well,
		    struct errinfo *err)
{
	json_t *object = NULL;
	char version[48] = "";

	memset(check, 0, sizeof(*check));
	if (!check_look(check, address, err)) {
		const struct qmp_version *v = qmp_version(check->monitor.qmp);

		snprintf(version, sizeof(version), "%d.%d.%d", v->major, v->minor, v->micro);
		object = check_json(check, version);
		*well = check_all_well(check);
		if (print)
			check_print(check, version);
	}
	monitor_close(&check->monitor);
	loop_release(&check->loop);
	return object;
}

static int check_run(const char *address, bool as_json)
{
	static struct check check;
	struct errinfo err = {0};
	bool well = false;
	json_t *object = look(&check, address, !as_json, &well, &err);

	if (!object)
		log_error("%s", err.text);
	if (object && as_json) {
		json_dumpf(object, stdout, REPORT_JSON);
		putchar('\n');
	}
	json_decref(object);
	return !object || !well;
}

/* --- all of the host --- */

/* Relative to where QEMU was started. */
static void absolute(int pid, const char *path, char *out, size_t size)
{
	if (path[0] == '/')
		snprintf(out, size, "%s", path);
	else
		snprintf(out, size, "/proc/%d/cwd/%s", pid, path);
}

static json_t *nothing_free(int pid, const struct qemu_argv *qemu, const struct errinfo *err)
{
	const char *name = qemu->name[0] && strlen(qemu->name) <= 32 ? qemu->name : "NAME";
	char says[ERRINFO_TEXT_MAX];

	if (!qemu->monitors)
		snprintf(says, sizeof(says), "it has no QMP monitor: add -qmp "
			 "unix:/run/qheal/%s.sock,server=on,wait=off", name);
	else
		snprintf(says, sizeof(says), "none of its %u monitors is free (%.200s): add another, "
			 "-qmp unix:/run/qheal/%s.sock,server=on,wait=off", qemu->monitors,
			 err->code ? err->text : "they are no unix sockets with a path", name);
	return json_pack("{s:s,s:i,s:b,s:s}", "vm", qemu->name, "pid", pid, "protectable", 0,
			 "refusal", says);
}

static json_t *look_at_process(int pid, const struct qemu_argv *qemu, bool print, bool *well)
{
	static struct check check;
	struct errinfo err = {0};
	json_t *object = NULL;
	char path[PATH_MAX + 32];

	*well = false;
	for (unsigned i = 0; i < qemu->paths && !object; i++) {
		err_clear(&err);
		absolute(pid, qemu->path[i], path, sizeof(path));
		if (print)
			text_print(stdout, "pid %d, %s\n", pid, path);
		object = look(&check, path, print, well, &err);
		if (object) {
			json_object_set_new(object, "pid", json_integer(pid));
			json_object_set_new(object, "qmp", json_string(path));
		} else if (print) {
			text_print(stdout, "  not free: %s\n", err.text);
		}
	}
	if (object)
		return object;
	object = nothing_free(pid, qemu, &err);
	if (print)
		text_print(stdout, "pid %d, %s: %s\n", pid, qemu->name, json_text(object, "refusal"));
	return object;
}

static int check_all(bool as_json)
{
	static struct qemu_argv qemu; /* large */
	json_t *guests = json_array();
	DIR *proc = opendir("/proc");
	const struct dirent *entry;
	bool all_well = true, well;

	while (proc && (entry = readdir(proc))) {
		int pid = atoi(entry->d_name);

		if (!isdigit((unsigned char)entry->d_name[0]) || !qemu_argv_read(&qemu, pid))
			continue;
		json_array_append_new(guests, look_at_process(pid, &qemu, !as_json, &well));
		all_well = all_well && well;
	}
	if (proc)
		closedir(proc);
	if (!json_array_size(guests) && !as_json)
		text_print(stdout, "no QEMU process is to be seen\n");
	if (as_json) {
		json_t *object = json_pack("{s:O}", "guests", guests);

		json_dumpf(object, stdout, REPORT_JSON);
		putchar('\n');
		json_decref(object);
	}
	json_decref(guests);
	return !all_well;
}

/* --- the command --- */

#define OPTION_ALL COMMAND_KEY_OWN

struct arguments {
	const char *qmp;
	bool json, all;
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct arguments *arguments = state->input;

	switch (key) {
	case COMMAND_KEY_QMP:
		if (!arg[0])
			argp_error(state, "--qmp needs a socket");
		arguments->qmp = arg;
		return 0;
	case COMMAND_KEY_JSON:
		arguments->json = true;
		return 0;
	case OPTION_ALL:
		arguments->all = true;
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state, "what is \"%s\"?", arg);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

int check_command(int argc, char **argv)
{
	static const struct argp_option options[] = {
		COMMAND_OPTION_QMP,
		{"all", OPTION_ALL, NULL, 0, "every QEMU process of this host that can be seen", 0},
		COMMAND_OPTION_JSON,
		{0},
	};
	static const struct argp argp = {
		options, parse_option, NULL,
		"What of a running QEMU is protected against which fault, and what to change for the "
		"rest.", NULL, NULL, NULL};
	struct arguments arguments = {0};

	command_parse(&argp, argc, argv, &arguments);
	if (arguments.all && !arguments.qmp)
		return check_all(arguments.json);
	if (!command_needs(argv[0], arguments.qmp, "--qmp SOCKET, QEMU's monitor"))
		return COMMAND_USAGE;
	if (arguments.all) {
		log_error("check: either --qmp SOCKET or --all");
		return COMMAND_USAGE;
	}
	return check_run(arguments.qmp, arguments.json);
}
