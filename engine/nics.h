/* SPDX-License-Identifier: Apache-2.0
 *
 * nics: the guest's network cards and how their backends were defined, from QEMU's
 * command line; and what QEMU tells of them.
 *
 * A backend (-netdev) of type stream ends with its peer, unless it listens or was told
 * to reconnect.  QEMU has no way to give a card another backend: the card has to leave
 * the guest for a moment (strategy_relink.c).
 */
#ifndef ENGINE_NICS_H
#define ENGINE_NICS_H

#include <jansson.h>
#include <stdbool.h>

#include "detect.h"

struct sidecar;

struct nic {
	char device[64], netdev[64]; /* ids */
	json_t *card;		     /* options of -device, flat (qemu_options.h) */
	bool card_json;		     /* in that form: its values have types */
	json_t *backend;	     /* arguments of netdev_add; NULL: cannot be made anew */
	char path[108];		     /* of the peer's socket, "": none */
	bool connected, deleted;     /* events came */
	bool unplugging;	     /* it was we who told QEMU to take it out, and it is not back */
	bool gone;		     /* its owner took it out: it is not ours to bring back */
	unsigned fails;		     /* relinks in a row that failed */
	int64_t retry_ns;	     /* not before */
};

struct nics {
	unsigned count;
	struct nic list[DETECT_NICS_MAX];
};

/* Pure.  Those with an id and a -netdev; more than DETECT_NICS_MAX are left out. */
void nics_parse(struct nics *nics, const json_t *argv);
void nics_release(struct nics *nics);

/* When attached: the facts of sense.h get their names. */
void nics_record(struct sidecar *sidecar);
/* True: it was about one of them. */
bool nics_event(struct sidecar *sidecar, const char *name, const json_t *data);
/* Its peer is there again, as far as that can be seen, and QEMU does not connect by itself. */
bool nics_replaceable(const struct sidecar *sidecar, int index);
/* Now and then: a peer that came back makes its fault news again. */
void nics_tick(struct sidecar *sidecar);

#endif
