/* SPDX-License-Identifier: Apache-2.0
 *
 * relocate: QEMU's command line, as it was, with a disk on the image that it has to be
 * started on now.  Pure: words in, words out.
 *
 * Known are -blockdev (key=value and JSON) and -drive, found by the -device that has
 * the disk.  The image takes the place of the disk's root node, under the same name; the
 * nodes below it go, so that nothing opens the old disk.  Whatever else the disk is made
 * of (filters, nodes that others use, -hda) is refused: QEMU is never started on a disk
 * that is not the guest's any more.
 */
#ifndef ENGINE_RELOCATE_H
#define ENGINE_RELOCATE_H

#include <jansson.h>
#include <stdbool.h>

#include "errinfo.h"

struct relocate_disk {
	const char *name;   /* id of the device, or of the drive */
	const char *node;   /* its root node in the QEMU that ended, "": not known */
	const char *file;   /* the image it had last, as QEMU told it */
	const char *format; /* of that: raw, qcow2 */
	const char *cwd;    /* what relative paths begin at, or NULL */
	bool moved;	    /* known to have left what the command line says */
};

/* ARGV, an array of strings, is changed in place; as it was on failure.  A disk that
 * is where the command line has it stays.  -ENOENT, -ENOTSUP, -EBUSY with a sentence. */
int relocate_argv(json_t *argv, const struct relocate_disk *disk, struct errinfo *err);

/* What is only for a first start goes: -incoming, -daemonize, -S.  STOPPED: the guest's
 * processors stand still at first: -S is there. */
void relocate_start_words(json_t *argv, bool stopped);

/* NULL: QEMU can be started anew by ARGV; else why not, a literal.  MONITOR: the path
 * of the socket by which it has to be reached then. */
const char *relocate_lacks(const json_t *argv, const char *monitor);

#endif
