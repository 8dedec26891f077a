/* SPDX-License-Identifier: Apache-2.0
 *
 * The test guest's only program: process 1 of a Linux with nothing else in it.
 * Mounts /proc, /sys and /dev, loads the drivers that qh.drivers names and
 * hands over to the writer.
 */
#include "guest.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

static char cmdline[4096];

void say(const char *format, ...)
{
	struct pollfd console = {.fd = STDOUT_FILENO, .events = POLLOUT};
	char line[256];
	va_list args;
	int length;

	va_start(args, format);
	length = vsnprintf(line, sizeof(line) - 1, format, args);
	va_end(args);
	if (length > (int)sizeof(line) - 2)
		length = sizeof(line) - 2;
	line[length++] = '\n';
	/* The console does not block, and another process may just have filled it. */
	while (write(STDOUT_FILENO, line, (size_t)length) < 0) {
		if (errno != EAGAIN)
			_exit(1);
		poll(&console, 1, -1);
	}
}

const char *param_get(const char *name, const char *fallback)
{
	static char values[16][256];
	static unsigned next;
	size_t length = strlen(name);

	for (const char *at = cmdline; (at = strstr(at, "qh.")) != NULL; at += 3) {
		char *value = values[next % 16];

		if (strncmp(at + 3, name, length) != 0 || at[3 + length] != '=')
			continue;
		at += 4 + length;
		snprintf(value, sizeof(values[0]), "%.*s", (int)strcspn(at, " \n"), at);
		next++;
		return value;
	}
	return fallback;
}

uint64_t param_number(const char *name, uint64_t fallback)
{
	const char *value = param_get(name, NULL);

	return value ? strtoull(value, NULL, 0) : fallback;
}

static void read_cmdline(void)
{
	int fd = open("/proc/cmdline", O_RDONLY);

	if (fd < 0 || read(fd, cmdline, sizeof(cmdline) - 1) <= 0)
		say("GUEST-ERROR %d no /proc/cmdline", errno);
	close(fd);
}

static void module_load(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) != 0 && errno != EEXIST))
		say("GUEST-ERROR %d module %s", errno, path);
	close(fd);
}

/* /modules has a line per driver: its name, then the files to load in order. */
static void driver_load(const char *name)
{
	FILE *list = fopen("/modules", "r");
	char line[1024];

	while (list && fgets(line, sizeof(line), list)) {
		char *word = strtok(line, " \n");

		if (!word || strcmp(word, name) != 0)
			continue;
		while ((word = strtok(NULL, " \n")) != NULL)
			module_load(word);
	}
	if (list)
		fclose(list);
}

static void drivers_load(void)
{
	char names[256];
	char *save = NULL;

	snprintf(names, sizeof(names), "%s", param_get("drivers", "virtio_blk"));
	for (char *name = names; (name = strtok_r(name, ",", &save)) != NULL; name = NULL)
		driver_load(name);
}

/* Orders come line by line and unechoed. */
static void console_init(void)
{
	struct termios tio;

	if (tcgetattr(STDIN_FILENO, &tio) == 0) {
		tio.c_lflag &= ~(tcflag_t)(ECHO | ECHOE | ECHOK);
		tio.c_oflag &= ~(tcflag_t)OPOST;
		tcsetattr(STDIN_FILENO, TCSANOW, &tio);
	}
	fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK);
}

int main(void)
{
	char names[256];

	mkdir("/proc", 0755);
	mkdir("/sys", 0755);
	mkdir("/dev", 0755);
	mount("proc", "/proc", "proc", 0, NULL);
	mount("sysfs", "/sys", "sysfs", 0, NULL);
	mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
	if (open("/dev/console", O_RDWR) != STDIN_FILENO) {
		int fd = open("/dev/console", O_RDWR);

		dup2(fd, STDIN_FILENO);
		dup2(fd, STDOUT_FILENO);
		dup2(fd, STDERR_FILENO);
	} else {
		dup2(STDIN_FILENO, STDOUT_FILENO);
		dup2(STDIN_FILENO, STDERR_FILENO);
	}
	read_cmdline();
	console_init();
	drivers_load();
	if (param_get("mount", NULL))
		agent_run(param_get("mount", NULL));
	snprintf(names, sizeof(names), "%s", param_get("disks", "vda"));
	writer_run(names);
}
