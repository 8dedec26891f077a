/* SPDX-License-Identifier: Apache-2.0
 *
 * incident: see incident.h.
 */
#include "incident.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "jsontext.h"
#include "report.h"
#include "statefile.h"

#define INCIDENT_FORMAT 1
#define NUMBER_MAX 99999999u
#define LISTED_MAX (4 * INCIDENTS_MAX) /* somebody else's files, at most so many are looked at */

/* --- making one --- */

json_t *incident_new(const char *vm, int64_t time_us, const struct detect_fault *fault,
		     const char *resource)
{
	char time[40];

	report_time(time_us, time);
	return json_pack("{s:i,s:s,s:s,s:{s:s,s:s,s:s,s:s},s:[],s:[]}", "format", INCIDENT_FORMAT,
			 "vm", vm, "time", time, "fault", "kind", fault_name(fault->kind), "cause",
			 detect_cause_name(fault->cause), "resource", resource, "evidence",
			 fault->evidence, "decisions", "timeline");
}

void incident_add_decision(json_t *incident, const struct policy_verdict *verdict,
			   enum objective objective)
{
	const struct policy_candidate *chosen = &verdict->candidates[verdict->strategy];
	json_t *alternatives = json_array();

	for (unsigned i = 0; i < STRATEGIES; i++) {
		const struct policy_candidate *other = &verdict->candidates[i];

		if (i == verdict->strategy)
			continue;
		json_array_append_new(
			alternatives,
			json_pack("{s:s,s:s,s:f,s:I,s:f}", "strategy", strategy_names[i], "why_not",
				  other->why_not ? other->why_not : "", "downtime_ms",
				  other->prediction.downtime_ms, "loss_bytes",
				  (json_int_t)other->loss_bytes, "cost", other->cost));
	}
	json_array_append_new(
		json_object_get(incident, "decisions"),
		json_pack("{s:s,s:s,s:s,s:f,s:I,s:o}", "strategy",
			  strategy_names[verdict->strategy], "objective",
			  objective == OBJECTIVE_FAST ? "fast" : "optimal", "why", verdict->why,
			  "predicted_downtime_ms", chosen->prediction.downtime_ms,
			  "predicted_loss_bytes", (json_int_t)chosen->loss_bytes, "alternatives",
			  alternatives));
}

void incident_set_outcome(json_t *incident, const char *result, enum strategy strategy,
			  double downtime_ms, uint64_t lost_bytes, const char *reason,
			  json_t *steps)
{
	json_object_set_new(incident, "outcome",
			    json_pack("{s:s,s:s,s:f,s:I,s:s}", "result", result, "strategy",
				      strategy_names[strategy], "downtime_ms", downtime_ms,
				      "lost_bytes", (json_int_t)lost_bytes, "reason",
				      reason ? reason : ""));
	if (steps)
		json_object_set(incident, "timeline", steps);
}

/* --- reading, strictly --- */

static bool is_text(const json_t *object, const char *key)
{
	return json_is_string(json_object_get(object, key));
}

static bool is_amount(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);

	return json_is_number(value) && json_number_value(value) >= 0;
}

static bool is_strategy(const json_t *object)
{
	return strategy_by_name(json_text(object, "strategy")) != STRATEGIES;
}

static bool fault_good(const json_t *fault)
{
	return fault_by_name(json_text(fault, "kind")) != FAULT_NONE && is_text(fault, "cause") &&
	       is_text(fault, "resource") && is_text(fault, "evidence");
}

static bool decision_good(const json_t *decision)
{
	const json_t *alternatives = json_object_get(decision, "alternatives"), *other;
	size_t i;

	if (!is_strategy(decision) || !is_text(decision, "objective") ||
	    !is_text(decision, "why") || !is_amount(decision, "predicted_downtime_ms") ||
	    !is_amount(decision, "predicted_loss_bytes") || !json_is_array(alternatives) ||
	    json_array_size(alternatives) > STRATEGIES)
		return false;
	json_array_foreach(alternatives, i, other) {
		if (!is_strategy(other) || !is_text(other, "why_not") ||
		    !is_amount(other, "downtime_ms") || !is_amount(other, "loss_bytes"))
			return false;
	}
	return true;
}

static bool step_good(const json_t *step)
{
	return is_text(step, "name") && is_amount(step, "ms");
}

static bool outcome_good(const json_t *outcome)
{
	const char *result = json_text(outcome, "result");

	return (!strcmp(result, "recovered") || !strcmp(result, "failed") ||
		!strcmp(result, "held")) && is_strategy(outcome) &&
	       is_amount(outcome, "downtime_ms") && is_amount(outcome, "lost_bytes") &&
	       is_text(outcome, "reason");
}

static bool all_good(const json_t *array, size_t max, bool (*good)(const json_t *item))
{
	const json_t *item;
	size_t i;

	if (!json_is_array(array) || json_array_size(array) > max)
		return false;
	json_array_foreach(array, i, item) {
		if (!good(item))
			return false;
	}
	return true;
}

int incident_check(const json_t *incident, struct errinfo *err)
{
	const char *bad = NULL;

	if (json_integer_value(json_object_get(incident, "format")) != INCIDENT_FORMAT)
		bad = "format";
	else if (!is_text(incident, "vm"))
		bad = "vm";
	else if (!is_text(incident, "time"))
		bad = "time";
	else if (!fault_good(json_object_get(incident, "fault")))
		bad = "fault";
	else if (!all_good(json_object_get(incident, "decisions"), INCIDENT_DECISIONS_MAX,
			   decision_good))
		bad = "decisions";
	else if (!all_good(json_object_get(incident, "timeline"), INCIDENT_STEPS_MAX, step_good))
		bad = "timeline";
	else if (!outcome_good(json_object_get(incident, "outcome")))
		bad = "outcome";
	return bad ? err_set(err, -EUCLEAN, "\"%s\" is not what an incident of format %d has there",
			     bad, INCIDENT_FORMAT) : 0;
}

/* --- the directory --- */

struct numbers {
	unsigned count;
	unsigned list[LISTED_MAX];
};

/* 0 for what is no name of an incident. */
static unsigned number_of(const char *name)
{
	unsigned number = 0;

	for (unsigned i = 0; i < 8; i++) {
		if (name[i] < '0' || name[i] > '9')
			return 0;
		number = number * 10 + (unsigned)(name[i] - '0');
	}
	return strcmp(name + 8, ".json") ? 0 : number;
}

static int note_number(void *arg, const char *name)
{
	struct numbers *numbers = arg;
	unsigned number = number_of(name);

	if (number && numbers->count < LISTED_MAX)
		numbers->list[numbers->count++] = number;
	return 0;
}

static int compare(const void *a, const void *b)
{
	unsigned x = *(const unsigned *)a, y = *(const unsigned *)b;

	return (x > y) - (x < y);
}

static int numbers_of(const char *dir, struct numbers *numbers)
{
	int rc;

	numbers->count = 0;
	rc = file_list(dir, note_number, numbers);
	qsort(numbers->list, numbers->count, sizeof(numbers->list[0]), compare);
	return rc;
}

static void remove_oldest(const char *dir, const struct numbers *numbers)
{
	char path[FILE_PATH_MAX + 16];

	for (unsigned i = 0; i + INCIDENTS_MAX <= numbers->count; i++) {
		snprintf(path, sizeof(path), "%s/%08u.json", dir, numbers->list[i]);
		file_remove(path);
	}
}

int incident_write(const char *store, const json_t *incident, struct errinfo *err)
{
	char dir[FILE_PATH_MAX], name[32], *text;
	struct numbers numbers;
	unsigned number;
	int rc;

	rc = incident_check(incident, err);
	if (rc)
		return rc;
	if (snprintf(dir, sizeof(dir), "%s/incidents", store) >= (int)sizeof(dir) - 32)
		return err_set(err, -ENAMETOOLONG, "the path %s is too long", store);
	rc = file_make_dir(dir);
	if (!rc)
		rc = numbers_of(dir, &numbers);
	if (rc)
		return err_set(err, rc, "cannot use %s: %s", dir, strerror(-rc));
	number = numbers.count ? numbers.list[numbers.count - 1] + 1 : 1;
	if (number > NUMBER_MAX)
		return err_set(err, -EOVERFLOW, "%s has number %u already: move its files away",
			       dir, NUMBER_MAX);
	text = json_dumps(incident, JSON_INDENT(1) | JSON_REAL_PRECISION(9));
	if (!text)
		return err_set(err, -ENOMEM, "no memory for an incident");
	snprintf(name, sizeof(name), "%08u.json", number);
	rc = strlen(text) > INCIDENT_JSON_MAX
		     ? err_set(err, -EFBIG, "an incident of %zu bytes is not kept", strlen(text))
		     : statefile_replace(dir, name, text, err);
	free(text);
	if (!rc)
		remove_oldest(dir, &numbers);
	return rc;
}

static json_t *read_one(const char *dir, unsigned number)
{
	json_t *incident = NULL, *item;
	struct errinfo err = {0};
	char path[FILE_PATH_MAX + 16], *text;
	size_t length;

	snprintf(path, sizeof(path), "%s/%08u.json", dir, number);
	if (!statefile_read(path, INCIDENT_JSON_MAX, &text, &length, &err)) {
		incident = json_loadb(text, length, JSON_REJECT_DUPLICATES, NULL);
		free(text);
		if (incident && incident_check(incident, &err)) {
			json_decref(incident);
			incident = NULL;
		} else if (!incident) {
			err_set(&err, -EUCLEAN, "it is no JSON");
		}
	}
	item = incident ? incident : json_object();
	json_object_set_new(item, "number", json_integer(number));
	if (!incident)
		json_object_set_new(item, "damaged", json_string(err.text));
	return item;
}

int incident_list(const char *store, json_t **incidents, struct errinfo *err)
{
	char dir[FILE_PATH_MAX];
	struct numbers numbers;
	int rc;

	snprintf(dir, sizeof(dir), "%s/incidents", store);
	rc = numbers_of(dir, &numbers);
	if (rc && rc != -ENOENT)
		return err_set(err, rc, "cannot read %s: %s", dir, strerror(-rc));
	*incidents = json_array();
	for (unsigned i = 0; i < numbers.count; i++)
		json_array_append_new(*incidents, read_one(dir, numbers.list[i]));
	return 0;
}
