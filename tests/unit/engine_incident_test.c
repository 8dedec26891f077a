/* SPDX-License-Identifier: Apache-2.0
 *
 * Reports of incidents: written, read, bounded, checked.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CUnit/CUnit.h>

#include "cunit_main.h"
#include "incident.h"

static char dir[64];

static void store_make(void)
{
	snprintf(dir, sizeof(dir), "/tmp/qheal-incident-XXXXXX");
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(dir));
}

static void store_remove(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -r %s", dir);
	CU_ASSERT_EQUAL(system(command), 0);
}

static json_t *incident(void)
{
	static struct policy_verdict verdict;
	static struct policy_settings settings;
	static struct model model;
	struct policy_facts facts = {.fault = {.kind = FAULT_DISK_WRITE, .cause = CAUSE_NO_WRITES,
					       .evidence = "it was seen"},
				     .qemu_alive = true, .qemu_answers = true, .swappable = true,
				     .able = POLICY_ABLE, .replica_ready = true, .head_intact = true, .covered = true};
	json_t *made = incident_new("web1", 1795478400000000, &facts.fault, "vda");
	json_t *steps = json_pack("[{s:s,s:f}]", "name", "swap", "ms", 1.5);

	model_empty(&model);
	policy_settings_default(&settings);
	policy_decide(&facts, &settings, &model, 1, &verdict);
	incident_add_decision(made, &verdict, settings.objective);
	incident_set_outcome(made, "recovered", STRATEGY_PIVOT, 12.5, 0, NULL, steps);
	json_decref(steps);
	return made;
}

static void what_is_written_is_read_again(void)
{
	json_t *made = incident(), *list, *read;
	struct errinfo err = {0};

	store_make();
	CU_ASSERT_EQUAL(incident_list(dir, &list, &err), 0);
	CU_ASSERT_EQUAL(json_array_size(list), 0);
	json_decref(list);
	CU_ASSERT_EQUAL(incident_write(dir, made, &err), 0);
	CU_ASSERT_EQUAL(incident_write(dir, made, &err), 0);
	CU_ASSERT_EQUAL(incident_list(dir, &list, &err), 0);
	CU_ASSERT_EQUAL_FATAL(json_array_size(list), 2);
	read = json_array_get(list, 1);
	CU_ASSERT_EQUAL(json_integer_value(json_object_get(read, "number")), 2);
	json_object_del(read, "number");
	CU_ASSERT(json_equal(json_object_get(read, "fault"), json_object_get(made, "fault")));
	CU_ASSERT(json_equal(json_object_get(read, "outcome"), json_object_get(made, "outcome")));
	CU_ASSERT_EQUAL(json_array_size(json_object_get(json_array_get(json_object_get(
				read, "decisions"), 0), "alternatives")), STRATEGIES - 1);
	json_decref(list);
	json_decref(made);
	store_remove();
}

static void the_oldest_go(void)
{
	json_t *made = incident(), *list;
	struct errinfo err = {0};

	store_make();
	for (unsigned i = 0; i < INCIDENTS_MAX + 5; i++)
		CU_ASSERT_EQUAL(incident_write(dir, made, &err), 0);
	CU_ASSERT_EQUAL(incident_list(dir, &list, &err), 0);
	CU_ASSERT_EQUAL(json_array_size(list), INCIDENTS_MAX);
	CU_ASSERT_EQUAL(json_integer_value(json_object_get(json_array_get(list, 0), "number")), 6);
	json_decref(list);
	json_decref(made);
	store_remove();
}

static void a_file_that_is_no_incident_is_told(void)
{
	static const char *const texts[] = {"", "{}", "[]", "{\"format\":1}", "{\"format\":1,\"vm\":2}"};
	json_t *list, *item;
	struct errinfo err = {0};
	char path[128];
	size_t at;

	store_make();
	snprintf(path, sizeof(path), "%s/incidents", dir);
	CU_ASSERT_EQUAL(mkdir(path, 0700), 0);
	for (unsigned i = 0; i < 5; i++) {
		FILE *file;

		snprintf(path, sizeof(path), "%s/incidents/%08u.json", dir, i + 1);
		file = fopen(path, "w");
		fputs(texts[i], file);
		fclose(file);
	}
	snprintf(path, sizeof(path), "%s/incidents/00000006.json", dir);
	CU_ASSERT_EQUAL(mkfifo(path, 0600), 0);
	snprintf(path, sizeof(path), "%s/incidents/7.json", dir); /* not ours */
	CU_ASSERT_EQUAL(mkdir(path, 0700), 0);
	CU_ASSERT_EQUAL(incident_list(dir, &list, &err), 0);
	CU_ASSERT_EQUAL(json_array_size(list), 6);
	json_array_foreach(list, at, item)
		CU_ASSERT(json_string_length(json_object_get(item, "damaged")) > 5);
	json_decref(list);
	store_remove();
}

/* Take away, or spoil, every member: none is optional. */
static void every_member_is_needed(void)
{
	static const char *const paths[][2] = {
		{"format", NULL}, {"vm", NULL}, {"time", NULL}, {"fault", NULL}, {"decisions", NULL},
		{"timeline", NULL}, {"outcome", NULL}, {"fault", "kind"}, {"fault", "cause"},
		{"fault", "resource"}, {"fault", "evidence"}, {"outcome", "result"},
		{"outcome", "strategy"}, {"outcome", "downtime_ms"}, {"outcome", "lost_bytes"},
		{"outcome", "reason"}, {"decisions", "strategy"}, {"decisions", "objective"},
		{"decisions", "why"}, {"decisions", "predicted_downtime_ms"},
		{"decisions", "predicted_loss_bytes"}, {"decisions", "alternatives"},
		{"timeline", "name"}, {"timeline", "ms"},
	};

	for (unsigned i = 0; i < 2 * sizeof(paths) / sizeof(paths[0]); i++) {
		json_t *made = incident(), *object = made;
		const char *key = paths[i / 2][0];
		struct errinfo err = {0};

		CU_ASSERT_EQUAL(incident_check(made, &err), 0);
		if (paths[i / 2][1]) {
			object = json_object_get(made, key);
			if (json_is_array(object))
				object = json_array_get(object, 0);
			key = paths[i / 2][1];
		}
		if (i % 2)
			json_object_del(object, key);
		else
			json_object_set_new(object, key, json_false());
		CU_ASSERT_EQUAL(incident_check(made, &err), -EUCLEAN);
		CU_ASSERT(strstr(err.text, paths[i / 2][0]) != NULL);
		json_decref(made);
	}
	CU_ASSERT_EQUAL(incident_check(NULL, NULL), -EUCLEAN);
}

int main(void)
{
#define CASE(fn) {#fn, fn}
	static const struct cunit_case cases[] = {
		CASE(what_is_written_is_read_again),
		CASE(the_oldest_go),
		CASE(a_file_that_is_no_incident_is_told),
		CASE(every_member_is_needed),
	};

	return cunit_run("incident", cases, sizeof(cases) / sizeof(cases[0]));
}
