/* SPDX-License-Identifier: Apache-2.0
 *
 * Cases with real guests.  The test lab that boots and breaks them is Python; its
 * programs print JSON in which each sample is an object with "samples".  Here they become
 * series, named by their way through that JSON: lag.loads[load=steady].lag_ms is
 * "lag.steady.lag" in ms.
 */
#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"

/* What names the element of a list, and what is no name at all. */
static const char *const element_keys[] = {"with", "tool", "load", "pattern", "way", "disks",
					   "interval_ms", "mib", "count_of", "size_gib"};
static const char *const list_names[] = {"loads", "guests", "entries", "large", "one_block"};
static const char *const units[] = {"ms", "bytes", "s", "kib", "percent", "mb_s", "per_s"};

static bool word_of(const char *word, const char *const *list, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		if (!strcmp(word, list[i]))
			return true;
	}
	return false;
}
#define WORD_OF(word, list) word_of(word, list, sizeof(list) / sizeof((list)[0]))

static void name_append(char *name, const char *word)
{
	size_t at = strlen(name);

	if (at && at < SERIES_NAME_MAX)
		name[at++] = '.';
	for (; *word && at < SERIES_NAME_MAX; word++)
		name[at++] = isalnum((unsigned char)*word) ? *word : '-';
	name[at] = '\0';
}

static void element_name(char *name, const json_t *element)
{
	for (unsigned i = 0; i < sizeof(element_keys) / sizeof(element_keys[0]); i++) {
		const json_t *value = json_object_get(element, element_keys[i]);
		char text[64];

		if (json_is_string(value))
			name_append(name, json_string_value(value));
		if (json_is_integer(value)) {
			snprintf(text, sizeof(text), "%s-%lld", element_keys[i],
				 json_integer_value(value));
			name_append(name, text);
		}
	}
}

/* "lag_ms" is "lag" in ms; without a known unit at its end it is a ratio or a count. */
static const char *unit_split(char *key)
{
	for (unsigned i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		size_t length = strlen(key), unit = strlen(units[i]);

		if (length > unit + 1 && key[length - unit - 1] == '_' &&
		    !strcmp(key + length - unit, units[i])) {
			key[length - unit - 1] = '\0';
			return units[i];
		}
	}
	return strstr(key, "ratio") ? "ratio" : "count";
}

static enum series_better better_of(const char *name, const char *unit)
{
	if (!strcmp(unit, "bytes") || !strcmp(unit, "count"))
		return SERIES_NEITHER;
	if (!strcmp(unit, "ratio") || !strcmp(unit, "mb_s") || !strcmp(unit, "per_s"))
		return SERIES_MORE;
	return SERIES_LESS;
}

static void samples_take(struct bench *bench, const char *path, const json_t *list)
{
	char name[SERIES_NAME_MAX + 1], *last;
	const char *unit;

	snprintf(name, sizeof(name), "%s", path);
	last = strrchr(name, '.') ? strrchr(name, '.') + 1 : name;
	unit = unit_split(last);
	for (size_t i = 0; i < json_array_size(list); i++) {
		struct series *series =
		    bench_note(bench, name, unit, better_of(name, unit),
			       json_number_value(json_array_get(list, i)));

		series->ours = !strstr(name, "blockdev-") && !strstr(name, "operator") &&
			       series->better != SERIES_NEITHER;
	}
}

static void tree_take(struct bench *bench, const char *path, json_t *value, unsigned depth)
{
	json_t *samples = json_object_get(value, "samples"), *child;
	char name[SERIES_NAME_MAX + 1];
	const char *key;

	if (depth > 16) /* ours are five deep */
		return;
	if (json_is_array(samples)) {
		samples_take(bench, path, samples);
		return;
	}
	json_object_foreach(value, key, child) {
		if (!strcmp(key, "wanted"))
			continue;
		snprintf(name, sizeof(name), "%s", path);
		if (!WORD_OF(key, list_names)) {
			/* The name keeps its underscore: it divides off the unit. */
			snprintf(name, sizeof(name), "%.60s%s%.34s", path, path[0] ? "." : "", key);
		}
		if (json_is_object(child))
			tree_take(bench, name, child, depth + 1);
		for (size_t i = 0; i < json_array_size(child); i++) {
			char element[SERIES_NAME_MAX + 1];

			snprintf(element, sizeof(element), "%s", name);
			element_name(element, json_array_get(child, i));
			tree_take(bench, element, json_array_get(child, i), depth + 1);
		}
	}
}

static int report_take(struct bench *bench, const char *path, struct errinfo *err)
{
	json_error_t error;
	json_t *root = json_load_file(path, 0, &error);

	if (!root)
		return err_set(err, -EINVAL, "what the lab told is no JSON: %s", error.text);
	tree_take(bench, "", root, 0);
	json_decref(root);
	return 0;
}

/* One program of the lab.  ROUNDS and SECONDS: what it takes by default. */
static int driver_run(struct bench *bench, const char *name, unsigned rounds, double seconds,
		      struct errinfo *err)
{
	char program[PATH_MAX + 16], count[24], each[24], build[PATH_MAX + 8], work[PATH_MAX];
	const char *report = work_path(&bench->work, "report.json");
	const char *argv[] = {"env",  build,	   work,  "PYTHONDONTWRITEBYTECODE=1",
			      "python3", program,    name,  "--samples",
			      "--rounds", count, "--seconds", each, NULL};
	int rc;

	snprintf(program, sizeof(program), "%s/bench/run.py", bench->source);
	if (access(program, R_OK))
		return err_set(err, -ENOENT, "%s is missing: give --source, the folder of the sources",
			       program);
	snprintf(build, sizeof(build), "BUILD=%s", bench->build);
	snprintf(work, sizeof(work), "QHEAL_WORK=%s", bench->work.path);
	snprintf(count, sizeof(count), "%u", bench->rounds ? bench->rounds : rounds);
	snprintf(each, sizeof(each), "%g", bench->seconds > 0 ? bench->seconds : seconds);
	bench_progress(bench, "%s: guests", name);
	rc = child_run(argv, report, false, NULL, err);
	return rc ? rc : report_take(bench, report, err);
}

/* The distribution that counts goes by the name of its case: pivot.p99_ms. */
static void headline(struct bench *bench, const char *from, const char *name)
{
	const struct series *series = document_find(&bench->document, from);
	char unit[SERIES_UNIT_MAX + 1];
	double samples[STATS_SAMPLES_MAX];
	unsigned count = series ? series->count : 0;

	if (!count)
		return;
	strcpy(unit, series->unit);
	memcpy(samples, series->samples, count * sizeof(*samples));
	for (unsigned i = 0; i < count; i++)
		bench_note(bench, name, unit, SERIES_LESS, samples[i]);
}

int case_delta(struct bench *bench, struct errinfo *err)
{
	int rc = driver_run(bench, "cycle", 40, 5, err);

	if (!rc)
		rc = driver_run(bench, "lag", 1, 8, err);
	if (!rc)
		rc = driver_run(bench, "delta", 3, 5, err);
	headline(bench, "lag.steady.lag", "delta.lag");
	document_miss(&bench->document, "delta", "qemu-img convert / nbdcopy of the dirty set",
		      "not built yet");
	document_miss(&bench->document, "delta", "virtnbdbackup",
		      child_exists("virtnbdbackup") ? "not built yet" : "not installed");
	return rc;
}

int case_pivot(struct bench *bench, struct errinfo *err)
{
	int rc = driver_run(bench, "pivot", 12, 5, err);

	headline(bench, "pivot.small.downtime", "pivot");
	document_miss(&bench->document, "pivot", "stop, copy back, start QEMU again",
		      "not built yet");
	return rc;
}

int case_impact(struct bench *bench, struct errinfo *err)
{
	document_miss(&bench->document, "impact", "the guest's latency, and a full copy running",
		      "not built yet");
	return driver_run(bench, "impact", 4, 1, err);
}

int case_scale(struct bench *bench, struct errinfo *err)
{
	return driver_run(bench, "scale", 4, 5, err);
}
