/* SPDX-License-Identifier: Apache-2.0
 *
 * launch: see launch.h.  A process between us and the new one ends at once, so that
 * the new one belongs to init.  That one waits until we hold a descriptor for it: a
 * process that ends early is seen for certain, and its number cannot be another's.
 */
#include "launch.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "descriptors.h"

struct failure { /* of the new process, before it is another program */
	int code;
	char what[64];
};

/* Where the words come from the words go: no copy after the fork. */
struct image {
	const char *exe, *cwd;
	char **argv, **environment;
	const char *out, *err; /* files, "": the log */
	int log;
	const struct definition *user; /* and groups */
	bool become; /* the user is not ours */
};

static char **words_of(const json_t *array)
{
	char **words = calloc(json_array_size(array) + 1, sizeof(*words));
	const json_t *word;
	size_t i;

	if (!words)
		return NULL;
	json_array_foreach(array, i, word)
		words[i] = (char *)json_string_value(word);
	return words;
}

/* --- in the new process --- */

static void plain_signals(void)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	descriptors_restore();
}

static void fail(int socket_fd, const char *what)
{
	struct failure failure = {.code = errno};

	snprintf(failure.what, sizeof(failure.what), "%s", what);
	if (write(socket_fd, &failure, sizeof(failure)) < 0)
		_exit(126);
	_exit(127);
}

/* By its own user: the process that ended chose the path.  Not to be there is no reason not
 * to run. */
static int put_output(const char *path, int log, int target)
{
	struct stat stat_of;
	int fd = path[0] ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW |
				      O_NONBLOCK, 0600)
			 : -1;

	if (fd >= 0 && !fstat(fd, &stat_of) && S_ISREG(stat_of.st_mode))
		return dup2(fd, target);
	if (path[0])
		dprintf(log, "%s cannot be written any more: what QEMU says is here\n", path);
	return dup2(log, target);
}

static bool become_user(const struct definition *user)
{
	return !setgroups(user->group_count, user->groups) && !setgid(user->gid) &&
	       !setuid(user->uid);
}

static void become_image(const struct image *image, int socket_fd)
{
	pid_t pid = getpid();
	int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	char go;

	if (write(socket_fd, &pid, sizeof(pid)) != sizeof(pid) || read(socket_fd, &go, 1) != 1)
		_exit(126);
	close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
	if (chdir(image->cwd))
		fail(socket_fd, "its directory");
	if (image->become && !become_user(image->user))
		fail(socket_fd, "its user");
	if (null_fd < 0 || dup2(null_fd, 0) < 0 || put_output(image->out, image->log, 1) < 0 ||
	    put_output(image->err, image->log, 2) < 0)
		fail(socket_fd, "its standard descriptors");
	plain_signals();
	execve(image->exe, image->argv, image->environment);
	fail(socket_fd, "the program");
}

/* --- here --- */

static int handshake(int socket_fd, pid_t *pid, int *pidfd, const struct image *image,
		     struct errinfo *err)
{
	struct failure failure;
	ssize_t got = read(socket_fd, pid, sizeof(*pid));

	if (got != sizeof(*pid))
		return err_set(err, -ECHILD, "the new process ended at once");
	*pidfd = pidfd_open(*pid, 0);
	if (*pidfd < 0)
		return err_set(err, -errno, "pidfd_open: %s", strerror(errno));
	if (write(socket_fd, "g", 1) != 1)
		return err_set(err, -ECHILD, "the new process ended at once");
	/* Closed by a successful execve. */
	got = read(socket_fd, &failure, sizeof(failure));
	if (got == sizeof(failure))
		return err_set(err, -failure.code, "cannot start %s: %.60s: %s", image->exe,
			       failure.what, strerror(failure.code));
	return 0;
}

static int start(const struct image *image, pid_t *pid, int *pidfd, struct errinfo *err)
{
	int fds[2], rc;
	pid_t between;

	*pidfd = -1;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds))
		return err_set(err, -errno, "socketpair: %s", strerror(errno));
	between = fork();
	if (between == 0) {
		close(fds[0]); /* ours alone: when we are killed the new process has to see it */
		setsid();
		if (fork() == 0)
			become_image(image, fds[1]);
		_exit(0);
	}
	close(fds[1]);
	rc = between < 0 ? err_set(err, -errno, "fork: %s", strerror(errno)) : 0;
	while (between > 0 && waitpid(between, NULL, 0) < 0 && errno == EINTR)
		;
	if (!rc)
		rc = handshake(fds[0], pid, pidfd, image, err);
	close(fds[0]);
	if (rc && *pidfd >= 0) {
		close(*pidfd);
		*pidfd = -1;
	}
	return rc;
}

const char *launch_lacks(const struct definition *definition, bool our_images)
{
	bool another = definition->uid != geteuid();

	if (access(definition->exe, X_OK))
		return "its QEMU's program is not on this host";
	if (access(definition->cwd, X_OK))
		return "the directory that its QEMU ran in is not on this host";
	if (another && geteuid() != 0)
		return "its QEMU ran as another user, and only root can start it so";
	/* They are for this user's eyes only. */
	if (another && definition->uid && our_images)
		return "its QEMU ran as another user, who may not open images in the store";
	return NULL;
}

int launch_detached(const struct definition *definition, const char *log, pid_t *pid, int *pidfd,
		    struct errinfo *err)
{
	struct image image = {.exe = definition->exe, .cwd = definition->cwd,
			      .argv = words_of(definition->argv),
			      .environment = words_of(definition->environment),
			      .out = definition->out, .err = definition->err,
			      .log = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC |
						       O_NOFOLLOW, 0600),
			      .user = definition,
			      .become = definition->uid != geteuid()};
	int rc = 0;

	if (image.become && geteuid() != 0)
		rc = err_set(err, -EPERM, "QEMU ran as user %u, and only root can start it so",
			     (unsigned)definition->uid);
	else if (!image.argv || !image.environment)
		rc = err_set(err, -ENOMEM, "no memory to start QEMU");
	else if (image.log < 0)
		rc = err_set(err, -errno, "cannot open the log of QEMU: %s", strerror(errno));
	if (!rc)
		rc = start(&image, pid, pidfd, err);
	if (image.log >= 0)
		close(image.log);
	free(image.argv);
	free(image.environment);
	return rc;
}
