/* SPDX-License-Identifier: Apache-2.0
 *
 * The state file says whose content is in OUTPUT, and which file that is.  How
 * far the restore came is not in it: a restore that continues compares what is
 * there with the checksums, which is true also after a power cut, and when
 * somebody wrote to the file in between.
 */
#include "restore_output.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <libgen.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "image.h"
#include "jsontext.h"
#include "report.h"
#include "target.h"

#define STATE_MAX 4096 /* a few names and numbers */

static void state_path(const struct restore_output *output, char path[PATH_MAX + 16])
{
	snprintf(path, PATH_MAX + 16, "%s" RESTORE_STATE_SUFFIX, output->path);
}

static bool has_state(const struct restore_output *output)
{
	return !output->nbd && !output->device;
}

/* --- where it may not go --- */

static void parent_of(const char *path, char parent[PATH_MAX])
{
	char copy[PATH_MAX];

	snprintf(copy, sizeof(copy), "%s", path);
	snprintf(parent, PATH_MAX, "%s", dirname(copy));
}

/* In STORE or below it, links followed. */
static int place_check(const struct restore_output *output, const char *store, struct errinfo *err)
{
	char parent[PATH_MAX], place[PATH_MAX], root[PATH_MAX];
	size_t length;

	parent_of(output->path, parent);
	if (!realpath(output->existed ? output->path : parent, place))
		return err_set(err, -errno, "%s: %s", parent, strerror(errno));
	if (!realpath(store, root))
		return err_set(err, -errno, "%s: %s", store, strerror(errno));
	length = strlen(root);
	if (!strncmp(place, root, length) && (place[length] == '/' || !place[length]))
		return err_set(err, -EINVAL, "%s is inside the store %s, which a restore must not "
			       "write to; choose another --output",
			       output->path, store);
	return 0;
}

static bool is_same_file(const char *path, const struct file_identity *identity)
{
	struct file_identity other;

	return identity->kind == FILE_REGULAR && !file_identify_path(path, &other) &&
	       other.device == identity->device && other.inode == identity->inode;
}

/* A hard link to a head is the head, one to its sums the sums. */
static int head_check(const struct restore_output *output, const struct file_identity *identity,
		      const struct restore_wish *wish, struct errinfo *err)
{
	const struct store_spec *spec = &wish->info->spec;

	for (unsigned i = 0; i < spec->disk_count; i++) {
		char path[FILE_PATH_MAX];
		bool same;

		store_head_path(wish->store, spec->disks[i].name, path, sizeof(path));
		same = is_same_file(path, identity);
		snprintf(path, sizeof(path), "%s/disks/%s/sums", wish->store, spec->disks[i].name);
		if (same || is_same_file(path, identity))
			return err_set(err, -EINVAL, "%s is the head of disk %s, or its sums: the "
				       "replica itself; choose another --output",
				       output->path, spec->disks[i].name);
	}
	return 0;
}

static int use_check(const struct restore_output *output, struct errinfo *err)
{
	int fd = file_open(output->path, O_RDONLY);
	int status = fd < 0 ? fd : file_check_image(fd);

	for (unsigned ms = 0; status == -EBUSY && ms < RESTORE_LOCK_WAIT_MS;
	     ms += RESTORE_LOCK_POLL_MS) {
		poll(NULL, 0, RESTORE_LOCK_POLL_MS);
		status = file_check_image(fd);
	}
	file_close(fd);
	if (status == -EBUSY)
		return err_set(err, status, "%s is in use: a QEMU or another restore has it open; "
			       "end that first",
			       output->path);
	if (status)
		return err_set(err, status, "%s: %s", output->path, strerror(-status));
	return 0;
}

/* --- the state file --- */

static json_t *state_read(const struct restore_output *output)
{
	char path[PATH_MAX + 16], text[STATE_MAX];
	int64_t length = -1;
	int fd;

	state_path(output, path);
	fd = file_open(path, O_RDONLY);
	if (fd >= 0)
		length = file_read(fd, text, sizeof(text), 0);
	file_close(fd);
	return length > 0 ? json_loadb(text, (size_t)length, 0, NULL) : NULL;
}

static bool state_is(const json_t *state, const struct restore_wish *wish)
{
	return !strcmp(json_text(state, "store"), wish->info->uuid) &&
	       !strcmp(json_text(state, "disk"), wish->disk) &&
	       !strcmp(json_text(state, "format"), wish->qcow2 ? "qcow2" : "raw") &&
	       (uint64_t)json_integer_value(json_object_get(state, "size")) == wish->size;
}

/* The file that the state is of; or one just made, that has nothing. */
static bool state_is_of(const json_t *state, const char *path,
			const struct file_identity *identity)
{
	uint64_t inode = (uint64_t)json_integer_value(json_object_get(state, "inode"));
	int64_t born_us = json_integer_value(json_object_get(state, "born_us"));

	if (!inode)
		return !identity->allocated;
	return inode == identity->inode && (!born_us || born_us == file_born_us(path));
}

/* A qcow2 image has its clusters where its generation wants them. */
static enum restore_mode state_mode(const json_t *state, const struct restore_wish *wish)
{
	uint64_t generation = (uint64_t)json_integer_value(json_object_get(state, "generation"));

	return wish->qcow2 && generation != wish->generation ? RESTORE_REPLACE : RESTORE_CONTINUE;
}

bool restore_output_marked(const struct restore_output *output)
{
	struct file_identity identity;
	char path[PATH_MAX + 16];

	if (!has_state(output))
		return false;
	state_path(output, path);
	return file_identify_path(path, &identity) == 0;
}

int restore_output_mark(const struct restore_output *output, const struct restore_wish *wish,
			struct errinfo *err)
{
	char path[PATH_MAX + 16], parent[PATH_MAX], *text = NULL;
	struct file_identity identity = {0};
	json_t *state;
	int fd, status;

	if (!has_state(output))
		return 0;
	file_identify_path(output->path, &identity);
	state = json_pack("{s:i,s:s,s:s,s:s,s:I,s:s,s:I,s:I,s:I}", "version", 1, "store",
			  wish->info->uuid, "disk", wish->disk, "format",
			  wish->qcow2 ? "qcow2" : "raw", "size", (json_int_t)wish->size, "point",
			  wish->point, "generation", (json_int_t)wish->generation, "inode",
			  (json_int_t)identity.inode, "born_us",
			  (json_int_t)file_born_us(output->path));
	text = state ? json_dumps(state, REPORT_JSON) : NULL;
	json_decref(state);
	if (!text)
		return err_set(err, -ENOMEM, "no memory for the state of %s", output->path);
	state_path(output, path);
	parent_of(output->path, parent);
	fd = file_open(path, O_RDWR | O_CREAT);
	status = fd < 0 ? fd : file_truncate(fd, 0);
	if (!status)
		status = file_write(fd, text, strlen(text), 0);
	if (!status)
		status = file_sync(fd);
	if (!status)
		status = file_sync_dir(parent);
	file_close(fd);
	free(text);
	if (status)
		return err_set(err, status, "%s: cannot note that the restore began: %s", path,
			       strerror(-status));
	return 0;
}

void restore_output_forget(const struct restore_output *output)
{
	char path[PATH_MAX + 16];

	if (!has_state(output))
		return;
	state_path(output, path);
	file_remove(path);
}

int restore_output_flush(const struct restore_output *output, struct errinfo *err)
{
	char parent[PATH_MAX];
	int status;

	if (!has_state(output))
		return 0;
	parent_of(output->path, parent);
	status = file_sync_dir(parent);
	if (status)
		return err_set(err, status, "%s: cannot flush this directory: %s", parent,
			       strerror(-status));
	return 0;
}

/* --- what to do with it --- */

static int device_check(struct restore_output *output, const struct restore_wish *wish,
			struct errinfo *err)
{
	if (wish->qcow2)
		return err_set(err, -EINVAL, "%s is a block device: only raw can be restored to it",
			       output->path);
	if (!wish->in_place && !wish->force)
		return err_set(err, -EEXIST, "%s is a block device and loses what it has: say so "
			       "with --force, or with --in-place to write what differs",
			       output->path);
	output->device = true;
	output->mode = wish->in_place ? RESTORE_UPDATE : RESTORE_REPLACE;
	return 0;
}

static int file_mode(struct restore_output *output, const struct file_identity *identity,
		     const struct restore_wish *wish, struct errinfo *err)
{
	json_t *state = state_read(output);
	bool ours = state && state_is(state, wish) && state_is_of(state, output->path, identity);
	int status = 0;

	if (ours) /* one that ended before it had its size begins again */
		output->mode = !wish->qcow2 && identity->size != wish->size
				       ? RESTORE_REPLACE : state_mode(state, wish);
	else if (wish->in_place)
		output->mode = RESTORE_UPDATE;
	else if (wish->force)
		output->mode = RESTORE_REPLACE;
	else
		status = err_set(err, -EEXIST, "%s exists already%s: --force replaces it, "
				 "--in-place writes the blocks that differ",
				 output->path,
				 state ? ", an unfinished restore of something else" : "");
	json_decref(state);
	return status;
}

static int existing_check(struct restore_output *output, const struct file_identity *identity,
			  const struct restore_wish *wish, struct errinfo *err)
{
	int status = head_check(output, identity, wish, err);

	if (!status)
		status = use_check(output, err);
	if (status)
		return status;
	output->allocated = identity->allocated;
	if (identity->kind == FILE_BLOCK_DEVICE)
		return device_check(output, wish, err);
	status = file_mode(output, identity, wish, err);
	if (!status && output->mode == RESTORE_UPDATE && identity->size != wish->size)
		return err_set(err, -EFBIG, "%s has %llu bytes, disk %s %llu: it cannot be written "
			       "in place; --force replaces it",
			       output->path, (unsigned long long)identity->size, wish->disk,
			       (unsigned long long)wish->size);
	return status;
}

int restore_output_check(struct restore_output *output, const char *path,
			 const struct restore_wish *wish, struct errinfo *err)
{
	struct file_identity identity;
	int status;

	memset(output, 0, sizeof(*output));
	if (snprintf(output->path, sizeof(output->path), "%s", path) >= (int)sizeof(output->path))
		return err_set(err, -ENAMETOOLONG, "the path of disk %s is too long", wish->disk);
	output->nbd = target_is_nbd(path);
	if (output->nbd) {
		output->mode = wish->in_place ? RESTORE_UPDATE : RESTORE_REPLACE;
		return 0;
	}
	status = file_identify_path(path, &identity);
	if (status && status != -ENOENT)
		return err_set(err, status, "%s: %s", path, strerror(-status));
	output->existed = !status;
	if (output->existed && identity.kind == FILE_DIRECTORY)
		return err_set(err, -EISDIR, "%s is a directory; one disk goes into a file: give "
			       "its name, or --all for all disks",
			       path);
	if (output->existed && identity.kind != FILE_REGULAR && identity.kind != FILE_BLOCK_DEVICE)
		return err_set(err, -EINVAL, "%s is neither a file nor a block device", path);
	status = place_check(output, wish->store, err);
	if (!status && output->existed)
		status = existing_check(output, &identity, wish, err);
	return status;
}
