/* SPDX-License-Identifier: Apache-2.0
 *
 * drift: a disk that slowly gets slower.  Pure: samples in, a verdict out.
 *
 * Page's one-sided CUSUM (E. S. Page, Continuous Inspection Schemes, Biometrika 41,
 * 1954) on the logarithm of the latency: latencies are skewed, and "twice as slow" is
 * the same step for a fast disk as for a slow one.
 *
 *   x = ln of the 20th percentile of DRIFT_GROUP samples' mean latencies
 *   y = the same of what a request takes of the time: the latency, or the interval over the
 *       requests that ended in it, when several were under way at a time
 *   z = (x - median) / (1.4826 MAD)     the baseline's, robust; the lesser of x's and y's
 *   S = max(0, S + min(z, DRIFT_CLIP) - DRIFT_SLACK),  alarm when S > DRIFT_LIMIT
 *
 * The low percentile: what else is at work on the host lengthens most requests now and
 * then by ten times (seen in the recordings), a failing disk lengthens all of them.
 * Clipping keeps one stall from being a trend.  An alarm is given only when the median
 * of the latest values is DRIFT_RATIO times the baseline's: a change that can be told
 * is not yet one that matters.  The baseline is of the first DRIFT_BASELINE values and
 * then stands, or a slow creep would take it along.
 *
 * What the guest asks for must not look like a slower disk.  A longer queue makes x larger
 * and not y, a shorter one y and not x; a slower disk makes both so.  (Not found is one with
 * several requests under way all the time that still does as much as is asked of it.)  And
 * requests are compared with those of about their size: each power of two has a baseline of
 * its own, since twice the bytes take twice the time at most, which is DRIFT_RATIO.
 *
 * False alarms on recorded healthy guests (tests/data/blockstats-*.txt, made by
 * tests/lab/record_stats.py on two cores busy with other people's work): none in 2,372
 * samples of 250 ms: 59 values, 24 of them baselines; ten minutes, of requests of one size,
 * four samples with more than one under way on average.  The constants below
 * were chosen on the same recordings (means of all samples gave 3 alarms), and by the
 * rule of three 35 values without an alarm say no more than "less than one in 12".  A guest
 * under load was then watched for an hour (drill_nothing_test.py): the first time an alarm
 * came when three others began to work on the same two processors, which is why the waits
 * for those are taken off.
 */
#ifndef ENGINE_DRIFT_H
#define ENGINE_DRIFT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DRIFT_GROUP 40	  /* 10 s at four samples a second */
#define DRIFT_BASELINE 8
#define DRIFT_RECENT 4
#define DRIFT_CLIP 4.0
#define DRIFT_SLACK 1.0	  /* half of a shift by two sigmas, which is to be found */
#define DRIFT_LIMIT 6.0	  /* at least three values at the clip */
#define DRIFT_RATIO 2.0
#define DRIFT_SIGMA_MIN 0.3 /* of the logarithm: the MAD of eight values can be too small */
#define DRIFT_SIZES 9	  /* below 8 KiB, 16 KiB, ... 1 MiB, and above: virtio's go to there */

enum drift_measure { DRIFT_LATENCY, DRIFT_SHARE, DRIFT_MEASURES }; /* x, y */

struct drift_load { /* between two samples */
	uint64_t operations, bytes, busy_ns, interval_ns;
};

struct drift {
	double group[DRIFT_MEASURES][DRIFT_GROUP];
	unsigned group_count;
	unsigned count; /* values of the baseline, at most DRIFT_BASELINE */
	double baseline[DRIFT_MEASURES][DRIFT_BASELINE];
	/* Of ln(us); set when the baseline is complete. */
	double median[DRIFT_MEASURES], sigma[DRIFT_MEASURES];
	double sum;		     /* S */
	double recent[DRIFT_RECENT]; /* how far from the median, the lesser of both */
	unsigned recent_count, recent_next;
	bool alarm; /* stays until drift_restart() */
};

/* All zeros is a good start, too; after a disk was replaced. */
void drift_restart(struct drift *drift);

/* The operations that ended took BUSY_NS together.  A sample without any tells nothing
 * and is left out.  Returns drift->alarm. */
bool drift_sample(struct drift *drift, const struct drift_load *load);
/* Which of DRIFT_SIZES the load is to be compared with. */
unsigned drift_size(const struct drift_load *load);
/* Of DRIFT_SIZES: the one that raised the alarm, or of which most is known. */
const struct drift *drift_of_note(const struct drift *sizes);

/* QEMU counts from a request's beginning to its end, with the time for which its threads wait
 * for a processor: what is left of BUSY_NS without the share in which somebody on this host
 * does, as the kernel tells (cpu "some" of its pressure stall information, PERCENT; below 0:
 * it does not).  A disk that fails makes nobody wait for a processor. */
uint64_t drift_without_waits(uint64_t busy_ns, double percent);

/* How much slower than the baseline, 1.0: as fast; 0: not known yet. */
double drift_ratio(const struct drift *drift);
/* The measure that raised the alarm, in words. */
void drift_detail(const struct drift *drift, char *text, size_t size);

#endif
