/* SPDX-License-Identifier: Apache-2.0
 *
 * sim_store: a store on the simulated disk beside a model of what must be in it,
 * and the verdict whether a store found after a power cut is right.
 */
#ifndef SIM_STORE_H
#define SIM_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "pool.h"
#include "ring.h"
#include "sim/sim_disk.h"
#include "store.h"

#define SIM_DISKS 3
#define SIM_BLOCK 4096u
#define SIM_DISK_BYTES_MAX (40u * SIM_BLOCK)
#define SIM_ATTEMPTS 8

/* The content of all disks at one point. */
struct sim_content {
	uint8_t disk[SIM_DISKS][SIM_DISK_BYTES_MAX];
};

#define SIM_POINTS 64

enum sim_point_state {
	SIM_POINT_MAYBE, /* being taken or deleted, or that failed: right, if it is there */
	SIM_POINT_THERE,
	SIM_POINT_GONE,
};

struct sim_store;

struct sim_point {
	struct sim_store *store;
	char name[8];
	enum sim_point_state state;
	bool busy, taking;
	int status;
	uint64_t generation;
	struct sim_content *content;
};

enum sim_phase {
	SIM_CREATING, /* no store, or an empty one */
	SIM_EMPTY,    /* empty, or being filled */
	SIM_FILLING_END, /* empty or filled */
	SIM_FILLED,
	SIM_RUNNING,
};

struct sim_store {
	struct sim *sim;
	struct ring *ring;
	struct pool *pool;
	struct store *store;
	uint64_t random;

	/* what must be found */
	enum sim_phase phase;
	uint64_t acknowledged;
	struct sim_content *live;      /* as the guest has it */
	struct sim_content *filled;    /* by the first copy */
	struct sim_content *committed; /* generation ACKNOWLEDGED */
	struct sim_content *attempts[SIM_ATTEMPTS]; /* may be found as the next one */
	unsigned attempt_count;

	struct sim_point points[SIM_POINTS];
	unsigned point_count; /* ever taken */

	/* what was seen */
	unsigned cuts_per_step;
	unsigned depth; /* how many power cuts ago the run began */
	uint64_t cuts, wrong;
	uint64_t takes, deletes; /* done(0), those behind a power cut too */
	char first_wrong[512];
};

struct sim_store *sim_store_new(uint64_t seed);
void sim_store_free(struct sim_store *s);

/* Each returns 0 or what the store said. */
int sim_store_create(struct sim_store *s);
int sim_store_open(struct sim_store *s);
void sim_store_close(struct sim_store *s);
int sim_store_fill(struct sim_store *s);
int sim_store_generation(struct sim_store *s, unsigned puts); /* waits for the commit */
int sim_store_settle(struct sim_store *s);
void sim_store_abort(struct sim_store *s, unsigned puts);

/* Of the last generation; of a random one.  Both go on until sim_points_wait(). */
void sim_point_take(struct sim_store *s);
void sim_point_delete(struct sim_store *s);
int sim_points_wait(struct sim_store *s); /* 0, or what one of them said */
void sim_points_found(struct sim_store *s); /* the store was just opened */
void sim_points_release(struct sim_store *s, unsigned first); /* from the FIRST on */
/* Those that must be there are, and each has its generation's content.  Not ALL: of
 * one, mostly, for this is the most of the work. */
bool sim_points_right(struct sim_store *s, bool all, const char **what, uint64_t *number);

struct point_info;
/* Disk DISK of POINT, of the store in /store, holds CONTENT and verifies. */
bool sim_point_disk_right(const struct point_info *point, unsigned disk, const uint8_t *content);

/* As a reader in another process does, at this moment. */
void sim_store_look(struct sim_store *s);
/* Pull the plug now, look, and count what is wrong. */
void sim_store_cut(struct sim_store *s);
/* The store that is open holds generation ACKNOWLEDGED, heads settled. */
bool sim_store_right(struct sim_store *s);

#endif
