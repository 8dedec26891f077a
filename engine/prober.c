/* SPDX-License-Identifier: Apache-2.0
 *
 * prober: see prober.h.
 */
#include "prober.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "report.h"

#define READ_BYTES 4096
#define STACK_BYTES (64u << 10) /* a path and a buffer */

struct question {
	uint32_t place;
	bool read;
	char path[PATH_MAX];
};

/* --- the child --- */

static struct {
	int fd;
	pthread_mutex_t lock;
	struct place {
		pthread_cond_t news;
		struct question question;
		bool asked, started;
	} places[PROBER_PLACES];
} child = {.lock = PTHREAD_MUTEX_INITIALIZER};

static int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static void look_at_room(int fd, struct prober_answer *answer)
{
	struct statvfs fs;
	struct stat file;

	if (fstatvfs(fd, &fs) || fstat(fd, &file) || S_ISBLK(file.st_mode))
		return;
	answer->room_known = true;
	/* What root has in reserve is not there for QEMU. */
	answer->room_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
	answer->room_total = (uint64_t)(fs.f_blocks - (fs.f_bfree - fs.f_bavail)) * fs.f_frsize;
	if (!S_ISREG(file.st_mode))
		return;
	answer->file_bytes = (uint64_t)file.st_size;
	answer->file_allocated = (uint64_t)file.st_blocks * 512;
}

static void look(const struct question *question, struct prober_answer *answer)
{
	_Alignas(READ_BYTES) char buffer[READ_BYTES];
	int flags = O_RDONLY | O_CLOEXEC | (question->read ? O_DIRECT : 0);
	int fd = open(question->path, flags);
	int64_t start_ns;

	answer->read = question->read;
	if (fd < 0 && errno == EINVAL && question->read) {
		answer->read = false;
		fd = open(question->path, flags & ~O_DIRECT);
	}
	if (fd < 0) {
		answer->open_error = errno;
		return;
	}
	start_ns = now_ns();
	if (answer->read && pread(fd, buffer, READ_BYTES, 0) < 0)
		answer->read_error = errno;
	answer->took_ns = now_ns() - start_ns;
	look_at_room(fd, answer);
	close(fd);
}

static void *work(void *arg)
{
	struct place *place = arg;
	struct question question;

	for (;;) {
		struct prober_answer answer = {0};

		pthread_mutex_lock(&child.lock);
		while (!place->asked)
			pthread_cond_wait(&place->news, &child.lock);
		question = place->question;
		place->asked = false;
		pthread_mutex_unlock(&child.lock);
		answer.place = question.place;
		look(&question, &answer);
		send(child.fd, &answer, sizeof(answer), MSG_NOSIGNAL);
	}
	return NULL;
}

static bool place_start(struct place *place)
{
	pthread_attr_t attributes;
	pthread_t thread;
	int rc;

	pthread_cond_init(&place->news, NULL);
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK_BYTES);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	rc = pthread_create(&thread, &attributes, work, place);
	pthread_attr_destroy(&attributes);
	return rc == 0;
}

static void hand_over(const struct question *question)
{
	struct place *place = &child.places[question->place];

	if (!place->started && !(place->started = place_start(place)))
		return;
	pthread_mutex_lock(&child.lock);
	place->question = *question;
	place->asked = true;
	pthread_cond_signal(&place->news);
	pthread_mutex_unlock(&child.lock);
}

__attribute__((noreturn)) static void child_main(int fd, pid_t parent)
{
	static struct question question;
	ssize_t n;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_NAME, "qheal-prober");
	if (getppid() != parent)
		_exit(0);
	/* Nobody may wait for the end of our output, or of a socket, because of us. */
	if (fd > 0)
		close_range(0, (unsigned)fd - 1, 0);
	close_range((unsigned)fd + 1, ~0U, 0);
	child.fd = fd;
	while ((n = recv(fd, &question, sizeof(question), 0)) > 0 || (n < 0 && errno == EINTR)) {
		if (n == sizeof(question) && question.place < PROBER_PLACES)
			hand_over(&question);
	}
	_exit(0);
}

/* --- the sidecar's side --- */

static pid_t former; /* ended, not yet taken leave of */

int prober_start(struct prober *prober, struct errinfo *err)
{
	pid_t parent = getpid();
	int fds[2], rc;

	if (former)
		waitpid(former, NULL, WNOHANG);
	former = 0;
	*prober = (struct prober){.fd = -1};
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds))
		return err_set(err, -errno, "prober: socketpair: %s", strerror(errno));
	prober->pid = fork();
	if (prober->pid < 0) {
		rc = -errno;
		prober->pid = 0;
		close(fds[0]);
		close(fds[1]);
		return err_set(err, rc, "prober: fork: %s", strerror(-rc));
	}
	if (prober->pid == 0) {
		close(fds[1]);
		child_main(fds[0], parent);
	}
	close(fds[0]);
	prober->fd = fds[1];
	return 0;
}

void prober_try(struct prober *prober)
{
	struct errinfo err = {0};

	if (prober_start(prober, &err))
		log_warn("%s: disks are not probed", err.text);
}

void prober_stop(struct prober *prober)
{
	if (prober->fd >= 0)
		close(prober->fd);
	prober->fd = -1;
	if (prober->pid <= 0)
		return;
	/* A read that hangs keeps it: the next start looks again, or init does. */
	kill(prober->pid, SIGKILL);
	former = prober->pid;
	prober->pid = 0;
}

int prober_ask(struct prober *prober, unsigned place, const char *path, bool read)
{
	struct question question = {.place = place, .read = read};

	if (prober->fd < 0)
		return -ENOTCONN;
	if (snprintf(question.path, sizeof(question.path), "%s", path) >=
	    (int)sizeof(question.path))
		return -ENAMETOOLONG;
	if (send(prober->fd, &question, sizeof(question), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		return -errno;
	return 0;
}

bool prober_take(struct prober *prober, struct prober_answer *answer)
{
	ssize_t n;

	if (prober->fd < 0)
		return false;
	n = recv(prober->fd, answer, sizeof(*answer), MSG_DONTWAIT);
	if (n == sizeof(*answer) && answer->place < PROBER_PLACES)
		return true;
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
		close(prober->fd);
		prober->fd = -1;
	}
	return false;
}
