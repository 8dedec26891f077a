/* SPDX-License-Identifier: Apache-2.0 */
#include "retention.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char *const rule_names[RETENTION_RULES] = {
	[RETENTION_LAST] = "last",     [RETENTION_HOURLY] = "hourly",
	[RETENTION_DAILY] = "daily",   [RETENTION_WEEKLY] = "weekly",
	[RETENTION_MONTHLY] = "monthly", [RETENTION_YEARLY] = "yearly",
};

/* One word "hourly=24" of LENGTH bytes. */
static int parse_rule(struct retention *retention, const char *text, size_t length,
		      struct errinfo *err)
{
	for (unsigned i = 0; i < RETENTION_RULES; i++) {
		size_t name = strlen(rule_names[i]);
		unsigned long n;
		char *end;

		if (length <= name + 1 || memcmp(text, rule_names[i], name) || text[name] != '=' ||
		    text[name + 1] < '0' || text[name + 1] > '9')
			continue;
		errno = 0;
		n = strtoul(text + name + 1, &end, 10);
		if (end != text + length)
			continue;
		if (errno || n < 1 || n > RETENTION_TOTAL_MAX)
			return err_set(err, -EINVAL, "%.*s: a rule keeps 1 to %d points",
				       (int)length, text, RETENTION_TOTAL_MAX);
		if (retention->keep[i])
			return err_set(err, -EINVAL, "the rule %s is given twice", rule_names[i]);
		retention->keep[i] = (unsigned)n;
		return 0;
	}
	return err_set(err, -EINVAL, "\"%.*s\" is no rule; say last=N, hourly=N, daily=N, weekly=N, "
		       "monthly=N or yearly=N, with commas between", (int)(length < 40 ? length : 40),
		       text);
}

int retention_parse(struct retention *retention, const char *text, struct errinfo *err)
{
	unsigned total = 0;

	memset(retention, 0, sizeof(*retention));
	for (const char *word = text;; word++) {
		size_t length = strcspn(word, ",");
		int rc = parse_rule(retention, word, length, err);

		if (rc)
			return rc;
		word += length;
		if (!*word)
			break;
	}
	for (unsigned i = 0; i < RETENTION_RULES; i++)
		total += retention->keep[i];
	if (total > RETENTION_TOTAL_MAX)
		return err_set(err, -EINVAL, "these rules keep %u points together, at most %d can "
			       "be kept", total, RETENTION_TOTAL_MAX);
	retention->set = true;
	return 0;
}

static int64_t floor_div(int64_t value, int64_t by)
{
	return value / by - (value % by < 0);
}

/* The period of RULE that a time lies in: equal numbers, the same period. */
static int64_t period_of(enum retention_rule rule, int64_t time_us)
{
	int64_t seconds = floor_div(time_us, 1000000), day = floor_div(seconds, 86400);
	time_t time = (time_t)seconds;
	struct tm tm = {0};

	switch (rule) {
	case RETENTION_HOURLY:
		return floor_div(seconds, 3600);
	case RETENTION_DAILY:
		return day;
	case RETENTION_WEEKLY:
		return floor_div(day + 3, 7); /* 1970 began on a Thursday, a week on Monday */
	case RETENTION_MONTHLY:
	case RETENTION_YEARLY:
		gmtime_r(&time, &tm);
		return rule == RETENTION_YEARLY ? tm.tm_year : tm.tm_year * 12 + tm.tm_mon;
	default:
		return time_us;
	}
}

struct plan {
	unsigned count;
	bool *keep;
	bool dropped[RETENTION_POINTS_MAX];
	int64_t periods[RETENTION_POINTS_MAX]; /* by the rule that is worked off */
};

/* Is one of its period among KEPT? */
static bool period_kept(const struct plan *plan, unsigned i, const bool *kept)
{
	for (unsigned j = 0; j < plan->count; j++) {
		if (kept[j] && plan->periods[j] == plan->periods[i])
			return true;
	}
	return false;
}

static void plan_rule(struct plan *plan, unsigned keep)
{
	bool before[RETENTION_POINTS_MAX];
	unsigned periods = 0;

	memcpy(before, plan->keep, plan->count * sizeof(bool));
	for (unsigned i = plan->count; i-- > 0;) {
		if (plan->keep[i] || plan->dropped[i] || period_kept(plan, i, before))
			continue;
		if (period_kept(plan, i, plan->keep)) {
			plan->dropped[i] = true;
			continue;
		}
		if (periods++ == keep)
			return;
		plan->keep[i] = true;
	}
}

void retention_plan(const struct retention *retention, const int64_t *times_us, unsigned count,
		    bool *keep)
{
	struct plan plan = {.count = count, .keep = keep};

	assert(count <= RETENTION_POINTS_MAX);
	memset(keep, 0, count * sizeof(bool));
	for (unsigned rule = 0; rule < RETENTION_RULES; rule++) {
		if (!retention->keep[rule])
			continue;
		for (unsigned i = 0; i < count; i++)
			plan.periods[i] = rule == RETENTION_LAST ? i : period_of(rule, times_us[i]);
		plan_rule(&plan, retention->keep[rule]);
	}
}
