/* SPDX-License-Identifier: Apache-2.0
 *
 * ticker: a handler that the ring calls at once and then again and again, until it is
 * stopped.
 */
#ifndef ENGINE_TICKER_H
#define ENGINE_TICKER_H

#include "loop.h"

struct ticker {
	struct ring_op op;
	struct ring *ring;
	int64_t period_ms;
	void (*tick)(void *arg);
	void *arg;
	bool stopping;
};

/* Before ticker_start() TICKER is all zeros, and may be stopped. */
void ticker_start(struct ticker *ticker, struct ring *ring, int64_t period_ms,
		  void (*tick)(void *arg), void *arg);
/* Waits for the ring; afterwards its memory may go. */
void ticker_stop(struct ticker *ticker, struct loop *loop);

#endif
