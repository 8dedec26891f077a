/* SPDX-License-Identifier: Apache-2.0
 *
 * An XFS on a loop device as TMPDIR, where files share blocks.  Needs root.
 */
#ifndef XFS_FIXTURE_H
#define XFS_FIXTURE_H

#include <CUnit/CUnit.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char xfs_dir[64], xfs_image[80], xfs_before[256];

__attribute__((format(printf, 1, 2))) static inline bool xfs_run(const char *format, ...)
{
	char command[512];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(command, sizeof(command), format, arguments);
	va_end(arguments);
	return system(command) == 0;
}

static inline bool xfs_made(void)
{
	strcpy(xfs_dir, "/var/tmp/qheal-xfs-XXXXXX");
	if (!mkdtemp(xfs_dir))
		return false;
	snprintf(xfs_image, sizeof(xfs_image), "%s.img", xfs_dir);
	if (xfs_run("truncate -s 400M '%s' && mkfs.xfs -q -f -m reflink=1 '%s'", xfs_image,
		    xfs_image) &&
	    xfs_run("mount -o loop '%s' '%s'", xfs_image, xfs_dir))
		return true;
	remove(xfs_image);
	rmdir(xfs_dir);
	return false;
}

/* false, and it was said why: clones cannot be tried here. */
static inline bool xfs_mount(void)
{
	const char *base = getenv("TMPDIR");

	if (geteuid() || !xfs_made()) {
		printf("\nSKIPPED: clones were not tried: %s\n",
		       geteuid() ? "mounting an XFS needs root"
				 : "no XFS could be made and mounted here");
		return false;
	}
	snprintf(xfs_before, sizeof(xfs_before), "%s", base ? base : "");
	setenv("TMPDIR", xfs_dir, 1);
	return true;
}

static inline void xfs_unmount(void)
{
	if (xfs_before[0])
		setenv("TMPDIR", xfs_before, 1);
	else
		unsetenv("TMPDIR");
	/* The kernel lets go of a ring's files a moment after the ring was closed. */
	CU_ASSERT_TRUE(xfs_run("for n in $(seq 100); do umount '%s' && exit; sleep 0.1; done "
			       "2> /dev/null; umount '%s'",
			       xfs_dir, xfs_dir));
	CU_ASSERT_EQUAL(rmdir(xfs_dir), 0);
	remove(xfs_image);
}

#endif
