/* SPDX-License-Identifier: Apache-2.0
 *
 * Writes numbered records (record.h), one at a time, and tells the host of
 * each acknowledged one with a single byte on the debug port: '.' means "one
 * more", 'N' and 16 hex digits set the count (at every boot).  A byte costs a
 * port access, a line on the serial console would cost more than the write.
 *
 * Orders are lines on the console:
 *	pause, resume, rate R, mix PERCENT, until N, burst MIB, sync, ping,
 *	latency, reboot, poweroff, panic, watchdog, crash SECONDS, poison
 * each answered by OK.  What is said besides, once a second while it runs:
 *	RATE n LAT us	records acknowledged and slowest request of that second
 *	LATENCY n p50 us p99 us p999 us max us	of the requests since the last such
 *		order, to which it is the answer
 *	GUEST-ERROR errno record n, GUEST-CORRUPT record n
 */
#include "guest.h"
#include "latency.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/io.h>
#include <sys/ioctl.h>
#include <sys/reboot.h>
#include <time.h>
#include <unistd.h>

#include <linux/fs.h>

#define DEBUG_PORT 0xe9
#define PVPANIC_PORT 0x505
#define PVPANIC_PANICKED 1
#define PVPANIC_CRASHLOADED 2
#define IB700_START_PORT 0x443
#define ORDERS_EVERY_NS 5000000 /* a look at the console costs as much as a record */
#define BURST_BYTES (1u << 20)
#define NS_PER_S 1000000000

struct writer {
	struct geometry geo;
	int fds[RECORD_DISKS_MAX];
	uint64_t acked; /* the newest record acknowledged */
	uint64_t until; /* stop after this one; 0: never */
	uint64_t rate; /* records a second; 0: as fast as possible */
	uint64_t mix; /* percent of the requests that read */
	bool paused;
	bool buffered;

	uint64_t due_ns; /* when the next record may be issued */
	uint64_t orders_ns;
	uint64_t second_ns; /* when this second began */
	uint64_t second_acked;
	uint64_t slowest_ns;
	struct latency latency; /* since it was asked for */
	uint64_t random;

	void *buffer;
	char order[128];
	size_t order_length;
};

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static uint64_t writer_random(struct writer *w)
{
	return record_mix(++w->random);
}

static void ack_reset(uint64_t number)
{
	char text[24];

	snprintf(text, sizeof(text), "N%016llx", (unsigned long long)number);
	for (const char *at = text; *at; at++)
		outb((unsigned char)*at, DEBUG_PORT);
}

static void latency_note(struct writer *w, uint64_t begin_ns)
{
	uint64_t took_ns = now_ns() - begin_ns;

	if (took_ns > w->slowest_ns)
		w->slowest_ns = took_ns;
	latency_add(&w->latency, took_ns);
}

static void latency_tell(struct writer *w)
{
	say("LATENCY %llu p50 %llu p99 %llu p999 %llu max %llu",
	    (unsigned long long)w->latency.count, (unsigned long long)latency_us(&w->latency, 500),
	    (unsigned long long)latency_us(&w->latency, 990),
	    (unsigned long long)latency_us(&w->latency, 999),
	    (unsigned long long)w->latency.slowest_ns / 1000);
	memset(&w->latency, 0, sizeof(w->latency));
}

/* The same record is tried again: the order of the records must hold. */
static void request_failed(struct writer *w, const char *what, uint64_t number)
{
	say("GUEST-ERROR %d record %llu %s", errno, (unsigned long long)number, what);
	w->due_ns = now_ns() + NS_PER_S / 10;
}

static void record_write(struct writer *w)
{
	uint64_t number = w->acked + 1;
	struct place place = record_place(&w->geo, number);
	off_t offset = (off_t)record_offset_bytes(&w->geo, place.slot);
	uint64_t begin_ns;
	ssize_t done;

	record_fill(&w->geo, number, w->buffer);
	begin_ns = now_ns();
	done = pwrite(w->fds[place.disk], w->buffer, w->geo.size_bytes, offset);
	if (done == (ssize_t)w->geo.size_bytes && w->buffered && fdatasync(w->fds[place.disk]) != 0)
		done = -1;
	if (done != (ssize_t)w->geo.size_bytes) {
		request_failed(w, "write", number);
		return;
	}
	w->acked = number;
	outb('.', DEBUG_PORT);
	latency_note(w, begin_ns);
}

/* A slot that was written at least once holds the record sought or a later one. */
static void record_read(struct writer *w)
{
	uint64_t window = w->geo.slots * w->geo.disks;
	uint64_t back = writer_random(w) % (w->acked < window ? w->acked : window);
	uint64_t number = w->acked - back;
	struct place place = record_place(&w->geo, number), found;
	struct record_header header;
	uint64_t begin_ns = now_ns();

	if (pread(w->fds[place.disk], w->buffer, w->geo.size_bytes,
		  (off_t)record_offset_bytes(&w->geo, place.slot)) != (ssize_t)w->geo.size_bytes) {
		request_failed(w, "read", number);
		return;
	}
	latency_note(w, begin_ns);
	memcpy(&header, w->buffer, sizeof(header));
	if (record_valid(&w->geo, w->buffer) && header.number >= number &&
	    header.number <= w->acked) {
		found = record_place(&w->geo, header.number);
		if (found.disk == place.disk && found.slot == place.slot)
			return;
	}
	say("GUEST-CORRUPT record %llu disk %u slot %llu", (unsigned long long)number, place.disk,
	    (unsigned long long)place.slot);
}

/* Dirties what lies behind the records of the first disk, flushes once. */
static void burst_write(struct writer *w, uint64_t mib)
{
	uint64_t begin = w->geo.base_bytes + w->geo.slots * w->geo.size_bytes;
	uint64_t *words = w->buffer;
	uint64_t size_bytes = 0;

	begin = (begin + BURST_BYTES - 1) / BURST_BYTES * BURST_BYTES;
	ioctl(w->fds[0], BLKGETSIZE64, &size_bytes);
	for (uint64_t i = 0; i < mib; i++) {
		uint64_t at = begin + i * BURST_BYTES;

		if (at + BURST_BYTES > size_bytes)
			break;
		for (unsigned j = 0; j < BURST_BYTES / 8; j++)
			words[j] = writer_random(w);
		if (pwrite(w->fds[0], words, BURST_BYTES, (off_t)at) != BURST_BYTES)
			say("GUEST-ERROR %d burst at %llu", errno, (unsigned long long)at);
	}
	if (fdatasync(w->fds[0]) != 0)
		say("GUEST-ERROR %d burst flush", errno);
}

/* What the kernel's driver of QEMU's pvpanic device does (docs/specs/pvpanic). */
static void pvpanic_tell(uint8_t what)
{
	if (ioperm(PVPANIC_PORT, 1, 1) == 0)
		outb(what, PVPANIC_PORT);
}

/* The hardware's timer runs and nobody serves it (ib700: port 0x443, 14 is 2 s). */
static void watchdog_start(void)
{
	if (ioperm(IB700_START_PORT, 1, 1) == 0)
		outb(14, IB700_START_PORT);
	for (;;)
		pause();
}

/* Writes its dump for a while, as a crash kernel does, and boots again. */
static void crash_kernel(unsigned seconds)
{
	pvpanic_tell(PVPANIC_CRASHLOADED);
	sleep(seconds);
	reboot(RB_AUTOBOOT);
}

static void guest_panic(void)
{
	int fd = open("/proc/sysrq-trigger", O_WRONLY);

	pvpanic_tell(PVPANIC_PANICKED);
	if (fd < 0 || write(fd, "c", 1) != 1)
		say("GUEST-ERROR %d no sysrq", errno);
}

/* What makes the guest panic at every boot lies on the last block of its first disk. */
static const char poison[] = "this guest panics";

static off_t poison_place(const struct writer *w)
{
	uint64_t size_bytes = 0;

	ioctl(w->fds[0], BLKGETSIZE64, &size_bytes);
	return (off_t)size_bytes - 4096;
}

static void poison_write(struct writer *w)
{
	memset(w->buffer, 0, 4096);
	memcpy(w->buffer, poison, sizeof(poison));
	if (pwrite(w->fds[0], w->buffer, 4096, poison_place(w)) != 4096 ||
	    fdatasync(w->fds[0]) != 0)
		say("GUEST-ERROR %d poison", errno);
}

static bool poisoned(struct writer *w)
{
	return pread(w->fds[0], w->buffer, 4096, poison_place(w)) == 4096 &&
	       memcmp(w->buffer, poison, sizeof(poison)) == 0;
}

static void order_run(struct writer *w, char *order)
{
	uint64_t value = 0;
	char *space = strchr(order, ' ');

	if (space) {
		*space = '\0';
		value = strtoull(space + 1, NULL, 0);
	}
	if (strcmp(order, "pause") == 0)
		w->paused = true;
	else if (strcmp(order, "resume") == 0)
		w->paused = false;
	else if (strcmp(order, "rate") == 0)
		w->rate = value;
	else if (strcmp(order, "mix") == 0)
		w->mix = value;
	else if (strcmp(order, "until") == 0)
		w->until = value;
	else if (strcmp(order, "burst") == 0)
		burst_write(w, value);
	else if (strcmp(order, "latency") == 0)
		latency_tell(w);
	else if (strcmp(order, "sync") == 0)
		sync();
	else if (strcmp(order, "reboot") == 0)
		reboot(RB_AUTOBOOT);
	else if (strcmp(order, "poweroff") == 0)
		reboot(RB_POWER_OFF);
	else if (strcmp(order, "panic") == 0)
		guest_panic();
	else if (strcmp(order, "watchdog") == 0)
		watchdog_start();
	else if (strcmp(order, "poison") == 0)
		poison_write(w);
	else if (strcmp(order, "crash") == 0)
		crash_kernel((unsigned)value);
	else if (strcmp(order, "ping") != 0)
		say("GUEST-ERROR 22 order %s", order);
	say("OK %s %llu", order, (unsigned long long)w->acked);
}

static void orders_read(struct writer *w)
{
	ssize_t got = read(STDIN_FILENO, w->order + w->order_length,
			   sizeof(w->order) - 1 - w->order_length);
	char *end;

	w->orders_ns = now_ns() + ORDERS_EVERY_NS;
	if (got <= 0)
		return;
	w->order_length += (size_t)got;
	w->order[w->order_length] = '\0';
	while ((end = strchr(w->order, '\n')) != NULL) {
		*end = '\0';
		order_run(w, w->order);
		w->order_length -= (size_t)(end + 1 - w->order);
		memmove(w->order, end + 1, w->order_length + 1);
	}
	if (w->order_length == sizeof(w->order) - 1)
		w->order_length = 0;
}

static bool writer_idle(const struct writer *w)
{
	return w->paused || (w->until && w->acked >= w->until && w->mix == 0);
}

static void second_report(struct writer *w, uint64_t now)
{
	if (now - w->second_ns < NS_PER_S)
		return;
	if (!writer_idle(w) || w->acked != w->second_acked)
		say("RATE %llu LAT %llu ACKED %llu",
		    (unsigned long long)((w->acked - w->second_acked) * NS_PER_S / (now - w->second_ns)),
		    (unsigned long long)(w->slowest_ns / 1000), (unsigned long long)w->acked);
	w->second_ns = now;
	w->second_acked = w->acked;
	w->slowest_ns = 0;
}

/* Until the next record is due or the host says something. */
static void writer_wait(struct writer *w, uint64_t now)
{
	struct pollfd console = { .fd = STDIN_FILENO, .events = POLLIN };
	uint64_t wait_ns = w->second_ns + NS_PER_S - now;
	struct timespec timeout;

	if (!writer_idle(w) && w->due_ns > now && w->due_ns - now < wait_ns)
		wait_ns = w->due_ns - now;
	timeout.tv_sec = (time_t)(wait_ns / NS_PER_S);
	timeout.tv_nsec = (long)(wait_ns % NS_PER_S);
	if (ppoll(&console, 1, &timeout, NULL) > 0)
		orders_read(w);
}

static void writer_step(struct writer *w)
{
	uint64_t now = now_ns();
	bool writes = !w->until || w->acked < w->until;

	second_report(w, now);
	if (now >= w->orders_ns)
		orders_read(w);
	if (writer_idle(w) || now < w->due_ns) {
		writer_wait(w, now);
		return;
	}
	if (w->rate)
		w->due_ns = (now - w->due_ns < NS_PER_S / 10 ? w->due_ns : now) + NS_PER_S / w->rate;
	if (w->acked && w->mix && (!writes || writer_random(w) % 100 < w->mix))
		record_read(w);
	else if (writes)
		record_write(w);
}

static int disk_open(const char *name, int flags)
{
	const struct timespec pause = { .tv_nsec = 2000000 };
	char path[64];
	int fd = -1;

	snprintf(path, sizeof(path), "/dev/%s", name);
	for (int i = 0; i < 5000 && fd < 0; i++) {
		fd = open(path, flags);
		if (fd < 0)
			nanosleep(&pause, NULL);
	}
	return fd;
}

/* The newest whole record among those in `bytes` of the buffer. */
static uint64_t newest_in_buffer(struct writer *w, ssize_t bytes)
{
	const unsigned char *at = w->buffer;
	struct record_header header;
	uint64_t newest = 0;

	for (; bytes >= (ssize_t)w->geo.size_bytes; bytes -= w->geo.size_bytes) {
		memcpy(&header, at, sizeof(header));
		if (header.number > newest && record_valid(&w->geo, at))
			newest = header.number;
		at += w->geo.size_bytes;
	}
	return newest;
}

/* The newest record on the disks, after a reboot or on a replica. */
static uint64_t newest_find(struct writer *w)
{
	uint64_t region_bytes = w->geo.slots * w->geo.size_bytes;
	uint64_t chunk = BURST_BYTES / w->geo.size_bytes * w->geo.size_bytes;
	uint64_t newest = 0;

	for (uint32_t disk = 0; disk < w->geo.disks; disk++) {
		for (uint64_t at = 0; at < region_bytes; at += chunk) {
			size_t length = region_bytes - at < chunk ? region_bytes - at : chunk;
			ssize_t got = pread(w->fds[disk], w->buffer, length,
					    (off_t)(w->geo.base_bytes + at));
			uint64_t found = newest_in_buffer(w, got);

			if (got != (ssize_t)length)
				say("GUEST-ERROR %d scan", errno);
			if (found > newest)
				newest = found;
		}
	}
	return newest;
}

static void disks_open(struct writer *w, char *names)
{
	const char *mode = param_get("mode", "dsync");
	int flags = O_RDWR | O_CLOEXEC;
	char *save = NULL;

	w->buffered = strcmp(mode, "fsync") == 0;
	if (!w->buffered)
		flags |= O_DIRECT;
	if (strcmp(mode, "dsync") == 0)
		flags |= O_DSYNC;
	for (char *name = names; (name = strtok_r(name, ",", &save)) != NULL; name = NULL) {
		int fd = w->geo.disks < RECORD_DISKS_MAX ? disk_open(name, flags) : -1;

		if (fd < 0)
			say("GUEST-ERROR %d open %s", errno, name);
		else
			w->fds[w->geo.disks++] = fd;
	}
}

static void writer_init(struct writer *w, char *names)
{
	uint64_t region_bytes = param_number("region", 16u << 20);

	w->geo.run = param_number("run", 1);
	w->geo.size_bytes = (uint32_t)param_number("size", 4096);
	w->geo.slots = region_bytes / w->geo.size_bytes;
	w->geo.base_bytes = param_number("base", 0);
	w->geo.random = strcmp(param_get("pattern", "seq"), "rand") == 0;
	w->rate = param_number("rate", 0);
	w->mix = param_number("mix", 0);
	w->until = param_number("until", 0);
	w->paused = param_number("paused", 0) != 0;
	w->random = w->geo.run;
	w->buffer = aligned_alloc(4096, BURST_BYTES);
	disks_open(w, names);
	if (ioperm(DEBUG_PORT, 1, 1) != 0)
		say("GUEST-ERROR %d no debug port", errno);
}

void writer_run(char *names)
{
	static struct writer writer;
	struct writer *w = &writer;

	writer_init(w, names);
	if (param_number("scan", 1))
		w->acked = newest_find(w);
	ack_reset(w->acked);
	say("READY %u disks, %llu slots of %u bytes, continuing after %llu", w->geo.disks,
	    (unsigned long long)w->geo.slots, w->geo.size_bytes, (unsigned long long)w->acked);
	w->second_ns = w->due_ns = now_ns();
	w->second_acked = w->acked;
	if (w->geo.disks && poisoned(w))
		guest_panic();
	for (;;)
		writer_step(w);
}
