/* SPDX-License-Identifier: Apache-2.0
 *
 * boot: see boot.h.
 */
#include "boot.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "launch.h"
#include "meet.h"
#include "member.h"
#include "promote.h"
#include "relocate.h"
#include "response.h"
#include "restart.h"
#include "rollback_record.h"
#include "sidecar.h"

#define START_WAIT_MS 60000 /* memory that is taken beforehand, images on slow servers */
#define HOOK_TIMEOUT_MS 60000
#define HOOK_OUTPUT_MAX (64u << 10)

/* Where the disk was last: what the store knows of it is on stable storage before a
 * guest could write there. */
static void where_is(const struct sidecar *sidecar, unsigned i, char path[PATH_MAX],
		     struct relocate_disk *disk)
{
	const struct guest_disk *known = &sidecar->guest.disks[i];
	const char *promoted = store_promoted_image(sidecar->store, i);
	const char *file = strrchr(known->file, '/');

	*disk = (struct relocate_disk){.name = known->name, .node = known->node,
				       .file = known->file, .format = known->driver};
	/* That note is as old as the overlay, of which the disk has left. */
	if (promoted[0] && promote_has_left(store_dir(sidecar->store), known->name)) {
		disk->moved = true;
	} else if (promoted[0]) {
		disk->file = promoted;
		disk->format = "qcow2";
		disk->moved = true;
	} else if (file && !strncmp(file + 1, ROLLBACK_FILE, strlen(ROLLBACK_FILE))) {
		disk->format = "raw";
		disk->moved = true;
	}
	if (disk->moved && realpath(disk->file, path))
		disk->file = path;
}

/* --- overlays --- */

/* Where that of disk I would be; false: it is a guest's, or there is none. */
static bool overlay_path(const struct sidecar *sidecar, unsigned i, char path[PATH_MAX])
{
	store_promoted_path(store_dir(sidecar->store), sidecar->guest.disks[i].name,
			    store_info(sidecar->store)->generation, path, PATH_MAX);
	return !store_promoted_image(sidecar->store, i)[0] && !access(path, F_OK);
}

void boot_drop_overlays(const struct sidecar *sidecar)
{
	char path[PATH_MAX];

	for (unsigned i = 0; i < sidecar->guest.disk_count; i++) {
		if (overlay_path(sidecar, i, path) && !unlink(path))
			log_info("%s: removed, QEMU ended before its guest was on it", path);
	}
}

static struct {
	struct promotion promotions[BOUND_DISKS]; /* some 130 KiB */
	unsigned count; /* 0: none are made */
} replica;

static int make_overlays(struct response *response, struct errinfo *err)
{
	struct sidecar *sidecar = response->sidecar;
	int rc = 0;

	memset(&replica, 0, sizeof(replica));
	while (!rc && replica.count < sidecar->guest.disk_count) {
		rc = promote_create(sidecar, replica.count, &replica.promotions[replica.count],
				    err);
		replica.count += !rc;
	}
	timeline_mark(&response->timeline, "overlay");
	if (!rc)
		rc = promote_finish(sidecar, replica.promotions, replica.count, err);
	timeline_mark(&response->timeline, "flush");
	if (rc)
		boot_abandon_replica(response);
	return rc;
}

int boot_make_replica(struct response *response, struct errinfo *err)
{
	char path[PATH_MAX];

	for (unsigned i = 0; i < response->sidecar->guest.disk_count; i++) {
		if (overlay_path(response->sidecar, i, path))
			return 0;
	}
	return make_overlays(response, err);
}

void boot_abandon_replica(struct response *response)
{
	promote_abandon(response->sidecar, replica.promotions, replica.count);
	replica.count = 0;
}

int boot_onto_replica(struct response *response, struct errinfo *err)
{
	struct sidecar *sidecar = response->sidecar;
	int rc = 0;

	if (!replica.count) {
		boot_drop_overlays(sidecar);
		rc = make_overlays(response, err);
	}
	if (rc)
		return rc;
	rc = promote_note(sidecar, replica.promotions, replica.count, err);
	timeline_mark(&response->timeline, "promote");
	if (rc)
		boot_abandon_replica(response);
	replica.count = 0;
	response->lost_bytes = rc ? 0 : response->facts.all_dirty_bytes;
	return rc;
}

/* --- the command line --- */

/* ONTO_REPLICA: where they will be. */
static int relocate_disks(const struct sidecar *sidecar, const struct definition *definition,
			  json_t *argv, bool onto_replica, struct errinfo *err)
{
	int rc = 0;

	for (unsigned i = 0; i < sidecar->guest.disk_count && !rc; i++) {
		struct relocate_disk disk;
		char path[PATH_MAX];

		where_is(sidecar, i, path, &disk);
		disk.cwd = definition->cwd;
		if (onto_replica && !store_promoted_image(sidecar->store, i)[0]) {
			overlay_path(sidecar, i, path);
			disk = (struct relocate_disk){.name = disk.name, .node = "", .file = path,
						      .format = "qcow2", .moved = true};
		}
		rc = relocate_argv(argv, &disk, err);
	}
	return rc;
}

int boot_check(const struct sidecar *sidecar, const struct definition *definition, bool onto_replica,
	       struct errinfo *err)
{
	const char *lacks = launch_lacks(definition, onto_replica);
	json_t *argv;
	int rc;

	if (lacks)
		return err_set(err, -EACCES, "%s", lacks);
	argv = json_copy(definition->argv);
	rc = relocate_disks(sidecar, definition, argv, onto_replica, err);
	json_decref(argv);
	return rc;
}

int boot_check_recorded(const struct sidecar *sidecar, bool onto_replica, struct errinfo *err)
{
	struct definition definition;
	int rc;

	if (sidecar->config->restart != RESTART_RECORDED)
		return 0;
	rc = definition_load(&definition, store_dir(sidecar->store), err);
	if (!rc)
		rc = boot_check(sidecar, &definition, onto_replica, err);
	definition_release(&definition);
	return rc;
}

/* --- the new QEMU --- */

struct child {
	struct ring_op end_op;
	pid_t pid;
	int pidfd;
	bool gone;
};

static void child_ended(struct ring_op *op, int result)
{
	if (result >= 0)
		member_of(op, struct child, end_op)->gone = true;
}

static bool child_idle(void *arg)
{
	return !ring_op_pending(&((struct child *)arg)->end_op);
}

static void child_release(struct child *child, struct loop *loop, bool kill)
{
	if (kill && !child->gone) {
		pidfd_send_signal(child->pidfd, SIGKILL, NULL, 0);
		loop_until_set(loop, &child->gone, ring_now_ns() + BOOT_KILL_WAIT_MS * NS_PER_MS);
	}
	if (ring_op_pending(&child->end_op))
		ring_cancel(loop->ring, &child->end_op);
	loop_until(loop, child_idle, child, INT64_MAX);
	close(child->pidfd);
}

/* The last that it said, for why it ended. */
static void last_words(const char *path, off_t since, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat stat_of;
	ssize_t got = 0;

	text[0] = '\0';
	if (fd < 0)
		return;
	if (!fstat(fd, &stat_of) && stat_of.st_size > since) {
		off_t from = stat_of.st_size - (off_t)size + 1;

		got = pread(fd, text, size - 1, from > since ? from : since);
	}
	close(fd);
	text[got > 0 ? got : 0] = '\0';
	while (got > 0 && text[got - 1] == '\n')
		text[--got] = '\0';
	for (char *at = text; *at; at++)
		*at = *at == '\n' ? ' ' : *at;
}

static off_t size_of(const char *path)
{
	struct stat stat_of;

	return stat(path, &stat_of) ? 0 : stat_of.st_size;
}

static int start_recorded(struct response *response, const struct definition *definition,
			  enum meet_want want, struct errinfo *err)
{
	struct sidecar *sidecar = response->sidecar;
	struct child child = {.end_op.done = child_ended};
	struct meet meet = {.want = want, .timeout_ms = START_WAIT_MS, .gone = &child.gone,
			    .timeline = &response->timeline};
	char log[PATH_MAX], words[300];
	off_t before, log_before;
	int rc;

	snprintf(log, sizeof(log), "%s/" RESTART_LOG, store_dir(sidecar->store));
	before = size_of(definition->err);
	log_before = size_of(log);
	rc = launch_detached(definition, log, &child.pid, &child.pidfd, err);
	if (rc)
		return rc;
	ring_poll(sidecar->loop.ring, &child.end_op, child.pidfd, POLLIN);
	rc = meet_qemu(&sidecar->loop, sidecar->config->qmp, &meet, err);
	if (rc && child.gone) {
		last_words(definition->err, before, words, sizeof(words));
		if (!words[0])
			last_words(log, log_before, words, sizeof(words));
		err_clear(err);
		err_set(err, rc, "QEMU did not start: %s", words[0] ? words : "it said nothing");
	}
	child_release(&child, &sidecar->loop, rc && rc != -EINTR);
	return rc;
}

static int boot_recorded(struct response *response, bool stopped, struct errinfo *err)
{
	struct sidecar *sidecar = response->sidecar;
	struct definition definition;
	int rc = definition_load(&definition, store_dir(sidecar->store), err);

	if (rc)
		return rc;
	rc = relocate_disks(sidecar, &definition, definition.argv, false, err);
	relocate_start_words(definition.argv, stopped);
	timeline_mark(&response->timeline, "prepare");
	if (!rc)
		rc = start_recorded(response, &definition, stopped ? MEET_ANSWER : MEET_CONT, err);
	definition_release(&definition);
	return rc;
}

/* --- the hook --- */

int boot_run_hook(struct response *response, const char *step, const char *command,
		  int64_t timeout_ms, const char *more, struct errinfo *err)
{
	static char output[HOOK_OUTPUT_MAX];
	struct sidecar *sidecar = response->sidecar;
	char vm[BOUND_VM_NAME + 16], store[PATH_MAX + 16], fault[64];
	const char *environment[] = {vm, store, fault, more, NULL};
	struct launch_hook hook = {.command = command, .more = environment,
				   .timeout_ms = timeout_ms, .output = output,
				   .output_size = sizeof(output)};
	int rc;

	snprintf(vm, sizeof(vm), "QHEAL_VM=%s", sidecar->guest.name);
	snprintf(store, sizeof(store), "QHEAL_STORE=%s", sidecar->config->store);
	snprintf(fault, sizeof(fault), "QHEAL_FAULT=%s", fault_name(response->fault.kind));
	rc = launch_hook(&sidecar->loop, &hook, err);
	timeline_mark(&response->timeline, step);
	if (output[0])
		log_info("the %s said, in %llu bytes: %s", step, hook.said_bytes, output);
	return rc;
}

static int boot_hook(struct response *response, struct errinfo *err)
{
	struct sidecar *sidecar = response->sidecar;
	struct meet meet = {.want = MEET_RUNNING, .timeout_ms = START_WAIT_MS,
			    .timeline = &response->timeline};
	char qmp[PATH_MAX + 16];
	int rc;

	snprintf(qmp, sizeof(qmp), "QHEAL_QMP=%s", sidecar->config->qmp);
	rc = boot_run_hook(response, "hook", sidecar->config->restart_hook, HOOK_TIMEOUT_MS, qmp,
			   err);
	return rc ? rc : meet_qemu(&sidecar->loop, sidecar->config->qmp, &meet, err);
}

int boot_qemu(struct response *response, bool stopped, struct errinfo *err)
{
	struct sidecar *sidecar = response->sidecar;
	int rc = sidecar->config->restart == RESTART_HOOK ? boot_hook(response, err)
							  : boot_recorded(response, stopped, err);

	if (rc)
		return rc;
	promote_drop_reset(sidecar); /* its guest boots: nothing older is in memory */
	response->rebirth = true;
	return 0;
}
