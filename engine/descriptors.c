/* SPDX-License-Identifier: Apache-2.0 */
#include "descriptors.h"

#include <stdbool.h>
#include <sys/resource.h>

static struct rlimit before;
static bool raised;

void descriptors_raise(void)
{
	struct rlimit all;

	if (raised || getrlimit(RLIMIT_NOFILE, &before))
		return;
	all = before;
	all.rlim_cur = all.rlim_max;
	raised = !setrlimit(RLIMIT_NOFILE, &all);
}

void descriptors_restore(void)
{
	if (raised)
		setrlimit(RLIMIT_NOFILE, &before);
}
