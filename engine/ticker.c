/* SPDX-License-Identifier: Apache-2.0 */
#include "ticker.h"

#include <errno.h>

#include "member.h"

/* A tick that is due already cannot be cancelled any more, and ends as if nobody had tried. */
static void ticker_rang(struct ring_op *op, int result)
{
	struct ticker *ticker = member_of(op, struct ticker, op);

	if (ticker->stopping || result == -ECANCELED)
		return;
	ticker->tick(ticker->arg);
	ring_timer(ticker->ring, op, ring_now_ns() + ticker->period_ms * NS_PER_MS);
}

void ticker_start(struct ticker *ticker, struct ring *ring, int64_t period_ms,
		  void (*tick)(void *arg), void *arg)
{
	ticker->ring = ring;
	ticker->period_ms = period_ms;
	ticker->tick = tick;
	ticker->arg = arg;
	ticker->op.done = ticker_rang;
	ring_timer(ring, &ticker->op, 0);
}

static bool ticker_idle(void *arg)
{
	return !ring_op_pending(&((struct ticker *)arg)->op);
}

void ticker_stop(struct ticker *ticker, struct loop *loop)
{
	ticker->stopping = true;
	if (ring_op_pending(&ticker->op))
		ring_cancel(ticker->ring, &ticker->op);
	loop_until_sure(loop, ticker_idle, ticker);
}
