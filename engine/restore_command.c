/* SPDX-License-Identifier: Apache-2.0
 *
 * `qheal restore`: its options, and what it says at the end.  What it does:
 * restore_run.c.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "report.h"
#include "restore_run.h"
#include "target.h"

enum option_key {
	OPTION_DISK = COMMAND_KEY_OWN,
	OPTION_ALL,
	OPTION_POINT,
	OPTION_OUTPUT,
	OPTION_FORMAT,
	OPTION_IN_PLACE,
	OPTION_SALVAGE,
	OPTION_FORCE,
};

static void add_disk(struct argp_state *state, struct restore_order *order, const char *name)
{
	for (unsigned i = 0; i < order->disk_count; i++) {
		if (!strcmp(order->disks[i], name))
			argp_error(state, "--disk %s is given twice", name);
	}
	if (!name[0])
		argp_error(state, "--disk needs a name");
	if (order->disk_count == STORE_DISKS_MAX)
		argp_error(state, "a guest has at most %d disks", STORE_DISKS_MAX);
	order->disks[order->disk_count++] = name;
}

static void set_format(struct argp_state *state, struct restore_order *order, const char *text)
{
	if (strcmp(text, "raw") && strcmp(text, "qcow2"))
		argp_error(state, "--format is raw or qcow2, not \"%s\"", text);
	order->qcow2 = !strcmp(text, "qcow2");
}

static void check_order(struct argp_state *state, const struct restore_order *order)
{
	bool many = order->all || order->disk_count > 1;

	if (!order->store || !order->output)
		return; /* the command says what is missing */
	if (order->all && order->disk_count)
		argp_error(state, "--all and --disk exclude each other");
	if (order->in_place && order->qcow2)
		argp_error(state, "--in-place is for raw targets, not for qcow2");
	if (order->in_place && order->force)
		argp_error(state, "--in-place and --force exclude each other: write what differs, "
			   "or replace all");
	if (target_is_nbd(order->output) && order->qcow2)
		argp_error(state, "an NBD server gets the disk as it is: --format raw");
	if (target_is_nbd(order->output) && many)
		argp_error(state, "an NBD export holds one disk: restore them one by one");
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct restore_order *order = state->input;

	switch (key) {
	case COMMAND_KEY_STORE:
		order->store = command_path(state, arg, "--store");
		return 0;
	case COMMAND_KEY_JSON:
		order->json = true;
		return 0;
	case OPTION_DISK:
		add_disk(state, order, arg);
		return 0;
	case OPTION_ALL:
		order->all = true;
		return 0;
	case OPTION_POINT:
		order->point = command_text(state, arg, "--point");
		return 0;
	case OPTION_OUTPUT:
		if (!strncmp(arg, "nbd:", 4) && !target_is_nbd(arg))
			argp_error(state, "--output %s: an NBD URI is nbd://HOST:PORT/EXPORT or "
				   "nbd+unix:///EXPORT?socket=PATH", arg);
		order->output = target_is_nbd(arg) ? arg : command_path(state, arg, "--output");
		return 0;
	case OPTION_FORMAT:
		set_format(state, order, arg);
		return 0;
	case OPTION_IN_PLACE:
		order->in_place = true;
		return 0;
	case OPTION_SALVAGE:
		order->salvage = true;
		return 0;
	case OPTION_FORCE:
		order->force = true;
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state, "what is \"%s\"?", arg);
		return 0;
	case ARGP_KEY_END:
		check_order(state, order);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

int restore_command(int argc, char **argv)
{
	static const struct argp_option options[] = {
		COMMAND_OPTION_STORE,
		{"disk", OPTION_DISK, "NAME", 0,
		 "this disk; several: --output is a directory then", 0},
		{"all", OPTION_ALL, NULL, 0, "all disks, into the directory --output", 0},
		{"point", OPTION_POINT, "P", 0, "name or id of a point; latest if left out", 0},
		{"output", OPTION_OUTPUT, "PATH|URI", 0,
		 "a file, a block device or an NBD URI; a directory for several disks", 0},
		{"format", OPTION_FORMAT, "raw|qcow2", 0, "of the file; raw if left out", 0},
		{"in-place", OPTION_IN_PLACE, NULL, 0,
		 "read the output and write only the blocks that differ", 0},
		{"salvage", OPTION_SALVAGE, NULL, 0,
		 "leave out damaged blocks, as zeros, and list them", 0},
		{"force", OPTION_FORCE, NULL, 0, "replace an output that exists", 0},
		COMMAND_OPTION_JSON,
		{0},
	};
	static const struct argp argp = {options, parse_option, NULL,
					 "Write disks of a guest as they were at a point in time.",
					 NULL, NULL, NULL};
	struct restore_order order = {.point = "latest"};

	command_parse(&argp, argc, argv, &order);
	if (!command_needs(argv[0], order.store, "--store DIR, the directory of the replica") ||
	    !command_needs(argv[0], order.output, "--output PATH, where the disk goes"))
		return COMMAND_USAGE;
	return restore_run(&order);
}
