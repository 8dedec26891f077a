/* SPDX-License-Identifier: Apache-2.0
 *
 * store: a replica to read, without a guest: tests/tools/store_make writes it by the
 * library's own calls.
 */
#include <stdio.h>

#include "bench.h"

int store_make(struct bench *bench, const char *name, unsigned percent, unsigned points, char *head,
	       struct errinfo *err)
{
	const char *folder = work_path(&bench->work, name);
	char program[PATH_MAX + 32], disk[64], kept[24];
	const char *argv[] = {program, folder, "64", kept, disk, NULL};

	bench_progress(bench, "making the replica %s", name);
	snprintf(program, sizeof(program), "%s/tests/store_make", bench->build);
	snprintf(kept, sizeof(kept), "points=%u", points);
	snprintf(disk, sizeof(disk), "vda:%llu:%u", (unsigned long long)bench->size_bytes, percent);
	snprintf(head, PATH_MAX, "%s/disks/vda/head.raw", folder);
	return child_run(argv, NULL, false, NULL, err);
}
