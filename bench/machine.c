/* SPDX-License-Identifier: Apache-2.0
 *
 * machine: enough to compare two documents; nothing that names a host or a folder.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statfs.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

/* Its name, and whether guests can run on it without emulation. */
static bool cpu_model(char *model, size_t size)
{
	FILE *file = fopen("/proc/cpuinfo", "re");
	bool named = false, kvm = false;
	char line[8192]; /* of flags there are some 2000 characters */

	snprintf(model, size, "unknown");
	while (file && fgets(line, sizeof(line), file)) {
		char *text = strchr(line, ':');

		line[strcspn(line, "\n")] = '\0';
		if (!strncmp(line, "flags", 5))
			kvm = strstr(line, " vmx") || strstr(line, " svm");
		if (strncmp(line, "model name", 10) || !text || named)
			continue;
		snprintf(model, size, "%s", text + 2);
		named = true;
	}
	if (file)
		fclose(file);
	return kvm && !access("/dev/kvm", R_OK | W_OK);
}

static const char *file_system(const char *path)
{
	static const struct {
		unsigned long magic;
		const char *name;
	} known[] = {{0xef53, "ext4"},	    {0x58465342, "xfs"}, {0x9123683e, "btrfs"},
		     {0x01021994, "tmpfs"}, {0x2fc12fc1, "zfs"}, {0x794c7630, "overlay"}};
	struct statfs info;

	if (statfs(path, &info))
		return "unknown";
	for (unsigned i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if ((unsigned long)info.f_type == known[i].magic)
			return known[i].name;
	}
	return "other";
}

static json_t *versions(const struct bench *bench)
{
	static const char *const programs[] = {
	    "qemu-system-x86_64", "qemu-img", "qemu-storage-daemon", "nbdcopy", "fio", "cp", "dd"};
	json_t *found = json_object();
	char line[128];

	child_line((const char *const[]){bench->qheal, "version", NULL}, line, sizeof(line));
	json_object_set_new(found, "qheal", json_string(line));
	for (unsigned i = 0; i < sizeof(programs) / sizeof(programs[0]); i++) {
		child_line((const char *const[]){programs[i], "--version", NULL}, line,
			   sizeof(line));
		json_object_set_new(found, programs[i], line[0] ? json_string(line) : json_null());
	}
	return found;
}

void machine_describe(struct bench *bench)
{
	json_t *head = bench->document.head;
	char model[128], commit[64], date[32];
	struct utsname kernel;
	time_t now = time(NULL);
	bool kvm = cpu_model(model, sizeof(model));

	uname(&kernel);
	strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%SZ", gmtime(&now));
	child_line((const char *const[]){"git", "-C", bench->source, "describe", "--always",
					 "--exclude=*", "--dirty=+", NULL},
		   commit, sizeof(commit));
	json_object_set_new(head, "date", json_string(date));
	json_object_set_new(head, "commit", commit[0] ? json_string(commit) : json_null());
	json_object_set_new(
	    head, "machine",
	    json_pack("{s:s, s:i, s:f, s:s, s:s, s:s}", "cpu", model, "cores",
		      (int)sysconf(_SC_NPROCESSORS_ONLN), "memory_gib",
		      (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE) / (1 << 30),
		      "kernel", kernel.release, "guest", kvm ? "kvm" : "tcg", "file_system",
		      file_system(bench->work.path)));
	json_object_set_new(head, "versions", versions(bench));
	json_object_set_new(head, "options",
			    json_pack("{s:I, s:i, s:f}", "size_bytes",
				      (json_int_t)bench->size_bytes, "rounds", (int)bench->rounds,
				      "seconds", bench->seconds));
}
