/* SPDX-License-Identifier: Apache-2.0
 *
 * retention: which points in time stay.  Pure: times and the policy in, what to
 * keep out.
 *
 * The rules are those of Proxmox Backup Server's prune (keep-last, keep-hourly,
 * ... of "prune options" in its documentation): they are worked off in the order of
 * enum retention_rule.  A rule looks at periods (an hour, a day, ...; by UTC, weeks
 * are those of ISO 8601) from the newest back, keeps the newest point of each of
 * the last N periods that have one, and does not count a period of which a rule
 * before it kept a point already.  What a rule drops is dropped for those after it.
 * So hourly=24,daily=7 reaches back seven days beyond the 24 hours.  restic's
 * --keep-* take the same words, but there each rule counts for itself.
 */
#ifndef ENGINE_RETENTION_H
#define ENGINE_RETENTION_H

#include <stdbool.h>
#include <stdint.h>

#include "errinfo.h"

enum retention_rule {
	RETENTION_LAST,
	RETENTION_HOURLY,
	RETENTION_DAILY,
	RETENTION_WEEKLY,
	RETENTION_MONTHLY,
	RETENTION_YEARLY,
	RETENTION_RULES,
};

#define RETENTION_POINTS_MAX 1024 /* as many as a store has at most */
#define RETENTION_TOTAL_MAX 512	  /* half of them: the rest is for points by hand */

struct retention {
	bool set;
	unsigned keep[RETENTION_RULES]; /* 0: the rule is not there */
};

/* "last=60,hourly=24": -EINVAL with a sentence for what is no such list. */
int retention_parse(struct retention *retention, const char *text, struct errinfo *err);

/* TIMES_US, microseconds since 1970, of COUNT points, oldest first, at most
 * RETENTION_POINTS_MAX.  Sets KEEP[i]. */
void retention_plan(const struct retention *retention, const int64_t *times_us, unsigned count,
		    bool *keep);

#endif
