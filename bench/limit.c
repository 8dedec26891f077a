/* SPDX-License-Identifier: Apache-2.0
 *
 * limit: fio with the requests that its disk likes best, on the very files that the
 * tools use.  The time is that of its jobs, as fio tells it: its start takes longer than
 * a small copy.
 */
#include <errno.h>
#include <stdio.h>

#include "bench.h"

/* Its JSON follows after lines that it likes to say first. */
static int report_read(const char *path, double *seconds, struct errinfo *err)
{
	FILE *file = fopen(path, "re");
	json_t *root, *jobs;
	int first = 0;

	while (file && (first = getc(file)) != EOF && first != '{')
		;
	if (first == '{')
		ungetc(first, file);
	root = file ? json_loadf(file, 0, NULL) : NULL;
	jobs = json_object_get(root, "jobs");
	*seconds = 0;
	for (size_t i = 0; i < json_array_size(jobs); i++) {
		double took =
		    json_number_value(json_object_get(json_array_get(jobs, i), "job_runtime"));

		if (took / 1000 > *seconds)
			*seconds = took / 1000;
	}
	json_decref(root);
	if (file)
		fclose(file);
	return *seconds > 0 ? 0 : err_set(err, -EINVAL, "fio told no runtime: is it 3.0 or newer?");
}

int limit_seconds(const struct work *work, enum limit_kind kind, const char *from, const char *to,
		  uint64_t size, double *seconds, struct errinfo *err)
{
	char source[PATH_MAX + 16], target[PATH_MAX + 16], bytes[40];
	const char *report = work_path(work, "fio.json");
	const char *argv[24] = {
	    "fio",     "--output-format=json", "--direct=1", "--ioengine=io_uring",
	    "--bs=1m", "--iodepth=16",	       bytes};
	unsigned count = 7;
	int rc;

	snprintf(bytes, sizeof(bytes), "--size=%llu", (unsigned long long)size);
	snprintf(source, sizeof(source), "--filename=%s", from ? from : "");
	snprintf(target, sizeof(target), "--filename=%s", to ? to : "");
	if (kind != LIMIT_WRITE) {
		argv[count++] = "--name=read";
		argv[count++] = source;
		argv[count++] = "--rw=read";
	}
	if (kind != LIMIT_READ) {
		argv[count++] = "--name=write";
		argv[count++] = target;
		argv[count++] = "--rw=write";
		argv[count++] = "--fallocate=truncate";
		argv[count++] = "--end_fsync=1";
	}
	rc = child_run(argv, report, false, NULL, err);
	return rc ? rc : report_read(report, seconds, err);
}
