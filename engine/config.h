/* SPDX-License-Identifier: Apache-2.0
 *
 * config: what the operator asked `protect` for.
 */
#ifndef ENGINE_CONFIG_H
#define ENGINE_CONFIG_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "bounds.h"
#include "errinfo.h"
#include "retention.h"
#include "standby.h"

#define POINT_EVERY_S 60

struct mind;

enum on_loss { ON_LOSS_HOLD, ON_LOSS_ROLLBACK };
enum restart_mode { RESTART_NEVER, RESTART_RECORDED, RESTART_HOOK };

struct config {
	const char *qmp;   /* address of the monitor */
	const char *store; /* directory */
	const char *origin; /* the store that was asked for, when STORE is its successor; else NULL */
	const char *config; /* file, or NULL */
	const char *agent; /* socket of the guest agent's chardev, or NULL */
	const char *events; /* file, "-", or NULL */
	const char *disks[BOUND_DISKS];
	unsigned disk_count; /* 0: all */
	int64_t interval_ms;
	uint64_t scratch_bytes; /* what a frozen point may cost QEMU */
	uint32_t block_bytes;	/* of a new store */
	enum on_loss on_loss;
	enum restart_mode restart; /* when QEMU is gone */
	unsigned lease_s; /* this host is taken for gone when it says nothing for so long; 0: no lease */
	const char *fence; /* a standby's command that ends another host; NULL: this is none */
	struct standby standby;
	const char *restart_hook; /* the command, of RESTART_HOOK */
	struct mind *mind; /* settings of the policy, models, incidents */
	const char *spare; /* directory for images a guest is moved to, or NULL */
	char successor[PATH_MAX]; /* of the store, in the spare directory; "": there is no spare */
	uint64_t optimal_rate; /* bytes a second of a copy beside the guest, objective optimal */
	unsigned optimal_cpu_percent;  /* of one core, of such a copy; 0: no limit */
	bool drop_disks; /* replicas of disks that were not asked for may go */
	struct retention keep;	  /* of automatic points; not set: none are taken */
	int64_t point_every_s;	  /* from one of them to the next; 0: POINT_EVERY_S */
	unsigned reserve_percent; /* of the file system, before points go */
	uint64_t scrub_rate; /* bytes a second of each side, 0: no scrub */
	bool heal; /* bad blocks that it finds are written anew */
	/* The guest's name is known: what may be set for it alone.  Called before anything
	 * is chosen or changed; may be NULL. */
	int (*named)(void *arg, const char *name, struct errinfo *err);
	void *named_arg;
	bool once; /* one consistent generation, then leave */
};

#endif
