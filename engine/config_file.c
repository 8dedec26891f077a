/* SPDX-License-Identifier: Apache-2.0
 *
 * config_file: see config_file.h.
 */
#include "config_file.h"

#include <errno.h>
#include <ini.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report.h"
#include "restart.h"
#include "statefile.h"

#define NS_PER_S 1e9
#define LINE_MAX_BYTES 199 /* libinih's INI_MAX_LINE with its default of 200 */
#define KEYS_MAX 64	   /* different ones that there are */

struct parser {
	struct config_file *file;
	struct config_file_errors *errors;
	int line;
	struct {
		const void *key;
		int line;
	} seen[KEYS_MAX];
	unsigned seen_count;
};

__attribute__((format(printf, 3, 4))) static void wrong(struct parser *parser, int line,
							 const char *format, ...)
{
	struct config_file_errors *errors = parser->errors;
	va_list args;

	if (errors->count < CONFIG_FILE_ERRORS_MAX) {
		errors->list[errors->count].line = line;
		va_start(args, format);
		vsnprintf(errors->list[errors->count].text, sizeof(errors->list[0].text), format,
			  args);
		va_end(args);
	}
	errors->count++;
}

/* --- values --- */

static bool number(struct parser *parser, const char *key, const char *value, double min,
		   double max, bool whole, double *out)
{
	char *end;
	double n;

	errno = 0;
	n = strtod(value, &end);
	/* Not what else strtod() takes: 0x10, 1e3, " 5", nan. */
	if (strspn(value, "0123456789.") != strlen(value) || end == value || *end || errno ||
	    !isfinite(n) || n < min || n > max || (whole && n != floor(n))) {
		wrong(parser, parser->line, "%s is a%s number from %.15g to %.15g, not \"%.40s\"", key,
		      whole ? " whole" : "", min, max, value);
		return false;
	}
	*out = n;
	return true;
}

/* One of two words. */
static bool word(struct parser *parser, const char *key, const char *value, const char *first,
		 const char *second, int *out)
{
	if (strcmp(value, first) && strcmp(value, second)) {
		wrong(parser, parser->line, "%s is %s or %s, not \"%.40s\"", key, first, second,
		      value);
		return false;
	}
	*out = !strcmp(value, second);
	return true;
}

/* --- sections --- */

struct key {
	const char *section, *name;
	double min, max;
	bool whole;
	void (*set)(struct config_file *file, double value);
};

#define SETTER(name, field, type, factor)                                                          \
	static void set_##name(struct config_file *file, double value)                             \
	{                                                                                          \
		file->field = (type)(value * (factor));                                            \
	}

SETTER(interval, interval_ms, int64_t, 1)
SETTER(scratch, scratch_bytes, uint64_t, 1 << 20)
SETTER(downtime, policy.weights.downtime_s, double, 1)
SETTER(lost, policy.weights.lost_mib, double, 1)
SETTER(moved, policy.weights.moved_gib, double, 1)
SETTER(interference, policy.weights.interference_s, double, 1)
SETTER(guest_reset, policy.weights.guest_reset, double, 1)
SETTER(flap_limit, policy.flap_limit, unsigned, 1)
SETTER(flap_window, policy.flap_window_ns, int64_t, NS_PER_S)
SETTER(backoff, policy.backoff_ns, int64_t, NS_PER_S)
SETTER(backoff_max, policy.backoff_max_ns, int64_t, NS_PER_S)
SETTER(rate, rate_mib_s, double, 1)
SETTER(cpu, cpu_percent, unsigned, 1)

static const struct key keys[] = {
	{"protect", "interval", BOUND_INTERVAL_MIN_MS, BOUND_INTERVAL_MAX_MS, true, set_interval},
	{"protect", "scratch", BOUND_SCRATCH_MIN_MIB, BOUND_SCRATCH_MAX_MIB, true, set_scratch},
	{"weights", "downtime-s", 0, 1e6, false, set_downtime},
	{"weights", "lost-mib", 0, 1e6, false, set_lost},
	{"weights", "moved-gib", 0, 1e6, false, set_moved},
	{"weights", "interference-s", 0, 1e6, false, set_interference},
	{"weights", "guest-reset", 0, 1e6, false, set_guest_reset},
	{"limits", "flap-limit", 1, POLICY_HISTORY_MAX, true, set_flap_limit},
	{"limits", "flap-window-s", 1, 86400, false, set_flap_window},
	{"limits", "backoff-s", 0, 3600, false, set_backoff},
	{"limits", "backoff-max-s", 0, 3600, false, set_backoff_max},
	{"optimal", "rate-mib-s", 1, 1e6, false, set_rate},
	{"optimal", "cpu-percent", 0, 100, true, set_cpu},
};

#define KEYS (sizeof(keys) / sizeof(keys[0]))

static int line_of(const struct parser *parser, const void *key)
{
	for (unsigned i = 0; i < parser->seen_count; i++) {
		if (parser->seen[i].key == key)
			return parser->seen[i].line;
	}
	return 0;
}

/* KEY identifies the key by its address. */
static bool once(struct parser *parser, const void *key, const char *name)
{
	int line = line_of(parser, key);

	if (line) {
		wrong(parser, parser->line, "%.40s stands in line %d already", name, line);
		return false;
	}
	if (parser->seen_count < KEYS_MAX) {
		parser->seen[parser->seen_count].key = key;
		parser->seen[parser->seen_count++].line = parser->line;
	}
	return true;
}

static void take_disks(struct parser *parser, const char *value)
{
	struct config_file *file = parser->file;
	char copy[LINE_MAX_BYTES + 1], *rest = NULL;

	snprintf(copy, sizeof(copy), "%s", value);
	for (char *name = strtok_r(copy, " \t", &rest); name; name = strtok_r(NULL, " \t", &rest)) {
		if (strlen(name) >= sizeof(file->disks[0]) || file->disk_count == BOUND_DISKS) {
			wrong(parser, parser->line, "disk %.70s: names have at most 63 bytes, and "
			      "there are at most %d", name, BOUND_DISKS);
			return;
		}
		for (unsigned i = 0; i < file->disk_count; i++) {
			if (!strcmp(file->disks[i], name)) {
				wrong(parser, parser->line, "disk %s is given twice", name);
				return;
			}
		}
		snprintf(file->disks[file->disk_count++], sizeof(file->disks[0]), "%s", name);
	}
}

static void take_restart(struct parser *parser, const char *value)
{
	enum restart_mode mode;
	const char *hook;

	if (restart_parse(value, &mode, &hook))
		snprintf(parser->file->restart, sizeof(parser->file->restart), "%s", value);
	else
		wrong(parser, parser->line, "restart is recorded, never, or hook: and a command with "
		      "an absolute path, not \"%.40s\"", value);
}

static bool take_protect(struct parser *parser, const char *name, const char *value)
{
	static const char objective[] = "objective", on_loss[] = "on-loss", disk[] = "disk";
	static const char restart[] = "restart";
	struct config_file *file = parser->file;
	int second;

	if (!strcmp(name, objective)) {
		if (once(parser, objective, name) &&
		    word(parser, name, value, "fast", "optimal", &second)) {
			file->policy.objective = second ? OBJECTIVE_OPTIMAL : OBJECTIVE_FAST;
			file->objective_set = true;
		}
	} else if (!strcmp(name, on_loss)) {
		if (once(parser, on_loss, name) &&
		    word(parser, name, value, "hold", "rollback", &second)) {
			file->policy.on_loss = second ? ON_LOSS_ROLLBACK : ON_LOSS_HOLD;
			file->on_loss_set = true;
		}
	} else if (!strcmp(name, restart)) {
		if (once(parser, restart, name))
			take_restart(parser, value);
	} else if (!strcmp(name, disk)) {
		if (once(parser, disk, name))
			take_disks(parser, value);
	} else {
		return false;
	}
	return true;
}

static void take_allow(struct parser *parser, const char *name, const char *value)
{
	enum fault_kind kind = fault_by_name(name);
	uint32_t allowed = STRATEGY_BIT(STRATEGY_HOLD);
	char copy[LINE_MAX_BYTES + 1], *rest = NULL;

	if (kind == FAULT_NONE) {
		wrong(parser, parser->line, "[allow] %.40s: there is no such fault", name);
		return;
	}
	if (!once(parser, fault_name(kind), name))
		return;
	snprintf(copy, sizeof(copy), "%s", value);
	for (char *item = strtok_r(copy, " \t,", &rest); item; item = strtok_r(NULL, " \t,", &rest)) {
		enum strategy strategy = strategy_by_name(item);

		if (strategy == STRATEGIES)
			wrong(parser, parser->line, "%s: there is no strategy \"%.40s\"", name,
			      item);
		else if (!(policy_sensible(kind) & STRATEGY_BIT(strategy)))
			wrong(parser, parser->line, "%s: %s is no answer to this fault", name, item);
		else
			allowed |= STRATEGY_BIT(strategy);
	}
	parser->file->policy.allowed[kind] = allowed;
}

static bool known_section(const char *section)
{
	if (!strcmp(section, "allow"))
		return true;
	for (unsigned i = 0; i < KEYS; i++) {
		if (!strcmp(section, keys[i].section))
			return true;
	}
	return false;
}

static int take(void *user, const char *section, const char *name, const char *value)
{
	struct parser *parser = user;
	double n;

	if (!strcmp(section, "allow")) {
		take_allow(parser, name, value);
		return 1;
	}
	for (unsigned i = 0; i < KEYS; i++) {
		if (strcmp(section, keys[i].section) || strcmp(name, keys[i].name))
			continue;
		if (once(parser, &keys[i], name) &&
		    number(parser, name, value, keys[i].min, keys[i].max, keys[i].whole, &n))
			keys[i].set(parser->file, n);
		return 1;
	}
	if (!strcmp(section, "protect") && take_protect(parser, name, value))
		return 1;
	if (!section[0])
		wrong(parser, parser->line, "%.40s stands before any [section]", name);
	else if (known_section(section))
		wrong(parser, parser->line, "[%.40s] has no key \"%.40s\"", section, name);
	else
		wrong(parser, parser->line, "there is no section [%.40s]", section);
	return 1;
}

/* --- limits against each other --- */

static void contradictions(struct parser *parser)
{
	const struct policy_settings *policy = &parser->file->policy;
	int line = 0;

	for (unsigned i = 0; i < parser->seen_count; i++) {
		const struct key *key = parser->seen[i].key;

		if (key >= keys && key < keys + KEYS && !strcmp(key->section, "limits"))
			line = parser->seen[i].line;
	}
	if (policy->backoff_ns > policy->backoff_max_ns)
		wrong(parser, line, "backoff-s (%g) is more than backoff-max-s (%g)",
		      (double)policy->backoff_ns / NS_PER_S,
		      (double)policy->backoff_max_ns / NS_PER_S);
	if (policy->backoff_max_ns >= policy->flap_window_ns)
		wrong(parser, line, "backoff-max-s (%g) is not less than flap-window-s (%g): the "
		      "flap limit would never be reached",
		      (double)policy->backoff_max_ns / NS_PER_S,
		      (double)policy->flap_window_ns / NS_PER_S);
	if (policy->weights.downtime_s + policy->weights.lost_mib + policy->weights.moved_gib +
		    policy->weights.interference_s + policy->weights.guest_reset == 0)
		wrong(parser, 0, "all weights are 0: nothing would tell one strategy from another");
}

/* --- lines --- */

struct reader {
	struct parser *parser;
	const char *at, *end;
};

/* libinih asks for its lines one by one: that tells which one we are in.  What it
 * would cut into two is refused whole. */
static char *next_line(char *buffer, int size, void *stream)
{
	struct reader *reader = stream;
	const char *newline;
	size_t length;

	if (reader->at == reader->end)
		return NULL;
	newline = memchr(reader->at, '\n', (size_t)(reader->end - reader->at));
	length = (size_t)((newline ? newline + 1 : reader->end) - reader->at);
	reader->parser->line++;
	if (length >= (size_t)size || memchr(reader->at, '\0', length)) {
		wrong(reader->parser, reader->parser->line,
		      length >= (size_t)size ? "the line has more than %d bytes"
					     : "the line has a byte 0 (lines have at most %d bytes)",
		      size - 2);
		snprintf(buffer, (size_t)size, "\n");
	} else if (length && (*reader->at == ' ' || *reader->at == '\t')) {
		/* libinih takes an indented line as more of the value before. */
		const char *from = reader->at;
		size_t left = length;

		while (left && (*from == ' ' || *from == '\t'))
			from++, left--;
		memcpy(buffer, from, left);
		buffer[left] = '\0';
	} else {
		memcpy(buffer, reader->at, length);
		buffer[length] = '\0';
	}
	reader->at += length;
	return buffer;
}

/* libinih tells only the first line that is neither section nor key: look at all. */
static bool line_has_form(const char *line)
{
	line += strspn(line, " \t\r\n");
	if (!*line || *line == ';' || *line == '#')
		return true;
	return *line == '[' ? strchr(line, ']') != NULL : strpbrk(line, "=:") != NULL;
}

static char *next_good_line(char *buffer, int size, void *stream)
{
	struct reader *reader = stream;
	char *line = next_line(buffer, size, stream);

	if (line && !line_has_form(line)) {
		wrong(reader->parser, reader->parser->line,
		      "\"%.40s\" is neither [section] nor key = value", strtok(line, "\r\n"));
		snprintf(buffer, (size_t)size, "\n");
	}
	return line;
}

void config_file_default(struct config_file *file)
{
	memset(file, 0, sizeof(*file));
	policy_settings_default(&file->policy);
}

bool config_file_parse(struct config_file *file, const char *text, size_t length,
		       struct config_file_errors *errors)
{
	struct parser parser = {.file = file, .errors = errors};
	struct reader reader = {.parser = &parser, .at = text, .end = text + length};
	int line;

	config_file_default(file);
	errors->count = 0;
	line = ini_parse_stream(next_good_line, &reader, take, &parser);
	if (line)
		wrong(&parser, line > 0 ? line : 0, "this is no line of an INI file");
	contradictions(&parser);
	return !errors->count;
}

int config_file_load(struct config_file *file, const char *path,
		     struct config_file_errors *errors, struct errinfo *err)
{
	char real[PATH_MAX], *text;
	size_t length;
	bool good;
	int rc;

	errors->count = 0;
	config_file_default(file);
	/* Its owner may link it from elsewhere; files of the store are none of links. */
	rc = statefile_read(realpath(path, real) ? real : path, CONFIG_FILE_MAX, &text, &length, err);
	if (rc)
		return rc;
	good = config_file_parse(file, text, length, errors);
	free(text);
	return good ? 0 : err_set(err, -EINVAL, "%s has %u errors", path, errors->count);
}

void config_file_tell(const char *path, const struct config_file_errors *errors)
{
	for (unsigned i = 0; i < errors->count && i < CONFIG_FILE_ERRORS_MAX; i++)
		log_error("%s:%d: %s", path, errors->list[i].line, errors->list[i].text);
	if (errors->count > CONFIG_FILE_ERRORS_MAX)
		log_error("%s: and %u more", path, errors->count - CONFIG_FILE_ERRORS_MAX);
}
