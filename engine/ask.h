/* SPDX-License-Identifier: Apache-2.0
 *
 * ask: the client's side of the control socket (control.h), for the commands.
 * Blocking.
 */
#ifndef ENGINE_ASK_H
#define ENGINE_ASK_H

#include <jansson.h>
#include <stdbool.h>

#include "errinfo.h"

#define ASK_TIMEOUT_S 5	       /* what is answered at once */
#define ASK_LONG_TIMEOUT_S 600 /* what waits for a generation or a copy */

/* Send REQUEST, {"command":...} (taken over), to the sidecar of STORE and wait for
 * *ANSWER, a new reference.  -ENOENT, -ECONNREFUSED: no sidecar runs (ask_nobody());
 * -ETIMEDOUT: no answer within TIMEOUT_S, or no connection within ASK_TIMEOUT_S;
 * -EINTR: a signal came that ends us; -EPROTO: it ended, or what came is no JSON object;
 * -EREMOTEIO: the sidecar refused, ERR has its words.  *ANSWER is NULL then. */
int ask_sidecar(const char *store, json_t *request, int timeout_s, json_t **answer,
		struct errinfo *err);

/* Of what ask_sidecar() returned: there is nobody to ask. */
bool ask_nobody(int status);

#endif
