/* SPDX-License-Identifier: Apache-2.0
 *
 * qcheck: do these raw images, one per disk, hold exactly what the test guest
 * wrote up to one point in time?
 *
 * Let n be the newest whole record that lies in its place.  The set is
 * consistent if and only if every slot holds the newest record up to n that
 * maps to it, or what it held before the guest (zeros, or --initial) where
 * there is none.  One exception: the guest has one request in flight, so the
 * slot of record n+1 may hold any mixture, in sectors of 512 bytes, of its old
 * content and record n+1, provided n+1 was never acknowledged.
 *
 * Each image is read once.  One JSON object on stdout; exit status 0 when
 * consistent (and at least --at-least), 1 when not, 2 when it cannot tell.
 */
#include "../guest/record.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK_BYTES (1u << 20)
#define SECTOR_BYTES 512u

/* What a slot holds, when it is not the number of a record. */
#define SLOT_BLANK UINT64_C(0)
#define SLOT_GARBAGE UINT64_MAX

struct image {
	const char *path, *initial_path;
	int fd, initial_fd; /* initial_fd is -1 for zeros */
	uint64_t *found; /* per slot: a record's number, SLOT_BLANK or SLOT_GARBAGE */
	uint64_t *expected;
	uint64_t newest;
};

struct verdict {
	const char *wrong; /* NULL: nothing */
	uint32_t disk;
	uint64_t slot, expected, found;
	uint64_t contradictions;
	uint64_t newest; /* n */
	uint64_t torn; /* the record in flight, when its slot is a mixture */
};

struct check {
	struct geometry geo;
	struct image images[RECORD_DISKS_MAX];
	uint64_t region_bytes, acked, at_least;
	uint64_t records; /* whole ones seen */
	struct verdict verdict;
};

static void die(const char *what, const char *path)
{
	fprintf(stderr, "qcheck: %s %s: %s\n", what, path, strerror(errno));
	exit(2);
}

static void read_exactly(int fd, void *buffer, size_t length, uint64_t offset, const char *path)
{
	char *at = buffer;

	while (length) {
		ssize_t got = pread(fd, at, length, (off_t)offset);

		if (got == 0)
			errno = ENODATA; /* the image is shorter than the region */
		if (got <= 0)
			die("cannot read", path);
		at += got;
		offset += (uint64_t)got;
		length -= (size_t)got;
	}
}

static bool all_zero(const unsigned char *at, size_t length)
{
	return at[0] == 0 && memcmp(at, at + 1, length - 1) == 0;
}

/* What the disk held before the guest wrote. */
static void initial_read(const struct image *image, void *buffer, size_t length, uint64_t offset)
{
	if (image->initial_fd < 0)
		memset(buffer, 0, length);
	else
		read_exactly(image->initial_fd, buffer, length, offset, image->initial_path);
}

static bool slot_untouched(const struct check *c, const struct image *image, uint64_t slot,
			   const unsigned char *content)
{
	unsigned char before[RECORD_SIZE_MAX];

	if (image->initial_fd < 0)
		return all_zero(content, c->geo.size_bytes);
	initial_read(image, before, c->geo.size_bytes, record_offset_bytes(&c->geo, slot));
	return memcmp(before, content, c->geo.size_bytes) == 0;
}

static void contradiction(struct check *c, const char *wrong, uint32_t disk, uint64_t slot,
			  uint64_t expected, uint64_t found)
{
	struct verdict *v = &c->verdict;

	if (v->contradictions++ == 0) {
		v->wrong = wrong;
		v->disk = disk;
		v->slot = slot;
		v->expected = expected;
		v->found = found;
	}
}

/* A whole record in a place that is not its own can be nobody's right content. */
static void record_note(struct check *c, uint32_t disk, uint64_t slot, uint64_t number)
{
	struct place place = record_place(&c->geo, number);
	struct image *image = &c->images[disk];

	c->records++;
	image->found[slot] = number;
	if (place.disk != disk)
		contradiction(c, "wrong disk", disk, slot, 0, number);
	else if (place.slot != slot)
		contradiction(c, "misplaced record", disk, slot, 0, number);
	else if (number > image->newest)
		image->newest = number;
}

static void slots_read(struct check *c, uint32_t disk, uint64_t first, const unsigned char *at,
		       size_t length)
{
	struct image *image = &c->images[disk];
	struct record_header header;

	for (uint64_t slot = first; length; slot++) {
		memcpy(&header, at, sizeof(header));
		if (record_valid(&c->geo, at))
			record_note(c, disk, slot, header.number);
		else
			image->found[slot] =
				slot_untouched(c, image, slot, at) ? SLOT_BLANK : SLOT_GARBAGE;
		at += c->geo.size_bytes;
		length -= c->geo.size_bytes;
	}
}

/* Holes are blank without being read, unless something was there before. */
static bool chunk_is_hole(const struct image *image, uint64_t offset, size_t length)
{
	off_t data;

	if (image->initial_fd >= 0)
		return false;
	data = lseek(image->fd, (off_t)offset, SEEK_DATA);
	return data < 0 ? errno == ENXIO : (uint64_t)data >= offset + length;
}

static void image_read(struct check *c, uint32_t disk, unsigned char *buffer)
{
	struct image *image = &c->images[disk];
	uint64_t chunk_slots = CHUNK_BYTES / c->geo.size_bytes;

	for (uint64_t slot = 0; slot < c->geo.slots; slot += chunk_slots) {
		uint64_t count = c->geo.slots - slot < chunk_slots ? c->geo.slots - slot : chunk_slots;
		uint64_t offset = record_offset_bytes(&c->geo, slot);
		size_t length = count * c->geo.size_bytes;

		if (chunk_is_hole(image, offset, length))
			continue;
		read_exactly(image->fd, buffer, length, offset, image->path);
		slots_read(c, disk, slot, buffer, length);
	}
}

/* A round fills every slot, so two rounds back nothing is left to see. */
static void expect_fill(struct check *c)
{
	uint64_t newest = c->verdict.newest;
	uint64_t window = 2 * c->geo.slots * c->geo.disks;

	for (uint64_t n = newest > window ? newest - window + 1 : 1; n <= newest; n++) {
		struct place place = record_place(&c->geo, n);

		c->images[place.disk].expected[place.slot] = n;
	}
}

/* Content of a slot before record n+1 was issued. */
static void old_content(const struct check *c, const struct place *place, unsigned char *buffer)
{
	const struct image *image = &c->images[place->disk];
	uint64_t number = image->expected[place->slot];

	if (number)
		record_fill(&c->geo, number, buffer);
	else
		initial_read(image, buffer, c->geo.size_bytes,
			     record_offset_bytes(&c->geo, place->slot));
}

static bool torn_in_flight(struct check *c, const struct place *place)
{
	unsigned char before[RECORD_SIZE_MAX], after[RECORD_SIZE_MAX], now[RECORD_SIZE_MAX];
	const struct image *image = &c->images[place->disk];
	uint64_t next = c->verdict.newest + 1;

	if (next <= c->acked)
		return false;
	old_content(c, place, before);
	record_fill(&c->geo, next, after);
	read_exactly(image->fd, now, c->geo.size_bytes, record_offset_bytes(&c->geo, place->slot),
		     image->path);
	for (uint32_t at = 0; at < c->geo.size_bytes; at += SECTOR_BYTES)
		if (memcmp(now + at, before + at, SECTOR_BYTES) != 0 &&
		    memcmp(now + at, after + at, SECTOR_BYTES) != 0)
			return false;
	c->verdict.torn = next;
	return true;
}

static void slot_judge(struct check *c, uint32_t disk, uint64_t slot)
{
	const struct image *image = &c->images[disk];
	uint64_t expected = image->expected[slot], found = image->found[slot];
	struct place next = record_place(&c->geo, c->verdict.newest + 1);

	if (found == expected)
		return;
	if (found == SLOT_GARBAGE && next.disk == disk && next.slot == slot &&
	    torn_in_flight(c, &next))
		return;
	if (found == SLOT_GARBAGE)
		contradiction(c, expected ? "torn record" : "garbage", disk, slot, expected, 0);
	else if (found == SLOT_BLANK)
		contradiction(c, "missing record", disk, slot, expected, 0);
	else
		contradiction(c, "stale record", disk, slot, expected, found);
}

static void check_run(struct check *c)
{
	unsigned char *buffer = malloc(CHUNK_BYTES);

	for (uint32_t disk = 0; disk < c->geo.disks; disk++) {
		image_read(c, disk, buffer);
		if (c->images[disk].newest > c->verdict.newest)
			c->verdict.newest = c->images[disk].newest;
	}
	free(buffer);
	if (c->verdict.contradictions)
		return;
	expect_fill(c);
	for (uint32_t disk = 0; disk < c->geo.disks; disk++)
		for (uint64_t slot = 0; slot < c->geo.slots; slot++)
			slot_judge(c, disk, slot);
}

static int check_print(const struct check *c)
{
	const struct verdict *v = &c->verdict;
	uint64_t lost = c->acked > v->newest ? c->acked - v->newest : 0;

	printf("{\"consistent\":%s,\"n\":%ju,\"acked\":%ju,\"lost\":%ju,\"records\":%ju",
	       v->wrong ? "false" : "true", (uintmax_t)v->newest, (uintmax_t)c->acked,
	       (uintmax_t)lost, (uintmax_t)c->records);
	printf(",\"newest\":[");
	for (uint32_t disk = 0; disk < c->geo.disks; disk++)
		printf("%s%ju", disk ? "," : "", (uintmax_t)c->images[disk].newest);
	printf("]");
	if (v->torn)
		printf(",\"torn_in_flight\":%ju", (uintmax_t)v->torn);
	if (v->wrong)
		printf(",\"wrong\":\"%s\",\"disk\":%u,\"slot\":%ju,\"offset\":%ju,\"expected\":%ju,"
		       "\"found\":%ju,\"contradictions\":%ju",
		       v->wrong, v->disk, (uintmax_t)v->slot,
		       (uintmax_t)record_offset_bytes(&c->geo, v->slot), (uintmax_t)v->expected,
		       (uintmax_t)v->found, (uintmax_t)v->contradictions);
	printf("}\n");
	return v->wrong || v->newest < c->at_least;
}

static void usage(void)
{
	fprintf(stderr,
		"usage: qcheck [--run N] [--size BYTES] [--region BYTES] [--base BYTES]\n"
		"              [--pattern seq|rand] [--acked N] [--at-least N]\n"
		"              [--initial IMAGE,...] IMAGE...\n"
		"one raw image per disk, in the guest's order; the geometry is the guest's qh. words\n");
	exit(2);
}

static uint64_t number_parse(const char *text)
{
	char *end;
	uint64_t value;

	errno = 0;
	value = strtoull(text, &end, 0);
	if (errno || end == text || *end)
		usage();
	return value;
}

static void initial_parse(struct check *c, char *paths)
{
	char *save = NULL;
	uint32_t disk = 0;

	for (char *path = paths; (path = strtok_r(path, ",", &save)) != NULL; path = NULL)
		if (disk < RECORD_DISKS_MAX)
			c->images[disk++].initial_path = path;
}

static void options_parse(struct check *c, int argc, char **argv)
{
	static const struct option options[] = {
		{ "run", 1, NULL, 'r' },     { "size", 1, NULL, 's' },
		{ "region", 1, NULL, 'g' },  { "base", 1, NULL, 'b' },
		{ "pattern", 1, NULL, 'p' }, { "acked", 1, NULL, 'a' },
		{ "at-least", 1, NULL, 'l' }, { "initial", 1, NULL, 'i' },
		{ NULL, 0, NULL, 0 },
	};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 'r': c->geo.run = number_parse(optarg); break;
		case 's': c->geo.size_bytes = (uint32_t)number_parse(optarg); break;
		case 'g': c->region_bytes = number_parse(optarg); break;
		case 'b': c->geo.base_bytes = number_parse(optarg); break;
		case 'p': c->geo.random = strcmp(optarg, "rand") == 0; break;
		case 'a': c->acked = number_parse(optarg); break;
		case 'l': c->at_least = number_parse(optarg); break;
		case 'i': initial_parse(c, optarg); break;
		default: usage();
		}
	}
}

static int image_open(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		die("cannot open", path);
	return fd;
}

static void images_open(struct check *c, char **paths)
{
	for (uint32_t disk = 0; disk < c->geo.disks; disk++) {
		struct image *image = &c->images[disk];

		image->path = paths[disk];
		image->fd = image_open(paths[disk]);
		image->initial_fd = image->initial_path ? image_open(image->initial_path) : -1;
		image->found = calloc(c->geo.slots, sizeof(*image->found));
		image->expected = calloc(c->geo.slots, sizeof(*image->expected));
		if (!image->found || !image->expected)
			die("no memory for", paths[disk]);
	}
}

int main(int argc, char **argv)
{
	static struct check check = {
		.geo = { .run = 1, .size_bytes = 4096 },
		.region_bytes = 16u << 20,
	};

	options_parse(&check, argc, argv);
	if (optind == argc || argc - optind > (int)RECORD_DISKS_MAX ||
	    check.geo.size_bytes < RECORD_SIZE_MIN || check.geo.size_bytes > RECORD_SIZE_MAX ||
	    check.geo.size_bytes % RECORD_SIZE_MIN != 0)
		usage();
	check.geo.disks = (uint32_t)(argc - optind);
	check.geo.slots = check.region_bytes / check.geo.size_bytes;
	if (check.geo.slots == 0)
		usage();
	images_open(&check, argv + optind);
	check_run(&check);
	return check_print(&check);
}
