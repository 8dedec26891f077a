/* SPDX-License-Identifier: Apache-2.0
 *
 * The points of an open store: what point_store.c (open, close, requests),
 * point_take.c and point_delete.c share.  One point at a time is being taken, and
 * one deleted, at the same time; only the moment in which the list changes is of
 * one of them alone ("renaming").
 *
 * points/serial is 16 bytes: how often the list changed, for readers in other
 * processes, and the last id given.
 */
#ifndef BLOCKIO_POINT_PRIVATE_H
#define BLOCKIO_POINT_PRIVATE_H

#include "clone.h"
#include "flush.h"
#include "keep_files.h"
#include "keep_move.h"
#include "pace.h"
#include "point.h"

/* A file of a point that gives EIO so often in a row is lost: the point is damaged then, and
 * not the store. */
#define POINT_TRIES 3
#define POINT_DAMAGED ".damaged" /* behind the id, in the name of its directory */

struct store;

typedef void point_done(void *arg, int status, const struct errinfo *error);

struct point_job {
	struct point_request request; /* of a take */
	uint32_t id;		      /* of a delete */
	uint64_t generation;	      /* last committed when it was asked for */
	int64_t time_us;
	point_done *done;
	void *arg;
};

struct point_jobs {
	struct point_job job[POINT_REQUESTS_MAX];
	unsigned count; /* oldest first */
};

enum take_state {
	TAKE_IDLE,
	TAKE_PREPARE, /* kept: the new files are being flushed */
	TAKE_HEADS,   /* waits until the heads are its generation */
	TAKE_CLONE,   /* clone: the heads are being cloned, */
	TAKE_FLUSH,   /* and flushed */
	TAKE_NAME,    /* waits until nobody else changes the list */
	TAKE_NAMED,   /* renamed, or that was undone; the directory is being flushed */
};

struct point_take {
	enum take_state state;
	bool holds; /* no later generation may be applied */
	struct point_job job;
	struct point_info info;
	int fds[FLUSH_FILES_MAX];
	unsigned fd_count;
	struct flush flush;
	struct clone clone;
	struct keep_files files; /* kept: the next ones to receive blocks */
	int name_status;	 /* of the first flush of its name */
	int64_t start_ns;
};

enum delete_state {
	DELETE_IDLE,
	DELETE_MOVE,   /* its blocks go to the older one, while it may still get more */
	DELETE_NAME,  /* waits until nobody else changes the list, and for the apply */
	DELETE_REST,   /* nobody writes any more: what is left goes there */
	DELETE_NAMED, /* renamed; the directory is being flushed */
	DELETE_TRIM,  /* its files are cut back, slice by slice */
};

struct point_delete {
	enum delete_state state;
	bool holds; /* nothing may be applied */
	struct point_job job;
	struct point_info info;
	int lock_fd;
	struct keep_files from, to; /* kept, with an older one: TO gets what only FROM keeps */
	struct keep_move move;
	struct flush flush;
	struct ring_op op;
	struct pace pace;
	unsigned file; /* being cut back */
	int fd;
};

struct points {
	struct store *store;
	struct point_info *list; /* oldest first */
	unsigned count;
	bool clones; /* new ones are clones */
	int dir_fd;  /* of STORE/points, -1: not open */
	int serial_fd;
	uint64_t changes, last_id;
	bool renaming;
	struct point_jobs takes, deletes;
	struct point_take take;
	struct point_delete delete;
	struct ring_op kick;
	/* Refused before it was a job: reported from the ring. */
	struct point_refused {
		point_done *done;
		void *arg;
		struct errinfo error;
	} refused[3 * POINT_REQUESTS_MAX]; /* all that wait, and as many too many */
	unsigned refused_count;
};

/* Blocking; removes what a take or delete left behind half. */
int points_open(struct points *points, struct store *store, struct errinfo *err);
/* What waits is refused; what is under way goes on. */
void points_cancel(struct points *points);
void points_close(struct points *points); /* nothing under way */
bool points_busy(const struct points *points);

/* Must generation NUMBER wait before it may be applied? */
bool points_hold(const struct points *points, uint64_t number);
/* A generation was applied, or could not be. */
void points_applied(struct points *points, int status, const struct errinfo *error);

/* --- for the take and the delete --- */

void points_step(struct points *points); /* whoever waits looks again */
void take_step(struct points *points);
void delete_step(struct points *points);
void take_failed(struct points *points, int status, const struct errinfo *error);
void points_release(struct points *points); /* a hold ended */
/* The list is another one: readers are told. */
/* The newest kept point, and all that are read through it, are damaged from now on, durably:
 * nothing is kept for them any more. */
int points_give_up(struct points *points, struct errinfo *err);

void points_changed(struct points *points);
int points_serial_write(struct points *points);
const struct point_info *points_by_id(const struct points *points, uint32_t id);
/* A kept point is read through newer ones: it is damaged, if one of those is.
 * POINTS are oldest first. */
void points_damage_spread(struct point_info *points, unsigned count);
void point_damaged_path(const char *dir, uint32_t id, char *path, size_t size);
/* Remove the files of a point and its directory.  Blocking. */
int point_tree_remove(const char *path);

#endif
