/* SPDX-License-Identifier: Apache-2.0 */
#include "guest.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "jsontext.h"
#include "text.h"

static const char peripheral[] = "/machine/peripheral/";

/* "/machine/peripheral/vda/virtio-backend" -> "vda" */
static bool id_of_path(const char *qom, char *id, size_t size)
{
	const char *start;
	size_t length;

	if (strncmp(qom, peripheral, sizeof(peripheral) - 1))
		return false;
	start = qom + sizeof(peripheral) - 1;
	length = strcspn(start, "/");
	if (!length || length >= size)
		return false;
	memcpy(id, start, length);
	id[length] = '\0';
	return true;
}

bool guest_is_filter(const char *driver)
{
	static const char *const filters[] = {
		"throttle", "copy-on-read", "copy-before-write", "blkdebug", "blkverify",
		"blklogwrites", "blkreplay", "quorum", "replication", "preallocate", "compress",
		"snapshot-access", "",
	};

	for (unsigned i = 0; i < sizeof(filters) / sizeof(filters[0]); i++) {
		if (!strcmp(driver, filters[i]))
			return true;
	}
	return false;
}

static void parse_bitmaps(struct guest_disk *disk, const json_t *list)
{
	const json_t *item;
	size_t i;

	disk->bitmap_count = 0;
	json_array_foreach(list, i, item) {
		struct guest_bitmap *bitmap = &disk->bitmaps[disk->bitmap_count];
		const char *name = json_text(item, "name");

		if (strncmp(name, GUEST_BITMAP_PREFIX, strlen(GUEST_BITMAP_PREFIX)) ||
		    strlen(name) >= sizeof(bitmap->name) ||
		    disk->bitmap_count == GUEST_BITMAPS_MAX)
			continue;
		text_copy(bitmap->name, sizeof(bitmap->name), name);
		bitmap->dirty_bytes = (uint64_t)json_integer_value(json_object_get(item, "count"));
		bitmap->granularity =
			(uint64_t)json_integer_value(json_object_get(item, "granularity"));
		bitmap->recording = json_is_true(json_object_get(item, "recording"));
		bitmap->busy = json_is_true(json_object_get(item, "busy"));
		bitmap->inconsistent = json_is_true(json_object_get(item, "inconsistent"));
		disk->bitmap_count++;
	}
}

/* Where the device is, and what it is called.  "qdev" is the id where the device
 * that has the property has one itself (SCSI, IDE), else its path. */
static bool parse_names(struct guest_disk *disk, const json_t *entry, const json_t *inserted)
{
	const char *device = json_text(entry, "device"), *qdev = json_text(entry, "qdev");
	bool whole = text_copy(disk->node, sizeof(disk->node), json_text(inserted, "node-name"));

	whole &= snprintf(disk->qom, sizeof(disk->qom), "%s%s", qdev[0] == '/' ? "" : peripheral,
			  qdev) < (int)sizeof(disk->qom);
	if (!id_of_path(disk->qom, disk->name, sizeof(disk->name)))
		whole &= text_copy(disk->name, sizeof(disk->name), device[0] ? device : disk->node);
	return whole;
}

/* False: not a disk that can be handled, WHY tells. */
static bool parse_disk(struct guest_disk *disk, const json_t *entry, const json_t *inserted,
		       char *why, size_t why_size)
{
	const json_t *cache = json_object_get(inserted, "cache");
	const json_t *image = json_object_get(inserted, "image");
	json_int_t size = json_integer_value(json_object_get(image, "virtual-size"));

	if (!parse_names(disk, entry, inserted) || !disk->node[0]) {
		snprintf(why, why_size, "%.60s: its device or node has no name of usable length",
			 json_text(entry, "qdev"));
		return false;
	}
	if (size < 512) {
		snprintf(why, why_size, "%s: QEMU tells a size of %lld bytes", disk->name,
			 (long long)size);
		return false;
	}
	disk->size = (uint64_t)size;
	text_copy(disk->driver, sizeof(disk->driver), json_text(inserted, "drv"));
	text_copy(disk->file, sizeof(disk->file), json_text(inserted, "file"));
	disk->cache_direct = json_is_true(json_object_get(cache, "direct"));
	disk->cache_no_flush = json_is_true(json_object_get(cache, "no-flush"));
	disk->io_failed = strcmp(json_text(entry, "io-status"), "ok") &&
			  json_object_get(entry, "io-status");
	parse_bitmaps(disk, json_object_get(inserted, "dirty-bitmaps"));
	return true;
}

static void keep_policy(struct guest_disk *disk, const struct guest *before)
{
	for (unsigned i = 0; i < before->disk_count; i++) {
		const struct guest_disk *old = &before->disks[i];

		if (strcmp(old->qom, disk->qom))
			continue;
		memcpy(disk->rerror, old->rerror, sizeof(disk->rerror));
		memcpy(disk->werror, old->werror, sizeof(disk->werror));
		memcpy(disk->iothread, old->iothread, sizeof(disk->iothread));
	}
}

int guest_parse_block(struct guest *guest, const json_t *reply, struct errinfo *err)
{
	static struct guest before; /* large; one flow of control */
	const json_t *entry;
	size_t i;

	if (!json_is_array(reply))
		return err_set(err, -EPROTO, "query-block did not answer with a list");
	before = *guest;
	guest->disk_count = guest->skipped = 0;
	json_array_foreach(reply, i, entry) {
		const json_t *inserted = json_object_get(entry, "inserted");
		struct guest_disk *disk = &guest->disks[guest->disk_count];

		if (!inserted || json_is_true(json_object_get(inserted, "ro")) ||
		    !json_text(entry, "qdev")[0])
			continue;
		if (guest->disk_count == BOUND_DISKS)
			return err_set(err, -E2BIG, "the guest has more than %d writable disks: "
				       "qheal handles no more than that", BOUND_DISKS);
		memset(disk, 0, sizeof(*disk));
		if (!parse_disk(disk, entry, inserted, guest->skipped_why,
				sizeof(guest->skipped_why))) {
			guest->skipped++;
			continue;
		}
		keep_policy(disk, &before);
		guest->disk_count++;
	}
	return 0;
}

int guest_parse_status(struct guest *guest, const json_t *reply)
{
	text_copy(guest->status, sizeof(guest->status), json_text(reply, "status"));
	return guest->status[0] ? 0 : -EPROTO;
}

bool guest_running(const struct guest *guest)
{
	return !strcmp(guest->status, "running");
}

/* A string property of a QOM object; false when it has none. */
static bool qom_text(struct monitor *monitor, const char *path, const char *property, char *text,
		     size_t size)
{
	json_t *value = NULL;
	bool found = false;

	if (!monitor_call(monitor, "qom-get",
			  json_pack("{s:s,s:s}", "path", path, "property", property), &value, NULL) &&
	    json_is_string(value)) {
		text_copy(text, size, json_string_value(value));
		found = true;
	}
	json_decref(value);
	return found;
}

/* virtio-blk has the property itself, a SCSI disk's controller stands two steps
 * above it: disk -> parent_bus "/…/scsi0.0" -> its parent. */
static void query_iothread(struct guest_disk *disk, struct monitor *monitor)
{
	char path[192];
	char *slash;

	if (qom_text(monitor, disk->qom, "iothread", disk->iothread, sizeof(disk->iothread)))
		return;
	if (!qom_text(monitor, disk->qom, "parent_bus", path, sizeof(path)))
		return;
	slash = strrchr(path, '/');
	if (!slash)
		return;
	*slash = '\0';
	qom_text(monitor, path, "iothread", disk->iothread, sizeof(disk->iothread));
}

void guest_query_policies(struct guest *guest, struct monitor *monitor)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < guest->disk_count; i++) {
		struct guest_disk *disk = &guest->disks[i];

		if (!qom_text(monitor, disk->qom, "rerror", disk->rerror, sizeof(disk->rerror)) ||
		    !qom_text(monitor, disk->qom, "werror", disk->werror, sizeof(disk->werror))) {
			guest->skipped++;
			snprintf(guest->skipped_why, sizeof(guest->skipped_why),
				 "%s: its device has no rerror/werror (NVMe, pflash, vhost-user): "
				 "use virtio-blk, SCSI or IDE", disk->name);
			continue;
		}
		query_iothread(disk, monitor);
		if (kept != i)
			guest->disks[kept] = *disk;
		kept++;
	}
	guest->disk_count = kept;
}

static int query_identity(struct guest *guest, struct monitor *monitor, struct errinfo *err)
{
	static const char no_uuid[] = "00000000-0000-0000-0000-000000000000";
	json_t *reply = NULL;
	int rc = monitor_call(monitor, "query-uuid", NULL, &reply, err);

	if (rc)
		return rc;
	text_copy(guest->uuid, sizeof(guest->uuid), json_text(reply, "UUID"));
	if (!strcmp(guest->uuid, no_uuid))
		guest->uuid[0] = '\0';
	json_decref(reply);
	rc = monitor_call(monitor, "query-name", NULL, &reply, err);
	if (rc)
		return rc;
	if (!text_copy(guest->name, sizeof(guest->name), json_text(reply, "name")))
		rc = err_set(err, -ENAMETOOLONG, "the name of the guest (-name) has %zu bytes, and "
			     "%d are the most that can be told from another's",
			     strlen(json_text(reply, "name")), BOUND_VM_NAME);
	json_decref(reply);
	if (!guest->name[0])
		text_copy(guest->name, sizeof(guest->name), guest->uuid[0] ? guest->uuid : "guest");
	return rc;
}

int guest_query_nodes(struct monitor *monitor, json_t **nodes, struct errinfo *err)
{
	return monitor_call(monitor, "query-named-block-nodes", json_pack("{s:b}", "flat", 1), nodes,
			    err);
}

int guest_query(struct guest *guest, struct monitor *monitor, struct errinfo *err)
{
	json_t *reply = NULL;
	int rc;

	memset(guest, 0, sizeof(*guest));
	rc = query_identity(guest, monitor, err);
	if (rc)
		return rc;
	rc = monitor_call(monitor, "query-status", NULL, &reply, err);
	if (rc)
		return rc;
	rc = guest_parse_status(guest, reply);
	json_decref(reply);
	if (rc)
		return err_set(err, rc, "query-status did not answer with a status");
	rc = monitor_call(monitor, "query-block", NULL, &reply, err);
	if (rc)
		return rc;
	rc = guest_parse_block(guest, reply, err);
	json_decref(reply);
	if (!rc)
		guest_query_policies(guest, monitor);
	return rc;
}

/* A node may be called as another disk's device is: devices first. */
struct guest_disk *guest_find(struct guest *guest, const char *name)
{
	for (unsigned i = 0; i < guest->disk_count; i++) {
		if (!strcmp(guest->disks[i].name, name))
			return &guest->disks[i];
	}
	for (unsigned i = 0; i < guest->disk_count; i++) {
		if (!strcmp(guest->disks[i].node, name))
			return &guest->disks[i];
	}
	return NULL;
}

static void list_names(const struct guest *guest, char *text, size_t size)
{
	size_t used = 0;

	snprintf(text, size, "none");
	for (unsigned i = 0; i < guest->disk_count && used < size; i++)
		used += (size_t)snprintf(text + used, size - used, "%s%s", i ? ", " : "",
					 guest->disks[i].name);
}

static int refuse_twins(const struct guest *guest, struct errinfo *err)
{
	for (unsigned i = 0; i < guest->disk_count; i++) {
		for (unsigned j = 0; j < i; j++) {
			if (!strcmp(guest->disks[i].name, guest->disks[j].name))
				return err_set(err, -EEXIST, "two disks are named %s (nodes %s and "
					       "%s): give their devices different ids",
					       guest->disks[i].name, guest->disks[j].node,
					       guest->disks[i].node);
		}
	}
	return 0;
}

int guest_select(struct guest *guest, const char *const *names, unsigned count,
		 struct errinfo *err)
{
	bool wanted[BOUND_DISKS] = {false};
	unsigned kept = 0;

	for (unsigned i = 0; i < count; i++) {
		struct guest_disk *disk = guest_find(guest, names[i]);
		char have[256];

		if (!disk) {
			list_names(guest, have, sizeof(have));
			return err_set(err, -ENOENT, "the guest has no protectable disk %s (it has: "
				       "%s)%s%s", names[i], have, guest->skipped ? "; left out: " : "",
				       guest->skipped_why);
		}
		wanted[disk - guest->disks] = true;
	}
	for (unsigned i = 0; i < guest->disk_count; i++) {
		if (count && !wanted[i])
			continue;
		if (kept != i)
			guest->disks[kept] = guest->disks[i];
		kept++;
	}
	guest->disk_count = kept;
	return refuse_twins(guest, err);
}

const struct guest_bitmap *guest_bitmap_find(const struct guest_disk *disk, const char *name)
{
	for (unsigned i = 0; i < disk->bitmap_count; i++) {
		if (!strcmp(disk->bitmaps[i].name, name))
			return &disk->bitmaps[i];
	}
	return NULL;
}
