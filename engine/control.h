/* SPDX-License-Identifier: Apache-2.0
 *
 * control: the socket STORE/control.sock (0600) of a running sidecar.  One line
 * {"command":"status"} in, one line of JSON out, then it closes.
 */
#ifndef ENGINE_CONTROL_H
#define ENGINE_CONTROL_H

#include "errinfo.h"

#define CONTROL_SOCKET "control.sock"
#define CONTROL_REQUEST_MAX 4096 /* a command and its few options */

struct control;
struct sidecar;

int control_start(struct control **control, struct sidecar *sidecar, struct errinfo *err);
void control_stop(struct control *control); /* NULL is allowed */

#endif
