/* SPDX-License-Identifier: Apache-2.0 */
#include "exports.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "guest.h"
#include "jsontext.h"

#define EXPORTS_SOCKET "nbd.sock"

static int exports_address(const struct exports *exports, struct sockaddr_un *address)
{
	memset(address, 0, sizeof(*address));
	address->sun_family = AF_UNIX;
	snprintf(address->sun_path, sizeof(address->sun_path), "%s", exports->path);
	return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

/* Somebody listens on our socket: only a QEMU that had it from us can. */
static bool exports_alive(const struct exports *exports)
{
	struct sockaddr_un address;
	int fd = exports_address(exports, &address);
	bool alive;

	if (fd < 0)
		return false;
	alive = connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0;
	close(fd);
	return alive;
}

static int exports_listen(const struct exports *exports, struct errinfo *err)
{
	struct sockaddr_un address;
	int fd = exports_address(exports, &address);
	mode_t mask;
	int rc = 0;

	if (fd < 0)
		return err_set(err, -errno, "socket: %s", strerror(errno));
	unlinkat(exports->dir_fd, EXPORTS_SOCKET, 0);
	mask = umask(0177);
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) || listen(fd, BOUND_LISTEN))
		rc = -errno;
	umask(mask);
	if (rc) {
		close(fd);
		return err_set(err, rc, "cannot make the NBD socket in the store: %s", strerror(-rc));
	}
	return fd;
}

static int exports_hand_over(struct monitor *monitor, int fd, struct errinfo *err)
{
	int rc = monitor_call_fd(monitor, "getfd", json_pack("{s:s}", "fdname", "qheal-nbd"), fd,
				 NULL, err);

	if (rc)
		return rc;
	rc = monitor_call(monitor, "nbd-server-start",
			  json_pack("{s:{s:s,s:{s:s}}}", "addr", "type", "fd", "data", "str",
				    "qheal-nbd"), NULL, err);
	if (rc)
		monitor_call(monitor, "closefd", json_pack("{s:s}", "fdname", "qheal-nbd"), NULL,
			     NULL);
	return rc;
}

/* Somebody's backup reads by it, or nobody can tell. */
static bool serves_others(struct monitor *monitor)
{
	const json_t *item;
	json_t *list = NULL;
	bool others = monitor_call(monitor, "query-block-exports", NULL, &list, NULL) != 0;
	size_t i;

	json_array_foreach(list, i, item)
		others |= !strcmp(json_text(item, "type"), "nbd") &&
			  strncmp(json_text(item, "id"), GUEST_BITMAP_PREFIX,
				  strlen(GUEST_BITMAP_PREFIX));
	json_decref(list);
	return others;
}

static bool is_taken(int rc, const struct errinfo *why)
{
	return rc == -EREMOTEIO && strstr(why->text, "already running");
}

int exports_start(struct exports *exports, struct monitor *monitor, const char *store_dir,
		  bool ours, struct errinfo *err)
{
	struct errinfo why = {0};
	int fd, rc;

	exports->dir_fd = open(store_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (exports->dir_fd < 0)
		return err_set(err, -errno, "%s: %s", store_dir, strerror(errno));
	snprintf(exports->path, sizeof(exports->path), "/proc/self/fd/%d/" EXPORTS_SOCKET,
		 exports->dir_fd);
	exports->running = exports_alive(exports);
	if (exports->running)
		return 0;
	fd = exports_listen(exports, err);
	if (fd < 0)
		return fd;
	rc = exports_hand_over(monitor, fd, &why);
	if (is_taken(rc, &why) && ours && !serves_others(monitor)) {
		/* The one of a killed sidecar with another store: it has no exports any more. */
		monitor_call(monitor, "nbd-server-stop", NULL, NULL, NULL);
		err_clear(&why);
		rc = exports_hand_over(monitor, fd, &why);
	}
	close(fd);
	if (is_taken(rc, &why))
		return err_set(err, -EBUSY, "the NBD server of this QEMU is taken by someone else (a "
					    "backup or a storage migration?); QEMU has only one: try "
					    "again when that has ended (nbd-server-stop)");
	exports->running = rc == 0;
	return rc ? err_set(err, rc, "%s", why.text) : 0;
}

void exports_leave(struct exports *exports)
{
	if (exports->dir_fd > 0)
		close(exports->dir_fd);
	exports->dir_fd = -1;
	exports->running = false;
}

void exports_close(struct exports *exports)
{
	if (exports->dir_fd > 0)
		unlinkat(exports->dir_fd, EXPORTS_SOCKET, 0);
	exports_leave(exports);
}

void exports_stop(struct exports *exports, struct monitor *monitor)
{
	if (exports->running)
		monitor_call(monitor, "nbd-server-stop", NULL, NULL, NULL);
	exports_close(exports);
}

bool exports_revive(struct exports *exports, struct monitor *monitor, const char *store_dir,
		    const struct errinfo *why)
{
	if (!strstr(why->text, "NBD server not running"))
		return false;
	exports_close(exports);
	return exports_start(exports, monitor, store_dir, false, NULL) == 0;
}
