/* SPDX-License-Identifier: Apache-2.0 */
#include "statefile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"

static int read_all(int fd, size_t max, char **text, size_t *length)
{
	struct stat stat;
	size_t got = 0;

	if (fstat(fd, &stat))
		return -errno;
	if (!S_ISREG(stat.st_mode))
		return -EUCLEAN;
	if ((uint64_t)stat.st_size > max)
		return -EFBIG;
	*text = malloc((size_t)stat.st_size + 1);
	if (!*text)
		return -ENOMEM;
	while (got < (size_t)stat.st_size) {
		ssize_t n = read(fd, *text + got, (size_t)stat.st_size - got);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			int status = -errno;

			free(*text);
			return status;
		}
		if (n == 0)
			break;
		got += (size_t)n;
	}
	(*text)[got] = '\0';
	*length = got;
	return 0;
}

int statefile_read(const char *path, size_t max, char **text, size_t *length, struct errinfo *err)
{
	/* A fifo in its place must not make us wait. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	int status;

	if (fd < 0)
		return err_set(err, -errno, "cannot open %s: %s", path, strerror(errno));
	status = read_all(fd, max, text, length);
	close(fd);
	if (status == -EFBIG)
		return err_set(err, status, "%s has more than %zu bytes: it is none of qheal's",
			       path, max);
	if (status == -EUCLEAN)
		return err_set(err, status, "%s is no regular file", path);
	return status ? err_set(err, status, "cannot read %s: %s", path, strerror(-status)) : 0;
}

static int write_all(const char *path, const char *text)
{
	int fd = file_open(path, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW);
	int status;

	if (fd < 0)
		return fd;
	status = file_write(fd, text, strlen(text), 0);
	if (!status)
		status = file_sync(fd);
	file_close(fd);
	return status;
}

int statefile_replace(const char *dir, const char *name, const char *text, struct errinfo *err)
{
	char path[FILE_PATH_MAX], temporary[FILE_PATH_MAX];
	int status;

	if (snprintf(path, sizeof(path), "%s/%s", dir, name) >= (int)sizeof(path) - 4)
		return err_set(err, -ENAMETOOLONG, "the path %s/%s is too long", dir, name);
	snprintf(temporary, sizeof(temporary), "%s/%s.new", dir, name);
	status = write_all(temporary, text);
	if (!status)
		status = file_rename(temporary, path);
	if (!status)
		status = file_sync_dir(dir);
	return status ? err_set(err, status, "cannot write %s: %s", path, strerror(-status)) : 0;
}
