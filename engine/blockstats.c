/* SPDX-License-Identifier: Apache-2.0
 *
 * blockstats: see blockstats.h.
 */
#include "blockstats.h"

#include <string.h>

#include "jsontext.h"

#define QUEUE_MOST 32768 /* entries of a virtqueue */

static uint64_t count_of(const json_t *stats, const char *key)
{
	json_int_t n = json_integer_value(json_object_get(stats, key));

	return n > 0 ? (uint64_t)n : 0;
}

/* "qdev" is the device's path, or its id where the device has one itself (guest.c). */
static const struct guest_disk *disk_of(const json_t *entry, const struct guest *guest)
{
	const char *qdev = json_text(entry, "qdev");

	if (!qdev[0])
		return NULL;
	for (unsigned i = 0; i < guest->disk_count; i++) {
		const struct guest_disk *disk = &guest->disks[i];
		const char *id = strrchr(disk->qom, '/');

		if (!strcmp(disk->qom, qdev) || (id && qdev[0] != '/' && !strcmp(id + 1, qdev)))
			return disk;
	}
	return NULL;
}

static void take(const json_t *from, struct blockstats *stats)
{
	*stats = (struct blockstats){
		.known = true,
		.reads = count_of(from, "rd_operations"),
		.writes = count_of(from, "wr_operations"),
		.others = count_of(from, "flush_operations") + count_of(from, "unmap_operations"),
		.bytes = count_of(from, "rd_bytes") + count_of(from, "wr_bytes"),
		.failed = count_of(from, "failed_rd_operations") +
			  count_of(from, "failed_wr_operations") +
			  count_of(from, "failed_flush_operations") +
			  count_of(from, "failed_unmap_operations"),
		.busy_ns = count_of(from, "rd_total_time_ns") + count_of(from, "wr_total_time_ns"),
		.write_highest = count_of(from, "wr_highest_offset"),
	};
}

bool blockstats_parse(const json_t *reply, const struct guest *guest,
		      struct blockstats stats[BOUND_DISKS])
{
	const json_t *entry;
	size_t i;

	memset(stats, 0, BOUND_DISKS * sizeof(*stats));
	if (!json_is_array(reply))
		return false;
	json_array_foreach(reply, i, entry) {
		const struct guest_disk *disk = disk_of(entry, guest);
		const json_t *from = json_object_get(entry, "stats");

		if (disk && json_is_object(from))
			take(from, &stats[disk - guest->disks]);
	}
	return true;
}

unsigned blockstats_queue(const json_t *reply)
{
	json_int_t inuse = json_integer_value(json_object_get(reply, "inuse"));

	return inuse > 0 && inuse <= QUEUE_MOST ? (unsigned)inuse : 0;
}
