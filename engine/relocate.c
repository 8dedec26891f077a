/* SPDX-License-Identifier: Apache-2.0
 *
 * relocate: see relocate.h.
 */
#include "relocate.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest.h"
#include "jsontext.h"
#include "qemu_options.h"

static const char *word(const json_t *argv, size_t i)
{
	const char *text = json_string_value(json_array_get(argv, i));

	return text ? text : "";
}

/* -NAME or --NAME */
static bool is_option(const json_t *argv, size_t i, const char *name)
{
	const char *text = word(argv, i);

	if (text[0] != '-')
		return false;
	text += text[1] == '-' ? 2 : 1;
	return !strcmp(text, name);
}

/* The value of option number I when it is NAME: a new reference, else NULL. */
static json_t *option_at(const json_t *argv, size_t i, const char *name, const char *implied)
{
	if (i + 1 >= json_array_size(argv) || !is_option(argv, i, name))
		return NULL;
	return qemu_options_parse(word(argv, i + 1), implied);
}

/* --- finding --- */

struct found {
	char drive[64]; /* what the device says its disk is */
	bool automatic; /* the -drive makes its device by itself */
	size_t root;	/* index of the option in argv, 0: none */
	bool blockdev;
	json_t *options; /* of that, a reference */
};

static void copy_name(char name[64], const char *text)
{
	if (strlen(text) < 64)
		strcpy(name, text);
}

/* By the device's id; by the drive's where the device has none. */
static void find_device(const json_t *argv, const char *name, struct found *found)
{
	for (size_t i = 1; i < json_array_size(argv); i++) {
		json_t *device = option_at(argv, i, "device", "driver");
		const char *id = json_text(device, "id"), *drive = json_text(device, "drive");

		if (drive[0] && !strcmp(id[0] ? id : drive, name))
			copy_name(found->drive, drive);
		json_decref(device);
	}
	if (found->drive[0])
		return;
	copy_name(found->drive, name);
	found->automatic = true;
}

static void find_root(const json_t *argv, struct found *found)
{
	for (size_t i = 1; i < json_array_size(argv) && !found->root; i++) {
		json_t *blockdev = option_at(argv, i, "blockdev", "driver");
		json_t *drive = option_at(argv, i, "drive", NULL);
		bool none = !strcmp(json_text(drive, "if"), "none");

		if (blockdev && !found->automatic &&
		    !strcmp(json_text(blockdev, "node-name"), found->drive)) {
			found->root = i;
			found->blockdev = true;
			found->options = json_incref(blockdev);
		} else if (drive && none != found->automatic &&
			   !strcmp(json_text(drive, "id"), found->drive)) {
			found->root = i;
			found->options = json_incref(drive);
		}
		json_decref(blockdev);
		json_decref(drive);
	}
}

/* --- what a node of the old chain says that the new image keeps --- */

struct habits {
	bool direct, no_flush;
	char aio[16];
};

static bool ends_with(const char *key, const char *end)
{
	size_t length = strlen(key), tail = strlen(end);

	return length >= tail && !strcmp(key + length - tail, end) &&
	       (length == tail || key[length - tail - 1] == '.');
}

static void learn_habits(struct habits *habits, json_t *options)
{
	const char *key, *text;
	json_t *value;

	json_object_foreach(options, key, value) {
		text = json_string_value(value);
		habits->direct |= ends_with(key, "cache.direct") && qemu_options_true(value);
		habits->no_flush |= ends_with(key, "cache.no-flush") && qemu_options_true(value);
		if (ends_with(key, "aio") && text && strlen(text) < sizeof(habits->aio))
			strcpy(habits->aio, text);
	}
}

static bool names_child(const char *key)
{
	return ends_with(key, "file") || ends_with(key, "backing") || ends_with(key, "data-file");
}

/* How many options of ARGV speak of NODE, without the one that makes it. */
static unsigned count_users(const json_t *argv, const char *node)
{
	static const char *const names[] = {"blockdev", "device", "drive", "object"};
	unsigned count = 0;

	for (size_t i = 1; i < json_array_size(argv); i++) {
		for (unsigned n = 0; n < sizeof(names) / sizeof(names[0]); n++) {
			json_t *options = option_at(argv, i, names[n], NULL), *value;
			const char *key;

			json_object_foreach(options, key, value) {
				const char *text = json_string_value(value);

				count += text && !strcmp(text, node) && strcmp(key, "node-name");
			}
			json_decref(options);
		}
	}
	return count;
}

/* Remove the nodes that OPTIONS, no longer in ARGV, had below. */
static int drop_children(json_t *argv, json_t *options, struct habits *habits,
			 struct errinfo *err)
{
	const char *key;
	json_t *value;
	int rc = 0;

	learn_habits(habits, options);
	json_object_foreach(options, key, value) {
		const char *node = json_string_value(value);
		struct found child = {0};

		if (rc || !node || !names_child(key))
			continue;
		copy_name(child.drive, node);
		find_root(argv, &child);
		if (child.root && child.blockdev && count_users(argv, node)) {
			rc = err_set(err, -EBUSY, "node %s of the command line is used by more than "
				     "one disk", node);
		} else if (child.root && child.blockdev) {
			json_array_remove(argv, child.root);
			json_array_remove(argv, child.root);
			rc = drop_children(argv, child.options, habits, err);
		}
		json_decref(child.options);
	}
	return rc;
}

/* --- the new value --- */

/* What belongs to the disk, whatever the image is. */
static bool root_keeps(const char *key)
{
	static const char *const kept[] = {"node-name", "discard", "detect-zeroes", "read-only",
					   "auto-read-only", "force-share"};

	for (unsigned i = 0; i < sizeof(kept) / sizeof(kept[0]); i++) {
		if (!strcmp(key, kept[i]))
			return true;
	}
	return !strncmp(key, "cache.", 6);
}

static json_t *blockdev_on(json_t *old, const struct relocate_disk *disk,
			   const struct habits *habits)
{
	json_t *new = json_pack("{s:s}", "driver", disk->format), *value;
	const char *key;

	json_object_foreach(old, key, value) {
		if (root_keeps(key))
			json_object_set(new, key, value);
	}
	json_object_set_new(new, "file.driver", json_string("file"));
	json_object_set_new(new, "file.filename", json_string(disk->file));
	if (habits->direct)
		json_object_set_new(new, "file.cache.direct", json_true());
	if (habits->no_flush)
		json_object_set_new(new, "file.cache.no-flush", json_true());
	if (habits->aio[0])
		json_object_set_new(new, "file.aio", json_string(habits->aio));
	return new;
}

/* What belongs to the old image. */
static bool drive_drops(const char *key)
{
	static const char *const dropped[] = {"file", "format", "driver", "offset", "size",
					      "backing", "data-file", "cache-size",
					      "cache-clean-interval", "lazy-refcounts"};
	static const char *const families[] = {"file.", "backing.", "data-file.", "l2-cache",
					       "refcount-cache", "overlap-check", "pass-discard",
					       "encrypt."};

	for (unsigned i = 0; i < sizeof(dropped) / sizeof(dropped[0]); i++) {
		if (!strcmp(key, dropped[i]))
			return true;
	}
	for (unsigned i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
		if (!strncmp(key, families[i], strlen(families[i])))
			return true;
	}
	return false;
}

static json_t *drive_on(json_t *old, const struct relocate_disk *disk)
{
	json_t *new = json_object(), *value;
	const char *key;

	json_object_foreach(old, key, value) {
		if (!drive_drops(key))
			json_object_set(new, key, value);
	}
	json_object_set_new(new, "file", json_string(disk->file));
	json_object_set_new(new, "format", json_string(disk->format));
	return new;
}

static int set_word(json_t *argv, size_t i, json_t *options, bool as_json, struct errinfo *err)
{
	char *text = options ? qemu_options_format(options, as_json) : NULL;
	int rc = text && !json_array_set_new(argv, i, json_string(text)) ? 0 : -ENOMEM;

	free(text);
	json_decref(options);
	return rc ? err_set(err, rc, "no memory for a command line") : 0;
}

static int move_blockdev(json_t *argv, const struct found *found, const struct relocate_disk *disk,
			 struct errinfo *err)
{
	bool as_json = qemu_options_is_json(word(argv, found->root + 1));
	const char *driver = json_text(found->options, "driver");
	struct found again = {.drive = ""};
	struct habits habits = {0};
	int rc;

	if (guest_is_filter(driver))
		return err_set(err, -ENOTSUP, "the root of disk %s on the command line is a %s node, "
			       "above which nothing can be exchanged", disk->name, driver);
	/* Only a name in its place, so that it speaks of its children no more. */
	rc = set_word(argv, found->root + 1, json_pack("{s:s}", "node-name", found->drive), false,
		      err);
	if (!rc)
		rc = drop_children(argv, found->options, &habits, err);
	copy_name(again.drive, found->drive);
	find_root(argv, &again);
	if (!rc)
		rc = set_word(argv, again.root + 1, blockdev_on(found->options, disk, &habits),
			      as_json, err);
	json_decref(again.options);
	return rc;
}

static int move_drive(json_t *argv, const struct found *found, const struct relocate_disk *disk,
		      struct errinfo *err)
{
	if (qemu_options_true(json_object_get(found->options, "snapshot")))
		return err_set(err, -ENOTSUP, "disk %s is a -drive with snapshot=on, whose changes "
			       "ended with QEMU", disk->name);
	return set_word(argv, found->root + 1, drive_on(found->options, disk), false, err);
}

/* --- where it is --- */

/* NAME, as QEMU writes an image, when that is a file on this host; else "". */
static void path_of(const char *name, const char *cwd, char path[PATH_MAX])
{
	static const char file[] = "file:", json[] = "json:";

	path[0] = '\0';
	if (!strncmp(name, json, strlen(json))) {
		json_t *options = json_loads(name + strlen(json), 0, NULL);
		const json_t *at = options;

		while (json_is_object(json_object_get(at, "file")))
			at = json_object_get(at, "file");
		if (json_text(at, "filename")[0])
			path_of(json_text(at, "filename"), cwd, path);
		json_decref(options);
		return;
	}
	if (!strncmp(name, file, strlen(file)))
		name += strlen(file);
	if (name[0] == '/')
		snprintf(path, PATH_MAX, "%s", name);
	else if (name[0] && strcspn(name, ":") >= strcspn(name, "/"))
		snprintf(path, PATH_MAX, "%s/%s", cwd ? cwd : "", name);
}

/* A -drive's node has a name that QEMU made, and so has one that somebody put on top of it:
 * its image tells.  What is no file here cannot be told apart. */
static bool drive_in_place(const json_t *options, const struct relocate_disk *disk)
{
	const char *named = json_text(options, "file");
	char was[PATH_MAX], is[PATH_MAX];

	if (!strcmp(disk->file, named))
		return true;
	path_of(named[0] ? named : json_text(options, "file.filename"), disk->cwd, was);
	path_of(disk->file, disk->cwd, is);
	return !strcmp(was, is) && (was[0] || disk->node[0] == '#');
}

/* Does the command line have the disk where it was last? */
static bool in_place(const struct found *found, const struct relocate_disk *disk)
{
	if (disk->moved)
		return false;
	if (found->blockdev)
		return !disk->node[0] || !strcmp(disk->node, found->drive);
	return drive_in_place(found->options, disk);
}

static int move(json_t *argv, const struct found *found, const struct relocate_disk *disk,
		struct errinfo *err)
{
	if (!found->root)
		return err_set(err, -ENOENT, "disk %s is not found on QEMU's command line (-blockdev, "
			       "or -drive with an id)", disk->name);
	if (in_place(found, disk))
		return 0;
	if (disk->file[0] != '/' || (strcmp(disk->format, "raw") && strcmp(disk->format, "qcow2")))
		return err_set(err, -ENOTSUP, "disk %s left what QEMU's command line has and is now "
			       "%.200s (%s), which cannot be put there", disk->name, disk->file,
			       disk->format);
	return found->blockdev ? move_blockdev(argv, found, disk, err)
			       : move_drive(argv, found, disk, err);
}

int relocate_argv(json_t *argv, const struct relocate_disk *disk, struct errinfo *err)
{
	json_t *changed = json_copy(argv);
	struct found found = {0};
	int rc;

	find_device(changed, disk->name, &found);
	find_root(changed, &found);
	rc = move(changed, &found, disk, err);
	if (!rc) {
		json_array_clear(argv);
		json_array_extend(argv, changed);
	}
	json_decref(found.options);
	json_decref(changed);
	return rc;
}

void relocate_start_words(json_t *argv, bool stopped)
{
	for (size_t i = 1; i < json_array_size(argv);) {
		bool incoming = is_option(argv, i, "incoming");

		/* A guest that is to run does so without us, too. */
		if (!incoming && !is_option(argv, i, "daemonize") && !is_option(argv, i, "S")) {
			i++;
			continue;
		}
		json_array_remove(argv, i);
		if (incoming)
			json_array_remove(argv, i);
	}
	if (stopped)
		json_array_append_new(argv, json_string("-S"));
}

/* --- what cannot be had again --- */

/* An option's key that holds the number of a descriptor; it was opened by whoever
 * started QEMU. */
static bool has_descriptor(const char *text)
{
	static const char *const keys[] = {"fd=", "fds=", "vhostfd=", "vhostfds=", "\"fd\":",
					   "\"fds\":", "\"vhostfd\":", "\"vhostfds\":"};

	if (strstr(text, "/dev/fdset/"))
		return true;
	for (unsigned i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		for (const char *at = text; (at = strstr(at, keys[i])); at++) {
			/* At the beginning of a key. */
			if (keys[i][0] == '"' || at == text || at[-1] == ',' || at[-1] == '.')
				return true;
		}
	}
	return false;
}

const char *relocate_lacks(const json_t *argv, const char *monitor)
{
	const char *name = strrchr(monitor, '/');
	bool reachable = false;

	name = name ? name + 1 : monitor;
	for (size_t i = 1; i < json_array_size(argv); i++) {
		reachable |= strstr(word(argv, i), name) != NULL;
		if (is_option(argv, i, "snapshot"))
			return "QEMU runs with -snapshot: its disks' changes end with it";
		if (is_option(argv, i, "runas") || (is_option(argv, i, "run-with") &&
						    strstr(word(argv, i + 1), "user=")))
			return "QEMU became another user (-runas), who cannot do that again";
		if (is_option(argv, i, "loadvm"))
			return "QEMU was started with -loadvm: it would go back to that snapshot";
		if (is_option(argv, i, "add-fd") || has_descriptor(word(argv, i)))
			return "QEMU was given open descriptors by whoever started it";
	}
	return reachable ? NULL : "QEMU's command line does not have the socket of --qmp";
}
