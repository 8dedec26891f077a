/* SPDX-License-Identifier: Apache-2.0
 *
 * slow: preloaded into a program, makes it a fifth slower: QHEAL_SLOW_PERCENT (20) of the
 * time that it ran is added before it ends.  At the end, because a delay among requests in
 * flight hides behind them and would be less than it says.  For bench/prove alone.
 */
#include <stdlib.h>
#include <time.h>

static struct timespec began;

__attribute__((constructor)) static void begin(void)
{
	clock_gettime(CLOCK_MONOTONIC, &began);
}

__attribute__((destructor)) static void end(void)
{
	const char *text = getenv("QHEAL_SLOW_PERCENT");
	double percent = text ? atof(text) : 20, delay;
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	delay = percent / 100 *
		((double)(now.tv_sec - began.tv_sec) + (double)(now.tv_nsec - began.tv_nsec) / 1e9);
	now.tv_sec = (time_t)delay;
	now.tv_nsec = (long)((delay - (double)now.tv_sec) * 1e9);
	clock_nanosleep(CLOCK_MONOTONIC, 0, &now, NULL);
}
