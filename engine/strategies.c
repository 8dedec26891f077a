/* SPDX-License-Identifier: Apache-2.0
 *
 * strategies: which of them there are.
 */
#include "response.h"

static strategy_fn *const table[STRATEGIES] = {
	[STRATEGY_MIRROR] = strategy_mirror,
	[STRATEGY_RESET] = strategy_reset,
	[STRATEGY_ROLLBACK] = strategy_rollback,
	[STRATEGY_FAILOVER] = strategy_failover,
	[STRATEGY_RELINK] = strategy_relink,
	[STRATEGY_RESTART] = strategy_restart,
};

strategy_fn *strategy_of(enum strategy strategy)
{
	return table[strategy];
}

uint32_t strategies_able(void)
{
	/* Disks that fail under a guest are recover.c's. */
	uint32_t able = STRATEGY_BIT(STRATEGY_RESUME) | STRATEGY_BIT(STRATEGY_PIVOT) |
			STRATEGY_BIT(STRATEGY_ROLLBACK) | STRATEGY_BIT(STRATEGY_RESTORE) |
			STRATEGY_BIT(STRATEGY_HOLD);

	for (unsigned i = 0; i < STRATEGIES; i++)
		able |= table[i] ? STRATEGY_BIT(i) : 0;
	return able;
}
