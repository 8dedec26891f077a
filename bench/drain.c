/* SPDX-License-Identifier: Apache-2.0
 *
 * drain: stands for the sidecar's data path in bench/freeze.py.  For each line
 * "SOCKET EXPORT BITMAP" on stdin it reads the dirty extents of that export, up
 * to 8 requests at a time, appends them to the file given as argument, flushes
 * it and answers "BYTES\n".  One process for all cycles: its start costs nothing.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <libnbd.h>

#define REQUEST_BYTES (256u << 10)
#define REQUESTS 8
#define EXTENTS_MAX 65536
#define FILE_BYTES_MAX (UINT64_C(1) << 30) /* then from the start again */

struct extents {
	uint64_t end; /* of what was told so far */
	unsigned count;
	struct {
		uint64_t offset, length;
	} dirty[EXTENTS_MAX];
};

static struct extents extents;
static char *buffers;

static void fail(const char *what)
{
	fprintf(stderr, "drain: %s: %s\n", what, nbd_get_error() ? nbd_get_error() : "failed");
	exit(1);
}

static int extents_note(void *context, const char *name, uint64_t offset, uint32_t *entries,
			size_t count, int *error)
{
	for (size_t i = 0; i + 1 < count; offset += entries[i], i += 2) {
		if (!(entries[i + 1] & 1) || extents.count == EXTENTS_MAX)
			continue;
		extents.dirty[extents.count].offset = offset;
		extents.dirty[extents.count++].length = entries[i];
	}
	extents.end = offset;
	return 0;
}

static void extents_read(struct nbd_handle *nbd)
{
	uint64_t size = (uint64_t)nbd_get_size(nbd);

	extents.count = 0;
	extents.end = 0;
	while (extents.end < size) {
		uint64_t left = size - extents.end, before = extents.end;

		if (left > UINT32_MAX / 2)
			left = UINT32_MAX / 2;
		if (nbd_block_status(nbd, left, before,
				     (nbd_extent_callback){.callback = extents_note}, 0) < 0 ||
		    extents.end == before)
			fail("block status");
	}
}

/* The next piece of what is dirty; 0 at the end. */
static uint32_t piece_next(unsigned *index, uint64_t *done, uint64_t *offset)
{
	uint64_t left;

	if (*index == extents.count)
		return 0;
	*offset = extents.dirty[*index].offset + *done;
	left = extents.dirty[*index].length - *done;
	if (left > REQUEST_BYTES) {
		*done += REQUEST_BYTES;
		return REQUEST_BYTES;
	}
	*done = 0;
	++*index;
	return (uint32_t)left;
}

static uint64_t data_copy(struct nbd_handle *nbd, int fd)
{
	static uint64_t place;
	uint64_t done = 0, offset, total = 0;
	int64_t cookies[REQUESTS];
	uint32_t lengths[REQUESTS];
	unsigned index = 0, count;

	do {
		for (count = 0; count < REQUESTS; count++) {
			lengths[count] = piece_next(&index, &done, &offset);
			if (!lengths[count])
				break;
			cookies[count] = nbd_aio_pread(nbd, buffers + count * REQUEST_BYTES,
						       lengths[count], offset,
						       NBD_NULL_COMPLETION, 0);
			if (cookies[count] < 0)
				fail("read");
		}
		for (unsigned i = 0; i < count; i++) {
			int ended;

			while (!(ended = nbd_aio_command_completed(nbd, (uint64_t)cookies[i])))
				nbd_poll(nbd, -1);
			if (ended < 0)
				fail("read");
			if (place + lengths[i] > FILE_BYTES_MAX)
				place = 0;
			if (pwrite(fd, buffers + i * REQUEST_BYTES, lengths[i], (off_t)place) < 0)
				fail("write");
			place += lengths[i];
			total += lengths[i];
		}
	} while (count == REQUESTS);
	fdatasync(fd);
	return total;
}

static uint64_t drain(const char *socket, const char *export, const char *bitmap, int fd)
{
	struct nbd_handle *nbd = nbd_create();
	char context[256];
	uint64_t bytes;

	snprintf(context, sizeof(context), "qemu:dirty-bitmap:%s", bitmap);
	if (!nbd || nbd_set_export_name(nbd, export) < 0 ||
	    nbd_add_meta_context(nbd, context) < 0 || nbd_connect_unix(nbd, socket) < 0)
		fail("connect");
	extents_read(nbd);
	bytes = data_copy(nbd, fd);
	nbd_shutdown(nbd, 0);
	nbd_close(nbd);
	return bytes;
}

int main(int argc, char **argv)
{
	char socket[200], export[64], bitmap[128];
	int fd = argc == 2 ? open(argv[1], O_RDWR | O_CREAT | O_DIRECT, 0600) : -1;

	if (fd < 0 || posix_memalign((void **)&buffers, 4096, REQUESTS * REQUEST_BYTES)) {
		fputs("usage: drain FILE, on a file system with O_DIRECT\n", stderr);
		return 2;
	}
	while (scanf("%199s %63s %127s", socket, export, bitmap) == 3) {
		printf("%llu\n", (unsigned long long)drain(socket, export, bitmap, fd));
		fflush(stdout);
	}
	return 0;
}
