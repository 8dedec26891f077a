/* SPDX-License-Identifier: Apache-2.0
 *
 * detect_words: QEMU's words for what counts in detect.c, and ours for causes.
 */
#include "detect.h"

#include <errno.h>
#include <string.h>

static const char *const cause_names[DETECT_CAUSES] = {
	[CAUSE_UNKNOWN] = "unknown",	     [CAUSE_TRANSIENT] = "transient",
	[CAUSE_BAD_SECTOR] = "bad-sector",   [CAUSE_NO_WRITES] = "no-writes",
	[CAUSE_DEAD] = "dead",		     [CAUSE_FULL] = "full",
	[CAUSE_HUNG] = "hung",		     [CAUSE_PATH] = "path",
	[CAUSE_SLOWER] = "slower",	     [CAUSE_MORE_ERRORS] = "more-errors",
	[CAUSE_EXIT] = "exit",		     [CAUSE_CRASH] = "crash",
	[CAUSE_PANIC] = "panic",	     [CAUSE_PANIC_DUMPING] = "panic-dumping",
};

const char *detect_cause_name(enum detect_cause cause)
{
	return cause_names[cause];
}

enum detect_shutdown detect_shutdown_of(const char *reason)
{
	if (!reason)
		return SHUTDOWN_NOT;
	if (!strcmp(reason, "guest-panic"))
		return SHUTDOWN_PANIC;
	return strcmp(reason, "host-error") ? SHUTDOWN_WANTED : SHUTDOWN_ERROR;
}

enum detect_panic_action detect_panic_of(const char *action)
{
	if (!strcmp(action, "run"))
		return PANIC_RUN;
	return strcmp(action, "poweroff") ? PANIC_PAUSE : PANIC_POWEROFF;
}

enum detect_watchdog detect_watchdog_of(const char *action)
{
	if (!strcmp(action, "reset") || !strcmp(action, "shutdown") || !strcmp(action, "poweroff"))
		return WATCHDOG_ACTS;
	if (!strcmp(action, "none") || !strcmp(action, "debug"))
		return WATCHDOG_NOTHING;
	return strcmp(action, "inject-nmi") ? WATCHDOG_PAUSES : WATCHDOG_NMI;
}

enum detect_run detect_run_of(const char *status)
{
	static const struct {
		const char *status;
		enum detect_run run;
	} table[] = {
		{"running", RUN_RUNNING},	    {"io-error", RUN_IO_ERROR},
		{"paused", RUN_PAUSED},		    {"guest-panicked", RUN_PANICKED},
		{"watchdog", RUN_WATCHDOG},	    {"internal-error", RUN_INTERNAL_ERROR},
		{"shutdown", RUN_SHUTDOWN},	    {"postmigrate", RUN_MIGRATED},
		{"finish-migrate", RUN_MIGRATED},   {"prelaunch", RUN_PRELAUNCH},
		{"inmigrate", RUN_INCOMING},
	};

	for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		if (!strcmp(table[i].status, status))
			return table[i].run;
	}
	return RUN_OTHER;
}

bool detect_on_its_way(enum detect_run run)
{
	return run == RUN_PRELAUNCH || run == RUN_INCOMING || run == RUN_OTHER;
}

int detect_errno_of(const char *reason)
{
	/* What disks and their paths fail with; QEMU sends strerror() in the C locale. */
	static const int known[] = {EIO, ENOSPC, EDQUOT, ENXIO, ENODEV, ENOMEDIUM, ETIMEDOUT,
				    ENOTCONN, ECONNRESET, ECONNREFUSED, ECONNABORTED, EPIPE,
				    ESHUTDOWN, EHOSTDOWN, EHOSTUNREACH, ENETDOWN, ENETUNREACH,
				    ENOLINK, ESTALE, EREMOTEIO, EROFS, EFBIG, ENODATA, EILSEQ,
				    EBADMSG, ENOMEM, EPERM, EACCES};

	for (unsigned i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		const char *text = strerrordesc_np(known[i]);

		if (text && !strcmp(text, reason))
			return known[i];
	}
	return 0;
}
