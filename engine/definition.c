/* SPDX-License-Identifier: Apache-2.0
 *
 * definition: see definition.h.
 */
#include "definition.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "jsontext.h"
#include "report.h"
#include "statefile.h"

#define DEFINITION_NAME "definition.json"
#define DEFINITION_FORMAT 1
#define PROC_MAX (1u << 20)	   /* of a command line, and of an environment */
#define DEFINITION_MAX (8u << 20) /* both, with every byte escaped */
#define WORDS_MAX 4096		   /* 32 disks take a few hundred */

/* --- from /proc --- */

static int read_proc(pid_t pid, const char *name, char **text, size_t *length,
		     struct errinfo *err)
{
	char path[64];
	ssize_t got;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_set(err, -errno, "cannot open %s: %s", path, strerror(errno));
	*text = malloc(PROC_MAX + 1);
	*length = 0;
	got = *text ? 1 : -1;
	while (got > 0 && *length < PROC_MAX) {
		got = read(fd, *text + *length, PROC_MAX - *length);
		*length += got > 0 ? (size_t)got : 0;
	}
	close(fd);
	if (got < 0 || *length == PROC_MAX || !*length) {
		free(*text);
		return err_set(err, got < 0 ? -EIO : -E2BIG, "cannot read %s", path);
	}
	(*text)[*length] = '\0';
	return 0;
}

/* LENIENT: words that are no UTF-8 are left out. */
static int read_words(pid_t pid, const char *name, bool lenient, json_t **words,
		      struct errinfo *err)
{
	size_t length;
	char *text;
	int rc = read_proc(pid, name, &text, &length, err);

	*words = NULL;
	if (rc)
		return rc;
	*words = json_array();
	for (size_t at = 0; at < length && !rc; at += strlen(text + at) + 1) {
		json_t *word = json_string(text + at);

		if (!word && !lenient)
			rc = err_set(err, -EILSEQ, "a word of QEMU's command line is no UTF-8");
		else if (word && json_array_size(*words) < WORDS_MAX)
			json_array_append_new(*words, word);
		else if (word)
			rc = err_set(err, -E2BIG, "QEMU has more than %d words in %s", WORDS_MAX,
				     name);
	}
	free(text);
	return rc;
}

/* "": it cannot be told. */
static void read_link(pid_t pid, const char *name, char target[PATH_MAX])
{
	static const char deleted[] = " (deleted)"; /* its package was brought up to date */
	char path[64];
	ssize_t length;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	length = readlink(path, target, PATH_MAX - 1);
	target[length < 0 ? 0 : length] = '\0';
	if (length > (ssize_t)strlen(deleted) &&
	    !strcmp(target + length - strlen(deleted), deleted))
		target[length - (ssize_t)strlen(deleted)] = '\0';
}

static void read_output(pid_t pid, const char *name, char target[PATH_MAX])
{
	struct stat stat_of;

	read_link(pid, name, target);
	if (target[0] != '/' || stat(target, &stat_of) || !S_ISREG(stat_of.st_mode))
		target[0] = '\0';
}

/* Those behind the bound are left out. */
static void read_groups(struct definition *definition, const char *status)
{
	const char *at = strstr(status, "\nGroups:");
	int length = 0;

	for (at = at ? at + strlen("\nGroups:") : "";
	     definition->group_count < DEFINITION_GROUPS_MAX && strcspn(at, "\n") &&
	     sscanf(at, "%u%n", &definition->groups[definition->group_count], &length) == 1;
	     at += length)
		definition->group_count++;
}

static int read_user(struct definition *definition, pid_t pid, struct errinfo *err)
{
	unsigned uid, gid, effective;
	const char *uids, *gids;
	size_t length;
	char *text;
	int rc = read_proc(pid, "status", &text, &length, err);

	if (rc)
		return rc;
	uids = strstr(text, "\nUid:");
	gids = strstr(text, "\nGid:");
	if (!uids || !gids || sscanf(uids, "\nUid: %u %u", &effective, &uid) != 2 ||
	    sscanf(gids, "\nGid: %u %u", &effective, &gid) != 2)
		rc = err_set(err, -EPROTO, "/proc/%d/status does not tell the user", (int)pid);
	if (!rc)
		read_groups(definition, text);
	free(text);
	if (rc)
		return rc;
	definition->uid = uid;
	definition->gid = gid;
	return 0;
}

int definition_read(struct definition *definition, pid_t pid, struct errinfo *err)
{
	int rc;

	memset(definition, 0, sizeof(*definition));
	rc = read_words(pid, "cmdline", false, &definition->argv, err);
	if (!rc)
		rc = read_words(pid, "environ", true, &definition->environment, err);
	if (!rc)
		rc = read_user(definition, pid, err);
	read_link(pid, "exe", definition->exe);
	read_link(pid, "cwd", definition->cwd);
	read_output(pid, "fd/1", definition->out);
	read_output(pid, "fd/2", definition->err);
	if (!rc && (definition->exe[0] != '/' || definition->cwd[0] != '/'))
		rc = err_set(err, -EACCES, "/proc/%d does not tell which program it is", (int)pid);
	if (rc)
		definition_release(definition);
	return rc;
}

void definition_release(struct definition *definition)
{
	json_decref(definition->argv);
	json_decref(definition->environment);
	definition->argv = definition->environment = NULL;
}

/* --- in the store --- */

static json_t *groups_json(const struct definition *definition)
{
	json_t *groups = json_array();

	for (unsigned i = 0; i < definition->group_count; i++)
		json_array_append_new(groups, json_integer((json_int_t)definition->groups[i]));
	return groups;
}

int definition_save(const struct definition *definition, const char *store, struct errinfo *err)
{
	json_t *object = json_pack("{s:i,s:O,s:O,s:s,s:s,s:s,s:s,s:I,s:I,s:o}", "format",
				   DEFINITION_FORMAT, "argv", definition->argv, "environment",
				   definition->environment, "exe", definition->exe, "cwd",
				   definition->cwd, "stdout", definition->out, "stderr",
				   definition->err, "uid", (json_int_t)definition->uid, "gid",
				   (json_int_t)definition->gid, "groups",
				   groups_json(definition));
	char *text = object ? json_dumps(object, REPORT_JSON) : NULL;
	int rc;

	json_decref(object);
	/* A path that is no UTF-8, too. */
	if (!text)
		return err_set(err, -EILSEQ, "QEMU's definition cannot be written as JSON");
	rc = statefile_replace(store, DEFINITION_NAME, text, err);
	free(text);
	return rc;
}

static bool words_valid(const json_t *words, size_t least)
{
	const json_t *word;
	size_t i;

	if (!json_is_array(words) || json_array_size(words) < least ||
	    json_array_size(words) > WORDS_MAX)
		return false;
	json_array_foreach(words, i, word) {
		if (!json_is_string(word))
			return false;
	}
	return true;
}

static bool path_valid(const json_t *object, const char *key, bool needed, char path[PATH_MAX])
{
	const char *text = json_text(object, key);

	if (strlen(text) >= PATH_MAX || (text[0] && text[0] != '/') || (needed && !text[0]))
		return false;
	strcpy(path, text);
	return true;
}

static bool id_valid(const json_t *object, const char *key, unsigned *id)
{
	const json_t *value = json_object_get(object, key);
	json_int_t number = json_integer_value(value);

	*id = (unsigned)number;
	return json_is_integer(value) && number >= 0 && number < UINT_MAX;
}

/* Of a qheal that did not keep them: none. */
static bool groups_valid(const json_t *object, struct definition *definition)
{
	const json_t *groups = json_object_get(object, "groups"), *group;
	size_t i;

	if (json_array_size(groups) > DEFINITION_GROUPS_MAX)
		return false;
	json_array_foreach(groups, i, group) {
		json_int_t number = json_integer_value(group);

		if (!json_is_integer(group) || number < 0 || number >= UINT_MAX)
			return false;
		definition->groups[definition->group_count++] = (gid_t)number;
	}
	return true;
}

int definition_parse(struct definition *definition, const char *text, size_t length,
		     struct errinfo *err)
{
	json_t *object = json_loadb(text, length, 0, NULL);
	const json_t *argv = json_object_get(object, "argv");
	const json_t *environment = json_object_get(object, "environment");
	bool good;

	memset(definition, 0, sizeof(*definition));
	good = json_integer_value(json_object_get(object, "format")) == DEFINITION_FORMAT &&
	       words_valid(argv, 2) && words_valid(environment, 0) &&
	       path_valid(object, "exe", true, definition->exe) &&
	       path_valid(object, "cwd", true, definition->cwd) &&
	       path_valid(object, "stdout", false, definition->out) &&
	       path_valid(object, "stderr", false, definition->err) &&
	       id_valid(object, "uid", &definition->uid) &&
	       id_valid(object, "gid", &definition->gid) && groups_valid(object, definition);
	if (good) {
		definition->argv = json_incref((json_t *)argv);
		definition->environment = json_incref((json_t *)environment);
	}
	json_decref(object);
	return good ? 0 : err_set(err, -EUCLEAN, DEFINITION_NAME " is damaged, or of a newer qheal");
}

int definition_load(struct definition *definition, const char *store, struct errinfo *err)
{
	char path[PATH_MAX], *text;
	size_t length;
	int rc;

	memset(definition, 0, sizeof(*definition));
	snprintf(path, sizeof(path), "%s/" DEFINITION_NAME, store);
	rc = statefile_read(path, DEFINITION_MAX, &text, &length, err);
	if (rc)
		return rc;
	rc = definition_parse(definition, text, length, err);
	free(text);
	return rc;
}
