/* SPDX-License-Identifier: Apache-2.0
 *
 * doctor: against which fault a guest is protected, and what to change for the rest.
 * Pure: facts in, an array of lines out:
 *
 *   {"resource", "fault", "state": "protected" | "option" | "unprotected", "says"}
 *
 * "option": QEMU is as it should be, `qheal protect` has to be told.
 */
#ifndef ENGINE_DOCTOR_H
#define ENGINE_DOCTOR_H

#include <jansson.h>
#include <stdbool.h>

#include "guest.h"
#include "qemu_argv.h"

struct doctor_facts {
	bool pvpanic, watchdog, agent; /* devices of the machine */
	bool argv_known;	       /* the process is here and may be looked at */
	const struct qemu_argv *argv;
};

json_t *doctor_lines(const struct guest *guest, const struct doctor_facts *facts);

/* DEVICES: the answers to qom-list of the machine's devices, an array of arrays. */
void doctor_devices(const json_t *devices, struct doctor_facts *facts);

#endif
