/* SPDX-License-Identifier: Apache-2.0
 *
 * What detect.c and detect_guest.c share.
 */
#ifndef ENGINE_DETECT_PRIVATE_H
#define ENGINE_DETECT_PRIVATE_H

#include "detect.h"

/* One more, with its evidence. */
__attribute__((format(printf, 5, 6))) struct detect_fault *
detect_add(struct detect_verdict *verdict, enum fault_kind kind, enum detect_cause cause, int index,
	   const char *format, ...);
double detect_seconds(int64_t ns);

void detect_guest(const struct detect_facts *facts, const struct detect_limits *limits,
		  int64_t now_ns, struct detect_verdict *verdict);
void detect_memory(const struct detect_facts *facts, const struct detect_limits *limits,
		   int64_t now_ns, struct detect_verdict *verdict);

#endif
