/* SPDX-License-Identifier: Apache-2.0
 *
 * qemu_argv: see qemu_argv.h.
 */
#include "qemu_argv.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "text.h"

/* The value of KEY in "first,key=value,..."; the first has the key IMPLIED when it has
 * none.  ",," is a comma.  False: there is none, or it is too long. */
static bool option(const char *text, const char *implied, const char *key, char *value,
		   size_t size)
{
	bool first = true;

	while (*text) {
		char item[PATH_MAX + 32];
		size_t n = 0;
		const char *found;

		for (; *text && (*text != ',' || text[1] == ','); text++) {
			text += *text == ',';
			if (n + 1 < sizeof(item))
				item[n++] = *text;
		}
		item[n] = '\0';
		text += *text == ',';
		found = strchr(item, '=');
		if (found && (size_t)(found - item) == strlen(key) &&
		    !strncmp(item, key, strlen(key)))
			return snprintf(value, size, "%s", found + 1) < (int)size;
		if (!found && first && implied && !strcmp(implied, key))
			return snprintf(value, size, "%s", item) < (int)size;
		first = false;
	}
	return false;
}

static void take_path(struct qemu_argv *qemu, const char *path)
{
	if (path[0] && qemu->paths < QEMU_ARGV_MONITORS_MAX)
		snprintf(qemu->path[qemu->paths++], PATH_MAX, "%s", path);
}

/* "unix:/run/q.sock,server=on,wait=off" */
static void take_qmp(struct qemu_argv *qemu, const char *text)
{
	char socket[PATH_MAX];

	qemu->monitors++;
	if (!strncmp(text, "unix:", 5) && option(text + 5, "path", "path", socket, sizeof(socket)))
		take_path(qemu, socket);
}

struct words {
	const char *text, *end;
};

/* NULL behind the last. */
static const char *next_word(struct words *words)
{
	const char *word = words->text, *end;

	if (word >= words->end)
		return NULL;
	end = memchr(word, '\0', (size_t)(words->end - word));
	if (!end)
		return NULL;
	words->text = end + 1;
	return word;
}

static void take_chardev(struct qemu_argv *qemu, struct words words, const char *wanted)
{
	const char *word, *value;
	char id[128], path[PATH_MAX];

	while ((word = next_word(&words))) {
		if (strcmp(word, "-chardev") && strcmp(word, "--chardev"))
			continue;
		value = next_word(&words);
		if (value && option(value, NULL, "id", id, sizeof(id)) && !strcmp(id, wanted) &&
		    !strncmp(value, "socket,", 7) &&
		    option(value, NULL, "path", path, sizeof(path)))
			take_path(qemu, path);
	}
}

static void take_mon(struct qemu_argv *qemu, struct words all, const char *value)
{
	char mode[32], id[128];

	if (!option(value, "chardev", "mode", mode, sizeof(mode)) || strcmp(mode, "control"))
		return;
	qemu->monitors++;
	if (option(value, "chardev", "chardev", id, sizeof(id)))
		take_chardev(qemu, all, id);
}

static void take(struct qemu_argv *qemu, struct words all, const char *name, const char *value)
{
	if (!strcmp(name, "qmp") || !strcmp(name, "qmp-pretty")) {
		take_qmp(qemu, value);
	} else if (!strcmp(name, "mon")) {
		take_mon(qemu, all, value);
	} else if (!strcmp(name, "name")) {
		option(value, "guest", "guest", qemu->name, sizeof(qemu->name));
		text_tame(qemu->name, false); /* who says that this is a QEMU? */
	} else if (!strcmp(name, "action")) {
		option(value, NULL, "panic", qemu->panic_action, sizeof(qemu->panic_action));
		option(value, NULL, "watchdog", qemu->watchdog_action,
		       sizeof(qemu->watchdog_action));
	} else if (!strcmp(name, "watchdog-action")) {
		snprintf(qemu->watchdog_action, sizeof(qemu->watchdog_action), "%.15s", value);
	}
}

static bool is_qemu(const char *word)
{
	const char *base = strrchr(word, '/');

	base = base ? base + 1 : word;
	return !strncmp(base, "qemu-system-", 12) || !strcmp(base, "qemu-kvm") ||
	       !strcmp(base, "kvm");
}

void qemu_argv_parse(struct qemu_argv *qemu, const char *text, size_t length)
{
	struct words all = {text, text + length}, words = all;
	const char *word = next_word(&words), *value;

	memset(qemu, 0, sizeof(*qemu));
	qemu->is_qemu = word && is_qemu(word);
	while (qemu->is_qemu && (word = next_word(&words))) {
		struct words behind = words;

		if (word[0] != '-' || !(value = next_word(&behind)))
			continue;
		take(qemu, all, word + 1 + (word[1] == '-'), value);
	}
}

bool qemu_argv_read(struct qemu_argv *qemu, int pid)
{
	char *text = malloc(QEMU_ARGV_MAX), path[64];
	size_t have = 0;
	ssize_t n = 1;
	int fd;

	memset(qemu, 0, sizeof(*qemu));
	snprintf(path, sizeof(path), "/proc/%d/cmdline", pid);
	fd = text ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	while (fd >= 0 && n > 0 && have < QEMU_ARGV_MAX) {
		n = read(fd, text + have, QEMU_ARGV_MAX - have);
		have += n > 0 ? (size_t)n : 0;
	}
	if (fd >= 0)
		close(fd);
	if (have)
		qemu_argv_parse(qemu, text, have);
	free(text);
	return qemu->is_qemu;
}
