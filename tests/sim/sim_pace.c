/* SPDX-License-Identifier: Apache-2.0
 *
 * pace.h on the simulated disk: the smallest slices there are, so that generations go by
 * while a head of a few of them is being cloned.
 */
#include "clone.h"
#include "pace.h"

void pace_init(struct pace *pace)
{
	*pace = (struct pace){.bytes = CLONE_ALIGN};
}

uint64_t pace_slice(struct pace *pace, int fd, uint64_t at, uint64_t left, bool backwards)
{
	return left < CLONE_ALIGN ? left : CLONE_ALIGN;
}

void pace_adapt(struct pace *pace, int64_t took_ns)
{
}
