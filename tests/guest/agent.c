/* SPDX-License-Identifier: Apache-2.0
 *
 * A guest with a file system and Debian's guest agent, to be frozen.  Says
 *	FS n		the n-th file was written and is on stable storage
 */
#include "guest.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_BYTES 16384
#define FILES 64 /* the journal has names to add and remove, too */
#define PAUSE_US 50000

static bool file_write(unsigned number)
{
	static char bytes[FILE_BYTES];
	char path[64];
	bool good;
	int fd;

	snprintf(path, sizeof(path), "/mnt/file%u", number % FILES);
	unlink(path);
	memset(bytes, 'a' + (int)(number % 26), sizeof(bytes));
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	good = fd >= 0 && write(fd, bytes, sizeof(bytes)) == sizeof(bytes) && fsync(fd) == 0;
	if (!good)
		say("GUEST-ERROR %d file %u", errno, number);
	close(fd);
	return good;
}

static void files_write(void)
{
	for (unsigned number = 1;; number++) {
		if (file_write(number))
			say("FS %u", number);
		usleep(PAUSE_US);
	}
}

/* The device of the port that QEMU calls so. */
static bool port_find(char *path, size_t size)
{
	DIR *ports = opendir("/sys/class/virtio-ports");
	struct dirent *entry;
	bool found = false;

	while (ports && !found && (entry = readdir(ports))) {
		char name[384], text[64] = "";
		int fd;

		snprintf(name, sizeof(name), "/sys/class/virtio-ports/%s/name", entry->d_name);
		fd = open(name, O_RDONLY | O_CLOEXEC);
		found = fd >= 0 && read(fd, text, sizeof(text) - 1) > 0 &&
			!strncmp(text, "org.qemu.guest_agent.0", 22);
		snprintf(path, size, "/dev/%s", entry->d_name);
		close(fd);
	}
	if (ports)
		closedir(ports);
	return found;
}

static void agent_exec(void)
{
	const char *blocked = param_get("agent_block", NULL);
	char port[300] = "";

	for (int i = 0; i < 500 && !port_find(port, sizeof(port)); i++)
		usleep(10000);
	execl("/usr/sbin/qemu-ga", "qemu-ga", "-m", "virtio-serial", "-p", port, "-t", "/",
	      blocked ? "-b" : NULL, blocked, NULL);
	say("GUEST-ERROR %d no qemu-ga", errno);
	_exit(1);
}

void agent_run(const char *name)
{
	char device[64];

	snprintf(device, sizeof(device), "/dev/%s", name);
	mkdir("/mnt", 0755);
	for (int i = 0; i < 500 && access(device, F_OK); i++)
		usleep(10000);
	if (mount(device, "/mnt", "ext4", 0, NULL))
		say("GUEST-ERROR %d mount %s", errno, device);
	if (!fork())
		files_write();
	if (!fork())
		agent_exec();
}
