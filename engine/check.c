/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "sidecar.h"
#include "suitable.h"

struct check {
	struct loop loop;
	struct monitor monitor;
	struct guest guest;
	struct errinfo refusal; /* why nothing can be protected */
};

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
	return json_pack("{s:s,s:s,s:s,s:b,s:s,s:o,s:i,s:s}", "vm", check->guest.name, "qemu",
			 version, "status", check->guest.status, "protectable",
			 check->refusal.code == 0, "refusal", check->refusal.text, "disks", disks,
			 "left_out", (int)check->guest.skipped, "left_out_why",
			 check->guest.skipped_why);
}

static void check_print(const struct check *check, const char *version)
{
	char advice[256];

	printf("%s: QEMU %s, %s\n", check->guest.name, version, check->guest.status);
	for (unsigned i = 0; i < check->guest.disk_count; i++) {
		const struct guest_disk *disk = &check->guest.disks[i];
		bool hidden = suitable_policy(disk, advice, sizeof(advice));

		printf("  disk %-10s node %-14s %8.1f MiB  %s\n", disk->name, disk->node,
		       (double)disk->size / (1 << 20),
		       hidden ? "ok: the guest will not see its errors" : "can be protected, but:");
		if (!hidden)
			printf("    %s\n", advice);
	}
	if (check->guest.skipped)
		printf("  left out: %s\n", check->guest.skipped_why);
	if (check->refusal.code)
		printf("  cannot be protected: %s\n", check->refusal.text);
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

static int check_run(const char *address, bool as_json)
{
	static struct check check;
	struct errinfo err = {0};
	char version[48] = "";
	int rc = check_look(&check, address, &err);
	bool well = false;

	if (!rc) {
		const struct qmp_version *v = qmp_version(check.monitor.qmp);

		snprintf(version, sizeof(version), "%d.%d.%d", v->major, v->minor, v->micro);
		if (as_json) {
			json_t *object = check_json(&check, version);

			json_dumpf(object, stdout, REPORT_JSON);
			putchar('\n');
			json_decref(object);
		} else {
			check_print(&check, version);
		}
		well = check_all_well(&check);
	} else {
		log_error("%s", err.text);
	}
	monitor_close(&check.monitor);
	loop_release(&check.loop);
	return rc || !well;
}

/* --- the command --- */

struct arguments {
	const char *qmp;
	bool json;
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct arguments *arguments = state->input;

	switch (key) {
	case COMMAND_KEY_QMP:
		arguments->qmp = arg;
		return 0;
	case COMMAND_KEY_JSON:
		arguments->json = true;
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
	static const struct argp_option options[] = {COMMAND_OPTION_QMP, COMMAND_OPTION_JSON, {0}};
	static const struct argp argp = {
		options, parse_option, NULL,
		"What of a running QEMU can be protected, and what to change if not.", NULL, NULL, NULL};
	struct arguments arguments = {0};

	command_parse(&argp, argc, argv, &arguments);
	if (!command_needs(argv[0], arguments.qmp, "--qmp SOCKET, QEMU's monitor"))
		return COMMAND_USAGE;
	return check_run(arguments.qmp, arguments.json);
}
