/* SPDX-License-Identifier: Apache-2.0
 *
 * qcow2: writes an empty qcow2 version 3 image: the overlay a guest is pivoted
 * to, and the bounded temporary image of a cycle.  Only creation; QEMU does the
 * rest.  Layout: qemu docs/interop/qcow2.txt.
 */
#ifndef BLOCKIO_QCOW2_H
#define BLOCKIO_QCOW2_H

#include <stdint.h>

#include "errinfo.h"

/* Write the metadata of an empty image of VIRTUAL_SIZE bytes to FD at offset 0
 * (the file is otherwise zeros there), 64 KiB clusters.  BACKING (a raw image,
 * may be NULL; an absolute path, as QEMU takes others relative to the image) is
 * stored as "backing file name", format raw.  VIRTUAL_SIZE is a multiple of 512.
 * Writes whole 4 KiB pages from aligned memory (FD may be O_DIRECT), makes the
 * file long enough for the metadata, flushes nothing.  Returns the bytes that the
 * metadata takes; -EINVAL, -EFBIG or -ENAMETOOLONG for what QEMU would not open,
 * or the errno of the file; then no header was written. */
int64_t qcow2_format(int fd, uint64_t virtual_size, const char *backing, struct errinfo *err);

#endif
