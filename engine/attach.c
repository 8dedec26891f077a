/* SPDX-License-Identifier: Apache-2.0
 *
 * attach: connect, look, refuse or warn, open the store, clean up what an
 * earlier run left.  Nothing in QEMU is changed before everything that can be
 * refused has been looked at.
 */
#include "sidecar.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "disk_list.h"
#include "instance.h"
#include "promote.h"
#include "rollback.h"
#include "suitable.h"

static struct guest guest_whole; /* with the disks that were not asked for */

/* A recovery makes an overlay with clusters of the block's size, and qcow2's first
 * table ends at 32 MiB. */
int sidecar_size_check(const struct guest_disk *disk, uint32_t block_bytes, struct errinfo *err)
{
	uint64_t cluster = block_bytes < 65536 ? block_bytes : 65536;
	uint64_t most = (UINT64_C(32) << 20) / 8 * (cluster / 8) * cluster;

	if (disk->size <= most)
		return 0;
	return err_set(err, -EFBIG, "disk %s has %llu bytes; with blocks of %u KiB at most %llu can "
		       "be recovered: take a larger --block-size", disk->name,
		       (unsigned long long)disk->size, block_bytes >> 10,
		       (unsigned long long)most);
}

/* What the disks take now, as the bytes the first copy will write; QEMU tells
 * it for files, else the full size counts. */
static uint64_t allocated_bytes(struct sidecar *sidecar)
{
	const json_t *entry;
	json_t *reply = NULL;
	uint64_t sum = 0;
	size_t i;

	if (monitor_call(&sidecar->monitor, "query-block", NULL, &reply, NULL))
		return 0;
	json_array_foreach(reply, i, entry) {
		const json_t *inserted = json_object_get(entry, "inserted");
		const json_t *image = json_object_get(inserted, "image");
		const json_t *actual = json_object_get(image, "actual-size");
		const char *node = json_string_value(json_object_get(inserted, "node-name"));
		const struct guest_disk *disk = node ? guest_find(&sidecar->guest, node) : NULL;
		uint64_t bytes = (uint64_t)json_integer_value(actual);

		if (disk)
			sum += actual && bytes < disk->size ? bytes : disk->size;
	}
	json_decref(reply);
	return sum;
}

int sidecar_make_store(struct sidecar *sidecar, const char *dir, uint64_t reserve_bytes,
		       struct errinfo *err)
{
	struct store_spec spec = {.block_bytes = sidecar->config->block_bytes,
				  .disk_count = sidecar->guest.disk_count};

	snprintf(spec.vm, sizeof(spec.vm), "%s", sidecar->guest.name);
	snprintf(spec.vm_uuid, sizeof(spec.vm_uuid), "%s", sidecar->guest.uuid);
	for (unsigned i = 0; i < spec.disk_count; i++) {
		int rc = sidecar_size_check(&sidecar->guest.disks[i], spec.block_bytes, err);

		if (rc)
			return rc;
		snprintf(spec.disks[i].name, sizeof(spec.disks[i].name), "%s",
			 sidecar->guest.disks[i].name);
		spec.disks[i].size = sidecar->guest.disks[i].size;
	}
	return store_create(dir, &spec, allocated_bytes(sidecar) + reserve_bytes, err);
}

int sidecar_open_store(struct sidecar *sidecar, uint32_t block_bytes, struct errinfo *err)
{
	uint32_t buffer_bytes = block_bytes > BOUND_BUFFER_BYTES ? block_bytes : BOUND_BUFFER_BYTES;
	int rc = pool_new(&sidecar->pool, sidecar->loop.ring, BOUND_POOL_BYTES / buffer_bytes,
			  buffer_bytes, block_bytes, err);

	return rc ? rc : store_open(&sidecar->store, sidecar->loop.ring, sidecar->pool,
				    sidecar->config->store, err);
}

static int open_store(struct sidecar *sidecar, struct errinfo *err)
{
	const char *dir = sidecar->config->store;
	struct store_info info;
	bool changed;
	int rc = store_inspect(dir, &info, err);

	if (rc == -ENOENT) {
		err_clear(err);
		rc = sidecar_make_store(sidecar, dir, 0, err);
		if (!rc)
			rc = store_inspect(dir, &info, err);
	}
	if (!rc)
		rc = disk_list_check(&info, &sidecar->guest, &guest_whole,
				     sidecar->config->drop_disks, dir, &changed, err);
	for (unsigned i = 0; !rc && i < sidecar->guest.disk_count; i++)
		rc = sidecar_size_check(&sidecar->guest.disks[i], info.spec.block_bytes, err);
	if (rc)
		return rc;
	rc = sidecar_open_store(sidecar, info.spec.block_bytes, err);
	if (!rc && changed)
		rc = disk_list_apply(sidecar, err);
	return rc;
}

/* That of the configuration, or, when it is gone, the one that took its place: then the
 * story begins anew. */
static int find_store(struct sidecar *sidecar, struct errinfo *err)
{
	int rc;

	if (successor_goes_first(sidecar))
		return 0;
	rc = open_store(sidecar, err);
	return rc && successor_steps_in(sidecar, rc, err->text) ? 0 : rc;
}

int sidecar_make_scratch(struct sidecar *sidecar, struct errinfo *err)
{
	uint64_t sizes[BOUND_DISKS];

	for (unsigned i = 0; i < sidecar->guest.disk_count; i++)
		sizes[i] = sidecar->guest.disks[i].size;
	return scratch_init(&sidecar->scratch, &sidecar->monitor, sizes,
			    sidecar->guest.disk_count, sidecar->config->scratch_bytes, err);
}

static int connect_monitor(struct sidecar *sidecar, struct errinfo *err)
{
	int rc = monitor_open(&sidecar->monitor, &sidecar->loop, sidecar->config->qmp, err);

	if (rc)
		return rc;
	sidecar->monitor.on_event = sidecar_event;
	sidecar->monitor.on_event_arg = sidecar;
	rc = guard_hold(&sidecar->guard, qmp_fd(sidecar->monitor.qmp), err);
	if (rc)
		return rc;
	sidecar->instance_fd = instance_claim(qmp_fd(sidecar->monitor.qmp), err);
	return sidecar->instance_fd < -1 ? sidecar->instance_fd : 0;
}

json_t *sidecar_disks_json(const struct guest *guest)
{
	json_t *disks = json_array();

	for (unsigned i = 0; i < guest->disk_count; i++) {
		const struct guest_disk *disk = &guest->disks[i];

		json_array_append_new(disks, json_pack("{s:s,s:s,s:I,s:s,s:s}", "name", disk->name,
						       "node", disk->node, "size",
						       (json_int_t)disk->size, "rerror",
						       disk->rerror, "werror", disk->werror));
	}
	return disks;
}

static void report_attached(struct sidecar *sidecar)
{
	const struct qmp_version *version = qmp_version(sidecar->monitor.qmp);
	char text[48];

	snprintf(text, sizeof(text), "%d.%d.%d", version->major, version->minor, version->micro);
	snprintf(sidecar->report.vm, sizeof(sidecar->report.vm), "%s", sidecar->guest.name);
	report_event(&sidecar->report, "attached",
		     json_pack("{s:s,s:o,s:s}", "qemu", text, "disks",
			       sidecar_disks_json(&sidecar->guest), "store",
			       sidecar->config->store));
}

static int look_at_guest(struct sidecar *sidecar, struct errinfo *err)
{
	const struct config *config = sidecar->config;
	int rc = guest_query(&sidecar->guest, &sidecar->monitor, err);

	guest_whole = sidecar->guest;
	if (!rc && config->named)
		rc = config->named(config->named_arg, sidecar->guest.name, err);
	if (!rc)
		rc = guest_select(&sidecar->guest, config->disks, config->disk_count, err);
	if (!rc)
		rc = suitable_iothreads(&sidecar->guest, qmp_version(sidecar->monitor.qmp), err);
	if (!rc && !sidecar->guest.disk_count)
		rc = err_set(err, -ENODEV, "the guest has no writable disk to protect%s%s",
			     sidecar->guest.skipped ? ": " : "", sidecar->guest.skipped_why);
	return rc;
}

/* What an earlier sidecar left; then the disks are what they were before it. */
static int clean_up(struct sidecar *sidecar, struct errinfo *err)
{
	bool filtered = false;
	int rc = mirror_clean(sidecar, err);

	if (rc > 0) /* a disk may have moved by it */
		rc = look_at_guest(sidecar, err);
	if (!rc)
		rc = leftovers_clean(sidecar, err);
	if (!rc)
		rc = promote_clean(sidecar, err);
	for (unsigned i = 0; i < sidecar->guest.disk_count; i++)
		filtered |= !strncmp(sidecar->guest.disks[i].node, "qheal-cbw", 9);
	if (!rc && filtered)
		rc = look_at_guest(sidecar, err);
	if (!rc) {
		rc = scratch_clean(&sidecar->monitor, err);
		sidecar->predecessor_killed = rc > 0;
	}
	return rc < 0 ? rc : 0;
}

/* A pivot has QEMU open files of the store, perhaps as another user or under a
 * security module: better to know before the disk fails. */
static void warn_unreadable(struct sidecar *sidecar)
{
	struct errinfo err = {0};
	char path[PATH_MAX];
	struct batch batch;

	store_head_path(store_dir(sidecar->store), sidecar->guest.disks[0].name, path,
			sizeof(path));
	batch_init(&batch, &sidecar->monitor);
	batch_add(&batch, "blockdev-add",
		  json_pack("{s:s,s:s,s:s,s:b}", "driver", "file", "node-name", "qheal-tmp-try",
			    "filename", path, "read-only", 1));
	batch_add(&batch, "blockdev-del", json_pack("{s:s}", "node-name", "qheal-tmp-try"));
	if (batch_run(&batch, &err))
		log_warn("QEMU cannot open files of the store (%s): a recovery could not pivot to "
			 "them; let QEMU's user read and write %s", err.text,
			 store_dir(sidecar->store));
	batch_release(&batch);
}

int sidecar_attach(struct sidecar *sidecar, struct errinfo *err)
{
	int rc = connect_monitor(sidecar, err);

	if (!rc)
		rc = suitable_qemu(&sidecar->monitor, err);
	if (!rc)
		rc = look_at_guest(sidecar, err);
	if (!rc)
		rc = reprotect_check_spare(sidecar, err);
	if (!rc)
		rc = find_store(sidecar, err);
	if (rc || sidecar->rebirth)
		return rc;
	sidecar->checkpoint.monitor = &sidecar->monitor;
	sidecar->checkpoint.guest = &sidecar->guest;
	sidecar->checkpoint.scratch = &sidecar->scratch;
	sidecar->checkpoint.read_limit =
		qmp_version(sidecar->monitor.qmp)->major < 9 ? CHECKPOINT_READ_BYTES : 0;
	sidecar->checkpoint.granularity = store_info(sidecar->store)->spec.block_bytes;
	suitable_warn(&sidecar->guest);
	rc = clean_up(sidecar, err);
	if (!rc)
		rc = rollback_settle(sidecar, err);
	if (!rc)
		warn_unreadable(sidecar);
	if (!rc)
		rc = exports_start(&sidecar->exports, &sidecar->monitor, sidecar->config->store,
				   sidecar->predecessor_killed, err);
	if (!rc)
		rc = sidecar_make_scratch(sidecar, err);
	sidecar->figures.attached_us = loop_realtime_us();
	if (!rc)
		report_attached(sidecar);
	return rc;
}

int sidecar_track(struct sidecar *sidecar, struct errinfo *err)
{
	json_t *actions = json_array();

	bitmap_name(sidecar, 0, sidecar->checkpoint.last);
	for (unsigned i = 0; i < sidecar->guest.disk_count; i++)
		json_array_append_new(actions,
				      json_pack("{s:s,s:{s:s,s:s,s:i}}", "type",
						"block-dirty-bitmap-add", "data", "node",
						sidecar->guest.disks[i].node, "name",
						sidecar->checkpoint.last, "granularity",
						(int)sidecar->checkpoint.granularity));
	return monitor_call(&sidecar->monitor, "transaction", json_pack("{s:o}", "actions",
									actions), NULL, err);
}
