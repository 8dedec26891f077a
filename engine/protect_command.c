/* SPDX-License-Identifier: Apache-2.0
 *
 * `qheal protect` and `qheal standby`: their options.  What they do: protect.c and
 * takeover.c.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bounds.h"
#include "command.h"
#include "config.h"
#include "config_file.h"
#include "launch.h"
#include "lease.h"
#include "mind.h"
#include "report.h"
#include "restart.h"
#include "sidecar.h"

#define CONFIG_DIR "/etc/qheal"
#define CONFIG_DIR_ENV "QHEAL_CONFIG_DIR"
#define OPTIMAL_RATE 25000000 /* a quarter of what a hard disk gives: its guest keeps nine tenths */

enum option_key {
	OPTION_DISK = COMMAND_KEY_OWN,
	OPTION_INTERVAL,
	OPTION_OBJECTIVE,
	OPTION_ON_LOSS,
	OPTION_EVENTS,
	OPTION_ONCE,
	OPTION_DROP_DISKS,
	OPTION_SCRATCH,
	OPTION_BLOCK,
	OPTION_CONFIG,
	OPTION_KEEP,
	OPTION_POINT_EVERY,
	OPTION_RESERVE,
	OPTION_SCRUB_RATE,
	OPTION_HEAL,
	OPTION_AGENT,
	OPTION_RESTART,
	OPTION_STANDBY,
	OPTION_LEASE,
	OPTION_FENCE,
	OPTION_SPARE,
};

static void set_block(struct argp_state *state, struct config *config, const char *text)
{
	long long kib = command_number(state, text, 4, 1024, "--block-size (KiB)");

	if (kib & (kib - 1))
		argp_error(state, "--block-size is a power of two from 4 to 1024 KiB, not %lld",
			   kib);
	config->block_bytes = (uint32_t)kib << 10;
}

static void set_keep(struct argp_state *state, struct config *config, const char *text)
{
	struct errinfo err = {0};

	if (retention_parse(&config->keep, text, &err))
		argp_error(state, "--keep: %s", err.text);
}

static void add_disk(struct argp_state *state, struct config *config, const char *name)
{
	for (unsigned i = 0; i < config->disk_count; i++) {
		if (!strcmp(config->disks[i], name))
			argp_error(state, "--disk %s is given twice", name);
	}
	if (!name[0])
		argp_error(state, "--disk needs a name");
	if (config->disk_count == BOUND_DISKS)
		argp_error(state, "at most %d disks can be protected", BOUND_DISKS);
	config->disks[config->disk_count++] = name;
}

static void set_objective(struct argp_state *state, struct config *config, const char *text)
{
	if (strcmp(text, "fast") && strcmp(text, "optimal"))
		argp_error(state, "--objective is fast or optimal, not \"%s\"", text);
	config->mind->settings.objective =
		strcmp(text, "optimal") ? OBJECTIVE_FAST : OBJECTIVE_OPTIMAL;
}

static void set_on_loss(struct argp_state *state, struct config *config, const char *text)
{
	if (!strcmp(text, "hold"))
		config->on_loss = ON_LOSS_HOLD;
	else if (!strcmp(text, "rollback"))
		config->on_loss = ON_LOSS_ROLLBACK;
	else
		argp_error(state, "--on-loss is hold or rollback, not \"%s\"", text);
}

static void set_restart(struct argp_state *state, struct config *config, const char *text)
{
	if (!restart_parse(text, &config->restart, &config->restart_hook))
		argp_error(state, "--restart is recorded, never, or hook: and a command with an "
			   "absolute path, not \"%s\"", text);
	if (restart_hook_lacks(config))
		argp_error(state, "--restart %s: it cannot be run", text);
}

/* Another QEMU, here or elsewhere. */
static error_t parse_other(int key, char *arg, struct argp_state *state)
{
	struct config *config = state->input;

	switch (key) {
	case OPTION_RESTART:
		set_restart(state, config, arg);
		return 0;
	case OPTION_STANDBY:
		if (!standby_parse(arg, &config->standby))
			argp_error(state, "--standby is qmp=SOCKET or qmp=SOCKET,uri=URI, not \"%s\"",
				   arg);
		return 0;
	case OPTION_LEASE:
		config->lease_s = (unsigned)command_number(state, arg, LEASE_MIN_S, LEASE_MAX_S,
							   "--lease (s)");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* What looks after the store: points and scrub. */
static error_t parse_upkeep(int key, char *arg, struct argp_state *state)
{
	struct config *config = state->input;

	switch (key) {
	case OPTION_KEEP:
		set_keep(state, config, arg);
		return 0;
	case OPTION_POINT_EVERY:
		config->point_every_s = command_number(state, arg, 1, 86400, "--point-every (s)");
		return 0;
	case OPTION_RESERVE:
		config->reserve_percent = (unsigned)command_number(state, arg, 0, 90,
								   "--reserve (%)");
		return 0;
	case OPTION_SCRUB_RATE:
		config->scrub_rate = (uint64_t)command_number(state, arg, 1, 100000,
							      "--scrub-rate (MB/s)") * 1000000;
		return 0;
	case OPTION_HEAL:
		config->heal = true;
		return 0;
	default:
		return parse_other(key, arg, state);
	}
}

static void check_heal(struct argp_state *state, const struct config *config)
{
	if (!config->heal)
		return;
	if (!config->scrub_rate)
		argp_error(state, "--heal needs --scrub-rate MB/S: the scrub finds what is to be "
			   "healed");
	if (config->store && strpbrk(config->store, " \t\n\"'\\"))
		log_warn("--heal: blocks of a disk cannot be healed from a store whose path has "
			 "blanks, quotes or backslashes (%s): QEMU takes it as a word",
			 config->store);
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct config *config = state->input;

	switch (key) {
	case COMMAND_KEY_QMP:
		if (!arg[0])
			argp_error(state, "--qmp needs a socket");
		config->qmp = arg;
		return 0;
	case COMMAND_KEY_STORE:
		config->store = command_path(state, arg, "--store");
		return 0;
	case OPTION_DISK:
		add_disk(state, config, arg);
		return 0;
	case OPTION_INTERVAL:
		config->interval_ms = command_number(state, arg, BOUND_INTERVAL_MIN_MS,
						BOUND_INTERVAL_MAX_MS, "--interval (ms)");
		return 0;
	case OPTION_OBJECTIVE:
		set_objective(state, config, arg);
		return 0;
	case OPTION_ON_LOSS:
		set_on_loss(state, config, arg);
		return 0;
	case OPTION_EVENTS:
		config->events = strcmp(arg, "-") ? command_path(state, arg, "--events") : arg;
		return 0;
	case OPTION_ONCE:
		config->once = true;
		return 0;
	case OPTION_DROP_DISKS:
		config->drop_disks = true;
		return 0;
	case OPTION_SCRATCH:
		config->scratch_bytes = (uint64_t)command_number(state, arg, BOUND_SCRATCH_MIN_MIB,
							    BOUND_SCRATCH_MAX_MIB,
							    "--scratch (MiB)") << 20;
		return 0;
	case OPTION_BLOCK:
		set_block(state, config, arg);
		return 0;
	case OPTION_CONFIG:
		config->config = command_path(state, arg, "--config");
		return 0;
	case OPTION_SPARE:
		config->spare = command_path(state, arg, "--spare");
		return 0;
	case OPTION_AGENT:
		if (!arg[0] || !strncmp(arg, "tcp:", 4))
			argp_error(state, "--agent is a unix socket, not \"%s\"", arg);
		config->agent = arg;
		return 0;
	case ARGP_KEY_END:
		check_heal(state, config);
		if (config->point_every_s && !config->keep.set)
			argp_error(state, "--point-every needs --keep: it takes the points");
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state, "what is \"%s\"?", arg);
		return 0;
	default:
		return parse_upkeep(key, arg, state);
	}
}

static const struct argp_option options[] = {
	COMMAND_OPTION_QMP,
	COMMAND_OPTION_STORE,
	{"disk", OPTION_DISK, "NAME", 0, "protect this disk; repeat for several (default: all)", 0},
	{"interval", OPTION_INTERVAL, "MS", 0, "from one generation to the next (default 1000)", 0},
	{"objective", OPTION_OBJECTIVE, "fast|optimal", 0,
	 "what a recovery is to minimise: downtime (default), or its cost to everything", 0},
	{"config", OPTION_CONFIG, "FILE", 0,
	 "options, weights, limits and allowed strategies; the command line has precedence", 0},
	{"on-loss", OPTION_ON_LOSS, "hold|rollback", 0,
	 "when the newest writes cannot be saved: leave the guest paused (default), or go back to "
	 "the last generation and reset it", 0},
	{"agent", OPTION_AGENT, "SOCKET", 0,
	 "of the guest agent: points --quiesce freezes the guest's file systems by it, and it is "
	 "asked whether it lives", 0},
	{"restart", OPTION_RESTART, "recorded|hook:COMMAND|never", 0,
	 "start QEMU again when it crashed or hangs: as it was started, or by a command (default: never)",
	 0},
	{"standby", OPTION_STANDBY, "qmp=SOCKET[,uri=URI]", 0,
	 "a QEMU with -incoming: the guest moves there when memory begins to fail", 0},
	{"lease", OPTION_LEASE, "S", 0,
	 "say in the store that this host lives: `qheal standby` takes it for gone when it has not "
	 "for so long (default: off)", 0},
	{"spare", OPTION_SPARE, "DIR", 0,
	 "where a guest is moved to after a pivot, while it runs, to be protected again", 0},
	{"events", OPTION_EVENTS, "FILE|-", 0, "append events, one JSON object a line", 0},
	{"once", OPTION_ONCE, NULL, 0, "make one consistent generation and leave", 0},
	{"drop-disks", OPTION_DROP_DISKS, NULL, 0,
	 "drop the replicas of disks that the guest has and that are not asked for any more", 0},
	{"scratch", OPTION_SCRATCH, "MIB", 0,
	 "memory a frozen point may cost at most (default 1024)", 0},
	{"keep", OPTION_KEEP, "last=N,hourly=N,...", 0,
	 "take points by itself and keep these: last, hourly, daily, weekly, monthly, yearly", 0},
	{"point-every", OPTION_POINT_EVERY, "S", 0,
	 "from one such point to the next (default 60 s)", 0},
	{"reserve", OPTION_RESERVE, "PERCENT", 0,
	 "below this much free space the oldest points go (default 5)", 0},
	{"scrub-rate", OPTION_SCRUB_RATE, "MB/S", 0,
	 "read replica and disks in the background, each at this rate, and compare them with the "
	 "checksums (default: off)", 0},
	{"heal", OPTION_HEAL, NULL, 0,
	 "write a bad block that the scrub finds anew, from the good side", 0},
	{"block-size", OPTION_BLOCK, "KIB", 0, "of a new store, 4 to 1024 (default 64)", 0},
	{0},
};

/* What the file PATH says, and over it the command line once more. */
static int take_file(struct config *config, const char *path, struct errinfo *err)
{
	static struct config_file_errors errors;
	static struct config_file file;
	int rc = config_file_load(&file, path, &errors, err);

	if (rc) {
		config_file_tell(path, &errors);
		return rc;
	}
	config->optimal_cpu_percent = file.cpu_percent;
	if (file.rate_mib_s > 0)
		config->optimal_rate = (uint64_t)(file.rate_mib_s * (1 << 20));
	config->mind->settings = file.policy;
	config->on_loss = file.policy.on_loss;
	if (file.interval_ms)
		config->interval_ms = file.interval_ms;
	if (file.restart[0])
		restart_parse(file.restart, &config->restart, &config->restart_hook);
	if (file.scratch_bytes)
		config->scratch_bytes = file.scratch_bytes;
	if (config->disk_count)
		config->disk_count = 0; /* they come again */
	else
		for (unsigned i = 0; i < file.disk_count; i++)
			config->disks[config->disk_count++] = file.disks[i];
	return 0;
}

static const struct argp argp = {
	options, parse_option, NULL,
	"Keep a hot replica of a running guest's disks and repair the guest from it when a disk "
	"fails.", NULL, NULL, NULL};

/* --- qheal standby: the same, and --fence --- */

static error_t parse_standby(int key, char *arg, struct argp_state *state)
{
	struct config *config = state->input;
	int rc;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = config;
		return 0;
	case OPTION_FENCE:
		if (arg[0] != '/')
			argp_error(state, "--fence is a command with an absolute path, not \"%s\"",
				   arg);
		rc = launch_hook_check(arg);
		if (rc)
			argp_error(state, "--fence %s: it cannot be run: %s", arg, strerror(-rc));
		config->fence = arg;
		return 0;
	case ARGP_KEY_END:
		if (config->once)
			argp_error(state, "--once is for `qheal protect`");
		if (config->qmp && !strncmp(config->qmp, "tcp:", 4))
			argp_error(state, "--qmp of a standby is the path of the socket that the "
				   "guest's QEMU opens on this host, not \"%s\"", config->qmp);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_option standby_options[] = {
	{"fence", OPTION_FENCE, "COMMAND", 0,
	 "ends the host that is gone, or cuts it off from the store; its exit status 0 says that it "
	 "did", 0},
	{0},
};
static const struct argp_child standby_children[] = {
	{&argp, 0, "What protects the guest when it runs here, as of `qheal protect`:", 0},
	{0},
};
static const struct argp standby_argp = {
	standby_options, parse_standby, NULL,
	"Wait on another host until the one that has the guest is gone (protect --lease), then "
	"boot the guest here from its replica and protect it.", standby_children, NULL, NULL};

static struct command_line {
	const struct argp *argp;
	int argc;
	char **argv;
	struct config *config;
	bool named, wrong; /* the guest's own file was looked for; and is wrong */
} line;

static int take_file_and_line(const char *path, struct errinfo *err)
{
	int rc = take_file(line.config, path, err);

	if (rc)
		return rc;
	command_parse(line.argp, line.argc, line.argv, line.config);
	line.config->mind->settings.on_loss = line.config->on_loss;
	return restart_hook_lacks(line.config)
		       ? err_set(err, -EINVAL, "%s: restart = hook:%s: it cannot be run", path,
				 line.config->restart_hook)
		       : 0;
}

/* DIR/NAME.conf, when there is such a file and no --config. */
static int guest_named(void *arg, const char *name, struct errinfo *err)
{
	const char *dir = getenv(CONFIG_DIR_ENV);
	char path[PATH_MAX];
	int rc;

	if (line.named || line.config->config || strchr(name, '/') || name[0] == '.')
		return 0;
	line.named = true;
	snprintf(path, sizeof(path), "%s/%s.conf", dir ? dir : CONFIG_DIR, name);
	if (access(path, F_OK) && (errno == ENOENT || errno == ENOTDIR))
		return 0;
	log_info("%s: read", path);
	rc = take_file_and_line(path, err);
	line.wrong = rc == -EINVAL;
	return rc;
}

static int run_command(const struct argp *of, int argc, char **argv)
{
	struct config config = {.interval_ms = 1000, .scratch_bytes = BOUND_TMP_BYTES,
				.block_bytes = STORE_BLOCK_BYTES_DEFAULT,
				.reserve_percent = 5, .optimal_rate = OPTIMAL_RATE,
				.named = guest_named};
	static struct mind mind; /* some 20 KiB */
	struct errinfo err = {0};
	int status;

	policy_settings_default(&mind.settings);
	config.mind = &mind;
	line = (struct command_line){of, argc, argv, &config, false, false};
	command_parse(of, argc, argv, &config);
	if (config.config && take_file_and_line(config.config, &err)) {
		log_error("%s", err.text);
		return COMMAND_USAGE;
	}
	if (!command_needs(argv[0], config.qmp, "--qmp SOCKET, QEMU's monitor") ||
	    !command_needs(argv[0], config.store, "--store DIR, the directory of the replica") ||
	    (of == &standby_argp &&
	     !command_needs(argv[0], config.fence, "--fence COMMAND, which ends the other host")))
		return COMMAND_USAGE;
	mind.settings.on_loss = config.on_loss;
	mind_open(&mind, config.store);
	status = protect_run(&config);
	mind_release(&mind);
	return line.wrong ? COMMAND_USAGE : status;
}

int protect_command(int argc, char **argv)
{
	return run_command(&argp, argc, argv);
}

int standby_command(int argc, char **argv)
{
	return run_command(&standby_argp, argc, argv);
}
