/* SPDX-License-Identifier: Apache-2.0
 *
 * notify: the service manager's protocol, sd_notify(3): datagrams to the socket
 * in NOTIFY_SOCKET.  Nothing happens without one.
 */
#ifndef ENGINE_NOTIFY_H
#define ENGINE_NOTIFY_H

void notify_ready(void);
void notify_stopping(void);
void notify_status(const char *text);

#endif
