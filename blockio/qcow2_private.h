/* SPDX-License-Identifier: Apache-2.0
 *
 * The header of a qcow2 version 3 image, all big endian (qemu
 * docs/interop/qcow2.txt), shared by qcow2.c and overlay.c.
 */
#ifndef BLOCKIO_QCOW2_PRIVATE_H
#define BLOCKIO_QCOW2_PRIVATE_H

#include <stddef.h>
#include <stdint.h>

#define QCOW2_PAGE 4096 /* what is written at once: right for O_DIRECT too */
#define QCOW2_BACKING_MAX 1023 /* QEMU refuses longer names */
#define QCOW2_L1_BYTES_MAX (UINT64_C(32) << 20) /* QEMU refuses larger tables */

struct qcow2_header {
	uint32_t magic;
	uint32_t version;
	uint64_t backing_offset;
	uint32_t backing_bytes;
	uint32_t cluster_bits;
	uint64_t size;
	uint32_t crypt_method;
	uint32_t l1_entries;
	uint64_t l1_offset;
	uint64_t refcount_table_offset;
	uint32_t refcount_table_clusters;
	uint32_t snapshots;
	uint64_t snapshots_offset;
	uint64_t incompatible;
	uint64_t compatible;
	uint64_t autoclear;
	uint32_t refcount_order;
	uint32_t header_bytes;
};

struct qcow2_extension {
	uint32_t type;
	uint32_t bytes;
	char data[8]; /* padded to 8 */
};

/* The first page of the image. */
struct qcow2_start {
	struct qcow2_header header;
	struct qcow2_extension format; /* type 0, the end, without backing file */
	uint64_t end;
	char backing[QCOW2_BACKING_MAX];
};

_Static_assert(sizeof(struct qcow2_header) == 104, "version 3 header without additions");
_Static_assert(offsetof(struct qcow2_header, l1_offset) == 40, "as specified");
_Static_assert(offsetof(struct qcow2_header, autoclear) == 88, "as specified");
_Static_assert(offsetof(struct qcow2_start, format) == 104, "extensions follow the header");
_Static_assert(offsetof(struct qcow2_start, backing) == 128, "the name follows them");
_Static_assert(sizeof(struct qcow2_start) <= QCOW2_PAGE, "one page holds it");

/* Where things are; offsets in bytes. */
struct qcow2_layout {
	uint64_t virtual_size;
	unsigned cluster_bits;
	uint64_t l1_offset, l1_entries;
	uint64_t refcount_table_offset, refcount_table_clusters;
};

/* START, zeroed, gets the header with 16-bit refcounts. BACKING may be NULL. */
void qcow2_start_fill(struct qcow2_start *start, const struct qcow2_layout *layout,
		      const char *backing);

#endif
