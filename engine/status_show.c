/* SPDX-License-Identifier: Apache-2.0
 *
 * status_show: see status_show.h.
 */
#include "status_show.h"

#include <string.h>

#include "jsontext.h"
#include "progress.h"
#include "text.h"

static long long number(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

static double real(const json_t *object, const char *key)
{
	return json_number_value(json_object_get(object, key));
}

static bool has(const json_t *object, const char *key)
{
	return json_object_get(object, key) != NULL;
}

/* --- health --- */

static void show_qemu(FILE *out, const json_t *health)
{
	const json_t *qemu = json_object_get(health, "qemu"), *host = json_object_get(health, "host");
	const json_t *agent = json_object_get(health, "agent");
	char size[16];

	if (!health)
		return;
	progress_bytes(size, real(qemu, "resident"));
	text_print(out, "  qemu: %s", json_text(health, "run"));
	if (has(qemu, "pid"))
		text_print(out, ", pid %lld", number(qemu, "pid"));
	if (has(qemu, "cpu_percent"))
		text_print(out, ", %.0f %% of a core, %s", real(qemu, "cpu_percent"), size);
	if (real(qemu, "waiting_ms") >= 1000)
		text_print(out, ", silent for %.1f s", real(qemu, "waiting_ms") / 1e3);
	else if (has(qemu, "answer_ms"))
		text_print(out, ", answers in %.1f ms", real(qemu, "answer_ms"));
	if (has(host, "memory_pressure_percent"))
		text_print(out, "\n  host: memory pressure %.1f %%",
			real(host, "memory_pressure_percent"));
	if (has(host, "corrected_errors"))
		text_print(out, "; %lld memory errors corrected", number(host, "corrected_errors"));
	if (has(agent, "answered_s"))
		text_print(out, "\n  agent: answered %.0f s ago", real(agent, "answered_s"));
	else if (strcmp(json_text(agent, "state"), "none"))
		text_print(out, "\n  agent: %s", json_text(agent, "state"));
	fputc('\n', out);
}

static void show_disk_health(FILE *out, const json_t *disk)
{
	text_print(out, "  disk %-12.20s", json_text(disk, "name"));
	if (has(disk, "latency_ms"))
		text_print(out, " %7.2f ms a request", real(disk, "latency_ms"));
	else
		text_print(out, "  no requests yet  ");
	if (has(disk, "usual_ms"))
		text_print(out, " (usual %.2f)", real(disk, "usual_ms"));
	if (number(disk, "waiting"))
		text_print(out, ", %lld wait for %.0f s", number(disk, "waiting"),
			real(disk, "quiet_s"));
	if (number(disk, "errors"))
		text_print(out, ", %lld errors", number(disk, "errors"));
	if (has(disk, "probe"))
		text_print(out, ", probe %s", json_text(disk, "probe"));
	fputs(json_is_true(json_object_get(disk, "slower")) ? ", SLOWER\n" : "\n", out);
}

static void show_health(FILE *out, const json_t *health)
{
	const json_t *item;
	size_t i;

	show_qemu(out, health);
	json_array_foreach(json_object_get(health, "disks"), i, item)
		show_disk_health(out, item);
	json_array_foreach(json_object_get(health, "faults"), i, item)
		text_print(out, "  %s now: %s of %s: %s\n",
			json_is_true(json_object_get(item, "warning")) ? "warning" : "fault",
			json_text(item, "kind"), json_text(item, "resource"),
			json_text(item, "detail"));
}

/* --- the rest --- */

static void show_disks(FILE *out, const json_t *status)
{
	const json_t *disk;
	size_t i;

	json_array_foreach(json_object_get(status, "disks"), i, disk)
		text_print(out, "  disk %-12s %10.1f MiB\n", json_text(disk, "name"),
			(double)number(disk, "size") / (1 << 20));
}

static void show_space(FILE *out, const json_t *space)
{
	char heads[16], journal[16], points[16], promoted[16], free_[16], total[16];

	progress_bytes(heads, real(space, "heads"));
	progress_bytes(journal, real(space, "journal"));
	progress_bytes(points, real(space, "points"));
	progress_bytes(promoted, real(space, "promoted"));
	progress_bytes(free_, real(space, "fs_free"));
	progress_bytes(total, real(space, "fs_size"));
	text_print(out, "  space: heads %s, journal %s, %lld points %s, promoted %s\n"
		"         %s of %s are free\n", heads, journal, number(space, "points_count"), points,
		promoted, free_, total);
	if (json_text(space, "full_at")[0])
		text_print(out, "  at the present rate of %lld bytes/s it is full at %s\n",
			number(space, "growth"), json_text(space, "full_at"));
}

static void show_scrub(FILE *out, const json_t *scrub)
{
	if (!scrub)
		return;
	text_print(out, "  scrub: disk %s at %.1f MiB, %lld passes\n"
		"         bad blocks: %lld of the replica, %lld of the disks, %lld healed\n",
		json_text(scrub, "disk"), (double)number(scrub, "position") / (1 << 20),
		number(scrub, "passes"), number(scrub, "bad_replica"), number(scrub, "bad_source"),
		number(scrub, "healed"));
}

static void show_cycles(FILE *out, const json_t *status)
{
	if (!json_is_true(json_object_get(status, "sidecar"))) {
		text_print(out, "  no sidecar is running on this store\n");
		if (json_text(status, "left")[0])
			text_print(out, "  it failed, and was left for %s\n",
				json_text(status, "left"));
		return;
	}
	if (json_text(status, "origin")[0])
		text_print(out, "  it took the place of %s, which failed\n",
			json_text(status, "origin"));
	text_print(out, "  guest %s; lag %lld ms, every %lld ms\n"
		"  %lld cycles, %lld with nothing to do, %lld skipped, %lld failed\n"
		"  %lld bytes in all, %lld in the last cycle, %lld ms\n", json_text(status, "guest"),
		number(status, "lag_ms"), number(status, "interval_ms"), number(status, "cycles"),
		number(status, "empty_cycles"), number(status, "skipped_cycles"),
		number(status, "failed_cycles"), number(status, "bytes"),
		number(status, "last_bytes"), number(status, "cycle_ms"));
}

static void show_lease(FILE *out, const json_t *lease)
{
	if (lease)
		text_print(out, "  lease: host %s, %lld s%s; %s\n", json_text(lease, "host"),
			number(lease, "seconds"),
			json_is_true(json_object_get(lease, "released")) ? ", released" : "",
			json_is_true(json_object_get(lease, "standby"))
				? "a standby waits" : "no standby is seen from here");
}

static void show_past(FILE *out, const json_t *status)
{
	const json_t *fault = json_object_get(status, "last_fault");
	const json_t *recovery = json_object_get(status, "last_recovery");
	const json_t *image = json_object_get(recovery, "image");
	const json_t *model = json_object_get(status, "model");

	if (json_text(status, "degraded")[0])
		text_print(out, "  behind: %s\n", json_text(status, "degraded"));
	if (fault)
		text_print(out, "  last fault: %s on %s: %s\n", json_text(fault, "kind"),
			json_text(fault, "resource"), json_text(fault, "detail"));
	if (recovery)
		text_print(out, "  last recovery: %s, %.1f ms%s%s\n", json_text(recovery, "strategy"),
			real(recovery, "downtime_ms"), image ? ", now on " : "",
			json_text(image, "path"));
	if (number(model, "outcomes"))
		text_print(out, "  predictions: %lld of %lld within 25 %% or 5 ms, median off by %.0f "
			"%%\n", number(model, "within"), number(model, "outcomes"),
			real(model, "median_error_percent"));
}

void status_show(FILE *out, const json_t *status)
{
	const char *time = json_text(status, "point_time");

	text_print(out, "%s: %s, generation %lld of %s, replica %s\n", json_text(status, "vm"),
		json_text(status, "state"), number(status, "generation"),
		time[0] ? time : "no time yet", json_text(status, "replica"));
	show_disks(out, status);
	show_cycles(out, status);
	show_health(out, json_object_get(status, "health"));
	show_space(out, json_object_get(status, "space"));
	show_scrub(out, json_object_get(status, "scrub"));
	show_lease(out, json_object_get(status, "lease"));
	show_past(out, status);
}

void status_show_line(FILE *out, const json_t *status)
{
	const json_t *health = json_object_get(status, "health"), *item;
	size_t i;

	text_print(out, "%s: %s, generation %lld", json_text(status, "vm"),
		json_text(status, "state"), number(status, "generation"));
	if (json_is_true(json_object_get(status, "sidecar")))
		text_print(out, ", guest %s, lag %lld ms", json_text(status, "guest"),
			number(status, "lag_ms"));
	json_array_foreach(json_object_get(health, "disks"), i, item) {
		if (has(item, "latency_ms"))
			text_print(out, ", %s %.2f ms", json_text(item, "name"),
				real(item, "latency_ms"));
	}
	json_array_foreach(json_object_get(health, "faults"), i, item)
		text_print(out, ", %s of %s", json_text(item, "kind"), json_text(item, "resource"));
}
