/* SPDX-License-Identifier: Apache-2.0 */
#include "scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "jsontext.h"
#include "qcow2.h"

#define SCRATCH_OPAQUE "qheal-scratch"

static int scratch_make(struct scratch *scratch, unsigned index, struct errinfo *err)
{
	int fd = memfd_create("qheal-scratch", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return err_set(err, -errno, "memfd_create: %s", strerror(errno));
	scratch->files[index].fd = fd;
	if (ftruncate(fd, (off_t)scratch->limit_bytes) ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL))
		return err_set(err, -errno, "memory file of %llu bytes: %s",
			       (unsigned long long)scratch->limit_bytes, strerror(errno));
	return scratch_reset(scratch, index, err);
}

static int scratch_hand_over(struct scratch *scratch, unsigned index, struct monitor *monitor,
			     struct errinfo *err)
{
	json_t *reply = NULL;
	int rc = monitor_call_fd(monitor, "add-fd", json_pack("{s:s}", "opaque", SCRATCH_OPAQUE),
				 scratch->files[index].fd, &reply, err);

	if (!rc) {
		scratch->files[index].set =
			(int)json_integer_value(json_object_get(reply, "fdset-id"));
		scratch->files[index].handed = true;
	}
	json_decref(reply);
	return rc;
}

int scratch_init(struct scratch *scratch, struct monitor *monitor, const uint64_t *sizes,
		 unsigned count, uint64_t limit_bytes, struct errinfo *err)
{
	memset(scratch, 0, sizeof(*scratch));
	for (unsigned i = 0; i < BOUND_DISKS; i++) /* also of those that are not made */
		scratch->files[i].fd = -1;
	scratch->limit_bytes = limit_bytes / (count ? count : 1) & ~UINT64_C(65535);
	for (unsigned i = 0; i < count; i++) {
		int rc;

		scratch->files[i].virtual_size = sizes[i];
		scratch->count = i + 1;
		rc = scratch_make(scratch, i, err);
		if (!rc)
			rc = scratch_hand_over(scratch, i, monitor, err);
		if (rc)
			return rc;
	}
	return 0;
}

static void add_removal(struct batch *batch, json_int_t set)
{
	batch_add(batch, "remove-fd", json_pack("{s:I}", "fdset-id", set));
}

/* The end of a monitor removes its sets only when no other monitor is connected. */
void scratch_release(struct scratch *scratch, struct monitor *monitor)
{
	struct batch batch;

	batch_init(&batch, monitor);
	for (unsigned i = 0; i < scratch->count; i++) {
		if (scratch->files[i].fd < 0)
			continue;
		scratch_reset(scratch, i, NULL);
		close(scratch->files[i].fd);
		if (scratch->files[i].handed)
			add_removal(&batch, scratch->files[i].set);
	}
	if (batch.count && !monitor->closed)
		batch_run(&batch, NULL);
	batch_release(&batch);
	scratch->count = 0;
}

int scratch_clean(struct monitor *monitor, struct errinfo *err)
{
	json_t *sets = NULL;
	const json_t *set;
	struct batch batch;
	int rc = monitor_call(monitor, "query-fdsets", NULL, &sets, err), found;
	size_t i;

	if (rc)
		return rc;
	batch_init(&batch, monitor);
	json_array_foreach(sets, i, set) {
		const json_t *first = json_array_get(json_object_get(set, "fds"), 0);

		if (!strcmp(json_text(first, "opaque"), SCRATCH_OPAQUE) &&
		    batch.count < MONITOR_BATCH_MAX)
			add_removal(&batch,
				    json_integer_value(json_object_get(set, "fdset-id")));
	}
	found = (int)batch.count;
	rc = batch_run(&batch, err);
	batch_release(&batch);
	json_decref(sets);
	return rc ? rc : found;
}

int scratch_reset(struct scratch *scratch, unsigned index, struct errinfo *err)
{
	int fd = scratch->files[index].fd;
	int64_t used;

	if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
		      (off_t)scratch->limit_bytes))
		return err_set(err, -errno, "memory file: cannot give memory back: %s",
			       strerror(errno));
	used = qcow2_format(fd, scratch->files[index].virtual_size, NULL, err);
	return used < 0 ? (int)used : 0;
}

json_t *scratch_options(const struct scratch *scratch, unsigned index, const char *node)
{
	char path[32];

	snprintf(path, sizeof(path), "/dev/fdset/%d", scratch->files[index].set);
	/* "size" bounds the image inside QEMU as the seal does outside. */
	return json_pack("{s:s,s:s,s:{s:s,s:I,s:{s:s,s:s,s:s,s:{s:b}}}}", "driver", "qcow2",
			 "node-name", node, "file", "driver", "raw", "size",
			 (json_int_t)scratch->limit_bytes, "file", "driver", "file", "filename",
			 path, "locking", "off", "cache", "no-flush", 1);
}
