/* SPDX-License-Identifier: Apache-2.0
 *
 * space: what a store takes, what its file system has left, and when it will be
 * full if it goes on like this.
 */
#ifndef ENGINE_SPACE_H
#define ENGINE_SPACE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "point.h"

/* --- the forecast: pure --- */

#define SPACE_SAMPLE_MS 10000 /* from one sample to the next */
#define SPACE_SAMPLES 360     /* an hour: a rate of minutes would forget the quiet ones */
#define SPACE_SAMPLES_MIN 3   /* two would take any hiccup for a trend */

struct space_trend {
	unsigned count, next; /* a ring */
	struct {
		int64_t time_ms;
		uint64_t free_bytes;
	} samples[SPACE_SAMPLES];
};

void space_note(struct space_trend *trend, int64_t time_ms, uint64_t free_bytes);
/* Bytes a second that the free space shrinks by, the straight line through the
 * samples; below 0: it grows.  False: too few samples. */
bool space_rate(const struct space_trend *trend, double *bytes_per_s);
/* Seconds until FREE_BYTES are used up at that rate; -1: never. */
int64_t space_full_in_s(double bytes_per_s, uint64_t free_bytes);
/* Less than PERCENT of TOTAL_BYTES are free. */
bool space_short(uint64_t free_bytes, uint64_t total_bytes, unsigned percent);

/* --- what is there: blocking, quick for the first, for commands the others --- */

int space_of_fs(const char *dir, uint64_t *total_bytes, uint64_t *free_bytes);

/* Blocks of the files below DIR/WHAT ("disks", "journal", ...), as du(1) counts. */
uint64_t space_below(const char *dir, const char *what);
/* What the point does not share with anything else: about what its deletion gives
 * back.  A kept point shares nothing. */
uint64_t space_of_point(const char *dir, const struct point_info *point);
/* {"heads","journal","points","promoted","fs_size","fs_free"} in bytes. */
json_t *space_json(const char *dir, const struct point_info *points, unsigned count);

#endif
