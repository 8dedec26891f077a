/* SPDX-License-Identifier: Apache-2.0 */
#include "successor.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "disk_list.h"
#include "file.h"
#include "jsontext.h"
#include "mind.h"
#include "sidecar.h"
#include "situation.h"
#include "space.h"
#include "statefile.h"

#define NAME "replica"	/* in the spare directory */
#define ORIGIN "origin" /* in the successor: {"store", "time"}: what it stands for, since when */
#define LEFT "left"	/* in the store: a link to what it was left for, which needs no room */
#define ORIGIN_MAX 65536

#define FAILURES_MIN 3 /* one error, or two, may be those of a cable that is pushed back in */
#define FAILS_NS (5000 * NS_PER_MS)
/* Somebody may make room, and of the points one goes each second (keeper.h). */
#define FULL_NS (30000 * NS_PER_MS)

static bool is_full(int error)
{
	return error == ENOSPC || error == EDQUOT;
}

bool successor_due(const struct successor *successor, int error, int64_t now_ns)
{
	return successor->failures >= FAILURES_MIN &&
	       now_ns - successor->since_ns >= (is_full(error) ? FULL_NS : FAILS_NS);
}

const char *successor_lacks(const struct successor_facts *facts)
{
	if (!facts->spare)
		return "the guest is not touched, and there is no spare to protect it anew in";
	if (facts->moved)
		return "the guest is not touched, and its replica was moved to the spare already";
	if (facts->inside)
		return "the guest runs on an image in the store, which cannot be left";
	if (facts->leased)
		return "the guest is not touched, and a standby relies on the store (--lease)";
	if (facts->same_disk)
		return "the guest is not touched, and the spare is on the store's file system";
	if (facts->taken)
		return "the guest is not touched, and the spare has a replica of another store";
	return facts->room_bytes < facts->need_bytes
		       ? "the guest is not touched, and the spare has no room for a replica"
		       : NULL;
}

void successor_name(struct config *config)
{
	if (config->spare)
		snprintf(config->successor, sizeof(config->successor), "%s/" NAME, config->spare);
}

/* --- notes: origin and left --- */

/* False: the path is too long to be one. */
static bool path_in(char path[PATH_MAX], const char *dir, const char *name)
{
	return snprintf(path, PATH_MAX, "%s/%s", dir, name) < PATH_MAX;
}

static bool is_origin(const char *dir, const char *store)
{
	struct errinfo ignored = {0};
	char path[PATH_MAX], *text;
	json_t *note;
	size_t length;
	bool is;

	if (!path_in(path, dir, ORIGIN) ||
	    statefile_read(path, ORIGIN_MAX, &text, &length, &ignored))
		return false;
	note = json_loadb(text, length, 0, NULL);
	is = !strcmp(json_text(note, "store"), store);
	json_decref(note);
	free(text);
	return is;
}

static int write_origin(const char *dir, const char *store, struct errinfo *err)
{
	char time[40], *text;
	json_t *note;
	int rc;

	report_time(loop_realtime_us(), time);
	note = json_pack("{s:s,s:s}", "store", store, "time", time);
	text = note ? json_dumps(note, REPORT_JSON) : NULL;
	json_decref(note);
	rc = text ? statefile_replace(dir, ORIGIN, text, err)
		  : err_set(err, -ENOMEM, "%s/" ORIGIN ": no memory to write it", dir);
	free(text);
	return rc;
}

bool successor_left(const char *dir, char to[PATH_MAX])
{
	char path[PATH_MAX];
	ssize_t length = path_in(path, dir, LEFT) ? readlink(path, to, PATH_MAX - 1) : -1;

	to[length < 0 ? 0 : length] = '\0';
	return length > 0;
}

void successor_warn(const char *dir)
{
	char to[PATH_MAX];

	if (successor_left(dir, to))
		log_warn("%s was left when it failed: what is newer is in %s", dir, to);
}

/* --- whose it is --- */

enum claim {
	CLAIM_FREE,    /* there is nothing */
	CLAIM_CLAIMED, /* our store's, but no store yet */
	CLAIM_MADE,    /* our store's, of this guest */
	CLAIM_TAKEN,   /* anything else: not to be touched */
};

static int found(void *arg, const char *name)
{
	return 1;
}

static enum claim claim_of(const struct sidecar *sidecar, struct store_info *info)
{
	const struct config *config = sidecar->config;
	struct errinfo ignored = {0};
	int rc;

	memset(info, 0, sizeof(*info));
	if (!is_origin(config->successor, config->store)) {
		rc = file_list(config->successor, found, NULL);
		return !rc || rc == -ENOENT ? CLAIM_FREE : CLAIM_TAKEN;
	}
	rc = store_inspect(config->successor, info, &ignored);
	if (rc)
		return rc == -ENOENT ? CLAIM_CLAIMED : CLAIM_TAKEN;
	return disk_list_same_guest(&info->spec, &sidecar->guest) ? CLAIM_MADE : CLAIM_TAKEN;
}

/* A directory that has the origin from the first moment on; it takes no other's place. */
static int claim(const struct sidecar *sidecar, struct errinfo *err)
{
	const struct config *config = sidecar->config;
	char begun[PATH_MAX];
	int rc;

	if (snprintf(begun, sizeof(begun), "%s-%.8s.new", config->successor,
		     store_info(sidecar->store)->uuid) >= (int)sizeof(begun))
		return err_set(err, -ENAMETOOLONG, "%s: the path is too long", config->spare);
	rc = file_make_dir(begun);
	if (rc)
		return err_set(err, rc, "cannot make %s: %s", begun, strerror(-rc));
	rc = write_origin(begun, config->store, err);
	if (rc)
		return rc;
	rc = file_rename(begun, config->successor);
	if (!rc)
		rc = file_sync_dir(config->spare);
	return rc ? err_set(err, rc, "cannot make %s: %s", config->successor, strerror(-rc)) : 0;
}

static uint64_t reserve_bytes(const struct config *config, uint64_t *room_bytes)
{
	uint64_t total_bytes;

	*room_bytes = 0;
	if (space_of_fs(config->spare, &total_bytes, room_bytes))
		return 0;
	return total_bytes / 100 * config->reserve_percent;
}

/* Durable when 0. */
static int make(struct sidecar *sidecar, struct errinfo *err)
{
	const struct config *config = sidecar->config;
	struct store_info info;
	uint64_t room_bytes;
	int rc = 0;

	switch (claim_of(sidecar, &info)) {
	case CLAIM_MADE:
		return 0;
	case CLAIM_TAKEN:
		return err_set(err, -EEXIST, "%s is none of this store's", config->successor);
	case CLAIM_FREE:
		rc = claim(sidecar, err);
		break;
	case CLAIM_CLAIMED:
		break;
	}
	return rc ? rc : sidecar_make_store(sidecar, config->successor,
					    reserve_bytes(config, &room_bytes), err);
}

/* --- the facts --- */

static bool is_below(const char *file, const char *dir)
{
	char path[PATH_MAX], top[PATH_MAX];
	size_t length;

	/* On a disk that fails nothing may be resolved any more: as it was given, then. */
	if (!realpath(dir, top))
		snprintf(top, sizeof(top), "%s", dir);
	if (!realpath(file, path))
		snprintf(path, sizeof(path), "%s", file);
	length = strlen(top);
	return !strncmp(path, top, length) && path[length] == '/';
}

static bool lives_in(const struct sidecar *sidecar, const char *dir)
{
	for (unsigned i = 0; i < sidecar->guest.disk_count; i++) {
		if (is_below(sidecar->guest.disks[i].file, dir))
			return true;
	}
	return false;
}

static bool same_disk(const char *store, const char *spare)
{
	struct stat here, there;

	return !stat(store, &here) && !stat(spare, &there) && here.st_dev == there.st_dev;
}

static void gather(const struct sidecar *sidecar, struct successor_facts *facts)
{
	const struct config *config = sidecar->config;
	const char *dir = store_dir(sidecar->store);
	struct store_info info;
	enum claim whose;

	*facts = (struct successor_facts){.spare = config->successor[0], .moved = config->origin};
	if (!facts->spare || facts->moved)
		return;
	facts->inside = store_info(sidecar->store)->promoted || lives_in(sidecar, dir);
	facts->leased = config->lease_s;
	facts->same_disk = same_disk(dir, config->spare);
	whose = claim_of(sidecar, &info);
	facts->taken = whose == CLAIM_TAKEN || info.promoted;
	facts->need_bytes = situation_used_bytes(sidecar) +
			    reserve_bytes(config, &facts->room_bytes);
	if (whose == CLAIM_MADE)
		facts->room_bytes += space_below(config->successor, "disks");
}

const char *successor_outlook(const struct sidecar *sidecar)
{
	struct successor_facts facts;
	const char *lacks;

	gather(sidecar, &facts);
	lacks = successor_lacks(&facts);
	return lacks ? lacks : "the guest is not touched; if that lasts, it is protected anew in the "
			       "spare";
}

/* --- at a start --- */

static bool takes_over(struct sidecar *sidecar, const char *why)
{
	const struct config *config = sidecar->config;

	log_warn("%s goes on in %s instead of %s: %s", sidecar->guest.name, config->successor,
		 config->store, why);
	if (config->mind)
		mind_open(config->mind, config->successor);
	sidecar->succeeded = sidecar->rebirth = true;
	return true;
}

static bool has_successor(const struct sidecar *sidecar)
{
	const struct config *config = sidecar->config;
	struct store_info info;
	enum claim whose;

	/* A standby would not know of it, and boot what the store has. */
	if (!config->successor[0] || config->origin || config->lease_s)
		return false;
	whose = claim_of(sidecar, &info);
	return whose == CLAIM_MADE || whose == CLAIM_CLAIMED;
}

bool successor_goes_first(struct sidecar *sidecar)
{
	const struct config *config = sidecar->config;
	struct errinfo ignored = {0};
	struct store_info info;
	char left[PATH_MAX];

	if (!has_successor(sidecar))
		return false;
	if (lives_in(sidecar, config->successor))
		return takes_over(sidecar, "the guest runs on an image there");
	if (successor_left(config->store, left) && !strcmp(left, config->successor))
		return takes_over(sidecar, "the store failed, and was left");
	/* A disk that is not mounted leaves an empty directory. */
	if (store_inspect(config->store, &info, &ignored) == -ENOENT)
		return takes_over(sidecar, "the store is not there");
	return false;
}

/* Nothing that is asked for wrongly, or in use. */
bool successor_steps_in(struct sidecar *sidecar, int status, const char *why)
{
	static const int bad[] = {EIO, EROFS, ENOSPC, EDQUOT, ENOENT, ENOTDIR, ENODEV, ENXIO,
				  ESHUTDOWN, ESTALE, EUCLEAN};

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (status == -bad[i])
			return has_successor(sidecar) && takes_over(sidecar, why);
	}
	return false;
}

/* --- while it runs --- */

static void leave_store(struct sidecar *sidecar)
{
	const struct config *config = sidecar->config;

	log_warn("the store %s of %s is left (%s): the guest is protected anew in %s",
		 config->store, sidecar->guest.name, sidecar->degraded_why, config->successor);
	report_event(&sidecar->report, "relocated",
		     json_pack("{s:s,s:s,s:s}", "from", config->store, "to", config->successor,
			       "reason", sidecar->degraded_why));
	if (config->mind)
		config->mind->store = config->successor;
	sidecar->succeeded = sidecar->rebirth = true;
}

void successor_attend(struct sidecar *sidecar, int rc)
{
	struct successor *successor = &sidecar->successor;
	int error = sidecar->sense.facts.store_error;
	struct successor_facts facts;
	struct errinfo err = {0};
	const char *lacks;

	if (!error) {
		successor->failures = 0;
		successor->told = false;
	}
	/* A guest that stands still for a failed disk needs what there is. */
	if (!error || rc != -error || !sidecar->config->successor[0] ||
	    (sidecar->stopped && sidecar->fault.kind != FAULT_NONE))
		return;
	if (!successor->failures++)
		successor->since_ns = ring_now_ns();
	if (!successor_due(successor, error, ring_now_ns()))
		return;
	gather(sidecar, &facts);
	lacks = successor_lacks(&facts);
	if (!lacks && !make(sidecar, &err)) {
		leave_store(sidecar);
		return;
	}
	if (!successor->told)
		log_warn("the store %s cannot be left: %s", sidecar->config->store,
			 lacks ? lacks : err.text);
	successor->told = true;
}

/* Only a store: what stands at a mount point without its disk is none. */
static void mark_left(const struct config *config)
{
	char path[PATH_MAX];
	int rc;

	if (!path_in(path, config->origin, "store.json") || access(path, F_OK) ||
	    !path_in(path, config->origin, LEFT))
		return;
	file_remove(path);
	rc = symlink(config->successor, path) ? -errno : file_sync_dir(config->origin);
	if (rc)
		log_info("%s cannot say that it was left: %s", config->origin, strerror(-rc));
}

void successor_mark(struct sidecar *sidecar)
{
	const struct config *config = sidecar->config;
	char path[PATH_MAX];

	if (sidecar->successor.marked)
		return;
	sidecar->successor.marked = true;
	if (config->origin)
		mark_left(config);
	else if (path_in(path, config->store, LEFT))
		file_remove(path); /* it works again, and is in use */
}
