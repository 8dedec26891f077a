/* SPDX-License-Identifier: Apache-2.0
 *
 * address: where a monitor listens, from its text to a socket address.
 */
#ifndef QMP_ADDRESS_H
#define QMP_ADDRESS_H

#include <sys/socket.h>

#include "errinfo.h"

#define QMP_ADDRESS_TEXT_MAX 320 /* a unix path has 107 bytes, a host name 253 */

struct qmp_address {
	struct sockaddr_storage socket;
	socklen_t size;
	char text[QMP_ADDRESS_TEXT_MAX]; /* as the user wrote it, for sentences */
};

/* Never asks the network: a host is numeric or a name of /etc/hosts, whose first
 * line with that name counts.  Returns 0, or -EINVAL, -ENAMETOOLONG, -ENOENT (no
 * such host). */
int qmp_address_parse(struct qmp_address *address, const char *text, struct errinfo *err);

#endif
