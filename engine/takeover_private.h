/* SPDX-License-Identifier: Apache-2.0
 *
 * What takeover.c and takeover_facts.c share.
 */
#ifndef ENGINE_TAKEOVER_PRIVATE_H
#define ENGINE_TAKEOVER_PRIVATE_H

#include "lease.h"
#include "response.h"
#include "sidecar.h"
#include "takeover.h"

struct takeover {
	struct sidecar *sidecar;
	struct config *config;
	struct lease here;  /* who we are */
	struct lease lease; /* as it was read last; of ours: an attempt of ours, or of before, failed */
	int64_t read_ns;    /* when */
	int64_t renewed_ns; /* by our clock, 0: there is none that could expire */
	int64_t due_ns;	    /* what failed is tried again */
	int64_t wait_ms;    /* then the next pause */
	bool told;	    /* why nothing is done: said once */
	bool unsure;	    /* the store could not be looked at */
};

extern struct takeover takeover; /* one a process */

/* The lease is of this host: nobody else is to be fenced for it. */
bool takeover_ours(const struct takeover *watch);
/* Of a guest that nobody could ask: what the store knows. */
void takeover_name_guest(struct sidecar *sidecar, const struct store_spec *spec);
/* struct response's: all that can be known before anybody is fenced. */
void takeover_gather(struct response *response);

#endif
