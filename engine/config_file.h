/* SPDX-License-Identifier: Apache-2.0
 *
 * config_file: /etc/qheal/NAME.conf, or the file of --config.  INI, read by libinih.
 *
 *   [protect]   interval, objective, on-loss, restart, scratch, disk (several, with spaces)
 *   [weights]   downtime-s, lost-mib, moved-gib, interference-s, guest-reset
 *   [limits]    flap-limit, flap-window-s, backoff-s, backoff-max-s
 *   [optimal]   rate-mib-s, cpu-percent     of background work
 *   [allow]     FAULT = STRATEGY STRATEGY ...   (hold is always allowed)
 *
 * Everything wrong in it is told at once, each with its line: unknown sections and
 * keys, keys given twice, impossible values, limits that contradict each other.
 */
#ifndef ENGINE_CONFIG_FILE_H
#define ENGINE_CONFIG_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "errinfo.h"
#include "policy.h"

#define CONFIG_FILE_MAX (64u << 10)
#define CONFIG_FILE_ERRORS_MAX 64 /* told; more are only counted */

struct config_file {
	struct policy_settings policy;
	/* As in struct config; 0 and "": the file does not say. */
	int64_t interval_ms;
	uint64_t scratch_bytes;
	char restart[200]; /* as --restart */
	bool objective_set, on_loss_set;
	char disks[BOUND_DISKS][64];
	unsigned disk_count;
	double rate_mib_s;
	unsigned cpu_percent;
};

struct config_file_errors {
	unsigned count; /* all of them */
	struct {
		int line; /* 0: the file as a whole */
		char text[160];
	} list[CONFIG_FILE_ERRORS_MAX];
};

/* Pure.  Returns true when nothing is wrong.  FILE has the defaults for what the
 * text does not say, and for everything that is wrong in it. */
bool config_file_parse(struct config_file *file, const char *text, size_t length,
		       struct config_file_errors *errors);
void config_file_default(struct config_file *file);

/* -EINVAL: ERRORS tell what is wrong; else why PATH cannot be read. */
int config_file_load(struct config_file *file, const char *path,
		     struct config_file_errors *errors, struct errinfo *err);
/* All of them, a line each, to the log. */
void config_file_tell(const char *path, const struct config_file_errors *errors);

#endif
