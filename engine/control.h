/* SPDX-License-Identifier: Apache-2.0
 *
 * control: the socket STORE/control.sock (0600) of a running sidecar.  One line
 * {"command":...} in, one line of JSON out, then it closes; {"error":...} says why
 * nothing was done.
 *
 *   status                                        answered at once
 *   point         name?, temporary?, quiesce?     orders: what takes time, or touches
 *   point-delete  point (name or id)              the guest, waits for the flow of
 *   rollback      point (name or id)              control and is answered when done
 *
 * The flow takes the orders one at a time, in the order they came, between two
 * cycles.  A client that went away meanwhile is forgotten; its order is not.
 */
#ifndef ENGINE_CONTROL_H
#define ENGINE_CONTROL_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "errinfo.h"

#define CONTROL_SOCKET "control.sock"
#define CONTROL_REQUEST_MAX 4096 /* a command and its few options */

struct control;
struct sidecar;

int control_start(struct control **control, struct sidecar *sidecar, struct errinfo *err);
void control_stop(struct control *control); /* NULL is allowed */

/* The oldest order that nobody has begun.  NULL is allowed. */
bool control_has_order(const struct control *control);
/* Begin it: a new reference to the request, NULL when there is none.  Exactly one
 * control_reply() must follow before the next. */
json_t *control_take_order(struct control *control);
/* Answer it with REPLY (taken over). */
void control_reply(struct control *control, json_t *reply);
/* The same later, when other orders may have been begun and answered meanwhile. */
uint64_t control_postpone(struct control *control);
void control_reply_to(struct control *control, uint64_t postponed, json_t *reply);

#endif
