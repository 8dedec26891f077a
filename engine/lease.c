/* SPDX-License-Identifier: Apache-2.0
 *
 * lease: see lease.h.
 */
#include "lease.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "file.h"
#include "jsontext.h"
#include "report.h"
#include "text.h"

#define FORMAT 1
#define MACHINE_ID "/etc/machine-id"
#define BOOT_ID "/proc/sys/kernel/random/boot_id"

static bool copy_text(const json_t *object, const char *key, char *text, size_t size)
{
	const json_t *value = json_object_get(object, key);

	return json_is_string(value) && text_copy(text, size, json_string_value(value));
}

static bool copy_number(const json_t *object, const char *key, json_int_t min, json_int_t max,
			uint64_t *number)
{
	const json_t *value = json_object_get(object, key);
	json_int_t found = json_integer_value(value);

	*number = (uint64_t)found;
	return json_is_integer(value) && found >= min && found <= max;
}

int lease_parse(struct lease *lease, const char *text, size_t length, struct errinfo *err)
{
	json_t *object = json_loadb(text, length, 0, NULL);
	uint64_t format, seconds;
	bool good;

	memset(lease, 0, sizeof(*lease));
	good = copy_number(object, "format", FORMAT, FORMAT, &format) &&
	       copy_text(object, "host", lease->host, sizeof(lease->host)) &&
	       copy_text(object, "machine", lease->machine, sizeof(lease->machine)) &&
	       copy_text(object, "boot", lease->boot, sizeof(lease->boot)) &&
	       copy_text(object, "vm", lease->vm, sizeof(lease->vm)) &&
	       copy_number(object, "seconds", LEASE_MIN_S, LEASE_MAX_S, &seconds) &&
	       copy_number(object, "count", 0, INT64_MAX, &lease->count) &&
	       copy_number(object, "dirty_bytes", 0, INT64_MAX, &lease->dirty_bytes) &&
	       json_is_boolean(json_object_get(object, "released"));
	if (good) {
		lease->seconds = (unsigned)seconds;
		lease->released = json_is_true(json_object_get(object, "released"));
	}
	json_decref(object);
	return good ? 0 : err_set(err, -EUCLEAN, "that is no lease of format %d", FORMAT);
}

void lease_format(const struct lease *lease, char text[LEASE_BYTES])
{
	json_t *object = json_pack("{s:i,s:s,s:s,s:s,s:s,s:i,s:I,s:I,s:b}", "format", FORMAT,
				   "host", lease->host, "machine", lease->machine, "boot",
				   lease->boot, "vm", lease->vm, "seconds",
				   (int)lease->seconds, "count", (json_int_t)lease->count,
				   "dirty_bytes", (json_int_t)lease->dirty_bytes, "released",
				   lease->released);

	memset(text, ' ', LEASE_BYTES);
	text[LEASE_BYTES - 1] = '\n';
	/* It fits: its texts are bounded, and hosts and guests have plain names. */
	if (json_dumpb(object, text, LEASE_BYTES - 1, REPORT_JSON) > LEASE_BYTES - 1)
		memset(text, ' ', LEASE_BYTES - 1);
	json_decref(object);
}

bool lease_same_machine(const struct lease *a, const struct lease *b)
{
	return !strcmp(a->machine, b->machine);
}

bool lease_same_host(const struct lease *a, const struct lease *b)
{
	return lease_same_machine(a, b) && !strcmp(a->boot, b->boot);
}

/* The first line of a file of the system, "" without one. */
static void read_line(const char *path, char *line, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got = fd < 0 ? -1 : read(fd, line, size - 1);

	line[got > 0 ? got : 0] = '\0';
	line[strcspn(line, "\n")] = '\0';
	if (fd >= 0)
		close(fd);
}

void lease_here(struct lease *lease)
{
	const char *name = getenv(LEASE_NODE_ENV);

	read_line(BOOT_ID, lease->boot, sizeof(lease->boot));
	read_line(MACHINE_ID, lease->machine, sizeof(lease->machine));
	if (name) {
		snprintf(lease->host, sizeof(lease->host), "%s", name);
		snprintf(lease->machine, sizeof(lease->machine), "%s", name);
	} else if (gethostname(lease->host, sizeof(lease->host))) {
		lease->host[0] = '\0';
	}
	lease->host[sizeof(lease->host) - 1] = '\0';
	if (!lease->machine[0])
		snprintf(lease->machine, sizeof(lease->machine), "%s", lease->boot);
}

int lease_open(const char *dir, int flags)
{
	char path[PATH_MAX];

	if (snprintf(path, PATH_MAX, "%s/" LEASE_FILE, dir) >= PATH_MAX)
		return -ENAMETOOLONG;
	return file_open(path, flags | O_NOFOLLOW);
}

int lease_write(int fd, const struct lease *lease)
{
	char text[LEASE_BYTES];
	ssize_t put;

	lease_format(lease, text);
	put = pwrite(fd, text, sizeof(text), 0);
	if (put != sizeof(text))
		return put < 0 ? -errno : -EIO;
	return fsync(fd) ? -errno : 0;
}

void lease_release(const char *dir)
{
	struct errinfo err = {0};
	struct lease lease;
	int fd, rc;

	if (lease_read(dir, &lease, &err) || lease.released)
		return;
	lease_here(&lease);
	lease.released = true;
	lease.count++;
	fd = lease_open(dir, O_WRONLY);
	rc = fd < 0 ? fd : lease_write(fd, &lease);
	if (rc)
		log_warn("%s: an old lease cannot be released: %s", dir, strerror(-rc));
	else
		log_info("%s: the old lease of %s is released", dir, lease.vm);
	file_close(fd);
}

int lease_read(const char *dir, struct lease *lease, struct errinfo *err)
{
	char text[LEASE_BYTES];
	ssize_t got;
	int fd, code;

	memset(lease, 0, sizeof(*lease));
	fd = lease_open(dir, O_RDONLY | O_NONBLOCK);
	if (fd < 0)
		return err_set(err, fd, "%s/" LEASE_FILE ": %s", dir, strerror(-fd));
	got = pread(fd, text, sizeof(text), 0);
	code = errno;
	file_close(fd);
	if (got < 0)
		return err_set(err, -code, "%s/" LEASE_FILE ": %s", dir, strerror(code));
	return lease_parse(lease, text, (size_t)got, err);
}

int lease_refuse_other(struct loop *loop, const char *dir, struct errinfo *err)
{
	struct lease here = {0}, seen, now;
	struct errinfo ignored = {0};

	lease_here(&here);
	if (lease_read(dir, &seen, &ignored) || seen.released || lease_same_host(&seen, &here))
		return 0;
	log_info("%s: host %s had this guest last: does it renew its lease within %u s?", dir,
		 seen.host, seen.seconds);
	loop_until_set(loop, &loop->quit, ring_now_ns() + seen.seconds * 1000 * NS_PER_MS);
	if (loop->quit)
		return -EINTR;
	if (lease_read(dir, &now, &ignored) || now.released || lease_same_host(&now, &here) ||
	    (lease_same_host(&now, &seen) && now.count == seen.count))
		return 0;
	return err_set(err, -EBUSY, "%s: host %s renews its lease of %s: the guest runs there; end "
		       "its sidecar first", dir, now.host, now.vm);
}
